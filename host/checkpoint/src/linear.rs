//! Names: which modules of a model are Linear and worth quantizing, and which parts stay whole.
//!
//! [`families`](super::families) knows model types; what stands here holds for names of any model
//! and errs on the side of keeping, because a kept module loads wherever `ignore` names it and a
//! quantized one only where the consumer expects codes.

/// Parts of a model that stay as they are with everything below them: a name part, and what it is.
const TOWERS: [(&str, &str); 38] = [
    ("visual", VISION),
    ("vision_tower", VISION),
    ("vision_model", VISION),
    ("vision_encoder", VISION),
    ("vision_backbone", VISION),
    ("vision", VISION),
    ("vpm", VISION),
    ("vit", VISION),
    ("image_encoder", VISION),
    ("sam_model", VISION),
    ("img_processor", VISION),
    ("siglip_model", VISION),
    ("audio_tower", AUDIO),
    ("audio_model", AUDIO),
    ("audio_encoder", AUDIO),
    ("whisper_encoder", AUDIO),
    ("speech_encoder", AUDIO),
    ("sound_encoder", AUDIO),
    ("apm", AUDIO),
    ("talker", AUDIO),
    ("token2wav", AUDIO),
    ("code2wav", AUDIO),
    ("embed_tokens_extend", "embedding of another medium"),
    ("embed_vision", "embedding of another medium"),
    ("embed_audio", "embedding of another medium"),
    ("audio_projection", PROJECTOR),
    ("sound_projection", PROJECTOR),
    ("modality_projection", PROJECTOR),
    ("language_projection", PROJECTOR),
    ("image_projection", PROJECTOR),
    ("mlp1", PROJECTOR),
    ("connector", PROJECTOR),
    ("aligner", PROJECTOR),
    ("resampler", PROJECTOR),
    ("qformer", PROJECTOR),
    ("mtp", MTP),
    ("mtp_layers", MTP),
    ("nextn", MTP),
];

const VISION: &str = "vision or audio tower";
const AUDIO: &str = "vision or audio tower";
const PROJECTOR: &str = "projector";
const MTP: &str = "multi-token prediction";
const HEAD: &str = "output head";
const ROUTER: &str = "router";

/// Last name parts of modules that stay, wherever they are.
const LEAVES: [(&str, &str); 34] = [
    ("gate", ROUTER),
    ("wg", ROUTER),
    ("router", ROUTER),
    ("eh_proj", MTP),
    ("mtp_linear_proj", MTP),
    ("weights_proj", "indexer"),
    ("lm_head", "lm_head"),
    ("embed_out", HEAD),
    ("generator_lm_head", HEAD),
    ("vocab_projector", HEAD),
    ("output_projection", HEAD),
    ("output_layer", HEAD),
    ("lm_loss", HEAD),
    ("head", HEAD),
    ("v_head", HEAD),
    ("score", HEAD),
    ("classifier", HEAD),
    ("qa_outputs", HEAD),
    ("custom_text_proj", HEAD),
    ("text_projection", HEAD),
    ("visual_projection", HEAD),
    ("colbert_linear", HEAD),
    ("sparse_linear", HEAD),
    ("wte", EMBEDDING),
    ("wpe", EMBEDDING),
    ("shared", EMBEDDING),
    ("tok_embeddings", EMBEDDING),
    ("word_embeddings", EMBEDDING),
    ("relative_attention_bias", EMBEDDING),
    ("relative_position_bias_table", EMBEDDING),
    ("rel_pos_bias", EMBEDDING),
    ("patch_embed", EMBEDDING),
    ("conv1d", "convolution"),
    ("A_log", "state space"),
];

/// The reason for which an embedding stays.
pub(crate) const EMBEDDING: &str = "embedding";

/// The name part of `module` below which a tower, a projector or its like begins, if it is in one.
pub(crate) fn tower(module: &str) -> Option<(&str, &'static str)> {
    module.split('.').find_map(|part| {
        let known = TOWERS.iter().find(|(name, _)| *name == part).map(|&(_, reason)| reason);
        let vision = || (part.contains("vision") || part.contains("visual")).then_some(VISION);
        let joint =
            || (part != "vocab_projector" && part.ends_with("projector")).then_some(PROJECTOR);
        known.or_else(vision).or_else(joint).map(|reason| (part, reason))
    })
}

