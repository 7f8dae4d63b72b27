//! An output that several processes make, each a part of it, and its end.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use xxhash_rust::xxh3::Xxh3;

use super::apart::place;
use super::error::CheckpointError;
use super::execute::{Job, compute, kept, remove_file, verified};
use super::file::TensorFile;
use super::journal::Finished;
use super::made::SUMMARY;
use super::options::QuantizeOptions;
use super::panel::chunks;
use super::part::{Part, Piece, part_of_tensors, pieces};
use super::partdir::{Agreement, Census, Met, PartsDir};
use super::plan::ShardPlan;
use super::planned::Planned;
use super::quantizer::QuantizePanels;
use super::record::TensorRecord;
use super::run::Runner;
use super::settings::Observer;
use super::source::Checkpoint;
use super::summary::Summary;
use super::write::FileWriter;

/// Bytes of a piece copied at a time.
const COPY_CHUNK: usize = 4 << 20;

/// How a part of an output came to its end.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PartOutcome {
    /// The part is complete and others are not.
    Waiting {
        /// What was quantized in the part, by this process or an earlier one.
        tensors: Vec<TensorRecord>,
        /// The numbers of the parts that are not complete.
        unfinished: Vec<usize>,
        /// Of them those that another process works on; the last of these puts the output in its
        /// place.
        running: Vec<usize>,
    },
    /// All parts are complete, and this process has put the output in its place.
    Finished(Box<Summary>),
    /// The output was in its place already.
    AlreadyFinished,
}

/// How many parts an output was begun with, if it was and is not in its place.
pub(crate) fn parts_begun(output: &Path) -> Result<Option<usize>, CheckpointError> {
    Ok(PartsDir::parts_begun(&place(output)?))
}

/// An output and its parts.
pub(crate) struct Array<'a> {
    checkpoint: &'a Checkpoint,
    output: PathBuf,
    planned: Planned,
    /// The files of each part.
    parts: Vec<Vec<Piece>>,
    agreement: Agreement,
}

impl<'a> Array<'a> {
    pub(crate) fn new(
        checkpoint: &'a Checkpoint,
        output: &Path,
        options: &QuantizeOptions,
        count: usize,
    ) -> Result<Self, CheckpointError> {
        let refused = |problem: &str| CheckpointError::Option { problem: problem.to_owned() };
        if !checkpoint.is_dir() {
            return Err(refused("a single file is not made in parts: quantize it in one run"));
        }
        if options.force {
            return Err(refused(
                "parts replace no output that is there: remove it or choose another output",
            ));
        }
        let output = place(output)?;
        let planned = Planned::new(checkpoint, &output, options)?;
        let numbers = part_of_tensors(&planned.checkpoint, &planned.decisions, count);
        let names = planned.checkpoint.tensors().map(|(_, entry)| entry.name.as_str());
        let part_of: HashMap<&str, usize> = names.zip(numbers).collect();
        let parts = pieces(&planned.plan, &part_of, count);
        let mut told = planned.summary.options.clone();
        told.insert("format".to_owned(), options.format.to_string());
        told.insert("error figures".to_owned(), options.figures.to_string());
        let agreement = Agreement {
            parts: count,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            options: told,
            input: input(checkpoint)?,
            plan: hash(&planned),
        };
        Ok(Self { checkpoint, output, planned, parts, agreement })
    }

