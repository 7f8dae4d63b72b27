//! Model types: what is known of each, and where it was read.
//!
//! The one place for knowledge about the names of a model type. Names that hold for every model
//! are in [`linear`](super::linear) and [`fuse`](super::fuse).

use serde_json::{Map, Value};

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

const SSM: &[(&str, &str)] = &[("*.x_proj", "state space"), ("*.dt_proj", "state space")];

/// Names of experts' modules in Granite's and JetMoE's files and where they run.
const GRANITE_EXPERTS: &[(&str, &str)] = &[
    ("block_sparse_moe.input_linear", "block_sparse_moe.experts"),
    ("block_sparse_moe.output_linear", "block_sparse_moe.experts"),
];

/// All that is known, by model type.
pub(crate) const FAMILIES: &[Family] = &[
    Family {
        types: &[
            "llama",
            "mistral",
            "ministral",
            "qwen2",
            "qwen3",
            "gemma",
            "gemma2",
            "gemma3_text",
            "granite",
            "olmo",
            "olmo2",
            "olmo3",
            "starcoder2",
            "stablelm",
            "phi",
            "cohere",
            "cohere2",
            "smollm3",
            "exaone4",
            "glm",
            "nemotron",
            "helium",
            "seed_oss",
            "apertus",
            "arcee",
            "internlm3",
            "minicpm",
            "persimmon",
            "solar",
            "ernie4_5",
            "hunyuan_v1_dense",
            "deci",
            "mimo",
            "bitnet",
            "xglm",
            "opt",
        ],
        source: "vLLM 0.33 model_executor/models/llama.py and its like: packed_modules_mapping \
                 {qkv_proj: q/k/v, gate_up_proj: gate/up}; every other Linear has quant_config; \
                 transformers 5.23 _tied_weights_keys {lm_head}",
        ..PLAIN
    },
    Family {
        types: &["phi3", "glm4", "falcon", "bloom", "mpt", "codegen", "gpt_bigcode", "gptj"],
        source: "vLLM 0.33 phi3.py, glm4.py, falcon.py, bloom.py, mpt.py, gpt_j.py: q/k/v (and in \
                 Phi-3 and GLM-4 gate/up) are one tensor in files already",
        ..PLAIN
    },
    Family {
        types: &["gpt_neox", "gpt_neox_japanese"],
        heads: &["embed_out", "lm_head"],
        source: "vLLM 0.33 gpt_neox.py: embed_out is a ParallelLMHead; transformers 5.23 \
                 conversion_mapping.py renames ^embed_out to lm_head",
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
        source: "vLLM 0.9 model_executor/models/qwen.py: gate_up_proj packs w2, w1",
        ..PLAIN
    },
    Family {
        types: &["exaone"],
        fused: &[("gate_up", &["c_fc_0", "c_fc_1"])],
        source: "vLLM 0.33 exaone.py: packed_modules_mapping {gate_up_proj: c_fc_0, c_fc_1}",
        ..PLAIN
    },
    Family {
        types: &["baichuan", "internlm2", "chatglm"],
        heads: &["lm_head", "output", "transformer.output_layer"],
        source: "vLLM 0.33 chatglm.py (transformer.output_layer is the ParallelLMHead), \
                 internlm2.py (output; wqkv is one tensor; gate_up_proj packs w1, w3); Baichuan's \
                 W_pack is one tensor",
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
        source: "vLLM 0.33 mixtral.py: gate is built with quant_config=None; transformers 5.23 \
                 conversion_mapping.py mixtral: block_sparse_moe becomes mlp",
        ..PLAIN
    },
    Family {
        types: &["phimoe"],
        keep: &[("*.block_sparse_moe.gate", "router")],
        running: &[("block_sparse_moe.gate", "mlp.router"), ("block_sparse_moe.", "mlp.")],
        source: "vLLM 0.33 phimoe.py: gate has quant_config=None; transformers 5.23 \
                 conversion_mapping.py phimoe: .gate becomes .router (an nn.Linear subclass)",
        ..PLAIN
    },
    Family {
        types: &[
            "qwen2_moe",
            "qwen3_moe",
            "olmoe",
            "flex_olmo",
            "ernie4_5_moe",
            "bailing_moe",
            "hunyuan_v1_moe",
            "hunyuan",
            "dots1",
            "afmoe",
            "cohere2_moe",
            "arctic",
        ],
        keep: &[
            ("*.mlp.gate", "router"),
            ("*.mlp.gate.wg", "router"),
            ("*.shared_expert_gate", "router"),
        ],
        source: "vLLM 0.33 qwen2_moe.py, qwen3_moe.py, olmoe.py, ernie45_moe.py, bailing_moe.py, \
                 afmoe.py: gate and shared_expert_gate without quant_config; tencent's \
                 HunYuanMoEV1 calls the router's Linear gate.wg",
        ..PLAIN
    },
    Family {
        types: &["qwen3_next", "qwen3_5_moe_text", "qwen3_5_text"],
        keep: &[
            ("mtp.*", "multi-token prediction"),
            ("*.mlp.gate", "router"),
            ("*.shared_expert_gate", "router"),
        ],
        fused: &[
            ("in_proj_qkvz", &["in_proj_qkv", "in_proj_z"]),
            ("in_proj_ba", &["in_proj_b", "in_proj_a"]),
        ],
        source: "vLLM 0.33 qwen3_next.py, qwen3_5.py: packed_modules_mapping {in_proj_qkvz, \
                 in_proj_ba}, gates without quant_config; qwen3_next_mtp.py: fc kept apart",
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
                 gate without quant_config; deepseek_mtp.py: eh_proj is an nn.Linear, \
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
            ("head", "output head"),
            ("embed", "embedding"),
            ("*.ffn.gate", "router"),
            ("*.compressor.*", "compressor"),
            ("*.indexer.weights_proj", "indexer"),
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
        source: "vLLM 0.33 glm4_moe.py (gate without quant_config), glm4_moe_mtp.py, \
                 glm4_moe_lite_mtp.py, mimo_v2_mtp.py, step3p5_mtp.py, hy_v3_mtp.py: eh_proj is an \
                 nn.Linear, shared_head.head a ParallelLMHead",
        ..PLAIN
    },
    Family {
        types: &["gpt_oss"],
        keep: &[("*.mlp.router", "router")],
        source: "vLLM 0.33 gpt_oss.py: router without quant_config; transformers 5.23 GptOssExperts: \
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
                 router.layer without quant_config",
        ..PLAIN
    },
    Family {
        types: &["mamba", "falcon_mamba", "jamba"],
        keep: &[SSM[0], SSM[1], ("*.feed_forward.router", "router")],
        source: "vLLM 0.33 layers/mamba/mamba_mixer.py: x_proj and dt_proj without quant_config; \
                 jamba.py: router likewise",
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
            "bert",
            "roberta",
            "xlm-roberta",
            "camembert",
            "electra",
            "distilbert",
            "deberta",
            "deberta-v2",
            "modernbert",
            "mpnet",
            "albert",
            "esm",
            "nomic_bert",
            "convbert",
        ],
        keep: &[
            ("*pooler.dense", "pooler"),
            ("*classifier*", "output head"),
            ("head.dense", "output head"),
        ],
        heads: &[
            "cls.predictions.decoder",
            "lm_head.decoder",
            "generator_lm_head",
            "vocab_projector",
            "predictions.decoder",
            "decoder",
            "lm_head",
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
            "bart",
            "mbart",
            "marian",
            "pegasus",
            "m2m_100",
            "blenderbot",
            "t5",
            "mt5",
            "umt5",
            "longt5",
            "switch_transformers",
        ],
        keep: &[("*shared", "embedding"), ("*relative_attention_bias", "embedding")],
        source: "transformers 5.23 modeling_bart.py, modeling_t5.py: shared and \
                 relative_attention_bias are nn.Embedding; lm_head is tied",
        ..PLAIN
    },
    Family {
        types: &[
            "qwen2_vl",
            "qwen2_5_vl",
            "qwen3_vl",
            "qwen3_vl_moe",
            "qwen3_5",
            "qwen3_5_moe",
            "glm4v",
            "glm4v_moe",
        ],
        keep: &[
            ("*visual.*", "vision or audio tower"),
            ("mtp.*", "multi-token prediction"),
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
            "llava",
            "llava_next",
            "llava_onevision",
            "gemma3",
            "gemma3n",
            "gemma4",
            "paligemma",
            "mistral3",
            "pixtral",
            "idefics3",
            "smolvlm",
            "aya_vision",
            "got_ocr2",
            "qwen2_audio",
            "voxtral",
            "internvl",
            "internvl_chat",
            "kimi_vl",
            "minicpmv",
            "minicpmo",
            "phi4_multimodal",
            "phi4mm",
            "phi3_v",
            "molmo",
            "ovis",
            "deepseek_vl_v2",
            "mllama",
            "lfm2_vl",
            "h2ovl_chat",
            "nvlm_d",
        ],
        keep: &[
            ("*vision_tower.*", "vision or audio tower"),
            ("*vision_model.*", "vision or audio tower"),
            ("*audio_tower.*", "vision or audio tower"),
            ("*multi_modal_projector.*", "projector"),
            ("mlp1.*", "projector"),
            ("*embed_tokens_extend.*", "embedding of another medium"),
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
        source: "vLLM 0.33 mllama4.py, llama4.py: router without quant_config; files hold 3-D \
                 feed_forward.experts.gate_up_proj and down_proj",
        ..PLAIN
    },
    Family {
        types: &[
            "WanTransformer3DModel",
            "FluxTransformer2DModel",
            "SD3Transformer2DModel",
            "QwenImageTransformer2DModel",
            "HunyuanVideoTransformer3DModel",
            "LTXVideoTransformer3DModel",
            "CogVideoXTransformer3DModel",
            "PixArtTransformer2DModel",
        ],
        keep: &[
            ("proj_out", "output head"),
            ("norm_out*", "norm"),
            ("*_embedder*", "embedding"),
            ("condition_embedder*", "embedding"),
        ],
        heads: &[],
        source: "diffusers attention_processor.py fuse_projections: to_qkv packs to_q/k/v, \
                 to_added_qkv packs add_q/k/v_proj",
        ..PLAIN
    },
];

