"""The directory in ModelOpt's format, held against the other one and vLLM's rules."""

import fnmatch
import json

import torch
from compressed_tensors.entrypoints.convert.converters import ModelOptNvfp4Converter

from checkpoint_files import multiplied, same_bits, save_folder, section_of
from family import consumers, upstream
from family.verdict import none, require, said


def write(check):
    """Quantizes; what vLLM reads is there, in both places."""
    folder, check.tensors, _, check.multiplied = check.quantize("modelopt")
    separate = json.loads((folder / "hf_quant_config.json").read_text())["quantization"]
    mirrored = section_of(folder)
    require(separate["quant_algo"] == mirrored["quant_algo"] == "W4A16_NVFP4", "quant_algo")
    require(separate["group_size"] == mirrored["group_size"] == 16, "group_size")
    require(separate.get("kv_cache_quant_algo", 0) is None, "kv_cache_quant_algo")
    require(separate["exclude_modules"] == mirrored["ignore"], "exclude_modules is not ignore")
    check.exclude = separate["exclude_modules"]
    stored = {name for name in check.given if f"{name}_scale_2" in check.tensors}
    none(stored ^ check.stored, "quantized in one format only")


def bits_in_files(check):
    """Computed from codes, scales and multiplier, every weight is dequantize's."""
    check.compare_files("modelopt", check.tensors, check.multiplied)
    wrong = {
        name
        for name in check.stored
        if not same_bits(multiplied(check.tensors, name), check.multiplied[name])
    }
    none(wrong, "computed from their parts they differ from dequantize's")


def excluded(check):
    """`exclude_modules` by vLLM's rule: what is kept is named, and nothing else is caught."""
    wrong = {
        f"{name} is {said(has_codes, 'quantized')}"
        for name, has_codes, experts in check.modules()
        if (
            consumers.vllm_excludes(name, check.exclude)
            if has_codes
            else not consumers.named(name, check.exclude)
        )
    }
    none(wrong, "`exclude_modules` by vLLM's rule is wrong")


def converted(check):
    """Made a compressed-tensors directory by that package's converter, it loads as well."""
    out = ModelOptNvfp4Converter(targets=["re:.*"]).validate(dict(check.tensors))
    for name in check.stored:
        scale, divisor = out[f"{name}_global_scale"], check.files[f"{name}_global_scale"]
        require(
            same_bits(out[f"{name}_packed"], check.files[f"{name}_packed"])
            and same_bits(out[f"{name}_scale"], check.files[f"{name}_scale"])
            and check.tensors[f"{name}_scale_2"].shape == torch.Size([])
            and scale.dtype == torch.float32
            and abs(scale.item() / divisor.item() - 1) <= 2**-22,
            f"{name}: converted, its parts are not those of compressed-tensors",
        )
        # The converter leaves a scalar; the package's modules have one element.
        out[f"{name}_global_scale"] = scale.reshape(1)
    config = json.loads((check.work / "modelopt/config.json").read_text())
    ignore = ["re:" + fnmatch.translate(entry) for entry in check.exclude]
    config["quantization_config"] = check.section | {"ignore": ignore}
    save_folder(check.work / "converted", out, config)
    upstream.load_quantized(check, check.work / "converted")
