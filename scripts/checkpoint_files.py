"""Tensors of checkpoint folders, compared bit for bit; the parts of the two NVFP4 formats; checks."""

import json
import subprocess

import torch
import tqdm
import transformers
from compressed_tensors.compressors.nvfp4 import NVFP4PackedCompressor
from safetensors import safe_open
from safetensors.torch import save_file

# What a code's low three bits stand for.
GRID = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])


# What `check` found wrong.
failures = []


def check(condition, text):
    """Prints whether what `text` says is so, and remembers it where it is not."""
    print(("ok    " if condition else "FAIL  ") + text, flush=True)
    if not condition:
        failures.append(text)


def quiet():
    """No progress bars, also where a package insists on them."""
    transformers.utils.logging.disable_progress_bar()
    begin = tqdm.tqdm.__init__

    def silent(bar, *values, **settings):
        begin(bar, *values, **(settings | {"disable": True}))

    tqdm.tqdm.__init__ = silent


def run(program, *arguments):
    """Runs the program; an error of its own is raised."""
    subprocess.run([program, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def tensors_of(folder):
    """All tensors of a folder's safetensors files by name."""
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as handle:
            for name in handle.keys():
                found[name] = handle.get_tensor(name)
    return found


def same_bits(a, b):
    """Whether type, shape and every bit agree."""
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))
    )


def section_of(folder):
    """`quantization_config` of the folder's config.json."""
    return json.loads((folder / "config.json").read_text())["quantization_config"]


def packed_weights(tensors):
    """Names of the weights that a compressed-tensors file holds as codes."""
    return {name.removesuffix("_packed") for name in tensors if name.endswith("_packed")}


def decompressed(tensors, name, scheme, divide=True):
    """A weight as the compressed-tensors package decompresses it.

    `divide=False` leaves out the global scale, as transformers does to experts.
    """
    module = {"weight_packed": tensors[f"{name}_packed"], "weight_scale": tensors[f"{name}_scale"]}
    if divide:
        module["weight_global_scale"] = tensors[f"{name}_global_scale"]
    return NVFP4PackedCompressor.decompress(module, scheme)["weight"]


def multiplied(tensors, name):
    """A modelopt weight from its codes, scales and multiplier, in bfloat16."""
    codes = tensors[name]
    nibbles = torch.stack((codes & 15, codes >> 4), dim=-1).flatten(1).long()
    values = GRID[nibbles & 7] * torch.where(nibbles & 8 > 0, -1.0, 1.0)
    scales = tensors[f"{name}_scale"].float() * tensors[f"{name}_scale_2"]
    return (values * scales.repeat_interleave(16, dim=1)).bfloat16()


def save_folder(folder, tensors, config):
    """Makes a folder of one file and a config.json."""
    folder.mkdir(parents=True)
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    return folder
