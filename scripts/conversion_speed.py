#!/usr/bin/env python3
"""Times the conversion of a model on the CPU beside `cp -r` of it and beside llmcompressor's
`model_free_ptq` with its scheme NVFP4A16, in one run.

usage: conversion_speed.py PROGRAM WORK_FOLDER [--gigabytes 8] [--python PYTHON] [--device cpu]

Installs llmcompressor and PyTorch, pinned, from PyPI into a virtual environment in WORK_FOLDER, unless
PYTHON has both. The model is that of large_model.py. Everything is followed by a sync that counts
into its time; llmcompressor's includes the start of Python and its imports, and the line below the
table says what `model_free_ptq` alone took. Prints a Markdown table. Afterwards the codes and scales
of llmcompressor's plain NVFP4 are compared with those of `--rule plain`.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import struct
import subprocess
import sys

from large_model import make, timed

PACKAGES = ["llmcompressor==0.14.0.1", "torch==2.14.0"]

CONVERT = """
import json, sys, time
from llmcompressor import model_free_ptq
model, target, device, workers = sys.argv[1:]
start = time.monotonic()
model_free_ptq(model, target, scheme="NVFP4A16", ignore=["lm_head", "re:.*embed_tokens"],
               device=device, max_workers=int(workers))
print(json.dumps({"seconds": time.monotonic() - start}), file=sys.stderr)
"""

VERSIONS = """
import importlib.metadata as m
print(", ".join(f"{p} {m.version(p)}" for p in ("llmcompressor", "compressed-tensors", "torch")))
"""


def environment(work):
    """A Python with llmcompressor."""
    venv = work / "venv"
    python = venv / "bin" / "python"
    if not (venv / "complete").exists():
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (venv / "complete").touch()
    return python


def tensors(folder):
    """Every tensor's type and bytes, by name: (dtype, file, offset, length)."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with open(path, "rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            header = json.loads(file.read(length))
        for name, entry in header.items():
            if name != "__metadata__":
                start, end = entry["data_offsets"]
                found[name] = (path, 8 + length + start, end - start)
    return found


def read(place):
    path, start, length = place
    with open(path, "rb") as file:
        file.seek(start)
        return file.read(length)


def compare(ours, theirs):
    """Shares of bytes that are the same, by the part of a quantized tensor."""
    ours, theirs = tensors(ours), tensors(theirs)
    only = sorted(set(ours) ^ set(theirs))
    same, count = {}, {}
    for name in sorted(set(ours) & set(theirs)):
        part = next(
            (end for end in ("_packed", "_global_scale", "_scale") if name.endswith(end)), "other"
        )
        a, b = read(ours[name]), read(theirs[name])
        if len(a) != len(b):
            only.append(name)
            continue
        count[part] = count.get(part, 0) + len(a)
        difference = int.from_bytes(a, "little") ^ int.from_bytes(b, "little")
        differing = len(a) - difference.to_bytes(len(a), "little").count(0)
        same[part] = same.get(part, 0) + len(a) - differing
    shares = ", ".join(f"{part} {same[part] / count[part]:.6f}" for part in sorted(count))
    return f"bytes that are the same: {shares}; tensors that only one has: {only or 'none'}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--gigabytes", type=float, default=8)
    parser.add_argument("--python", type=pathlib.Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    python = arguments.python or environment(arguments.work)
    model, target = arguments.work / "model", arguments.work / "target"
    if not model.exists():
        make(model, arguments.gigabytes)
        os.sync()
    size = sum(file.stat().st_size for file in model.iterdir())
    cores, device = os.cpu_count(), arguments.device
    visible = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
    ours = [arguments.program, "quantize", str(model), str(target), "--quiet", "--device", device]
    theirs = [str(python), "-c", CONVERT, str(model), str(target), device]
    log = arguments.work / "llmcompressor.log"
    runs = [
        ("`cp -r`", ["cp", "-r", str(model), str(target)]),
        ("fouroversix, scale search, error figures (the default)", ours),
        ("fouroversix, MSE, `--no-figures`", [*ours, "--rule", "mse", "--no-figures"]),
        ("fouroversix, plain, `--no-figures`", [*ours, "--rule", "plain", "--no-figures"]),
        ("llmcompressor, plain, one worker", [*theirs, "1"]),
        (f"llmcompressor, plain, {cores} workers", [*theirs, str(cores)]),
        ("`cp -r` again", ["cp", "-r", str(model), str(target)]),
    ]
    processor = platform.processor() or platform.machine()
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.split(":", 1)[1].strip()
            break
    versions = subprocess.run([python, "-c", VERSIONS], check=True, capture_output=True, text=True)
    load = os.getloadavg()[0]
    print(f"{size / 1e9:.2f} GB in {len(list(model.glob('*.safetensors')))} shards; ", end="")
    print(f"{processor}, {cores} cores, load average before {load:.1f}; {versions.stdout.strip()}\n")
    print("| | wall (s) | CPU (s) | GB/s of input | written (GB) | peak memory (GB) |")
    print("|---|--:|--:|--:|--:|--:|")
    alone, kept = [], [arguments.work / "plain", arguments.work / "theirs"]
    for folder in (target, *kept):
        shutil.rmtree(folder, ignore_errors=True)
    for label, command in runs:
        with open(log, "w") as errors:
            seconds, memory, cpu = timed(command, visible, errors)
        written = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
        print(
            f"| {label} | {seconds:.1f} | {cpu:.1f} | {size / seconds / 1e9:.2f} | "
            f"{written / 1e9:.2f} | {memory / 1e9:.2f} |",
            flush=True,
        )
        if label.startswith("llmcompressor"):
            told = [line for line in log.read_text().splitlines() if line.startswith('{"seconds"')]
            alone.append(json.loads(told[-1])["seconds"])
        if label.startswith("fouroversix, plain"):
            target.rename(kept[0])
            continue
        if label.startswith("llmcompressor") and not kept[1].exists():
            target.rename(kept[1])
            continue
        shutil.rmtree(target)
        os.sync()
    print("\n`model_free_ptq` alone, without sync: ", end="")
    print(" and ".join(f"{seconds:.1f} s" for seconds in alone))
    # At the end: a process that is started counts the memory of the one that starts it.
    print(f"\n`--rule plain` and llmcompressor: {compare(*kept)}")
    for folder in kept:
        shutil.rmtree(folder)
    if not arguments.keep:
        shutil.rmtree(model)


if __name__ == "__main__":
    main()
