#!/usr/bin/env python3
"""Quantizes tiny models of many families in both formats and loads them with what serves them.

usage: family_check.py PROGRAM WORK_FOLDER PAGE [--write] [FAMILY...]

For each family of family/, in compressed-tensors:
- transformers loads the directory without a type given: no key missing, unexpected or mismatched;
- every weight as compressed-tensors decompresses it, in the model and from the file, equals
  `fouroversix dequantize`'s bit for bit; every other parameter equals the original's;
- the logits are finite, and near those of the original in bfloat16.
In modelopt: codes and scales are those of compressed-tensors, whose converter makes a directory of
it that loads in the same way; the weights computed from the parts equal `fouroversix dequantize`'s.
In both, `ignore` and `exclude_modules` leave out exactly what has no codes, by vLLM's rules too.
The parts that vLLM loads as one matrix share their global scale.

PAGE has the table of outcomes between two marks: it must be what this run finds (distances to
within a tolerance), or is replaced with --write. Any difference ends the script with status 1.
"""

import os
import pathlib
import shutil
import sys
import time

# Read by the packages when they are imported.
os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}

import torch

from checkpoint_files import quiet
from family import table
from family.check import Check
from family.decoders import DECODERS
from family.encoders import ENCODERS
from family.multimodal import MULTIMODAL


def main():
    program, work, page = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    write, only = "--write" in sys.argv, [a for a in sys.argv[4:] if not a.startswith("--")]
    quiet()
    # Tensors are too small to be divided.
    torch.set_num_threads(1)
    started, rows = time.monotonic(), []
    for number, family in enumerate(DECODERS + MULTIMODAL + ENCODERS):
        if only and family.name not in only:
            continue
        folder = work / f"family-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        rows.append(Check(program, family, folder).run())
        rows[-1].print()
        shutil.rmtree(folder)
    failed = sum(bool(row.failures) for row in rows)
    seconds = time.monotonic() - started
    print(f"family check: {len(rows)} families, {failed} failed, {seconds:.0f} s")
    if not only:
        failed += table.settle(page, rows, write)
    sys.exit(1 if failed else 0)


main()
