//! Where the parts of an output grow until all are there.
//!
//! In `OUT.partial` lie the shards (`out/`), what parts have of a shard that several fill
//! (`pieces/`), a lock and a journal for each part, and what all parts agree on ([`Agreement`]).
//! A file is written by one part alone, so a file system need not keep two writers of a file apart.
//! A part holds its lock while it runs; whoever holds the locks of all parts, which are complete,
//! puts the output in its place. The folder's own lock (`lock`) is held for moments only: while a
//! part begins, while somebody looks whether all are done, and while the folder goes away.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::error::CheckpointError;
use super::journal::{Finished, Journal, fresh, read_journal};
use super::part::Part;
use super::workdir::{AGREEMENT, beside, check_work_folder, holds_run, remove_if_there};
use super::write::{parent_of, sync_folder, write_file};

const FOLDERS: [&str; 2] = ["out", "pieces"];

/// How long one waits for the folder's own lock, which is held for moments.
const PATIENCE: Duration = Duration::from_secs(60);

/// What all parts of an output must have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Agreement {
    pub(crate) parts: usize,
    /// The program's.
    pub(crate) version: String,
    pub(crate) options: BTreeMap<String, String>,
    /// Bytes and time of change of the input's files.
    pub(crate) input: BTreeMap<String, String>,
    /// A hash of what is to be written.
    pub(crate) plan: String,
}

impl Agreement {
    /// What one part has that another, which began before, has not.
    fn difference(&self, begun: &Self) -> Option<String> {
        if self.parts != begun.parts {
            return Some(format!("of {}, this is one of {}", begun.parts, self.parts));
        }
        if self.version != begun.version {
            return Some(format!("by version {}, this is {}", begun.version, self.version));
        }
        let differs = |name: &&String| self.options.get(*name) != begun.options.get(*name);
        if let Some(name) = begun.options.keys().chain(self.options.keys()).find(differs) {
            let [theirs, ours] = [begun, self].map(|it| it.options.get(name).map_or("", |it| it));
            return Some(format!("with {name} {theirs:?}, this one has {ours:?}"));
        }
        let changed = |name: &&String| self.input.get(*name) != begun.input.get(*name);
        if let Some(name) = begun.input.keys().chain(self.input.keys()).find(changed) {
            return Some(format!("when {name} of the input was another file"));
        }
        (self.plan != begun.plan).then(|| "when the input's configuration was another".to_owned())
    }
}

/// The folder beside an output that several processes make.
#[derive(Debug)]
pub(crate) struct PartsDir {
    output: PathBuf,
    root: PathBuf,
    agreement: Agreement,
}

/// How a folder was met.
pub(crate) enum Met {
    /// Parts are to be done, or all are and wait for their end.
    Open(PartsDir),
    /// The output is in its place.
    Done,
}

/// The place of a part that runs: nobody else does the same one.
#[derive(Debug)]
pub(crate) struct PartRun {
    lock: File,
    journal: Journal,
    /// Files that earlier runs of the part finished, by their own word.
    pub(crate) finished: Vec<Finished>,
}

/// Whether all parts are complete.
pub(crate) enum Census {
    /// All are, and stay so until the locks go: the lines of their journals.
    Complete(Vec<Finished>, Vec<File>),
    /// These are not, and of them the second ones are running.
    Waiting(Vec<usize>, Vec<usize>),
}

