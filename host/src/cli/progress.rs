//! What is seen while a run goes on: a bar on a terminal, plain lines otherwise.

use std::io::IsTerminal;

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
}

impl Progress {
    /// For a run over `bytes` of input.
    pub(crate) fn new(talk: TalkArgs, bytes: u64) -> Self {
        let bar = if talk.quiet || !std::io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            let template = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
            let style = ProgressStyle::with_template(template).expect("the template is valid");
            ProgressBar::new(bytes).with_style(style)
        };
        Self { bar, lines: !talk.quiet && !talk.json, notes: !talk.quiet, headed: false }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Progress {
    fn advance(&mut self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn tensor(&mut self, record: &TensorRecord) {
        if !self.lines {
            return;
        }
        let heading = (!std::mem::replace(&mut self.headed, true)).then_some(print::RECORD_HEADING);
        // A reader that went away must not stop the run: the files are what was asked for.
        self.bar.suspend(|| {
            let _ = heading.map(print::line);
            let _ = print::line(&print::record(record));
        });
    }

    fn note(&mut self, text: &str) {
        if self.notes {
            self.bar.suspend(|| eprintln!("note: {text}"));
        }
    }
}
