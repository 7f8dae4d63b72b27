//! What did not run is green on CI only where `.ci/not-checked.list` gives a reason.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fouroversix_conformance::not_checked::not_checked;
use fouroversix_cpu::Path as CpuPath;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The list's identifiers and reasons.
fn listed() -> Vec<(String, String)> {
    let list = std::fs::read_to_string(root().join(".ci/not-checked.list")).unwrap();
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    let split = |line: &str| {
        let (id, reason) = line.split_once(": ").expect("a line is ID: REASON");
        (id.to_owned(), reason.to_owned())
    };
    lines.map(split).collect()
}

fn said(id: &str, ci: Option<&str>) -> Output {
    let mut script = Command::new(root().join(".ci/not-checked"));
    script.args([id, "it rains"]).env_remove("CI");
    if let Some(ci) = ci {
        script.env("CI", ci);
    }
    script.output().unwrap()
}

#[test]
fn on_ci_only_what_is_listed_may_be_left_out() {
    for (ci, unlisted) in [(Some("true"), false), (Some("false"), true), (None, true)] {
        let output = said("no-such-check", ci);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.success(), unlisted, "CI={ci:?}: {text}");
        assert!(text.contains("NOT CHECKED") && text.contains("it rains"), "{text}");
        for (id, reason) in listed() {
            let output = said(&id, ci);
            let text = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success() && text.contains(&reason), "CI={ci:?}: {text}");
        }
    }
}

/// A line that no check uses any more would excuse the next check of that name.
#[test]
fn every_listed_check_exists_and_has_a_reason() {
    let sources = Command::new("grep")
        .args(["-rhE", "not.checked", ".ci", "tests", "xtask", "scripts", "host", "--include=*"])
        .args(["--exclude=not-checked.list", "--exclude-dir=target", "--exclude-dir=golden"])
        .args(["-A2"])
        .current_dir(root())
        .output()
        .unwrap();
    let sources = String::from_utf8_lossy(&sources.stdout).into_owned();
    for (id, reason) in listed() {
        assert!(reason.len() > 20, "{id}: {reason}");
        let quoted = format!("\"{id}\"");
        let bare = format!("not-checked {id} ");
        assert!(sources.contains(&quoted) || sources.contains(&bare), "{id} is no check's name");
    }
}

/// Tests run every path that the machine has: those that it lacks are said to be unchecked.
#[test]
fn every_path_of_the_architecture_is_there_or_said_to_be_missing() {
    let all: &[&str] = match std::env::consts::ARCH {
        "x86_64" => &["avx512", "avx2", "portable", "scalar"],
        "aarch64" => &["neon", "portable", "scalar"],
        _ => &["portable", "scalar"],
    };
    let there: Vec<&str> = CpuPath::available().into_iter().map(CpuPath::name).collect();
    for path in all.iter().filter(|path| !there.contains(path)) {
        not_checked("cpu-paths", &format!("this machine has no {path}"));
    }
    assert!(there.iter().all(|path| all.contains(path)), "{there:?} of {all:?}");
}
