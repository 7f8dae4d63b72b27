//! What `rcp.rn.f32` is in machine code, where it takes no slow path.
//!
//! The hot loop writes that sequence by hand (`kernels-gpu/src/decide/block.rs`, note 4): the hardware's approximation r
//! and one Newton step, `fma(r, fma(-t, r, 1), r)`. The assembler spells the inner step
//! `-(fma(t, r, -1))`, the same number: rounding to nearest is symmetric.

use std::fs;
use std::path::Path;

use fouroversix_core::instruction_set::Row;

use super::disassembly::{self, Instruction};
use super::targets::TARGETS;
use super::tools::Tools;

/// A line for each target.
pub(crate) fn check_all(tools: &Tools, work: &Path) -> Result<Vec<String>, String> {
    let mut notes = Vec::new();
    for target in &TARGETS {
        let Row { name, ptx: [major, minor], .. } = target.set.row();
        let text = format!(
            ".version {major}.{minor}\n.target {name}\n.address_size 64\n.visible .entry k(.param .u64 p)\n{{\n.reg .b64 a;\n.reg .f32 x;\n\
             ld.param.u64 a, [p];\nld.global.f32 x, [a];\nrcp.rn.f32 x, x;\nst.global.f32 [a], x;\n\
             ret;\n}}\n"
        );
        let ptx = work.join("reciprocal.ptx");
        fs::write(&ptx, text).map_err(|e| format!("{}: {e}", ptx.display()))?;
        let assembled = tools.assemble(target.arch, &[&ptx], &work.join("reciprocal.cubin"))?;
        let blocks = disassembly::parse(assembled.text("k").unwrap_or_default())?;
        // The slow path has approximations too: ours is the kernel's own, stored right after.
        let stored = |i: &Instruction| {
            i.mnemonic() == "STG"
                && blocks.iter().any(|b| newton(&b.instructions).is_some_and(|r| stores(i, &r)))
        };
        let found = blocks.iter().flat_map(|b| &b.instructions).any(stored);
        if !found {
            return Err(format!("rcp.rn.f32 is another sequence on {}", target.arch));
        }
        notes.push(format!("`{}`", target.arch));
    }
    Ok(notes)
}

/// The result register of a block that starts `MUFU.RCP r, t; FFMA e, t, r, -1; FADD e, -e, -0;
/// FFMA d, r, e, r`.
fn newton(block: &[Instruction]) -> Option<String> {
    let operands = |i: usize, opcodes: &[&str]| -> Option<Vec<String>> {
        let instruction = block.get(i).filter(|x| x.guard.is_empty())?;
        opcodes.contains(&instruction.opcode.as_str()).then_some(())?;
        Some(instruction.operands.split(',').map(|o| o.trim().replace(".reuse", "")).collect())
    };
    let [r, t] = operands(0, &["MUFU.RCP"])?.try_into().ok()?;
    let [e, a, b, c] = operands(1, &["FFMA"])?.try_into().ok()?;
    ([&a, &b] == [&t, &r] && c == "-1").then_some(())?;
    let [n, minus, zero] = operands(2, &["FADD", "FADD.FTZ"])?.try_into().ok()?;
    (minus == format!("-{e}") && zero == "-RZ").then_some(())?;
    let [d, a, b, c] = operands(3, &["FFMA"])?.try_into().ok()?;
    ([&a, &b, &c] == [&r, &n, &r]).then_some(d)
}

fn stores(instruction: &Instruction, register: &str) -> bool {
    instruction.operands.ends_with(&format!(", {register}"))
}
