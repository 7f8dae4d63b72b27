//! The filter of `kernels-gpu/src/decide/search/filter.rs`, emulated: its errors are as close to the contract's as
//! its notes say, and the contract's best candidate is never filtered out.

use fouroversix_conformance::extent::is_extensive;
use fouroversix_conformance::rng::Rng;
use fouroversix_reference::candidate::{Row16, row_error, tile_error};
use fouroversix_reference::scale::{GlobalScale, ScalePair};
use fouroversix_reference::{E4m3, E4m3Max, ErrorPath, Metric};
use half::f16;

const H: f64 = 1.0 / 2048.0;
const ETA: f64 = 3.01 * H;
/// What FP16's subnormals leave out.
const REST: f64 = 1.0 / 32768.0;

fn f16_of(x: f64) -> f64 {
    f16::from_f64(x).to_f64()
}

/// `E2M1(y) − y`, or with twice the floor on the grid of twice the scale.
fn rest(y: f64, floor: f64, clip: bool) -> f64 {
    let m = y.max(floor);
    let q = f16_of(m * 512.0 + f16_of(m * -512.0 + y));
    f16_of(if clip { q.min(6.0) } else { q } - y)
}

/// A sum over the lanes of a block or a tile as the kernels have it, two sums in a word.
fn total(lines: &[[f64; 16]], term: impl Fn(Option<f64>, f64) -> f64) -> f64 {
    let lane = |lines: &[&[f64; 16]]| {
        let mut halves = [None; 2];
        for line in lines {
            for (i, &r) in line.iter().enumerate() {
                halves[i % 2] = Some(term(halves[i % 2], r));
            }
        }
        f16_of(halves[0].expect("16 elements") + halves[1].expect("16 elements"))
    };
    match lines {
        [line] => lane(&[line]),
        _ => {
            let mut lanes: Vec<f64> = (0..8).map(|j| lane(&[&lines[j], &lines[j + 8]])).collect();
            while lanes.len() > 1 {
                let half = lanes.len() / 2;
                lanes = (0..half).map(|j| f16_of(lanes[j] + lanes[j + half])).collect();
            }
            lanes[0]
        }
    }
}

/// What the filter and the contract make of a block.
struct Compared {
    /// How far the norms (of squares) or sums of any candidate are apart, over the bound.
    share: f64,
    /// How many candidates are left.
    left: usize,
}

