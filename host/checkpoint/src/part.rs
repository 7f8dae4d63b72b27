//! The parts that several processes make of one output.
//!
//! A part is some layers of the model, whole: parts that share a global scale are in one layer, so
//! no part looks at another's tensors. Which layers depends on the model and the number of parts
//! alone.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use super::decision::Decision;
use super::header::Header;
use super::plan::{Plan, ShardPlan, Work};
use super::source::Checkpoint;

/// Which part of an output a process makes: number `number` of `count`, from 1.
///
/// ```
/// use fouroversix::checkpoint::Part;
///
/// let part: Part = "2/7".parse().unwrap();
/// assert_eq!((part.number(), part.count()), (2, 7));
/// assert!("0/7".parse::<Part>().is_err() && "8/7".parse::<Part>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    pub(crate) number: usize,
    pub(crate) count: usize,
}

impl Part {
    /// Part `number` of `count`; nothing unless `1 ≤ number ≤ count`.
    #[must_use]
    pub const fn new(number: usize, count: usize) -> Option<Self> {
        if number == 0 || number > count { None } else { Some(Self { number, count }) }
    }

    /// Its number, from 1.
    #[must_use]
    pub const fn number(self) -> usize {
        self.number
    }

    /// How many parts there are.
    #[must_use]
    pub const fn count(self) -> usize {
        self.count
    }
}

impl Default for Part {
    /// The only one.
    fn default() -> Self {
        Self { number: 1, count: 1 }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('/')
            .and_then(|(number, count)| Self::new(number.parse().ok()?, count.parse().ok()?))
            .ok_or_else(|| "use I/N with I from 1 to N, as in 2/7".to_owned())
    }
}

/// The number of the part, from 1 to `count`, that makes each tensor of `checkpoint`, in the order of
/// [`Checkpoint::tensors`].
///
/// Layers stay whole, and so do tensors that share a global scale. Layers that follow each other go
/// to one part, until it has its share of the input's bytes; with more parts than layers some parts
/// have nothing to do.
#[must_use]
pub fn part_of_tensors(
    checkpoint: &Checkpoint,
    decisions: &[Decision],
    count: usize,
) -> Vec<usize> {
    let mut units = Units::default();
    let mut unit_of = Vec::new();
    for ((_, entry), decision) in checkpoint.tensors().zip(decisions) {
        let unit = units.named(&format!("layer {}", layer(&entry.name)));
        if let Some(group) = &decision.group {
            let group = units.named(&format!("group {group}"));
            units.join(unit, group);
        }
        unit_of.push(unit);
    }
    let unit_of: Vec<usize> = unit_of.into_iter().map(|unit| units.root(unit)).collect();
    let mut order = Vec::new();
    let mut bytes: HashMap<usize, u128> = HashMap::new();
    for ((_, entry), unit) in checkpoint.tensors().zip(&unit_of) {
        *bytes.entry(*unit).or_insert_with(|| {
            order.push(*unit);
            0
        }) += u128::from(entry.bytes());
    }
    let total = bytes.values().sum::<u128>().max(1);
    let mut before = 0;
    let mut part = HashMap::new();
    for unit in order {
        // By the middle of the unit.
        let middle = 2 * before + bytes[&unit];
        let index = (middle * count as u128 / (2 * total)) as usize;
        part.insert(unit, index.min(count - 1) + 1);
        before += bytes[&unit];
    }
    unit_of.iter().map(|unit| part[unit]).collect()
}

/// The layer that a tensor's name puts it in: up to its first number; the whole name without one.
fn layer(tensor: &str) -> &str {
    let mut end = 0;
    for name in tensor.split('.') {
        end += name.len() + 1;
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
            return &tensor[..end - 1];
        }
    }
    tensor
}

/// Sets that grow together: each member points to another of its set, or to itself.
#[derive(Default)]
struct Units {
    names: HashMap<String, usize>,
    above: Vec<usize>,
}

impl Units {
    fn named(&mut self, name: &str) -> usize {
        let next = self.above.len();
        let unit = *self.names.entry(name.to_owned()).or_insert(next);
        if unit == next {
            self.above.push(next);
        }
        unit
    }

    fn root(&self, mut unit: usize) -> usize {
        while self.above[unit] != unit {
            unit = self.above[unit];
        }
        unit
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.above[a.max(b)] = a.min(b);
    }
}

/// What one part writes of one shard.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// The shard's place in the plan.
    pub(crate) shard: usize,
    /// Whether it is the whole shard.
    pub(crate) is_whole: bool,
    /// The file.
    pub(crate) file: ShardPlan,
}

/// The files of each part: whole shards, and pieces of shards that several parts have tensors in.
pub(crate) fn pieces(plan: &Plan, part_of: &HashMap<&str, usize>, count: usize) -> Vec<Vec<Piece>> {
    let mut parts = vec![Vec::new(); count];
    for (index, shard) in plan.shards.iter().enumerate() {
        let part = |i: usize| part_of[shard.tasks[i].source.as_str()];
        let mut numbers: Vec<usize> = (0..shard.tasks.len()).map(part).collect();
        numbers.sort_unstable();
        numbers.dedup();
        for &number in &numbers {
            let is_whole = numbers.len() == 1;
            let file = if is_whole {
                shard.clone()
            } else {
                shard.piece(number, |task| part_of[task.source.as_str()] == number)
            };
            parts[number - 1].push(Piece { shard: index, is_whole, file });
        }
    }
    parts
}

impl ShardPlan {
    /// The tensors that some of its tasks write, as a file of their own.
    fn piece(&self, number: usize, of_part: impl Fn(&super::plan::Task) -> bool) -> Self {
        let tasks = self.tasks.iter().filter(|task| of_part(task));
        let mut tasks: Vec<_> = tasks.cloned().collect();
        let entries = tasks.iter().flat_map(|task| &task.regions);
        let entries = entries.map(|&region| self.header.entries[region].clone()).collect();
        let (header, encoded) = Header::layout(entries, self.header.metadata.clone());
        let index = header.entries.iter().enumerate();
        let index: HashMap<&str, usize> = index.map(|(i, it)| (it.name.as_str(), i)).collect();
        for task in &mut tasks {
            for region in &mut task.regions {
                *region = index[self.header.entries[*region].name.as_str()];
            }
        }
        let stem = self.name.strip_suffix(".safetensors").unwrap_or(&self.name);
        let name = format!("{stem}.part-{number}.safetensors");
        drop(index);
        Self { name, header, encoded, tasks }
    }

    /// The groups whose amax its tensors take, in order.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &str> {
        self.tasks.iter().filter_map(|task| match &task.work {
            Work::Quantize { group, .. } => Some(group.as_str()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_end_at_their_number() {
        assert_eq!(layer("model.layers.12.mlp.experts.7.w1.weight"), "model.layers.12");
        assert_eq!(layer("transformer.h.0.attn.q.weight"), "transformer.h.0");
        assert_eq!(layer("lm_head.weight"), "lm_head.weight");
        assert_eq!(layer("5.weight"), "5");
    }

    #[test]
    fn sets_join() {
        let mut units = Units::default();
        let [a, b, c] = ["a", "b", "c"].map(|name| units.named(name));
        assert_eq!(units.named("b"), b);
        units.join(c, b);
        assert_eq!(units.root(c), units.root(b));
        assert_ne!(units.root(a), units.root(b));
        units.join(b, a);
        assert_eq!(units.root(c), a);
    }
}
