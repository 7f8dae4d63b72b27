"""Encoders, and encoders with a decoder."""

import torch

from family.models import INIT, Family
from family.sizes import BERT, SEQ2SEQ

F32 = torch.float32

ENCODERS = [
    Family("BERT-MLM", "BertForMaskedLM", BERT, F32),
    Family("RoBERTa-MLM", "RobertaForMaskedLM", BERT, F32, False),
    Family(
        "BART",
        "BartForConditionalGeneration",
        SEQ2SEQ | {"max_position_embeddings": 128},
        F32,
        inputs="pairs",
    ),
    Family(
        "T5",
        "T5ForConditionalGeneration",
        upstream=INIT,
        config={
            "vocab_size": 160,
            "d_model": 64,
            "d_ff": 112,
            "num_layers": 2,
            "num_heads": 16,
            "d_kv": 16,
            "decoder_start_token_id": 0,
        },
        dtype=F32,
        names_dtype=False,
        inputs="pairs",
    ),
    Family(
        "Whisper",
        "WhisperForConditionalGeneration",
        SEQ2SEQ
        | {
            "num_mel_bins": 16,
            "max_source_positions": 32,
            "max_target_positions": 64,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 1,
            "suppress_tokens": None,
            "begin_suppress_tokens": None,
        },
        F32,
        inputs="audio",
    ),
    Family(
        "mT5",
        "MT5ForConditionalGeneration",
        upstream=INIT,
        inputs="pairs",
        config={
            "vocab_size": 160,
            "d_model": 64,
            "d_ff": 112,
            "num_layers": 1,
            "num_heads": 4,
            "d_kv": 16,
            "decoder_start_token_id": 0,
        },
    ),
    Family(
        "Marian",
        "MarianMTModel",
        SEQ2SEQ | {"pad_token_id": 0, "decoder_start_token_id": 0},
        inputs="pairs",
    ),
    Family("DeBERTa-v2", "DebertaV2ForMaskedLM", BERT, F32),
    Family(
        "ModernBERT",
        "ModernBertForMaskedLM",
        BERT | {"cls_token_id": 1, "sep_token_id": 2, "global_attn_every_n_layers": 2},
        upstream=INIT,
    ),
    Family(
        "DistilBERT",
        "DistilBertForMaskedLM",
        {
            "vocab_size": 160,
            "dim": 64,
            "hidden_dim": 112,
            "n_layers": 2,
            "n_heads": 4,
            "max_position_embeddings": 128,
        },
        F32,
    ),
    Family("ELECTRA", "ElectraForMaskedLM", BERT | {"embedding_size": 32}, F32),
]
