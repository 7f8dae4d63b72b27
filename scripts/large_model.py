#!/usr/bin/env python3
"""Times `fouroversix quantize` on a synthetic model directory beside `cp -r` of it, same run.

usage: large_model.py PROGRAM WORK_FOLDER [--gigabytes 8] [--experts] [--keep] [--device auto …]
                      [-- OPTIONS OF quantize]

Makes the directory (a Llama's tensor names and shapes, bfloat16, in shards of 2 GB; with --experts
those of Llama 4: 64 experts a layer in two bfloat16 stacks, stored transposed, and attention in FP8
with a scale for each 128x128 block), then takes turns: `cp -r`, quantize, quantize without error figures, `cp -r` again. Each is followed by a sync
that counts into its time. Prints a Markdown table with wall times and the largest resident memory
of the process. Needs only Python; the folder needs 2.4 times the size.

Several devices (`--device cpu cuda:0 cuda:all@0 cuda:all`; what follows an @ are the GPUs that are
visible) are measured one after the other, and their outputs must have the same bytes, but for the
error figures.
"""

import argparse
import array
import hashlib
import json
import math
import multiprocessing
import os
import pathlib
import random
import shutil
import struct
import subprocess
import time

HIDDEN, INTER, KV, VOCAB = 4096, 14336, 1024, 32000


def tensors(layers):
    yield "model.embed_tokens.weight", (VOCAB, HIDDEN)
    for layer in range(layers):
        base = f"model.layers.{layer}"
        yield f"{base}.input_layernorm.weight", (HIDDEN,)
        for leaf, rows in (("q", HIDDEN), ("k", KV), ("v", KV), ("o", HIDDEN)):
            yield f"{base}.self_attn.{leaf}_proj.weight", (rows, HIDDEN)
        for leaf, shape in (
            ("gate", (INTER, HIDDEN)),
            ("up", (INTER, HIDDEN)),
            ("down", (HIDDEN, INTER)),
        ):
            yield f"{base}.mlp.{leaf}_proj.weight", shape
        yield f"{base}.post_attention_layernorm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCAB, HIDDEN)


EXPERTS, EXPERT_INTER = 64, 2048


