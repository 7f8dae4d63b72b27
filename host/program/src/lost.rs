//! Files that are read through a mapping and are gone: the system then ends a program by SIGBUS, which
//! says nothing.

use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;

use signal_hook::consts::SIGBUS;
use signal_hook::low_level;

/// The status of a command that failed.
const FAILED: i32 = 2;

const SENTENCE: &[u8] =
    b"error: a file was shortened while it was read, or its disk can't be read: \
    check that it is whole, then run the same command again\n";

/// From now on the program says so and ends with status 2.
///
/// # Errors
/// When the system allows no handler.
pub(crate) fn explain() -> io::Result<()> {
    let say = || {
        // SAFETY: standard error is there as long as the program, and is not closed.
        let error = ManuallyDrop::new(unsafe { File::from_raw_fd(2) });
        // Nobody is left to be told that it could not be said.
        let _ = (&*error).write_all(SENTENCE);
        low_level::exit(FAILED);
    };
    // SAFETY: the handler calls write and _exit alone, which signal handlers may.
    unsafe { low_level::register(SIGBUS, say) }.map(drop)
}
