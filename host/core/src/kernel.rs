//! A kernel as a value: what it does, and from that its name and what a launch must know of it.
//!
//! [`Kernel::ALL`] lists what there is. Entries, PTX files, archives, launches, tests and tables come from
//! it. A name is made from a kernel and nobody takes one apart: [`Kernel::from_name`] looks it up.

mod all;
mod name;

use core::fmt;

use crate::abi::{
    AMAX_COLUMNS, AMAX_COLUMNS_WARPS, COLUMNS_BYTES, COLUMNS_COLS, GATHERED_ROWS_BYTES,
    TRANSPOSED_BYTES, TURNED_BYTES,
};
use crate::config::{InputType, Metric, Outputs, Rule};
use crate::instruction_set::{Capability, InstructionSet};

pub use name::Name;

/// Shared memory of the kernels that reduce over a thread block.
const REDUCE_SHARED: u32 = 128;
/// Shared memory of the kernels that reduce columns: a word for each of a warp's.
const AMAX_COLUMNS_SHARED: u32 = AMAX_COLUMNS_WARPS * AMAX_COLUMNS * 4;
/// Shared memory of the kernels whose blocks run down columns: their tile.
const COLUMNS_SHARED: u32 = COLUMNS_COLS * COLUMNS_BYTES;

/// What a kernel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Codes and block scales of tensors whose global scales are known.
    Quantize,
    /// Row scaling in one pass: each row's amax and global scale, then its 1x16 blocks, rowwise.
    QuantizeRows,
    /// The amax of a tensor and its global scale.
    Amax,
    /// The amax of a tensor's transform, rowwise or columnwise, and its global scale.
    AmaxTransform,
    /// The amax of each row and its global scale.
    AmaxRows,
    /// The amax of each column and its global scale.
    AmaxColumns,
    /// The global scales of amaxes that the caller supplies.
    GlobalScales,
    /// Codes and scales back to numbers.
    Dequantize,
    /// The byte-equal copy that quantizing is measured against.
    CopyQuantize,
    /// The byte-equal copy that dequantizing is measured against.
    CopyDequantize,
}

/// The elements that share a block scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blocks {
    /// 1x16: 16 elements along a row, or down a column for a columnwise output. `1d` in names.
    Row,
    /// 16x16. `2d` in names.
    Tile,
}

/// What of a rule is compiled in. Error path and E4M3 bound are flags of a launch; a search's metric too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KernelRule {
    /// One candidate.
    Plain,
    /// Two, compared by the sum of magnitudes of their errors.
    Mae,
    /// Two, compared by the sum of squares.
    Mse,
    /// 13 neighbouring scales. Rounds to nearest, without a transform.
    Search,
}

impl From<Rule> for KernelRule {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::Plain => Self::Plain,
            Rule::FourOverSix { metric: Metric::Mae, .. } => Self::Mae,
            Rule::FourOverSix { metric: Metric::Mse, .. } => Self::Mse,
            Rule::Search { .. } => Self::Search,
        }
    }
}

/// A kernel: an entry of the device code, and a PTX module of its own.
///
/// Made by the functions named after operations, so that each value is one of [`Kernel::ALL`]. Kernels
/// are ordered by name, as their files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    operation: Operation,
    blocks: Option<Blocks>,
    outputs: Option<Outputs>,
    grouped: bool,
    input: Option<InputType>,
    rule: Option<KernelRule>,
    transform: bool,
    stochastic: bool,
}

impl Kernel {
    const fn of(operation: Operation, input: Option<InputType>) -> Self {
        Self {
            operation,
            blocks: None,
            outputs: None,
            grouped: false,
            input,
            rule: None,
            transform: false,
            stochastic: false,
        }
    }

    /// Takes [`crate::abi::QuantizeParams`]; a `grouped` one a table of tensors in it.
    #[must_use]
    pub const fn quantize(
        blocks: Blocks,
        outputs: Outputs,
        grouped: bool,
        input: InputType,
        rule: KernelRule,
    ) -> Self {
        Self {
            blocks: Some(blocks),
            outputs: Some(outputs),
            grouped,
            rule: Some(rule),
            ..Self::of(Operation::Quantize, Some(input))
        }
    }

    /// Takes [`crate::abi::QuantizeParams`], and writes the global scales too.
    #[must_use]
    pub const fn quantize_rows(input: InputType, rule: KernelRule) -> Self {
        Self {
            blocks: Some(Blocks::Row),
            outputs: Some(Outputs::Rowwise),
            rule: Some(rule),
            ..Self::of(Operation::QuantizeRows, Some(input))
        }
    }

