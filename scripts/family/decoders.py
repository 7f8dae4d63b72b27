"""Language models that are decoders only."""

import torch

from family.models import INIT, STACKS, Family
from family.sizes import BERT, DEEPSEEK, LINEAR_ATTENTION, MLA, MOE, STACK, TEXT

F16 = torch.float16
F32 = torch.float32

DECODERS = [
    Family("Llama", "LlamaForCausalLM", TEXT | {"tie_word_embeddings": False}),
    Family("Llama, tied, F32", "LlamaForCausalLM", TEXT | {"tie_word_embeddings": True}, F32),
    Family("Mistral", "MistralForCausalLM", TEXT | {"intermediate_size": 200}, F32, False),
    Family(
        "Qwen2",
        "Qwen2ForCausalLM",
        TEXT
        | {
            "tie_word_embeddings": True,
            "hidden_size": 80,
            "num_attention_heads": 5,
            "num_key_value_heads": 1,
        },
    ),
    Family("Qwen3", "Qwen3ForCausalLM", TEXT, F32),
    Family("Qwen3-MoE", "Qwen3MoeForCausalLM", TEXT | MOE),
    Family("Mixtral", "MixtralForCausalLM", TEXT | STACK),
    Family("DeepSeek-V3", "DeepseekV3ForCausalLM", TEXT | MLA | DEEPSEEK, nearest=0.85),
    Family(
        "GLM-4-MoE",
        "Glm4MoeForCausalLM",
        TEXT
        | DEEPSEEK
        | {"num_key_value_heads": 2, "n_group": 1, "use_qk_norm": True, "attention_bias": True},
    ),
    Family(
        "gpt-oss",
        "GptOssForCausalLM",
        TEXT
        | {
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        upstream=STACKS,
    ),
    Family("GraniteMoE", "GraniteMoeForCausalLM", TEXT | STACK, upstream=STACKS),
    Family("Phi-3", "Phi3ForCausalLM", TEXT),
    Family("EXAONE-4", "Exaone4ForCausalLM", TEXT, F32, False),
    Family(
        "Nemotron-H",
        "NemotronHForCausalLM",
        TEXT
        | {
            "num_hidden_layers": 4,
            "layers_block_type": ["mamba", "attention", "moe", "mamba"],
            "mamba_num_heads": 4,
            "mamba_head_dim": 16,
            "ssm_state_size": 16,
            "n_groups": 1,
            "n_routed_experts": 4,
            "moe_intermediate_size": 48,
            "moe_shared_expert_intermediate_size": 48,
            "num_experts_per_tok": 2,
        },
    ),
    Family(
        "Mamba-2",
        "Mamba2ForCausalLM",
        upstream=INIT,
        dtype=F32,
        config={
            "vocab_size": 160,
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_heads": 8,
            "head_dim": 16,
            "state_size": 16,
            "n_groups": 1,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    Family("GPT-NeoX", "GPTNeoXForCausalLM", BERT | {"tie_word_embeddings": False}),
    Family(
        "GPT-2",
        "GPT2LMHeadModel",
        {"vocab_size": 160, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128},
        refused="Conv1D",
    ),
    Family("Llama, F16", "LlamaForCausalLM", TEXT, F16),
    Family(
        "Qwen2-MoE",
        "Qwen2MoeForCausalLM",
        TEXT | MOE | {"shared_expert_intermediate_size": 48, "decoder_sparse_step": 2},
    ),
    Family("Qwen3-Next", "Qwen3NextForCausalLM", TEXT | MOE | LINEAR_ATTENTION),
    Family("Gemma-2", "Gemma2ForCausalLM", TEXT, F16),
    Family(
        "Gemma-3n",
        "Gemma3nForCausalLM",
        TEXT
        | {
            "vocab_size_per_layer_input": 160,
            "hidden_size_per_layer_input": 16,
            "laurel_rank": 16,
            "layer_types": ["sliding_attention", "full_attention"],
            "num_kv_shared_layers": 0,
            "activation_sparsity_pattern": [0.0, 0.0],
            "intermediate_size": [112, 112],
        },
    ),
    Family("Cohere-2", "Cohere2ForCausalLM", TEXT),
    Family("StableLM", "StableLmForCausalLM", TEXT),
    Family("StarCoder-2", "Starcoder2ForCausalLM", TEXT),
    Family(
        "Granite-4 (hybrid)",
        "GraniteMoeHybridForCausalLM",
        TEXT
        | STACK
        | {
            "shared_intermediate_size": 48,
            "layer_types": ["mamba", "attention"],
            "mamba_n_heads": 8,
            "mamba_d_head": 16,
            "mamba_d_state": 16,
        },
        upstream=STACKS,
    ),
    Family(
        "Falcon-H1",
        "FalconH1ForCausalLM",
        TEXT | {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_ssm": 128, "mamba_d_state": 16},
    ),
    Family(
        "Jamba",
        "JambaForCausalLM",
        TEXT
        | {
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "mamba_dt_rank": 16,
            "use_mamba_kernels": False,
        },
    ),
    Family(
        "Zamba-2",
        "Zamba2ForCausalLM",
        TEXT
        | {
            "num_hidden_layers": 3,
            "layers_block_type": ["mamba", "hybrid", "mamba"],
            "mamba_d_state": 16,
            "mamba_headdim": 16,
            "n_mamba_heads": 8,
            "num_mem_blocks": 1,
        },
    ),
    Family("OLMoE", "OlmoeForCausalLM", TEXT | {"num_experts": 4, "num_experts_per_tok": 2}),
    Family("MiniMax-M2", "MiniMaxM2ForCausalLM", TEXT | STACK),
    Family("HunYuan-MoE", "HunYuanMoEV1ForCausalLM", TEXT | {"num_experts": 4, "moe_topk": 2}),
    Family(
        "ERNIE-4.5-MoE",
        "Ernie4_5_MoeForCausalLM",
        TEXT
        | {
            "moe_num_experts": 4,
            "moe_k": 2,
            "moe_intermediate_size": 48,
            "moe_layer_start_index": 1,
            "moe_num_shared_experts": 1,
        },
    ),
    Family("dots1", "Dots1ForCausalLM", TEXT | DEEPSEEK | {"n_group": 1}),
    Family(
        "LFM2-MoE",
        "Lfm2MoeForCausalLM",
        TEXT | MOE | {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    ),
    Family("PhiMoE", "PhimoeForCausalLM", TEXT | STACK),
    Family(
        "DBRX",
        "DbrxForCausalLM",
        {
            "vocab_size": 160,
            "d_model": 64,
            "n_heads": 4,
            "n_layers": 2,
            "max_seq_len": 128,
            "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
            "ffn_config": {
                "ffn_hidden_size": 112,
                "moe_num_experts": 4,
                "moe_top_k": 2,
                "hidden_size": 64,
            },
        },
    ),
    Family(
        "DeepSeek-V2",
        "DeepseekV2ForCausalLM",
        TEXT | MLA | DEEPSEEK | {"n_group": 1, "q_lora_rank": None},
    ),
    Family(
        "DeepSeek-V3.2",
        "DeepseekV32ForCausalLM",
        TEXT | MLA | DEEPSEEK | {"index_n_heads": 4, "index_head_dim": 32, "index_topk": 8},
        nearest=0.85,
    ),
    Family(
        "Falcon",
        "FalconForCausalLM",
        BERT | {"num_kv_heads": 2, "new_decoder_architecture": True},
        upstream=INIT,
    ),
    Family(
        "BLOOM",
        "BloomForCausalLM",
        {"vocab_size": 160, "hidden_size": 64, "n_layer": 2, "n_head": 4, "pad_token_id": 0},
    ),
    Family("OPT", "OPTForCausalLM", BERT | {"ffn_dim": 112, "word_embed_proj_dim": 48}, F16),
    Family(
        "GPT-J",
        "GPTJForCausalLM",
        {
            "vocab_size": 160,
            "n_embd": 64,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": 128,
            "rotary_dim": 8,
        },
    ),
    Family("Nemotron", "NemotronForCausalLM", TEXT),
    Family("SmolLM-3", "SmolLM3ForCausalLM", TEXT),
    Family("Seed-OSS", "SeedOssForCausalLM", TEXT),
]
