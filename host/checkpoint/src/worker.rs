//! Computes tensors, panel by panel of rows.
//!
//! A tensor is looked at twice: once for its amax (and that of the parts it is fused with), once to
//! quantize it. Panels keep the memory in use to a few times [`QuantizePanels::panel_bytes`], whatever
//! the tensor's size; pages of the source are dropped once used; the disk is written by a thread of
//! its own ([`FileWriter`]) and the next panel is fetched by the system meanwhile.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use fouroversix_core::{Choices, Deviation, InputType, Rule, Scaling};
use half::{bf16, f16};

use super::error::CheckpointError;
use super::file::TensorFile;
use super::fill::finite;
use super::fp8;
use super::header::TensorEntry;
use super::kind::Kind;
use super::nvfp4::StoredName;
use super::panel::{
    Panel, PanelAmax, Totals, chunks, fill_dequantized, float_type, panels, row_amax,
};
use super::plan::{Plan, Task, Work};
use super::quantizer::QuantizePanels;
use super::record::{Figures, Histograms, TensorRecord};
use super::scan::extent;
use super::settings::{Observer, Settings};
use super::source::Checkpoint;
use super::view::View;
use super::write::FileWriter;

/// Bytes copied or dequantized at a time.
const COPY_CHUNK: usize = 4 << 20;

/// What all workers of a run have in common.
pub(crate) struct Common<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    pub(crate) settings: Settings,
    /// Tensors that are quantized with one amax, or with one for each of their rows.
    groups: HashMap<String, Group>,
}

/// What the global scale of a group comes from.
#[derive(Clone)]
enum Measured {
    /// The amax: one, or one for each row; and why it is not the other, where that was tried.
    Amax(Arc<[f32]>, Option<String>),
    /// The exponent that MXFP4 is written with as NVFP4, without loss.
    Top(i32),
}

/// Tensors that share a global scale, or one that has its own.
#[derive(Default)]
struct Group {
    members: Vec<String>,
    /// Nothing before a worker has found it, while the others wait.
    measured: Mutex<Option<Measured>>,
}

impl<'a> Common<'a> {
    /// Checks that every file that may have been read still has its length.
    pub(crate) fn check_lengths(&self) -> Result<(), CheckpointError> {
        self.checkpoint.files().iter().try_for_each(TensorFile::check_length)
    }

    pub(crate) fn new(checkpoint: &'a Checkpoint, plan: &Plan, settings: Settings) -> Self {
        let mut groups: HashMap<String, Group> = HashMap::new();
        for task in plan.shards.iter().flat_map(|shard| &shard.tasks) {
            if let Work::Quantize { group, .. } = &task.work {
                groups.entry(group.clone()).or_default().members.push(task.source.clone());
            }
        }
        Self { checkpoint, settings, groups }
    }
}

