//! How files of some model types store the experts of a layer: one tensor of three dimensions for
//! gate and up, one for down.
//!
//! Whether a matrix is stored as a Linear's weight or transposed is told by the two shapes together,
//! as transformers 5.23 tells it (`core_model_loading.py` `Transpose(check_dims=True)`): of E experts
//! with hidden size H and intermediate size I, gate and up are `[E, 2I, H]` beside `[E, H, I]`, or
//! `[E, H, 2I]` beside `[E, I, H]`, and no two shapes are both.

/// How gate and up lie in their stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halves {
    /// Gate first, then up.
    Chunked,
    /// Gate and up in turn.
    Interleaved,
}

/// The stacks of some model types.
#[derive(Debug)]
pub(crate) struct Stacks {
    /// `model_type` of `config.json`, or of a section of it.
    pub(crate) types: &'static [&'static str],
    /// Ends of the names of the two stacks; what comes before both is the same.
    pub(crate) gate_up: &'static str,
    pub(crate) down: &'static str,
    /// Ends of the names of their biases, `[E, 2I]` and `[E, H]`.
    pub(crate) biases: Option<[&'static str; 2]>,
    pub(crate) halves: Halves,
    /// Whether published files hold matrices transposed.
    pub(crate) transposed: bool,
    /// Whether transformers reads floats of experts from stacks only.
    pub(crate) only: bool,
    /// What the shapes in files are, for the page.
    pub(crate) shapes: &'static str,
    /// The module that each expert's number follows.
    pub(crate) experts: &'static str,
    /// What a user must know of who reads the output.
    pub(crate) warning: Option<&'static str>,
    /// Project, version, file, and what was read there.
    pub(crate) source: &'static str,
}

/// Every row.
#[rustfmt::skip]
pub(crate) const STACKS: [Stacks; 5] = [
    Stacks {
        types: &["gpt_oss"],
        gate_up: "mlp.experts.gate_up_proj",
        down: "mlp.experts.down_proj",
        biases: Some(["mlp.experts.gate_up_proj_bias", "mlp.experts.down_proj_bias"]),
        halves: Halves::Interleaved,
        transposed: true,
        only: true,
        shapes: "`[E, H, 2I]`, `[E, I, H]`; MXFP4: `[E, 2I, H]`, `[E, H, I]`",
        experts: "mlp.experts",
        warning: Some(
            "vLLM 0.33 has no place for the global scales of gpt_oss experts in NVFP4 (gpt_oss.py \
             _load_weights_other), and leaves out weights by these names without a word: ask \
             whoever serves it, or keep the experts (--exclude '*.mlp.experts.*')",
        ),
        source: "transformers 5.23 modeling_gpt_oss.py GptOssExperts: gate_up_proj [E, H, 2I] with \
                 gate in even columns and up in odd ones, biases likewise; integrations/mxfp4.py: \
                 blocks [E, 2I, H/32, 16]",
    },
    Stacks {
        types: &["llama4", "llama4_text"],
        gate_up: "feed_forward.experts.gate_up_proj",
        down: "feed_forward.experts.down_proj",
        biases: None,
        halves: Halves::Chunked,
        transposed: true,
        only: true,
        shapes: "`[E, H, 2I]`, `[E, I, H]`",
        experts: "feed_forward.experts",
        warning: None,
        source: "transformers 5.23 modeling_llama4.py Llama4TextExperts: bmm with [E, H, 2I], chunked; \
                 vLLM 0.33 llama4.py load_weights: stacks are transposed and chunked, \
                 experts.N.gate_proj, up_proj, down_proj are read one by one",
    },
    Stacks {
        types: &["qwen3_vl_moe", "qwen3_vl_moe_text"],
        gate_up: "mlp.experts.gate_up_proj",
        down: "mlp.experts.down_proj",
        biases: None,
        halves: Halves::Chunked,
        transposed: true,
        only: true,
        shapes: "`[E, H, 2I]`, `[E, I, H]`",
        experts: "mlp.experts",
        warning: None,
        source: "transformers 5.23 conversion_mapping.py qwen3_vl_moe: transposed unless the shapes \
                 fit; vLLM 0.33 qwen3_vl_moe.py: is_fused_checkpoint_transposed; routed_experts.py \
                 load_weights: experts.N.gate_proj, up_proj, down_proj",
    },
    Stacks {
        types: &["qwen3_5_moe", "qwen3_5_moe_text"],
        gate_up: "mlp.experts.gate_up_proj",
        down: "mlp.experts.down_proj",
        biases: None,
        halves: Halves::Chunked,
        transposed: false,
        only: false,
        shapes: "`[E, 2I, H]`, `[E, H, I]`",
        experts: "mlp.experts",
        warning: None,
        source: "transformers 5.23 modeling_qwen3_5_moe.py Qwen3_5MoeExperts: F.linear, chunked; vLLM \
                 0.33 qwen3_5.py and routed_experts.py load_weights: experts.N.gate_proj, up_proj, \
                 down_proj",
    },
    Stacks {
        types: &["granitemoe", "granitemoeshared", "granitemoehybrid"],
        gate_up: "block_sparse_moe.input_linear.weight",
        down: "block_sparse_moe.output_linear.weight",
        biases: None,
        halves: Halves::Chunked,
        transposed: false,
        only: true,
        shapes: "`[E, 2I, H]`, `[E, H, I]`",
        experts: "block_sparse_moe.experts",
        warning: None,
        source: "transformers 5.23 modeling_granitemoe.py GraniteMoeExperts and conversion_mapping.py \
                 granitemoe: input_linear is gate_up_proj, output_linear down_proj; vLLM 0.33 \
                 granitemoehybrid.py get_expert_mapping, granitemoe.py with routed_experts.py: \
                 block_sparse_moe.experts.N.gate_proj, up_proj, down_proj",
    },
];

/// The stacks of a model of these types, its own first.
pub(crate) fn of_types(types: &[&str]) -> Option<&'static Stacks> {
    types.iter().find_map(|kind| STACKS.iter().find(|row| row.types.contains(kind)))
}
