"""Lists of sites with the shape of T5 and of BERT, and a cost, for tests without torch."""

from __future__ import annotations

from peftsearch.site import Site

ATTENTION = ("q", "k", "v", "o")
WIDTH = 64


def t5_sites(encoder: int = 3, decoder: int = 2, *, gated: bool = False) -> list[Site]:
    """Return the sites of a T5 with so many layers."""
    feed_forward = ("up", "gate", "down") if gated else ("up", "down")
    found = []
    for stack, layers in (("encoder", encoder), ("decoder", decoder)):
        for layer in range(layers):
            norms: tuple[str, ...] = ("attention", "feed_forward")
            found.append(Site(stack, layer, "attention", ATTENTION))
            if stack == "decoder":
                norms = ("attention", "cross_attention", "feed_forward")
                found.append(Site(stack, layer, "cross_attention", ATTENTION))
            found.append(Site(stack, layer, "feed_forward", feed_forward))
            found.append(Site(stack, layer, "norm", norms))
    return found


def bert_sites(layers: int = 4) -> list[Site]:
    """Return the sites of a BERT with so many layers."""
    return t5_sites(layers, 0)


def cost(site: Site, method: str, modules: tuple[str, ...], size: int) -> int:
    """Return a cost that grows with the size and the number of modules, and differs by method."""
    each = {"lora": 2 * WIDTH, "adapter": 2 * WIDTH + 1, "prefix": 2 * WIDTH}.get(method, WIDTH)
    constant = WIDTH if method in ("adapter", "parallel_adapter") else 0
    return len(modules) * (each * size + constant)