impl PartsDir {
    /// Opens the folder beside `output`, or makes it for the first part that begins. `is_done` says
    /// whether what is in the output's place came of this work.
    pub(crate) fn meet(
        output: &Path,
        agreement: &Agreement,
        may_begin: bool,
        is_done: impl FnOnce() -> bool,
    ) -> Result<Met, CheckpointError> {
        let root = beside(output, ".partial");
        let this = Self { output: output.to_owned(), root, agreement: agreement.clone() };
        let root = &this.root;
        let there = fs::symlink_metadata(output).is_ok();
        if there && !root.exists() {
            return if is_done() { Ok(Met::Done) } else { Err(exists(output)) };
        }
        if !may_begin && !root.join(AGREEMENT).exists() {
            return Err(option(format!(
                "no part of {} was begun: run quantize --part I/N for I from 1 to N first",
                output.display()
            )));
        }
        if holds_run(root) {
            return Err(option(format!(
                "{} holds an interrupted run without --part: run that command again, or remove the \
                 folder",
                root.display()
            )));
        }
        check_work_folder(root, FOLDERS, |name| {
            name == AGREEMENT || name == "lock" || is_of_part(name)
        })?;
        let _gate = this.gate()?;
        let begun = this.begun()?;
        if fs::symlink_metadata(output).is_ok() {
            let same = begun.as_ref().is_none_or(|begun| agreement.difference(begun).is_none());
            if !is_done() {
                return Err(exists(output));
            }
            // Left by a process that was cut off after it put the output in its place.
            if same {
                remove_if_there(root)?;
            }
            return Ok(Met::Done);
        }
        if let Some(difference) = begun.as_ref().and_then(|begun| agreement.difference(begun)) {
            return Err(option(format!(
                "the parts in {} were begun {difference}: run every part alike and on the same \
                 input, or remove that folder and begin again with every part",
                root.display()
            )));
        }
        for folder in FOLDERS {
            fs::create_dir_all(root.join(folder))
                .map_err(|error| CheckpointError::write(root, error))?;
        }
        if begun.is_none() {
            let path = root.join(AGREEMENT);
            let text = serde_json::to_vec_pretty(agreement).expect("an agreement is JSON");
            write_file(&fresh(&path), &text)?;
            fs::rename(fresh(&path), &path)
                .map_err(|error| CheckpointError::write(&path, error))?;
        }
        sync_folder(root)?;
        Ok(Met::Open(this))
    }

    /// How many parts the folder beside `output` was begun with, if it was.
    pub(crate) fn parts_begun(output: &Path) -> Option<usize> {
        let text = fs::read(beside(output, ".partial").join(AGREEMENT)).ok()?;
        serde_json::from_slice::<Agreement>(&text).ok().map(|agreement| agreement.parts)
    }

