//! Faults in real runs: killed at every system call, every call on a file failing, a file that shrinks, a
//! clock set back, two runs on one output. After each a rerun gives the undisturbed bytes, or a sentence
//! said what is wrong; and what was there before is there or replaced whole.
//!
//! `EXTENSIVE=1` takes every call; else those of the day's slice, which is printed, `SLICE=k` repeats it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Folder, contents, program, weights, write_model, write_safetensors};
use crate::trace::{Action, Call, Ended, available, fault, is_in, traced};

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    /// A model directory to several shards.
    Directory,
    /// The same over an older output.
    Replace,
    /// A file.
    File,
    /// A quantized directory back.
    Back,
}

const RUNS: [Run; 4] = [Run::Directory, Run::Replace, Run::File, Run::Back];

/// A folder with the input, and what an undisturbed run makes of it.
struct Stage {
    folder: Folder,
    run: Run,
    expected: Files,
    /// What is at the output's place before.
    older: Files,
}

impl Stage {
    fn new(run: Run) -> Self {
        let folder = Folder::new();
        let model = folder.path("model");
        write_model(&model, 1, 32);
        write_safetensors(&folder.path("file"), &[weights("a.weight", &[32, 64])]);
        if run == Run::Back {
            let made = folder.path("quantized");
            let quantize = [Path::new("quantize"), &model, &made];
            assert!(program(&quantize).output().unwrap().status.success());
            fs::remove_dir_all(&model).unwrap();
            fs::rename(made, &model).unwrap();
        }
        let mut stage = Self { folder, run, expected: Files::new(), older: Files::new() };
        assert!(stage.command().output().unwrap().status.success(), "{run:?}");
        stage.expected = stage.there();
        if run == Run::Replace {
            stage.clear();
            assert!(stage.command().args(["--rule", "plain"]).output().unwrap().status.success());
            stage.older = stage.there();
            assert!(stage.older != stage.expected);
        }
        stage
    }

    fn root(&self) -> PathBuf {
        self.folder.path("")
    }

    fn output(&self) -> PathBuf {
        self.folder.path("out")
    }

    fn command(&self) -> Command {
        let (model, file, output) =
            (self.folder.path("model"), self.folder.path("file"), self.output());
        let input = if self.run == Run::File { file } else { model };
        let verb = if self.run == Run::Back { "dequantize" } else { "quantize" };
        let mut command = program(&[Path::new(verb), &input, &output]);
        if self.run != Run::File {
            command.args(["--max-shard-size", "8KB"]);
        }
        if self.run == Run::Replace {
            command.arg("--force");
        }
        if verb == "quantize" {
            command.args(["--device", "cpu"]);
        }
        command
    }

    /// The output, empty where there is none.
    fn there(&self) -> Files {
        let output = self.output();
        match output.is_file() {
            true => Files::from([(PathBuf::new(), fs::read(output).unwrap())]),
            false if output.exists() => contents(&output),
            false => Files::new(),
        }
    }

    fn clear(&self) {
        for name in ["out", "out.partial"] {
            let path = self.folder.path(name);
            let _ = fs::remove_dir_all(&path);
            let _ = fs::remove_file(&path);
        }
    }

    /// As before a run.
    fn reset(&self) {
        self.clear();
        for (name, bytes) in &self.older {
            let path = self.output().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// That a run which ended in some way has left nothing by halves, and that a rerun, if one is needed,
    /// ends well. `told` says what was done to it.
    fn check(&self, ended: &Ended, told: &str) {
        let there = self.there();
        let whole = there == self.expected || there == self.older;
        assert!(whole, "{:?}, {told}: an output by halves: {ended:?}", self.run);
        match (ended.status, ended.signal) {
            (Some(0), _) => assert!(there == self.expected, "{:?}, {told}: success", self.run),
            (Some(2), _) => {
                let last = ended.said.lines().last().unwrap_or_default();
                assert!(last.starts_with("error: "), "{:?}, {told}: {ended:?}", self.run);
            }
            (_, Some(libc::SIGKILL)) => {}
            _ => panic!("{:?}, {told}: {ended:?}", self.run),
        }
        if there == self.expected && self.run != Run::Replace {
            return;
        }
        let rerun = self.command().output().unwrap();
        let said = String::from_utf8_lossy(&rerun.stderr);
        assert!(rerun.status.success(), "{:?}, {told}: rerun: {said}", self.run);
        assert!(self.there() == self.expected, "{:?}, {told}: rerun: other bytes", self.run);
        let left = self.folder.path("out.partial").exists();
        assert!(!left, "{:?}, {told}: the rerun leaves out.partial", self.run);
    }
}

/// Which of the numbers below `count`-or-so are tried: all with `EXTENSIVE=1`, else every `slices`th.
struct Slice {
    slices: u64,
    slice: u64,
}

impl Slice {
    fn new(what: &str, slices: u64) -> Self {
        if std::env::var("EXTENSIVE").is_ok_and(|value| value == "1") {
            println!("{what}: all");
            return Self { slices: 1, slice: 0 };
        }
        let days = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs() / 86_400);
        let asked = std::env::var("SLICE").ok();
        let slice = asked.map_or(days, |text| text.parse().unwrap()) % slices;
        println!("{what}: SLICE={slice} of {slices}");
        Self { slices, slice }
    }

    fn has(&self, number: u64) -> bool {
        number % self.slices == self.slice
    }
}

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
