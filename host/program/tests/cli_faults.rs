//! Faults in real runs: killed at every system call, every call on a file failing, a file that shrinks, a
//! clock set back, two runs on one output. After each a rerun gives the undisturbed bytes, or a sentence
//! said what is wrong; and what was there before is there or replaced whole.
//!
//! `EXTENSIVE=1` takes every call; else those of the day's slice, which is printed, `SLICE=k` repeats it.

use std::fs::{self, File};

use crate::common::contents;
use crate::stage::{RUNS, Run, Slice, Stage};
use crate::trace::{Action, Call, available, fault, is_in, traced};

/// Runs with something done at the `number`th of the calls that count, for all numbers of the slice.
/// Returns how many of them there were.
fn at_each(
    stage: &Stage,
    slice: &Slice,
    counts: impl Fn(&Call) -> bool,
    act: impl Fn(&Call) -> Action,
) -> u64 {
    let mut tried = 0;
    for number in (0..).filter(|number| slice.has(*number)) {
        stage.reset();
        let (mut seen, mut done) = (0, None);
        let ended = traced(
            &mut stage.command(),
            |call| {
                if !counts(call) {
                    return Action::Go;
                }
                seen += 1;
                if seen != number + 1 {
                    return Action::Go;
                }
                done = Some(call.clone());
                act(call)
            },
            |_, _| {},
        );
        let Some(call) = done else {
            // The run is over before: so it is with every later number.
            assert_eq!(ended.status, Some(0), "{:?}: {ended:?}", stage.run);
            break;
        };
        stage.check(&ended, &format!("at call {number}, {call:?}"));
        tried += 1;
    }
    tried
}

#[test]
fn killed_at_every_system_call() {
    if !available() {
        return;
    }
    let slice = Slice::new("killed at system calls", 32);
    for run in RUNS {
        let stage = Stage::new(run);
        let tried = at_each(&stage, &slice, |_| true, |_| Action::Kill);
        println!("{run:?}: killed at {tried} system calls");
        assert!(tried >= 2, "{run:?}: {tried}");
    }
}

#[test]
fn every_call_on_a_file_fails_once() {
    if !available() {
        return;
    }
    let slice = Slice::new("failing calls on files", 8);
    for run in RUNS {
        let stage = Stage::new(run);
        let root = stage.root();
        let counts = |call: &Call| is_in(call, &root) && fault(call).is_some();
        let act = |call: &Call| Action::Fail(fault(call).unwrap());
        let tried = at_each(&stage, &slice, counts, act);
        println!("{run:?}: {tried} calls failed");
        assert!(tried >= 2, "{run:?}: {tried}");
    }
}

/// From some call on nothing can be written any more: a disk stays full.
#[test]
fn a_disk_that_stays_full() {
    if !available() {
        return;
    }
    let slice = Slice::new("a disk that stays full", 8);
    for run in RUNS {
        let stage = Stage::new(run);
        let root = stage.root();
        let writes = |call: &Call| is_in(call, &root) && fault(call) == Some(libc::ENOSPC);
        for number in (0..).filter(|number| slice.has(*number)) {
            stage.reset();
            let mut seen = 0;
            let full = |call: &Call| {
                seen += u64::from(writes(call));
                if seen > number && writes(call) { Action::Fail(libc::ENOSPC) } else { Action::Go }
            };
            let ended = traced(&mut stage.command(), full, |_, _| {});
            if seen <= number {
                assert_eq!(ended.status, Some(0), "{run:?}: {ended:?}");
                break;
            }
            stage.check(&ended, &format!("full from write {number} on"));
        }
    }
}

/// The input is cut off when an output has begun to grow: an error, and when it is whole again the
/// undisturbed bytes.
#[test]
fn an_input_that_shrinks() {
    if !available() {
        return;
    }
    for (run, name) in [
        (Run::Directory, "model/model-00001-of-00002.safetensors"),
        (Run::Directory, "model/model-00002-of-00002.safetensors"),
        (Run::File, "file"),
    ] {
        let stage = Stage::new(run);
        let input = stage.folder.path(name);
        let whole = fs::read(&input).unwrap();
        let modified = fs::metadata(&input).unwrap().modified().unwrap();
        let root = stage.root();
        for (number, part) in (0..24).flat_map(|number| [(number, 0), (number, 3), (number, 63)]) {
            stage.reset();
            let left = whole.len() as u64 * part / 64;
            let (mut seen, mut cut) = (0, false);
            let shrink = |call: &Call| {
                // Between any two calls that look at files, or write them.
                if is_in(call, &root)
                    && call
                        .place
                        .as_ref()
                        .is_some_and(|p| !p.starts_with(stage.folder.path("model")))
                {
                    seen += 1;
                    if seen == number * 2 + 1 {
                        File::options().write(true).open(&input).unwrap().set_len(left).unwrap();
                        cut = true;
                    }
                }
                Action::Go
            };
            let ended = traced(&mut stage.command(), shrink, |_, _| {});
            fs::write(&input, &whole).unwrap();
            File::options().write(true).open(&input).unwrap().set_modified(modified).unwrap();
            stage.check(&ended, &format!("{name} cut to {left} bytes at call {number}"));
            if !cut {
                break;
            }
        }
    }
}

/// What an interrupted run left is dated in the future, as after a clock was set back.
#[test]
fn a_clock_set_back() {
    if !available() {
        return;
    }
    let stage = Stage::new(Run::Directory);
    let out = stage.folder.path("out.partial");
    // When the shards are complete.
    let summary = out.join("out/fouroversix.json");
    let at_the_end = |call: &Call| match call.number {
        libc::SYS_openat if call.place.as_ref() == Some(&summary) => Action::Kill,
        _ => Action::Go,
    };
    stage.reset();
    let ended = traced(&mut stage.command(), at_the_end, |_, _| {});
    assert_eq!(ended.signal, Some(libc::SIGKILL), "{ended:?}");
    let future = std::time::SystemTime::now() + std::time::Duration::from_secs(400 * 86_400);
    for name in contents(&out).keys() {
        File::options().write(true).open(out.join(name)).unwrap().set_modified(future).unwrap();
    }
    let rerun = stage.command().output().unwrap();
    let said = String::from_utf8_lossy(&rerun.stderr);
    assert!(rerun.status.success() && said.contains("kept"), "{said}");
    assert!(stage.there() == stage.expected);
}

/// While a run stands still in the middle, another one on the same output is refused and changes nothing.
#[test]
fn two_runs_on_one_output() {
    if !available() {
        return;
    }
    for run in [Run::Directory, Run::Replace, Run::File] {
        let stage = Stage::new(run);
        stage.reset();
        let mut second = None;
        let ended = traced(
            &mut stage.command(),
            |call| {
                let writes = call.number == libc::SYS_fsync && is_in(call, &stage.root());
                if writes && second.is_none() {
                    second = Some(stage.command().output().unwrap());
                }
                Action::Go
            },
            |_, _| {},
        );
        let second = second.expect("a run makes something durable");
        let said = String::from_utf8_lossy(&second.stderr);
        assert_eq!(second.status.code(), Some(2), "{run:?}: {said}");
        assert!(said.starts_with("error: ") && said.contains("another"), "{run:?}: {said}");
        assert_eq!(ended.status, Some(0), "{run:?}: {ended:?}");
        assert!(stage.there() == stage.expected, "{run:?}");
    }
}
