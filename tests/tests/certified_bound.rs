//! The bound of `docs/certified-decision.md`, against blocks that are searched for: what rounding does to
//! the difference of two errors never exceeds it, and comes to a third of it and more.
//!
//! Errors are emulated as the CPU path and the kernels sum them; the contract's are the reference's. What
//! is compared is in FP64 with a margin for FP64's own roundings, an interval.

use std::fmt::Display;

use fouroversix_conformance::extent::is_extensive;
use fouroversix_conformance::rng::Rng;
use fouroversix_reference::candidate::{Row16, row_error, tile_error};
use fouroversix_reference::scale::{GlobalScale, ScalePair, block_encode_scale};
use fouroversix_reference::{E2m1, E4m3, E4m3Max, ErrorPath, Metric};
use rayon::prelude::*;

const U: f64 = 1.0 / 16_777_216.0;

/// What is judged: one path's arithmetic.
#[derive(Clone, Copy, Debug)]
enum Arithmetic {
    /// The CPU path with so many lanes, with fused operations or without.
    Cpu { lanes: usize, fused: bool },
    /// The kernels.
    Gpu,
}

#[derive(Clone, Copy, Debug)]
struct Judged {
    arithmetic: Arithmetic,
    metric: Metric,
    error_path: ErrorPath,
    bound: E4m3Max,
}

/// How far the cheap difference is from the contract's, at least and at most, over the bound.
#[derive(Clone, Copy, Debug)]
struct Share {
    least: f64,
    most: f64,
}

impl Judged {
    /// `None` where the path does not decide by cheap errors.
    fn share(&self, rows: &[Row16], amax: f32) -> Option<Share> {
        let global = GlobalScale::new(amax, self.bound);
        let largest = rows.iter().flatten().fold(0.0, |m: f32, x| m.max(x.abs()));
        let base = largest / 6.0 * global.encode;
        let pair = ScalePair::new(largest, &global);
        let [e4, e6] = [pair.map4, pair.map6].map(|scale| block_encode_scale(scale, &global));
        let [s4, s6] = [pair.map4, pair.map6].map(|scale| f64::from(scale.to_f32()));
        let power = if self.metric == Metric::Mae { 1 } else { 2 };
        let contract = [pair.map4, pair.map6].map(|scale| self.contract(rows, scale, &global));
        let unit = match self.error_path {
            ErrorPath::Strict => f64::from(global.encode).powi(power),
            ErrorPath::Fast => 1.0,
        };
        let [k4, k6] = contract.map(|error| f64::from(error) * unit);
        let count = rows.len() as f64;
        let (cheap, scale, bound) = match self.arithmetic {
            Arithmetic::Cpu { lanes, fused } => {
                let certifiable = (2_f32.powi(-28)..=2_f32.powi(28)).contains(&amax);
                if !certifiable || largest * e6 >= 7.0 || s6 == 0.0 {
                    return None;
                }
                let sum = |encode, s: f64| self.cpu(rows, encode, s as f32, lanes, fused);
                let [c4, c6] = [sum(e4, s4), sum(e6, s6)];
                let [b, total] = [f64::from(base), f64::from(c4) + f64::from(c6)];
                let bound = match self.metric {
                    Metric::Mae => 1400.0 * count * b + 60.0 * total,
                    Metric::Mse => {
                        500.0 * count.sqrt() * b * total.sqrt() + b * b / 8.0 + 60.0 * total
                    }
                };
                (f64::from(c4 - c6), 1.0, bound)
            }
            Arithmetic::Gpu => {
                let range = 2_f32.powi(-50)..=2_f32.powi(50);
                // A scale of 0 has the largest number as its factor.
                if !range.contains(&global.decode) || largest * e6 >= 6.5 {
                    return None;
                }
                let [c4, c6] = [self.gpu(rows, e4), self.gpu(rows, e6)];
                let ratio = (s4 as f32 * global.decode) * e6;
                let weight = if power == 1 { ratio } else { ratio * ratio };
                let difference = f64::from(c4.mul_add(weight, -c6));
                let [of_scale, of_error] = match self.metric {
                    Metric::Mae => [1500.0, 104.0],
                    Metric::Mse => [640.0, 368.0],
                };
                let error = f64::from(c6) + difference.abs() / 2.0;
                (difference, s6.powi(power), of_scale * count + of_error * error)
            }
        };
        // Each of the few operations above is within 2⁻⁵³ of its result.
        let margin = 2_f64.powi(-50) * (k4 + k6 + cheap.abs() * scale);
        let off = (cheap * scale - (k4 - k6)).abs();
        let bound = bound * U * scale;
        let share = |off: f64| off / bound;
        Some(Share { least: share(off - margin), most: share(off + margin) })
    }

