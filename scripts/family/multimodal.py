"""Language models that see or hear."""

import torch

from family.models import STACKS, Family
from family.sizes import DEEPSEEK, LINEAR_ATTENTION, MOE, MROPE, QWEN_VISION, TEXT, VISION

F32 = torch.float32

MULTIMODAL = [
    Family(
        "Llama-4",
        "Llama4ForConditionalGeneration",
        {},
        parts={
            "text_config": TEXT
            | {
                "num_local_experts": 4,
                "intermediate_size_mlp": 112,
                "num_experts_per_tok": 1,
                "interleave_moe_layer_step": 2,
            },
            "vision_config": VISION
            | {"vision_output_dim": 32, "projector_input_dim": 32, "projector_output_dim": 32},
        },
    ),
    Family(
        "Qwen3.5-MoE",
        "Qwen3_5MoeForConditionalGeneration",
        {},
        parts={"text_config": TEXT | MOE | LINEAR_ATTENTION, "vision_config": QWEN_VISION},
    ),
    Family(
        "Qwen3-VL-MoE",
        "Qwen3VLMoeForConditionalGeneration",
        {},
        parts={
            "text_config": TEXT | MOE | {"rope_parameters": MROPE},
            "vision_config": QWEN_VISION,
        },
        upstream=STACKS,
    ),
    Family(
        "Qwen2.5-VL",
        "Qwen2_5_VLForConditionalGeneration",
        {},
        parts={"text_config": TEXT | {"rope_parameters": MROPE}, "vision_config": QWEN_VISION},
    ),
    Family(
        "Gemma-3 (multimodal)",
        "Gemma3ForConditionalGeneration",
        {"mm_tokens_per_image": 4},
        parts={"text_config": TEXT, "vision_config": VISION},
    ),
    Family(
        "LLaVA",
        "LlavaForConditionalGeneration",
        {"image_token_index": 150},
        F32,
        parts={
            "text_config": TEXT | {"model_type": "llama"},
            "vision_config": VISION | {"model_type": "clip_vision_model"},
        },
    ),
    Family(
        "Phi-4-multimodal",
        "Phi4MultimodalForCausalLM",
        TEXT,
        parts={
            "vision_config": VISION,
            "audio_config": {
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_blocks": 1,
                "num_attention_heads": 2,
                "ext_pw_out_channel": 32,
                "nemo_conv_channels": 32,
                "depthwise_separable_out_channel": 32,
            },
        },
    ),
    Family(
        "Qwen2-Audio",
        "Qwen2AudioForConditionalGeneration",
        {"audio_token_index": 150},
        parts={
            "text_config": TEXT | {"model_type": "qwen2"},
            "audio_config": {
                "d_model": 32,
                "encoder_layers": 1,
                "encoder_attention_heads": 2,
                "encoder_ffn_dim": 48,
                "num_mel_bins": 16,
                "max_source_positions": 32,
            },
        },
    ),
    Family(
        "Mistral-3",
        "Mistral3ForConditionalGeneration",
        {"image_token_index": 150},
        parts={
            "text_config": TEXT | {"model_type": "mistral"},
            "vision_config": VISION | {"model_type": "pixtral", "head_dim": 16},
        },
    ),
    Family(
        "InternVL",
        "InternVLForConditionalGeneration",
        {"image_token_id": 150},
        parts={
            "text_config": TEXT | {"model_type": "qwen2"},
            "vision_config": VISION | {"image_size": [28, 28], "patch_size": [14, 14]},
        },
    ),
    Family(
        "PaliGemma",
        "PaliGemmaForConditionalGeneration",
        {"image_token_index": 150},
        parts={
            "text_config": TEXT | {"model_type": "gemma"},
            "vision_config": VISION | {"model_type": "siglip_vision_model"},
        },
    ),
    Family(
        "GLM-4.5V",
        "Glm4vMoeForConditionalGeneration",
        {},
        parts={
            "text_config": TEXT
            | DEEPSEEK
            | {"n_group": 1, "rope_parameters": MROPE | {"mrope_section": [1, 1, 2]}},
            "vision_config": QWEN_VISION,
        },
    ),
]
