//! What a thread of each kernel has to do.

use fouroversix_core::kernel::{Blocks, Operation};
use fouroversix_core::{InputType, Kernel, Outputs};

use super::disassembly::Instruction;

/// The shape that times are given for.
pub(crate) const ELEMENTS: u64 = 16384 * 6144;
/// Blocks of 16 that a thread of `amax_*` loads of that shape on a large GPU.
const AMAX_BLOCKS: u32 = 24;

/// The work of one thread that is not past the tensor's edge.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Work {
    /// Blocks of 16 input (for `dequantize`: output) elements. With both outputs each is encoded
    /// twice and counts once.
    pub(crate) blocks: u32,
    /// Bytes it loads, at least.
    pub(crate) loads: u32,
    /// Bytes it stores to global memory, at least.
    pub(crate) stores: u32,
    /// Conversions of two elements to codes, at least.
    pub(crate) packs: u32,
    /// Bytes of an element: loads of that size are the exact path's.
    pub(crate) element: Option<u32>,
    /// Whether those are to FP16 toward zero: of stochastic rounding, where only ties convert otherwise.
    pub(crate) toward_zero: bool,
    /// Bytes that a block of 16 moves to and from memory, each once.
    pub(crate) traffic: u32,
}

/// The work of a kernel; `None` where there is no path worth counting.
pub(crate) fn work(kernel: Kernel) -> Option<Work> {
    let element = kernel.input()?.bytes() as u32;
    let input = 16 * element;
    let base = Work {
        blocks: 1,
        loads: input,
        stores: 0,
        packs: 0,
        element: None,
        toward_zero: false,
        traffic: input,
    };
    match kernel.operation() {
        // Nearly all of a search is a loop over its candidates, which no path shows.
        Operation::Quantize | Operation::QuantizeRows if kernel.searches() => None,
        Operation::Quantize | Operation::QuantizeRows => quantize(kernel, element),
        Operation::CopyQuantize => Some(Work { stores: 9, traffic: input + 9, ..base }),
        Operation::CopyDequantize => {
            Some(Work { loads: 9, stores: input, traffic: input + 9, ..base })
        }
        Operation::Dequantize => {
            Some(Work { loads: 13, stores: input, traffic: input + 9, ..base })
        }
        Operation::Amax => Some(Work { blocks: AMAX_BLOCKS, loads: AMAX_BLOCKS * input, ..base }),
        // Down columns a thread block stages tiles in turn, as many as the grid leaves it.
        Operation::AmaxTransform if kernel.outputs() == Some(Outputs::Columnwise) => None,
        Operation::AmaxTransform => {
            Some(Work { blocks: AMAX_BLOCKS, loads: AMAX_BLOCKS * input, ..base })
        }
        Operation::AmaxRows => Some(base),
        Operation::AmaxColumns | Operation::GlobalScales => None,
    }
}

/// The work of a kernel that quantizes elements of so many bytes.
fn quantize(kernel: Kernel, element: u32) -> Option<Work> {
    let tiles = kernel.blocks()? == Blocks::Tile;
    let outputs = if kernel.outputs()? == Outputs::Both { 2 } else { 1 };
    // Stochastic rounding needs the errors of both and the codes of one.
    let candidates = if kernel.compares() && !kernel.is_stochastic() { 2 } else { 1 };
    let (blocks, loads) = match (kernel.operation(), kernel.outputs()?) {
        // A lane has two rows of a 16x16 block.
        _ if tiles => (2, 2),
        // Of a row of 6144 a thread has three blocks, after it has looked for the amax four at a time.
        (Operation::QuantizeRows, _) => (3, 4 + 3),
        (_, Outputs::Rowwise) => (1, 1),
        // Two blocks in each half of a tile, of which 32-bit elements have one.
        _ => (8 / element, 8 / element),
    };
    // 16x16 blocks have the same codes along rows and columns.
    let encodings = if tiles { 1 } else { outputs };
    let input = 16 * element;
    Some(Work {
        blocks,
        loads: loads * input,
        stores: blocks * 9 * outputs,
        packs: blocks * 8 * encodings * candidates,
        element: Some(element),
        toward_zero: kernel.is_stochastic(),
        traffic: input + 9 * outputs,
    })
}

/// Whether a kernel is in the tables that people read: bf16 or without an element type, one tensor.
pub(crate) fn in_short(kernel: Kernel) -> bool {
    !kernel.grouped() && kernel.input().is_none_or(|input| input == InputType::Bf16)
}

/// Bytes that a memory instruction moves.
fn bytes(instruction: &Instruction) -> u32 {
    let sizes = [("U8", 1), ("S8", 1), ("U16", 2), ("S16", 2), ("64", 8), ("128", 16), ("256", 32)];
    sizes.iter().find(|(suffix, _)| instruction.has(suffix)).map_or(4, |(_, bytes)| *bytes)
}

/// Bytes loaded through the read-only path or straight to shared memory.
pub(crate) fn loaded(instruction: &Instruction) -> u32 {
    let load = instruction.mnemonic() == "LDG" && instruction.has("CONSTANT");
    if load || instruction.mnemonic() == "LDGSTS" { bytes(instruction) } else { 0 }
}

/// Bytes stored to global memory. Zeros are padding and no work.
pub(crate) fn stored(instruction: &Instruction) -> u32 {
    let padding = instruction.operands.ends_with(", RZ");
    if instruction.mnemonic() == "STG" && !padding { bytes(instruction) } else { 0 }
}

/// Whether it makes codes of two elements: E2M1 where it is native, else FP16.
pub(crate) fn packs(instruction: &Instruction, toward_zero: bool) -> bool {
    let has = |suffix| instruction.has(suffix);
    let packs = instruction.mnemonic() == "F2FP" && (has("PACK_AB") || has("PACK_AB_MERGE_C"));
    packs && !has("E4M3") && !has("BF16") && (has("RZ") || !toward_zero)
}
