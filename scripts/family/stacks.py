"""Experts in stacks as files of some families hold them, cut into matrices with torch.

The program writes a matrix for each expert; what it made is held against these cuts.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Stacks:
    """Names of the tensors of a layer, and how gate and up lie."""

    gate_up: str
    down: str
    experts: str
    turned: bool
    interleaved: bool = False


USUAL = ("mlp.experts.gate_up_proj", "mlp.experts.down_proj", "mlp.experts")
GRANITE = Stacks(
    "block_sparse_moe.input_linear.weight",
    "block_sparse_moe.output_linear.weight",
    "block_sparse_moe.experts",
    False,
)
STACKS = {
    "GptOssForCausalLM": Stacks(*USUAL, True, True),
    "Llama4ForConditionalGeneration": Stacks(
        "feed_forward.experts.gate_up_proj",
        "feed_forward.experts.down_proj",
        "feed_forward.experts",
        True,
    ),
    "Qwen3VLMoeForConditionalGeneration": Stacks(*USUAL, True),
    "GraniteMoeForCausalLM": GRANITE,
    "GraniteMoeHybridForCausalLM": GRANITE,
}


def halves(stacks, lines):
    """Gate and up of what lies along the first dimension."""
    return (lines[0::2], lines[1::2]) if stacks.interleaved else torch.chunk(lines, 2)


def cut(family, tensors):
    """The tensors with each stack of experts, and their biases, cut into what is one expert's."""
    stacks, found = STACKS.get(family.model), {}
    for name, tensor in tensors.items():
        before = stacks and next(
            (
                name.removesuffix(end)
                for end in (stacks.gate_up, stacks.down)
                for end in (end, f"{end}_bias")
                if name.endswith(end)
            ),
            None,
        )
        if before is None or tensor.ndim not in (2, 3):
            found[name] = tensor
            continue
        bias = name.endswith("_bias")
        end = "bias" if bias else "weight"
        for number, expert in enumerate(tensor):
            lines = expert if bias or not stacks.turned else expert.T
            base = f"{before}{stacks.experts}.{number}"
            if stacks.gate_up in name:
                gate, up = halves(stacks, lines)
                found[f"{base}.gate_proj.{end}"] = gate.contiguous()
                found[f"{base}.up_proj.{end}"] = up.contiguous()
            else:
                found[f"{base}.down_proj.{end}"] = lines.contiguous()
    return found
