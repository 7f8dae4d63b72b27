//! The filter of `kernels-gpu/src/decide/search/filter.rs`, emulated: its errors are as close to the contract's as
//! its notes say, and the contract's best candidate is never filtered out.

use fouroversix_conformance::extent::is_extensive;
use fouroversix_conformance::rng::Rng;
use fouroversix_reference::candidate::{Row16, row_error, tile_error};
use fouroversix_reference::scale::{GlobalScale, ScalePair};
use fouroversix_reference::{E4m3, E4m3Max, ErrorPath, Metric};
use half::f16;

const H: f64 = 1.0 / 2048.0;
/// What FP16's subnormals leave out.
const REST: f64 = 1.0 / 32768.0;

fn f16_of(x: f64) -> f64 {
    f16::from_f64(x).to_f64()
}

/// E2M1's value next to `y`; with twice the floor, that of the grid of twice the scale.
fn nearest(y: f64, floor: f64, clip: bool) -> f64 {
    let m = y.max(floor);
    let q = f16_of(m * 512.0 + f16_of(m * -512.0 + y));
    if clip { q.min(6.0) } else { q }
}

/// A sum over the lanes of a block or a tile as the kernels have it, two sums in a word.
fn total(lines: &[[f64; 16]], term: impl Fn(Option<f64>, f64) -> f64) -> f64 {
    let of_line = |line: &[f64; 16]| {
        let mut halves = [None; 2];
        for (i, &r) in line.iter().enumerate() {
            halves[i % 2] = Some(term(halves[i % 2], r));
        }
        let [a, b] = halves.map(|half| half.expect("16 elements"));
        f16_of(a + b)
    };
    match lines {
        [line] => of_line(line),
        _ => {
            let lane = |j: usize| f16_of(of_line(&lines[j]) + of_line(&lines[j + 8]));
            let mut lanes: Vec<f64> = (0..8).map(lane).collect();
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
    /// How far norms (of squares) or sums of any candidate are apart, over what notes 1 to 3 allow.
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
    let unit = 2.0_f64.powi(i32::from(map6.to_bits() >> 3) - 7);
    let power = if metric == Metric::Mae { 1 } else { 2 };
    let w: Vec<[f64; 16]> = rows
        .iter()
        .map(|row| row.map(|x| f16_of(f64::from(x.abs() * global.encode) / unit)))
        .collect();
    let term = |sum: Option<f64>, r: f64| match (metric, sum) {
        (Metric::Mae, sum) => f16_of(sum.unwrap_or(0.0) + r.abs()),
        (Metric::Mse, sum) => f16_of(sum.unwrap_or(0.0) + r * r),
    };
    let below = |w: f64| f16::from_bits(f16::from_f64(w).to_bits() & 0x7C00).to_f64();
    let powers: Vec<[f64; 16]> = w.iter().map(|line| line.map(below)).collect();
    let powers = total(&powers, term);
    let roundings = if rows.len() == 1 { 11.0 } else { 15.0 };
    let mut share = 0.0_f64;
    let mut both = Vec::new();
    for step in -4..=8 {
        let Some(scale) = u8::try_from(byte + step).ok().filter(|byte| (1..=126).contains(byte))
        else {
            continue;
        };
        // Steps 4 to 8 go with the scale of half their size.
        let lower = E4m3::from_bits(if step < 4 { scale } else { scale - 8 }).to_f32();
        let rho = f64::from(lower) / unit;
        let factor = f16_of(1.0 / rho);
        let differences: Vec<[f64; 16]> = w
            .iter()
            .map(|line| {
                line.map(|w| {
                    let y = f16_of(w * factor);
                    let q = if step < 4 {
                        nearest(y, f16::from_bits(0x3C03).to_f64(), step < 0)
                    } else {
                        nearest(y, f16::from_bits(0x4003).to_f64(), false)
                    };
                    f16_of(w - q * rho)
                })
            })
            .collect();
        let filter = total(&differences, term);
        let scale = E4m3::from_bits(scale);
        let errors: Vec<f32> = rows
            .iter()
            .map(|row| row_error(row, scale, &global, metric, ErrorPath::Fast))
            .collect();
        let error = match errors.as_slice() {
            [error] => *error,
            _ => tile_error(errors.try_into().expect("16 rows")),
        };
        let contract = f64::from(error) / unit.powi(power);
        both.push((filter, contract));
        // Only a wrong q makes a difference larger, never smaller.
        let wrong = if filter > contract { 17.0 } else { 0.0 };
        let (difference, allowed) = match metric {
            Metric::Mae => {
                (filter - contract, contract * (roundings + wrong) * H + H * powers * 1.03 + REST)
            }
            Metric::Mse => (
                filter.sqrt() - contract.sqrt(),
                contract.sqrt() * (roundings / 2.0 + wrong) * H
                    + H * (powers * 1.03).sqrt()
                    + REST.sqrt(),
            ),
        };
        share = share.max(difference.abs() / allowed);
    }
    let least = both.iter().map(|b| b.0).fold(f64::INFINITY, f64::min);
    let at_most = match metric {
        Metric::Mae => {
            least * (1.0 + (2.0 * roundings + 19.0) * H) + powers * 1.03 * 2.0 * H + REST
        }
        Metric::Mse => {
            least * (1.0 + (2.0 * roundings + 36.0) * H) * 129.0 / 128.0
                + powers * 1.03 * 129.0 * 4.0 * H * H
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
