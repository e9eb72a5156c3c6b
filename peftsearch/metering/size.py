"""Bytes of ``adapter.safetensors``, counted from the tensors that a candidate creates.

A safetensors file is eight bytes, a header in JSON, and the tensors one behind the other. Of the
header a candidate pays for its own entries; the places of its tensors in the file are not known
before the whole is, so each is taken to have as many digits as the largest file allowed.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Sequence

from torch import Tensor

from peftsearch.injection import on_meta, signature
from peftsearch.methods import builder
from peftsearch.methods.base import SiteHost
from peftsearch.resources import Meter
from peftsearch.site import Site

#: The length of the header, its braces, and the blanks that bring it to a multiple of eight.
FIXED = 8 + 2 + 7
_KINDS = {"torch.float32": "F32", "torch.bfloat16": "BF16", "torch.float16": "F16"}


def entry(name: str, tensor: Tensor, begin: int | str, end: int | str) -> str:
    """Return one entry of the header, with the comma behind it."""
    kind = {
        "dtype": _KINDS[str(tensor.dtype)],
        "shape": list(tensor.shape),
        "data_offsets": [begin, end],
    }
    return json.dumps({name: kind}, separators=(",", ":"))[1:-1] + ","


def file_size(named: Iterable[tuple[str, Tensor]]) -> int:
    """Return the exact size of the file that holds these tensors, all of one type."""
    text, end = "", 0
    for name, tensor in sorted(named, key=lambda pair: pair[0]):
        begin, end = end, end + tensor.numel() * tensor.element_size()
        text += entry(name, tensor, begin, end)
    header = len(text.rstrip(",")) + 2
    return 8 + -(-header // 8) * 8 + end


def meter(hosts: Sequence[SiteHost], limit: int) -> Meter:
    """Return what a candidate adds to the file.

    Args:
        hosts: Sites of the backbone.
        limit: The largest file, in bytes.
    """
    by_site = {host.site: host for host in hosts}
    widest = int("9" * len(str(limit)))
    known: dict[Hashable, list[tuple[str, Tensor]]] = {}

    def cost(site: Site, method: str, modules: tuple[str, ...], size: int) -> float:
        host = by_site[site]
        key = (signature(host), method, modules, size)
        if key not in known:
            layers = builder(method)(on_meta(host), modules, size)
            known[key] = [
                (f"{method}/{anchor}/{name}", parameter.data)
                for anchor, layer in layers.items()
                for name, parameter in layer.named_parameters()
            ]
        return float(
            sum(
                tensor.numel() * tensor.element_size()
                + len(entry(f"{site.id}/{name}", tensor, widest, widest))
                for name, tensor in known[key]
            )
        )

    return cost
