"""What the check does not accept, and how it says so."""

import torch


class Wrong(Exception):
    """Something that the check does not accept."""


def require(condition, text):
    if not condition:
        raise Wrong(text)


def none(names, text):
    """Requires that there are no such names."""
    names = sorted(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    require(not names, f"{text}: {', '.join(map(str, names[:3]))}{more}")


def said(yes, what):
    return what if yes else f"not {what}"


def compared(a, b):
    """Mean cosine of the logits of a position, and the mean square of the difference over a's."""
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=-1).mean().item()
    return cosine, ((a - b).pow(2).mean() / a.pow(2).mean()).item()
