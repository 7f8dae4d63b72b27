//! What is known of types of encoders, translators, models of several media and diffusion models,
//! one row for types that are alike; see [`family_table`](super::family_table).

use super::family_table::{Family, INDEXER, PLAIN};

/// Models that are no language models, or not only.
#[rustfmt::skip]
pub(crate) const MEDIA_MODELS: &[Family] = &[
    Family {
        types: &[
            "bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert", "deberta",
            "deberta-v2", "modernbert", "mpnet", "albert", "esm", "nomic_bert", "convbert", "ernie",
            "data2vec-text", "big_bird", "xlm-roberta-xl", "roberta-prelayernorm", "mobilebert",
            "megatron-bert", "rembert", "luke", "eurobert", "gte", "jina_embeddings_v3",
            "modernbert-decoder",
        ],
        keep: &[
            ("*pooler.dense", "pooler"), ("*classifier*", "output head"),
            ("head.dense", "output head"),
        ],
        heads: &[
            "cls.predictions.decoder", "lm_head.decoder", "generator_lm_head", "vocab_projector",
            "predictions.decoder", "decoder", "entity_predictions.decoder", "lm_head",
        ],
        source: "vLLM 0.33 bert.py, roberta.py, modernbert.py: qkv_proj packs query, key, value; \
                 the pooler's dense and the classifier are nn.Linear; transformers 5.23 \
                 modeling_*.py of the others and all _tied_weights_keys",
        ..PLAIN
    },
    Family {
        types: &["whisper", "moonshine", "canary", "cohere_asr"],
        keep: &[("*log_softmax.mlp.layer0", "output head")],
        heads: &["proj_out"],
        source: "vLLM 0.33 whisper.py: proj_out is a ParallelLMHead, encoder_attn.kv_proj packs k, \
                 v; transformers 5.23 _tied_weights_keys {proj_out}",
        ..PLAIN
    },
    Family {
        types: &[
            "bart", "mbart", "marian", "pegasus", "m2m_100", "blenderbot", "t5", "mt5", "umt5",
            "longt5", "switch_transformers", "led", "plbart", "bigbird_pegasus", "pegasus_x",
            "nllb-moe", "blenderbot-small",
        ],
        keep: &[("*shared", "embedding"), ("*relative_attention_bias", "embedding")],
        source: "transformers 5.23 modeling_bart.py, modeling_t5.py: shared and \
                 relative_attention_bias are nn.Embedding; lm_head is tied",
        ..PLAIN
    },
    Family {
        types: &[
            "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe",
            "glm4v", "glm4v_moe", "glm_ocr", "glm46v", "exaone4_5", "ernie4_5_vl_moe",
            "paddleocr_vl", "qwen2_5_omni", "qwen2_5_omni_thinker", "qwen3_omni_moe",
            "qwen3_omni_moe_thinker", "qwen3_asr",
        ],
        keep: &[
            ("*visual.*", "vision or audio tower"), ("mtp.*", "multi-token prediction"),
            ("*.mlp.gate", "router"), ("*mlp_AR.*", "projector"), ("*resampler_model.*", "projector"),
        ],
        running: &[("mlp_AR", "projector")],
        nested: true,
        source: "vLLM 0.33 qwen2_vl.py, qwen2_5_vl.py, qwen3_vl.py, qwen3_5.py, glm4_1v.py, glm_ocr.py, \
                 ernie45_vl.py, paddleocr_vl.py (mlp_AR is made of nn.Linear), exaone4_5.py, \
                 qwen2_5_omni_thinker.py, qwen3_omni_moe_thinker.py, qwen3_asr.py hf_to_vllm_mapper: \
                 model.visual -> visual, model.language_model -> language_model.model; transformers \
                 5.23 conversion_mapping.py: visual -> model.visual",
        ..PLAIN
    },
    Family {
        types: &["ultravbert"],
        running: &[("head.decoder", "lm_head"), ("head.", "projection_head.")],
        source: "transformers 5.23 conversion_mapping.py ultravbert: head.decoder -> lm_head",
        ..PLAIN
    },
    Family {
        types: &["pi0"],
        keep: &[("*.gemma_expert.*", "action expert")],
        running: &[("paligemma_with_expert.gemma_expert.model.", "model.dit.")],
        nested: true,
        source: "transformers 5.23 conversion_mapping.py pi0: the action expert runs as model.dit",
        ..PLAIN
    },
    Family {
        types: &["mistral_large4", "mistral_large4_text"],
        keep: &[INDEXER[0], INDEXER[1]],
        fused: &[("fused_qkv_a", &["wq_a", "wkv_a_with_mqa"])],
        heads: &["output", "lm_head"],
        running: &[("attention.indexer", "self_attn.indexer")],
        nested: true,
        source: "transformers 5.23 conversion_mapping.py mistral_large4; vLLM 0.33 mistral_large_3.py: \
                 wq_a and wkv_a_with_mqa are DeepSeek's q_a_proj and kv_a_proj_with_mqa, packed there",
    },
    Family {
        types: &["molmo"],
        keep: &[
            ("model.transformer.ff_out", "output head"),
            ("*vision_backbone.*", "vision or audio tower"),
        ],
        running: &[("model.transformer.ff_out", "lm_head")],
        nested: true,
        source: "vLLM 0.33 molmo.py hf_to_vllm_mapper: model.transformer.ff_out is the ParallelLMHead",
        ..PLAIN
    },
    Family {
        types: &[
            "llava", "llava_next", "llava_onevision", "gemma3", "gemma3n", "gemma4", "paligemma",
            "mistral3", "pixtral", "idefics3", "smolvlm", "aya_vision", "got_ocr2", "qwen2_audio",
            "voxtral", "internvl", "internvl_chat", "kimi_vl", "minicpmv", "minicpmo",
            "phi4_multimodal", "phi4mm", "phi3_v", "ovis", "ovis2", "ovis2_5", "deepseek_vl_v2",
            "mllama", "lfm2_vl", "h2ovl_chat", "nvlm_d", "llava_next_video", "video_llava",
            "vipllava", "aria", "idefics2", "deepseek_vl", "deepseek_vl_hybrid", "janus",
            "cohere2_vision", "lighton_ocr", "audioflamingo3", "musicflamingo", "glmasr",
            "granite_speech", "granite_speech_plus", "kimi_k25", "kimi_audio", "gemma4_unified",
            "molmo2", "voxtral_realtime", "step3p7", "blip-2", "instructblip",
        ],
        keep: &[
            ("*vision_tower.*", "vision or audio tower"),
            ("*vision_model.*", "vision or audio tower"),
            ("*audio_tower.*", "vision or audio tower"), ("*multi_modal_projector.*", "projector"),
            ("mlp1.*", "projector"), ("*embed_tokens_extend.*", "embedding of another medium"),
            ("vte", "embedding"), ("visual_tokenizer.*", "vision or audio tower"),
        ],
        running: &[
            ("mlp1.1", "multi_modal_projector.linear_1"),
            ("mlp1.3", "multi_modal_projector.linear_2"),
        ],
        nested: true,
        source: "vLLM 0.33, each file of these types, where it has one: towers and projectors have \
                 names of their own and are often nn.Linear (internvl.py and nvlm_d.py mlp1, ovis.py \
                 vte, granite_speech.py encoder); transformers 5.23 conversion_mapping.py: \
                 vision_tower -> model.vision_tower, language_model.lm_head -> lm_head",
        ..PLAIN
    },
    Family {
        types: &["llama4", "llama4_text"],
        keep: &[("*.feed_forward.router", "router")],
        nested: true,
        source: "vLLM 0.33 mllama4.py, llama4.py: router is a GateLinear; files hold 3-D \
                 feed_forward.experts.gate_up_proj and down_proj",
        ..PLAIN
    },
    Family {
        types: &[
            "WanTransformer3DModel", "FluxTransformer2DModel", "SD3Transformer2DModel",
            "QwenImageTransformer2DModel", "HunyuanVideoTransformer3DModel",
            "LTXVideoTransformer3DModel", "CogVideoXTransformer3DModel",
            "PixArtTransformer2DModel",
        ],
        keep: &[
            ("proj_out", "output head"), ("norm_out*", "norm"), ("*_embedder*", "embedding"),
            ("condition_embedder*", "embedding"), ("img_in", "embedding"), ("txt_in", "embedding"),
            ("proj_in", "embedding"),
        ],
        heads: &[],
        source: "diffusers 0.42 transformer_*.py of each (cogvideox and pixart: *_transformer_*.py); \
                 WanAttention.fuse_projections and its like: to_qkv packs to_q/k/v, to_added_qkv packs \
                 add_q/k/v_proj",
        ..PLAIN
    },
];
