//! Parts that serving stacks fuse into one matrix, and which therefore share a global scale.

use fouroversix_core::{named, serde_by_name};

use super::families::Families;
use super::family_table::Fused;

/// How far the sharing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Fuse {
    /// Every tensor has its own.
    None,
    /// q/k/v, gate/up and their like share: what vLLM packs. Each expert has its own, as vLLM's
    /// `FusedMoE` keeps one for each (`[experts, 2]` for gate/up, `[experts]` for down).
    #[default]
    Linear,
    /// Those, and all experts of a layer's stack: their gate/up, and their down.
    Experts,
}

impl Fuse {
    /// `none`, `linear` or `experts`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Linear => "linear",
            Self::Experts => "experts",
        }
    }
}

named!(Fuse, "choice of fused parts", [None, Linear, Experts]);
serde_by_name!(Fuse);

/// What vLLM 0.33 packs in models of many types: `packed_modules_mapping`, `orig_to_new_stacked`
/// and `stacked_params_mapping` in `model_executor/models/*.py`; the last three groups are
/// diffusers' attention processors (`fuse_projections`).
const FUSED: [Fused; 13] = [
    ("qkv", &["q_proj", "k_proj", "v_proj"]),
    ("qkv", &["query", "key", "value"]),
    ("qkv", &["wq", "wk", "wv"]),
    ("qkv_a", &["q_a_proj", "kv_a_proj_with_mqa"]),
    ("in_proj_qkvz", &["in_proj_qkv", "in_proj_z"]),
    ("in_proj_ba", &["in_proj_b", "in_proj_a"]),
    ("gate_up", &["gate_proj", "up_proj"]),
    ("gate_up", &["w1", "w3"]),
    ("gate_up", &["c_fc_0", "c_fc_1"]),
    ("down", &["down_proj", "w2"]),
    ("qkv", &["to_q", "to_k", "to_v"]),
    ("added_qkv", &["add_q_proj", "add_k_proj", "add_v_proj"]),
    ("qkv", &["query_net", "key_net", "value_net"]),
];

/// The group whose members share `tensor`'s global scale, if it is in one.
pub(crate) fn fused_group(tensor: &str, families: &Families, fuse: Fuse) -> Option<String> {
    let module = tensor.strip_suffix(".weight")?;
    let (parent, leaf) = module.rsplit_once('.')?;
    // A part may have a name of several parts: `indexer.index_qk_proj`.
    let above = |part: &str| module.strip_suffix(part)?.strip_suffix('.');
    let fused = families.fused().chain(FUSED.iter()).find_map(|&(name, parts)| {
        parts.iter().find_map(|part| above(part)).map(|parent| (parent, name))
    });
    let stack = (fuse == Fuse::Experts).then(|| expert_stack(parent)).flatten();
    match (stack, fused) {
        (Some(stack), fused) => Some(format!("{stack}.{}", fused.map_or(leaf, |(_, name)| name))),
        (None, None | Some((_, "down"))) => None,
        (None, Some(_)) if fuse == Fuse::None => None,
        (None, Some((parent, name))) => Some(format!("{parent}.{name}")),
    }
}

/// The parts that a stack loads as one module, quantized all or not at all: fused parts, and the
/// experts of a layer, for which vLLM makes one method (`get_moe_method`).
pub(crate) fn loaded_whole(tensor: &str, families: &Families, fuse: Fuse) -> Option<String> {
    if fuse == Fuse::None {
        return None;
    }
    let (parent, _) = tensor.strip_suffix(".weight")?.rsplit_once('.')?;
    let stack = expert_stack(parent).map(str::to_owned);
    stack.or_else(|| fused_group(tensor, families, Fuse::Linear))
}

