"""Bugs of transformers that lie between a quantized directory and its model.

Each is shown to be what it is known as: when it is mended, or has another effect, the check fails
and says so.
"""

import json
import traceback

from transformers.utils.quantization_config import CompressedTensorsConfig

from checkpoint_files import decompressed, same_bits, save_folder
from family.models import INIT, STACKS
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
    loaded = load_but_for_stacks(check, folder) if bug == STACKS else check.load(folder)
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


def missing_stacks(check):
    """Names in the running model of the stacks that transformers looks for in vain."""
    if check.family.upstream != STACKS:
        return set()
    state = check.original.state_dict()
    return {name for name in state if ".experts." in name and state[name].ndim > 1}


def load_but_for_stacks(check, folder):
    """transformers looks for stacks of experts, in whatever form, and leaves out matrices."""
    loaded, info = check.kind.from_pretrained(folder, output_loading_info=True)
    parts = {"_packed", "_scale", "_global_scale"}
    matrices = {name for name in check.given if ".experts." in name and name in check.stored}
    wanted = {name + part for name in matrices for part in parts}
    wanted |= {name for name in check.given if ".experts." in name and name.endswith(".bias")}
    gone = missing_stacks(check)
    require(gone, "no stack of experts is in the model: ask for equality here")
    none(set(info.pop("unexpected_keys")) ^ wanted, "unexpected are not just the experts")
    none(set(info.pop("missing_keys")) ^ gone, "missing are not just the experts")
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
