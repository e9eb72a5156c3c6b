"""A tiny causal language model with sites, until a family of decoders is part of the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from peftsearch.backbones.base import Backbone, freeze
from peftsearch.methods.base import SiteHost
from peftsearch.site import Site
from tests.models import VOCABULARY, randomise


def llama() -> Any:
    """Grouped queries, gated feed-forward, no biases."""
    settings = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return randomise(LlamaForCausalLM(settings))


def decoder(name: str = "test", model: Any = None) -> Backbone:
    """Return a frozen Llama with its maps as sites."""
    model = model or llama()
    hosts = []
    for index, layer in enumerate(model.model.layers):
        attention, dense = layer.self_attn, layer.mlp
        maps = {key: getattr(attention, f"{key}_proj") for key in "qkvo"}
        gated = {key: getattr(dense, f"{key}_proj") for key in ("up", "gate", "down")}
        hosts.append(SiteHost(Site("decoder", index, "attention", tuple(maps)), maps))
        hosts.append(SiteHost(Site("decoder", index, "feed_forward", tuple(gated)), gated))
    freeze(model)
    return Backbone(name, model, None, hosts)


def inputs() -> dict[str, torch.Tensor]:
    """Return two rows, the first one padded."""
    ids = torch.randint(3, VOCABULARY, (2, 6), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[0, 4:] = 0
    return {"input_ids": ids.masked_fill(mask == 0, 0), "attention_mask": mask}


def save(model: Any, folder: Path) -> None:
    """Save a model with a tokenizer of whole words: the numbers from w3."""
    words = ["<pad>", "<s>", "</s>", *(f"w{number}" for number in range(3, VOCABULARY))]
    plain = models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<pad>")
    tokenizer = Tokenizer(plain)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    model.save_pretrained(folder)
