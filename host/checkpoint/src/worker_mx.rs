//! A worker's way with MXFP4 that becomes NVFP4 without loss.

use fouroversix_core::{Choices, Scaling};

use super::encoding::Encoding;
use super::error::CheckpointError;
use super::header::TensorEntry;
use super::kind::Kind;
use super::panel::{Panel, PanelAmax, Totals};
use super::plan::Task;
use super::record::{Figures, Histograms, TensorRecord};
use super::repack::{self, Span};
use super::view::View;
use super::worker::Worker;
use super::write::FileWriter;

impl Worker<'_> {
    /// Writes MXFP4 as NVFP4 without loss.
    pub(crate) fn repack(
        &mut self,
        task: &Task,
        entry: &TensorEntry,
        top: i32,
        writer: &FileWriter,
    ) -> Result<TensorRecord, CheckpointError> {
        let settings = self.common.settings;
        let view = self.common.checkpoint.view(&entry.name).expect("it is MXFP4, which is viewed");
        let (cols, amax) = (entry.shape[1], repack::amax(top));
        let mut totals = Totals::default();
        for rows in self.panels_of(entry) {
            let mut codes = writer.buffer(rows.len() * cols / 2);
            let mut scales = writer.buffer(rows.len() * cols / 16);
            let lines = codes.chunks_exact_mut(cols / 2).zip(scales.chunks_exact_mut(cols / 16));
            let stored = self.common.checkpoint.mx_rows(view, rows.clone())?;
            for ((codes, scales), (own_codes, exponents)) in lines.zip(stored) {
                codes.copy_from_slice(own_codes);
                repack::block_scales(exponents, top, scales);
            }
            totals.histograms.add(&Histograms::of(&codes, &scales));
            if settings.figures {
                let floats = self.common.checkpoint.rows(entry, &rows, &mut self.unaligned)?;
                let amax = PanelAmax::Tensor([amax]);
                let panel = Panel { floats, shape: [rows.len(), cols], amax };
                let lost = panel.deviation(&codes, &scales, repack::RULE)?;
                let blocks = (rows.len() * cols / 16) as u64;
                totals.add_chosen((lost, Choices { map4: 0, blocks }));
            }
            writer.append(task.regions[0], codes)?;
            writer.append(task.regions[1], scales)?;
            self.common.checkpoint.release();
            self.observer.advance(view.progress(&rows));
        }
        let global = settings.format.global_scale(amax, repack::RULE.e4m3_max());
        writer.append(task.regions[2], global.to_le_bytes().to_vec())?;
        let (lost, choices) = totals.chosen;
        Ok(TensorRecord {
            name: entry.name.clone(),
            shape: [entry.shape[0], cols],
            dtype: self.dtype_of(entry),
            kind: Kind::Nvfp4,
            group: None,
            amax: amax.into(),
            chosen: settings.figures.then(|| Figures::new(lost, choices)),
            plain: None,
            histograms: totals.histograms,
            source: Some(repack::LOSSLESS.to_owned()),
        })
    }

    /// The exponents of a group's members, if all are MXFP4 and blocks stay blocks.
    pub(crate) fn span(&self, members: &[String]) -> Result<Option<Span>, CheckpointError> {
        let checkpoint = self.common.checkpoint;
        let views: Vec<&View> = members.iter().filter_map(|name| checkpoint.view(name)).collect();
        let is_mx = |view: &&View| matches!(view.base.encoding, Encoding::Mxfp4 { .. });
        let all = views.len() == members.len() && views.iter().all(is_mx);
        if !all || self.common.settings.scaling != Scaling::Tensor {
            return Ok(None);
        }
        let mut span = Span::default();
        for view in views {
            for rows in self.panels_of(&view.entry) {
                checkpoint
                    .mx_rows(view, rows)?
                    .for_each(|(codes, exponents)| span.add(codes, exponents));
                checkpoint.release();
            }
        }
        Ok(Some(span))
    }
}