    fn contract(&self, rows: &[Row16], scale: E4m3, global: &GlobalScale) -> f32 {
        let error = |row: &Row16| row_error(row, scale, global, self.metric, self.error_path);
        match rows {
            [row] => error(row),
            rows => tile_error(std::array::from_fn(|i| error(&rows[i]))),
        }
    }

    fn add(&self, sum: f32, d: f32, fused: bool) -> f32 {
        match (self.metric, fused) {
            (Metric::Mae, _) => sum + d.abs(),
            (Metric::Mse, true) => d.mul_add(d, sum),
            (Metric::Mse, false) => sum + d * d,
        }
    }

    fn difference(x: f32, encode: f32) -> f32 {
        let y = x.abs() * encode;
        E2m1::from_f32(y).to_f32() - y
    }

    /// As `host/cpu/src/candidate.rs` and `rules/four_over_six.rs` add up.
    fn cpu(&self, rows: &[Row16], encode: f32, s: f32, lanes: usize, fused: bool) -> f32 {
        let of_row = |row: &Row16| {
            // First and third quad, second and fourth, each from its end.
            let order = (0..16).map(|i| i / 4 * 4 + 3 - i % 4);
            let mut sums = [0.0; 2];
            for i in order {
                let sum = &mut sums[i / 4 % 2];
                *sum = self.add(*sum, Self::difference(row[i], encode), fused);
            }
            let sum = sums[0] + sums[1];
            match self.metric {
                Metric::Mae => sum * s,
                Metric::Mse => sum * s * s,
            }
        };
        let mut errors: Vec<f32> = rows.iter().map(of_row).collect();
        if let [error] = errors[..] {
            return error;
        }
        let mut sums: Vec<f32> = (0..lanes)
            .map(|lane| errors.iter().skip(lane).step_by(lanes).fold(0.0, |sum, e| sum + e))
            .collect();
        while sums.len() > 1 {
            let half = sums.len() / 2;
            errors = (0..half).map(|i| sums[i] + sums[i + half]).collect();
            sums = errors;
        }
        sums[0]
    }

    /// As `kernels-gpu/src/decide/isa/` and `tile.rs` add up.
    fn gpu(&self, rows: &[Row16], encode: f32) -> f32 {
        let of_row = |row: &Row16| {
            let add = |sum, x: &f32| self.add(sum, Self::difference(*x, encode), true);
            row.iter().fold(0.0, add)
        };
        match rows {
            [row] => of_row(row),
            rows => tile_error(std::array::from_fn(|i| of_row(&rows[i]))),
        }
    }

    /// The largest share that a search finds: many starts, the best of which is bettered element by
    /// element.
    fn search(&self, rows: usize, rng: &mut Rng, starts: usize, steps: usize) -> Share {
        let mut best: Option<(Share, Vec<Row16>, f32)> = None;
        let mut seen = 0;
        let mut try_one = |share: Option<Share>| {
            let share = share?;
            seen += 1;
            assert!(share.most <= 1.0, "{self:?}: {share:?}");
            Some(share)
        };
        for start in 0..starts {
            let amax = 1.0 + rng.unit() as f32;
            // A block's maximum is a part of amax; a few thousand scales come of it.
            let largest = amax * rng.unit().powi(2) as f32;
            // Elements of any size, or all near the largest, where products round the most.
            let spread = [1.0, 0.3, 0.04, 0.01][start % 4];
            let mut element = || largest * (1.0 - spread * rng.unit() as f32);
            let block: Vec<Row16> = (0..rows).map(|_| std::array::from_fn(|_| element())).collect();
            let Some(share) = try_one(self.share(&block, amax)) else { continue };
            if best.as_ref().is_none_or(|(found, ..)| found.least < share.least) {
                best = Some((share, block, amax));
            }
        }
        let (mut share, mut block, mut amax) = best.expect("some blocks are regular");
        for step in 0..steps {
            let (mut changed, mut other) = (block.clone(), amax);
            if step % 8 == 0 {
                other = f32::from_bits(amax.to_bits() + rng.below(4096) as u32 - 2048);
            } else {
                let x = &mut changed[rng.below(rows)][rng.below(16)];
                let span = [64, 4096, 1 << 18][step % 3];
                let bits = x.to_bits() + rng.below(span) as u32 - span as u32 / 2;
                *x = f32::from_bits(bits);
            }
            let Some(found) = try_one(self.share(&changed, other)) else { continue };
            if found.least >= share.least {
                (share, block, amax) = (found, changed, other);
            }
        }
        println!(
            "{self:?}, {rows} rows: {:.3} of the bound at the most, {seen} blocks",
            share.least
        );
        share
    }
}

