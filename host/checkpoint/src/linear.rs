//! Names: which modules of a model are Linear and worth quantizing, and which parts stay whole.
//!
//! [`families`](super::families) knows model types; what stands here holds for names of any model
//! and errs on the side of keeping, because a kept module loads wherever `ignore` names it and a
//! quantized one only where the consumer expects codes.

/// Parts of a model that stay as they are with everything below them: a name part, and what it is.
const TOWERS: [(&str, &str); 49] = [
    ("visual", VISION),
    ("vision_tower", VISION),
    ("vision_model", VISION),
    ("vision_encoder", VISION),
    ("vision_backbone", VISION),
    ("vision", VISION),
    ("vpm", VISION),
    ("vit", VISION),
    ("vit_model", VISION),
    ("image_tower", VISION),
    ("video_tower", VISION),
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
    ("perception", AUDIO),
    ("tts", AUDIO),
    ("talker", AUDIO),
    ("token2wav", AUDIO),
    ("code2wav", AUDIO),
    ("embed_tokens_extend", "embedding of another medium"),
    ("embed_vision", "embedding of another medium"),
    ("embed_audio", "embedding of another medium"),
    ("sound_projection", PROJECTOR),
    ("modality_projection", PROJECTOR),
    ("language_projection", PROJECTOR),
    ("image_projection", PROJECTOR),
    ("mlp1", PROJECTOR),
    ("connector", PROJECTOR),
    ("aligner", PROJECTOR),
    ("resampler", PROJECTOR),
    ("resampler_model", PROJECTOR),
    ("abstractor", PROJECTOR),
    ("mlp_AR", PROJECTOR),
    ("vq_adaptor", PROJECTOR),
    ("patch_merge_mlp", PROJECTOR),
    ("patch_merger", PROJECTOR),
    ("qformer", PROJECTOR),
    ("compressor", "compressor"),
    ("mtp", MTP),
    ("mtp_layers", MTP),
    ("nextn", MTP),
];

const VISION: &str = "vision or audio tower";
const AUDIO: &str = "vision or audio tower";
const PROJECTOR: &str = "projector";
const MTP: &str = "multi-token prediction";
pub(crate) const OUTSIDE: &str = "outside the language model";
const HEAD: &str = "output head";
const ROUTER: &str = "router";

/// What transformers 5.23 and vLLM 0.33 call such parts when they run, whatever files call them.
pub(crate) fn running(reason: &str) -> &'static [&'static str] {
    match reason {
        VISION | PROJECTOR | OUTSIDE => {
            &["visual", "vision_tower", "audio_tower", "multi_modal_projector", "projector"]
        }
        _ => &[],
    }
}

/// Last name parts of modules that stay, wherever they are.
const LEAVES: [(&str, &str); 38] = [
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
    ("qa_outputs", HEAD),
    ("custom_text_proj", HEAD),
    ("text_projection", HEAD),
    ("visual_projection", HEAD),
    ("colbert_linear", HEAD),
    ("sparse_linear", HEAD),
    ("ctc_head", HEAD),
    ("unembed", HEAD),
    ("unembedding_projection", HEAD),
    ("wte", EMBEDDING),
    ("wpe", EMBEDDING),
    ("vte", EMBEDDING),
    ("shared", EMBEDDING),
    ("tok_embeddings", EMBEDDING),
    ("word_embeddings", EMBEDDING),
    ("relative_attention_bias", EMBEDDING),
    ("relative_position_bias_table", EMBEDDING),
    ("rel_pos_bias", EMBEDDING),
    ("query_feat", EMBEDDING),
    ("queries_features", EMBEDDING),
    ("patch_embed", EMBEDDING),
    ("conv1d", "convolution"),
    ("A_log", "state space"),
];

/// Name parts of heads that are Linears themselves or hold some: `classifier.out_proj`.
const HEAD_PARTS: [&str; 7] =
    ["head", "score", "classifier", "classification_head", "lm_heads", "pred_layer", "cls"];