    /// The kernel that rounds stochastically where this one, which quantizes, rounds to nearest. Takes
    /// [`crate::abi::TrainingParams`].
    #[must_use]
    pub const fn stochastically(self) -> Self {
        assert!(self.quantizes(), "only codes are rounded");
        assert!(!self.searches(), "a search rounds to nearest");
        Self { stochastic: true, ..self }
    }

    /// The kernel that transforms before it does what this one does, which quantizes 1x16 blocks of one
    /// tensor. Takes [`crate::abi::TrainingParams`].
    #[must_use]
    pub const fn transformed(self) -> Self {
        assert!(matches!(self.operation, Operation::Quantize) && !self.grouped);
        assert!(!self.searches(), "a search has no transform");
        assert!(
            matches!(self.blocks, Some(Blocks::Row)),
            "groups that are transformed are 1x16 blocks"
        );
        Self { transform: true, ..self }
    }

    /// Takes [`crate::abi::TransformAmaxParams`].
    #[must_use]
    pub const fn amax_transform(columnwise: bool, input: InputType) -> Self {
        Self {
            blocks: Some(Blocks::Row),
            outputs: Some(if columnwise { Outputs::Columnwise } else { Outputs::Rowwise }),
            transform: true,
            ..Self::of(Operation::AmaxTransform, Some(input))
        }
    }

    /// Takes [`crate::abi::AmaxParams`]; a `grouped` one a table of them as its input.
    #[must_use]
    pub const fn amax(grouped: bool, input: InputType) -> Self {
        Self { grouped, ..Self::of(Operation::Amax, Some(input)) }
    }

    /// Takes [`crate::abi::AmaxParams`].
    #[must_use]
    pub const fn amax_rows(input: InputType) -> Self {
        Self::of(Operation::AmaxRows, Some(input))
    }

    /// Takes [`crate::abi::AmaxParams`].
    #[must_use]
    pub const fn amax_columns(input: InputType) -> Self {
        Self::of(Operation::AmaxColumns, Some(input))
    }

    /// Takes [`crate::abi::AmaxParams`].
    #[must_use]
    pub const fn global_scales() -> Self {
        Self::of(Operation::GlobalScales, None)
    }

    /// Takes [`crate::abi::DequantizeParams`].
    #[must_use]
    pub const fn dequantize(output: InputType) -> Self {
        Self::of(Operation::Dequantize, Some(output))
    }

    /// Takes [`crate::abi::QuantizeParams`].
    #[must_use]
    pub const fn copy_quantize(input: InputType) -> Self {
        Self::of(Operation::CopyQuantize, Some(input))
    }

    /// Takes [`crate::abi::DequantizeParams`].
    #[must_use]
    pub const fn copy_dequantize(output: InputType) -> Self {
        Self::of(Operation::CopyDequantize, Some(output))
    }

    /// What it does.
    #[must_use]
    pub const fn operation(self) -> Operation {
        self.operation
    }

    /// The shape of its blocks, where it quantizes.
    #[must_use]
    pub const fn blocks(self) -> Option<Blocks> {
        self.blocks
    }

    /// What it produces, where it quantizes.
    #[must_use]
    pub const fn outputs(self) -> Option<Outputs> {
        self.outputs
    }

    /// Whether a launch is of many tensors.
    #[must_use]
    pub const fn grouped(self) -> bool {
        self.grouped
    }

    /// The type of the elements that it reads, or that it writes where it dequantizes; `None` of
    /// [`Operation::GlobalScales`].
    #[must_use]
    pub const fn input(self) -> Option<InputType> {
        self.input
    }

    /// How it chooses block scales, where it quantizes.
    #[must_use]
    pub const fn rule(self) -> Option<KernelRule> {
        self.rule
    }

    /// Whether it rounds stochastically, where it quantizes.
    #[must_use]
    pub const fn is_stochastic(self) -> bool {
        self.stochastic
    }

    /// Whether it transforms before anything else.
    #[must_use]
    pub const fn transforms(self) -> bool {
        self.transform
    }

    /// Whether its parameter is [`crate::abi::TrainingParams`].
    #[must_use]
    pub const fn takes_training(self) -> bool {
        self.quantizes() && (self.stochastic || self.transform)
    }

    /// Whether it writes codes and block scales of what it is given.
    #[must_use]
    pub const fn quantizes(self) -> bool {
        matches!(self.operation, Operation::Quantize | Operation::QuantizeRows)
    }

