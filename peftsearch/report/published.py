"""Patterns that papers report, as questions that a run can answer.

Place in the flow: part of quantities. Each is one statement of a paper about where parameters
go; whether a run agrees is decided like any other pattern, against chance in its own space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from peftsearch.report.quantities import Quantity, share_of
from peftsearch.report.wording import percent

Where = Callable[[pd.DataFrame], pd.Series]

_S3PET = "S3PET (Hu et al. 2022, arXiv 2206.07382)"
_ADALORA = "AdaLoRA (Zhang et al. 2023, arXiv 2303.10512)"


def _early_feed_forward(rows: pd.DataFrame) -> pd.Series:
    return (
        (rows["stack"] == "encoder") & (rows["part"] == "feed_forward") & (rows["third"] == "early")
    )


def _late_queries_and_keys(rows: pd.DataFrame) -> pd.Series:
    touched = rows["modules"].map(lambda text: bool({"q", "k"} & set(str(text).split(", "))))
    return rows["part"].isin(["attention", "cross_attention"]) & (rows["third"] == "late") & touched


def _encoder(rows: pd.DataFrame) -> pd.Series:
    return rows["stack"] == "encoder"


def _decoder(rows: pd.DataFrame) -> pd.Series:
    return rows["stack"] == "decoder"


def _norm(rows: pd.DataFrame) -> pd.Series:
    return rows["part"] == "norm"


def _feed_forward(rows: pd.DataFrame) -> pd.Series:
    return rows["part"] == "feed_forward"


def _late(rows: pd.DataFrame) -> pd.Series:
    return rows["third"] == "late"


#: Source, what it says, where that is, and of which budget (``None``: of all of it).
_STATEMENTS: tuple[tuple[str, str, Where, Where | None], ...] = (
    (
        _S3PET,
        "the feed-forward sites of the encoder's early layers",
        _early_feed_forward,
        _encoder,
    ),
    (_S3PET, "queries and keys of the late layers", _late_queries_and_keys, None),
    (_S3PET, "the norms of the decoder", _norm, _decoder),
    (_ADALORA, "feed-forward sites", _feed_forward, None),
    (_ADALORA, "late layers", _late, None),
)


def published(offered: pd.DataFrame) -> Iterator[Quantity]:
    """Yield the statements that this space could confirm or contradict.

    Args:
        offered: One row per candidate that inserts something: stack, third, part, modules.
    """
    for source, what, where, of in _STATEMENTS:
        inside = where(offered) if of is None else where(offered) & of(offered)
        whole = np.ones(len(offered), dtype=bool) if of is None else of(offered).to_numpy()
        if not inside.any() or inside.to_numpy()[whole].all():
            continue
        budget = {_encoder: "the encoder's budget", _decoder: "the decoder's budget"}
        name = budget[of] if of in budget else "the budget"
        yield Quantity(
            "published",
            f"{what}: share of {name}",
            share_of(where, of),
            percent,
            f"{{spread}} of {name} goes to {what} ({{n}} search seeds)",
            source=source,
            expected="+",
        )