def expert_tensors(layers):
    """As `tensors`, of a model with stacks of experts and FP8 beside them."""
    yield "language_model.model.embed_tokens.weight", (VOCAB, HIDDEN), "BF16"
    for layer in range(layers):
        base = f"language_model.model.layers.{layer}"
        yield f"{base}.input_layernorm.weight", (HIDDEN,), "BF16"
        for leaf, rows in (("q", HIDDEN), ("k", KV), ("v", KV), ("o", HIDDEN)):
            weight = f"{base}.self_attn.{leaf}_proj.weight"
            yield weight, (rows, HIDDEN), "F8_E4M3"
            yield f"{weight}_scale_inv", (rows // 128, HIDDEN // 128), "F32"
        experts = f"{base}.feed_forward.experts"
        yield f"{experts}.gate_up_proj", (EXPERTS, HIDDEN, 2 * EXPERT_INTER), "BF16"
        yield f"{experts}.down_proj", (EXPERTS, EXPERT_INTER, HIDDEN), "BF16"
        yield f"{base}.feed_forward.router.weight", (EXPERTS, HIDDEN), "BF16"
    yield "language_model.lm_head.weight", (VOCAB, HIDDEN), "BF16"


WIDTHS = {"BF16": 2, "F8_E4M3": 1, "F32": 4}


def noise():
    """32 MiB of bfloat16 from a normal distribution of deviation 0.02."""
    rng = random.Random(46)
    base = array.array("H")
    for _ in range(1 << 20):
        bits = struct.unpack("<I", struct.pack("<f", rng.gauss(0, 0.02)))[0]
        base.append(bits >> 16)
    raw = base.tobytes()
    return raw * 16


def make(folder, gigabytes, experts):
    per_layer = 2 * (2 * HIDDEN * HIDDEN + 2 * KV * HIDDEN + 3 * INTER * HIDDEN)
    if experts:
        per_layer = 2 * HIDDEN * (HIDDEN + KV) + 6 * EXPERTS * HIDDEN * EXPERT_INTER
    layers = math.ceil((gigabytes * 1e9 - 4 * VOCAB * HIDDEN) / per_layer)
    folder.mkdir(parents=True)
    shards, current, size, types = [], [], 0, {}
    listed = expert_tensors(layers) if experts else ((*it, "BF16") for it in tensors(layers))
    for name, shape, dtype in listed:
        types[name] = dtype
        count = WIDTHS[dtype] * math.prod(shape)
        if current and size + count > 2e9:
            shards.append(current)
            current, size = [], 0
        current.append((name, shape, count))
        size += count
    shards.append(current)
    block, turn, weight_map, total = noise(), 0, {}, 0
    # E4M3 numbers without NaN, and scales that make weights of them.
    codes = bytes(byte & 0xBF for byte in block[: 1 << 20])
    scale = struct.pack("<f", 1e-3)
    for i, shard in enumerate(shards):
        name = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        header, offset = {}, 0
        for tensor, shape, count in shard:
            header[tensor] = {
                "dtype": types[tensor],
                "shape": shape,
                "data_offsets": [offset, offset + count],
            }
            offset += count
            weight_map[tensor] = name
        total += offset
        text = json.dumps(header, separators=(",", ":"))
        text += " " * (-len(text) % 8)
        with open(folder / name, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text.encode())
            for tensor, _, count in shard:
                if types[tensor] != "BF16":
                    unit = codes if types[tensor] == "F8_E4M3" else scale
                    file.write((unit * (count // len(unit) + 1))[:count])
                    continue
                # No two tensors start at the same place of the block.
                turn = (turn + 2 * 7919) % len(block)
                left, at = count, turn
                while left:
                    take = min(left, len(block) - at)
                    file.write(memoryview(block)[at : at + take])
                    left, at = left - take, 0
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map})
    )
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    if experts:
        fp8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
        config = {"model_type": "llama4", "quantization_config": fp8}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    return total


def digest(folder):
    """Of all files but the error figures."""
    total = hashlib.blake2b()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "fouroversix.json":
            total.update(str(path.relative_to(folder)).encode())
            with open(path, "rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def timed(command, environment, errors=None):
    """Wall seconds including the sync, the largest resident size in bytes, and CPU seconds."""
    start = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=errors, env={**os.environ, **environment}
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{command[0]} failed with status {status}")
    os.sync()
    return time.monotonic() - start, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--gigabytes", type=float, default=8)
    parser.add_argument("--experts", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--device", nargs="+", default=["auto"])
    parser.add_argument("options", nargs="*")
    arguments = parser.parse_args()
    model, target = arguments.work / "model", arguments.work / "target"
    need = 2.4 * arguments.gigabytes * 1e9
    arguments.work.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(arguments.work).free < need:
        raise SystemExit(f"{arguments.work} has less than {need / 1e9:.0f} GB free")
    if not model.exists():
        # In a process of its own: the largest resident size of a child begins at its parent's.
        made = (model, arguments.gigabytes, arguments.experts)
        maker = multiprocessing.get_context("fork").Process(target=make, args=made)
        maker.start()
        maker.join()
        if maker.exitcode != 0:
            raise SystemExit("the model was not made")
        os.sync()
    size = sum(file.stat().st_size for file in model.iterdir())
    # With experts the largest that is cut out at a time: gate and up of one.
    largest = 4 * HIDDEN * EXPERT_INTER if arguments.experts else 2 * VOCAB * HIDDEN
    quantize = [arguments.program, "quantize", str(model), str(target), "--quiet", *arguments.options]
    copy = ["cp", "-r", str(model), str(target)]
    runs = [("`cp -r`", copy, {})]
    for device in arguments.device:
        device, _, visible = device.partition("@")
        environment = {"CUDA_VISIBLE_DEVICES": visible} if visible else {}
        where = "" if device == "auto" else f" --device {device}"
        on = f", of GPUs {visible}" if visible else ""
        for more in ([], ["--no-figures"]):
            label = f"`fouroversix quantize{where}{' --no-figures' if more else ''}`{on}"
            runs.append((label, [*quantize, "--device", device, *more], environment))
    runs.append(("`cp -r` again", copy, {}))
    print(f"{size / 1e9:.2f} GB in {len(list(model.glob('*.safetensors')))} shards, ", end="")
    print(f"largest {'expert' if arguments.experts else 'tensor'} {largest / 1e6:.0f} MB, {os.cpu_count()} cores\n")
    print("| command | wall (s) | CPU (s) | GB/s of input | written (GB) | peak memory (MB) |")
    print("|---|---|---|---|---|---|")
    worst, digests = 0, set()
    for label, command, environment in runs:
        seconds, memory, cpu = timed(command, environment)
        written = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
        print(
            f"| {label} | {seconds:.1f} | {cpu:.1f} | {size / seconds / 1e9:.2f} | "
            f"{written / 1e9:.2f} | {memory / 1e6:.0f} |",
            flush=True,
        )
        if "quantize" in label:
            worst = max(worst, memory)
            if len(arguments.device) > 1:
                digests.add(digest(target))
        shutil.rmtree(target)
        os.sync()
    bound = 1.2 * largest + 64e6
    print(f"\nPeak memory of quantize: {worst / 1e6:.0f} MB; the bound, 1.2 × that + 64 MB, is {bound / 1e6:.0f} MB.")
    if len(digests) == 1:
        print("All outputs have the same bytes.")
    if not arguments.keep:
        shutil.rmtree(arguments.work)
    if len(digests) > 1:
        raise SystemExit("the outputs differ")
    # A driver's own memory is no part of the bound.
    if worst > bound and "cuda" not in " ".join(arguments.device):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
