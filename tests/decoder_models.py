"""Tiny decoders of every supported family; :mod:`tests.models` draws their parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers

VOCABULARY = 50


def _settings(width: int, **more: Any) -> dict[str, Any]:
    """Return what configs of decoders agree on: grouped queries, heads narrower than usual."""
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": width,
        "intermediate_size": width + 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "num_labels": 3,
    }
    return {**settings, **more}


def _made(kind: str, config: str, settings: dict[str, Any]) -> Any:
    return getattr(transformers, kind)(getattr(transformers, config)(**settings))


def llama(width: int = 32, **more: Any) -> Any:
    """Grouped queries, gated feed-forward, tied embeddings, no biases."""
    settings = _settings(width, tie_word_embeddings=True, **more)
    return _made("LlamaForCausalLM", "LlamaConfig", settings)


def llama_classifier(width: int = 32, **more: Any) -> Any:
    """Llama with a head for labels on the last token."""
    return _made("LlamaForSequenceClassification", "LlamaConfig", _settings(width, **more))


def mistral(width: int = 32, **more: Any) -> Any:
    """A window of three tokens in every layer; heads whose width is not width / heads."""
    settings = _settings(width, sliding_window=3, head_dim=6, **more)
    return _made("MistralForCausalLM", "MistralConfig", settings)


def qwen2(width: int = 32, **more: Any) -> Any:
    """Biases at queries, keys and values; a window in the upper layer."""
    window = {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}
    return _made("Qwen2ForCausalLM", "Qwen2Config", _settings(width, **window, **more))


def qwen3(width: int = 32, **more: Any) -> Any:
    """Norms of queries and keys."""
    settings = _settings(width, head_dim=width // 4, **more)
    return _made("Qwen3ForCausalLM", "Qwen3Config", settings)


def gemma(width: int = 32, **more: Any) -> Any:
    """One key and value head for all queries; norms stored as the difference from one."""
    settings = _settings(width, head_dim=6, **{"num_key_value_heads": 1, **more})
    return _made("GemmaForCausalLM", "GemmaConfig", settings)


def gemma2(width: int = 32, **more: Any) -> Any:
    """Four norms a layer, a window in every other layer, soft caps, which need eager attention."""
    settings = _settings(width, head_dim=6, sliding_window=3, query_pre_attn_scalar=6, **more)
    config = transformers.Gemma2Config(**settings, attn_implementation="eager")
    return transformers.Gemma2ForCausalLM(config)


def gemma3(width: int = 32, **more: Any) -> Any:
    """Four norms a layer, norms of queries and keys, windows in all layers but one."""
    kinds = ["sliding_attention", "full_attention"]
    window = {"head_dim": 6, "sliding_window": 3, "query_pre_attn_scalar": 6, "layer_types": kinds}
    return _made("Gemma3ForCausalLM", "Gemma3TextConfig", _settings(width, **window, **more))


def phi(width: int = 32, **more: Any) -> Any:
    """Attention and feed-forward side by side, biases, half of each head rotated."""
    settings = {"qk_layernorm": True, "resid_pdrop": 0.0, "embd_pdrop": 0.0, **more}
    return _made("PhiForCausalLM", "PhiConfig", _settings(width, **settings))


def mixtral(width: int = 32, **more: Any) -> Any:
    """A mixture of four experts, two for each token."""
    settings = _settings(width, num_local_experts=4, num_experts_per_tok=2, **more)
    return _made("MixtralForCausalLM", "MixtralConfig", settings)


def olmoe(width: int = 32, **more: Any) -> Any:
    """A mixture with norms of queries and keys over all heads at once."""
    settings = _settings(width, num_experts=4, num_experts_per_tok=2, **more)
    return _made("OlmoeForCausalLM", "OlmoeConfig", settings)


def phi3(width: int = 32, **more: Any) -> Any:
    """One map for queries, keys and values, and one for gate and up."""
    settings = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attention_dropout": 0.0, **more}
    return _made("Phi3ForCausalLM", "Phi3Config", _settings(width, **settings))


def gpt2(width: int = 32, **more: Any) -> Any:
    """Weights stored the other way round, one map for queries, keys and values."""
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "n_embd": width,
        "n_inner": width + 8,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 64,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "num_labels": 3,
    }
    return _made("GPT2LMHeadModel", "GPT2Config", {**settings, **more})


def gpt2_classifier(width: int = 32, **more: Any) -> Any:
    """GPT-2 with a head for labels."""
    config = gpt2(width, **more).config
    return transformers.GPT2ForSequenceClassification(config)


def opt(width: int = 32, **more: Any) -> Any:
    """Learned positions, biases, ReLU, tied embeddings."""
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": width,
        "word_embed_proj_dim": width,
        "ffn_dim": width + 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    return _made("OPTForCausalLM", "OPTConfig", {**settings, **more})


def opt_350m(width: int = 32, **more: Any) -> Any:
    """In the manner of OPT-350m: norms behind each part, narrower embeddings."""
    return opt(width, do_layer_norm_before=False, word_embed_proj_dim=width - 8, **more)


#: Every family and variant by name.
DECODERS: dict[str, Callable[..., Any]] = {
    "llama": llama,
    "llama_classifier": llama_classifier,
    "mistral": mistral,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "gemma": gemma,
    "gemma2": gemma2,
    "gemma3": gemma3,
    "phi": phi,
    "phi3": phi3,
    "gpt2": gpt2,
    "gpt2_classifier": gpt2_classifier,
    "mixtral": mixtral,
    "olmoe": olmoe,
    "opt": opt,
    "opt_350m": opt_350m,
}