    /// Takes the folder's own lock; makes the folder if it isn't there, or goes away meanwhile.
    fn gate(&self) -> Result<File, CheckpointError> {
        let failed = |error| CheckpointError::write(&self.root, error);
        let path = self.root.join("lock");
        let start = Instant::now();
        loop {
            match fs::create_dir(&self.root) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(failed(error));
                }
                _ => {}
            }
            let file = match open(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.map_err(failed)?,
            };
            match file.try_lock() {
                Ok(()) => {
                    // The one at the path, and not of a folder that has gone away.
                    let ours = file.metadata().map_err(failed)?;
                    if fs::metadata(&path)
                        .is_ok_and(|it| (it.dev(), it.ino()) == (ours.dev(), ours.ino()))
                    {
                        return Ok(file);
                    }
                }
                Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                    sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => return Err(CheckpointError::Busy { path }),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    fn begun(&self) -> Result<Option<Agreement>, CheckpointError> {
        let path = self.root.join(AGREEMENT);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
                CheckpointError::malformed(
                    &path,
                    format!("it is damaged ({error}): remove its folder"),
                )
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CheckpointError::read(&path, error)),
        }
    }

    /// The same for every process, other for every agreement.
    fn fingerprint(&self) -> String {
        self.agreement.plan.clone()
    }

    fn journal(&self, part: usize) -> PathBuf {
        self.root.join(format!("part-{part}.jsonl"))
    }

    /// Takes a part, whose files are `needed`. Nothing when it is complete and another process has
    /// it, to put the output in its place.
    pub(crate) fn begin(
        &self,
        part: Part,
        needed: &[&str],
    ) -> Result<Option<PartRun>, CheckpointError> {
        let _gate = self.gate()?;
        let Some(mut lock) = self.lock(part.number)? else {
            if self.is_complete(part.number, needed) {
                return Ok(None);
            }
            let who = fs::read_to_string(self.lock_path(part.number)).unwrap_or_default();
            return Err(option(format!(
                "part {part} of {} is being done by another process ({}): wait for it, or end it \
                 and run this again",
                self.output.display(),
                who.trim()
            )));
        };
        let path = self.lock_path(part.number);
        let told = lock
            .set_len(0)
            .and_then(|()| lock.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(lock, "{}", this_process()));
        told.map_err(|error| CheckpointError::write(&path, error))?;
        let path = self.journal(part.number);
        let (_, finished) = read_journal(&path, &self.fingerprint());
        let journal = Journal::start(&path, &self.fingerprint(), &finished)?;
        Ok(Some(PartRun { lock, journal, finished }))
    }

    fn is_complete(&self, part: usize, needed: &[&str]) -> bool {
        let (_, found) = read_journal(&self.journal(part), &self.fingerprint());
        needed.iter().all(|name| found.iter().any(|line| line.shard == *name))
    }

    fn lock_path(&self, part: usize) -> PathBuf {
        self.root.join(format!("part-{part}.lock"))
    }

    /// The lock of a part; nothing when another process holds it.
    fn lock(&self, part: usize) -> Result<Option<File>, CheckpointError> {
        let path = self.lock_path(part);
        let failed = |error| CheckpointError::write(&path, error);
        let file = open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Where a part's file is written.
    pub(crate) fn folder(&self, is_whole_shard: bool) -> PathBuf {
        self.root.join(FOLDERS[usize::from(!is_whole_shard)])
    }

    /// Looks whether all parts are complete: `needed` are the names of the files of each. `own` is
    /// the part that has come to its end here; unless all are complete its place is left.
    ///
    /// Of parts that end at once the last to come here finds the others' places free.
    pub(crate) fn census(
        &self,
        own: Option<(Part, PartRun)>,
        needed: &[Vec<&str>],
    ) -> Result<Census, CheckpointError> {
        let gate = self.gate()?;
        let own_number = own.as_ref().map(|(part, _)| part.number);
        let mut locks: Vec<File> = own.map(|(_, run)| run.lock).into_iter().collect();
        let (mut lines, mut unfinished, mut running) = (Vec::new(), Vec::new(), Vec::new());
        for (i, needed) in needed.iter().enumerate() {
            let number = i + 1;
            if own_number != Some(number) {
                match self.lock(number)? {
                    Some(lock) => locks.push(lock),
                    None => running.push(number),
                }
            }
            let (_, found) = read_journal(&self.journal(number), &self.fingerprint());
            let has = |name: &&str| found.iter().any(|line| line.shard == *name);
            if running.last() == Some(&number) || !needed.iter().all(has) {
                unfinished.push(number);
            }
            lines.extend(found);
        }
        if unfinished.is_empty() {
            return Ok(Census::Complete(lines, locks));
        }
        // Before the gate opens: whoever comes next must find them free.
        drop(locks);
        drop(gate);
        Ok(Census::Waiting(unfinished, running))
    }

    /// Puts the complete directory in its place and removes the folder. The caller holds the locks
    /// of all parts.
    pub(crate) fn finish(self) -> Result<(), CheckpointError> {
        let failed = |error| CheckpointError::write(&self.output, error);
        let out = self.folder(true);
        sync_folder(&out)?;
        let _gate = self.gate()?;
        if fs::symlink_metadata(&self.output).is_ok() {
            return Err(exists(&self.output));
        }
        fs::rename(&out, &self.output).map_err(failed)?;
        sync_folder(parent_of(&self.output))?;
        remove_if_there(&self.root)
    }
}

impl PartRun {
    /// Notes that a file, which lies in `folder`, is complete and durable.
    pub(crate) fn record(&mut self, folder: &Path, line: &Finished) -> Result<(), CheckpointError> {
        self.journal.record(folder, line)
    }
}

/// Whether a name is of a part's lock or journal.
fn is_of_part(name: &str) -> bool {
    let stem = name.strip_prefix("part").unwrap_or_default();
    let stem = ["s.new", ".lock", ".jsonl", ".new"].iter().find_map(|end| stem.strip_suffix(end));
    stem.is_some_and(|stem| {
        let number = stem.strip_prefix('-').unwrap_or(stem);
        number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Who holds a lock, for people: machine and process.
fn this_process() -> String {
    let mut host = String::new();
    // Without a name for the machine the process's number has to do.
    let _ = File::open("/proc/sys/kernel/hostname").and_then(|mut it| it.read_to_string(&mut host));
    format!("{} process {}", host.trim(), std::process::id())
}

fn exists(output: &Path) -> CheckpointError {
    CheckpointError::Exists { path: output.to_owned() }
}

fn option(problem: String) -> CheckpointError {
    CheckpointError::Option { problem }
}
