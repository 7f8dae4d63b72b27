//! What a thread of each kernel has to do, by the kernel's name.

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
    /// Bytes that a block of 16 moves to and from memory, each once.
    pub(crate) traffic: u32,
}

/// The work of a kernel; `None` where there is no path worth counting.
pub(crate) fn work(kernel: &str) -> Option<Work> {
    let words: Vec<&str> = kernel.split('_').collect();
    let has = |word: &str| words.contains(&word);
    let element = if has("f32") { 4 } else { 2 };
    let input = 16 * element;
    let base = Work { blocks: 1, loads: input, stores: 0, packs: 0, element: None, traffic: input };
    match words[0] {
        "quantize" => {
            let candidates = if has("plain") { 1 } else { 2 };
            // A lane has two rows of a 16x16 block, and of a row of 6144 that is quantized in one pass
            // three blocks, after it has looked for the amax four at a time.
            let (blocks, loads) = if has("2d") {
                (2, 2)
            } else if has("rows") {
                (3, 4 + 3)
            } else if has("rowwise") {
                (1, 1)
            } else {
                // Two blocks in each half of a tile, of which 32-bit elements have one.
                (8 / element, 8 / element)
            };
            let outputs = if has("both") { 2 } else { 1 };
            // 16x16 blocks have the same codes along rows and columns.
            let encodings = if has("2d") { 1 } else { outputs };
            Some(Work {
                blocks,
                loads: loads * input,
                stores: blocks * 9 * outputs,
                packs: blocks * 8 * encodings * candidates,
                element: Some(element),
                traffic: input + 9 * outputs,
            })
        }
        "copy" if has("quantize") => Some(Work { stores: 9, traffic: input + 9, ..base }),
        "copy" => Some(Work { loads: 9, stores: input, traffic: input + 9, ..base }),
        "dequantize" => Some(Work { loads: 13, stores: input, traffic: input + 9, ..base }),
        "amax" if has("columns") => None,
        "amax" if has("rows") => Some(base),
        "amax" => Some(Work { blocks: AMAX_BLOCKS, loads: AMAX_BLOCKS * input, ..base }),
        _ => None,
    }
}

/// Bytes of dynamic shared memory, as `host/core/src/launch.rs` asks for them.
pub(crate) fn shared(kernel: &str) -> u32 {
    let words: Vec<&str> = kernel.split('_').collect();
    match words[..] {
        ["quantize", "1d", "both" | "columnwise", ..] => 128 * 256,
        ["quantize", "2d", "both" | "columnwise", ..] => 4 * 544 + 16,
        ["quantize", "rows", ..] => 128,
        ["amax", "columns", ..] => 0,
        ["amax", ..] => 128,
        _ => 0,
    }
}

/// Whether a kernel is in the tables that people read: bf16 or without an element type, one tensor.
pub(crate) fn in_short(kernel: &str) -> bool {
    !["_f16", "_f32", "_grouped"].iter().any(|word| kernel.contains(word))
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
pub(crate) fn packs(instruction: &Instruction) -> bool {
    let has = |suffix| instruction.has(suffix);
    let packs = instruction.mnemonic() == "F2FP" && (has("PACK_AB") || has("PACK_AB_MERGE_C"));
    packs && !has("E4M3") && !has("BF16")
}
