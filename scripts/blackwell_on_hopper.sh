#!/usr/bin/env bash
# Builds the programs with Blackwell's kernels for Hopper: the same source, in which only the two FP4
# conversions are emulated and each packed FP32 instruction is two (`isa/native.rs`, `packed.rs`).
# They take the place of the sm_89 kernels in a copy of the committed files, so whatever the programs
# then do on an H100, they do with them:
#
#   scripts/blackwell_on_hopper.sh                          prints where the programs are
#   LAB verify --backend cuda --golden DIR                  every golden case
#   LAB cross-check ...                                     random data against the CPU path
#
# Run `git commit` before: the copy is of HEAD.
set -euo pipefail
cd "$(dirname "$0")/.."
copy="$PWD/target/blackwell-on-hopper"
rm -rf "$copy/source"
mkdir -p "$copy/source"
git archive HEAD | tar -x -C "$copy/source"
cargo xtask ptx --isa sm_90_as_blackwell --out "$copy/ptx"
for kernel in "$copy/source/kernels-gpu/ptx/sm_89"/*.ptx; do
    cp "$copy/ptx/sm_90_as_blackwell/$(basename "$kernel")" "$kernel"
done
cd "$copy/source"
CARGO_TARGET_DIR="$copy/build" cargo xtask archive
cargo build --quiet --release -p fouroversix-cli -p fouroversix-lab --target-dir "$copy/build"
echo "$copy/build/release/fouroversix" "$copy/build/release/fouroversix-lab"
