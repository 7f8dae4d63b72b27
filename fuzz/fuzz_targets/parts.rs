//! Tensors put together from parts of any length: refused, or dequantized alike on every path.
#![no_main]

use arbitrary::Arbitrary;
use fouroversix::{E4m3Max, InputShape, Nvfp4Tensor, ScaleLayout};
use fouroversix_cpu::{Path, dequantize_into, deviation};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Parts {
    shape: [usize; 2],
    /// Small shapes, which may be right.
    small: Option<[u8; 2]>,
    stride: Option<usize>,
    lengths: Option<[u16; 3]>,
    swizzled: bool,
    bound: bool,
    amaxes: Vec<u32>,
    bytes: Vec<u8>,
}

fuzz_target!(|parts: Parts| {
    let shape = parts
        .small
        .map_or(parts.shape, |[rows, blocks]| [usize::from(rows), usize::from(blocks % 16) * 16]);
    let layout = if parts.swizzled { ScaleLayout::Swizzled128x4 } else { ScaleLayout::Linear };
    let bound = if parts.bound { E4m3Max::M448 } else { E4m3Max::M256 };
    // What a view of an input says of itself.
    let mut input = InputShape::from(shape);
    if let Some(stride) = parts.stride {
        input = input.with_row_stride(stride);
    }
    let held = parts.bytes.len();
    if input.check(held).is_ok() {
        assert!(input.extent() <= held);
    }
    let right = parts
        .small
        .map_or([0; 3], |_| [shape[0] * shape[1] / 2, layout.bytes(shape[0], shape[1]), 1]);
    let lengths = parts.lengths.map_or(right, |lengths| lengths.map(usize::from));
    let fill = |length: usize| -> Vec<u8> {
        if parts.bytes.is_empty() {
            return vec![0; length];
        }
        parts.bytes.iter().copied().cycle().take(length).collect()
    };
    let mut amaxes: Vec<f32> = parts.amaxes.iter().map(|bits| f32::from_bits(*bits)).collect();
    amaxes.resize(lengths[2], 1.0);
    let tensor =
        Nvfp4Tensor::from_parts(fill(lengths[0]), fill(lengths[1]), amaxes, shape, layout, bound);
    let Ok(tensor) = tensor else { return };
    let count = shape[0].checked_mul(shape[1]).expect("its codes are in memory");
    let mut expected: Option<Vec<u32>> = None;
    for path in Path::available() {
        let mut out = vec![0.0_f32; count];
        dequantize_into(path, tensor.view(), &mut out).expect("it was checked");
        let bits: Vec<u32> = out.iter().map(|x| x.to_bits()).collect();
        let _ = deviation(tensor.view(), &out);
        match &expected {
            None => expected = Some(bits),
            Some(expected) => assert_eq!(expected, &bits, "{path}"),
        }
    }
});
