//! What is seen while a run goes on: a bar on a terminal, plain lines otherwise.

use std::io::{self, IsTerminal};

use fouroversix::checkpoint::{Observer, TensorRecord};
use indicatif::{ProgressBar, ProgressStyle};

use super::args::TalkArgs;
use super::print;

/// Tells the user how a run gets on.
pub(crate) struct Progress {
    bar: ProgressBar,
    lines: bool,
    notes: bool,
    headed: bool,
    map4: bool,
    /// The first failure to print: the run goes on, the files are what was asked for.
    printed: io::Result<()>,
}

impl Progress {
    /// For a run over `bytes` of input.
    pub(crate) fn new(talk: TalkArgs, bytes: u64) -> Self {
        let bar = if talk.quiet || !io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            let template = "{bar:30} {decimal_bytes}/{decimal_total_bytes} \
                            {decimal_bytes_per_sec}, {eta} left";
            let style = ProgressStyle::with_template(template).expect("the template is valid");
            ProgressBar::new(bytes).with_style(style)
        };
        let lines = !talk.quiet && !talk.json;
        Self { bar, lines, notes: !talk.quiet, headed: false, map4: true, printed: Ok(()) }
    }

    /// With the share of map4 of each tensor, or a dash in its place.
    pub(crate) fn with_map4(self, map4: bool) -> Self {
        Self { map4, ..self }
    }

    /// Takes the bar away.
    ///
    /// # Errors
    /// What kept lines from being printed.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.bar.finish_and_clear();
        self.printed
    }
}

impl Observer for Progress {
    fn advance(&mut self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn tensor(&mut self, record: &TensorRecord) {
        if !self.lines || self.printed.is_err() {
            return;
        }
        let mut text = print::record(record, self.map4);
        if record.chosen.is_some() && !std::mem::replace(&mut self.headed, true) {
            text = format!("{}\n{text}", print::RECORD_HEADING);
        }
        self.printed = self.bar.suspend(|| print::line(&text));
    }

    fn note(&mut self, text: &str) {
        if self.notes {
            self.bar.suspend(|| print::aside(&format!("note: {text}")));
        }
    }
}