/// One quantizer at work, a tensor at a time.
pub(crate) struct Worker<'a> {
    pub(crate) common: &'a Common<'a>,
    quantizer: &'a mut dyn QuantizePanels,
    pub(crate) observer: &'a mut dyn Observer,
    /// Whether it was told that another quantizer took over.
    replacement_told: bool,
    pub(crate) unaligned: Vec<u32>,
    scratch: Vec<u8>,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(
        common: &'a Common<'a>,
        quantizer: &'a mut dyn QuantizePanels,
        observer: &'a mut dyn Observer,
    ) -> Self {
        let replacement_told = quantizer.replaced().is_some();
        let (unaligned, scratch) = (Vec::new(), Vec::new());
        Self { common, quantizer, observer, replacement_told, unaligned, scratch }
    }

    /// Carries out a task; what it quantized, if it did.
    pub(crate) fn task(
        &mut self,
        task: &Task,
        writer: &FileWriter,
    ) -> Result<Option<TensorRecord>, CheckpointError> {
        match &task.work {
            Work::Copy => self.copy(task, writer)?,
            Work::Dequantize(name) => self.dequantize(task, name, writer)?,
            Work::Given(bytes) => writer.append(task.regions[0], bytes.clone())?,
            Work::Join(join) => self.join(task, join, writer)?,
            Work::JoinBiases(join) => self.join_biases(task, join, writer)?,
            Work::Fp8 => {
                let record = self.fp8(task, writer)?;
                self.observer.tensor(&record);
                return Ok(Some(record));
            }
            Work::Quantize { group, shared } => {
                let record = self.quantize(task, group, *shared, writer)?;
                self.observer.tensor(&record);
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The type that a tensor is stored in.
    pub(crate) fn dtype_of(&self, entry: &TensorEntry) -> String {
        let label = self.common.checkpoint.view(&entry.name).and_then(View::label);
        label.unwrap_or(entry.dtype.name()).to_owned()
    }

    fn source(&self, name: &str) -> (&'a TensorFile, &'a TensorEntry) {
        self.common.checkpoint.get(name).expect("the plan was made from this checkpoint")
    }

    fn copy(&mut self, task: &Task, writer: &FileWriter) -> Result<(), CheckpointError> {
        if let Some(view) = self.common.checkpoint.view(&task.source) {
            return self.copy_view(task, view, writer);
        }
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

    /// Writes what a view makes, as it is.
    fn copy_view(
        &mut self,
        task: &Task,
        view: &View,
        writer: &FileWriter,
    ) -> Result<(), CheckpointError> {
        let [rows, cols] = view.rows_and_cols();
        let row_bytes = cols * float_type(&view.entry).bytes();
        for range in panels(rows, row_bytes, 1, self.quantizer.panel_bytes()) {
            let length = range.len() * row_bytes;
            self.unaligned.resize(length.div_ceil(4), 0);
            self.common.checkpoint.fill(view, range.clone(), &mut self.unaligned)?;
            let mut buffer = writer.buffer(length);
            buffer.copy_from_slice(&bytemuck::cast_slice(&self.unaligned)[..length]);
            if view.label().is_some() {
                finite(self.common.checkpoint, view, range.start, &buffer)?;
            }
            writer.append(task.regions[0], buffer)?;
            self.observer.advance(view.progress(&range));
        }
        Ok(())
    }

    fn dequantize(
        &mut self,
        task: &Task,
        name: &StoredName,
        writer: &FileWriter,
    ) -> Result<(), CheckpointError> {
        let stored = self.common.checkpoint.stored(name)?;
        let (file, entry) = self.source(&task.source);
        match self.common.settings.output {
            InputType::Bf16 => self.common.checkpoint.check_block_scales::<bf16>(name, &stored)?,
            InputType::F16 => self.common.checkpoint.check_block_scales::<f16>(name, &stored)?,
            InputType::F32 => self.common.checkpoint.check_block_scales::<f32>(name, &stored)?,
        }
        let [rows, cols] = stored.shape;
        for range in panels(rows, cols * self.common.settings.output.bytes(), 1, COPY_CHUNK) {
            file.check_length()?;
            let mut buffer =
                writer.buffer(range.len() * cols * self.common.settings.output.bytes());
            match self.common.settings.output {
                InputType::Bf16 => fill_dequantized::<bf16>(&stored, range.start, &mut buffer),
                InputType::F16 => fill_dequantized::<f16>(&stored, range.start, &mut buffer),
                InputType::F32 => fill_dequantized::<f32>(&stored, range.start, &mut buffer),
            }
            writer.append(task.regions[0], buffer)?;
            let (start, end) = (range.start * cols / 2, range.end * cols / 2);
            file.release(entry, start, end);
            self.observer.advance((end - start) as u64);
        }
        self.common.checkpoint.release();
        Ok(())
    }

    fn quantize(
        &mut self,
        task: &Task,
        group: &str,
        shared: bool,
        writer: &FileWriter,
    ) -> Result<TensorRecord, CheckpointError> {
        let (_, entry) = self.source(&task.source);
        let (amax, note) = match self.measured(group)? {
            Measured::Amax(amax, note) => (amax, note),
            Measured::Top(top) => {
                let record = self.repack(task, entry, top, writer)?;
                return Ok(TensorRecord { group: shared.then(|| group.to_owned()), ..record });
            }
        };
        let mut totals = Totals::default();
        for rows in self.panels_of(entry) {
            self.panel(task, entry, rows, &amax, writer, &mut totals)?;
        }
        let bound = self.common.settings.rule.e4m3_max();
        let globals = amax
            .iter()
            .flat_map(|&a| self.common.settings.format.global_scale(a, bound).to_le_bytes());
        writer.append(task.regions[2], globals.collect())?;
        let figures = |(deviation, choices)| Figures::new(deviation, choices);
        Ok(TensorRecord {
            name: entry.name.clone(),
            shape: [entry.shape[0], entry.shape[1]],
            dtype: self.dtype_of(entry),
            kind: Kind::Nvfp4,
            group: shared.then(|| group.to_owned()),
            amax: amax.iter().fold(0.0_f32, |a, &b| a.max(b)).into(),
            chosen: self.common.settings.figures.then(|| figures(totals.chosen)),
            plain: self.common.settings.figures.then(|| figures(totals.plain)),
            histograms: totals.histograms,
            source: note,
        })
    }

    /// Quantizes to FP8, on the CPU: rows stand alone, so one look at them is enough.
    fn fp8(&mut self, task: &Task, writer: &FileWriter) -> Result<TensorRecord, CheckpointError> {
        let (checkpoint, entry) = (self.common.checkpoint, self.source(&task.source).1);
        let cols = entry.shape[1];
        let figures = self.common.settings.figures;
        let (mut lost, mut amax) = (Deviation::default(), 0.0_f32);
        for rows in self.panels_of(entry) {
            let floats = checkpoint.rows(entry, &rows, &mut self.unaligned)?;
            let extent = extent(floats);
            self.common.settings.check_finite(&extent, entry, rows.start)?;
            let mut codes = writer.buffer(rows.len() * cols);
            let mut scales = writer.buffer(rows.len() * 4);
            lost = lost + fp8::quantize_rows(floats, cols, &mut codes, &mut scales, figures);
            amax = amax.max(extent.amax);
            writer.append(task.regions[0], codes)?;
            writer.append(task.regions[1], scales)?;
            self.observer.advance(checkpoint.release_rows(entry, &rows));
        }
        Ok(TensorRecord {
            name: entry.name.clone(),
            shape: [entry.shape[0], cols],
            dtype: self.dtype_of(entry),
            kind: Kind::Fp8,
            group: None,
            amax: amax.into(),
            chosen: figures.then(|| Figures::new(lost, Choices::default())),
            plain: None,
            histograms: Histograms::default(),
            source: None,
        })
    }

    fn panel(
        &mut self,
        task: &Task,
        entry: &TensorEntry,
        rows: Range<usize>,
        amax: &[f32],
        writer: &FileWriter,
        totals: &mut Totals,
    ) -> Result<(), CheckpointError> {
        let (checkpoint, cols) = (self.common.checkpoint, entry.shape[1]);
        let floats = checkpoint.rows(entry, &rows, &mut self.unaligned)?;
        let amax = match self.common.settings.scaling {
            Scaling::Row => PanelAmax::Rows(&amax[rows.clone()]),
            _ => PanelAmax::Tensor([amax[0]]),
        };
        let panel = Panel { floats, shape: [rows.len(), cols], amax };
        let mut codes = writer.buffer(rows.len() * cols / 2);
        let mut scales = writer.buffer(rows.len() * cols / 16);
        let rule = self.common.settings.rule;
        let settings = &self.common.settings;
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
        self.observer.advance(checkpoint.release_rows(entry, &rows));
        Ok(())
    }

    /// Notes, once, that another quantizer took over.
    fn tell_replacement(&mut self) {
        if let Some(text) = self.quantizer.replaced().filter(|_| !self.replacement_told) {
            self.observer.note(text);
            self.replacement_told = true;
        }
    }

    /// What a group's global scale comes from, found now unless it has been.
    fn measured(&mut self, group: &str) -> Result<Measured, CheckpointError> {
        let common = self.common;
        let Group { members, measured } = &common.groups[group];
        let mut measured = measured.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(measured) = &*measured {
            return Ok(measured.clone());
        }
        let mut note = None;
        if let Some(span) = self.span(members)? {
            match span.top() {
                Ok(top) => return Ok(measured.insert(Measured::Top(top)).clone()),
                Err(why) => note = Some(format!("MXFP4, quantized anew: {why}")),
            }
        }
        let amax = self.measure(members)?.into();
        if let Some(note) = &note {
            self.observer.note(&format!("{group}: {note}"));
        }
        Ok(measured.insert(Measured::Amax(amax, note)).clone())
    }

    /// Finds the amax of a group's members and checks that they are finite.
    fn measure(&mut self, members: &[String]) -> Result<Vec<f32>, CheckpointError> {
        let by_row = self.common.settings.scaling == Scaling::Row;
        let mut found: Vec<f32> = Vec::new();
        for member in members {
            let (checkpoint, entry) = (self.common.checkpoint, self.source(member).1);
            for rows in self.panels_of(entry) {
                let floats = checkpoint.rows(entry, &rows, &mut self.unaligned)?;
                let extent = extent(floats);
                self.common.settings.check_finite(&extent, entry, rows.start)?;
                if by_row {
                    found.extend(row_amax(floats, [rows.len(), entry.shape[1]])?);
                } else {
                    found = vec![found.first().map_or(extent.amax, |a| a.max(extent.amax))];
                }
                checkpoint.release_rows(entry, &rows);
            }
        }
        Ok(found)
    }

    pub(crate) fn panels_of(
        &self,
        entry: &TensorEntry,
    ) -> impl Iterator<Item = Range<usize>> + use<> {
        let row_bytes = entry.shape[1] * float_type(entry).bytes();
        let budget = self.quantizer.panel_bytes();
        panels(entry.shape[0], row_bytes, self.common.settings.row_step(), budget)
    }
}