/// Whether `tensor` is the weight of one of several experts.
pub(crate) fn is_expert(tensor: &str) -> bool {
    let parent = tensor.strip_suffix(".weight").and_then(|module| module.rsplit_once('.'));
    parent.is_some_and(|(parent, _)| expert_stack(parent).is_some())
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

    fn group(kind: &str, tensor: &str, fuse: Fuse) -> Option<String> {
        fused_group(tensor, &Families::of_types(&[kind]), fuse)
    }

    #[test]
    fn groups_follow_what_is_fused() {
        let llama = |tensor, fuse| group("llama", tensor, fuse);
        let q = "model.layers.0.self_attn.q_proj.weight";
        assert_eq!(llama(q, Fuse::Linear).as_deref(), Some("model.layers.0.self_attn.qkv"));
        assert_eq!(llama(q, Fuse::None), None);
        let up = "m.layers.1.mlp.experts.12.up_proj.weight";
        assert_eq!(llama(up, Fuse::Experts).as_deref(), Some("m.layers.1.mlp.experts.gate_up"));
        assert_eq!(llama(up, Fuse::Linear).as_deref(), Some("m.layers.1.mlp.experts.12.gate_up"));
        let w2 = "m.layers.1.block_sparse_moe.experts.0.w2.weight";
        assert_eq!(
            llama(w2, Fuse::Experts).as_deref(),
            Some("m.layers.1.block_sparse_moe.experts.down")
        );
        assert_eq!(llama(w2, Fuse::Linear), None);
        assert_eq!(llama("m.layers.0.mlp.down_proj.weight", Fuse::Experts), None);
        assert_eq!(llama("m.layers.0.self_attn.o_proj.weight", Fuse::Experts), None);
    }

    #[test]
    fn model_types_have_groups_of_their_own() {
        for (kind, parts) in [
            ("qwen", &["h.0.mlp.w1.weight", "h.0.mlp.w2.weight"][..]),
            ("exaone", &["h.0.mlp.c_fc_0.weight", "h.0.mlp.c_fc_1.weight"]),
            ("deepseek_v4", &["layers.0.attn.wq_a.weight", "layers.0.attn.wkv.weight"]),
            ("deepseek_v3", &["l.0.a.q_a_proj.weight", "l.0.a.kv_a_proj_with_mqa.weight"]),
            ("WanTransformer3DModel", &["b.0.to_q.weight", "b.0.to_k.weight", "b.0.to_v.weight"]),
            ("FluxTransformer2DModel", &["b.0.add_q_proj.weight", "b.0.add_v_proj.weight"]),
            ("olmo_hybrid", &["l.0.linear_attn.q_proj.weight", "l.0.linear_attn.g_proj.weight"]),
            ("minimax_m3", &["l.0.self_attn.q_proj.weight", "l.0.self_attn.index_k_proj.weight"]),
            ("glm5_next_text", &["l.0.self_attn.v_proj.weight", "l.0.self_attn.g_a_proj.weight"]),
            ("telechat2", &["h.0.attn.query.weight", "h.0.attn.key_value.weight"]),
            (
                "qwen4_exp_text",
                &["l.0.attn.q_proj.weight", "l.0.attn.indexer.index_qk_proj.weight"],
            ),
        ] {
            let groups: Vec<_> = parts.iter().map(|part| group(kind, part, Fuse::Linear)).collect();
            assert!(groups[0].is_some(), "{kind}");
            assert!(groups.iter().all(|group| *group == groups[0]), "{kind}: {groups:?}");
        }
        // Elsewhere w2 is the down projection.
        assert_eq!(group("mixtral", "l.0.experts.0.w2.weight", Fuse::Linear), None);
    }

    #[test]
    fn experts_of_a_layer_are_loaded_whole() {
        let families = Families::of_types(&["mixtral"]);
        let whole = |tensor| loaded_whole(tensor, &families, Fuse::Linear);
        assert_eq!(whole("m.0.experts.3.w2.weight"), whole("m.0.experts.0.w1.weight"),);
        assert!(whole("m.0.mlp.down_proj.weight").is_none());
    }
}
