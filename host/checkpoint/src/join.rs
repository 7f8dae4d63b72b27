//! Experts that `quantize` cut out of stacks, put back as files of floats hold them: transformers and
//! vLLM look for the stacks there.

use std::collections::HashMap;

use fouroversix_core::InputType;

use super::header::{Dtype, TensorEntry};
use super::nvfp4::StoredName;
use super::roles::Role;
use super::source::Checkpoint;
use super::stack_table::{Halves, Stacks};

/// A matrix of an expert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Matrix {
    /// In NVFP4.
    Stored(StoredName),
    /// The view of this name.
    View(String),
}

/// A stack and what is put into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Join {
    /// Of each expert: gate and up, or down.
    pub(crate) experts: Vec<Vec<Matrix>>,
    /// Rows and columns of one matrix.
    pub(crate) shape: [usize; 2],
    pub(crate) halves: Halves,
    pub(crate) transposed: bool,
}

/// Biases of experts and what they are put into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinBiases {
    /// Of each expert: gate's and up's, or down's.
    pub(crate) experts: Vec<Vec<String>>,
    pub(crate) halves: Halves,
}

/// One tensor that experts are put into.
pub(crate) struct Joined {
    pub(crate) output: TensorEntry,
    pub(crate) what: What,
    /// The names as floats of all that goes into it, the first one first.
    pub(crate) parts: Vec<String>,
}

pub(crate) enum What {
    Stack(Join),
    Biases(JoinBiases),
}

impl Join {
    /// Rows of gate and up together, or of down.
    pub(crate) fn lines(&self) -> usize {
        self.shape[0] * self.experts[0].len()
    }

    /// Which matrix of an expert a row of them together is in, and which row there.
    pub(crate) fn place(&self, line: usize) -> (usize, usize) {
        match (self.experts[0].len(), self.halves) {
            (2, Halves::Interleaved) => (line % 2, line / 2),
            _ => (line / self.shape[0], line % self.shape[0]),
        }
    }
}

/// What the experts of `checkpoint`, whose tensors have these `roles`, are put into, as floats of
/// `element`; `read` has the views.
///
/// A layer is left as it is unless all matrices of all its experts are quantized and of one shape.
pub(crate) fn joined(
    checkpoint: &Checkpoint,
    read: &Checkpoint,
    roles: &[Role],
    table: &Stacks,
    element: InputType,
) -> Vec<Joined> {
    let mut matrices: HashMap<String, (Matrix, [usize; 2])> = HashMap::new();
    for role in roles {
        match role {
            Role::Codes(name) => {
                let Ok(stored) = checkpoint.stored(name) else { continue };
                if stored.stack.is_none() {
                    let matrix = (Matrix::Stored(name.clone()), stored.shape);
                    matrices.insert(name.tensor.clone(), matrix);
                }
            }
            Role::Encoded(name) => {
                let shape = read.get(&name.tensor).map(|(_, entry)| entry.shape.clone());
                if let Some(&[rows, cols]) = shape.as_deref() {
                    let matrix = (Matrix::View(name.tensor.clone()), [rows, cols]);
                    matrices.insert(name.tensor.clone(), matrix);
                }
            }
            _ => {}
        }
    }
    let first = format!("{}.0.gate_proj.weight", table.experts);
    let is_begin = |before: &&str| before.is_empty() || before.ends_with('.');
    let mut before: Vec<&str> =
        matrices.keys().filter_map(|name| name.strip_suffix(&first)).filter(is_begin).collect();
    before.sort_unstable();
    let layers = before
        .into_iter()
        .filter_map(|before| layer(checkpoint, &matrices, table, element, before));
    layers.flatten().collect()
}

fn layer(
    checkpoint: &Checkpoint,
    matrices: &HashMap<String, (Matrix, [usize; 2])>,
    table: &Stacks,
    element: InputType,
    before: &str,
) -> Option<Vec<Joined>> {
    let name = |e: usize, end: &str| format!("{before}{}.{e}.{end}", table.experts);
    let stem = format!("{before}{}.", table.experts);
    let numbers = matrices
        .keys()
        .filter_map(|name| name.strip_prefix(&stem)?.split('.').next()?.parse::<usize>().ok());
    let count = numbers.max()? + 1;
    let mut made = Vec::new();
    for (stack, ends) in
        [(table.gate_up, &["gate_proj", "up_proj"][..]), (table.down, &["down_proj"][..])]
    {
        let shape = matrices.get(&name(0, &format!("{}.weight", ends[0])))?.1;
        let (mut experts, mut parts) = (Vec::new(), Vec::new());
        for e in 0..count {
            let mut of_expert = Vec::new();
            for end in ends {
                let name = name(e, &format!("{end}.weight"));
                let (matrix, own) = matrices.get(&name)?;
                if *own != shape {
                    return None;
                }
                of_expert.push(matrix.clone());
                parts.push(name);
            }
            experts.push(of_expert);
        }
        let join = Join { experts, shape, halves: table.halves, transposed: table.transposed };
        let [outer, inner] = match table.transposed {
            true => [shape[1], join.lines()],
            false => [join.lines(), shape[1]],
        };
        let output = TensorEntry {
            name: format!("{before}{stack}"),
            dtype: Dtype::from(element),
            shape: vec![count, outer, inner],
            range: 0..0,
        };
        made.push(Joined { output, what: What::Stack(join), parts });
    }
    for (index, ends) in [&["gate_proj", "up_proj"][..], &["down_proj"][..]].iter().enumerate() {
        let Some(end) = table.biases.map(|ends| ends[index]) else { continue };
        let entry = |e: usize, end: &str| checkpoint.get(&name(e, &format!("{end}.bias")));
        let Some((_, first)) = entry(0, ends[0]) else { continue };
        let (mut experts, mut parts) = (Vec::new(), Vec::new());
        for e in 0..count {
            let mut of_expert = Vec::new();
            for end in *ends {
                let (_, bias) = entry(e, end)?;
                if bias.shape != first.shape || bias.dtype != first.dtype || bias.shape.len() != 1 {
                    return None;
                }
                of_expert.push(bias.name.clone());
            }
            parts.extend(of_expert.iter().cloned());
            experts.push(of_expert);
        }
        let output = TensorEntry {
            name: format!("{before}{end}"),
            dtype: first.dtype.clone(),
            shape: vec![count, first.shape[0] * ends.len()],
            range: 0..0,
        };
        let biases = JoinBiases { experts, halves: table.halves };
        made.push(Joined { output, what: What::Biases(biases), parts });
    }
    Some(made)
}
