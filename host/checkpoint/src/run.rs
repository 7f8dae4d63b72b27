//! Computes output files: who works on their tensors.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use super::error::CheckpointError;
use super::plan::{Plan, ShardPlan};
use super::quantizer::QuantizePanels;
use super::record::TensorRecord;
use super::settings::{Observer, Settings};
use super::source::Checkpoint;
use super::worker::{Common, Worker};
use super::write::{Digest, FileWriter};

/// Computes the shards of a plan, one call each.
pub(crate) struct Runner<'a> {
    common: Common<'a>,
    quantizer: &'a mut dyn QuantizePanels,
    observer: &'a mut dyn Observer,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(
        checkpoint: &'a Checkpoint,
        plan: &Plan,
        settings: Settings,
        quantizer: &'a mut dyn QuantizePanels,
        observer: &'a mut dyn Observer,
    ) -> Self {
        Self { common: Common::new(checkpoint, plan, settings), quantizer, observer }
    }

    pub(crate) fn observer(&mut self) -> &mut dyn Observer {
        self.observer
    }

    /// Writes `shard` to `path` and makes it durable.
    pub(crate) fn shard(
        &mut self,
        path: &Path,
        shard: &ShardPlan,
    ) -> Result<(Digest, Vec<TensorRecord>), CheckpointError> {
        let writer = FileWriter::create(path, &shard.header, &shard.encoded)?;
        let records = if self.quantizer.members().is_empty() {
            let mut worker = Worker::new(&self.common, self.quantizer, self.observer);
            let records = shard.tasks.iter().map(|task| worker.task(task, &writer));
            records.collect::<Result<Vec<_>, _>>()?
        } else {
            on_all(&self.common, self.quantizer.members(), self.observer, shard, &writer)?
        };
        let digest = writer.finish()?;
        // Past a new end what is left of a page reads as zeros: bytes count once their file is whole still.
        self.common.check_lengths()?;
        Ok((digest, records.into_iter().flatten().collect()))
    }
}

/// What a worker tells the thread that the observer lives on.
enum Told {
    Advance(u64),
    Tensor(Box<TensorRecord>),
    Note(String),
}

impl Observer for Sender<Told> {
    fn advance(&mut self, bytes: u64) {
        // Nobody listens any more only when the listener's thread has panicked.
        let _ = self.send(Told::Advance(bytes));
    }

    fn tensor(&mut self, record: &TensorRecord) {
        let _ = self.send(Told::Tensor(Box::new(record.clone())));
    }

    fn note(&mut self, text: &str) {
        let _ = self.send(Told::Note(text.to_owned()));
    }
}

/// Carries out a shard's tasks on all quantizers: each takes the next task that nobody has. What
/// they give is in the tasks' order; of several errors it is the first task's.
fn on_all(
    common: &Common<'_>,
    quantizers: &mut [Box<dyn QuantizePanels>],
    observer: &mut dyn Observer,
    shard: &ShardPlan,
    writer: &FileWriter,
) -> Result<Vec<Option<TensorRecord>>, CheckpointError> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = |quantizer: &mut dyn QuantizePanels, mut tell: Sender<Told>| {
        let mut worker = Worker::new(common, quantizer, &mut tell);
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = shard.tasks.get(index) else { break };
            let result = worker.task(task, writer);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            done.push((index, result));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let (tell, told) = channel();
        let workers: Vec<_> = quantizers
            .iter_mut()
            .map(|quantizer| {
                let (work, tell) = (&work, tell.clone());
                scope.spawn(move || work(quantizer.as_mut(), tell))
            })
            .collect();
        drop(tell);
        for told in told {
            match told {
                Told::Advance(bytes) => observer.advance(bytes),
                Told::Tensor(record) => observer.tensor(&record),
                Told::Note(text) => observer.note(&text),
            }
        }
        let ended = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ended.flatten().collect::<Vec<_>>()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
