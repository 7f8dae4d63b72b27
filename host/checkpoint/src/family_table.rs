//! What is known of types of language models, one row for types that are alike.
//!
//! The one place for knowledge about the names of a model type, with
//! [`media_table`](super::media_table); each row says where it was read. Names that hold for every
//! model are in [`linear`](super::linear) and [`fuse`](super::fuse).

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

pub(crate) const PLAIN: Family = Family {
    types: &[],
    keep: &[],
    fused: &[],
    heads: LM_HEAD,
    running: &[],
    nested: false,
    source: "",
};

const CONV1D: (&str, &str) = ("*", "stored transposed (Conv1D)");

pub(crate) const INDEXER: &[(&str, &str)] =
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

/// Language models that go on with a text.
#[rustfmt::skip]
pub(crate) const LANGUAGE_MODELS: &[Family] = &[
    Family {
        types: &[
            "llama", "mistral", "ministral3", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text",
            "gemma3n_text", "gemma4_text", "gemma4_unified_text", "granite", "granite_swa",
            "stablelm", "cohere", "cohere2", "exaone4", "nemotron", "nemotron-nas", "deci",
            "apertus", "internlm3", "minicpm", "minicpm3", "solar", "ernie4_5", "mimo", "opt",
            "hyperclovax", "orion", "iquestcoder", "qwen2_vl_text", "qwen2_5_vl_text",
            "qwen3_vl_text", "glm4v_text",
        ],
        source: "vLLM 0.33 model_executor/models/*.py, each file of these types: every Linear has \
                 quant_config; orig_to_new_stacked {qkv_proj: q/k/v, gate_up_proj: gate/up}; \
                 transformers 5.23 _tied_weights_keys {lm_head}",
        ..PLAIN
    },
    Family {
        types: &[
            "ministral", "olmo", "olmo2", "olmo3", "starcoder2", "phi", "smollm3", "glm", "helium",
            "seed_oss", "arcee", "persimmon", "hunyuan_v1_dense", "bitnet", "xglm", "cwm",
            "vaultgemma", "diffllama", "nanochat", "gpt_neo", "jais2", "recurrent_gemma", "youtu",
        ],
        source: "transformers 5.23 modeling_*.py: every matrix that is quantized is an nn.Linear; \
                 not in vLLM 0.33 by themselves, whose Transformers backend finds q/k/v and gate/up \
                 by their use (transformers/fusers/qkv.py, glu.py)",
        ..PLAIN
    },
    Family {
        types: &["phi3", "glm4", "falcon", "bloom", "gptj"],
        source: "vLLM 0.33 phi3.py, glm4.py, falcon.py, bloom.py, gpt_j.py: q/k/v (and in \
                 Phi-3 and GLM-4 gate/up) are one tensor in files already",
        ..PLAIN
    },
    Family {
        types: &["mpt", "codegen", "gpt_bigcode"],
        source: "transformers 5.23 modeling_mpt.py (Wqkv), modeling_codegen.py (qkv_proj), \
                 modeling_gpt_bigcode.py (c_attn): nn.Linear, q/k/v one tensor; not in vLLM 0.33",
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
        types: &["gpt2", "gpt-sw3", "openai-gpt", "imagegpt", "decision_transformer", "clvp", "jais"],
        keep: &[CONV1D],
        source: "transformers 5.23 pytorch_utils.py Conv1D: weight is [in, out]; vLLM 0.22 jais.py, the \
                 last with it, transposes them too",
        ..PLAIN
    },
    Family {
        types: &["ibert"],
        keep: &[("*", "integer layer, no Linear")],
        source: "transformers 5.23 modeling_ibert.py: QuantLinear and QuantEmbedding hold the weights",
        ..PLAIN
    },
    Family {
        types: &["biogpt", "trocr", "flaubert", "xlm", "xlnet", "t5gemma", "t5gemma2", "neomme", "ctrl"],
        keep: &[("transformer.w", "embedding")],
        heads: &[
            "output_projection", "pred_layer.proj", "lm_loss", "lm_head.out_proj",
            "unembedding_projection", "lm_head",
        ],
        source: "transformers 5.23 _tied_weights_keys of modeling_*.py; modeling_ctrl.py: w is an \
                 nn.Embedding; not in vLLM 0.33",
        ..PLAIN
    },
    Family {
        types: &["telechat2"],
        keep: &[("*.key_value", "cut by heads")],
        fused: &[("qkv", &["query", "key_value"])],
        source: "vLLM 0.33 telechat2.py _split_key_value cuts key_value into matrices of two \
                 dimensions, which a global scale has not; query is packed with them",
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
            "hunyuan_v1_moe", "dots1", "afmoe", "cohere2_moe", "qwen3_vl_moe_text", "aria_text",
            "laguna", "mellum", "solar_open", "glm4v_moe_text",
        ],
        keep: &[
            ("*.mlp.gate", "router"), ("*.mlp.gate.wg", "router"),
            ("*.shared_expert_gate", "router"),
        ],
        source: "vLLM 0.33 qwen2_moe.py, qwen3_moe.py, olmoe.py, ernie45_moe.py, bailing_moe.py, \
                 afmoe.py, cohere2_moe.py, laguna.py: gate is a GateLinear, shared_expert_gate has \
                 quant_config=None; transformers 5.23 modeling_*.py of the others: the router is no \
                 nn.Linear, in modeling_hunyuan_v1_moe.py it is gate.wg",
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
        types: &["minimax_m3", "minimax_m3_vl", "minimax_m3_vl_text"],
        keep: &[("*.block_sparse_moe.gate", "router"), ("mtp.*", "multi-token prediction")],
        fused: &[("qkv_index", &["q_proj", "k_proj", "v_proj", "index_q_proj", "index_k_proj"])],
        running: &[("block_sparse_moe.", "mlp.")],
        nested: true,
        source: "vLLM 0.33 models/minimax_m3/nvidia/model.py: stacked_params_mapping {qkv_proj: q, k, v, \
                 index_q, index_k}, gate is a GateLinear",
        ..PLAIN
    },
    Family {
        types: &["glm5_next", "glm5_next_text"],
        keep: &[
            ("*f_a_proj", "linear attention"), ("*f_b_proj", "linear attention"),
            ("*g_a_proj", "linear attention"), ("*g_b_proj", "linear attention"),
            ("*.b_proj", "linear attention"), INDEXER[0], INDEXER[1], MTP_HEADS[0], MTP_HEADS[1],
            MTP_HEADS[2],
        ],
        // o_proj is not packed but unquantized where the others are.
        fused: &[(
            "kda",
            &["q_proj", "k_proj", "v_proj", "b_proj", "f_a_proj", "g_a_proj", "o_proj"],
        )],
        running: &[("self_attn.f_", "self_attn.forget_gate.f_")],
        nested: true,
        source: "vLLM 0.33 models/glm5next/common/kda.py: the layers with f_a_proj have no \
                 quant_config; attention.py: wk_weights_proj has none",
        ..PLAIN
    },
    Family {
        types: &["qwen4_exp", "qwen4_exp_text"],
        keep: &[
            ("*.self_attn.q_proj", "attention with an indexer"),
            ("*.self_attn.k_proj", "attention with an indexer"),
            ("*.self_attn.v_proj", "attention with an indexer"),
            ("*.indexer.*", "indexer"), ("*hyper_connection*", "hyper connection"),
            ("*visual.*", "vision or audio tower"), ("mtp.*", "multi-token prediction"),
            ("*.mlp.gate", "router"), ("*.shared_expert_gate", "router"),
        ],
        fused: &[
            ("qkv", &["q_proj", "k_proj", "v_proj", "indexer.index_qk_proj"]),
            ("kv", &["key_proj", "value_proj"]),
        ],
        nested: true,
        source: "vLLM 0.33 models/qwen4_exp/nvidia: qsa.py packs q, k, v and index_qk_proj, without \
                 quantization where the format is ModelOpt's; hyperconnection.py has no quant_config; \
                 model.py packed_modules_mapping {kv_proj}",
        ..PLAIN
    },
    Family {
        types: &["beam"],
        keep: &[("*.gate", "router")],
        fused: &[("qkv_gate", &["q_proj", "k_proj", "v_proj", "output_gate_proj"])],
        source: "vLLM 0.33 models/beam/nvidia/model.py: packed_modules_mapping {qkv_gate_proj}; moe.py: \
                 gate is a GateLinear",
        ..PLAIN
    },
    Family {
        types: &["longcat_flash"],
        keep: &[("*.router.classifier", "router")],
        fused: &[("fused_qkv_a", &["q_a_proj", "kv_a_proj_with_mqa"])],
        source: "vLLM 0.33 longcat_flash.py: classifier is a GateLinear, fused_qkv_a_proj packs q_a_proj, \
                 kv_a_proj_with_mqa",
        ..PLAIN
    },
    Family {
        types: &["olmo_hybrid"],
        fused: &[("linear_qkvg", &["q_proj", "k_proj", "v_proj", "g_proj"])],
        source: "vLLM 0.33 olmo_hybrid.py: packed_modules_mapping {in_proj_qkvg: q, k, v, g}",
        ..PLAIN
    },
    Family {
        types: &[
            "deepseek_v2", "deepseek_v3", "kimi_k2", "kimi_linear", "axk1", "pangu_ultra_moe",
            "mistral4",
        ],
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
            ("*.attn.wo_a", "batch of matrices"), ("mtp.*", "multi-token prediction"),
        ],
        fused: &[("fused_wqa_wkv", &["wq_a", "wkv"])],
        heads: &["head", "lm_head"],
        running: &[("attn.wo_a", "self_attn.o_a_proj"), ("layers.", "model.layers.")],
        source: "vLLM 0.33 models/deepseek_v4/nvidia/model.py: packed_modules_mapping \
                 {fused_wqa_wkv, gate_up_proj: w1, w3}; compressor.py fused_wkv_wgate and \
                 attention.py weights_proj have quant_config=None; ops/o_proj.py views wo_a as a batch of \
                 BF16 or FP8 matrices",
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
        types: &["granitemoe", "granitemoeshared", "granitemoehybrid", "granitemoe_swa", "jetmoe"],
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
        running: &[("backbone.", "model.")],
        source: "vLLM 0.33 layers/mamba/mamba_mixer2.py: in_proj and out_proj have quant_config, \
                 conv1d not; nemotron_h.py: gate without it",
        ..PLAIN
    },
];
