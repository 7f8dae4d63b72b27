#!/usr/bin/env python3
"""Holds `--like modelopt-4o6` against Model-Optimizer itself, byte for byte, on the CPU.

usage: modelopt_check.py PROGRAM WORK_FOLDER [RECORD.md]

Needs nvidia-modelopt 0.47.0 and triton, and the packages of real_models.py. The package quantizes modules
with NVFP4_FOUR_OVER_SIX_CFG and packs them as its exporter does (modelopt_cpu.py). The program quantizes
the same tensors. Blocks that differ must be those whose two sums of squared errors are as good as equal:
the package adds in F32. Others end the script with status 1. RECORD gets the outcome as a page.
OMP_NUM_THREADS=1 is faster where other programs want the cores.
"""

import pathlib
import platform
import subprocess
import sys

import modelopt
import modelopt.torch.quantization as mtq
import torch
import triton
from safetensors.torch import load_file, save_file

import real_models
from modelopt_cpu import fake_quantize, on_cpu, quantized

# What sums of 16 squares in F32 may be off by, relative to the larger one.
NEAR = 16 * 2.0**-24


def as_good_as_equal(weight, blocks):
    """Whether the errors of both scales of these blocks, by the package, are within F32 sums."""
    values = weight.float().reshape(-1, 16)
    amax, largest = values.abs().amax(1), values.abs().max()
    sums = []
    for factor in (1.0, 1.5):
        near = fake_quantize(values, amax * factor, largest, True, 256.0, torch.float32)
        sums.append((values - near).square().double().sum(1)[blocks])
    return (sums[0] - sums[1]).abs() <= NEAR * torch.maximum(*sums)


def cases():
    """Tensors by what they are."""
    generator = torch.Generator().manual_seed(46)
    normal = lambda *shape: torch.randn(*shape, generator=generator)
    tails = normal(512, 512) * torch.exp(1.5 * normal(512, 512))
    sparse = normal(256, 512).bfloat16()
    sparse.view(-1, 16)[::3] = 0
    yield "normal numbers, BF16", [(0.05 * normal(512, 1024)).bfloat16()]
    yield "normal numbers, F32", [0.02 * normal(256, 1024)]
    yield "normal numbers, F16", [(0.02 * normal(256, 512)).half()]
    yield "long tails, BF16", [tails.bfloat16()]
    yield "a third of the blocks zeros, BF16", [sparse]
    yield "of 10^-6, F32", [1e-6 * normal(256, 512)]
    yield "of 10^-9, F32 (search scale 1)", [1e-9 * normal(256, 512)]
    yield "of 10^6, F32", [1e6 * normal(256, 512)]
    yield "few values, BF16", [torch.randint(-6, 7, (256, 512), generator=generator).bfloat16()]
    for name, tensors in real_models.models():
        yield f"{name}, F32", [it.float() for it in tensors]
        yield f"{name}, BF16", [it.bfloat16() for it in tensors]


def main():
    program, work = sys.argv[1], pathlib.Path(sys.argv[2])
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    on_cpu()
    rows, failed = [], 0
    for label, tensors in cases():
        # No names by which the package shares scales (w1 and w3).
        weights = {f"tensor{i}": it for i, it in enumerate(tensors)}
        source, output = work / "in.safetensors", work / "out.safetensors"
        save_file({f"{name}.weight": it.contiguous() for name, it in weights.items()}, source)
        command = [program, "quantize", source, output, "--like", "modelopt-4o6", "--force", "-q"]
        subprocess.run(list(map(str, command)), check=True)
        ours, theirs = load_file(output), quantized(weights, mtq.NVFP4_FOUR_OVER_SIX_CFG)
        blocks = ties = others = 0
        for name, weight in weights.items():
            codes, scales, scale = theirs[name]
            if not torch.equal(ours[f"{name}.weight_scale_2"].reshape(()), scale.reshape(())):
                print(f"{label}: another global scale")
                failed += 1
            different = (ours[f"{name}.weight"] != codes).view(-1, 8).any(1)
            mine = ours[f"{name}.weight_scale"].view(torch.uint8).flatten()
            different |= mine != scales.view(torch.uint8).flatten()
            equal = as_good_as_equal(weight, different)
            blocks += len(different)
            ties += int(equal.sum())
            others += int((~equal).sum())
        rows.append((label, len(tensors), blocks, ties, others))
        print(
            f"{label}: {len(tensors)} tensors, {blocks} blocks, {ties} ties, {others} others differ"
        )
        failed += others
    if len(sys.argv) > 3:
        pathlib.Path(sys.argv[3]).write_text(page(rows))
    sys.exit(1 if failed else 0)


def page(rows):
    commit = subprocess.run(["git", "describe", "--always"], capture_output=True, text=True).stdout
    versions = f"nvidia-modelopt {modelopt.__version__}, PyTorch {torch.__version__}, "
    versions += f"Triton {triton.__version__} in its interpreter, {platform.machine()}"
    lines = [
        "# Model-Optimizer's own 4/6, byte for byte",
        "",
        f"`scripts/modelopt_check.py`, commit {commit.strip()}: {versions}.",
        "",
        "Codes, block scales and global scales of `--like modelopt-4o6` against those that the package makes",
        "of the same tensors with `NVFP4_FOUR_OVER_SIX_CFG` and packs as its exporter does. *Ties* are blocks",
        "that differ because both sums of squared errors are as good as equal: their difference is within the",
        "rounding of 16 numbers added in F32, as the package does, in PyTorch's order.",
        "",
        "| tensors | number | blocks | ties | other differences |",
        "|---|--:|--:|--:|--:|",
        *(
            f"| {label} | {n} | {blocks} | {ties} | {others} |"
            for label, n, blocks, ties, others in rows
        ),
        "",
        "The package's fake quantization is a kernel for GPUs; here PyTorch does its arithmetic, compared first",
        "with the kernel in Triton's interpreter, whose division is exact. On a GPU Triton's `/` and the package's",
        "FP8 extension may round otherwise.",
    ]
    return "\n".join(lines) + "\n"


main()
