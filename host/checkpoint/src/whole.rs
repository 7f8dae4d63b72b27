//! Modules that serving stacks load as one and that would be of two kinds.

use std::collections::HashMap;

use super::decision::Decision;
use super::error::CheckpointError;
use super::families::Families;
use super::fuse::{Fuse, loaded_whole};
use super::kind::Kind;
use super::source::Checkpoint;

/// Refuses decisions by which parts that are loaded as one matrix, or experts of one layer, would be
/// FP8 and something else: vLLM refuses such a model (`get_moe_method`, `find_matched_target`).
pub(crate) fn refuse_split(
    checkpoint: &Checkpoint,
    families: &Families,
    decisions: &[Decision],
) -> Result<(), CheckpointError> {
    let all = || checkpoint.tensors().map(|(_, entry)| entry.name.as_str()).zip(decisions);
    let whole = |name: &str| loaded_whole(name, families, Fuse::Linear);
    let fp8 = all().filter(|(_, decision)| decision.becomes(Kind::Fp8));
    let fp8: HashMap<String, &str> =
        fp8.filter_map(|(name, _)| Some((whole(name)?, name))).collect();
    if fp8.is_empty() {
        return Ok(());
    }
    let others = all().filter(|(_, decision)| !decision.becomes(Kind::Fp8));
    let split = others
        .filter_map(|(name, decision)| {
            let group = whole(name)?;
            Some((name, decision, *fp8.get(&group)?, group))
        })
        .next();
    let Some((other, decision, fp8, group)) = split else { return Ok(()) };
    let fate = if decision.quantize { "become NVFP4" } else { "stay" };
    let problem = format!(
        "{fp8} would become FP8 and {other} would {fate} ({}), but serving stacks load both in one \
         module ({group}): use patterns that take all of its parts or none",
        decision.reason
    );
    Err(CheckpointError::Option { problem })
}
