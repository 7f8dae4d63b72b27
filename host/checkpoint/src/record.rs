//! What a run says about each tensor it quantized.

use fouroversix_core::{Choices, Deviation, Scaling};
use rayon::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::kind::Kind;

/// Error figures of one tensor under one rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Sum of squared differences; NaN (`null` in JSON) when the input was not finite.
    #[serde(serialize_with = "finite_or_null", deserialize_with = "null_is_nan")]
    pub squared_error: f64,
    /// Sum of squared inputs; NaN when the input was not finite.
    #[serde(serialize_with = "finite_or_null", deserialize_with = "null_is_nan")]
    pub input_power: f64,
    /// Largest absolute difference; NaN when the input was not finite.
    #[serde(serialize_with = "finite_or_null", deserialize_with = "null_is_nan")]
    pub max_error: f64,
    /// Blocks (tiles when 2D) that took map4.
    pub map4: u64,
    /// All blocks (tiles when 2D).
    pub blocks: u64,
}

impl Figures {
    /// Puts a deviation and the choices behind it together.
    #[must_use]
    pub fn new(deviation: Deviation, choices: Choices) -> Self {
        Self {
            squared_error: deviation.squared_error,
            input_power: deviation.input_power,
            max_error: deviation.max_error,
            map4: choices.map4,
            blocks: choices.blocks,
        }
    }

    fn deviation(&self) -> Deviation {
        Deviation {
            squared_error: self.squared_error,
            input_power: self.input_power,
            max_error: self.max_error,
        }
    }

    /// Squared error over input power.
    #[must_use]
    pub fn relative_mse(&self) -> f64 {
        self.deviation().relative_mse()
    }

    /// Signal to quantization noise in decibels.
    #[must_use]
    pub fn sqnr_db(&self) -> f64 {
        self.deviation().sqnr_db()
    }

    /// Share of blocks that took map4, 0 to 1.
    #[must_use]
    pub fn map4_share(&self) -> f64 {
        Choices { map4: self.map4, blocks: self.blocks }.map4_share()
    }

    /// Adds the figures of other elements.
    pub fn add(&mut self, other: &Self) {
        self.squared_error += other.squared_error;
        self.input_power += other.input_power;
        self.max_error = self.max_error.max(other.max_error);
        self.map4 += other.map4;
        self.blocks += other.blocks;
    }
}

fn finite_or_null<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() { serializer.serialize_some(value) } else { serializer.serialize_none() }
}

fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// How often each code and each scale exponent occurs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histograms {
    /// By magnitude index: {0, 0.5, 1, 1.5, 2, 3, 4, 6}.
    pub magnitudes: [u64; 8],
    /// Block scales by E4M3 exponent field; 0 holds the subnormal ones and zero.
    pub scale_exponents: [u64; 16],
}

impl Histograms {
    /// Of packed codes and scale bytes.
    #[must_use]
    pub fn of(codes: &[u8], scales: &[u8]) -> Self {
        let mut histograms = Self::default();
        for (byte, count) in byte_counts(codes).into_iter().enumerate() {
            histograms.magnitudes[byte & 7] += count;
            histograms.magnitudes[(byte >> 4) & 7] += count;
        }
        for (byte, count) in byte_counts(scales).into_iter().enumerate() {
            histograms.scale_exponents[(byte >> 3) & 15] += count;
        }
        histograms
    }

    /// Adds the counts of other blocks.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.magnitudes.iter_mut().zip(other.magnitudes) {
            *count += more;
        }
        for (count, more) in self.scale_exponents.iter_mut().zip(other.scale_exponents) {
            *count += more;
        }
    }
}

/// How often each byte occurs.
fn byte_counts(bytes: &[u8]) -> [u64; 256] {
    let count = |bytes: &[u8]| {
        let mut counts = [0_u64; 256];
        for &byte in bytes {
            counts[usize::from(byte)] += 1;
        }
        counts
    };
    let sum = |mut a: [u64; 256], b: [u64; 256]| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    };
    bytes.par_chunks(1 << 16).map(count).reduce(|| [0; 256], sum)
}

