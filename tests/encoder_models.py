"""Tiny encoders and encoder-decoders beside those of :mod:`tests.models`, which draws them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import transformers

VOCABULARY = 50


def _made(kind: str, config: str, settings: dict[str, Any]) -> Any:
    with warnings.catch_warnings():  # of transformers 5.18 in DeBERTa's files
        warnings.filterwarnings("ignore", ".*torch.jit.script", DeprecationWarning)
        cls = getattr(transformers, kind)
    return cls(getattr(transformers, config)(**settings))


def _encoder(width: int, **more: Any) -> dict[str, Any]:
    """Return what configs of BERT's kin agree on."""
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": width,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": width + 8,
        "max_position_embeddings": 40,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": 0,
        "num_labels": 3,
    }
    return {**settings, **more}


def _kin(name: str, **own: Any) -> Callable[..., Any]:
    """Return the factory of a family with BERT's module structure."""

    def make(width: int = 32, **more: Any) -> Any:
        kind = f"{name}ForSequenceClassification"
        return _made(kind, f"{name}Config", _encoder(width, **{**own, **more}))

    return make


def electra(width: int = 32, **more: Any) -> Any:
    """ELECTRA with embeddings narrower than the layers, as the small one has."""
    settings = _encoder(width, embedding_size=width - 8, **more)
    return _made("ElectraForSequenceClassification", "ElectraConfig", settings)


def distilbert(width: int = 32, **more: Any) -> Any:
    """DistilBERT with its two-layer head."""
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "dim": width,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": width + 8,
        "max_position_embeddings": 40,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "seq_classif_dropout": 0.0,
        "num_labels": 3,
    }
    kind = "DistilBertForSequenceClassification"
    return _made(kind, "DistilBertConfig", {**settings, **more})


def albert(width: int = 32, **more: Any) -> Any:
    """Four passes through two layers, twice each; narrow embeddings."""
    shape = {"num_hidden_layers": 4, "num_hidden_groups": 2, "embedding_size": width - 8}
    settings = _encoder(width, classifier_dropout_prob=0.0, **{**shape, **more})
    return _made("AlbertForSequenceClassification", "AlbertConfig", settings)


def _deberta(width: int, **more: Any) -> dict[str, Any]:
    own: dict[str, Any] = {
        "relative_attention": True,
        "max_relative_positions": 8,
        "position_biased_input": False,
        "pos_att_type": ["c2p", "p2c"],
        "type_vocab_size": 0,
        "pooler_hidden_size": width,
    }
    return _encoder(width, **{**own, **more})


def deberta(width: int = 32, **more: Any) -> Any:
    """The first DeBERTa: queries, keys and values in one map."""
    settings = _deberta(width, **more)
    return _made("DebertaForSequenceClassification", "DebertaConfig", settings)


def deberta_v2(width: int = 32, **more: Any) -> Any:
    """DeBERTa-v2 with maps of its own for relative positions, and a convolution."""
    settings = _deberta(width, **{"conv_kernel_size": 3, "conv_act": "gelu", **more})
    return _made("DebertaV2ForSequenceClassification", "DebertaV2Config", settings)


def deberta_v3(width: int = 32, **more: Any) -> Any:
    """In the manner of v3: relative positions share the maps of queries and keys."""
    own = {"share_att_key": True, "position_buckets": 4, "norm_rel_ebd": "layer_norm"}
    settings = _deberta(width, **{**own, **more})
    return _made("DebertaV2ForSequenceClassification", "DebertaV2Config", settings)


def modernbert(width: int = 32, **more: Any) -> Any:
    """One layer of global attention, two of local attention to the nearest neighbours."""
    own: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": width,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": width + 8,
        "max_position_embeddings": 40,
        "local_attention": 4,
        "global_attn_every_n_layers": 3,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "cls_token_id": 1,
        "sep_token_id": 2,
        "num_labels": 3,
    }
    settings = {**own, **more}
    return _made("ModernBertForSequenceClassification", "ModernBertConfig", settings)


def _t5(width: int, **more: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "d_model": width,
        "d_kv": width // 4,
        "d_ff": width + 8,
        "num_layers": 2,
        "num_decoder_layers": 2,
        "num_heads": 4,
        "dropout_rate": 0.0,
        "decoder_start_token_id": 0,
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 16,
    }
    return {**settings, **more}


def longt5(width: int = 32, **more: Any) -> Any:
    """LongT5 with local attention in blocks of three."""
    settings = _t5(width, **{"local_radius": 2, "encoder_attention_type": "local", **more})
    return _made("LongT5ForConditionalGeneration", "LongT5Config", settings)


def longt5_global(width: int = 32, **more: Any) -> Any:
    """LongT5 with transient-global attention: to the averages of blocks of two as well."""
    own = {"encoder_attention_type": "transient-global", "global_block_size": 2}
    return longt5(width, **{**own, **more})


def umt5(width: int = 32, **more: Any) -> Any:
    """umT5: relative positions in every layer, gated."""
    settings = _t5(width, feed_forward_proj="gated-gelu", **more)
    return _made("UMT5ForConditionalGeneration", "UMT5Config", settings)


def _bart_kin(name: str, kind: str = "ForConditionalGeneration", **own: Any) -> Callable[..., Any]:
    """Return the factory of a family with BART's module structure."""

    def make(width: int = 32, **more: Any) -> Any:
        settings: dict[str, Any] = {
            "vocab_size": VOCABULARY,
            "d_model": width,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": width + 8,
            "decoder_ffn_dim": width + 4,
            "max_position_embeddings": 40,
            "dropout": 0.0,
            "encoder_layerdrop": 0.0,
            "decoder_layerdrop": 0.0,
            "pad_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 2,
            "forced_eos_token_id": None,
        }
        return _made(f"{name}{kind}", f"{name}Config", {**settings, **own, **more})

    return make


#: One of every structure.
ENCODERS: dict[str, Callable[..., Any]] = {
    "electra": electra,
    "distilbert": distilbert,
    "albert": albert,
    "deberta": deberta,
    "deberta_v2": deberta_v2,
    "deberta_v3": deberta_v3,
    "modernbert": modernbert,
    "longt5": longt5,
    "longt5_global": longt5_global,
    "pegasus": _bart_kin("Pegasus", encoder_layers=3),
    "marian": _bart_kin("Marian", "MTModel"),
}
#: Families whose modules are those of another one.
KIN: dict[str, Callable[..., Any]] = {
    "xlm_roberta": _kin("XLMRoberta"),
    "camembert": _kin("Camembert"),
    "ernie": _kin("Ernie"),
    "data2vec_text": _kin("Data2VecText"),
    "roc_bert": _kin("RoCBert", pronunciation_vocab_size=9, shape_vocab_size=9),
    "umt5": umt5,
    "m2m_100": _bart_kin("M2M100"),
    "blenderbot": _bart_kin("Blenderbot"),
    "blenderbot_small": _bart_kin("BlenderbotSmall"),
    "plbart": _bart_kin("PLBart"),
}
