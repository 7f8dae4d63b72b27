#!/usr/bin/env python3
"""Loads what `--fp8` and `--activations` write with the packages that serve it.

usage: outputs_check.py PROGRAM WORK_FOLDER

For tiny random models, in compressed-tensors:
- transformers loads the directory; no key is missing, unexpected or of another shape;
- FP8 weights: codes are those that compressed-tensors makes of the same scales, scales are amax/448;
  loaded in float32 they are code times scale, bit for bit, and in bfloat16 as documented;
- NVFP4 weights are those of the package's own decompression;
- scales of inputs are 2688 over the largest input among fused parts, as collect_activations.py finds it;
- the logits are finite and near the original's;
- vLLM's rule (`find_matched_target`, written again) gives each module the kind it has in the file.
In modelopt: the same codes and scales; `quantized_layers` by vLLM's rule; multipliers for inputs.
In both, `fouroversix dequantize` gives FP8 weights as code times scale in bfloat16.
Any difference ends the script with status 1.
"""

import json
import os
import pathlib
import re
import shutil
import sys

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}

import torch
from compressed_tensors.quantization import QuantizationConfig
from compressed_tensors.quantization.lifecycle.forward import quantize

from checkpoint_files import (
    decompressed,
    packed_weights,
    quiet,
    run,
    same_bits,
    section_of,
    tensors_of,
)
from collect_activations import amaxes
from family import consumers
from family.decoders import DECODERS
from family.models import inputs_of, make
from family.verdict import compared, none, require

ATTENTION = ("--fp8", "*self_attn*")
FUSED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}

# Model, options, whether inputs have scales, how near the logits have to be (None: files alone).
CASES = [
    ("Llama", ATTENTION, False, 0.95),
    ("Llama, tied, F32", ATTENTION, False, 0.95),
    ("Llama", ("--fp8", "*"), False, 0.99),
    ("Qwen3", (), True, 0.85),
    ("Qwen2", ATTENTION, True, 0.85),
    ("Qwen3-MoE", ATTENTION, True, None),
]


def fp8_weights(tensors):
    return {
        name
        for name, it in tensors.items()
        if it.dtype == torch.float8_e4m3fn and name.endswith(".weight")
    }


def target_of(module, groups):
    """The group whose targets match a module's name, by vLLM's order: names, fused parts, class."""

    def named(name):
        for group in groups.values():
            for target in group["targets"]:
                if re.match(target[3:], name) if target.startswith("re:") else target == name:
                    return group
        return None

    found = named(module)
    parent, _, leaf = module.rpartition(".")
    if found is None and leaf in FUSED:
        parts = [named(f"{parent}.{part}") for part in FUSED[leaf]]
        require(all(part is parts[0] for part in parts), f"{module}: parts of two groups")
        found = parts[0]
    if found is None:
        found = next((it for it in groups.values() if "Linear" in it["targets"]), None)
    return found


def largest_of_fused(found, names):
    """The amax of each module: of those that are loaded as one the largest."""
    shared = dict(found)
    for parts in consumers.fused_parts(names):
        modules = [name.removesuffix(".weight") for name in parts]
        for module in modules:
            shared[module] = max(found[it] for it in modules)
    return shared


def check_compressed(folder, source, kind, original, inputs, nearest, given):
    tensors, section = tensors_of(folder), section_of(folder)
    config = QuantizationConfig.model_validate(section)
    fp8, nvfp4 = fp8_weights(tensors), packed_weights(tensors)
    schemes = {scheme.format: scheme for scheme in config.config_groups.values()}
    formats = [
        name for name, it in (("nvfp4-pack-quantized", nvfp4), ("float-quantized", fp8)) if it
    ]
    require(section["format"] == (formats[0] if len(formats) == 1 else "mixed-precision"), "format")
    for name in fp8:
        scale = tensors[f"{name}_scale"]
        weight = source[name].float()
        require(torch.equal(scale, weight.abs().amax(1, keepdim=True) / 448), f"{name}: its scales")
        codes = quantize(
            weight, scale, None, schemes["float-quantized"].weights, dtype=torch.float8_e4m3fn
        )
        require(same_bits(codes, tensors[name]), f"{name}: codes are not compressed-tensors'")
    for name in fp8 | nvfp4:
        module = name.removesuffix(".weight")
        wanted = "float-quantized" if name in fp8 else "nvfp4-pack-quantized"
        parent, _, leaf = module.rpartition(".")
        fused = next((f"{parent}.{it}" for it, parts in FUSED.items() if leaf in parts), module)
        for asked in (module, fused, f"language_model.{module}"):
            if ".experts." in asked and asked is fused:
                continue
            group = target_of(asked, section["config_groups"])
            require(
                group is not None and group["format"] == wanted,
                f"{asked} is in no group of {wanted}",
            )
    scales = {name for name in tensors if name.endswith(".input_global_scale")}
    require(len(scales) == (len(nvfp4) if given else 0), "not one scale for each module's input")
    for name in scales:
        amax = torch.tensor([given[name.removesuffix(".input_global_scale")]])
        # A number over a tensor is its reciprocal times the number in PyTorch, rounded twice.
        scale = torch.tensor([2688.0]) / amax
        require(same_bits(tensors[name], scale), f"{name} is not {scale}")
    # transformers has no modules for experts, and so no place for the scales of their inputs.
    for dtype in (torch.bfloat16, torch.float32) if nearest is not None else ():
        model, info = kind.from_pretrained(folder, dtype=dtype, output_loading_info=True)
        for what, keys in info.items():
            none(map(str, keys), f"{folder.name}: {what}")
        loaded = model.state_dict()
        for name in scales & loaded.keys():
            require(same_bits(loaded[name], tensors[name]), f"{name}: not as it is in the file")
        model.hf_quantizer.compressor.decompress_model(model)
        now = model.state_dict()
        for name in fp8 & now.keys():
            code, scale = tensors[name], tensors[f"{name}_scale"]
            value = code.to(dtype) * scale.to(dtype)
            require(same_bits(now[name], value), f"{name}: loaded in {dtype} it is another")
        for name in nvfp4 & now.keys():
            value = decompressed(tensors, name, schemes["nvfp4-pack-quantized"])
            require(same_bits(now[name], value), f"{name}: loaded in {dtype} it is another")
        if dtype == torch.bfloat16:
            with torch.no_grad():
                logits = model.eval()(**inputs).logits.float()
            require(bool(torch.isfinite(logits).all()), "logits are not finite")
            cosine = compared(original, logits)[0]
            require(cosine >= nearest, f"logits are far from the original's: cosine {cosine:.3f}")
    return f"{len(nvfp4)} NVFP4, {len(fp8)} FP8, {len(scales)} inputs"


