//! Which unit executes an instruction.

use super::disassembly::Instruction;

/// Names of the units, in the order of [`pipe`]'s result.
pub(crate) const PIPES: [&str; 7] =
    ["FMA", "ALU", "conversion", "MUFU", "LSU", "uniform", "control"];
/// Indices of the units that take a warp's instruction every other cycle at best.
pub(crate) const HALF_RATE: [usize; 2] = [1, 2];

/// How many instructions each unit executes.
pub(crate) type Histogram = [u64; PIPES.len()];

/// The index of the unit in [`PIPES`].
pub(crate) fn pipe(instruction: &Instruction) -> usize {
    let mnemonic = instruction.mnemonic();
    match mnemonic {
        "FFMA" | "FMUL" | "FADD" | "FFMA2" | "FMUL2" | "FADD2" | "FHADD" | "FHFMA" | "IMAD"
        | "HFMA2" | "HADD2" | "HMUL2" | "FFMA32I" | "FMUL32I" | "FADD32I" => 0,
        "F2FP" | "F2F" | "F2I" | "I2F" | "I2FP" | "F2IP" | "FRND" => 2,
        "MUFU" => 3,
        "LDG" | "STG" | "LDGSTS" | "LDS" | "LDSM" | "STS" | "LD" | "ST" | "LDL" | "STL" | "LDC"
        | "ATOM" | "ATOMG" | "ATOMS" | "RED" | "REDG" | "SHFL" | "MEMBAR" | "CCTL" | "ERRBAR" => 4,
        "BRA" | "EXIT" | "CALL" | "RET" | "BSSY" | "BSYNC" | "BREAK" | "NOP" | "BAR"
        | "WARPSYNC" | "YIELD" | "S2R" | "CS2R" | "VOTE" | "DEPBAR" | "LDGDEPBAR" | "BMOV" => 6,
        "S2UR" | "R2UR" | "LDCU" | "VOTEU" | "CREDUX" => 5,
        _ if mnemonic.starts_with('U') => 5,
        _ => 1,
    }
}