fn compare(rows: &[Row16], amax: f32, metric: Metric, bound: E4m3Max) -> Option<Compared> {
    let global = GlobalScale::new(amax, bound);
    let largest = rows.iter().flatten().fold(0.0, |m: f32, x| m.max(x.abs()));
    let map6 = ScalePair::new(largest, &global).map6;
    let byte = i32::from(map6.to_bits());
    if byte < 12 {
        return None;
    }
    let s6 = f64::from(map6.to_f32());
    let power = if metric == Metric::Mae { 1 } else { 2 };
    let z: Vec<[f64; 16]> = rows
        .iter()
        .map(|row| row.map(|x| f16_of(f64::from(((x.abs() * global.encode) as f64 / s6) as f32))))
        .collect();
    let term = |sum: Option<f64>, r: f64| match (metric, sum) {
        (Metric::Mae, sum) => f16_of(sum.unwrap_or(0.0) + r.abs()),
        (Metric::Mse, sum) => f16_of(sum.unwrap_or(0.0) + r * r),
    };
    let magnitudes = total(&z, term);
    let roundings = if rows.len() == 1 { 13.0 } else { 24.0 };
    let mut share = 0.0_f64;
    let mut both = Vec::new();
    for step in -4..=8 {
        let Some(scale) = u8::try_from(byte + step).ok().filter(|byte| (1..=126).contains(byte))
        else {
            continue;
        };
        // Steps 4 to 8 go with the scale of half their size.
        let lower = E4m3::from_bits(if step < 4 { scale } else { scale - 8 }).to_f32();
        let rho = f64::from(lower) / s6;
        let [factor, weight] = [f16_of(1.0 / rho), f16_of(rho.powi(power))];
        let differences: Vec<[f64; 16]> = z
            .iter()
            .map(|line| {
                line.map(|z| {
                    let y = f16_of(z * factor);
                    if step < 4 {
                        rest(y, f16::from_bits(0x3C03).to_f64(), step < 0)
                    } else {
                        rest(y, f16::from_bits(0x4003).to_f64(), false)
                    }
                })
            })
            .collect();
        let filter = f16_of(total(&differences, term) * weight);
        let scale = E4m3::from_bits(scale);
        let errors: Vec<f32> = rows
            .iter()
            .map(|row| row_error(row, scale, &global, metric, ErrorPath::Fast))
            .collect();
        let error = match errors.as_slice() {
            [error] => *error,
            _ => tile_error(errors.try_into().expect("16 rows")),
        };
        let contract = f64::from(error) / s6.powi(power);
        both.push((filter, contract));
        let (difference, allowed) = match metric {
            Metric::Mae => {
                ((filter - contract).abs(), filter * roundings * H + ETA * magnitudes * 1.03)
            }
            Metric::Mse => (
                (filter.sqrt() - contract.sqrt()).abs(),
                filter.sqrt() * roundings * H / 2.0 + ETA * (magnitudes * 1.03).sqrt(),
            ),
        };
        let allowed = allowed + if metric == Metric::Mae { REST } else { REST.sqrt() };
        share = share.max(difference / allowed);
    }
    let least = both.iter().map(|b| b.0).fold(f64::INFINITY, f64::min);
    let at_most = match metric {
        Metric::Mae => {
            least * (1.0 + 2.0 * H * roundings) + magnitudes * 1.03 * 2.0 * ETA + REST
        }
        Metric::Mse => {
            least * (1.0 + 2.0 * H * roundings) * 33.0 / 32.0
                + magnitudes * 1.03 * 33.0 * 4.0 * ETA * ETA
                + REST
        }
    };
    let at_most = f16_of(at_most);
    let best = both.iter().map(|b| b.1).fold(f64::INFINITY, f64::min);
    for &(filter, contract) in &both {
        assert!(contract > best || filter < at_most, "{metric:?}: {rows:?} loses its best scale");
    }
    let left = both.iter().filter(|b| b.0 < at_most).count();
    Some(Compared { share, left })
}

/// A block of some kind: normal, heavy-tailed, sparse, near midpoints of some candidate's grid, constant.
fn row(rng: &mut Rng, kind: u64) -> Row16 {
    let step = 1.0 + (rng.unit() * 8.0).floor() as f32 / 8.0;
    std::array::from_fn(|i| {
        let sign = if rng.unit() < 0.5 { -1.0 } else { 1.0 };
        sign * match kind % 5 {
            0 => rng.normal(),
            1 => rng.normal() / (rng.unit() as f32 + 0.05),
            2 if rng.unit() < 0.7 => 0.0,
            2 => rng.normal(),
            3 if i == 0 => 6.0,
            3 => {
                let midpoints = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0];
                let near = midpoints[(rng.unit() * 7.0) as usize % 7];
                near * step * (1.0 + (rng.unit() as f32 - 0.5) / 300.0)
            }
            _ => step,
        }
    })
}

#[test]
fn the_filter_keeps_the_best_candidate() {
    let blocks = if is_extensive() { 2_000_000 } else { 8_000 };
    for metric in [Metric::Mae, Metric::Mse] {
        for tile in [false, true] {
            let mut rng = Rng::new(31);
            let (mut share, mut left, mut count) = (0.0_f64, 0, 0);
            for index in 0..if tile { blocks / 16 } else { blocks } {
                let rows: Vec<Row16> =
                    (0..if tile { 16 } else { 1 }).map(|_| row(&mut rng, index)).collect();
                let largest = rows.iter().flatten().fold(0.0, |m: f32, x| m.max(x.abs()));
                let amax = largest * (1.0 + 12.0 * rng.unit() as f32);
                let bound = if index % 2 == 0 { E4m3Max::M256 } else { E4m3Max::M448 };
                if let Some(compared) = compare(&rows, amax, metric, bound) {
                    share = share.max(compared.share);
                    (left, count) = (left + compared.left, count + 1);
                }
            }
            println!(
                "{metric:?}, tiles {tile}: {count} blocks, {share:.3} of the bound, {:.2} left",
                f64::from(left as u32) / f64::from(count)
            );
            assert!(share < 1.0, "{metric:?}, tiles {tile}: {share} of the bound");
            assert!(share > 0.2, "{metric:?}, tiles {tile}: {share} of the bound");
        }
    }
}
