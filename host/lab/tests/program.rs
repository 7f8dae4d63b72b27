//! The program as a whole: what it writes to, and what it never writes over.

use std::fs::{self, OpenOptions};
use std::process::Stdio;

use crate::common::{Folder, program};

/// Small runs of what needs no GPU.
fn commands(weights: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["agreement", "--device", "cpu", "--shape", "32", "64"],
        vec!["study", "error", "--shape", "32", "64"],
        vec!["study", "error", "--weights", weights, "--shape", "32", "64"],
        vec!["study", "training", "--shape", "32", "64", "--draws", "4"],
        vec!["bench", "cpu", "--shape", "32", "64", "--repeats", "1"],
        vec!["--help"],
        vec!["--version"],
    ]
}

#[test]
fn readers_that_go_away_change_nothing() {
    let folder = Folder::new("unread");
    for arguments in commands(&folder.weights()) {
        let mut command = program(&arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let folder = Folder::new("full");
    for arguments in commands(&folder.weights()) {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = program(&arguments).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains("cannot write to standard output"), "{said}");
    }
}

#[test]
fn plots_never_replace_what_they_are_made_from() {
    let folder = Folder::new("plot");
    let weights = folder.weights();
    let before = fs::read(&weights).unwrap();
    let arguments =
        ["study", "error", "--weights", &weights, "--svg", &weights, "--shape", "32", "64"];
    let output = program(&arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("being read"), "{said}");
    assert!(fs::read(&weights).unwrap() == before);
}
