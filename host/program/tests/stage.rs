//! Runs that something is done to, and what they must leave: the undisturbed bytes, or those that were there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{Folder, contents, names, program, weights, write_model, write_safetensors};

pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// A model directory to several shards.
    Directory,
    /// The same over an older output.
    Replace,
    /// A file.
    File,
    /// A quantized directory back.
    Back,
}

pub(crate) const RUNS: [Run; 4] = [Run::Directory, Run::Replace, Run::File, Run::Back];

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its status, if it was not killed.
    pub(crate) status: Option<i32>,
    /// The signal that it was killed by.
    pub(crate) signal: Option<i32>,
    /// What it said on standard error.
    pub(crate) said: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            signal: output.status.signal(),
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A folder with the input, and what an undisturbed run makes of it.
pub(crate) struct Stage {
    pub(crate) folder: Folder,
    pub(crate) run: Run,
    /// The folder in it where the output comes.
    place: &'static str,
    pub(crate) expected: Files,
    /// What is at the output's place before.
    pub(crate) older: Files,
}

impl Stage {
    pub(crate) fn new(run: Run) -> Self {
        Self::with_output_in(run, "")
    }

    pub(crate) fn with_output_in(run: Run, place: &'static str) -> Self {
        let folder = Folder::new();
        let model = folder.path("model");
        write_model(&model, 1, 32);
        write_safetensors(&folder.path("file"), &[weights("a.weight", &[64, 256])]);
        fs::create_dir_all(folder.path(place)).unwrap();
        if run == Run::Back {
            let made = folder.path("quantized");
            let quantize = [Path::new("quantize"), &model, &made];
            assert!(program(&quantize).output().unwrap().status.success());
            fs::remove_dir_all(&model).unwrap();
            fs::rename(made, &model).unwrap();
        }
        let mut stage = Self { folder, run, place, expected: Files::new(), older: Files::new() };
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

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path("")
    }

    fn in_place(&self, name: &str) -> PathBuf {
        self.folder.path(self.place).join(name)
    }

    pub(crate) fn command(&self) -> Command {
        let (model, file, output) =
            (self.folder.path("model"), self.folder.path("file"), self.in_place("out"));
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
    pub(crate) fn there(&self) -> Files {
        let output = self.in_place("out");
        match output.is_file() {
            true => Files::from([(PathBuf::new(), fs::read(output).unwrap())]),
            false if output.exists() => contents(&output),
            false => Files::new(),
        }
    }

    fn clear(&self) {
        for name in ["out", "out.partial"] {
            let path = self.in_place(name);
            let _ = fs::remove_dir_all(&path);
            let _ = fs::remove_file(&path);
        }
    }

    /// As before a run.
    pub(crate) fn reset(&self) {
        self.clear();
        for (name, bytes) in &self.older {
            let path = self.in_place("out").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// That a run which ended in some way has left nothing by halves, and that a rerun, if one is needed,
    /// ends well. `told` says what was done to it.
    pub(crate) fn check(&self, ended: &Ended, told: &str) {
        self.check_end(ended, told);
        self.check_rerun(told);
    }

    /// That an output is whole: the new one, or what was there before. Returns it.
    pub(crate) fn check_whole(&self, ended: &Ended, told: &str) -> Files {
        let there = self.there();
        let whole = there == self.expected || there == self.older;
        assert!(whole, "{:?}, {told}: an output by halves: {ended:?}", self.run);
        there
    }

    /// Whether nothing was begun: a rerun would be the run that the stage was set up with.
    fn is_as_before(&self) -> bool {
        let known = |name: &String| ["disk", "file", "model", "out"].contains(&name.as_str());
        names(&self.in_place("")).iter().all(known) && self.there() == self.older
    }

    /// That an output is whole, success or not, and that an error is a sentence.
    pub(crate) fn check_end(&self, ended: &Ended, told: &str) {
        let there = self.check_whole(ended, told);
        match (ended.status, ended.signal) {
            (Some(0), _) => assert!(there == self.expected, "{:?}, {told}: success", self.run),
            (Some(2), _) => {
                let last = ended.said.lines().last().unwrap_or_default();
                assert!(last.starts_with("error: "), "{:?}, {told}: {ended:?}", self.run);
            }
            (_, Some(libc::SIGKILL)) => {}
            _ => panic!("{:?}, {told}: {ended:?}", self.run),
        }
    }

    /// That what is left, by any run that did not end well, is in no later one's way.
    pub(crate) fn check_rerun(&self, told: &str) {
        if self.is_as_before() || self.there() == self.expected && self.run != Run::Replace {
            return;
        }
        let rerun = self.command().output().unwrap();
        let said = String::from_utf8_lossy(&rerun.stderr);
        assert!(rerun.status.success(), "{:?}, {told}: rerun: {said}", self.run);
        assert!(self.there() == self.expected, "{:?}, {told}: rerun: other bytes", self.run);
        let left = self.in_place("out.partial").exists();
        assert!(!left, "{:?}, {told}: the rerun leaves out.partial", self.run);
    }
}

/// Which of the numbers below `count`-or-so are tried: all with `EXTENSIVE=1`, else every `slices`th.
pub(crate) struct Slice {
    slices: u64,
    slice: u64,
}

impl Slice {
    pub(crate) fn new(what: &str, slices: u64) -> Self {
        if std::env::var("EXTENSIVE").is_ok_and(|value| value == "1") {
            println!("{what}: all");
            return Self { slices: 1, slice: 0 };
        }
        let days = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs() / 86_400);
        let asked = std::env::var("SLICE").unwrap_or_else(|_| days.to_string());
        let (slice, slices) = match asked.split_once('/') {
            Some((slice, of)) => (slice, of.parse().expect("SLICE is k or k/n")),
            None => (asked.as_str(), slices),
        };
        let slice = slice.parse::<u64>().expect("SLICE is k or k/n") % slices;
        println!("{what}: SLICE={slice} of {slices}");
        Self { slices, slice }
    }

    pub(crate) fn has(&self, number: u64) -> bool {
        number % self.slices == self.slice
    }
}