    /// Whether it has two candidates for each block: map6 and map4.
    #[must_use]
    pub const fn compares(self) -> bool {
        matches!(self.rule, Some(KernelRule::Mae | KernelRule::Mse))
    }

    /// Whether it has 13 candidates for each block.
    #[must_use]
    pub const fn searches(self) -> bool {
        matches!(self.rule, Some(KernelRule::Search))
    }

    /// Bytes of dynamic shared memory of a thread block.
    #[must_use]
    pub const fn shared_bytes(self) -> u32 {
        match (self.operation, self.blocks, self.outputs) {
            (_, Some(Blocks::Row), Some(Outputs::Columnwise | Outputs::Both)) => COLUMNS_SHARED,
            (_, Some(Blocks::Tile), Some(Outputs::Columnwise | Outputs::Both)) => {
                if self.stochastic { TURNED_BYTES } else { TRANSPOSED_BYTES }
            }
            (Operation::Quantize, Some(Blocks::Tile), Some(Outputs::Rowwise)) => {
                GATHERED_ROWS_BYTES
            }
            (
                Operation::QuantizeRows
                | Operation::Amax
                | Operation::AmaxTransform
                | Operation::AmaxRows,
                ..,
            ) => REDUCE_SHARED,
            (Operation::AmaxColumns, ..) => AMAX_COLUMNS_SHARED,
            _ => 0,
        }
    }

    /// Registers that a thread may have (`.maxnreg`), where fewer than the assembler would take let more
    /// warps hide memory's latency and nothing spills. Measured on H100 (`docs/benchmarks/`);
    /// `cargo xtask sass` fails on a spill.
    #[must_use]
    pub const fn register_limit(self, set: InstructionSet) -> Option<u32> {
        let (Some(blocks), Some(outputs)) = (self.blocks, self.outputs) else { return None };
        if !self.compares() || matches!(self.input, Some(InputType::F32)) {
            return None;
        }
        if self.stochastic {
            return match (set.has(Capability::Fp4Kernels), blocks, outputs) {
                (true, ..) => None,
                (_, Blocks::Row, Outputs::Rowwise) => Some(match self.operation {
                    Operation::Quantize if set.has(Capability::Fp8Cvt) => 56,
                    Operation::Quantize => 64,
                    _ => 80,
                }),
                (_, Blocks::Row, Outputs::Columnwise) => {
                    Some(if set.has(Capability::Fp8Cvt) && !self.grouped { 80 } else { 96 })
                }
                // As many thread blocks as with 96, which spill.
                (_, Blocks::Row, Outputs::Both) => Some(128),
                (_, Blocks::Tile, Outputs::Columnwise) if set.has(Capability::Fp8Cvt) => Some(80),
                (_, Blocks::Tile, Outputs::Rowwise | Outputs::Both) if self.grouped => Some(104),
                (_, Blocks::Tile, _) => Some(96),
            };
        }
        if set.has(Capability::Fp4Kernels) {
            return match (self.operation, blocks, outputs) {
                // More than it takes: left to itself it works scales out twice to save registers.
                (Operation::Quantize, Blocks::Row, Outputs::Rowwise) => Some(96),
                // Left to itself 71, with which a multiprocessor has three thread blocks instead of four.
                (_, Blocks::Row, Outputs::Both) if self.grouped => Some(64),
                _ => None,
            };
        }
        let fp8 = set.has(Capability::Fp8Cvt);
        Some(match (blocks, outputs) {
            // Without conversions to FP8 and with a table's addresses, 48 spill.
            (Blocks::Row, Outputs::Rowwise) if self.grouped && !fp8 => 56,
            (Blocks::Row, Outputs::Columnwise | Outputs::Both) if self.transforms() => 64,
            (Blocks::Row, Outputs::Rowwise | Outputs::Columnwise) => 48,
            (Blocks::Row, Outputs::Both) => 56,
            // Elsewhere 48 spill.
            (Blocks::Tile, Outputs::Columnwise) if fp8 && !self.grouped => 48,
            (Blocks::Tile, Outputs::Rowwise | Outputs::Columnwise) => 56,
            (Blocks::Tile, Outputs::Both) => 64,
        })
    }

