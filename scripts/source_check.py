#!/usr/bin/env python3
"""Holds what the program reads of FP8 and MXFP4 against the packages that read them on a CPU.

usage: source_check.py PROGRAM WORK_FOLDER

- MXFP4: `dequantize` of a gpt-oss layer gives what transformers' `convert_moe_packed_tensors` gives,
  bit for bit; so does the way by NVFP4 (quantize, then dequantize), and each expert that the
  compressed-tensors package decompresses is its cut, because nothing is lost.
- MXFP4 matrices: both ways give what compressed-tensors' decompressor gives, and of DeepSeek-V4's pairs
  what transformers' `Fp8Dequantize` gives.
- FP8 with a scale for each block: `dequantize` gives what transformers' `Fp8Dequantize` gives; with a
  scale for each row or for the tensor, what compressed-tensors' decompressor gives.
- FP8 is quantized to the same parts as a file of the F32 products.

Any difference ends the script with status 1.
"""

import pathlib
import sys

import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationConfig, QuantizationScheme
from transformers.integrations.finegrained_fp8 import Fp8Dequantize
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from checkpoint_files import (
    check,
    decompressed,
    failures,
    packed_weights,
    quiet,
    run,
    same_bits,
    save_folder,
    section_of,
    tensors_of,
)
from family import stacks
from family.models import Family