/// One quantized tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorRecord {
    /// Its name before quantization.
    pub name: String,
    /// `[rows, cols]` in elements.
    pub shape: [usize; 2],
    /// Its type before quantization.
    pub dtype: String,
    /// What it became.
    #[serde(default, skip_serializing_if = "Kind::is_usual")]
    pub kind: Kind,
    /// The parts it shares its global scale with.
    pub group: Option<String>,
    /// The amax behind its global scale (the largest one when row-scaled; of FP8 the largest finite
    /// magnitude), `null` when infinite.
    #[serde(serialize_with = "finite_or_null", deserialize_with = "null_is_nan")]
    pub amax: f64,
    /// With the chosen rule, or as FP8.
    pub chosen: Option<Figures>,
    /// With plain NVFP4; nothing of FP8.
    pub plain: Option<Figures>,
    /// Of the codes and scales written; all 0 of FP8.
    pub histograms: Histograms,
    /// How a tensor of another encoding was taken, where there are two ways: MXFP4 without loss, or
    /// why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// Blocks of stored codes whose largest magnitude is 4: those that took map4.
///
/// A block maximum is mapped to 4 or to 6 and lands within 1/16 of it, so the largest code tells
/// which; exact unless the block's scale is subnormal (below 2^-6) or was clamped at 448.
///
/// `codes` are whole rows of `cols` elements; with [`Scaling::Tile`] whole tiles of 16 rows, each
/// of which is one block. Blocks of zeros count as map6.
///
/// # Panics
/// If the codes are not whole rows, or whole tiles.
#[must_use]
pub fn choices_from_codes(codes: &[u8], cols: usize, scaling: Scaling) -> Choices {
    let rows_together = if scaling == Scaling::Tile { 16 } else { 1 };
    let stripe = cols / 2 * rows_together;
    let mut choices = Choices::default();
    if stripe == 0 {
        return choices;
    }
    assert_eq!(codes.len() % stripe, 0, "the codes must be whole rows or tiles");
    let mut largest = vec![0; cols / 16];
    for stripe in codes.chunks_exact(stripe) {
        largest.fill(0);
        for row in stripe.chunks_exact(cols / 2) {
            for (largest, block) in largest.iter_mut().zip(row.chunks_exact(8)) {
                for &byte in block {
                    *largest = (*largest).max(byte & 7).max((byte >> 4) & 7);
                }
            }
        }
        choices.map4 += largest.iter().filter(|&&code| code == 6).count() as u64;
        choices.blocks += largest.len() as u64;
    }
    choices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_count_both_nibbles() {
        let histograms = Histograms::of(&[0x7F, 0x21], &[0x08, 0x0F, 0x7E]);
        assert_eq!(histograms.magnitudes, [0, 1, 1, 0, 0, 0, 0, 2]);
        assert_eq!(histograms.scale_exponents[1], 2);
        assert_eq!(histograms.scale_exponents[15], 1);
    }

    #[test]
    fn records_survive_json_with_numbers_that_are_not_finite() {
        let figures = Figures { squared_error: f64::NAN, input_power: 0.1, ..Figures::default() };
        let text = serde_json::to_string(&figures).unwrap();
        assert!(text.contains("\"squared_error\":null"), "{text}");
        let back: Figures = serde_json::from_str(&text).unwrap();
        assert!(back.squared_error.is_nan());
        assert_eq!(back.input_power.to_bits(), 0.1_f64.to_bits());
    }

    #[test]
    fn map4_blocks_show_in_their_codes() {
        let mut codes = [0x11_u8; 16];
        codes[3] = 0xE1;
        codes[9] = 0x67;
        let counted = choices_from_codes(&codes, 16, Scaling::Tensor);
        assert_eq!(counted, Choices { map4: 1, blocks: 2 });
        let mut tile = [0x11_u8; 128];
        tile[100] = 0x60;
        let counted = choices_from_codes(&tile, 16, Scaling::Tile);
        assert_eq!(counted, Choices { map4: 1, blocks: 1 });
    }
}
