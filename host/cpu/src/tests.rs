//! What can only be seen from inside: the exact tricks, and the kernel with the lane counts of
//! instruction sets that the testing machine may lack.

use std::cell::Cell;

use fouroversix_core::{
    Amax, Config, E4m3Max, ErrorPath, Metric, Nvfp4Tensor, Outputs, Panel, RandomState,
    Rounding as RoundingOption, Rule, ScaleLayout, Scaling,
};
use half::{bf16, f16};

use crate::amax;
use crate::block::Block;
use crate::elements::{Blocks, Columns, Elements, Reader, Rows, Segments, Steps};
use crate::formats::{E2M1_SIGNED, e2m1};
use crate::group::Load;
use crate::method::Method;
use crate::output::Output;
use crate::path::Path;
use crate::quantize_outputs;
use crate::random::Random;
use crate::rounding::Rounding;
use crate::scale::GlobalScale;
use crate::simd::portable::Portable;
use crate::simd::vector::Vector;

/// Values of `bits` that a vector path rounds to E2M1 otherwise than the comparison with midpoints.
fn misrounded<V: Vector>(bits: impl Iterator<Item = u32>) -> usize {
    let mut wrong = 0;
    let mut lanes = [0.0_f32; 16];
    let mut filled = 0;
    let mut check = |lanes: &[f32; 16]| {
        let mut rounded = [0.0_f32; 16];
        // SAFETY: 16 is at least LANES; the caller chose an available path.
        unsafe { V::store(V::round_e2m1(V::load(lanes.as_ptr())), rounded.as_mut_ptr()) };
        let pairs = lanes.iter().zip(rounded).take(V::LANES);
        wrong += pairs.filter(|(y, q)| E2M1_SIGNED[usize::from(e2m1(**y))] != *q).count();
    };
    for bits in bits {
        lanes[filled] = f32::from_bits(bits);
        filled += 1;
        if filled == V::LANES {
            check(&lanes);
            filled = 0;
        }
    }
    check(&lanes);
    wrong
}

/// Where trick 1 could go wrong: 2^14 values on both sides of every grid point and midpoint.
fn critical() -> impl Iterator<Item = u32> {
    let points = [0.25_f32, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0];
    let around = points.into_iter().flat_map(|p| p.to_bits() - 16384..p.to_bits() + 16384);
    around.chain(0..16384).chain(7.0_f32.to_bits() - 16384..7.0_f32.to_bits())
}

#[test]
fn rounding_is_right_around_grid_points_and_midpoints() {
    assert_eq!(misrounded::<Portable<4>>(critical()), 0);
    #[cfg(target_arch = "x86_64")]
    if Path::available().contains(&Path::Avx2) {
        assert_eq!(misrounded::<crate::simd::avx2::Avx2>(critical()), 0);
    }
    #[cfg(target_arch = "x86_64")]
    if Path::available().contains(&Path::Avx512) {
        assert_eq!(misrounded::<crate::simd::avx512::Avx512>(critical()), 0);
    }
}

fn rules() -> Vec<Rule> {
    let mut rules = vec![Rule::Plain];
    for metric in [Metric::Mae, Metric::Mse] {
        for error_path in [ErrorPath::Strict, ErrorPath::Fast] {
            for e4m3_max in [E4m3Max::M448, E4m3Max::M256] {
                rules.push(Rule::FourOverSix { metric, error_path, e4m3_max });
            }
        }
    }
    rules
}

/// 16 rows of 64 elements in which ties, near ties, zeros and tiny blocks are common.
fn structured(seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    (0..16 * 64)
        .map(|i| {
            let r = next();
            let grid = (r % 25) as f32 - 12.0;
            match (i / 16 + seed as usize) % 5 {
                0 => grid * 0.25,
                1 => grid * 0.5 * (1.0 + (r >> 31) as f32 * f32::EPSILON),
                2 => 0.0,
                3 => grid * 1e-5,
                _ => (r >> 8) as f32 / 8_388_608.0 - 1.0,
            }
        })
        .collect()
}

