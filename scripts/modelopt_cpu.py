"""Model-Optimizer's NVFP4 on weights, without a GPU.

Its fake quantization is a Triton kernel. Triton's interpreter runs it a block at a time; here PyTorch does
the same arithmetic on all blocks at once, after both were compared on some.
"""

import contextlib
import os
import sys
import types

os.environ["TRITON_INTERPRET"] = "1"

import modelopt.torch.quantization as mtq
import modelopt.torch.quantization.tensor_quant as tensor_quant
import torch
from modelopt.torch.kernels.quantization.common import nvfp4_quant
from modelopt.torch.kernels.quantization.gemm import fp4_kernel
from modelopt.torch.quantization.qtensor import NVFP4QTensor

# Middles of neighbouring E2M1 numbers, and the numbers.
MIDDLES = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0])
NUMBERS = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])


def fake_quantize(x, amax, global_amax, quantize_scales, bound, dtype):
    """The package's `static_blockwise_fp4_fake_quant`."""
    scales = fp4_kernel.compute_fp4_scales(
        amax, global_amax, quantize_scales, fp8_max_for_normalization=bound
    ).reshape(-1, 1)
    values = x.float().reshape(len(scales), -1)
    usable = torch.where((scales == 0) | ~scales.isfinite(), 1.0, scales)
    magnitudes = values.abs() / usable
    index = torch.bucketize(magnitudes, MIDDLES)
    # Of two as near the one with the even index.
    index += (index % 2 == 1) & (magnitudes == MIDDLES[index.clamp(max=6)])
    near = NUMBERS[index] * usable
    near = torch.where(values >= 0, near, -near)
    near = torch.where(scales == 0, 0.0, near)
    return near.reshape(x.shape).to(dtype or x.dtype)


def on_cpu():
    """Lets the package's kernels run without a GPU, and checks `fake_quantize` against one."""
    # Triton's interpreter has no device library.
    nvfp4_quant.libdevice = types.SimpleNamespace(isnan=lambda x: x != x)
    torch.cuda.device = lambda device: contextlib.nullcontext()
    x = torch.randn(64, 16, generator=torch.Generator().manual_seed(1))
    x[3] = 0
    # Every middle, and its neighbours: a block of amax 6 in a tensor of amax 6 has scale 1.
    x[4, 0], x[4, 1:8], x[4, 8:15] = 6, MIDDLES, -MIDDLES
    x[5, 0], x[5, 1:8], x[5, 8:15] = 6, MIDDLES * (1 + 2**-20), MIDDLES * (1 - 2**-20)
    x[6:] *= torch.exp(3 * torch.randn(58, 1, generator=torch.Generator().manual_seed(2)))
    x[6:].clamp_(-6, 6)
    amax = x.abs().amax(1)
    for bound in (256.0, 448.0):
        arguments = (x, amax, amax.max(), True, bound, torch.float32)
        theirs = fp4_kernel.static_blockwise_fp4_fake_quant(*arguments)
        if not torch.equal(theirs, fake_quantize(*arguments)):
            sys.exit("the arithmetic here is not the package's kernel's")
    tensor_quant.triton_kernel.IS_AVAILABLE = True
    tensor_quant.triton_kernel.static_blockwise_fp4_fake_quant = fake_quantize


def quantized(weights, config):
    """Codes, block scales and global scale of each weight by its name, as the package exports them."""
    model = torch.nn.Module()
    for name, weight in weights.items():
        linear = torch.nn.Linear(*reversed(weight.shape), bias=False, dtype=weight.dtype)
        linear.weight.data = weight.clone()
        model.add_module(name, linear)
    model.forward = lambda x: x
    with contextlib.redirect_stderr(open(os.devnull, "w")), contextlib.redirect_stdout(sys.stderr):
        mtq.quantize(model, config)
    out = {}
    for name in weights:
        linear = getattr(model, name)
        scales, scale = NVFP4QTensor.get_weights_scaling_factor_from_quantizer(
            linear.weight_quantizer, linear.weight
        )
        codes = NVFP4QTensor.quantize(linear.weight.data, 16, scales, scale)[0]._quantized_data
        out[name] = codes, scales, scale
    return out
