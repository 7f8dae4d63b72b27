//! Random tensors that anyone can remake.
//!
//! Element `i` depends on the seed and `i` alone, and is made with IEEE 754 double operations
//! (`+ − × ÷ √`, each rounded to nearest even) on integers and literals, in the order written here:
//! no function of a mathematics library, which may differ between machines, is called.
//!
//! 1. Bits: output number `c` (from 0) of `SplitMix64` started with the seed. Its state is then
//!    `seed + (c + 1)·0x9E3779B97F4A7C15`, so that any output can be computed by itself.
//! 2. Uniform in (0, 1): `u = (bits >> 12 + 1/2)·2⁻⁵²`, exact.
//! 3. The distribution's formula: [`Distribution`]. `ln` is [`ln`], below.
//! 4. Rounded to FP32, and from there to the element type.

use fouroversix::Element;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

/// What a random element is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// Normal, mean 0, variance 1: the inverse of the distribution function at `u`, by algorithm AS
    /// 241 (Wichura, 1988), PPND16. Element `i` takes output `i`.
    Normal,
    /// Laplace, scale 1: `ln(2u)` below a half, else `−ln(2(1 − u))`. Element `i` takes output `i`.
    Laplace,
    /// Student's t with 4 degrees of freedom: a normal `z` over `√(χ²/4)`, `χ² = −2·ln(u·v)`.
    /// Element `i` takes outputs `3i` (`z`), `3i + 1` (`u`) and `3i + 2` (`v`).
    StudentT,
    /// Uniform between −1 and 1: `2u − 1`. Element `i` takes output `i`.
    Uniform,
}

impl Distribution {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Normal, Self::Laplace, Self::StudentT, Self::Uniform];

    /// Its name in running text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Laplace => "Laplace",
            Self::StudentT => "Student-t (4)",
            Self::Uniform => "uniform",
        }
    }
}

/// Elements that a task fills.
const CHUNK: usize = 1 << 14;

/// Fills `out` with elements `first`, `first + 1`, … of the tensor that `seed` stands for.
pub fn fill<T: Element>(distribution: Distribution, seed: u64, first: u64, out: &mut [T]) {
    out.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, out)| {
        let first = first + (chunk * CHUNK) as u64;
        for (index, element) in (first..).zip(out) {
            *element = T::from_f32(sample(distribution, seed, index));
        }
    });
}

/// Element `index` of the tensor that `seed` stands for, rounded to FP32.
#[must_use]
pub fn sample(distribution: Distribution, seed: u64, index: u64) -> f32 {
    let value = match distribution {
        Distribution::Normal => normal(uniform(seed, index)),
        Distribution::Laplace => laplace(uniform(seed, index)),
        Distribution::StudentT => {
            let counter = index.wrapping_mul(3);
            let [z, u, v] = [0, 1, 2].map(|part| uniform(seed, counter.wrapping_add(part)));
            normal(z) / (-ln(u * v) / 2.0).sqrt()
        }
        Distribution::Uniform => 2.0 * uniform(seed, index) - 1.0,
    };
    value as f32
}

/// Output number `counter` of `SplitMix64` (Steele, Lea and Flood, 2014) started with `seed`.
fn bits(seed: u64, counter: u64) -> u64 {
    let step = 0x9E37_79B9_7F4A_7C15_u64;
    SplitMix64::seed_from_u64(seed.wrapping_add(counter.wrapping_mul(step))).next_u64()
}

/// A multiple of 2⁻⁵³ strictly between 0 and 1.
fn uniform(seed: u64, counter: u64) -> f64 {
    // 52 bits and a half: exact in 53.
    ((bits(seed, counter) >> 12) as f64 + 0.5) * (1.0 / (1_u64 << 52) as f64)
}

fn laplace(u: f64) -> f64 {
    if u < 0.5 { ln(2.0 * u) } else { -ln(2.0 * (1.0 - u)) }
}

/// The normal distribution's inverse at `p`, `0 < p < 1`.
fn normal(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180625 - q * q;
        return q * polynomial(&CENTRE[0], r) / polynomial(&CENTRE[1], r);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    let r = (-ln(tail)).sqrt();
    let magnitude = if r <= 5.0 {
        polynomial(&MIDDLE[0], r - 1.6) / polynomial(&MIDDLE[1], r - 1.6)
    } else {
        polynomial(&FAR[0], r - 5.0) / polynomial(&FAR[1], r - 5.0)
    };
    if q < 0.0 { -magnitude } else { magnitude }
}