/// The sign of every value flipped on the way, and reads counted: as a transform or a fused
/// operation would be.
#[derive(Clone, Copy)]
struct Negated<'a, E> {
    inner: E,
    reads: &'a Cell<usize>,
}

impl<E: Elements<Element = f32>> Elements for Negated<'_, E> {
    type Element = f32;

    unsafe fn raw<V: Vector>(&self, index: usize, lane: usize) -> [V::U; 16] {
        self.reads.set(self.reads.get() + 1);
        // SAFETY: the caller's.
        unsafe {
            let mut words = self.inner.raw::<V>(index, lane);
            for word in &mut words {
                *word = V::xor(*word, V::splat_u(1 << 31));
            }
            words
        }
    }
}

impl<E: Elements> Blocks for Negated<'_, E> {
    unsafe fn block(&self, index: usize, lane: usize) -> Block {
        self.reads.set(self.reads.get() + 1);
        // SAFETY: the caller's.
        unsafe { self.inner.block(index, lane) }.map(|x| -x)
    }
}

/// Codes, scales and how many chose map4.
type Quantized = (Vec<u8>, Vec<u8>, u64);

/// Quantizes a `[16, 64]` input on the vector path of `N` lanes.
fn quantize<E: Elements, const N: usize>(
    elements: E,
    globals: &[GlobalScale],
    rule: Rule,
    tiles: Option<(usize, usize)>,
) -> Quantized {
    write(N, globals, tiles, |output| {
        let method =
            Method { path: Path::Portable, rule, rounding: &Rounding::Nearest, transform: None };
        let reader = Reader::<Portable<N>>::new(&elements);
        // SAFETY: 64 blocks, or four tiles; the portable form runs everywhere.
        unsafe {
            match tiles {
                None => method.vector::<_, false>(reader, output),
                Some(_) => method.vector::<_, true>(reader, output),
            }
        }
    })
}

/// Quantizes a `[16, 64]` input on the exact path.
fn exact<E: Elements>(
    elements: E,
    globals: &[GlobalScale],
    rule: Rule,
    tiles: Option<(usize, usize)>,
) -> Quantized {
    write(1, globals, tiles, |output| {
        let method =
            Method { path: Path::Scalar, rule, rounding: &Rounding::Nearest, transform: None };
        // SAFETY: 64 blocks, or four tiles.
        unsafe {
            match tiles {
                None => method.groups(&elements, output),
                Some(_) => method.tiles(&elements, output),
            }
        }
    })
}

/// The output of 64 blocks in groups of `lanes`, or of four tiles.
fn write(
    lanes: usize,
    globals: &[GlobalScale],
    tiles: Option<(usize, usize)>,
    quantize: impl Fn(&Output<'_>) -> u64,
) -> Quantized {
    let (mut codes, mut scales) = (vec![0_u8; 512], vec![0_u8; 64]);
    let (lane_bytes, step_bytes) = tiles.unwrap_or((8, 8 * lanes));
    let output = Output {
        segments: Segments { first: 0, lane: 1, steps: Steps::of(lanes) },
        codes: codes.as_mut_ptr(),
        lane_bytes,
        steps: Steps::of(step_bytes),
        scales: scales.as_mut_ptr(),
        certain: std::ptr::null_mut(),
        count: if tiles.is_some() { 4 } else { 64 / lanes },
        globals,
    };
    let map4 = quantize(&output);
    (codes, scales, map4)
}

/// Groups and tiles, along rows and columns, of `N` lanes: the exact path's bits.
fn check_lanes<T: Load, const N: usize>(values: &[f32], rule: Rule) {
    let input: Vec<T> = values.iter().map(|x| T::from_f32(*x)).collect();
    let globals = [GlobalScale::new(amax::slice(Path::Scalar, &input), rule.e4m3_max())];
    let from = input.as_ptr();
    let rows = |lanes| Rows { from, stride: 16, steps: Steps::of(16 * lanes) };
    let columns = |lanes| Columns { from, stride: 64, step: lanes, ahead: true };
    let expected = exact(rows(1), &globals, rule, None);
    assert_eq!(quantize::<_, N>(rows(N), &globals, rule, None), expected, "{rule:?}, rows");
    let expected = exact(columns(1), &globals, rule, None);
    assert_eq!(quantize::<_, N>(columns(N), &globals, rule, None), expected, "{rule:?}, columns");

    let (rows, columns) = (Rows { from, stride: 64, steps: Steps::of(16) }, columns(16));
    let lines = Some((32, 8));
    let expected = exact(rows, &globals, rule, lines);
    assert_eq!(quantize::<_, N>(rows, &globals, rule, lines), expected, "{rule:?}, row tiles");
    let lines = Some((8, 128));
    let expected = exact(columns, &globals, rule, lines);
    assert_eq!(quantize::<_, N>(columns, &globals, rule, lines), expected, "{rule:?}, tiles");
}

/// Blocks at fault for every path: near ties, NaN, infinities, zeros with a sign.
fn with_specials(seed: u32) -> Vec<f32> {
    let mut values = structured(seed);
    for (i, special) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0].into_iter().enumerate() {
        values[(seed as usize * 37 + i * 211) % 1024] = special;
    }
    values
}