    fn job(&self) -> Job<'_> {
        self.planned.job(&self.output, false)
    }

    /// Makes a part, and the end if it is the last.
    pub(crate) fn part(
        &self,
        part: Part,
        quantizer: &mut dyn QuantizePanels,
        observer: &mut dyn Observer,
    ) -> Result<PartOutcome, CheckpointError> {
        let job = self.job();
        let sides = job.sides(&self.output)?;
        let Met::Open(folder) =
            PartsDir::meet(&self.output, &self.agreement, true, || self.is_in_place())?
        else {
            return Ok(PartOutcome::AlreadyFinished);
        };
        let needed = self.needed();
        let number = part.number;
        let Some(mut run) = folder.begin(part, &needed[number - 1])? else {
            let (unfinished, running) = (vec![number], vec![number]);
            return Ok(PartOutcome::Waiting { tensors: Vec::new(), unfinished, running });
        };
        let Planned { checkpoint, plan, settings, .. } = &self.planned;
        let mut runner = Runner::new(checkpoint, plan, *settings, quantizer, observer);
        job.notes(&mut runner, &sides.notes);
        let earlier: HashMap<String, Finished> =
            run.finished.drain(..).map(|line| (line.shard.clone(), line)).collect();
        let mut tensors = Vec::new();
        for piece in &self.parts[number - 1] {
            let place = folder.folder(piece.is_whole);
            let path = place.join(&piece.file.name);
            let line = match kept(&mut runner, &earlier, &path, &piece.file) {
                Some(line) => line,
                None => {
                    let line = compute(&mut runner, &path, &piece.file)?;
                    self.check_input()?;
                    run.record(&place, &line)?;
                    line
                }
            };
            tensors.extend(line.tensors);
        }
        match folder.census(Some((part, run)), &needed)? {
            Census::Waiting(unfinished, running) => {
                Ok(PartOutcome::Waiting { tensors, unfinished, running })
            }
            Census::Complete(lines, locks) => {
                let finished = self.put_together(folder, lines);
                drop(locks);
                finished
            }
        }
    }

    /// Makes the end of parts that are complete.
    pub(crate) fn finish(
        &self,
        observer: &mut dyn Observer,
    ) -> Result<PartOutcome, CheckpointError> {
        let Met::Open(folder) =
            PartsDir::meet(&self.output, &self.agreement, false, || self.is_in_place())?
        else {
            return Ok(PartOutcome::AlreadyFinished);
        };
        match folder.census(None, &self.needed())? {
            Census::Waiting(unfinished, running) => {
                Err(CheckpointError::Option { problem: self.missing(&unfinished, &running) })
            }
            Census::Complete(lines, locks) => {
                let job = self.job();
                let sides = job.sides(&self.output)?;
                sides.notes.iter().for_each(|note| observer.note(note));
                let finished = self.put_together(folder, lines);
                drop(locks);
                finished
            }
        }
    }

    fn missing(&self, unfinished: &[usize], running: &[usize]) -> String {
        let count = self.agreement.parts;
        let state = |number: &usize| match running.contains(number) {
            true => format!("{number} (running)"),
            false => number.to_string(),
        };
        let numbers: Vec<String> = unfinished.iter().map(state).collect();
        format!(
            "of {count} parts {} {} not complete: run --part I/{count} for each that does not run, \
             and --finish when all have ended",
            numbers.join(", "),
            if unfinished.len() == 1 { "is" } else { "are" }
        )
    }

    /// The names of the files of each part.
    fn needed(&self) -> Vec<Vec<&str>> {
        let parts = self.parts.iter();
        parts.map(|part| part.iter().map(|it| it.file.name.as_str()).collect()).collect()
    }

    /// Verifies every file, joins pieces, writes what a directory has beside its shards, and puts it
    /// in its place. The locks of all parts are held.
    fn put_together(
        &self,
        folder: PartsDir,
        lines: Vec<Finished>,
    ) -> Result<PartOutcome, CheckpointError> {
        let job = self.job();
        let sides = job.sides(&self.output)?;
        let lines: HashMap<String, Finished> =
            lines.into_iter().map(|line| (line.shard.clone(), line)).collect();
        self.verify(&folder, &lines)?;
        let out = folder.folder(true);
        job.keep_shards_only(&out)?;
        for (index, shard) in self.planned.plan.shards.iter().enumerate() {
            let own = self.parts.iter().flatten().filter(|piece| piece.shard == index);
            let files: Vec<PathBuf> = own
                .filter(|piece| !piece.is_whole)
                .map(|piece| folder.folder(false).join(&piece.file.name))
                .collect();
            if !files.is_empty() {
                join(&files, &out.join(&shard.name), shard)?;
            }
        }
        let mut records: HashMap<String, TensorRecord> = lines
            .into_values()
            .flat_map(|line| line.tensors)
            .map(|record| (record.name.clone(), record))
            .collect();
        let tasks = self.planned.plan.shards.iter().flat_map(|shard| &shard.tasks);
        let mut summary = self.planned.summary.clone();
        summary.tensors = tasks.filter_map(|task| records.remove(&task.source)).collect();
        let summary = job.complete(summary, &out, &sides)?;
        self.check_input()?;
        folder.finish()?;
        Ok(PartOutcome::Finished(Box::new(summary)))
    }

    /// Refuses a file that is not as its part wrote it.
    fn verify(
        &self,
        folder: &PartsDir,
        lines: &HashMap<String, Finished>,
    ) -> Result<(), CheckpointError> {
        let pieces = self.parts.iter().enumerate();
        let pieces = pieces.flat_map(|(i, part)| part.iter().map(move |piece| (i + 1, piece)));
        let pieces: Vec<(usize, &Piece)> = pieces.collect();
        let damaged = |(_, piece): &&(usize, &Piece)| {
            let path = folder.folder(piece.is_whole).join(&piece.file.name);
            verified(lines, &path, &piece.file).is_none()
        };
        let Some((number, piece)) = pieces.par_iter().find_first(damaged) else { return Ok(()) };
        let count = self.agreement.parts;
        Err(CheckpointError::Option {
            problem: format!(
                "{} of part {number} is not as it was written: run --part {number}/{count} again, \
                 which makes it anew",
                piece.file.name
            ),
        })
    }

    /// Refuses an input that has changed since the parts were begun.
    fn check_input(&self) -> Result<(), CheckpointError> {
        let now = input(self.checkpoint)?;
        let changed =
            now.iter().find(|(name, state)| self.agreement.input.get(*name) != Some(state));
        let Some((name, _)) = changed else { return Ok(()) };
        Err(CheckpointError::malformed(
            &self.checkpoint.root().join(name),
            "it was changed while parts were made of it: put it back and run this part again, or \
             remove the output's .partial folder and begin again with every part",
        ))
    }

    /// Whether what is in the output's place was made of this input in this way.
    fn is_in_place(&self) -> bool {
        let path = self.output.join(SUMMARY);
        let expected = &self.planned.summary;
        let same = |found: Summary| {
            found.producer == expected.producer
                && found.format == expected.format
                && found.options == expected.options
                && found.counts == expected.counts
                && found.kept == expected.kept
                && found
                    .tensors
                    .iter()
                    .all(|it| it.chosen.is_some() == self.planned.settings.figures)
        };
        let text = fs::read(&path).ok();
        let summary = text.and_then(|text| serde_json::from_slice(&text).ok());
        let time = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
        let made = time(&path);
        let is_older = |file: &TensorFile| time(file.path()).is_some_and(|it| Some(it) <= made);
        summary.is_some_and(same)
            && self.checkpoint.files().iter().all(is_older)
            && self.planned.plan.shards.iter().all(|shard| begins_as(&self.output, shard))
    }
}

