//! A checkpoint as it is to be quantized: stacks of experts cut into matrices, where all of a layer's
//! are quantized.

use std::collections::HashSet;

use super::decision::Decision;
use super::error::CheckpointError;
use super::families::Families;
use super::options::QuantizeOptions;
use super::select::STACK;
use super::source::Checkpoint;
use super::split::{Layer, float_stacks, layers};
use super::view::Views;

/// `checkpoint` as it is to be quantized, and what is done to each of its tensors.
///
/// A layer whose experts are not all quantized keeps its stacks: loaders take experts of one kind.
pub(crate) fn prepare(
    checkpoint: &Checkpoint,
    options: &QuantizeOptions,
) -> Result<(Checkpoint, Vec<Decision>), CheckpointError> {
    let families = Families::of_checkpoint(checkpoint);
    let mut layers = match families.stacks.filter(|_| checkpoint.is_dir()) {
        Some(table) => layers(checkpoint, table, &float_stacks(checkpoint)),
        None => Vec::new(),
    };
    let mut kept: Vec<(Layer, String)> = Vec::new();
    loop {
        let mut views = Views::default();
        layers.iter().for_each(|layer| layer.put(&mut views));
        let prepared = checkpoint.with_views(views);
        let mut decisions = match kept.is_empty() {
            true => options.selection.decide(&prepared, options.scaling, options.fuse)?,
            // The patterns may have meant what is in a stack again.
            false => options.selection.judge(&prepared, options.scaling, options.fuse)?,
        };
        let stays =
            |name: &str, decision: &Decision| !decision.quantize && name.ends_with(".weight");
        let mut broken: Vec<(&str, String)> = Vec::new();
        let mut seen = HashSet::new();
        for ((_, entry), decision) in prepared.tensors().zip(&decisions) {
            let Some(stored) = prepared.made_of(&entry.name) else { continue };
            if stays(&entry.name, decision) && seen.insert(stored) {
                broken.push((stored, format!("{}: {}", entry.name, decision.reason)));
            }
        }
        if broken.is_empty() {
            for ((_, entry), decision) in prepared.tensors().zip(&mut decisions) {
                let whole = kept.iter().find(|(layer, _)| layer.holds(&entry.name));
                if let Some((_, why)) = whole.filter(|_| decision.reason == STACK) {
                    decision.reason = format!("{STACK}, of which {why}").into();
                }
            }
            return Ok((prepared, decisions));
        }
        let (stay, split) = layers
            .into_iter()
            .partition::<Vec<_>, _>(|layer| broken.iter().any(|(stored, _)| layer.holds(stored)));
        layers = split;
        kept.extend(stay.into_iter().map(|layer| {
            let why = broken.iter().find(|(stored, _)| layer.holds(stored));
            let why = why.map(|(_, why)| why.clone()).unwrap_or_default();
            (layer, why)
        }));
    }
}
