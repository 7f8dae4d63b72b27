#!/usr/bin/env bash
# What building costs from a clean clone, in CPU-seconds (user and system) and wall seconds: the rows of
# docs/benchmarks/build-costs.md.
#
#   scripts/build_costs.sh [first] [library] [cuda] [tests] [ci]     (all but ci when none is named)
#
# first: README command 1. library, cuda: a new crate that depends on the library alone, or with its
# feature `cuda`, released and stripped. tests: README command 2. ci: .ci/run. Crates must be in cargo's
# cache (`cargo fetch` runs first). Nothing is taken from the target folder of this clone.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
[ "$#" -gt 0 ] || set -- first library cuda tests

git clone --quiet "$root" "$work/clone"
cd "$work/clone"
cargo fetch --quiet --locked
unset CARGO_TARGET_DIR

load="$(cut -d' ' -f1 /proc/loadavg)"
echo "commit $(git rev-parse --short HEAD), $(rustc --version | cut -d' ' -f1,2), $(nproc) cores of" \
    "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), load before $load"
echo
echo "| what | CPU-s | wall s | |"
echo "|---|--:|--:|---|"

# row NAME REMARK COMMAND...: a row of the table; what the command prints goes to the log.
row() {
    local name="$1" remark="$2" start end
    shift 2
    start="$(date +%s.%N)"
    read -r before < <(cpu)
    "$@" >>"$work/log" 2>&1 || { tail -40 "$work/log" >&2; exit 1; }
    read -r after < <(cpu)
    end="$(date +%s.%N)"
    [ "$remark" = - ] || remark="$($remark)"
    awk -v n="$name" -v c="$before $after" -v s="$start" -v e="$end" -v r="${remark#-}" \
        'BEGIN { split(c, t, " "); printf "| %s | %.0f | %.0f | %s |\n", n, t[2] - t[1], e - s, r }'
}

# CPU-seconds of this shell's ended children: fields 16 and 17 of its stat, in ticks.
cpu() {
    awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($14 + $15) / hz }' "/proc/$$/stat"
}

# new_crate FOLDER FEATURES: a program of ten lines with one dependency.
new_crate() {
    mkdir -p "$work/$1/src"
    cat >"$work/$1/Cargo.toml" <<TOML
[package]
name = "new"
version = "0.1.0"
edition = "2024"
[dependencies]
fouroversix = { path = "$work/clone/host", features = [$2] }
[workspace]
TOML
    cp Cargo.lock "$work/$1/"
    cat >"$work/$1/src/main.rs" <<'RUST'
use fouroversix::{Config, Rule, dequantize, quantize};

fn main() {
    let weights: Vec<f32> = (0..32 * 64).map(|i| (i as f32 * 0.37).sin()).collect();
    let tensor = quantize(&weights, [32, 64], &Config::rowwise(Rule::MSE)).unwrap();
    let restored: Vec<f32> = dequantize(&tensor).unwrap();
    println!("{restored:?}");
    #[cfg(feature = "cuda")]
    if let Ok(device) = fouroversix::cuda::Device::new(0) {
        let config = Config::rowwise(Rule::MSE);
        println!("{}", device.quantize(&weights, [32, 64], &config).unwrap() == tensor);
    }
}
RUST
    if [ -n "$2" ]; then
        printf '[features]\ndefault = ["cuda"]\ncuda = []\n' >>"$work/$1/Cargo.toml"
    fi
}

stripped() {
    strip -o "$work/stripped" "$folder/target/release/new"
    echo "stripped: $(stat -c %s "$work/stripped") bytes"
}

for what in "$@"; do
    case "$what" in
        first)
            row "README command 1" - cargo run --locked --release -- \
                quantize samples/minilm-layer0.safetensors target/quantized.safetensors --force
            ;;
        library | cuda)
            folder="$work/$what"
            [ "$what" = cuda ] && features='"cuda"' || features=
            new_crate "$what" "$features"
            row "a new crate: $what" stripped cargo build --release --manifest-path "$folder/Cargo.toml"
            ;;
        tests)
            rm -rf target
            row "README command 2, until the first test" - cargo test --locked --workspace --no-run
            row "README command 2, the tests" - cargo test --locked --workspace
            ;;
        ci)
            rm -rf target
            row ".ci/run" - .ci/run
            ;;
        *)
            echo "no such row: $what" >&2
            exit 2
            ;;
    esac
done
