#!/usr/bin/env python3
"""Finds the largest input of each Linear module of a model over a text, for `quantize --activations`.

usage: collect_activations.py MODEL_DIR TEXT_FILE OUT.json [--tokens N] [--length N] [--device NAME]

Runs the model with transformers on the first N tokens (65536) of the text, in pieces of `length` (2048), and
writes {"module": amax}, modules by their names in MODEL_DIR's files. Experts are told apart, whether the
running model holds them as modules or as one tensor. A module that no token reaches is left out and told:
`quantize` wants one for each module that becomes NVFP4, so use more text, or --keep those modules.
"""

import argparse
import json
import pathlib
import sys

import torch
from safetensors import safe_open
from torch.overrides import TorchFunctionMode

# What multiplies inputs with weights.
PRODUCTS = {torch.nn.functional.linear, torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__}

# Parts of a running model's stack of experts, and the modules that files have in their place.
PARTS = {
    "gate_up_proj": (("gate_proj", "up_proj"), ("w1", "w3")),
    "gate_proj": (("gate_proj",), ("w1",)),
    "up_proj": (("up_proj",), ("w3",)),
    "down_proj": (("down_proj",), ("w2",)),
}

# What stands in files for what a running model says.
RENAMED = (
    ("model.language_model.", "language_model.model."),
    ("model.language_model.", "model."),
    (".mlp.experts", ".block_sparse_moe.experts"),
    (".mlp.experts", ".feed_forward.experts"),
    ("model.", ""),
)


class Watch(TorchFunctionMode):
    """The largest input that each weight of `model` is multiplied with."""

    def __init__(self, model):
        super().__init__()
        self.owners, self.found = {}, {}
        for name, value in model.named_parameters(remove_duplicate=False):
            if value.ndim in (2, 3):
                self.owners.setdefault(value.untyped_storage().data_ptr(), (name, value))

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in PRODUCTS and len(args) > 1:
            self.see(*args[:2])
        return function(*args, **(kwargs or {}))

    def see(self, values, weight):
        owner = self.owners.get(weight.untyped_storage().data_ptr())
        if owner is None or values.numel() == 0:
            return
        name, whole = owner
        number = weight.storage_offset() // whole.stride(0) if whole.ndim == 3 else None
        amax = values.detach().abs().max().float().item()
        self.found[name, number] = max(amax, self.found.get((name, number), 0.0))


def names_in_files(folder):
    """Names of all tensors of the folder's files."""
    names = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as handle:
            names |= set(handle.keys())
    return names


def spellings(name):
    """A running module's name, and others that files may have."""
    yield name
    for running, in_files in RENAMED:
        if running in name:
            yield name.replace(running, in_files, 1)


def modules_of(name, number, files):
    """The modules that files have for a running parameter, or for one expert of it."""
    if number is None:
        module = name.removesuffix(".weight")
        return next(([it] for it in spellings(module) if f"{it}.weight" in files), [])
    stack, _, part = name.rpartition(".")
    for stack in spellings(stack):
        if f"{stack}.{part}" in files:
            return [f"{stack}.{number}.{leaf}" for leaf in PARTS[part][0]]
        for leaves in PARTS[part]:
            modules = [f"{stack}.{number}.{leaf}" for leaf in leaves]
            if all(f"{module}.weight" in files for module in modules):
                return modules
    return []


def amaxes(model, folder, batches):
    """The largest input of each module, by its name in the folder's files, over batches of tokens."""
    files, found = names_in_files(folder), {}
    with torch.no_grad(), Watch(model) as watch:
        for batch in batches:
            model(input_ids=batch)
    for (name, number), amax in watch.found.items():
        for module in modules_of(name, number, files):
            found[module] = max(amax, found.get(module, 0.0))
    return {module: amax for module, amax in sorted(found.items()) if amax > 0}


def main():
    import transformers

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--tokens", type=int, default=65536)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.model)
    # Each expert has a product of its own.
    settings = {"dtype": "auto", "experts_implementation": "eager"}
    model = transformers.AutoModelForCausalLM.from_pretrained(options.model, **settings)
    model.to(options.device).eval()
    tokens = tokenizer(options.text.read_text(), return_tensors="pt").input_ids[0]
    tokens = tokens[: options.tokens].to(options.device)
    if len(tokens) == 0:
        sys.exit(f"{options.text} has no tokens: use a text in the model's language")
    batches = [piece[None] for piece in tokens.split(options.length)]
    found = amaxes(model, options.model, batches)
    options.out.write_text(json.dumps(found, indent=1))
    files = names_in_files(options.model)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            for missed in set(modules_of(f"{name}.weight", None, files)) - found.keys():
                print(f"no token reaches {missed}", file=sys.stderr)
    print(f"{len(found)} modules, {len(tokens)} tokens: {options.out}")


if __name__ == "__main__":
    main()
