#!/usr/bin/env bash
# Counts the instructions that the kernels execute on this machine's GPU, with Nsight Compute.
# Writes certain.csv and random.csv to a folder, and prints the counts for a block of 16. Then
# `cargo xtask sass --arch sm_90 --ncu OUT/certain.csv --ncu OUT/random.csv` compares them with what
# the walker counts: the certain ones must agree. The driver assembles as its own CUDA release does;
# --tools names a folder with that release's ptxas. Needs ncu, python3 with NumPy, this file,
# ncu_launch.py and the PTX: nothing else of the repository.
#   scripts/ncu_instructions.sh OUT_FOLDER [PTX_FOLDER [KERNEL...]]
set -euo pipefail
out="$1"
ptx="${2:-$(dirname "$0")/../kernels-gpu/ptx/sm_89}"
mkdir -p "$out"
for data in certain random; do
    ncu --metrics smsp__inst_executed.sum --clock-control none --cache-control none \
        --print-units base --csv --log-file "$out/$data.csv" \
        python3 "$(dirname "$0")/ncu_launch.py" "$ptx" "$data" "${@:3}"
done
python3 - "$out" <<'EOF'
import csv, pathlib, sys
for data in ("certain", "random"):
    lines = (pathlib.Path(sys.argv[1]) / f"{data}.csv").read_text().splitlines()
    table = csv.DictReader(line for line in lines if line.startswith('"'))
    for row in table:
        if row["Metric Name"] == "smsp__inst_executed.sum":
            count = float(row["Metric Value"].replace(",", ""))
            print(f'{data} {row["Kernel Name"]}: {count / (16384 * 6144 / 16 / 32):.2f} a block')
EOF
