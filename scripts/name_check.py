#!/usr/bin/env python3
"""Holds what is decided by names against every model type that transformers can build.

usage: name_check.py PROGRAM WORK_FOLDER [TYPE...]

A model of each type is built from its default configuration on the meta device, which takes no
memory. A checkpoint of the names that transformers saves it under is made, its tensors cut to at
most 16 x 16, and quantized in both formats. Then:
- what is quantized is the weight of an nn.Linear, and not the output head;
- every nn.Linear is quantized, or named in `ignore` and `exclude_modules` by its running name.
A refusal is an answer too. Types that can't be built without an image or another package are
counted. Any difference but those of KNOWN ends the script with status 1.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
from fnmatch import fnmatch

# Read by the packages when they are imported.
os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}

import torch
import transformers
from transformers.core_model_loading import revert_weight_conversion
from transformers.models.auto import configuration_auto, modeling_auto

from checkpoint_files import quiet, save_folder
from family.consumers import vllm_excludes, vllm_ignores

# Tasks whose models people quantize, those with an output head first.
TASKS = ("IMAGE_TEXT_TO_TEXT", "CAUSAL_LM", "SEQ_TO_SEQ_CAUSAL_LM", "SPEECH_SEQ_2_SEQ", "MASKED_LM")
SECONDS = 60
# Where a difference is known and why it stays.
KNOWN = {
    "nemo_speechlm": "its word timestamps run as a model of other names, layer by layer",
}


class Model:
    """Names of one model: where its Linears run, and what files call their weights."""

    def __init__(self, kind, name):
        config = configuration_auto.CONFIG_MAPPING[kind]()
        with torch.device("meta"):
            model = getattr(transformers, name)(config)
        self.config = json.loads(config.to_json_string(use_diff=False)) | {"model_type": kind}
        weights = {k: v for k, v in model.state_dict().items() if early(k)}
        for tied in getattr(model, "all_tied_weights_keys", None) or ():
            weights.pop(tied, None)
        self.files = revert_weight_conversion(model, dict(weights))
        modules = {name: module for name, module in model.named_modules() if early(name)}
        self.linears = {n for n, m in modules.items() if isinstance(m, torch.nn.Linear)}
        head = model.get_output_embeddings()
        self.heads = {n for n, m in modules.items() if m is head}
        self.modules = {n for n in modules if n + ".weight" in weights}
        self.names = {n: self.saved(model, n, weights) for n in self.linears}

    def saved(self, model, module, weights):
        """Modules by whose names files hold the weights of this one; none for a tied head."""
        key = module + ".weight"
        if key not in weights:
            return []
        if key in self.files:
            return [module]
        names = revert_weight_conversion(model, {key: weights[key]})
        return [name.removesuffix(".weight") for name in names]


def early(name):
    """Whether a name is of the first two layers, which the others are like."""
    return all(int(part) < 2 for part in name.split(".") if part.isdigit())


def cut(shape):
    """A small shape that is quantized where `shape` is."""
    if len(shape) != 2:
        return [min(length, 2) for length in shape]
    return [min(length, length % 16 or 16) for length in shape]


def write(model, folder):
    """Writes the checkpoint: every number is 1."""
    ones = {k: torch.ones(cut(v.shape), dtype=torch.bfloat16) for k, v in model.files.items()}
    model.config.pop("quantization_config", None)
    save_folder(folder, ones, model.config)


def quantize(program, folder, output, layout):
    """The modules that are quantized and what is left out, or nothing when it is refused."""
    command = [program, "quantize", folder, output, "--no-figures", "--quiet", "--device", "cpu"]
    done = subprocess.run([*command, "--format", layout], capture_output=True, text=True)
    if done.returncode == 2 and "holds no tensor to quantize" in done.stderr:
        return None
    if done.returncode:
        raise ValueError(done.stderr)
    summary = json.loads((output / "fouroversix.json").read_text())
    quantized = {tensor["name"].removesuffix(".weight") for tensor in summary["tensors"]}
    section = json.loads((output / "config.json").read_text())["quantization_config"]
    return quantized, section["ignore"]


def faults(model, quantized, left_out):
    """What consumers would get wrong, in words. `left_out` says so of a running name."""
    for name in sorted(quantized & model.modules - model.linears):
        yield f"{name} is quantized and no Linear"
    for name in sorted(model.linears):
        codes = any(saved in quantized for saved in model.names[name])
        if codes and name in model.heads:
            yield f"the head {name} is quantized"
        if not codes and not left_out(name):
            yield f"{name} is kept and not named"
        if codes and left_out(name):
            yield f"{name} is quantized and named among what is not"


def check(program, kind, name, folder):
    """Faults of a type in both formats; None when it can't be built."""
    try:
        signal.alarm(SECONDS)
        model = Model(kind, name)
    except Exception:  # noqa: BLE001, whatever a default configuration lacks
        return None
    finally:
        signal.alarm(0)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write(model, folder / "in")
    found = []
    for layout, rule in (("compressed-tensors", vllm_ignores), ("modelopt", vllm_excludes)):
        made = quantize(program, folder / "in", folder / layout, layout)
        if made is None:
            return []
        quantized, listed = made
        found += faults(model, quantized, lambda n: rule(n, listed))
    return sorted({re.sub(r"\.\d+", ".N", fault) for fault in found})


def main():
    program, work, only = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    quiet()
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError()))
    classes = {}
    for task in TASKS:
        for kind, name in getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES").items():
            classes.setdefault(kind, name if isinstance(name, str) else name[0])
    checked = unbuilt = failed = 0
    for kind, name in sorted(classes.items()):
        if only and kind not in only:
            continue
        found = check(program, kind, name, work / "names")
        checked, unbuilt = checked + (found is not None), unbuilt + (found is None)
        if found and kind in KNOWN:
            print(f"{kind}: {len(found)} differences are known: {KNOWN[kind]}")
            continue
        failed += bool(found)
        for fault in found or ():
            print(f"{kind}: {fault}")
    print(f"name check: {checked} model types, {failed} failed, {unbuilt} can't be built here")
    sys.exit(1 if failed or checked < min(150, len(only) or 150) else 0)


main()
