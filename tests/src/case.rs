//! One quantization to be done, and what must come out.

use std::fmt;
use std::sync::Arc;

use fouroversix_core::config::{Config, InputType, Rounding, Rule, SignMask};
use fouroversix_reference::{Bf16, Fp16};

/// A tensor to be quantized, as raw bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The element type.
    pub element: InputType,
    /// `[rows, cols]` in elements.
    pub shape: [usize; 2],
    /// Row-major elements; of 16-bit types the upper half is 0.
    pub bits: Vec<u32>,
}

impl Input {
    /// The exact value of the element at `index`.
    #[must_use]
    pub fn value(&self, index: usize) -> f32 {
        let bits = self.bits[index];
        match self.element {
            InputType::Bf16 => Bf16::from_bits(bits as u16).to_f32(),
            InputType::F16 => Fp16::from_bits(bits as u16).to_f32(),
            InputType::F32 => f32::from_bits(bits),
        }
    }

    /// All values, exact.
    #[must_use]
    pub fn values(&self) -> Vec<f32> {
        (0..self.bits.len()).map(|index| self.value(index)).collect()
    }

    /// The elements of a 16-bit type.
    #[must_use]
    pub fn half_words(&self) -> Vec<u16> {
        self.bits.iter().map(|&bits| bits as u16).collect()
    }

    /// The elements as they lie in memory, little-endian.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let width = self.element.bytes();
        self.bits.iter().flat_map(|bits| bits.to_le_bytes().into_iter().take(width)).collect()
    }

    /// The transpose.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let [rows, cols] = self.shape;
        let across = (0..cols).flat_map(|col| (0..rows).map(move |row| row * cols + col));
        let bits = across.map(|index| self.bits[index]).collect();
        Self { element: self.element, shape: [cols, rows], bits }
    }

    /// Whether the element at `index` has its sign bit set.
    #[must_use]
    pub fn is_negative(&self, index: usize) -> bool {
        self.bits[index] >> (8 * self.element.bytes() - 1) & 1 == 1
    }
}

/// Amax values supplied by the caller in place of the input's own.
#[derive(Clone, Debug, PartialEq)]
pub struct SuppliedAmax {
    /// For the rowwise output: one, or one for each row when row-scaled.
    pub rowwise: Vec<f32>,
    /// For the columnwise output: one, or one for each column when row-scaled; empty when that
    /// output is not asked for.
    pub columnwise: Vec<f32>,
}

/// One quantized tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// E2M1 codes, `[rows, cols/2]`, the even element in the low nibble.
    pub codes: Vec<u8>,
    /// E4M3 block scales in the layout asked for.
    pub scales: Vec<u8>,
    /// `[1]`, or one for each row when row-scaled.
    pub global_amax: Vec<f32>,
}

/// What a quantization gives: the parts that were asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Of the input.
    pub rowwise: Option<Output>,
    /// Of its transpose.
    pub columnwise: Option<Output>,
}

/// One quantization to be done, and what must come out.
#[derive(Clone, Debug)]
pub struct Case {
    /// Where it is from: file, number, distribution, seed.
    pub name: String,
    /// What is asked for.
    pub config: Config,
    /// Of what.
    pub input: Arc<Input>,
    /// Amax values to use, if not the input's own.
    pub supplied_amax: Option<Arc<SuppliedAmax>>,
    /// What must come out, bit for bit.
    pub expected: Outcome,
}

/// The whole description on one line; what filters match.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [rows, cols] = self.input.shape;
        write!(
            f,
            "{} {} {} {} {} {rows}x{cols} {}{}{}",
            self.name,
            self.config.rule(),
            self.config.scaling(),
            self.input.element,
            self.config.outputs(),
            self.config.scale_layout(),
            training_words(&self.config),
            if self.supplied_amax.is_some() { " supplied-amax" } else { "" },
        )
    }
}

/// ` stochastic` and ` transform` with the outputs' masks, where they are asked for.
fn training_words(config: &Config) -> String {
    let mut words = String::new();
    if let Rounding::Stochastic(state) = config.rounding() {
        words += &format!(" stochastic {:#x}+{:#x}", state.seed, state.offset);
    }
    let transforms = config.transforms();
    if !transforms.is_none() {
        let mask = |mask: Option<SignMask>| mask.map_or("none".to_owned(), |m| format!("{m}"));
        let [rowwise, columnwise] = [mask(transforms.rowwise), mask(transforms.columnwise)];
        words += &format!(" transform {rowwise}/{columnwise}");
    }
    words
}

/// Every rule of the first contract: plain, and the eight of Four Over Six.
#[must_use]
pub fn every_rule() -> Vec<Rule> {
    Rule::ALL.to_vec()
}

/// Those and the four of scale search.
#[must_use]
pub fn with_searches() -> Vec<Rule> {
    [&Rule::ALL[..], &Rule::SEARCHES[..]].concat()
}