def check_back(tensors, floats):
    """`fouroversix dequantize` gives FP8 weights as code times scale, and loses the scales."""
    for name in fp8_weights(tensors):
        scale = tensors[f"{name}_scale"].reshape(-1, 1)
        value = (tensors[name].float() * scale).bfloat16()
        require(same_bits(floats[name], value), f"{name}: dequantize makes another")
        require(f"{name}_scale" not in floats, f"{name}: its scale is left")


def check_modelopt(folder, compressed, given):
    tensors, other = tensors_of(folder), tensors_of(compressed)
    fp8, nvfp4 = fp8_weights(tensors), packed_weights(other)
    none(fp8 ^ fp8_weights(other), "FP8 in one format only")
    for name in fp8:
        require(
            same_bits(tensors[name], other[name]), f"{name}: other codes than in compressed-tensors"
        )
        scale = tensors[f"{name}_scale"]
        require(scale.shape == (len(tensors[name]),), f"{name}: shape of its scales")
        require(torch.equal(scale, other[f"{name}_scale"].flatten()), f"{name}: other scales")
    for name in nvfp4:
        require(same_bits(tensors[name], other[f"{name}_packed"]), f"{name}: other codes")
        module = name.removesuffix(".weight")
        if given:
            amax = torch.tensor(given[module])
            scale = tensors[f"{module}.input_scale"]
            require(scale.shape == () and torch.equal(scale, amax / 2688), f"{module}: input_scale")
    own = json.loads((folder / "hf_quant_config.json").read_text())["quantization"]
    mirrored = section_of(folder)
    usual = "NVFP4" if given else "W4A16_NVFP4"
    kinds = {True: "FP8_PER_CHANNEL_PER_TOKEN", False: usual}
    if fp8 and nvfp4:
        layers = own["quantized_layers"]
        require(layers == mirrored["quantized_layers"], "quantized_layers differ")
        for name in fp8 | nvfp4:
            module = name.removesuffix(".weight")
            require(layers[module]["quant_algo"] == kinds[name in fp8], f"{module}: its algorithm")
        require(len(layers) == len(fp8) + len(nvfp4), "quantized_layers names others")
        algorithm = "MIXED_PRECISION"
    else:
        algorithm = kinds[bool(fp8)]
    require(
        own["quant_algo"] == mirrored["quant_algo"] == algorithm, f"quant_algo is not {algorithm}"
    )


def main():
    program, work = sys.argv[1], pathlib.Path(sys.argv[2])
    quiet()
    torch.set_num_threads(1)
    families = {family.name: family for family in DECODERS}
    failed = 0
    for number, (name, options, with_inputs, nearest) in enumerate(CASES):
        family, folder = families[name], work / f"outputs-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        told = f"{name} {' '.join(options)} {'--activations' if with_inputs else ''}".strip()
        try:
            kind = make(family, folder / "source", seed=18)
            source = tensors_of(folder / "source")
            settings = {"experts_implementation": "eager"} if "MoE" in name else {}
            model = kind.from_pretrained(folder / "source", **settings).eval()
            inputs = inputs_of(family, model.dtype)
            given, more = None, ()
            if with_inputs:
                found = amaxes(model, folder / "source", [inputs["input_ids"]])
                (folder / "amax.json").write_text(json.dumps(found))
                given, more = (
                    largest_of_fused(found, source),
                    ("--activations", folder / "amax.json"),
                )
            with torch.no_grad():
                original = model.bfloat16()(**inputs).logits.float()
            outs = [folder / format for format in ("compressed-tensors", "modelopt")]
            for out in outs:
                command = (folder / "source", out, "--format", out.name, "--device", "cpu")
                run(program, "quantize", *command, *options, *more)
            for out in outs:
                run(program, "dequantize", out, folder / f"{out.name}-back")
                check_back(tensors_of(out), tensors_of(folder / f"{out.name}-back"))
            words = check_compressed(outs[0], source, kind, original, inputs, nearest, given)
            check_modelopt(outs[1], outs[0], given)
            print(f"{told}: {words}: equal")
        except Exception as error:
            failed += 1
            print(f"{told}: {type(error).__name__}: {str(error)[:500]}")
        shutil.rmtree(folder)
    print(f"outputs check: {len(CASES)} outputs in both formats, {failed} failed")
    sys.exit(1 if failed else 0)


main()