/// Why a quantizable weight of the module called `module` is not that of a Linear worth it.
pub(crate) fn kept(module: &str) -> Option<&'static str> {
    let leaf = module.rsplit('.').next().unwrap_or(module);
    if let Some((_, reason)) = tower(module) {
        return Some(reason);
    }
    if let Some(&(_, reason)) = LEAVES.iter().find(|(name, _)| *name == leaf) {
        return Some(reason);
    }
    if module.ends_with("indexer.wk") {
        return Some("indexer");
    }
    if ["cls.predictions", "lm_head."].iter().any(|part| module.contains(part)) {
        return Some(HEAD);
    }
    if ["output", "proj_out", "model.proj_out", "decoder", "predictions.decoder"].contains(&module)
    {
        return Some(if module == "output" { "lm_head" } else { HEAD });
    }
    if module.split('.').any(|part| part.contains("embed")) {
        return Some(EMBEDDING);
    }
    if module.split('.').any(|part| part.contains("router")) || leaf.ends_with("expert_gate") {
        return Some(ROUTER);
    }
    if module.contains("hyper_connection") {
        return Some("hyper connection");
    }
    if leaf.contains("norm") || leaf.contains("Norm") || leaf.starts_with("ln_") {
        return Some("norm");
    }
    None
}

/// Whether `module`'s weight is a table of rows to pick from, no Linear at all.
pub(crate) fn is_table(module: &str) -> bool {
    let leaf = module.rsplit('.').next().unwrap_or(module);
    let known = LEAVES.iter().any(|&(name, reason)| name == leaf && reason == EMBEDDING);
    known || (leaf.contains("embed") && !leaf.contains("proj") && !leaf.contains("out"))
}

/// The name of the stack of experts that `tensor` belongs to, up to and with `experts`; Granite's
/// and JetMoE's stacks are `input_linear` and `output_linear`.
pub(crate) fn expert_stack(tensor: &str) -> Option<&str> {
    let mut end = 0;
    for part in tensor.split('.') {
        end += part.len();
        if part == "experts" || part == "input_linear" || part == "output_linear" {
            return Some(&tensor[..end]);
        }
        end += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_weights_are_told_from_the_rest() {
        for linear in [
            "model.layers.0.self_attn.q_proj",
            "model.layers.0.mlp.gate_proj",
            "model.layers.0.mlp.experts.7.down_proj",
            "model.layers.0.self_attn.indexer.wq_b",
            "encoder.layer.0.attention.output.dense",
            "single_transformer_blocks.0.proj_out",
            "model.decoder.layers.0.fc1",
        ] {
            assert_eq!(kept(linear), None, "{linear}");
        }
        for (module, reason) in [
            ("model.embed_tokens", EMBEDDING),
            ("embeddings.word_embeddings", EMBEDDING),
            ("model.shared", EMBEDDING),
            ("encoder.block.0.layer.0.SelfAttention.relative_attention_bias", EMBEDDING),
            ("lm_head", "lm_head"),
            ("lm_head.decoder", HEAD),
            ("cls.predictions.transform.dense", HEAD),
            ("transformer.output_layer", HEAD),
            ("head", HEAD),
            ("model.layers.1.shared_head.head", HEAD),
            ("model.layers.1.eh_proj", MTP),
            ("mtp.layers.0.self_attn.q_proj", MTP),
            ("model.layers.0.mlp.gate", ROUTER),
            ("model.layers.0.mlp.gate.wg", ROUTER),
            ("model.layers.0.mlp.shared_expert_gate", ROUTER),
            ("model.layers.0.self_attn.indexer.wk", "indexer"),
            ("model.layers.0.self_attn.indexer.weights_proj", "indexer"),
            ("mlp1.3", PROJECTOR),
            ("multi_modal_projector.linear_1", PROJECTOR),
            ("visual.blocks.0.attn.qkv", VISION),
            ("model.layers.0.input_layernorm", "norm"),
        ] {
            assert_eq!(kept(module), Some(reason), "{module}");
        }
    }

    #[test]
    fn tables_are_no_linears() {
        assert!(is_table("model.embed_tokens") && is_table("model.shared"));
        assert!(!is_table("electra.embeddings_project"));
        assert!(!is_table("model.altup_unembed_projections.0"));
        assert!(!is_table("model.embed_tokens_extend.image_embed.img_projection.0"));
    }

    #[test]
    fn stacks_of_experts_end_at_their_name() {
        assert_eq!(
            expert_stack("m.layers.0.mlp.experts.down_proj"),
            Some("m.layers.0.mlp.experts")
        );
        assert_eq!(
            expert_stack("m.layers.0.block_sparse_moe.input_linear.weight"),
            Some("m.layers.0.block_sparse_moe.input_linear")
        );
        assert_eq!(expert_stack("m.layers.0.mlp.shared_experts.down_proj.weight"), None);
    }
}
