//! Parts that serving stacks fuse into one matrix, and which therefore share a global scale.

/// How far the sharing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Fuse {
    /// Every tensor has its own.
    None,
    /// q/k/v, gate/up and their like share.
    Linear,
    /// Those, and all experts of a layer's stack: their gate/up, and their down.
    #[default]
    Experts,
}

/// Leaves of one fused module, and what the fused module is called.
const FUSED: [(&str, &[&str]); 9] = [
    ("qkv", &["q_proj", "k_proj", "v_proj"]),
    ("qkv", &["query", "key", "value"]),
    ("qkv", &["wq", "wk", "wv"]),
    ("qkv_a", &["q_a_proj", "kv_a_proj_with_mqa"]),
    ("in_proj_qkvz", &["in_proj_qkv", "in_proj_z"]),
    ("in_proj_ba", &["in_proj_b", "in_proj_a"]),
    ("gate_up", &["gate_proj", "up_proj"]),
    ("gate_up", &["w1", "w3"]),
    ("down", &["down_proj", "w2"]),
];

/// The group whose members share `tensor`'s global scale, if it is in one.
pub(crate) fn fused_group(tensor: &str, fuse: Fuse) -> Option<String> {
    let (parent, leaf) = tensor.strip_suffix(".weight")?.rsplit_once('.')?;
    let fused = FUSED.iter().find(|(_, leaves)| leaves.contains(&leaf)).map(|&(name, _)| name);
    let stack = (fuse == Fuse::Experts).then(|| expert_stack(parent)).flatten();
    match (stack, fused) {
        (Some(stack), fused) => Some(format!("{stack}.{}", fused.unwrap_or(leaf))),
        (None, None | Some("down")) => None,
        (None, Some(_)) if fuse == Fuse::None => None,
        (None, Some(fused)) => Some(format!("{parent}.{fused}")),
    }
}

/// `"….experts"` of `"….experts.7"`.
fn expert_stack(parent: &str) -> Option<&str> {
    let (stack, number) = parent.rsplit_once('.')?;
    let numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (numbered && (stack == "experts" || stack.ends_with(".experts"))).then_some(stack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_follow_what_is_fused() {
        let group = |tensor: &str, fuse| fused_group(tensor, fuse);
        let q = "model.layers.0.self_attn.q_proj.weight";
        assert_eq!(group(q, Fuse::Linear).as_deref(), Some("model.layers.0.self_attn.qkv"));
        assert_eq!(group(q, Fuse::None), None);
        let up = "m.layers.1.mlp.experts.12.up_proj.weight";
        assert_eq!(group(up, Fuse::Experts).as_deref(), Some("m.layers.1.mlp.experts.gate_up"));
        assert_eq!(group(up, Fuse::Linear).as_deref(), Some("m.layers.1.mlp.experts.12.gate_up"));
        let w2 = "m.layers.1.block_sparse_moe.experts.0.w2.weight";
        assert_eq!(
            group(w2, Fuse::Experts).as_deref(),
            Some("m.layers.1.block_sparse_moe.experts.down")
        );
        assert_eq!(group(w2, Fuse::Linear), None);
        assert_eq!(group("m.layers.0.mlp.down_proj.weight", Fuse::Experts), None);
        assert_eq!(group("m.layers.0.self_attn.o_proj.weight", Fuse::Experts), None);
    }
}
