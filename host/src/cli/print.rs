//! Standard output: lines, JSON, and numbers as people read them.

use std::io::{self, Write};

use fouroversix::checkpoint::{Figures, TensorRecord};

/// One line.
pub(crate) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// One JSON document.
pub(crate) fn json(value: &impl serde::Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)
}

/// The heading over [`record`]'s lines.
pub(crate) const RECORD_HEADING: &str = "  rel. MSE  SQNR dB    map4   vs plain  tensor";

/// A quantized tensor's figures in a line.
pub(crate) fn record(record: &TensorRecord) -> String {
    let [rows, cols] = record.shape;
    let name = format!("{} [{rows}, {cols}] {}", record.name, record.dtype);
    match &record.chosen {
        Some(chosen) => format!("{}  {name}", figures(chosen, record.plain.as_ref())),
        None => format!("{:>46}{name}", ""),
    }
}

/// Error figures in columns.
pub(crate) fn figures(chosen: &Figures, plain: Option<&Figures>) -> String {
    let against = plain.map_or_else(
        || "-".to_owned(),
        |plain| format!("{:+.2}%", 100.0 * (chosen.relative_mse() / plain.relative_mse() - 1.0)),
    );
    format!(
        "{:10.6} {:>8.3} {:>6.1}%  {:>9}",
        chosen.relative_mse(),
        chosen.sqnr_db(),
        100.0 * chosen.map4_share(),
        against
    )
}

/// Bytes with a decimal unit.
pub(crate) fn bytes(count: u64) -> String {
    // For display: a double's 53 bits are plenty.
    let count = count as f64;
    match count {
        c if c >= 1e9 => format!("{:.2} GB", c / 1e9),
        c if c >= 1e6 => format!("{:.2} MB", c / 1e6),
        c if c >= 1e3 => format!("{:.1} kB", c / 1e3),
        c => format!("{c} B"),
    }
}
