"""The directory in the format of compressed-tensors, held against that package and transformers."""

from compressed_tensors.quantization import QuantizationConfig

from checkpoint_files import decompressed, packed_weights, same_bits, section_of
from family import consumers, stacks, upstream
from family.verdict import none, said


def write(check):
    """Quantizes; the package has to understand the configuration."""
    folder, check.files, check.back, check.dense = check.quantize("compressed-tensors")
    check.section = section_of(folder)
    check.scheme = QuantizationConfig.model_validate(check.section).config_groups["group_0"]
    check.stored = packed_weights(check.files)
    check.row.quantized = f"{len(check.stored)} of {len(check.given)}"


def bits_in_files(check):
    """Decompressed from the file by the package, every weight is dequantize's."""
    wrong = {
        name
        for name in check.stored
        if not same_bits(decompressed(check.files, name, check.scheme), check.dense[name])
    }
    none(wrong, "decompressed from the file they differ from dequantize's")
    check.compare_files("compressed-tensors", check.files, check.dense)


def fused(check):
    """Parts that vLLM loads as one matrix have one global scale, or none has codes."""
    wrong = set()
    for parts in consumers.fused_parts(check.given):
        scales = {
            check.files[f"{name}_global_scale"].item() if name in check.stored else None
            for name in parts
        }
        if len(scales) > 1:
            wrong.add(f"{parts[0]} and {len(parts) - 1} more: {sorted(map(str, scales))}")
    none(wrong, "fused parts of different global scales")


def ignored(check):
    """`ignore` by vLLM's rule, which knows experts as modules of their own."""
    ignore = check.section["ignore"]
    wrong = {
        f"{name} is {said(has_codes, 'quantized')}"
        for name, has_codes, experts in check.modules()
        if has_codes == consumers.vllm_ignores(name, ignore, experts)
    }
    none(wrong, "`ignore` by vLLM's rule is wrong")


def load(check):
    """The model as a user loads it: without a type."""
    loaded = upstream.load_quantized(check, check.work / "compressed-tensors")
    now = loaded.state_dict()
    check.now = now
    # Wrong or missing experts have no logits to compare.
    if not check.experts:
        check.loaded = loaded


def bits_in_model(check):
    """Each parameter and buffer is dequantize's, and so the original's where it has no codes."""
    ours, missing = check.taken_back.state_dict(), upstream.missing_stacks(check)
    one_by_one = f"{next(iter(sorted(check.experts)), '')}".rpartition(".")[0] + ".0.gate_proj.weight"
    if one_by_one in check.now:
        ours = stacks.cut(check.family, ours)
    wrong = {
        name
        for name, value in ours.items()
        if name not in missing
        and (name not in check.now or not upstream.agrees(check.now[name], value))
    }
    experts = set() if missing or one_by_one in check.now else check.experts
    none(wrong - experts, "in the loaded model, not as dequantize has them")
    if experts:
        upstream.undivided(check)