/// Natural logarithm of a positive normal number.
///
/// `x = m·2ᵉ` with `m` in [3/4, 3/2); `t = (m − 1)/(m + 1)`, so `|t| ≤ 1/5`; `s = t·t`;
/// `ln x = e·ln 2 + 2t·(1 + s/3 + s²/5 + … + s¹¹/23)`, the sum by Horner's rule. The first term
/// left out is below 10⁻¹⁷.
fn ln(x: f64) -> f64 {
    debug_assert!(x.is_normal() && x > 0.0);
    let mut exponent = (x.to_bits() >> 52) as i64 - 1023;
    let mut m = f64::from_bits(x.to_bits() & ((1 << 52) - 1) | 1023 << 52);
    if m >= 1.5 {
        m *= 0.5;
        exponent += 1;
    }
    let t = (m - 1.0) / (m + 1.0);
    let s = t * t;
    let mut sum = 1.0 / 23.0;
    for odd in [21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = sum * s + 1.0 / odd;
    }
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * t * sum
}

/// Coefficients from the highest power down, by Horner's rule.
fn polynomial(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// Numerator and denominator for `|p − 1/2| ≤ 0.425`.
#[expect(clippy::excessive_precision, reason = "as published")]
const CENTRE: [[f64; 8]; 2] = [
    [
        2.509_080_928_730_122_672_7e3,
        3.343_057_558_358_812_810_5e4,
        6.726_577_092_700_870_085_3e4,
        4.592_195_393_154_987_145_7e4,
        1.373_169_376_550_946_112_5e4,
        1.971_590_950_306_551_442_7e3,
        1.331_416_678_917_843_774_5e2,
        3.387_132_872_796_366_608_0,
    ],
    [
        5.226_495_278_852_854_561_0e3,
        2.872_908_573_572_194_267_4e4,
        3.930_789_580_009_271_061_0e4,
        2.121_379_430_158_659_586_7e4,
        5.394_196_021_424_751_107_7e3,
        6.871_870_074_920_579_083_0e2,
        4.231_333_070_160_091_125_2e1,
        1.0,
    ],
];

/// Numerator and denominator for tails down to e⁻²⁵.
#[expect(clippy::excessive_precision, reason = "as published")]
const MIDDLE: [[f64; 8]; 2] = [
    [
        7.745_450_142_783_414_076_40e-4,
        2.272_384_498_926_918_458_33e-2,
        2.417_807_251_774_506_117_70e-1,
        1.270_458_252_452_368_382_58,
        3.647_848_324_763_204_605_04,
        5.769_497_221_460_691_405_50,
        4.630_337_846_156_545_295_90,
        1.423_437_110_749_683_577_34,
    ],
    [
        1.050_750_071_644_416_843_24e-9,
        5.475_938_084_995_344_946_00e-4,
        1.519_866_656_361_645_719_66e-2,
        1.481_039_764_274_800_745_90e-1,
        6.897_673_349_851_000_045_50e-1,
        1.676_384_830_183_803_849_40,
        2.053_191_626_637_758_821_87,
        1.0,
    ],
];

/// Numerator and denominator beyond.
#[expect(clippy::excessive_precision, reason = "as published")]
const FAR: [[f64; 8]; 2] = [
    [
        2.010_334_399_292_288_132_65e-7,
        2.711_555_568_743_487_578_15e-5,
        1.242_660_947_388_078_438_60e-3,
        2.653_218_952_657_612_309_30e-2,
        2.965_605_718_285_048_912_30e-1,
        1.784_826_539_917_291_335_80,
        5.463_784_911_164_114_369_90,
        6.657_904_643_501_103_777_20,
    ],
    [
        2.044_263_103_389_939_785_64e-15,
        1.421_511_758_316_445_888_70e-7,
        1.846_318_317_510_054_681_80e-5,
        7.868_691_311_456_132_591_00e-4,
        1.487_536_129_085_061_485_25e-2,
        1.369_298_809_227_358_053_10e-1,
        5.998_322_065_558_879_376_90e-1,
        1.0,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_those_of_an_independent_program() {
        // From Python: its own SplitMix64, statistics.NormalDist.inv_cdf and math.log.
        let expected: [(u64, u64, [f32; 4]); 4] = [
            (46, 0, [0.613_415_8, 0.616_924_46, 0.614_739_84, 0.460_398_55]),
            (46, 1, [-0.925_407_65, -1.036_330_9, -0.745_760_56, -0.645_246_1]),
            (46, 704_643_071, [0.263_279_26, 0.232_770_55, -0.596_128_8, 0.207_664_64]),
            (0, 12_345, [0.469_366_16, 0.448_151_44, 1.308_790_8, 0.361_192_05]),
        ];
        for (seed, index, values) in expected {
            for (distribution, expected) in Distribution::ALL.into_iter().zip(values) {
                let actual = sample(distribution, seed, index);
                // The other program's logarithm may be an ulp of a double away.
                let ulps = actual.to_bits().abs_diff(expected.to_bits());
                assert!(ulps <= 1, "{distribution:?} {seed} {index}: {actual} {expected}");
            }
        }
        assert_eq!(bits(46, 0), 0xBAEE_56F3_2E22_3007);
        assert_eq!(bits(46, 704_643_071), 0x9A94_C14E_B85E_4A91);
    }

    #[test]
    fn inverse_of_the_normal_distribution() {
        for (p, z) in [
            (1e-3, -3.090_232_306_167_813),
            (0.1, -1.281_551_565_544_600_8),
            (0.3, -0.524_400_512_708_040_7),
            (0.5, 0.0),
            (0.925, 1.439_531_470_938_456),
            (0.99, 2.326_347_874_040_840_8),
            (1e-12, -7.034_483_825_301_132),
            (1.110_223_024_625_156_5e-16, -8.209_536_151_601_386),
        ] {
            let actual = normal(p);
            assert!((actual - z).abs() <= 4e-15 * z.abs(), "{p}: {actual} {z}");
        }
    }

    #[test]
    fn logarithm_is_accurate() {
        for i in 1..4000_u32 {
            for x in
                [f64::from(i) / 4000.0, 1.0 - f64::from(i) * f64::EPSILON, 1e-30 * f64::from(i)]
            {
                let (actual, expected) = (ln(x), x.ln());
                // It is worst just below x = 3/4, where ln m cancels half of e·ln 2.
                let bound = 4.0 * f64::EPSILON * expected.abs();
                assert!((actual - expected).abs() <= bound, "{x}: {actual} {expected}");
            }
        }
        assert_eq!(ln(1.0), 0.0);
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let count = 1 << 18;
        let mean = |distribution, f: fn(f64) -> f64| {
            let values = (0..count).map(|i| f(f64::from(sample(distribution, 7, i))));
            values.sum::<f64>() / count as f64
        };
        for (distribution, absolute, square) in [
            (Distribution::Normal, 0.797_885, 1.0),
            (Distribution::Laplace, 1.0, 2.0),
            // Its fourth moment is infinite, so that the second converges slowly.
            (Distribution::StudentT, 1.0, 2.0),
            (Distribution::Uniform, 0.5, 1.0 / 3.0),
        ] {
            assert!(mean(distribution, |x| x).abs() < 0.01, "{distribution:?}");
            assert!(
                (mean(distribution, f64::abs) / absolute - 1.0).abs() < 0.01,
                "{distribution:?}"
            );
            let tolerance = if distribution == Distribution::StudentT { 0.1 } else { 0.02 };
            let ratio = mean(distribution, |x| x * x) / square;
            assert!((ratio - 1.0).abs() < tolerance, "{distribution:?} {ratio}");
        }
    }

    #[test]
    fn parts_of_a_tensor_are_its_elements() {
        let mut whole = vec![0.0_f32; 3 * CHUNK];
        fill(Distribution::StudentT, 3, 0, &mut whole);
        let mut part = vec![0.0_f32; CHUNK + 5];
        fill(Distribution::StudentT, 3, 777, &mut part);
        assert_eq!(part[..], whole[777..777 + part.len()]);
    }
}
