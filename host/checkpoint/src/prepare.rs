//! A checkpoint as it is to be quantized: floats in the place of FP8 and MXFP4, and a matrix for each
//! expert of a stack, where all of a layer's are quantized.

use std::collections::{HashMap, HashSet};

use fouroversix_core::InputType;

use super::decision::Decision;
use super::encoded::Encoded;
use super::error::CheckpointError;
use super::families::Families;
use super::format::Format;
use super::header::Dtype;
use super::options::QuantizeOptions;
use super::roles::{Quantization, Role};
use super::select::STACK;
use super::source::Checkpoint;
use super::split::{Layer, Stored, float_stacks, layers};
use super::view::Views;

/// The type of what is quantized of FP8 and MXFP4: the product of code and scale, rounded once.
const EXACT: InputType = InputType::F32;

/// The type of what stays of FP8 and MXFP4.
const KEPT: InputType = InputType::Bf16;

/// The floats that a quantized checkpoint is a source of.
struct Sources {
    encoded: Vec<Encoded>,
    /// Stored tensors that have no place beside floats: scales of inputs and of the KV cache.
    left_out: Vec<String>,
}

impl Sources {
    fn of(checkpoint: &Checkpoint, roles: &[Role]) -> Self {
        let mut sources = Self { encoded: Vec::new(), left_out: Vec::new() };
        for ((_, entry), role) in checkpoint.tensors().zip(roles) {
            match role {
                Role::Encoded(_) => sources.encoded.extend(checkpoint.encoded(entry)),
                Role::InputScale | Role::CacheScale => sources.left_out.push(entry.name.clone()),
                _ => {}
            }
        }
        sources
    }

    /// Puts floats in the place of codes; `kept` are the names of those that stay as they are.
    fn put(&self, views: &mut Views, kept: &HashSet<String>) {
        for encoded in &self.encoded {
            let name = &encoded.name;
            let dtype = if kept.contains(&name.tensor) { KEPT } else { EXACT };
            views.put(&encoded.base.codes, vec![encoded.view(dtype)]);
            views.put(&name.scales, Vec::new());
        }
        self.left_out.iter().for_each(|name| views.put(name, Vec::new()));
    }

    /// As stacks of experts are made of them.
    fn stacks(&self) -> HashMap<String, Stored> {
        let stacks = self.encoded.iter().filter(|encoded| !encoded.alone);
        let stored = stacks.map(|encoded| {
            let parts = vec![encoded.name.scales.clone()];
            let (base, dtype) = (encoded.base.clone(), Dtype::from(EXACT));
            (encoded.name.tensor.clone(), Stored { base, dtype, parts })
        });
        stored.collect()
    }
}

/// `checkpoint`, whose tensors have these `roles`, as it is to be quantized, and what is done to each of
/// its tensors then.
///
/// A layer whose experts are not all quantized keeps its stacks: loaders take experts of one kind.
pub(crate) fn prepare(
    checkpoint: &Checkpoint,
    options: &QuantizeOptions,
    roles: &[Role],
) -> Result<(Checkpoint, Vec<Decision>), CheckpointError> {
    let families = Families::of_checkpoint(checkpoint);
    let sources = Sources::of(checkpoint, roles);
    let mut layers = match families.stacks.filter(|_| checkpoint.is_dir()) {
        Some(table) => {
            let mut stored = float_stacks(checkpoint);
            stored.extend(sources.stacks());
            layers(checkpoint, table, &stored)
        }
        None => Vec::new(),
    };
    let mut kept: Vec<(Layer, String)> = Vec::new();
    loop {
        let with = |stay: &HashSet<String>| {
            let mut views = Views::default();
            sources.put(&mut views, stay);
            layers.iter().for_each(|layer| layer.put(&mut views));
            checkpoint.with_views(views)
        };
        let prepared = with(&HashSet::new());
        let mut decisions = match kept.is_empty() {
            true => options.selection.decide(&prepared, options.scaling, options.fuse)?,
            // The patterns may have meant what is in a stack again.
            false => options.selection.judge(&prepared, options.scaling, options.fuse)?,
        };
        let broken = broken(&prepared, &decisions, &layers);
        if broken.is_empty() {
            let mut stay = HashSet::new();
            for ((_, entry), decision) in prepared.tensors().zip(&mut decisions) {
                let stored = prepared.made_of(&entry.name).unwrap_or(&entry.name);
                let whole = kept.iter().find(|(layer, _)| layer.holds(stored));
                if let Some((_, why)) = whole.filter(|_| decision.reason == STACK) {
                    decision.reason = format!("{STACK}, of which {why}").into();
                }
                let Some(label) = prepared.view(&entry.name).and_then(|view| view.label()) else {
                    continue;
                };
                if decision.quantize {
                    decision.reason = format!("{}, from {label}", decision.reason).into();
                } else {
                    decision.reason = format!("{}, {KEPT} of {label}", decision.reason).into();
                    stay.insert(entry.name.clone());
                }
            }
            return Ok((with(&stay), decisions));
        }
        let holding = |layer: &Layer| broken.iter().find(|(stored, _)| layer.holds(stored));
        let (stay, split) =
            layers.into_iter().partition::<Vec<_>, _>(|layer| holding(layer).is_some());
        kept.extend(stay.into_iter().map(|layer| {
            let why = holding(&layer).map(|(_, why)| why.clone()).unwrap_or_default();
            (layer, why)
        }));
        layers = split;
    }
}

