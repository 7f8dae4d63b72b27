#!/usr/bin/env python3
"""Compares step T1 with PyTorch's product x @ diag(signs)·H16/4 in bf16 on a GPU, element for element.

T1 is the reference's, by `fouroversix-lab transformed`. Needs torch with CUDA and numpy:

    cargo build --release -p fouroversix-lab
    python scripts/transform_product.py --lab target/release/fouroversix-lab

Prints a Markdown table: data, elements, how many differ, and by how many steps of bf16 at most.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import torch

MASK = 0xD7E8


def matrix() -> torch.Tensor:
    """Sylvester's matrix of order 16 with its rows signed, a quarter of it: exact in bf16."""
    h = torch.ones(1, 1)
    for _ in range(4):
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)], 0)
    signs = torch.tensor([-1.0 if MASK >> i & 1 else 1.0 for i in range(16)])
    return (signs[:, None] * h / 4).to(torch.bfloat16)


def data(name: str, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(46)
    normal = torch.randn(count, generator=generator)
    if name == "normal":
        return normal
    if name == "Student-t (3)":
        squares = torch.randn(3, count, generator=generator).square().sum(0)
        return normal / (squares / 3).sqrt()
    sign = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    return sign * (4 * normal).exp()


def steps(x: torch.Tensor) -> torch.Tensor:
    """Places on the line of bf16 values, zeros at 0."""
    bits = x.view(torch.int16).int() & 0xFFFF
    return torch.where(bits < 0x8000, bits, 0x8000 - bits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lab", type=Path, required=True, help="the program fouroversix-lab")
    parser.add_argument("--elements", type=int, default=1 << 24, help="a multiple of 16")
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, mask {MASK:#06X}\n")
    print("| data | elements | differ | largest difference in steps of bf16 |\n|---|--:|--:|--:|")
    for name in ("normal", "Student-t (3)", "signed log-normal (4)"):
        x = data(name, args.elements).to(torch.bfloat16)
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "x", Path(folder) / "y"
            source.write_bytes(x.view(torch.int16).numpy().tobytes())
            subprocess.run([args.lab.resolve(), "transformed", source, target, "--signs", str(MASK)], check=True)
            y = torch.frombuffer(bytearray(target.read_bytes()), dtype=torch.bfloat16)
        product = (x.view(-1, 16).cuda() @ matrix().cuda()).flatten().cpu()
        assert y.isfinite().all() and product.isfinite().all() and y.abs().max() > 0
        apart = (steps(y) - steps(product)).abs()
        print(f"| {name} | {len(y):,} | {(apart > 0).sum():,} | {apart.max()} |")


if __name__ == "__main__":
    main()
