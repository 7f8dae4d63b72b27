#!/usr/bin/env python3
"""Holds `--like modelopt-4o6` against Model-Optimizer itself, byte for byte, on the CPU.

usage: modelopt_check.py PROGRAM WORK_FOLDER [RECORD.md]

Needs nvidia-modelopt 0.47.0 and triton. The package quantizes modules with NVFP4_FOUR_OVER_SIX_CFG and packs
them as its exporter does. Its fake quantization is a Triton kernel, which runs in Triton's interpreter here:
the kernel's own function on many blocks at once, first held against the kernel itself. The program
quantizes the same tensors. Blocks that differ must be those whose two sums of squared errors are as good as
equal: the package adds in F32. Others end the script with status 1. RECORD gets the outcome as a page.
"""

import contextlib
import os
import pathlib
import platform
import subprocess
import sys
import types

os.environ["TRITON_INTERPRET"] = "1"

import modelopt
import modelopt.torch.quantization as mtq
import modelopt.torch.quantization.tensor_quant as tensor_quant
import torch
import triton
import triton.language as tl
from modelopt.torch.kernels.quantization.common import nvfp4_quant
from modelopt.torch.kernels.quantization.gemm import fp4_kernel
from modelopt.torch.quantization.qtensor import NVFP4QTensor
from safetensors.torch import load_file, save_file

# Blocks that one program of the interpreter takes.
BLOCKS = 4096
# What sums of 16 squares in F32 may be off by, relative to the larger one.
NEAR = 16 * 2.0**-24


@triton.jit
def many_blocks(x, y, scales, BLOCKS: tl.constexpr):
    rows = tl.program_id(0) * BLOCKS + tl.arange(0, BLOCKS)
    places = rows[:, None] * 16 + tl.arange(0, 16)[None, :]
    scale = tl.load(scales + rows)[:, None]
    tl.store(y + places, nvfp4_quant.nvfp4_scalar_quant(tl.load(x + places), scale, 16))


def fake_quantize(x, amax, global_amax, quantize_scales, bound, dtype):
    """The package's `static_blockwise_fp4_fake_quant`, with many blocks at once."""
    scales = fp4_kernel.compute_fp4_scales(
        amax, global_amax, quantize_scales, fp8_max_for_normalization=bound
    ).flatten()
    padded = -(-len(scales) // BLOCKS) * BLOCKS
    values = torch.zeros(padded, 16)
    values[: len(scales)] = x.float().reshape(-1, 16)
    ones = torch.ones(padded)
    ones[: len(scales)] = scales
    out = torch.empty_like(values)
    many_blocks[(padded // BLOCKS,)](values, out, ones, BLOCKS=BLOCKS)
    return out[: len(scales)].reshape(x.shape).to(dtype or x.dtype)


def on_cpu():
    """Lets the package's kernels run without a GPU, and checks `fake_quantize` against its kernel."""
    # Triton's interpreter has no device library.
    nvfp4_quant.libdevice = types.SimpleNamespace(isnan=lambda x: x != x)
    torch.cuda.device = lambda device: contextlib.nullcontext()
    x = torch.randn(8, 16, generator=torch.Generator().manual_seed(1))
    x[3] = 0
    amax = x.abs().amax(1)
    arguments = (x, amax, amax.max(), True, 256.0, torch.float32)
    theirs = fp4_kernel.static_blockwise_fp4_fake_quant(*arguments)
    if not torch.equal(theirs, fake_quantize(*arguments)):
        sys.exit("many blocks at once differ from the package's kernel")
    tensor_quant.triton_kernel.IS_AVAILABLE = True
    tensor_quant.triton_kernel.static_blockwise_fp4_fake_quant = fake_quantize


def quantized(weights):
    """Codes, block scales and global scale of each weight, as the package exports them."""
    model = torch.nn.Module()
    for name, weight in weights.items():
        linear = torch.nn.Linear(*reversed(weight.shape), bias=False, dtype=weight.dtype)
        linear.weight.data = weight.clone()
        model.add_module(name, linear)
    model.forward = lambda x: x
    with contextlib.redirect_stderr(open(os.devnull, "w")):
        mtq.quantize(model, mtq.NVFP4_FOUR_OVER_SIX_CFG)
    out = {}
    for name in weights:
        linear = getattr(model, name)
        scales, scale = NVFP4QTensor.get_weights_scaling_factor_from_quantizer(
            linear.weight_quantizer, linear.weight
        )
        codes = NVFP4QTensor.quantize(linear.weight.data, 16, scales, scale)[0]._quantized_data
        out[name] = codes, scales, scale
    return out


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
    import real_models

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
        ours, theirs = load_file(output), quantized(weights)
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
        "The package's fake quantization wants a GPU; what runs here is the function of its kernel in",
        "Triton's interpreter, whose division is exact. On a GPU Triton's `/` and the package's FP8 extension may",
        "round otherwise.",
    ]
    return "\n".join(lines) + "\n"


main()
