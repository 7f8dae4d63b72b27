//! Comparison of what came out with what must, and words for the difference.

use std::fmt::{self, Write};

use fouroversix_core::config::ScaleLayout;
use fouroversix_reference::{Candidate, Decision, E2m1, E4m3};

use crate::case::{Case, Outcome, Output};
use crate::dequantize_case::{DequantizeCase, same_element};
use crate::oracle;

/// Compares an outcome with a case's expectation, bit for bit; on a difference, a report of it.
#[must_use]
pub fn difference(case: &Case, actual: &Outcome) -> Option<String> {
    let mut report = String::new();
    let [rows, cols] = case.input.shape;
    let parts = [
        (false, &case.expected.rowwise, &actual.rowwise, [rows, cols]),
        (true, &case.expected.columnwise, &actual.columnwise, [cols, rows]),
    ];
    for (columnwise, expected, actual, shape) in parts {
        let name = if columnwise { "columnwise" } else { "rowwise" };
        match (expected, actual) {
            (None, None) => {}
            (Some(_), None) => _ = writeln!(report, "  the {name} output is missing"),
            (None, Some(_)) => _ = writeln!(report, "  a {name} output came out unasked"),
            (Some(expected), Some(actual)) => {
                let part = Part { case, columnwise, shape, expected, actual };
                _ = part.describe(&mut report);
            }
        }
    }
    (!report.is_empty()).then_some(report)
}

/// One of a case's outputs.
struct Part<'a> {
    case: &'a Case,
    columnwise: bool,
    shape: [usize; 2],
    expected: &'a Output,
    actual: &'a Output,
}

impl Part<'_> {
    /// Writes nothing if the output is as expected.
    fn describe(&self, out: &mut String) -> fmt::Result {
        let Self { expected, actual, .. } = self;
        let expected_amax: Vec<u32> = expected.global_amax.iter().map(|x| x.to_bits()).collect();
        let actual_amax: Vec<u32> = actual.global_amax.iter().map(|x| x.to_bits()).collect();
        let amaxes = differing(&expected_amax, &actual_amax);
        let scales = differing(&expected.scales, &actual.scales);
        let codes = differing(&unpack(&expected.codes), &unpack(&actual.codes));
        if [&amaxes, &scales, &codes].iter().all(|differing| differing.is_empty()) {
            return Ok(());
        }
        let name = if self.columnwise { "columnwise" } else { "rowwise" };
        writeln!(
            out,
            "  {name}: {} of {} amax values, {} of {} scale bytes, {} of {} codes differ",
            amaxes.len(),
            expected_amax.len(),
            scales.len(),
            expected.scales.len(),
            codes.len(),
            expected.codes.len() * 2,
        )?;
        if let Some(&index) = amaxes.first() {
            let word = |amax: &[u32]| amax.get(index).map_or("absent".to_owned(), |&x| float(x));
            let (expected, actual) = (word(&expected_amax), word(&actual_amax));
            writeln!(out, "    amax {index}: expected {expected}, actual {actual}")?;
        }
        if let Some(&index) = scales.first() {
            self.describe_scale(out, index)?;
        }
        match codes.first() {
            Some(&index) => self.describe_code(out, index),
            None => Ok(()),
        }
    }

    fn describe_scale(&self, out: &mut String, index: usize) -> fmt::Result {
        let word = |scales: &[u8]| scales.get(index).map_or("absent".to_owned(), |&x| scale(x));
        let (expected, actual) = (word(&self.expected.scales), word(&self.actual.scales));
        let Some((row, block)) = self.position_of_scale(index) else {
            return writeln!(out, "    padding byte {index}: expected {expected}, actual {actual}");
        };
        writeln!(
            out,
            "    scale byte {index}, row {row}, columns {} to {}: expected {expected}, actual \
             {actual}",
            block * 16,
            block * 16 + 15,
        )?;
        self.describe_decision(out, row, block)
    }

    fn describe_code(&self, out: &mut String, index: usize) -> fmt::Result {
        let [rows, cols] = self.shape;
        let (row, col) = (index / cols, index % cols);
        if row >= rows {
            return writeln!(out, "    code {index} lies past the end");
        }
        let input = &self.case.input;
        let source = if self.columnwise { col * rows + row } else { index };
        let word = |codes: &[u8]| {
            codes
                .get(index / 2)
                .map_or("absent".to_owned(), |byte| code(byte >> (4 * (index % 2)) & 0xF))
        };
        writeln!(
            out,
            "    code at row {row}, column {col}: input {:e} ({:#0width$x}, {:#0bits$b}), expected \
             {}, actual {}",
            input.value(source),
            input.bits[source],
            input.bits[source],
            word(&self.expected.codes),
            word(&self.actual.codes),
            width = 2 + 2 * input.element.bytes(),
            bits = 2 + 8 * input.element.bytes(),
        )?;
        self.describe_decision(out, row, col / 16)
    }

    fn describe_decision(&self, out: &mut String, row: usize, block: usize) -> fmt::Result {
        let decision = oracle::explain(self.case, self.columnwise, row, block);
        write!(out, "{}", Explained(decision))
    }

    /// Row and block column of a scale byte; none of padding.
    fn position_of_scale(&self, index: usize) -> Option<(usize, usize)> {
        let [rows, cols] = self.shape;
        let blocks = cols / 16;
        match self.case.config.scale_layout() {
            ScaleLayout::Linear => {
                (index < rows * blocks).then(|| (index / blocks, index % blocks))
            }
            layout @ ScaleLayout::Swizzled128x4 => (0..rows)
                .flat_map(|row| (0..blocks).map(move |block| (row, block)))
                .find(|&(row, block)| layout.offset(cols, row, block) == index),
        }
    }
}

