//! The answers that the program carries.
//!
//! Each is a digest of codes, scales, global amaxes and dequantized values, made of what the
//! project's reference gives; a test of the project makes them anew and compares.

use std::collections::HashMap;

use fouroversix::Element;
use xxhash_rust::xxh3::Xxh3;

use super::check::{Check, Pattern};

/// A line for each mode, a digest for each pattern.
pub const TEXT: &str = include_str!("answers.txt");

/// A quantized tensor and what it dequantizes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// E2M1 codes, `[rows, cols/2]`.
    pub codes: Vec<u8>,
    /// E4M3 block scales, padding included.
    pub scales: Vec<u8>,
    /// One, or one for each row.
    pub global_amax: Vec<f32>,
    /// Exact values of the dequantized elements.
    pub values: Vec<f32>,
}

/// The digest of the answers to a check. Which NaN a value is does not count.
#[must_use]
pub fn digest(answers: &[Answer]) -> u64 {
    let mut hash = Xxh3::new();
    for Answer { codes, scales, global_amax, values } in answers {
        hash.update(codes);
        hash.update(scales);
        for value in global_amax.iter().chain(values) {
            let bits = if value.is_nan() { u32::MAX } else { value.to_bits() };
            hash.update(&bits.to_le_bytes());
        }
    }
    hash.digest()
}

/// The first difference between two answers in words, for example `codes 12 is 0x3, not 0x4`.
pub(super) fn difference(found: &Answer, expected: &Answer) -> Option<String> {
    let bits = |values: &[f32]| -> Vec<u32> {
        values
            .iter()
            .map(|x| if x.is_nan() { u32::MAX } else { Element::to_f32(*x).to_bits() })
            .collect()
    };
    let wide = |bytes: &[u8]| -> Vec<u32> { bytes.iter().map(|byte| u32::from(*byte)).collect() };
    let parts = [
        ("code byte", wide(&found.codes), wide(&expected.codes)),
        ("scale", wide(&found.scales), wide(&expected.scales)),
        ("global amax", bits(&found.global_amax), bits(&expected.global_amax)),
        ("dequantized value", bits(&found.values), bits(&expected.values)),
    ];
    parts.into_iter().find_map(|(part, found, expected)| {
        let at = found.iter().zip(&expected).position(|(a, b)| a != b)?;
        Some(format!("{part} {at} is {:#x}, not {:#x}", found[at], expected[at]))
    })
}

/// The carried answers by mode.
#[derive(Default)]
pub(super) struct Answers(HashMap<&'static str, Vec<u64>>);

impl Answers {
    pub(super) fn carried() -> Self {
        let line = |line: &'static str| {
            let (mode, digests) = line.split_once(": ")?;
            let digests = digests.split(' ').map(|digest| u64::from_str_radix(digest, 16));
            Some((mode, digests.collect::<Result<_, _>>().ok()?))
        };
        Self(TEXT.lines().filter_map(line).collect())
    }

    /// The answer to a check; `None` where the table lacks it.
    pub(super) fn get(&self, check: &Check) -> Option<u64> {
        let at = Pattern::ALL.iter().position(|pattern| *pattern == check.pattern)?;
        self.0.get(check.mode.to_string().as_str())?.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        let expected = Answer {
            codes: vec![1, 2],
            scales: vec![3],
            global_amax: vec![1.0],
            values: vec![0.0, f32::NAN],
        };
        assert_eq!(difference(&expected, &expected), None);
        let found = Answer { values: vec![-0.0, -f32::NAN], ..expected.clone() };
        let said = difference(&found, &expected);
        assert_eq!(said.unwrap(), "dequantized value 0 is 0x80000000, not 0x0");
        assert_ne!(digest(&[found]), digest(std::slice::from_ref(&expected)));
        let other_nan = Answer { values: vec![0.0, -f32::NAN], ..expected.clone() };
        assert_eq!(digest(&[other_nan]), digest(&[expected]));
    }

    #[test]
    fn every_check_has_an_answer() {
        let answers = Answers::carried();
        assert!(Check::all().count() > 1000);
        assert!(Check::all().all(|check| answers.get(&check).is_some()));
    }
}
