//! The result, and how it is written down.

use std::fmt::{self, Write};

use serde::Serialize;

/// A run of the benchmark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// The device's name.
    pub device: String,
    /// `bf16` or `nvfp4`: in what the operands were multiplied.
    pub operands: &'static str,
    /// The version of cuBLASLt that multiplied them.
    pub cublas: String,
    /// Products that were compared with FP64, all within tolerance: all of small layers, and
    /// squares of the timed ones.
    pub checked: usize,
    /// The first product that was not. Nothing is timed after it.
    pub problem: Option<String>,
    /// The results.
    pub rows: Vec<Row>,
}

/// One recipe on one shape.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Groups.
    pub groups: usize,
    /// Rows of activations over all groups.
    pub m: usize,
    /// Output features.
    pub n: usize,
    /// Input features.
    pub k: usize,
    /// The recipe.
    pub recipe: String,
    /// Milliseconds of a step, forward and backward: the median.
    pub milliseconds: f64,
    /// A twentieth of the steps took at most this.
    pub p5: f64,
    /// Nineteen twentieths of the steps took at most this.
    pub p95: f64,
    /// Milliseconds of the step's quantization, alone: the median.
    pub quantization: f64,
    /// How much longer than the baseline's step, in percent.
    pub slowdown_percent: f64,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { groups, m, recipe, milliseconds, slowdown_percent, .. } = self;
        write!(f, "{groups} groups, m = {m}, {recipe}: {milliseconds:.3} ms, ")?;
        write!(f, "{slowdown_percent:+.2}%")
    }
}

impl Record {
    /// JSON, indented.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings and numbers only")
    }

    /// Tables, one for each number of groups.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let Self { device, operands, cublas, checked, rows, problem } = self;
        let mut out = format!(
            "Device: {device}; products in {operands} by cuBLASLt {cublas}, {checked} of them \
             compared with FP64.\n"
        );
        if let Some(problem) = problem {
            writeln!(out, "\nWRONG: {problem}").expect("writing to a string");
        }
        for rows in rows.chunk_by(|a, b| a.groups == b.groups) {
            let Row { groups, n, k, .. } = rows[0];
            write!(
                out,
                "\n### {groups} groups, k = {k}, n = {n}\n\n| m | recipe | ms | range | slowdown \
                 | quantization, ms |\n|--:|---|--:|--:|--:|--:|\n"
            )
            .expect("writing to a string");
            for row in rows {
                let Row { m, recipe, milliseconds, p5, p95, quantization, .. } = row;
                let slowdown = row.slowdown_percent;
                writeln!(
                    out,
                    "| {m} | {recipe} | {milliseconds:.3} | {p5:.3}–{p95:.3} | \
                     {slowdown:+.2}% | {quantization:.3} |"
                )
                .expect("writing to a string");
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_for_each_number_of_groups() {
        let row = |groups, recipe: &str, slowdown_percent| Row {
            groups,
            m: 16_384,
            n: 2048,
            k: 7168,
            recipe: recipe.to_owned(),
            milliseconds: 1.5,
            p5: 1.25,
            p95: 2.0,
            quantization: 0.25,
            slowdown_percent,
        };
        let rows = vec![row(4, "plain", 0.0), row(4, "mae fast", 1.236), row(8, "plain", 0.0)];
        let (device, cublas) = ("X".to_owned(), "13.0.2".to_owned());
        let mut record =
            Record { device, operands: "bf16", cublas, checked: 30, problem: None, rows };
        let text = record.to_markdown();
        assert_eq!(text.matches("### ").count(), 2);
        assert!(
            text.contains("| 16384 | mae fast | 1.500 | 1.250–2.000 | +1.24% | 0.250 |"),
            "{text}"
        );
        assert!(record.to_json().contains("\"slowdown_percent\": 1.236"));
        record.problem = Some("dX".to_owned());
        assert!(record.to_markdown().contains("WRONG: dX"));
    }
}