def mxfp4(program, work):
    experts, hidden, inner = 4, 96, 64
    layer, tensors, expected = "model.layers.0.mlp.experts", {}, {}
    tensors["model.layers.0.self_attn.o_proj.weight"] = torch.randn(96, 96).bfloat16()
    for name, rows, cols in (("gate_up_proj", 2 * inner, hidden), ("down_proj", hidden, inner)):
        blocks = torch.randint(0, 256, (experts, rows, cols // 32, 16), dtype=torch.uint8)
        scales = torch.randint(110, 128, (experts, rows, cols // 32), dtype=torch.uint8)
        tensors[f"{layer}.{name}_blocks"], tensors[f"{layer}.{name}_scales"] = blocks, scales
        tensors[f"{layer}.{name}_bias"] = torch.randn(experts, rows).bfloat16()
        expected[f"{layer}.{name}"] = convert_moe_packed_tensors(blocks, scales).contiguous()
    config = {"model_type": "gpt_oss", "quantization_config": {"quant_method": "mxfp4"}}
    source = save_folder(work / "mxfp4", tensors, config)
    run(program, "dequantize", source, work / "floats", "-q")
    run(program, "quantize", source, work / "packed", "--device", "cpu", "-q")
    run(program, "dequantize", work / "packed", work / "again", "-q")
    for folder in ("floats", "again"):
        found = tensors_of(work / folder)
        right = all(same_bits(found[name], value) for name, value in expected.items())
        check(right, f"MXFP4, {folder}: stacks are convert_moe_packed_tensors'")
    family = Family("gpt-oss", "GptOssForCausalLM", {})
    matrices = stacks.cut(family, expected)
    files = tensors_of(work / "packed")
    scheme = QuantizationConfig.model_validate(section_of(work / "packed"))
    scheme = scheme.config_groups["group_0"]
    check(packed_weights(files) > matrices.keys(), f"MXFP4: {len(matrices)} matrices are packed")
    right = all(
        same_bits(decompressed(files, name, scheme), value) for name, value in matrices.items()
    )
    check(right, "MXFP4: decompressed by compressed-tensors, matrices are the stacks' cuts")


def mxfp4_matrices(program, work):
    """As compressed-tensors packs matrices, and as DeepSeek-V4 has its experts."""
    rows, cols, module = 96, 128, "model.layers.0.mlp.experts.0.down_proj"
    codes = torch.randint(0, 256, (rows, cols // 2), dtype=torch.uint8)
    exponents = torch.randint(110, 128, (rows, cols // 32), dtype=torch.uint8)
    weights = {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32}
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    compressor = BaseCompressor.get_value_from_registry("mxfp4-pack-quantized")
    packed = {"weight_packed": codes, "weight_scale": exponents}
    unpacked = compressor.decompress(dict(packed), scheme)["weight"].bfloat16()
    pairs, powers = codes.view(torch.int8), exponents.view(torch.float8_e8m0fnu)
    product = Fp8Dequantize(None)._dequantize_one(pairs, powers, output_dtype=torch.bfloat16)
    section = {
        "quant_method": "compressed-tensors",
        "format": "mxfp4-pack-quantized",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
    }
    v4 = {"quant_method": "fp8", "scale_fmt": "ue8m0", "weight_block_size": [128, 128]}
    for what, parts, section, expected in (
        ("compressed-tensors", packed, section, unpacked),
        ("DeepSeek-V4", {"weight": pairs, "scale": powers}, v4, product),
    ):
        folder = work / f"mxfp4-{what}"
        config = {"model_type": "llama", "quantization_config": section}
        tensors = {f"{module}.{part}": value for part, value in parts.items()}
        source = save_folder(folder / "source", tensors, config)
        run(program, "dequantize", source, folder / "floats", "-q")
        run(program, "quantize", source, folder / "packed", "--device", "cpu", "-q")
        run(program, "dequantize", folder / "packed", folder / "again", "-q")
        for made in ("floats", "again"):
            found = tensors_of(folder / made)[f"{module}.weight"]
            check(same_bits(found, expected), f"MXFP4 of {what}, {made}: weights are the package's")


def fp8_codes(*shape):
    return (torch.randn(*shape) * 100).clamp(-448, 448).to(torch.float8_e4m3fn)


def fp8(program, work):
    rows, cols, name = 256, 384, "model.layers.0.self_attn.o_proj.weight"
    method = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}
    ways = []
    codes = fp8_codes(rows, cols)
    for dtype in (torch.float32, torch.bfloat16):
        scales = (torch.rand(2, 3) * 1e-3 + 1e-5).to(dtype)
        product = Fp8Dequantize(None)._dequantize_one(codes, scales, output_dtype=torch.bfloat16)
        ways.append((f"blocks, {dtype}", f"{name}_scale_inv", scales, method, product))
    powers = torch.randint(110, 120, (2, 3), dtype=torch.uint8).view(torch.float8_e8m0fnu)
    product = Fp8Dequantize(None)._dequantize_one(codes, powers, output_dtype=torch.bfloat16)
    v4 = method | {"scale_fmt": "ue8m0"}
    ways.append(("DeepSeek-V4", name.replace(".weight", ".scale"), powers, v4, product))
    for strategy, shape in (("channel", (rows, 1)), ("tensor", (1,))):
        weights = {"num_bits": 8, "type": "float", "strategy": strategy, "symmetric": True}
        section = {
            "quant_method": "compressed-tensors",
            "format": "float-quantized",
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        }
        scheme = QuantizationScheme(targets=["Linear"], weights=weights)
        compressor = BaseCompressor.get_value_from_registry("float-quantized")
        scales = (torch.rand(shape) * 1e-3 + 1e-5).bfloat16()
        parts = {"weight": codes, "weight_scale": scales}
        product = compressor.decompress(parts, scheme)["weight"].bfloat16()
        ways.append((strategy, f"{name}_scale", scales, section, product))
    for number, (what, scale, scales, section, product) in enumerate(ways):
        folder = work / f"fp8-{number}"
        config = {"model_type": "llama", "quantization_config": section}
        source = save_folder(folder / "source", {name: codes, scale: scales}, config)
        run(program, "dequantize", source, folder / "floats", "-q")
        found = tensors_of(folder / "floats")
        check(same_bits(found[name], product), f"FP8, {what}: weights are the package's")
        run(program, "dequantize", source, folder / "wide", "--dtype", "f32", "-q")
        wide = (folder / "source", folder / "wide")
        parts = []
        for number, made in enumerate(wide):
            out = folder / f"packed-{number}"
            run(program, "quantize", made, out, "--device", "cpu", "-q")
            parts.append(tensors_of(out))
        same = parts[0].keys() == parts[1].keys() and all(
            same_bits(value, parts[1][key]) for key, value in parts[0].items()
        )
        check(same, f"FP8, {what}: quantized as its F32 products")


def main():
    program, work = sys.argv[1], pathlib.Path(sys.argv[2]) / "sources"
    quiet()
    torch.manual_seed(46)
    mxfp4(program, work)
    mxfp4_matrices(program, work)
    fp8(program, work)
    sys.exit(1 if failures else 0)


main()
