//! Computes one output file, panel by panel of rows.
//!
//! A tensor is looked at twice: once for its amax (and that of the parts it is fused with), once to
//! quantize it. Panels keep the memory in use to a few times [`QuantizePanels::panel_bytes`], whatever
//! the tensor's size; pages of the source are dropped once used; the disk is written by a thread of
//! its own ([`FileWriter`]) and the next panel is fetched by the system meanwhile.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use fouroversix_core::{
    Config, InputType, Outputs, Rule, ScaleLayout, Scaling, named, serde_by_name,
};
use half::{bf16, f16};

use super::error::CheckpointError;
use super::file::TensorFile;
use super::format::Format;
use super::header::TensorEntry;
use super::nvfp4::StoredName;
use super::panel::{
    Panel, PanelAmax, Totals, byte_range, chunks, fill_dequantized, float_type, panels, row_amax,
};
use super::plan::{Plan, ShardPlan, Task, Work};
use super::quantizer::QuantizePanels;
use super::record::{Figures, Histograms, TensorRecord};
use super::scan::{extent, values};
use super::source::Checkpoint;
use super::write::{Digest, FileWriter};

/// Bytes copied or dequantized at a time.
const COPY_CHUNK: usize = 4 << 20;

/// What a run tells while it goes on.
pub trait Observer {
    /// `bytes` more of the input are done.
    fn advance(&mut self, bytes: u64);

    /// A tensor was quantized.
    fn tensor(&mut self, record: &TensorRecord);

    /// Something worth a line.
    fn note(&mut self, text: &str);
}

/// What to do with NaN and infinities in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum NonFinite {
    /// Stop with [`CheckpointError::NonFinite`].
    #[default]
    Error,
    /// Quantize by the numeric contract: NaN does not count in maxima and becomes 6 (code 7);
    /// with an infinity the global scale is 1, infinities become ±6 and scales clamp at 448.
    Saturate,
}

impl NonFinite {
    /// `error` or `saturate`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Saturate => "saturate",
        }
    }
}

named!(NonFinite, "policy for NaN and infinities", [Error, Saturate]);
serde_by_name!(NonFinite);

/// What holds for every tensor of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) rule: Rule,
    pub(crate) scaling: Scaling,
    pub(crate) format: Format,
    pub(crate) non_finite: NonFinite,
    /// Whether the error of the chosen rule and of plain NVFP4 is measured.
    pub(crate) figures: bool,
    /// What dequantized tensors become.
    pub(crate) output: InputType,
}

impl Settings {
    fn config(&self, rule: Rule) -> Result<Config, CheckpointError> {
        Config::new(rule, self.scaling, Outputs::Rowwise, ScaleLayout::Linear)
            .map_err(|error| CheckpointError::Quantize(error.into()))
    }

    /// Rows that must stay together.
    const fn row_step(&self) -> usize {
        if matches!(self.scaling, Scaling::Tile) { 16 } else { 1 }
    }
}

