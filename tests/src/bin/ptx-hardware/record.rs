//! The record of a run.

use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use fouroversix_ptx_executor::probe::{ROUNDS, THREADS, Unprobed};

/// What came of an instruction.
pub(crate) enum Outcome {
    /// All bits equal, over so many operands.
    Passed(u32),
    Failed(String),
    Skipped(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(operands) => write!(f, "passed ({operands} operands)"),
            Self::Failed(problem) => write!(f, "FAILED: {problem}"),
            Self::Skipped(reason) => write!(f, "skipped: {reason}"),
        }
    }
}

/// An instruction with its operands' kinds, and what came of it.
pub(crate) struct Line {
    pub(crate) instruction: String,
    pub(crate) outcome: Outcome,
}

/// Displays as `N passed, N failed, N skipped`.
#[derive(Default)]
pub(crate) struct Counts {
    passed: usize,
    pub(crate) failed: usize,
    skipped: usize,
}

impl Counts {
    pub(crate) fn of(lines: &[Line]) -> Self {
        let mut counts = Self::default();
        for line in lines {
            match line.outcome {
                Outcome::Passed(_) => counts.passed += 1,
                Outcome::Failed(_) => counts.failed += 1,
                Outcome::Skipped(_) => counts.skipped += 1,
            }
        }
        counts
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// The record in Markdown.
pub(crate) fn markdown(device: &str, commit: &str, lines: &[Line], without: &[Unprobed]) -> String {
    let [year, month, day] = today();
    let mut out = format!(
        "# The PTX executor against hardware\n\n\
         {device}; {year}-{month:02}-{day:02}; instructions of the kernels of commit {commit}, all four \
         instruction sets.\n\n\
         `ptx-hardware`: **{}**. Each instruction, in a kernel of its own, with {} operands: edge cases \
         and random ones, every 16-bit operand where it is the only one. All bits equal those that the \
         executor gives, memory and predicates included; `rcp.approx` may be one unit off.\n\n\
         | instruction | outcome |\n|---|---|\n",
        Counts::of(lines),
        THREADS * ROUNDS,
    );
    let cell = |text: &dyn fmt::Display| text.to_string().replace('|', "\\|").replace('\n', " ");
    for Line { instruction, outcome } in lines {
        _ = writeln!(out, "| `{}` | {} |", cell(instruction), cell(outcome));
    }
    out.push_str(
        "\nWithout a kernel of their own, because what they do is no function of operands:\n\n",
    );
    for Unprobed { mnemonic, reason } in without {
        _ = writeln!(out, "- `{mnemonic}`: {reason}");
    }
    out
}

/// Year, month and day (UTC).
fn today() -> [i64; 3] {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    civil((seconds / 86_400) as i64)
}

/// The Gregorian date `days` after 1970-01-01, counted in years that begin in March.
fn civil(days: i64) -> [i64; 3] {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, (month + 2) % 12 + 1);
    [year + era * 400 + i64::from(month < 3), month, day]
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), [1970, 1, 1]);
        assert_eq!(civil(11_016), [2000, 2, 29]);
        assert_eq!(civil(20_784), [2026, 11, 27]);
    }
}