    /// Threads that a thread block may have (`.maxntid`), more than a launch uses: a search of tiles gets registers for
    /// so many, and another thread block fits on a multiprocessor. `.maxnreg` with as many registers spills.
    #[must_use]
    pub const fn thread_limit(self, set: InstructionSet) -> Option<u32> {
        if !self.searches() || set.has(Capability::Fp4Kernels) {
            return None;
        }
        match (self.blocks, self.outputs) {
            // 576 spill here.
            (Some(Blocks::Tile), Some(Outputs::Both)) if self.grouped => Some(512),
            (Some(Blocks::Tile), _) if !set.has(Capability::Fp8Cvt) => Some(512),
            (Some(Blocks::Tile), _) => Some(576),
            _ => None,
        }
    }

    /// The name of its entry and of its PTX file.
    #[must_use]
    pub const fn name(self) -> Name {
        Name::of(self.words())
    }

    /// The kernel of a name, which a file or another program gives: the inverse of [`Kernel::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let at = Self::ALL.binary_search_by(|kernel| (*kernel.name()).cmp(name)).ok()?;
        Some(Self::ALL[at])
    }

    /// The words of its name; blank ones are left out.
    const fn words(self) -> [&'static str; 8] {
        let operation = match self.operation {
            Operation::Quantize => "quantize",
            // Its blocks and outputs are of one kind, which the name does not say.
            Operation::QuantizeRows => "quantize_rows",
            Operation::Amax => "amax",
            Operation::AmaxTransform => "amax_transform",
            Operation::AmaxRows => "amax_rows",
            Operation::AmaxColumns => "amax_columns",
            Operation::GlobalScales => "global_scales",
            Operation::Dequantize => "dequantize",
            Operation::CopyQuantize => "copy_quantize",
            Operation::CopyDequantize => "copy_dequantize",
        };
        let [blocks, outputs] = match (self.operation, self.blocks, self.outputs) {
            (Operation::Quantize, Some(blocks), Some(outputs)) => {
                let blocks = match blocks {
                    Blocks::Row => "1d",
                    Blocks::Tile => "2d",
                };
                [blocks, outputs.name()]
            }
            (Operation::AmaxTransform, _, Some(outputs)) => ["", outputs.name()],
            _ => [""; 2],
        };
        let grouped = if self.grouped { "grouped" } else { "" };
        let input = match self.input {
            Some(input) => input.name(),
            None => "",
        };
        let rule = match self.rule {
            Some(KernelRule::Plain) => "plain",
            Some(KernelRule::Mae) => "mae",
            Some(KernelRule::Mse) => "mse",
            Some(KernelRule::Search) => "search",
            None => "",
        };
        let transform = if self.transform && self.quantizes() { "transform" } else { "" };
        let rounding = if self.stochastic { "stochastic" } else { "" };
        [operation, blocks, outputs, grouped, input, rule, transform, rounding]
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

impl Ord for Kernel {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.name().cmp(&other.name())
    }
}

impl PartialOrd for Kernel {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_sorted_and_no_two_have_a_name() {
        let names = Kernel::ALL.map(Kernel::name);
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
        for name in names {
            assert!(!name.contains("__") && !name.ends_with('_'), "{name}");
        }
    }

    /// The names are those of entries in PTX that is committed: a change of one is a change of all.
    #[test]
    fn names() {
        use InputType::{Bf16, F16, F32};
        for (kernel, name) in [
            (
                Kernel::quantize(Blocks::Tile, Outputs::Columnwise, true, Bf16, KernelRule::Plain),
                "quantize_2d_columnwise_grouped_bf16_plain",
            ),
            (
                Kernel::quantize(Blocks::Row, Outputs::Both, false, F32, KernelRule::Mse),
                "quantize_1d_both_f32_mse",
            ),
            (Kernel::quantize_rows(F16, KernelRule::Mae), "quantize_rows_f16_mae"),
            (
                Kernel::quantize(Blocks::Row, Outputs::Rowwise, true, F32, KernelRule::Mse)
                    .stochastically(),
                "quantize_1d_rowwise_grouped_f32_mse_stochastic",
            ),
            (
                Kernel::quantize(Blocks::Tile, Outputs::Both, true, Bf16, KernelRule::Search),
                "quantize_2d_both_grouped_bf16_search",
            ),
            (Kernel::amax(false, Bf16), "amax_bf16"),
            (Kernel::amax(true, F32), "amax_grouped_f32"),
            (Kernel::amax_columns(F16), "amax_columns_f16"),
            (Kernel::global_scales(), "global_scales"),
            (Kernel::copy_dequantize(F32), "copy_dequantize_f32"),
        ] {
            assert_eq!(kernel.to_string(), name);
            assert_eq!(Kernel::from_name(name), Some(kernel));
        }
    }
}