#[test]
fn every_lane_count_gives_the_exact_bits() {
    for rule in rules() {
        for seed in 0..40 {
            for values in [structured(seed), with_specials(seed)] {
                check_lanes::<bf16, 4>(&values, rule);
                check_lanes::<f32, 8>(&values, rule);
            }
        }
    }
}

/// Rows and columns read by index, without [`Rows`] and [`Columns`].
#[test]
fn blocks_and_groups_hold_what_is_in_memory() {
    let values = with_specials(3);
    let input: Vec<f16> = values.iter().map(|x| f16::from_f32(*x)).collect();
    let from = input.as_ptr();
    let bits = |block: Block| block.map(|x| if x.is_nan() { 0x7FC0_0000 } else { x.to_bits() });
    let check = |got: Block, at: &dyn Fn(usize) -> usize| {
        assert_eq!(bits(got), bits(std::array::from_fn(|i| input[at(i)].to_f32())));
    };
    for index in 0..16 {
        // SAFETY: 64 blocks either way; the portable form runs everywhere.
        unsafe {
            let rows = Rows { from, stride: 16, steps: Steps::of(64) };
            let columns = Columns { from, stride: 64, step: 4, ahead: true };
            let row_group = f16::group::<Portable<4>>(rows.raw::<Portable<4>>(index, 0));
            let column_group = f16::group::<Portable<4>>(columns.raw::<Portable<4>>(index, 0));
            for lane in 0..4 {
                let row = |i| 64 * index + 16 * lane + i;
                let column = |i| 64 * i + 4 * index + lane;
                check(rows.block(index, lane), &row);
                check(columns.block(index, lane), &column);
                check(row_group.block(lane, &f16::SPECIALS), &row);
                check(column_group.block(lane, &f16::SPECIALS), &column);
            }
        }
    }
}

/// What is made on the way is what is judged, on the hot path and where it is left; and no
/// block is made twice, but for the last group, which stands in for the one after it.
#[test]
fn nothing_is_read_twice() {
    for rule in rules() {
        for seed in 0..10 {
            let values = with_specials(seed);
            let negated: Vec<f32> = values.iter().map(|x| -x).collect();
            let reads = Cell::new(0);
            let globals = [GlobalScale::new(amax::slice(Path::Scalar, &values), rule.e4m3_max())];
            let rows =
                |from: &[f32]| Rows { from: from.as_ptr(), stride: 16, steps: Steps::of(64) };
            let made = Negated { inner: rows(&values), reads: &reads };
            let expected = quantize::<_, 4>(rows(&negated), &globals, rule, None);
            assert_eq!(quantize::<_, 4>(made, &globals, rule, None), expected, "{rule:?}");
            assert_eq!(reads.replace(0), 16 + 1, "{rule:?}");

            let tiles =
                |from: &[f32]| Rows { from: from.as_ptr(), stride: 64, steps: Steps::of(16) };
            let made = Negated { inner: tiles(&values), reads: &reads };
            let lines = Some((32, 8));
            let expected = quantize::<_, 4>(tiles(&negated), &globals, rule, lines);
            assert_eq!(quantize::<_, 4>(made, &globals, rule, lines), expected, "{rule:?}");
            assert_eq!(reads.get(), 4 * 4, "{rule:?}");
        }
    }
}

