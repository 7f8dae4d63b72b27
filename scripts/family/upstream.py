"""Bugs of transformers that lie between a quantized directory and its model.

Each is shown to be what it is known as: when it is mended, or has another effect, the check fails
and says so.
"""

import json
import traceback

from transformers.utils.quantization_config import CompressedTensorsConfig

from checkpoint_files import decompressed, same_bits, save_folder
from family.models import EXPERTS, INIT
from family.table import UNDIVIDED
from family.verdict import Wrong, none, require


def agrees(loaded, value):
    """Whether a loaded tensor has the value's bits, in the type that it was loaded in."""
    return same_bits(loaded, value.to(loaded.dtype))


def load_quantized(check, folder):
    """The decompressed model of a folder in the format of compressed-tensors."""
    bug = check.family.upstream
    if bug:
        check.row.upstream(bug)
    if bug == INIT:
        return load_around_init(check, folder)
    loaded = load_but_for_experts(check, folder) if bug == EXPERTS else check.load(folder)
    loaded.hf_quantizer.compressor.decompress_model(loaded)
    return loaded


def load_around_init(check, folder):
    """transformers initializes weights that are not missing, and crashes unless it dequantizes."""
    try:
        check.kind.from_pretrained(folder)
    except AttributeError as error:
        frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        require("_init_weights" in frames, f"crashes, but not in _init_weights: {error}")
    else:
        raise Wrong("loads without a setting: the bug is mended, ask for that here")
    return check.load(folder, quantization_config=CompressedTensorsConfig(dequantize=True))


def load_but_for_experts(check, folder):
    """transformers has Linear modules for Llama-4's experts as soon as a model is quantized."""
    loaded, info = check.kind.from_pretrained(folder, output_loading_info=True)
    stacks = {
        name for name, value in check.given.items() if value.ndim == 3 and ".experts." in name
    }
    require(stacks, "no stack of experts is in the file: ask for equality here")
    wanted = {
        f"{name.rpartition('.')[0]}.{number}.{part}.weight"
        for name in stacks
        for number in range(len(check.given[name]))
        for part in ("gate_proj", "up_proj", "down_proj")
    }
    none(set(info.pop("unexpected_keys")) ^ stacks, "unexpected are not just the experts")
    none(set(info.pop("missing_keys")) ^ wanted, "missing are not just the experts")
    for what, keys in info.items():
        none(map(str, keys), f"{folder.name}: {what}")
    return loaded.eval()


def undivided(check):
    """transformers leaves the experts' global scale out (issue 48371), and nothing else."""
    folder = check.work / "undivided"
    tensors = dict(check.dense)
    for name in check.stored:
        tensors[name] = decompressed(check.files, name, check.scheme, divide=False)
    save_folder(folder, tensors, json.loads((check.back / "config.json").read_text()))
    known, right = check.load(folder).state_dict(), check.taken_back.state_dict()
    none(
        {name for name in check.experts if agrees(check.now[name], right[name])},
        "experts are right in transformers: issue 48371 is mended, ask for equality here",
    )
    none(
        {name for name in check.experts if not agrees(check.now[name], known[name])},
        "experts are wrong in transformers otherwise than by issue 48371",
    )
    check.row.upstream(UNDIVIDED)
