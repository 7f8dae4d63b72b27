#!/usr/bin/env python3
"""Times quantization by other packages and by this project on one GPU, in one run.

The same shape in bf16, rowwise NVFP4; the tensor's amax included unless a row says otherwise. Packages
that are not there are left out by name. PyPI's `fouroversix` needs only its Triton kernels: install it with
`SKIP_CUDA_BUILD=1 pip install --no-build-isolation --no-deps fouroversix`, or put its `src` on PYTHONPATH.

    cargo build --release -p fouroversix-lab
    python scripts/peers.py --lab target/release/fouroversix-lab

Inputs take turns so that the cache does not hold them. A peer's launches are timed by events around each call;
ours are the rows of `bench kernels`, timed the same way. Medians.
"""

import argparse
import importlib.metadata
import json
import statistics
import subprocess
from pathlib import Path

import torch

# Rows of `bench kernels`, and what the table calls them.
OURS = {"1d plain with amax pass": "plain", "1d mae fast with amax pass": "MAE", "1d mse strict with amax pass": "MSE"}


def microseconds(work, inputs: list[torch.Tensor], repeats: int) -> float:
    for x in inputs:
        work(x)
    times = []
    for turn in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        work(inputs[turn % len(inputs)])
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) * 1000)
    return statistics.median(times)


def version(package: str) -> str:
    """The package's own, or of one on PYTHONPATH a stand-in that its import needs."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        real = importlib.metadata.version
        importlib.metadata.version = lambda name: "source" if name == package else real(name)
        return "from its source"


def fouroversix(inputs, repeats):
    name = f"fouroversix {version('fouroversix')}, Triton"
    from fouroversix import QuantizationConfig, quantize_to_fp4

    for rule, label in (("static_6", "plain"), ("mae", "MAE"), ("mse", "MSE")):
        config = QuantizationConfig(backend="triton", scale_rule=rule)
        yield name, label, microseconds(lambda x: quantize_to_fp4(x, config), inputs, repeats)


def torchao(inputs, repeats):
    name = f"torchao {version('torchao')}, compiled"
    from torchao.prototype.mx_formats import nvfp4_tensor as nvfp4

    def with_amax(x):
        scale = nvfp4.per_tensor_amax_to_scale(x.abs().amax())
        return nvfp4.nvfp4_quantize(x, per_tensor_scale=scale)

    scale = nvfp4.per_tensor_amax_to_scale(inputs[0].abs().amax())
    given = torch.compile(lambda x: nvfp4.nvfp4_quantize(x, per_tensor_scale=scale))
    yield name, "plain", microseconds(torch.compile(with_amax), inputs, repeats)
    yield name, "plain, amax given", microseconds(given, inputs, repeats)


def ours(lab: Path, shape: list[int], repeats: int):
    command = [lab, "bench", "kernels", "--json", "--filter", "with amax pass", "--iterations", str(repeats)]
    command += ["--shape", *map(str, shape)]
    record = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    for row in record["rows"]:
        if row["group"] == "amax" and row["name"] in OURS:
            yield "this project", OURS[row["name"]], row["time"]["median"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lab", type=Path, required=True, help="the program fouroversix-lab")
    parser.add_argument("--shape", type=int, nargs=2, default=[16384, 6144])
    parser.add_argument("--repeats", type=int, default=300)
    args = parser.parse_args()
    inputs = [torch.randn(args.shape, dtype=torch.bfloat16, device="cuda") for _ in range(3)]
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, {tuple(args.shape)} bf16\n")
    print("| package | rule | µs |\n|---|---|--:|")
    for peer in (fouroversix, torchao):
        try:
            for name, rule, time in peer(inputs, args.repeats):
                print(f"| {name} | {rule} | {time:.1f} |", flush=True)
        except Exception as error:
            print(f"| {peer.__name__}: not run: {type(error).__name__}: {error} | | |", flush=True)
    for name, rule, time in ours(args.lab.resolve(), args.shape, args.repeats):
        print(f"| {name} | {rule} | {time:.1f} |")


if __name__ == "__main__":
    main()