/// Whether a shard of an output has the header that it would get.
fn begins_as(output: &Path, shard: &ShardPlan) -> bool {
    let mut start = vec![0; shard.encoded.len()];
    let read =
        File::open(output.join(&shard.name)).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == shard.encoded
}

/// Copies the tensors of a shard together from the files that hold them.
fn join(files: &[PathBuf], path: &Path, shard: &ShardPlan) -> Result<(), CheckpointError> {
    let files: Vec<TensorFile> =
        files.iter().map(|path| TensorFile::open(path)).collect::<Result<_, _>>()?;
    remove_file(path)?;
    let writer = FileWriter::create(path, &shard.header, &shard.encoded)?;
    for (region, entry) in shard.header.entries.iter().enumerate() {
        let found = files.iter().find_map(|file| Some((file, file.get(&entry.name)?)));
        let (file, entry) = found.expect("the pieces of a shard hold its tensors");
        let bytes = file.bytes(entry);
        for range in chunks(bytes.len(), COPY_CHUNK) {
            file.check_length()?;
            let mut buffer = writer.buffer(range.len());
            buffer.copy_from_slice(&bytes[range.clone()]);
            writer.append(region, buffer)?;
            file.release(entry, range.start, range.end);
        }
    }
    writer.finish().map(drop)
}

/// Bytes and time of change of every file with tensors, by name.
fn input(checkpoint: &Checkpoint) -> Result<BTreeMap<String, String>, CheckpointError> {
    let state = |file: &TensorFile| {
        let path = file.path();
        let failed = |error| CheckpointError::read(path, error);
        let meta = fs::metadata(path).map_err(failed)?;
        let changed = meta.modified().map_err(failed)?;
        let since = changed.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, format!("{} bytes, {}.{:09}", meta.len(), since.as_secs(), since.subsec_nanos())))
    };
    checkpoint.files().iter().map(state).collect()
}

/// A hash of all that is to be written but for the tensors' bytes.
fn hash(planned: &Planned) -> String {
    let mut hash = Xxh3::new();
    for shard in &planned.plan.shards {
        hash.update(shard.name.as_bytes());
        hash.update(&shard.encoded);
        for group in shard.groups() {
            hash.update(group.as_bytes());
            hash.update(b"\n");
        }
    }
    for (name, text) in &planned.extra {
        hash.update(name.as_bytes());
        hash.update(text);
    }
    format!("{:032x}", hash.digest128())
}
