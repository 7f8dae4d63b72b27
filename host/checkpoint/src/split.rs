//! The experts of a layer, cut out of the stacks that files hold them in: a matrix each, by the names
//! that loaders of quantized checkpoints read.

use std::collections::HashMap;

use super::encoding::Encoding;
use super::header::Dtype;
use super::source::Checkpoint;
use super::stack_table::{Halves, Stacks};
use super::view::{Base, Cut, View, Views};

/// Matrices of a checkpoint by the name that they have as floats.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) base: Base,
    /// The type of the floats that are made of them.
    pub(crate) dtype: Dtype,
    /// The tensors that the base takes besides its codes.
    pub(crate) parts: Vec<String>,
}

/// The stacks of one layer, and the views in their place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    /// By the name of the stored tensor.
    pub(crate) instead: Vec<(String, Vec<View>)>,
}

impl Layer {
    /// Whether the tensor called `stored` is one of its stacks.
    pub(crate) fn holds(&self, stored: &str) -> bool {
        self.instead.iter().any(|(name, _)| name == stored)
    }

    pub(crate) fn put(&self, views: &mut Views) {
        for (stored, made) in &self.instead {
            views.put(stored, made.clone());
        }
    }
}

/// Every stack of floats of three dimensions in `checkpoint`, by name.
pub(crate) fn float_stacks(checkpoint: &Checkpoint) -> HashMap<String, Stored> {
    let stack = |entry: &super::header::TensorEntry| {
        let input = entry.dtype.input_type()?;
        let &[matrices, rows, cols] = entry.shape.as_slice() else { return None };
        let base = Base {
            codes: entry.name.clone(),
            shape: [matrices, rows, cols],
            encoding: Encoding::Floats(input),
        };
        let stored = Stored { base, dtype: entry.dtype.clone(), parts: Vec::new() };
        Some((entry.name.clone(), stored))
    };
    checkpoint.tensors().filter_map(|(_, entry)| stack(entry)).collect()
}

/// The layers whose stacks `table` describes, of the matrices `stored`; in the order of their names.
pub(crate) fn layers(
    checkpoint: &Checkpoint,
    table: &Stacks,
    stored: &HashMap<String, Stored>,
) -> Vec<Layer> {
    let mut before: Vec<&str> = stored
        .keys()
        .filter_map(|name| name.strip_suffix(table.gate_up))
        .filter(|before| before.is_empty() || before.ends_with('.'))
        .collect();
    before.sort_unstable();
    before.into_iter().filter_map(|before| layer(checkpoint, table, stored, before)).collect()
}

fn layer(
    checkpoint: &Checkpoint,
    table: &Stacks,
    stored: &HashMap<String, Stored>,
    before: &str,
) -> Option<Layer> {
    let gate_up = &stored[&format!("{before}{}", table.gate_up)];
    let down = stored.get(&format!("{before}{}", table.down))?;
    let ([count, rows, cols], [others, down_rows, down_cols]) =
        (gate_up.base.shape, down.base.shape);
    let transposed = if count != others || count * rows * cols == 0 {
        return None;
    } else if rows == 2 * down_cols && cols == down_rows {
        false
    } else if cols == 2 * down_rows && rows == down_cols {
        true
    } else {
        return None;
    };
    let inner = if transposed { down_rows } else { down_cols };
    let halves = match table.halves {
        Halves::Chunked => [(0, 1), (inner, 1)],
        Halves::Interleaved => [(0, 2), (1, 2)],
    };
    let expert = |e: usize, end: &str| format!("{before}{}.{e}.{end}", table.experts);
    let matrix = |of: &Stored, e: usize, name: &str, (first, step), lines| {
        let [_, rows, cols] = of.base.shape;
        let shape = vec![lines, if transposed { rows } else { cols }];
        let cut = Cut { matrices: e..e + 1, transposed, first, step, lines };
        View::new(expert(e, name), of.dtype.clone(), shape, of.base.clone(), cut)
    };
    let hidden = if transposed { down_cols } else { down_rows };
    let mut layer = Layer::default();
    let gates = (0..count).flat_map(|e| {
        ["gate_proj.weight", "up_proj.weight"]
            .into_iter()
            .zip(halves)
            .map(move |(name, half)| (e, name, half))
    });
    let gates = gates.map(|(e, name, half)| matrix(gate_up, e, name, half, inner)).collect();
    let downs = (0..count).map(|e| matrix(down, e, "down_proj.weight", (0, 1), hidden)).collect();
    layer.instead.push((gate_up.base.codes.clone(), gates));
    layer.instead.push((down.base.codes.clone(), downs));
    let parts = gate_up.parts.iter().chain(&down.parts);
    layer.instead.extend(parts.map(|part| (part.clone(), Vec::new())));
    for (bias, names, length) in
        [(0, &["gate_proj.bias", "up_proj.bias"][..], inner), (1, &["down_proj.bias"][..], hidden)]
    {
        let Some(end) = table.biases.map(|ends| ends[bias]) else { continue };
        let Some((_, entry)) = checkpoint.get(&format!("{before}{end}")) else { continue };
        let input = entry.dtype.input_type()?;
        if entry.shape != [count, length * names.len()] {
            return None;
        }
        // A row each, whose elements are taken as a column.
        let base = Base {
            codes: entry.name.clone(),
            shape: [count, 1, length * names.len()],
            encoding: Encoding::Floats(input),
        };
        let places = if names.len() == 1 { [(0, 1); 2] } else { halves };
        let parts = (0..count).flat_map(|e| {
            let places = names.iter().zip(places);
            places.map(move |(name, place)| (e, *name, place))
        });
        let views = parts.map(|(e, name, (first, step))| {
            let cut = Cut { matrices: e..e + 1, transposed: true, first, step, lines: length };
            let dtype = entry.dtype.clone();
            View::new(expert(e, name), dtype, vec![length], base.clone(), cut)
        });
        layer.instead.push((entry.name.clone(), views.collect()));
    }
    Some(layer)
}