fn every_judged() -> Vec<Judged> {
    let mut all = Vec::new();
    let cpu = |lanes, fused| Arithmetic::Cpu { lanes, fused };
    for arithmetic in [cpu(4, false), cpu(8, true), cpu(16, true), Arithmetic::Gpu] {
        for metric in [Metric::Mae, Metric::Mse] {
            for error_path in [ErrorPath::Strict, ErrorPath::Fast] {
                let bound = if all.len() % 3 == 0 { E4m3Max::M256 } else { E4m3Max::M448 };
                all.push(Judged { arithmetic, metric, error_path, bound });
            }
        }
    }
    all
}

#[test]
fn rounding_never_exceeds_the_bound_and_comes_to_a_third_of_it() {
    let factor = if is_extensive() { 40 } else { 1 };
    let mut searches = Vec::new();
    for (seed, judged) in every_judged().into_iter().enumerate() {
        for rows in [1, 16] {
            let is_gpu = matches!(judged.arithmetic, Arithmetic::Gpu);
            // The kernels' sums of squares take more of a search.
            let hard = is_gpu && judged.metric == Metric::Mse && rows == 1;
            let times = factor * if hard { 5 } else { 1 };
            let seed = seed as u64 * 31 + rows as u64;
            searches.extend((0..times).map(|time| (judged, rows, hard, seed | time << 32)));
        }
    }
    let found: Vec<_> = searches
        .into_par_iter()
        .map(|(judged, rows, hard, seed)| {
            let (starts, steps) = if rows == 1 { (20_000, 20_000) } else { (1500, 3000) };
            let (starts, steps) = if hard { (8 * starts, 2 * steps) } else { (starts, steps) };
            (judged, judged.search(rows, &mut Rng::new(seed), starts, steps).least)
        })
        .collect();
    let mut largest = [[0.0_f64; 2]; 2];
    for (judged, share) in found {
        let is_gpu = matches!(judged.arithmetic, Arithmetic::Gpu);
        let of = &mut largest[usize::from(is_gpu)][usize::from(judged.metric == Metric::Mse)];
        *of = of.max(share);
    }
    println!("the largest shares, CPU and kernels, MAE and MSE: {largest:.3?}");
    for share in largest.as_flattened() {
        assert!(
            *share >= 1.0 / 3.0,
            "{largest:.3?}: the bound is wider than blocks show it must be"
        );
    }
}

/// The page's constants are the sources'.
#[test]
fn the_page_and_both_sources_have_the_same_constants() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).unwrap();
    let (page, cpu, gpu) = (
        read("docs/certified-decision.md"),
        read("host/cpu/src/bound.rs"),
        read("kernels-gpu/src/decide/metric.rs"),
    );
    let has = |text: &str, part: &dyn Display| {
        assert!(text.contains(&part.to_string()), "{part} is gone: this file has it too");
    };
    for part in [
        "1400.0 * ROWS as f32 * UNIT",
        "V::mul_add(V::splat(60.0 * UNIT), total, V::mul(slope, base))",
        "if ROWS == 1 { 500.0 } else { 2000.0 }",
        "V::splat(UNIT / 8.0)",
        "V::mul_add(V::splat(60.0 * UNIT), total, V::mul(first, base))",
    ] {
        has(&cpu, &part);
    }
    for part in ["1500.0 * U", "104.0 * U", "640.0 * U", "368.0 * U"] {
        has(&gpu, &format!("= {part};"));
    }
    for part in [
        "u·(1400·R·b + 60·T)",
        "u·(500·√R·b·√T + b²/8 + 60·T)",
        "OF_SCALE is 1500u for MAE and 640u for MSE, OF_ERROR 104u and 368u",
    ] {
        has(&page, &part);
    }
    for source in [&cpu, &gpu] {
        has(source, &"docs/certified-decision.md");
        for lemma in ["1 to", "5 and 6", "7 and 8", "10"] {
            has(source, &lemma);
        }
    }
}
