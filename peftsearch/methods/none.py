"""The empty choice: nothing is inserted, nothing is trained."""

from __future__ import annotations

from peftsearch.methods.base import PeftLayer, SiteHost

METHOD = {
    "name": "none",
    "title": "nothing",
    "order": 0,
    "modules": {"attention": (), "cross_attention": (), "feed_forward": (), "norm": ()},
    "sized": False,
    "learning_rate": 0.0,
    "identity_at_start": "",
    "reference": "ours: the zero operation of DARTS (Liu et al. 2019, arXiv 1806.09055)",
}


def build(host: SiteHost, modules: tuple[str, ...], size: int) -> dict[str, PeftLayer]:
    """Return no layers."""
    return {}