/// Last name parts of tables of rows to pick from. No Linear is called so in any model, and no
/// consumer looks for them among Linears.
const TABLES: [&str; 15] = [
    "embed_tokens",
    "embed_positions",
    "embed_in",
    "embedding",
    "embeddings",
    "word_embeddings",
    "position_embeddings",
    "token_type_embeddings",
    "tok_embeddings",
    "token_embedding",
    "position_embedding",
    "wte",
    "wpe",
    "shared",
    "relative_attention_bias",
];

/// The reason for which an embedding stays.
pub(crate) const EMBEDDING: &str = "embedding";

/// The name part of `module` below which a tower, a projector or its like begins, if it is in one.
pub(crate) fn tower(module: &str) -> Option<(&str, &'static str)> {
    module.split('.').find_map(|part| {
        let known = TOWERS.iter().find(|(name, _)| *name == part).map(|&(_, reason)| reason);
        let medium = ["vision", "visual", "audio", "speech"];
        let vision = || medium.iter().any(|medium| part.contains(medium)).then_some(VISION);
        let joint =
            || (part != "vocab_projector" && part.ends_with("projector")).then_some(PROJECTOR);
        known.or_else(vision).or_else(joint).map(|reason| (part, reason))
    })
}

/// Why a quantizable weight of the module called `module` is not that of a Linear worth it.
pub(crate) fn kept(module: &str) -> Option<&'static str> {
    let leaf = module.rsplit('.').next().unwrap_or(module);
    if module.split('.').any(|part| part.starts_with("lora_")) {
        return Some("adapter");
    }
    if let Some((_, reason)) = tower(module) {
        return Some(reason);
    }
    if let Some(&(_, reason)) = LEAVES.iter().find(|(name, _)| *name == leaf) {
        return Some(reason);
    }
    if module.ends_with("indexer.wk") {
        return Some("indexer");
    }
    let mut parts = module.split('.');
    if module.contains("lm_head.") || parts.any(|part| HEAD_PARTS.contains(&part)) {
        return Some(HEAD);
    }
    // An EAGLE head joins hidden states by it (vLLM 0.33 deepseek_eagle.py, llama4_eagle.py).
    if module == "fc" {
        return Some(MTP);
    }
    if ["output", "proj_out", "model.proj_out", "decoder", "predictions.decoder"].contains(&module)
    {
        return Some(if module == "output" { "lm_head" } else { HEAD });
    }
    let is_token = || ["emb", "_token", "_tokens"].iter().any(|end| leaf.ends_with(end));
    if module.split('.').any(|part| part.contains("embed")) || is_token() {
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
    TABLES.contains(&module.rsplit('.').next().unwrap_or(module))
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
            "model.layers.0.mlp.down_proj.base_layer",
            "model.layers.0.fc",
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
            ("mlp_AR.linear_1", PROJECTOR),
            ("model.vq_adaptor.layers.0", PROJECTOR),
            ("model.resampler_model.spatial_linear.0", PROJECTOR),
            ("audio_projection_layer.linear1", AUDIO),
            ("vte", EMBEDDING),
            ("encoder.layers.0.self_attn.rel_pos_emb", EMBEDDING),
            ("mask_decoder.iou_token", EMBEDDING),
            ("classifier.out_proj", HEAD),
            ("score.dense", HEAD),
            ("pred_layer.proj", HEAD),
            ("lm_head.out_proj", HEAD),
            ("head.decoder", HEAD),
            ("fc", MTP),
            ("model.layers.0.mlp.down_proj.lora_A.speech", "adapter"),
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
        // Linears with such names: ALBERT's and RemBERT's, LayoutLMv3's, SigLIP 2's.
        assert!(!is_table("albert.encoder.embedding_hidden_mapping_in"));
        assert!(!is_table("encoder.rel_pos_bias") && !is_table("embeddings.patch_embedding"));
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
