//! What is checked: every mode, on inputs that anyone can remake.

use std::fmt;

use fouroversix::{Config, Element, InputType, Outputs, Rule, ScaleLayout, Scaling};
use half::{bf16, f16};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// `[rows, cols]` of every input: whole tiles, and parts of the swizzled layout's.
pub const SHAPE: [usize; 2] = [48, 112];

/// How an input is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// About normal.
    Normal,
    /// Multiples of a quarter of a power of two, some a unit in the last place off.
    Ties,
    /// Blocks of very different magnitudes: scales of every size, zero among them.
    Wide,
    /// About normal and so small that the global scale meets its bounds.
    Tiny,
    /// Zeros of both signs and NaN among normal numbers.
    Odd,
    /// An infinity among normal numbers.
    Infinite,
    /// About normal, with a global amax that is supplied and too small.
    Supplied,
}

impl Pattern {
    /// All of them, in the order of the answers.
    pub const ALL: [Self; 7] = [
        Self::Normal,
        Self::Ties,
        Self::Wide,
        Self::Tiny,
        Self::Odd,
        Self::Infinite,
        Self::Supplied,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Ties => "ties",
            Self::Wide => "wide",
            Self::Tiny => "tiny",
            Self::Odd => "odd",
            Self::Infinite => "infinite",
            Self::Supplied => "supplied",
        }
    }

    /// Both layouts have their turn.
    const fn layout(self) -> ScaleLayout {
        match self {
            Self::Normal | Self::Wide | Self::Odd | Self::Supplied => ScaleLayout::Linear,
            Self::Ties | Self::Tiny | Self::Infinite => ScaleLayout::Swizzled128x4,
        }
    }
}

/// What is asked of a quantizer, the scale layout aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// The element type.
    pub element: InputType,
    rule: Rule,
    scaling: Scaling,
    outputs: Outputs,
}

impl Mode {
    /// All of them.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for element in InputType::ALL {
            for rule in Rule::ALL {
                for scaling in Scaling::ALL {
                    for outputs in Outputs::ALL {
                        let mode = Self { element, rule, scaling, outputs };
                        let layout = ScaleLayout::Linear;
                        if Config::new(rule, scaling, outputs, layout).is_ok() {
                            all.push(mode);
                        }
                    }
                }
            }
        }
        all
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { element, rule, scaling, outputs } = self;
        write!(f, "{rule} {scaling} {element} {outputs}")
    }
}

/// One mode on one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is asked for.
    pub mode: Mode,
    /// Of what.
    pub pattern: Pattern,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = match self.pattern.layout() {
            ScaleLayout::Linear => "linear",
            ScaleLayout::Swizzled128x4 => "swizzled",
        };
        write!(f, "{} {} {layout}", self.pattern.name(), self.mode)
    }
}

impl Check {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let modes = Mode::all().into_iter();
        modes.flat_map(|mode| Pattern::ALL.map(|pattern| Self { mode, pattern }))
    }

    /// The configuration.
    ///
    /// # Panics
    /// Never: the modes are valid.
    #[must_use]
    pub fn config(&self) -> Config {
        let Mode { rule, scaling, outputs, .. } = self.mode;
        Config::new(rule, scaling, outputs, self.pattern.layout()).expect("a valid mode")
    }

    /// The input's elements, each rounded to the element type and exact from there.
    #[must_use]
    pub fn values(&self) -> Vec<f32> {
        let round = match self.mode.element {
            InputType::Bf16 => |x: f32| Element::to_f32(<bf16 as Element>::from_f32(x)),
            InputType::F16 => |x: f32| Element::to_f32(<f16 as Element>::from_f32(x)),
            InputType::F32 => |x: f32| x,
        };
        let mut random = Random(SplitMix64::seed_from_u64(self.pattern as u64));
        let [rows, cols] = SHAPE;
        (0..rows * cols).map(|i| round(self.value(i, &mut random))).collect()
    }

    fn value(&self, index: usize, random: &mut Random) -> f32 {
        let block = index / 16;
        let normal = random.normal();
        match self.pattern {
            Pattern::Normal | Pattern::Supplied => normal,
            Pattern::Ties => {
                let value = (normal * 6.0).round() * 0.25 * power(-((block % 5) as i32));
                match random.below(8) {
                    0 => f32::from_bits(value.to_bits() ^ 1),
                    _ => value,
                }
            }
            Pattern::Wide => normal * power(-((block * 7 % 41) as i32)),
            Pattern::Tiny => {
                normal * power(if self.mode.element == InputType::F16 { -18 } else { -122 })
            }
            Pattern::Odd => match random.below(16) {
                0 => f32::NAN,
                1..=4 => 0.0,
                5..=7 => -0.0,
                _ if block % 7 == 3 => -0.0,
                _ => normal,
            },
            Pattern::Infinite if index == 1234 => f32::NEG_INFINITY,
            Pattern::Infinite => normal,
        }
    }

    /// The amax that is supplied for each row and each column, if any; with one for the tensor, the
    /// first.
    #[must_use]
    pub fn supplied_amax(&self) -> Option<[Vec<f32>; 2]> {
        let amax = |count: usize| (0..count).map(|i| 1.0 + (i % 8) as f32 / 4.0).collect();
        (self.pattern == Pattern::Supplied).then(|| SHAPE.map(amax))
    }
}

/// 2 to the `exponent`, a normal number.
fn power(exponent: i32) -> f32 {
    f32::from_bits(((exponent + 127) as u32) << 23)
}

/// Numbers from a seed, the same on every machine.
struct Random(SplitMix64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((self.next() >> 32) * bound) >> 32
    }

    /// The sum of four uniform numbers of 16 bits: exact in FP32, about normal, within ±4.
    fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: i32 = (0..4).map(|i| (bits >> (16 * i) & 0xFFFF) as i32).sum();
        (sum - 2 * 0xFFFF) as f32 / 32_768.0
    }
}
