"""LayerNorm tuning on norms of heads, whose input is a transposed view."""

from __future__ import annotations

import torch
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from peftsearch.methods.base import insert
from peftsearch.methods.layernorm import NormLayer


def test_strides_of_the_norms_output_stay() -> None:
    """A copy would have other strides, with which attention is rounded otherwise."""
    norm = LlamaRMSNorm(6)
    heads = torch.randn(3, 7, 4, 6).transpose(1, 2)  # (B, H, T, K)
    before = norm(heads)
    layer = NormLayer(norm)
    insert(norm, "layernorm", layer, order=0)
    after = norm(heads)
    assert torch.equal(after, before)
    assert after.stride() == before.stride() != before.contiguous().stride()
    with torch.no_grad():
        layer.weight.fill_(0.5)
    torch.testing.assert_close(norm(heads), 1.5 * before)
