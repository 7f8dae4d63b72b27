#!/usr/bin/env python3
"""Writes docs/benchmarks/real-weights.md: errors of every rule on a model's Linear weights.

usage: real_weights.py PROGRAM MODEL_DIR NAME_OF_THE_MODEL > docs/benchmarks/real-weights.md

Exits with status 1 if the default rule's error is not below plain NVFP4's on every weight. Needs
only Python.
"""

import json
import math
import pathlib
import subprocess
import sys
import tempfile

RULES = [
    ("plain NVFP4", ["--rule", "plain"]),
    *(
        (
            f"4over6 {metric.upper()} {path}, A = {bound}",
            ["--rule", metric, "--error-path", path, "--e4m3-max", bound],
        )
        for metric in ("mae", "mse")
        for path in ("strict", "fast")
        for bound in ("448", "256")
    ),
]
DEFAULT = "4over6 MSE strict, A = 256"


def summary(program, model, options, work):
    target = pathlib.Path(work) / "-".join(options).strip("-")
    command = [program, "quantize", model, str(target), "--json", *options]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def totals(tensors, which):
    error = math.fsum(tensor[which]["squared_error"] for tensor in tensors)
    power = math.fsum(tensor[which]["input_power"] for tensor in tensors)
    map4 = sum(tensor[which]["map4"] for tensor in tensors)
    return error / power, map4 / sum(tensor[which]["blocks"] for tensor in tensors)


def relative(figures):
    return figures["squared_error"] / figures["input_power"]


def db(mse):
    return -10 * math.log10(mse)


def main():
    program, model, name = sys.argv[1:]
    version = subprocess.run([program, "--version"], check=True, stdout=subprocess.PIPE)
    with tempfile.TemporaryDirectory() as work:
        results = {label: summary(program, model, options, work) for label, options in RULES}
    chosen = results[DEFAULT]["tensors"]
    plain_mse, _ = totals(chosen, "plain")
    worse = [t["name"] for t in chosen if relative(t["chosen"]) >= relative(t["plain"])]
    print("# Errors on real weights\n")
    print(
        f"The {len(chosen)} Linear weights of {name}, quantized by `{version.stdout.decode().strip()}` "
        "with the defaults for a model directory (q/k/v share a global scale). Written by "
        "`scripts/real_weights.py`; relative MSE is squared error over squared weights.\n"
    )
    better = len(chosen) - len(worse)
    print(f"The default rule's error is below plain NVFP4's on {better} of {len(chosen)} weights.\n")
    print("| rule | relative MSE | SQNR (dB) | against plain | map4 |")
    print("|---|---|---|---|---|")
    for label, result in results.items():
        mse, share = totals(result["tensors"], "chosen")
        mark = " (default)" if label == DEFAULT else ""
        change = f"{100 * (mse / plain_mse - 1):+.2f}%"
        print(f"| {label}{mark} | {mse:.6f} | {db(mse):.3f} | {change} | {100 * share:.1f}% |")
    print("\n## Weight by weight\n")
    print(f"Plain NVFP4 and the default, {DEFAULT}.\n")
    print("| weight | shape | plain | 4over6 | change | plain SQNR | 4over6 SQNR | map4 |")
    print("|---|---|---|---|---|---|---|---|")
    for tensor in chosen:
        plain, ours = relative(tensor["plain"]), relative(tensor["chosen"])
        rows, cols = tensor["shape"]
        share = tensor["chosen"]["map4"] / tensor["chosen"]["blocks"]
        print(
            f"| `{tensor['name']}` | {rows}×{cols} | {plain:.6f} | {ours:.6f} | "
            f"{100 * (ours / plain - 1):+.2f}% | {db(plain):.3f} | {db(ours):.3f} | "
            f"{100 * share:.1f}% |"
        )
    sys.exit(1 if worse else 0)


main()
