#!/usr/bin/env python3
"""Times the PyPI package fouroversix (PyTorch back end) and this project on one CPU.

The same bf16 tensor and modes, the tensor maximum included in both. Needs a Python with `torch`
and `fouroversix`, whose setup wants torch installed first, and the program:

    pip install torch transformers setuptools wheel
    pip install --no-build-isolation --no-deps fouroversix
    cargo build --release
    python scripts/side_by_side.py --program target/release/fouroversix

Last lines: a table with both rates in 10^9 bytes of input a second, and their ratio.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from fouroversix import QuantizationConfig, quantize_to_fp4

# The package's rule, and the rows of `bench cpu` in the same mode.
MODES = {
    "static_6": ["plain"],
    "mae": ["MAE strict", "MAE fast"],
    "mse": ["MSE strict", "MSE fast"],
}


def seconds(tensor: torch.Tensor, rule: str, repeats: int) -> float:
    config = QuantizationConfig(backend="pytorch", scale_rule=rule)
    quantize_to_fp4(tensor[:128], config)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        quantize_to_fp4(tensor, config)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def ours(program: Path, tensor: torch.Tensor, repeats: int) -> dict[str, dict]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tensor.bf16"
        path.write_bytes(tensor.view(torch.int16).numpy().tobytes())
        shape = [str(n) for n in tensor.shape]
        command = [program, "bench", "cpu", "--shape", *shape, "--input", path, "--json"]
        command += ["--repeats", str(repeats)]
        record = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    threads = max(row["threads"] for row in record["rows"])
    best = record["rows"][2]["path"]
    rows = [r for r in record["rows"] if r["threads"] == threads and r["path"] in (best, "-")]
    return {row["work"]: row for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=Path, required=True, help="the fouroversix program")
    parser.add_argument("--shape", type=int, nargs=2, default=[8192, 4096])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()

    torch.manual_seed(0)
    tensor = torch.randn(*args.shape).to(torch.bfloat16)
    rows = ours(args.program, tensor, args.repeats)
    size = 2e-9 * tensor.numel()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {args.shape}")
    print("| mode | PyTorch back end, GB/s | this project, GB/s | ratio | mismatches |")
    print("|---|--:|--:|--:|--:|")
    for rule, works in MODES.items():
        theirs = size / seconds(tensor, rule, args.repeats)
        for work in works:
            row = rows[work]
            rate = row["gb_per_s"]
            ratio = rate / theirs
            print(f"| {work} | {theirs:.4f} | {rate:.2f} | {ratio:.0f} | {row['mismatches']} |")


if __name__ == "__main__":
    main()
