"""What a data set of the Hub says about itself: its splits, and the types of its columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peftsearch.errors import MissingError
from peftsearch.hub.calls import hub_call, quiet_datasets


def load_features(
    path: str, config: str | None, split: str | None
) -> tuple[list[str], Mapping[str, Any]]:
    """Load a data set and describe it.

    No code of the data set is run: ``datasets`` reads tables only.

    Args:
        path: Id of the data set.
        config: Name of its configuration, if it has several.
        split: Split whose columns are asked for; ``None`` for ``train``.

    Returns:
        Names of the splits, and the columns as ``datasets.Features.to_dict`` writes them.

    Raises:
        MissingError: The data set or the split is not there, or cannot be reached.
    """

    def loaded() -> tuple[list[str], Mapping[str, Any]]:
        import datasets

        with quiet_datasets():
            found = datasets.load_dataset(path, config)
        name = split or "train"
        if name not in found:
            raise MissingError(
                f'The data set "{path}" has no split "{name}".', f"It has: {', '.join(found)}."
            )
        return list(found), found[name].features.to_dict()

    described: tuple[list[str], Mapping[str, Any]] = hub_call(path, loaded, repo_type="dataset")
    return described