/// `checkpoint` with floats in the place of FP8 and MXFP4, and with a matrix for each expert of those
/// stacks that are cut so in `other`.
pub(crate) fn as_floats(
    checkpoint: &Checkpoint,
    other: &Checkpoint,
) -> Result<Checkpoint, CheckpointError> {
    let quantization = Quantization::of(checkpoint)?;
    let mut sources = Sources::of(checkpoint, &quantization.roles);
    sources.left_out.clear();
    let mut views = Views::default();
    sources.put(&mut views, &HashSet::new());
    if let Some(table) = Families::of_checkpoint(checkpoint).stacks {
        let mut stored = float_stacks(checkpoint);
        stored.extend(sources.stacks());
        let is_there = |name: &str| {
            let codes = Format::ALL.map(|format| format.part_names(name).codes);
            other.get(name).is_some() || codes.iter().any(|codes| other.get(codes).is_some())
        };
        for layer in layers(checkpoint, table, &stored) {
            let mut made = layer.instead.iter().flat_map(|(_, views)| views);
            if made.next().is_some_and(|view| is_there(&view.entry.name)) {
                layer.put(&mut views);
            }
        }
    }
    Ok(checkpoint.with_views(views))
}

/// The stacks of `layers` of which some expert's matrix stays, and the first and why.
fn broken(
    prepared: &Checkpoint,
    decisions: &[Decision],
    layers: &[Layer],
) -> Vec<(String, String)> {
    let stacks: HashSet<&str> =
        layers.iter().flat_map(|layer| &layer.instead).map(|(stored, _)| stored.as_str()).collect();
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for ((_, entry), decision) in prepared.tensors().zip(decisions) {
        let Some(stored) = prepared.made_of(&entry.name) else { continue };
        let stays = !decision.quantize && entry.name.ends_with(".weight");
        if stays && stacks.contains(stored) && seen.insert(stored) {
            found.push((stored.to_owned(), format!("{}: {}", entry.name, decision.reason)));
        }
    }
    found
}

/// What a reader of the summary should know of the sources of `prepared`: how many tensors of which
/// encoding were read, and what stays of them.
pub(crate) fn source_notes(prepared: &Checkpoint, decisions: &[Decision]) -> Vec<String> {
    let mut read: Vec<(&str, usize)> = Vec::new();
    let mut stay = 0;
    for ((_, entry), decision) in prepared.tensors().zip(decisions) {
        let Some(label) = prepared.view(&entry.name).and_then(|view| view.label()) else {
            continue;
        };
        match read.iter_mut().find(|(known, _)| *known == label) {
            Some((_, count)) => *count += 1,
            None => read.push((label, 1)),
        }
        stay += usize::from(!decision.quantize);
    }
    let mut notes: Vec<String> = read
        .iter()
        .map(|(label, count)| format!("{count} tensors are read from {label}"))
        .collect();
    if stay > 0 {
        notes.push(format!("{stay} of them stay, as BF16 to which they are rounded"));
    }
    notes
}
