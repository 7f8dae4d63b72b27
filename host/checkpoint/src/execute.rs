//! Carries out a plan: checks the output's place, computes the shards, copies the rest.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::apart::{Read, place};
use super::copy::SideFiles;
use super::error::CheckpointError;
use super::file::TensorFile;
use super::folder::names;
use super::journal::Finished;
use super::json::pretty;
use super::made::{SUMMARY, check_output, check_output_file, check_partial_file, files_below};
use super::plan::{Plan, ShardPlan};
use super::record::TensorRecord;
use super::repack;
use super::run::Runner;
use super::source::{Checkpoint, index_of};
use super::summary::Summary;
use super::workdir::{WorkDir, beside, lock};
use super::write::{digest_of, parent_of, sync_folder, write_file};

/// A planned run.
pub(crate) struct Job<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    pub(crate) output: &'a Path,
    pub(crate) plan: &'a Plan,
    pub(crate) force: bool,
    /// A directory's files beside the shards: name and text.
    pub(crate) extra: &'a [(&'static str, Vec<u8>)],
}

impl Job<'_> {
    pub(crate) fn run(
        &self,
        runner: &mut Runner<'_>,
        summary: Summary,
    ) -> Result<Summary, CheckpointError> {
        let files = self.checkpoint.files().iter().map(TensorFile::path);
        let output = place(self.output)?;
        if !self.checkpoint.is_dir() {
            if output.is_dir() {
                let problem = format!(
                    "{} is a folder but the input is a file: name the output file",
                    self.output.display()
                );
                return Err(CheckpointError::Option { problem });
            }
            Read::new(self.checkpoint.root(), files)?.check(&output)?;
            check_output_file(&output, self.force)?;
            return self.file(runner, summary, &output);
        }
        let sides = self.sides(&output)?;
        check_output(&output, self.force)?;
        self.directory(runner, summary, &output, &sides)
    }

    /// What is copied beside the tensors of a directory, once it is sure that the output is apart
    /// from all that is read.
    pub(crate) fn sides(&self, output: &Path) -> Result<SideFiles, CheckpointError> {
        let sides = SideFiles::find(self.checkpoint)?;
        let files = self.checkpoint.files().iter().map(TensorFile::path);
        let others = files.chain(sides.resolved.iter().map(PathBuf::as_path));
        Read::new(self.checkpoint.root(), others)?.check(output)?;
        Ok(sides)
    }

    pub(crate) fn notes(&self, runner: &mut Runner<'_>, more: &[String]) {
        let notes = self.checkpoint.notes().iter().chain(more);
        notes.for_each(|note| runner.observer().note(note));
    }

    fn file(
        &self,
        runner: &mut Runner<'_>,
        mut summary: Summary,
        output: &Path,
    ) -> Result<Summary, CheckpointError> {
        let shard = &self.plan.shards[0];
        let partial = beside(output, ".partial");
        check_partial_file(&partial)?;
        let held = lock(&partial)?;
        self.notes(runner, &[]);
        let written = runner.shard(&partial, shard).and_then(|(_, records)| {
            // What was put there meanwhile stays.
            check_output_file(output, self.force)?;
            fs::rename(&partial, output).map_err(|error| CheckpointError::write(output, error))?;
            sync_folder(parent_of(output))?;
            Ok(records)
        });
        drop(held);
        if written.is_err() {
            // What is reported is why the run failed, not that its leftovers stayed.
            let _ = fs::remove_file(&partial);
        }
        summary.tensors = written?;
        summary.notes.extend(source_note(&summary.tensors));
        summary.shards.push(shard.name.clone());
        summary.output_bytes = file_bytes(output)?;
        Ok(summary)
    }

    fn directory(
        &self,
        runner: &mut Runner<'_>,
        summary: Summary,
        output: &Path,
        sides: &SideFiles,
    ) -> Result<Summary, CheckpointError> {
        let mut work = WorkDir::open(output, &self.fingerprint(&summary.options)?)?;
        // Again: an earlier run that was cut off may have left an older output to put back.
        check_output(output, self.force)?;
        self.notes(runner, &sides.notes);
        if work.restarted {
            runner.observer().note("an interrupted run with other options or input is discarded");
        }
        match self.fill(runner, summary, &mut work, sides) {
            Ok(summary) => {
                // Hours may have gone by: what was put there meanwhile stays, and the shards too.
                check_output(output, self.force)?;
                work.finish()?;
                Ok(summary)
            }
            Err(error) => {
                // Bad input does not get better by going on; a full disk, a lost mount or a device
                // without memory does.
                if !error.may_pass() {
                    work.discard()?;
                }
                Err(error)
            }
        }
    }

    fn fill(
        &self,
        runner: &mut Runner<'_>,
        mut summary: Summary,
        work: &mut WorkDir,
        sides: &SideFiles,
    ) -> Result<Summary, CheckpointError> {
        let out = work.out();
        self.keep_shards_only(&out)?;
        let earlier: HashMap<String, Finished> =
            work.finished.drain(..).map(|line| (line.shard.clone(), line)).collect();
        for shard in &self.plan.shards {
            let path = out.join(&shard.name);
            let line = kept(runner, &earlier, &path, shard).map_or_else(
                || {
                    let line = compute(runner, &path, shard)?;
                    work.record(&line).map(|()| line)
                },
                Ok,
            )?;
            summary.tensors.extend(line.tensors);
        }
        self.complete(summary, &out, sides)
    }

    /// Writes what a directory has beside its shards, which are in `out`.
    pub(crate) fn complete(
        &self,
        mut summary: Summary,
        out: &Path,
        sides: &SideFiles,
    ) -> Result<Summary, CheckpointError> {
        summary.notes.extend(source_note(&summary.tensors));
        let mut weight_map = BTreeMap::new();
        let mut tensor_bytes = 0;
        for shard in &self.plan.shards {
            for entry in &shard.header.entries {
                weight_map.insert(&entry.name, &shard.name);
                tensor_bytes += entry.bytes();
            }
            summary.shards.push(shard.name.clone());
            summary.output_bytes += file_bytes(&out.join(&shard.name))?;
        }
        for (name, text) in self.extra {
            write_file(&out.join(name), text)?;
        }
        if self.plan.shards.len() > 1 {
            let index = serde_json::json!({
                "metadata": {"total_size": tensor_bytes},
                "weight_map": weight_map,
            });
            write_file(&out.join(index_of(self.checkpoint.stem())), &pretty(&index))?;
        }
        sides.copy(self.checkpoint.root(), out)?;
        summary.files = files_below(out).map_err(|error| CheckpointError::read(out, error))?;
        write_file(&out.join(SUMMARY), &pretty(&summary))?;
        Ok(summary)
    }

    /// Removes from a work folder what an earlier run wrote after its shards: this run writes it
    /// again, and the input may hold other files now.
    pub(crate) fn keep_shards_only(&self, out: &Path) -> Result<(), CheckpointError> {
        for name in names(out)? {
            let path = out.join(&name);
            let kind =
                fs::symlink_metadata(&path).map_err(|error| CheckpointError::read(&path, error))?;
            if kind.is_file() && self.plan.shards.iter().any(|shard| name == *shard.name) {
                continue;
            }
            let removed =
                if kind.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|error| CheckpointError::write(&path, error))?;
        }
        Ok(())
    }

    /// Identifies what a run does: its options, its input's files, its output's headers.
    fn fingerprint(&self, options: &BTreeMap<String, String>) -> Result<String, CheckpointError> {
        let mut hash = Xxh3::new();
        hash.update(env!("CARGO_PKG_VERSION").as_bytes());
        hash.update(format!("{options:?}").as_bytes());
        for file in self.checkpoint.files() {
            let path = file.path();
            let meta = fs::metadata(path).map_err(|error| CheckpointError::read(path, error))?;
            let modified = meta.modified().map_err(|error| CheckpointError::read(path, error))?;
            hash.update(format!("{path:?} {} {modified:?}", meta.len()).as_bytes());
        }
        for shard in &self.plan.shards {
            hash.update(&shard.encoded);
            for view in shard.tasks.iter().filter_map(|task| self.checkpoint.view(&task.source)) {
                hash.update(format!("{:?} {:?}", view.base, view.cut).as_bytes());
            }
        }
        Ok(format!("{:032x}", hash.digest128()))
    }
}