/// Calls a function of a [`Vector`] for all that run here.
macro_rules! on_every_vector {
    ($check:ident) => {
        $check::<crate::simd::portable::Portable<4>>();
        $check::<crate::simd::portable::Portable<8>>();
        #[cfg(target_arch = "x86_64")]
        if crate::path::Path::available().contains(&crate::path::Path::Avx2) {
            $check::<crate::simd::avx2::Avx2>();
        }
        #[cfg(target_arch = "x86_64")]
        if crate::path::Path::available().contains(&crate::path::Path::Avx512) {
            $check::<crate::simd::avx512::Avx512>();
        }
        #[cfg(target_arch = "aarch64")]
        $check::<crate::simd::neon::Neon>();
    };
}
pub(crate) use on_every_vector;

/// Every path draws by the coordinates of the whole matrix that is quantized. Elements half way between
/// two codes show the upper bit of their bytes.
#[test]
fn a_block_draws_by_its_segment() {
    let shape = [144, 208];
    // One element of a segment, along rows and along columns, makes its scale 1.
    let at = |i: usize| if (i / 208 + i % 208).is_multiple_of(16) { 6.0_f32 } else { 2.5 };
    let values: Vec<f32> = (0..144 * 208).map(at).collect();
    let state = RandomState { seed: 7 << 33 | 5, offset: 1 << 40 | 3 };
    let amaxes = [6.0 * 448.0_f32; 208];
    for path in Path::available() {
        for (scaling, amax) in [
            (Scaling::Tensor, Amax::Tensor(amaxes[0])),
            (Scaling::Row, Amax::RowsAndColumns { rows: &amaxes[..144], columns: &amaxes }),
            (Scaling::Tile, Amax::Tensor(amaxes[0])),
        ] {
            for layout in [ScaleLayout::Linear, ScaleLayout::Swizzled128x4] {
                for (first_row, rows) in [(0, 144), (1 << 31, 1 << 34)] {
                    let config = Config::builder().rule(Rule::Plain).scaling(scaling);
                    let config = config.outputs(Outputs::Both).scale_layout(layout);
                    let config = config.rounding(RoundingOption::Stochastic(state));
                    let config = config.panel(Panel { first_row, rows }).build().unwrap();
                    let [rowwise, columnwise] =
                        quantize_outputs(path, &values, shape, &config, Some(amax))
                            .unwrap()
                            .into_both()
                            .unwrap();
                    let row_segment = |row, block| (first_row + row) * (208 / 16) + block;
                    let column_segment =
                        |column, block| column * (rows / 16) + first_row / 16 + block;
                    let told = format!("{path:?} {config:?}");
                    check_codes(&rowwise, &Random::new(state, false), row_segment, &told);
                    check_codes(&columnwise, &Random::new(state, true), column_segment, &told);
                }
            }
        }
    }
}

fn check_codes(
    tensor: &Nvfp4Tensor,
    random: &Random,
    segment: impl Fn(usize, usize) -> usize,
    told: &str,
) {
    let blocks = tensor.shape()[1] / 16;
    for (index, codes) in tensor.codes().chunks_exact(8).enumerate() {
        let bytes = random.bytes(segment(index / blocks, index % blocks) as u64);
        for (i, byte) in bytes.iter().enumerate() {
            let code = codes[i / 2] >> (4 * (i % 2)) & 0xF;
            assert!(code == 7 || code == 4 + (byte >> 7), "{told}: element {i} of block {index}");
        }
    }
}
