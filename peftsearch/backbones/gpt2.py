"""GPT-2: learned positions, and linear maps whose weights are stored the other way round.

Queries, keys and values come out of one map, ``qkv``.
"""

from __future__ import annotations

from torch import nn

from peftsearch.backbones.decoder_layers import attention_site, base_of, plain_site
from peftsearch.methods.base import SiteHost

MODEL_TYPES = ("gpt2",)
DECODER = True


def hosts(model: nn.Module) -> list[SiteHost]:
    """Return the sites of the decoder in the order of the forward pass."""
    found: list[SiteHost] = []
    for index, layer in enumerate(base_of(model).h):
        core = layer.attn
        maps = {"up": layer.mlp.c_fc, "down": layer.mlp.c_proj}
        norms = {"attention": layer.ln_1, "feed_forward": layer.ln_2}
        found += [
            attention_site(index, core, {"qkv": core.c_attn, "o": core.c_proj}, layer.ln_1),
            plain_site(index, "feed_forward", maps),
            plain_site(index, "norm", norms),
        ]
    return found