/// What is known of one model: its own type, and those of its parts.
#[derive(Debug)]
pub(crate) struct Families {
    /// The type that `config.json` gives, if it does.
    pub(crate) named: Option<String>,
    rows: Vec<&'static Family>,
}

impl Families {
    /// Of a model with this `config.json`.
    pub(crate) fn of(config: Option<&Map<String, Value>>) -> Self {
        let text = |object: &Map<String, Value>, key: &str| {
            object.get(key).and_then(Value::as_str).map(str::to_owned)
        };
        let named = config
            .and_then(|object| text(object, "model_type").or_else(|| text(object, "_class_name")));
        let nested = config
            .into_iter()
            .flat_map(Map::values)
            .filter_map(|value| text(value.as_object()?, "model_type"));
        let mut types: Vec<String> = named.iter().cloned().collect();
        types.extend(nested);
        let mut families = Self::of_types(&types.iter().map(String::as_str).collect::<Vec<_>>());
        families.named = named;
        families
    }

    /// Of these types, the model's own first.
    pub(crate) fn of_types(types: &[&str]) -> Self {
        let row = |kind: &&str| FAMILIES.iter().find(|family| family.types.contains(kind));
        let named = types.first().map(|&kind| kind.to_owned());
        Self { named, rows: types.iter().filter_map(row).collect() }
    }