/// How MXFP4 was taken, if there was any.
fn source_note(tensors: &[TensorRecord]) -> Option<String> {
    let sources: Vec<&String> = tensors.iter().filter_map(|it| it.source.as_ref()).collect();
    let lossless = sources.iter().filter(|source| source.as_str() == repack::LOSSLESS).count();
    let anew = sources.len() - lossless;
    (!sources.is_empty()).then(|| {
        format!("MXFP4: {lossless} tensors are written without loss, {anew} are quantized anew")
    })
}

/// What an earlier run says of a shard, if the file is still as it says.
pub(crate) fn verified<'a>(
    earlier: &'a HashMap<String, Finished>,
    path: &PathBuf,
    shard: &ShardPlan,
) -> Option<&'a Finished> {
    earlier.get(&shard.name).filter(|line| {
        digest_of(path, &shard.header, &shard.encoded)
            .is_some_and(|digest| line.digest == format!("{digest:032x}"))
    })
}

/// [`verified`], told to the observer.
pub(crate) fn kept(
    runner: &mut Runner<'_>,
    earlier: &HashMap<String, Finished>,
    path: &PathBuf,
    shard: &ShardPlan,
) -> Option<Finished> {
    let line = verified(earlier, path, shard)?;
    runner.observer().note(&format!("{} was finished before: kept", shard.name));
    runner.observer().advance(shard.tasks.iter().map(|task| task.bytes).sum());
    Some(line.clone())
}

/// Makes a shard.
pub(crate) fn compute(
    runner: &mut Runner<'_>,
    path: &Path,
    shard: &ShardPlan,
) -> Result<Finished, CheckpointError> {
    // Never written over in place: it may be a hard link to something else.
    remove_file(path)?;
    let (digest, tensors) = runner.shard(path, shard)?;
    Ok(Finished { shard: shard.name.clone(), digest: format!("{digest:032x}"), tensors })
}

/// Removes a file if it is there.
pub(crate) fn remove_file(path: &Path) -> Result<(), CheckpointError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CheckpointError::write(path, error))
        }
        _ => Ok(()),
    }
}

fn file_bytes(path: &Path) -> Result<u64, CheckpointError> {
    fs::metadata(path).map(|meta| meta.len()).map_err(|error| CheckpointError::read(path, error))
}
