"""A family of models, and tiny random ones of it, made by transformers."""

import copy
import json
from dataclasses import dataclass, field

import torch
import transformers

# Bugs of transformers.
INIT = "weights of child modules are initialized by name"
STACKS = "experts are looked for in stacks"


@dataclass(frozen=True)
class Family:
    """One model: its class, its configuration, and how it lies on disk."""

    name: str
    model: str
    config: dict
    dtype: torch.dtype = torch.bfloat16
    # Whether config.json names the type of the weights; older directories don't.
    names_dtype: bool = True
    # Inputs beside token numbers.
    inputs: str = "text"
    # What the program's refusal has to say; None where the model is quantized.
    refused: str | None = None
    # A bug of transformers that prevents a plain load.
    upstream: str | None = None
    # What the logits' cosine with the original's has to reach.
    nearest: float = 0.9
    # Configurations of parts: text, vision, audio.
    parts: dict = field(default_factory=dict)


def make(family, folder, seed):
    """Saves the family's model with weights from `seed`."""
    kind = getattr(transformers, family.model)
    config = kind.config_class(**family.config, **copy.deepcopy(family.parts))
    torch.manual_seed(seed)
    model = kind(config)
    with torch.no_grad():
        for parameter in model.parameters():
            # Biases and norms at their constants would hide that they are lost.
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
            else:
                parameter.copy_(0.08 * torch.randn_like(parameter))
    model.tie_weights()
    model.to(family.dtype).eval().save_pretrained(folder, max_shard_size="100KB")
    if not family.names_dtype:
        settings = json.loads((folder / "config.json").read_text())
        del settings["dtype"]
        (folder / "config.json").write_text(json.dumps(settings, indent=2))
    return kind


def inputs_of(family, dtype):
    """The inputs whose logits are compared."""
    generator = torch.Generator().manual_seed(6)
    tokens = torch.randint(5, 140, (4, 16), generator=generator)
    if family.inputs == "text":
        return {"input_ids": tokens}
    if family.inputs == "pairs":
        return {"input_ids": tokens, "decoder_input_ids": tokens.flip(0)}
    audio = torch.randn(4, 16, 64, generator=generator).to(dtype)
    return {"input_features": audio, "decoder_input_ids": tokens}