/// Both candidates of a block with their errors, as lines of a report.
struct Explained(Decision);

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(decision) = self;
        writeln!(
            f,
            "      block amax {}, global amax {}, S_enc {}",
            float(decision.block_amax.to_bits()),
            float(decision.global.amax.to_bits()),
            float(decision.global.encode.to_bits()),
        )?;
        for candidate in &decision.searched {
            let byte = scale(candidate.scale.to_bits());
            let error = float(candidate.error.to_bits());
            let taken = if candidate.scale == decision.scale { ", to be taken" } else { "" };
            writeln!(f, "      tried: scale {byte}, error {error}{taken}")?;
        }
        let Some(pair) = decision.candidates else {
            return writeln!(f, "      taken: scale {}", scale(decision.scale.to_bits()));
        };
        let line = |f: &mut fmt::Formatter<'_>, name, candidate: Candidate, taken| {
            let byte = scale(candidate.scale.to_bits());
            let error = float(candidate.error.to_bits());
            writeln!(f, "      {name}: scale {byte}, error {error}{taken}")
        };
        let mark = |taken| if taken { ", to be taken" } else { "" };
        line(f, "map4", pair.map4, mark(pair.takes_map4()))?;
        line(f, "map6", pair.map6, mark(!pair.takes_map4()))
    }
}

/// Compares dequantized elements with a case's expectation; on a difference, a report of it.
#[must_use]
pub fn dequantize_difference(case: &DequantizeCase, actual: &[u32]) -> Option<String> {
    let (expected, element) = (&case.expected, case.element);
    if actual.len() != expected.len() {
        return Some(format!("  {} elements, expected {}\n", actual.len(), expected.len()));
    }
    let same = |&index: &usize| same_element(element, expected[index], actual[index]);
    let differing: Vec<usize> = (0..expected.len()).filter(|index| !same(index)).collect();
    let &index = differing.first()?;
    let [_, cols] = case.shape;
    let (row, col) = (index / cols, index % cols);
    let nibble = case.tensor.codes[index / 2] >> (4 * (index % 2)) & 0xF;
    let byte = case.tensor.scales[case.scale_layout.offset(cols, row, col / 16)];
    Some(format!(
        "  {} of {} elements differ\n    row {row}, column {col}: code {}, scale {}, expected \
         {:#x}, actual {:#x}\n",
        differing.len(),
        expected.len(),
        code(nibble),
        scale(byte),
        expected[index],
        actual[index],
    ))
}

/// Indices where two sequences differ, and those that only one of them has.
fn differing<T: PartialEq>(expected: &[T], actual: &[T]) -> Vec<usize> {
    let longer = expected.len().max(actual.len());
    (0..longer).filter(|&index| expected.get(index) != actual.get(index)).collect()
}

fn unpack(codes: &[u8]) -> Vec<u8> {
    codes.iter().flat_map(|byte| [byte & 0xF, byte >> 4]).collect()
}

fn float(bits: u32) -> String {
    format!("{:e} ({bits:#010x})", f32::from_bits(bits))
}

fn scale(bits: u8) -> String {
    format!("{bits:#04x} ({:e}, {bits:#010b})", E4m3::from_bits(bits).to_f32())
}

fn code(bits: u8) -> String {
    format!("{bits:#03x} ({}, {bits:#06b})", E2m1::from_bits(bits).to_f32())
}
