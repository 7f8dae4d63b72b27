//! All that is known of model types, one row for types that are alike.
//!
//! The one place for knowledge about the names of a model type; each row says where it was read.
//! Names that hold for every model are in [`linear`](super::linear) and [`fuse`](super::fuse).

/// A fused module's name and the last name parts of what is packed into it.
pub(crate) type Fused = (&'static str, &'static [&'static str]);

/// What is known of some model types. Module names are globs over whole names.
#[derive(Debug)]
pub(crate) struct Family {
    /// `model_type` of `config.json`, or `_class_name` of diffusers.
    pub(crate) types: &'static [&'static str],
    /// Modules that stay, and why.
    pub(crate) keep: &'static [(&'static str, &'static str)],
    /// Parts packed into one matrix, before those of every model.
    pub(crate) fused: &'static [Fused],
    /// Output heads, which have no tensor when they are tied to the embedding.
    pub(crate) heads: &'static [&'static str],
    /// Parts of names in files, and what running models call them.
    pub(crate) running: &'static [(&'static str, &'static str)],
    /// Whether running models put a tower beside the language model, under names that differ from
    /// those in files and from consumer to consumer.
    pub(crate) nested: bool,
    /// Project, version, file, and what was read there.
    pub(crate) source: &'static str,
}

const LM_HEAD: &[&str] = &["lm_head"];

const PLAIN: Family = Family {
    types: &[],
    keep: &[],
    fused: &[],
    heads: LM_HEAD,
    running: &[],
    nested: false,
    source: "",
};

const CONV1D: (&str, &str) = ("*", "stored transposed (Conv1D)");

const INDEXER: &[(&str, &str)] =
    &[("*.indexer.wk", "indexer"), ("*.indexer.weights_proj", "indexer")];

const MTP_HEADS: &[(&str, &str)] = &[
    ("*.eh_proj", "multi-token prediction"),
    ("*.shared_head.head", "output head"),
    ("*.mlp.gate", "router"),
];

/// Names of experts' modules in Granite's and JetMoE's files and where they run.
const GRANITE_EXPERTS: &[(&str, &str)] = &[
    ("block_sparse_moe.input_linear", "block_sparse_moe.experts"),
    ("block_sparse_moe.output_linear", "block_sparse_moe.experts"),
];

