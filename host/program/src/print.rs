//! Standard output and standard error: lines, JSON, and numbers as people read them.

use std::io::{self, StdoutLock, Write};
use std::time::Duration;

use fouroversix::checkpoint::{Figures, TensorRecord};

/// Standard output. A reader that went away is no failure: what a command does, and the status it
/// ends with, do not depend on how much of it was read.
pub struct Out(StdoutLock<'static>);

impl Out {
    /// Takes standard output for this thread.
    #[must_use]
    pub fn lock() -> Self {
        Self(io::stdout().lock())
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_unread(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_unread(self.0.flush(), ())
    }
}

/// `done` in place of the error that the reader has gone.
pub(crate) fn unless_unread<T>(result: io::Result<T>, done: T) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(done),
        other => other,
    }
}

/// One line, or several.
pub fn line(text: &str) -> io::Result<()> {
    let mut out = Out::lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// One JSON document.
pub fn json(value: &impl serde::Serialize) -> io::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// A line on standard error, if anyone can read it.
pub fn aside(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The heading over [`record`]'s lines when there are figures.
pub(crate) const RECORD_HEADING: &str = "  rel. MSE  SQNR dB    map4   vs plain  tensor";

/// Whether a rule, by the name that the record has for it, takes map4 or not: scale search takes one
/// of 13 scales, and a share of map4 says nothing about it.
pub(crate) fn counts_map4(rule: &str) -> bool {
    !rule.starts_with("search")
}

/// A quantized tensor in a line, its figures first if it has any, the share of map4 if it `counts`.
pub(crate) fn record(record: &TensorRecord, counts: bool) -> String {
    let [rows, cols] = record.shape;
    let name = format!("{} [{rows}, {cols}] {}", record.name, record.dtype);
    match &record.chosen {
        Some(chosen) => format!("{}  {name}", figures(chosen, record.plain.as_ref(), counts)),
        None => name,
    }
}

/// Error figures in columns; a dash where there is none, as with input that is not finite, and for
/// the share of map4 unless it `counts`.
pub(crate) fn figures(chosen: &Figures, plain: Option<&Figures>, counts: bool) -> String {
    let known = |value: f64, text: String| if value.is_nan() { "-".to_owned() } else { text };
    let mse = chosen.relative_mse();
    let change = plain
        .map_or(f64::NAN, |plain| 100.0 * (chosen.relative_mse() / plain.relative_mse() - 1.0));
    let map4 = if counts { format!("{:.1}%", 100.0 * chosen.map4_share()) } else { "-".to_owned() };
    format!(
        "{:>10} {:>8} {map4:>7}  {:>9}",
        known(mse, format!("{mse:.6}")),
        known(chosen.sqnr_db(), format!("{:.3}", chosen.sqnr_db())),
        known(change, format!("{change:+.2}%"))
    )
}

/// Bytes with a decimal unit, as the progress bar has them.
pub(crate) fn bytes(count: u64) -> String {
    // For display: a double's 53 bits are plenty.
    let count = count as f64;
    match count {
        c if c >= 1e9 => format!("{:.2} GB", c / 1e9),
        c if c >= 1e6 => format!("{:.2} MB", c / 1e6),
        c if c >= 1e3 => format!("{:.2} kB", c / 1e3),
        c => format!("{c} B"),
    }
}

/// A time in the unit that leaves it two digits or more.
pub fn duration(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    let whole = seconds.round() as u64;
    match seconds {
        s if s < 0.000_999_5 => format!("{:.0} µs", s * 1e6),
        s if s < 0.999_5 => format!("{:.0} ms", s * 1e3),
        s if s < 59.95 => format!("{s:.1} s"),
        _ if whole < 3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_printed_as_nothing() {
        for (seconds, text) in [
            (0.000_004, "4 µs"),
            (0.003_4, "3 ms"),
            (0.04, "40 ms"),
            (0.999_6, "1.0 s"),
            (1.24, "1.2 s"),
            (59.96, "1 min 0 s"),
            (3599.6, "1 h 0 min"),
            (3723.0, "1 h 2 min"),
        ] {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), text);
        }
    }

    #[test]
    fn bytes_have_decimal_units() {
        let texts = [999, 1000, 1_048_576, 5_000_000_000].map(bytes);
        assert_eq!(texts, ["999 B", "1.00 kB", "1.05 MB", "5.00 GB"]);
        for count in [1000, 1_048_576, 5_000_000_000] {
            assert_eq!(bytes(count), indicatif::DecimalBytes(count).to_string(), "as on the bar");
        }
    }

    #[test]
    fn figures_that_do_not_exist_are_dashes() {
        let none = Figures { squared_error: f64::NAN, input_power: f64::NAN, ..Figures::default() };
        for (counts, dashes) in [(true, 3), (false, 4)] {
            let text = figures(&none, Some(&none), counts);
            assert!(!text.contains("NaN") && text.matches('-').count() == dashes, "{text}");
            let columns = RECORD_HEADING.find("  tensor").expect("the last heading");
            assert_eq!(text.len(), columns, "{text:?} under {RECORD_HEADING:?}");
        }
    }
}
