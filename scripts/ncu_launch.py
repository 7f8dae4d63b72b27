#!/usr/bin/env python3
"""Launches each kernel once, for a profiler to count: needs a GPU, its driver and NumPy.

    ncu_launch.py PTX_FOLDER random|certain [KERNEL...]

Loads the committed PTX through the driver and quantizes a (16384, 6144) bf16 tensor, after
amax_bf16 has written its global scale. `random` is N(0, 1); `certain` repeats one 16x16 tile whose
blocks no choice is close for, so that no warp leaves the hot path. Its block scales reach 256: with
448 both candidates of the largest magnitude's block have that scale, and tie. The parameter structs
are those of host/core/src/abi.rs, the grids those of launch.rs.
"""

import ctypes
import pathlib
import struct
import sys

import numpy as np

ROWS, COLS = 16384, 6144
BLOCKS = ROWS * COLS // 16
E4M3_MAX_256 = 2

cuda = ctypes.CDLL("libcuda.so.1")


def call(name, *arguments):
    status = getattr(cuda, name)(*arguments)
    if status != 0:
        text = ctypes.c_char_p()
        cuda.cuGetErrorString(status, ctypes.byref(text))
        raise SystemExit(f"{name}: {(text.value or b'unknown error').decode()}")


def allocate(size):
    at = ctypes.c_uint64()
    call("cuMemAlloc_v2", ctypes.byref(at), ctypes.c_size_t(size))
    call("cuMemsetD8_v2", at, ctypes.c_ubyte(0), ctypes.c_size_t(size))
    return at.value


def upload(array):
    at = allocate(array.nbytes)
    call("cuMemcpyHtoD_v2", ctypes.c_uint64(at), ctypes.c_void_p(array.ctypes.data),
         ctypes.c_size_t(array.nbytes))
    return at


def launch(folder, kernel, grid, threads, shared, parameter):
    text = (folder / f"{kernel}.ptx").read_bytes() + b"\0"
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(text))
    call("cuModuleGetFunction", ctypes.byref(function), module, kernel.encode())
    block = ctypes.create_string_buffer(parameter, len(parameter))
    pointers = (ctypes.c_void_p * 1)(ctypes.addressof(block))
    call("cuLaunchKernel", function, *grid, threads, 1, 1, shared, None, pointers, None)
    call("cuCtxSynchronize")


def bf16(values):
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def data(kind):
    random = np.random.default_rng(4)
    if kind == "random":
        return np.concatenate(
            [bf16(random.standard_normal((1024, COLS), dtype=np.float32)) for _ in range(ROWS // 1024)]
        )
    tile = bf16(random.standard_normal((16, 16), dtype=np.float32))
    return np.ascontiguousarray(np.tile(tile, (ROWS // 16, COLS // 16)))


def divisor(d):
    shift = (d - 1).bit_length() - 1
    return -(-(1 << (32 + shift)) // d), shift


def grid_of(kernel):
    """Grid, threads, bytes of dynamic shared memory."""
    if kernel.startswith("quantize_rows"):
        return (ROWS, 1, 1), min(max(COLS // 16, 32), 128), 128
    if kernel.startswith("quantize_1d_rowwise") or kernel.startswith("copy"):
        return (BLOCKS // 128, 1, 1), 128, 0
    if kernel.startswith("quantize_2d"):
        return (COLS // 64, ROWS // 64, 1), 128, 0 if "rowwise" in kernel else 4 * 544 + 16
    return (COLS // 128, ROWS // 128, 1), 256, 128 * 256


def main():
    folder, kind, wanted = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    call("cuInit", 0)
    device, context, processors = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_int()
    call("cuDeviceGet", ctypes.byref(device), 0)
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    call("cuCtxSetCurrent", context)
    call("cuDeviceGetAttribute", ctypes.byref(processors), 16, device)

    flags = E4M3_MAX_256 if kind == "certain" else 0
    tensor = upload(data(kind))
    one, per_row = allocate(16), allocate(16 * ROWS)
    amax = struct.pack("<6Q2I", tensor, one, allocate(8), 0, 1, ROWS * COLS, flags, 0)
    launch(folder, "amax_bf16", (processors.value * 8, 1, 1), 256, 128, amax)

    outputs = [allocate(BLOCKS * 8), allocate(BLOCKS), allocate(BLOCKS * 8), allocate(BLOCKS)]
    names = sorted(path.stem for path in folder.glob("*_bf16*.ptx"))
    for kernel in names:
        if not kernel.startswith(("quantize", "copy_quantize")) or "grouped" in kernel:
            continue
        if wanted and not any(part in kernel for part in wanted):
            continue
        scale = per_row if kernel.startswith("quantize_rows") else one
        # A copy stores columnwise outputs if there are any: count the rowwise one.
        columnwise = [0, 0] if kernel.startswith("copy") else outputs[2:]
        parameter = struct.pack("<7Q4I2I2Q2I", tensor, *outputs[:2], *columnwise, scale, scale,
                                ROWS, COLS, BLOCKS, 0, *divisor(COLS // 16), 0, 0, flags, 0)
        launch(folder, kernel, *grid_of(kernel), parameter)
        print(kernel, flush=True)


if __name__ == "__main__":
    main()