    /// Whether the model's own type is in the table.
    pub(crate) fn known(&self) -> bool {
        self.named
            .as_deref()
            .is_some_and(|named| self.rows.iter().any(|family| family.types.contains(&named)))
    }

    /// Why the module called `module` stays, if a row says so.
    pub(crate) fn kept(&self, module: &str) -> Option<&'static str> {
        let rules = self.rows.iter().flat_map(|family| family.keep);
        let rule = rules.into_iter().find(|(glob, _)| super::Glob::new(glob).matches(module));
        rule.map(|&(_, reason)| reason)
    }

    /// Where the rows were read.
    pub(crate) fn sources(&self) -> Vec<String> {
        let mut sources: Vec<_> = self.rows.iter().map(|row| row.source.to_owned()).collect();
        sources.dedup();
        sources
    }

    /// Packed parts, besides those of every model.
    pub(crate) fn fused(&self) -> impl Iterator<Item = &'static Fused> {
        self.rows.iter().flat_map(|family| family.fused)
    }

    /// Output heads that may have no tensor.
    pub(crate) fn heads(&self) -> Vec<&'static str> {
        if self.known() {
            return self.rows.iter().flat_map(|family| family.heads).copied().collect();
        }
        let mut heads: Vec<_> = FAMILIES.iter().flat_map(|family| family.heads).copied().collect();
        heads.retain(|head| *head != "output" && *head != "head");
        heads
    }

    /// `module` as running models may call it besides.
    pub(crate) fn running(&self, module: &str) -> Vec<String> {
        let renames = self.rows.iter().flat_map(|family| family.running);
        renames
            .filter(|(file, _)| module.contains(file))
            .map(|(file, running)| module.replacen(file, running, 1))
            .collect()
    }

    /// Whether running models put other prefixes before names than files do, or may.
    pub(crate) fn renamed(&self) -> bool {
        !self.known() || self.rows.iter().any(|family| family.nested || !family.running.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_row_has_types_of_its_own_and_a_source() {
        let mut seen = HashSet::new();
        for family in FAMILIES {
            assert!(!family.types.is_empty() && family.source.len() > 40);
            assert!(family.types.iter().all(|kind| seen.insert(*kind)), "{:?}", family.types);
        }
    }

    #[test]
    fn rows_say_what_stays() {
        for (kind, module, reason) in [
            ("glm4_moe", "model.layers.1.eh_proj", Some("multi-token prediction")),
            ("glm_moe_dsa", "model.layers.0.self_attn.indexer.wk", Some("indexer")),
            ("glm_moe_dsa", "model.layers.0.self_attn.indexer.wq_b", None),
            ("hunyuan_v1_moe", "model.layers.0.mlp.gate.wg", Some("router")),
            ("internvl_chat", "mlp1.3", Some("projector")),
            ("deepseek_v4", "head", Some("output head")),
            ("deepseek_v4", "layers.0.attn.compressor.wkv", Some("compressor")),
            ("deepseek_v4", "layers.0.attn.wq_b", None),
            ("mamba", "backbone.layers.0.mixer.dt_proj", Some("state space")),
            ("mamba2", "backbone.layers.0.mixer.in_proj", None),
            ("bert", "bert.pooler.dense", Some("pooler")),
            ("gpt2", "h.0.attn.c_attn", Some("stored transposed (Conv1D)")),
            ("bart", "model.shared", Some("embedding")),
            (
                "t5",
                "encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
                Some("embedding"),
            ),
        ] {
            assert_eq!(Families::of_types(&[kind]).kept(module), reason, "{kind} {module}");
        }
    }

    #[test]
    fn parts_of_a_model_bring_their_own_rows() {
        let config = serde_json::json!({
            "model_type": "llava",
            "text_config": {"model_type": "qwen3_moe"},
        });
        let families = Families::of(config.as_object());
        assert!(families.known() && families.renamed());
        assert_eq!(families.kept("language_model.model.layers.0.mlp.gate"), Some("router"));
        let unknown =
            serde_json::json!({"model_type": "new", "text_config": {"model_type": "llama"}});
        assert!(!Families::of(unknown.as_object()).known());
        assert!(!Families::of(None).known());
    }

    #[test]
    fn heads_without_tensors_are_known() {
        for (kind, head) in [
            ("whisper", "proj_out"),
            ("bert", "cls.predictions.decoder"),
            ("roberta", "lm_head.decoder"),
            ("gpt_neox", "embed_out"),
            ("electra", "generator_lm_head"),
            ("distilbert", "vocab_projector"),
            ("modernbert", "decoder"),
            ("t5", "lm_head"),
        ] {
            assert!(Families::of_types(&[kind]).heads().contains(&head), "{kind}");
        }
    }

    #[test]
    fn running_names_follow_the_consumers() {
        let phimoe =
            Families::of_types(&["phimoe"]).running("model.layers.0.block_sparse_moe.gate");
        assert!(phimoe.contains(&"model.layers.0.mlp.router".to_owned()));
        let granite = Families::of_types(&["granitemoe"]);
        assert_eq!(
            granite.running("m.0.block_sparse_moe.input_linear"),
            ["m.0.block_sparse_moe.experts"]
        );
    }
}
