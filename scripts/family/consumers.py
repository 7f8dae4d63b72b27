"""What vLLM makes of the lists in a directory, and which parts it loads as one matrix.

vLLM can't be installed for this check; its rules are written again from its source as of
September 2026: `should_ignore_layer` and `get_moe_method` (compressed-tensors), `is_layer_excluded`
(modelopt.py), `packed_modules_mapping` of its models.
"""

import re
from fnmatch import fnmatch

EXPERT_PARTS = (".0.gate_proj", ".0.up_proj", ".0.down_proj")
FUSED = (
    ("q_proj", "k_proj", "v_proj"),
    ("query", "key", "value"),
    ("gate_proj", "up_proj"),
    ("w1", "w3"),
    ("c_fc_0", "c_fc_1"),
    ("q_a_proj", "kv_a_proj_with_mqa"),
    ("in_proj_qkv", "in_proj_z"),
    ("in_proj_b", "in_proj_a"),
)


def vllm_ignores(name, ignore, experts=False):
    """Whether vLLM builds the module without codes from a compressed-tensors directory."""

    def listed(layer):
        return any(
            bool(re.match(entry[3:], layer)) if entry.startswith("re:") else entry == layer
            for entry in ignore
        )

    if not experts:
        return listed(name)
    parts = {listed(name + part) for part in EXPERT_PARTS}
    if len(parts) > 1:
        raise ValueError(f"vLLM refuses {name}: some parts of expert 0 are ignored, others not")
    return parts.pop()


def named(name, exclude):
    """Whether `exclude_modules` names the module, as a whole or by a wildcard."""
    return any(fnmatch(name, entry) for entry in exclude)


def vllm_excludes(name, exclude):
    """Whether vLLM builds the module without codes from a modelopt directory.

    It also takes an entry that is only a part of the module's name.
    """
    if named(name, exclude) or any(entry in name for entry in exclude):
        return True
    return "experts" in name and any(name in entry for entry in exclude)


def fused_parts(names):
    """Lists of the weights that vLLM puts into one matrix."""
    groups = {}
    for name in sorted(names):
        parent, _, leaf = name.removesuffix(".weight").rpartition(".")
        for parts in FUSED:
            if leaf in parts and name.endswith(".weight"):
                groups.setdefault((parent, parts), []).append(name)
    return [group for group in groups.values() if len(group) > 1]
