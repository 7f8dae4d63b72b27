//! What Ctrl-C and SIGTERM do while a run writes: it stops at once and says how to go on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use super::error::CliError;
use super::print;

/// The status of a command that was interrupted.
const INTERRUPTED: i32 = 130;

/// From now on an interrupted run says what is left of it, and a file beyond the limit of the system
/// (`ulimit -f`) is an error of writing and not the program's end.
///
/// # Errors
/// When the system allows no handler.
pub(crate) fn explain(input: &Path, output: &Path) -> Result<(), CliError> {
    let failed = |error: io::Error| {
        CliError::said(format!("cannot wait for signals: {error}: check the system's limits"))
    };
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    // Handled at all, whatever is done then.
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map_err(failed)?;
    let output: PathBuf = output.components().collect();
    let is_dir = input.is_dir();
    let wait = move || {
        if signals.forever().next().is_some() {
            print::aside(&format!("\ninterrupted: {}", left(&output, is_dir)));
            // At once: threads may be in the middle of anything, and nothing depends on their end.
            signal_hook::low_level::exit(INTERRUPTED);
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(failed)?;
    Ok(())
}

fn left(output: &Path, is_dir: bool) -> String {
    let output = output.display();
    if is_dir {
        format!(
            "run the same command again to go on where it stopped (finished shards are kept in \
             {output}.partial)"
        )
    } else {
        format!("{output} was not touched; run the same command again to start over")
    }
}
