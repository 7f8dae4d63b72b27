//! What quantization loses.

/// How far a quantized tensor is from its input.
///
/// Sums are taken in FP64 over FP32 dequantized values; those of panels of a tensor add up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Deviation {
    /// Sum of squared differences.
    pub squared_error: f64,
    /// Sum of the squared inputs.
    pub input_power: f64,
    /// Largest absolute difference.
    pub max_error: f64,
}

impl Deviation {
    /// Squared error over input power; 0 for an input of zeros that came back as zeros.
    #[must_use]
    pub fn relative_mse(self) -> f64 {
        if self.squared_error == 0.0 { 0.0 } else { self.squared_error / self.input_power }
    }

    /// Signal to quantization noise in decibels; infinite when nothing was lost.
    #[must_use]
    pub fn sqnr_db(self) -> f64 {
        -10.0 * self.relative_mse().log10()
    }
}

impl std::ops::Add for Deviation {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            squared_error: self.squared_error + other.squared_error,
            input_power: self.input_power + other.input_power,
            max_error: self.max_error.max(other.max_error),
        }
    }
}

impl std::iter::Sum for Deviation {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| sum + part)
    }
}