/// All that is known, by model type.
#[rustfmt::skip]
pub(crate) const FAMILIES: &[Family] = &[
    Family {
        types: &[
            "llama", "mistral", "ministral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text",
            "granite", "olmo", "olmo2", "olmo3", "starcoder2", "stablelm", "phi", "cohere",
            "cohere2", "smollm3", "exaone4", "glm", "nemotron", "helium", "seed_oss", "apertus",
            "arcee", "internlm3", "minicpm", "persimmon", "solar", "ernie4_5", "hunyuan_v1_dense",
            "deci", "mimo", "bitnet", "xglm", "opt",
        ],
        source: "vLLM 0.33 model_executor/models/llama.py and its like: packed_modules_mapping \
                 {qkv_proj: q/k/v, gate_up_proj: gate/up}; every other Linear has quant_config; \
                 transformers 5.23 _tied_weights_keys {lm_head}",
        ..PLAIN
    },
    Family {
        types: &["phi3", "glm4", "falcon", "bloom", "mpt", "codegen", "gpt_bigcode", "gptj"],
        source: "vLLM 0.33 phi3.py, glm4.py, falcon.py, bloom.py, gpt_j.py: q/k/v (and in \
                 Phi-3 and GLM-4 gate/up) are one tensor in files already",
        ..PLAIN
    },
    Family {
        types: &["gpt_neox", "gpt_neox_japanese"],
        heads: &["embed_out", "lm_head"],
        source: "transformers 5.23 modeling_gpt_neox.py (query_key_value is one tensor), \
                 conversion_mapping.py renames ^embed_out to lm_head; not in vLLM 0.33",
        ..PLAIN
    },
    Family {
        types: &["gpt2", "openai-gpt", "imagegpt", "decision_transformer", "clvp"],
        keep: &[CONV1D],
        source: "transformers 5.23 pytorch_utils.py Conv1D: weight is [in, out]",
        ..PLAIN
    },
    Family {
        types: &["qwen"],
        fused: &[("gate_up", &["w1", "w2"])],
        source: "vLLM at 002800f model_executor/models/qwen.py: gate_up_proj packs w2, w1; not in 0.33",
        ..PLAIN
    },
    Family {
        types: &["exaone"],
        fused: &[("gate_up", &["c_fc_0", "c_fc_1"])],
        source: "vLLM 0.33 exaone.py: packed_modules_mapping {gate_up_proj: c_fc_0, c_fc_1}",
        ..PLAIN
    },
    Family {
        types: &["internlm2", "chatglm"],
        heads: &["lm_head", "output", "transformer.output_layer"],
        source: "vLLM 0.33 chatglm.py (transformer.output_layer is the ParallelLMHead), \
                 internlm2.py (output; wqkv is one tensor; gate_up_proj packs w1, w3)",
        ..PLAIN
    },
    Family {
        types: &["lfm2", "lfm2_moe"],
        keep: &[("*.feed_forward.gate", "router")],
        source: "vLLM 0.33 lfm2.py, lfm2_moe.py: packed_modules_mapping {w13: w1, w3}",
        ..PLAIN
    },
    Family {
        types: &["mixtral", "minimax", "minimax_m2"],
        keep: &[("*.block_sparse_moe.gate", "router")],
        running: &[("block_sparse_moe.", "mlp.")],
        source: "vLLM 0.33 mixtral.py: gate is a GateLinear; transformers 5.23 \
                 conversion_mapping.py mixtral: block_sparse_moe becomes mlp",
        ..PLAIN
    },
    Family {
        types: &["phimoe"],
        keep: &[("*.block_sparse_moe.gate", "router")],
        running: &[("block_sparse_moe.gate", "mlp.router"), ("block_sparse_moe.", "mlp.")],
        source: "vLLM 0.33 phimoe.py: gate is a GateLinear; transformers 5.23 \
                 conversion_mapping.py phimoe: .gate becomes .router (an nn.Linear subclass)",
        ..PLAIN
    },
    Family {
        types: &[
            "qwen2_moe", "qwen3_moe", "olmoe", "flex_olmo", "ernie4_5_moe", "bailing_moe",
            "hunyuan_v1_moe", "dots1", "afmoe", "cohere2_moe",
        ],
        keep: &[
            ("*.mlp.gate", "router"), ("*.mlp.gate.wg", "router"),
            ("*.shared_expert_gate", "router"),
        ],
        source: "vLLM 0.33 qwen2_moe.py, qwen3_moe.py, olmoe.py, ernie45_moe.py, bailing_moe.py, \
                 afmoe.py: gate is a GateLinear, shared_expert_gate has \
                 quant_config=None; transformers 5.23 modeling_hunyuan_v1_moe.py: gate.wg",
        ..PLAIN
    },
    Family {
        types: &["qwen3_next", "qwen3_5_moe_text", "qwen3_5_text"],
        keep: &[
            ("mtp.*", "multi-token prediction"), ("*.mlp.gate", "router"),
            ("*.shared_expert_gate", "router"),
        ],
        fused: &[
            ("in_proj_qkvz", &["in_proj_qkv", "in_proj_z"]),
            ("in_proj_ba", &["in_proj_b", "in_proj_a"]),
        ],
        source: "vLLM 0.33 qwen3_next.py, qwen3_5.py: packed_modules_mapping {in_proj_qkvz, \
                 in_proj_ba}, gates are GateLinear; qwen3_next_mtp.py: fc kept apart",
        ..PLAIN
    },
    Family {
        types: &["kimi_k3", "alice_ai"],
        keep: &[("*.gate", "router"), ("*_res_proj", "residual gate"), ("*.res_proj", "residual gate")],
        fused: &[
            ("qkvbf", &["q_proj", "k_proj", "v_proj", "b_proj", "f_a_proj"]),
            ("fused_qkvg_a", &["q_a_proj", "kv_a_proj_with_mqa", "g_proj"]),
        ],
        source: "vLLM 0.33 models/kimi_k3/nvidia/model.py, alice_ai.py: packed_modules_mapping \
                 {in_proj_qkvgfab, fused_qkv_a_proj with g_proj}",
        ..PLAIN
    },
    Family {
        types: &["bailing_hybrid", "bailing_moe_v3_vl", "bailing_moe_linear"],
        keep: &[("*.mlp.gate", "router")],
        fused: &[
            ("qkvb", &["q_proj", "k_proj", "v_proj", "b_proj"]),
            ("fused_qkv_a", &["q_a_proj", "kv_a_proj_with_mqa"]),
        ],
        nested: true,
        source: "vLLM 0.33 bailing_moe_v3.py: packed_modules_mapping {qkvb_proj: q, k, v, b}; gate is a \
                 GateLinear",
        ..PLAIN
    },
    Family {
        types: &["inkling_model", "inkling_mm_model"],
        fused: &[("qkvr", &["wq_du", "wk_dv", "wv_dv", "wr_du"])],
        nested: true,
        source: "vLLM 0.33 models/inkling/nvidia/model.py: orig_to_new_stacked {attn.qkvr: wq_du, \
                 wk_dv, wv_dv, wr_du}; transformers 5.23 conversion_mapping.py inkling_mm_model",
        ..PLAIN
    },
    Family {
        types: &["olmo_hybrid"],
        fused: &[("linear_qkvg", &["q_proj", "k_proj", "v_proj", "g_proj"])],
        source: "vLLM 0.33 olmo_hybrid.py: packed_modules_mapping {in_proj_qkvg: q, k, v, g}",
        ..PLAIN
    },
    Family {
        types: &["deepseek_v2", "deepseek_v3", "kimi_k2", "kimi_linear", "axk1", "pangu_ultra_moe"],
        keep: MTP_HEADS,
        fused: &[("fused_qkv_a", &["q_a_proj", "kv_a_proj_with_mqa"])],
        source: "vLLM 0.33 deepseek_v2.py: fused_qkv_a_proj packs q_a_proj, kv_a_proj_with_mqa, \
                 gate is a GateLinear; deepseek_mtp.py: eh_proj is an nn.Linear, \
                 shared_head.head a ParallelLMHead",
        ..PLAIN
    },
    Family {
        types: &["deepseek_v32", "glm_moe_dsa"],
        keep: &[INDEXER[0], INDEXER[1], MTP_HEADS[0], MTP_HEADS[1], MTP_HEADS[2]],
        fused: &[("fused_qkv_a", &["q_a_proj", "kv_a_proj_with_mqa"])],
        source: "vLLM 0.33 deepseek_v2.py Indexer: wk_weights_proj (wk and weights_proj) has \
                 quant_config=None, wq_b has it; the rest as DeepSeek-V3",
        ..PLAIN
    },
    Family {
        types: &["deepseek_v4"],
        keep: &[
            ("head", "output head"), ("embed", "embedding"), ("*.ffn.gate", "router"),
            ("*.compressor.*", "compressor"), ("*.indexer.weights_proj", "indexer"),
            ("mtp.*", "multi-token prediction"),
        ],
        fused: &[("fused_wqa_wkv", &["wq_a", "wkv"])],
        heads: &["head", "lm_head"],
        running: &[("layers.", "model.layers.")],
        source: "vLLM 0.33 models/deepseek_v4/nvidia/model.py: packed_modules_mapping \
                 {fused_wqa_wkv, gate_up_proj: w1, w3}; compressor.py fused_wkv_wgate and \
                 attention.py weights_proj have quant_config=None",
        ..PLAIN
    },
    Family {
        types: &["glm4_moe", "glm4_moe_lite", "mimo_v2_flash", "step3p5", "hy_v3", "exaone_moe"],
        keep: MTP_HEADS,
        fused: &[("fused_qkv_a", &["q_a_proj", "kv_a_proj_with_mqa"])],
        source: "vLLM 0.33 glm4_moe.py (gate is a GateLinear), glm4_moe_mtp.py, \
                 glm4_moe_lite_mtp.py, mimo_v2_mtp.py, step3p5_mtp.py, hy_v3_mtp.py: eh_proj is an \
                 nn.Linear, shared_head.head a ParallelLMHead",
        ..PLAIN
    },
    Family {
        types: &["gpt_oss"],
        keep: &[("*.mlp.router", "router")],
        source: "vLLM 0.33 gpt_oss.py: router is a GateLinear; transformers 5.23 GptOssExperts: \
                 3-D gate_up_proj, down_proj",
        ..PLAIN
    },
    Family {
        types: &["granitemoe", "granitemoeshared", "granitemoehybrid", "jetmoe"],
        keep: &[("*.router.layer", "router"), ("*.block_sparse_moe.router", "router")],
        running: GRANITE_EXPERTS,
        source: "vLLM 0.33 granitemoe.py: FusedMoE at block_sparse_moe.experts, gate without \
                 quant_config; files hold 3-D input_linear and output_linear",
        ..PLAIN
    },
    Family {
        types: &["dbrx"],
        keep: &[("*.ffn.router.layer", "router")],
        source: "vLLM 0.33 dbrx.py: experts w1, v1, w2 of ffn.experts.mlp are one tensor each, \
                 router.layer is a GateLinear",
        ..PLAIN
    },
    Family {
        types: &["mamba", "falcon_mamba", "jamba"],
        keep: &[
            ("*.mixer.*", "state space"), ("*.mamba.*", "state space"),
            ("*.feed_forward.router", "router"),
        ],
        source: "vLLM 0.33 layers/mamba/mamba_mixer.py: in_proj, x_proj, dt_proj and out_proj are \
                 built without quant_config; jamba.py: router is a GateLinear",
        ..PLAIN
    },
    Family {
        types: &["hy_v4"],
        keep: &[
            ("*.hc_*", "hyper connection"), ("*.indexer.wk", "indexer"),
            ("*.indexer.weights_proj", "indexer"), ("*.eh_proj", "multi-token prediction"),
            ("*.gate", "router"),
        ],
        source: "vLLM 0.33 models/hy_v4/nvidia: hc.py hc_fn, attention.py wk_weights_proj and \
                 mtp.py eh_proj are built without quant_config",
        ..PLAIN
    },
    Family {
        types: &["mamba2", "nemotron_h", "bamba", "falcon_h1", "zamba2"],
        keep: &[("*.mixer.gate", "router"), ("mtp.*", "multi-token prediction")],
        source: "vLLM 0.33 layers/mamba/mamba_mixer2.py: in_proj and out_proj have quant_config, \
                 conv1d not; nemotron_h.py: gate without it",
        ..PLAIN
    },
    Family {
        types: &[
            "bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert", "deberta",
            "deberta-v2", "modernbert", "mpnet", "albert", "esm", "nomic_bert", "convbert",
        ],
        keep: &[
            ("*pooler.dense", "pooler"), ("*classifier*", "output head"),
            ("head.dense", "output head"),
        ],
        heads: &[
            "cls.predictions.decoder", "lm_head.decoder", "generator_lm_head", "vocab_projector",
            "predictions.decoder", "decoder", "lm_head",
        ],
        source: "vLLM 0.33 bert.py, roberta.py, modernbert.py: qkv_proj packs query, key, value; \
                 the pooler's dense and the classifier are nn.Linear; transformers 5.23 \
                 _tied_weights_keys of modeling_*.py",
        ..PLAIN
    },
    Family {
        types: &["whisper", "moonshine", "canary", "cohere_asr"],
        heads: &["proj_out"],
        source: "vLLM 0.33 whisper.py: proj_out is a ParallelLMHead, encoder_attn.kv_proj packs k, \
                 v; transformers 5.23 _tied_weights_keys {proj_out}",
        ..PLAIN
    },
    Family {
        types: &[
            "bart", "mbart", "marian", "pegasus", "m2m_100", "blenderbot", "t5", "mt5", "umt5",
            "longt5", "switch_transformers",
        ],
        keep: &[("*shared", "embedding"), ("*relative_attention_bias", "embedding")],
        source: "transformers 5.23 modeling_bart.py, modeling_t5.py: shared and \
                 relative_attention_bias are nn.Embedding; lm_head is tied",
        ..PLAIN
    },
    Family {
        types: &[
            "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe",
            "glm4v", "glm4v_moe",
        ],
        keep: &[
            ("*visual.*", "vision or audio tower"), ("mtp.*", "multi-token prediction"),
            ("*.mlp.gate", "router"),
        ],
        nested: true,
        source: "vLLM 0.33 qwen2_5_vl.py, qwen3_vl.py, qwen3_5.py, glm4_1v.py hf_to_vllm_mapper: \
                 model.visual -> visual, model.language_model -> language_model.model; transformers \
                 5.23 conversion_mapping.py: visual -> model.visual",
        ..PLAIN
    },
    Family {
        types: &[
            "llava", "llava_next", "llava_onevision", "gemma3", "gemma3n", "gemma4", "paligemma",
            "mistral3", "pixtral", "idefics3", "smolvlm", "aya_vision", "got_ocr2", "qwen2_audio",
            "voxtral", "internvl", "internvl_chat", "kimi_vl", "minicpmv", "minicpmo",
            "phi4_multimodal", "phi4mm", "phi3_v", "molmo", "ovis", "deepseek_vl_v2", "mllama",
            "lfm2_vl", "h2ovl_chat", "nvlm_d",
        ],
        keep: &[
            ("*vision_tower.*", "vision or audio tower"),
            ("*vision_model.*", "vision or audio tower"),
            ("*audio_tower.*", "vision or audio tower"), ("*multi_modal_projector.*", "projector"),
            ("mlp1.*", "projector"), ("*embed_tokens_extend.*", "embedding of another medium"),
        ],
        running: &[
            ("mlp1.1", "multi_modal_projector.linear_1"),
            ("mlp1.3", "multi_modal_projector.linear_2"),
        ],
        nested: true,
        source: "vLLM 0.33 llava.py, gemma3_mm.py, mistral3.py, internvl.py (mlp1 is nn.Linear), \
                 phi4mm.py hf_to_vllm_mapper; transformers 5.23 conversion_mapping.py: \
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
            ("condition_embedder*", "embedding"),
        ],
        heads: &[],
        source: "diffusers transformer_wan.py WanAttention.fuse_projections and its like: to_qkv packs to_q/k/v, \
                 to_added_qkv packs add_q/k/v_proj",
        ..PLAIN
    },
];