/// Computes the shards of a plan, one call each.
pub(crate) struct Runner<'a> {
    checkpoint: &'a Checkpoint,
    quantizer: &'a mut dyn QuantizePanels,
    observer: &'a mut dyn Observer,
    settings: Settings,
    /// Members of each group.
    members: HashMap<String, Vec<String>>,
    /// Amax of each group or tensor met so far: one, or one for each row.
    amax: HashMap<String, Vec<f32>>,
    /// Whether it was told that another quantizer took over.
    replacement_told: bool,
    unaligned: Vec<u32>,
    scratch: Vec<u8>,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(
        checkpoint: &'a Checkpoint,
        plan: &Plan,
        settings: Settings,
        quantizer: &'a mut dyn QuantizePanels,
        observer: &'a mut dyn Observer,
    ) -> Self {
        let mut members: HashMap<String, Vec<String>> = HashMap::new();
        for task in plan.shards.iter().flat_map(|shard| &shard.tasks) {
            if let Work::Quantize { group, .. } = &task.work {
                members.entry(group.clone()).or_default().push(task.source.clone());
            }
        }
        Self {
            checkpoint,
            quantizer,
            observer,
            settings,
            members,
            amax: HashMap::new(),
            replacement_told: false,
            unaligned: Vec::new(),
            scratch: Vec::new(),
        }
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
        let mut writer = FileWriter::create(path, &shard.header, &shard.encoded)?;
        let mut records = Vec::new();
        for task in &shard.tasks {
            match &task.work {
                Work::Copy => self.copy(task, &mut writer)?,
                Work::Dequantize(name) => self.dequantize(task, name, &mut writer)?,
                Work::Quantize { group, shared } => {
                    let record = self.quantize(task, group, *shared, &mut writer)?;
                    self.observer.tensor(&record);
                    records.push(record);
                }
            }
        }
        Ok((writer.finish()?, records))
    }

    fn source(&self, name: &str) -> (&'a TensorFile, &'a TensorEntry) {
        self.checkpoint.get(name).expect("the plan was made from this checkpoint")
    }

    fn copy(&mut self, task: &Task, writer: &mut FileWriter) -> Result<(), CheckpointError> {
        let (file, entry) = self.source(&task.source);
        let bytes = file.bytes(entry);
        for range in chunks(bytes.len(), COPY_CHUNK) {
            file.check_length()?;
            let mut buffer = writer.buffer(range.len());
            buffer.copy_from_slice(&bytes[range.clone()]);
            writer.append(task.regions[0], buffer)?;
            file.release(entry, range.start, range.end);
            self.observer.advance(range.len() as u64);
        }
        Ok(())
    }

    fn dequantize(
        &mut self,
        task: &Task,
        name: &StoredName,
        writer: &mut FileWriter,
    ) -> Result<(), CheckpointError> {
        let stored = self.checkpoint.stored(name)?;
        let (file, entry) = self.source(&task.source);
        match self.settings.output {
            InputType::Bf16 => self.checkpoint.check_block_scales::<bf16>(name, &stored)?,
            InputType::F16 => self.checkpoint.check_block_scales::<f16>(name, &stored)?,
            InputType::F32 => self.checkpoint.check_block_scales::<f32>(name, &stored)?,
        }
        let [rows, cols] = stored.shape;
        for range in panels(rows, cols * self.settings.output.bytes(), 1, COPY_CHUNK) {
            file.check_length()?;
            let mut buffer = writer.buffer(range.len() * cols * self.settings.output.bytes());
            match self.settings.output {
                InputType::Bf16 => fill_dequantized::<bf16>(&stored, range.start, &mut buffer),
                InputType::F16 => fill_dequantized::<f16>(&stored, range.start, &mut buffer),
                InputType::F32 => fill_dequantized::<f32>(&stored, range.start, &mut buffer),
            }
            writer.append(task.regions[0], buffer)?;
            let (start, end) = (range.start * cols / 2, range.end * cols / 2);
            file.release(entry, start, end);
            self.observer.advance((end - start) as u64);
        }
        self.checkpoint.release();
        Ok(())
    }

    fn quantize(
        &mut self,
        task: &Task,
        group: &str,
        shared: bool,
        writer: &mut FileWriter,
    ) -> Result<TensorRecord, CheckpointError> {
        self.measure(group)?;
        let amax = self.amax[group].clone();
        let (_, entry) = self.source(&task.source);
        let mut totals = Totals::default();
        for rows in self.panels_of(entry) {
            self.panel(task, entry, rows, &amax, writer, &mut totals)?;
        }
        let bound = self.settings.rule.e4m3_max();
        let globals =
            amax.iter().flat_map(|&a| self.settings.format.global_scale(a, bound).to_le_bytes());
        writer.append(task.regions[2], globals.collect())?;
        let figures = |(deviation, choices)| Figures::new(deviation, choices);
        Ok(TensorRecord {
            name: entry.name.clone(),
            shape: [entry.shape[0], entry.shape[1]],
            dtype: entry.dtype.name().to_owned(),
            group: shared.then(|| group.to_owned()),
            amax: amax.iter().fold(0.0_f32, |a, &b| a.max(b)).into(),
            chosen: self.settings.figures.then(|| figures(totals.chosen)),
            plain: self.settings.figures.then(|| figures(totals.plain)),
            histograms: totals.histograms,
        })
    }

    fn panel(
        &mut self,
        task: &Task,
        entry: &TensorEntry,
        rows: Range<usize>,
        amax: &[f32],
        writer: &mut FileWriter,
        totals: &mut Totals,
    ) -> Result<(), CheckpointError> {
        let (file, _) = self.source(&task.source);
        let (cols, input) = (entry.shape[1], float_type(entry));
        let bytes = byte_range(entry, &rows);
        file.check_length()?;
        file.prefetch(entry, bytes.end, bytes.end + bytes.len());
        let floats = values(&file.bytes(entry)[bytes.clone()], input, &mut self.unaligned);
        let amax = match self.settings.scaling {
            Scaling::Row => PanelAmax::Rows(&amax[rows.clone()]),
            _ => PanelAmax::Tensor([amax[0]]),
        };
        let panel = Panel { floats, shape: [rows.len(), cols], amax };
        let mut codes = writer.buffer(rows.len() * cols / 2);
        let mut scales = writer.buffer(rows.len() * cols / 16);
        let rule = self.settings.rule;
        let settings = &self.settings;
        let config = settings.config(rule)?;
        let chosen = panel.quantize(self.quantizer, &config, &mut codes, &mut scales)?;
        totals.histograms.add(&Histograms::of(&codes, &scales));
        if settings.figures {
            let figures = (panel.deviation(&codes, &scales, rule)?, chosen);
            totals.add_chosen(figures);
            let plain = if rule == Rule::Plain {
                figures
            } else {
                self.scratch.resize(codes.len() + scales.len(), 0);
                let (codes, scales) = self.scratch.split_at_mut(codes.len());
                let config = settings.config(Rule::Plain)?;
                let choices = panel.quantize(self.quantizer, &config, codes, scales)?;
                (panel.deviation(codes, scales, Rule::Plain)?, choices)
            };
            totals.add_plain(plain);
        }
        self.tell_replacement();
        writer.append(task.regions[0], codes)?;
        writer.append(task.regions[1], scales)?;
        file.release(entry, bytes.start, bytes.end);
        self.observer.advance(bytes.len() as u64);
        Ok(())
    }

    /// Notes, once, that another quantizer took over.
    fn tell_replacement(&mut self) {
        if let Some(text) = self.quantizer.replaced().filter(|_| !self.replacement_told) {
            self.observer.note(text);
            self.replacement_told = true;
        }
    }

    /// Finds the amax of a group's members and checks that they are finite.
    fn measure(&mut self, group: &str) -> Result<(), CheckpointError> {
        if self.amax.contains_key(group) {
            return Ok(());
        }
        let by_row = self.settings.scaling == Scaling::Row;
        let mut found: Vec<f32> = Vec::new();
        for member in self.members[group].clone() {
            let (file, entry) = self.source(&member);
            let input = float_type(entry);
            for rows in self.panels_of(entry) {
                file.check_length()?;
                let bytes = byte_range(entry, &rows);
                let floats = values(&file.bytes(entry)[bytes.clone()], input, &mut self.unaligned);
                let extent = extent(floats);
                if let (Some((index, value)), NonFinite::Error) =
                    (extent.non_finite, self.settings.non_finite)
                {
                    let cols = entry.shape[1];
                    let position = [rows.start + index / cols, index % cols];
                    return Err(CheckpointError::NonFinite { tensor: member, position, value });
                }
                if by_row {
                    found.extend(row_amax(floats, [rows.len(), entry.shape[1]])?);
                } else {
                    found = vec![found.first().map_or(extent.amax, |a| a.max(extent.amax))];
                }
                file.release(entry, bytes.start, bytes.end);
            }
        }
        self.amax.insert(group.to_owned(), found);
        Ok(())
    }

    fn panels_of(&self, entry: &TensorEntry) -> impl Iterator<Item = Range<usize>> + use<> {
        let row_bytes = entry.shape[1] * float_type(entry).bytes();
        let budget = self.quantizer.panel_bytes();
        panels(entry.shape[0], row_bytes, self.settings.row_step(), budget)
    }
}
