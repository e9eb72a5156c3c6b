"""Calls of the Hub's loaders with a check before and a translation after.

Place in the flow: used by whatever loads a model, a tokenizer or rows. Reads the Hub or its cache.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from peftsearch.errors import ConfigError, MissingError, PeftSearchError
from peftsearch.hub.failures import Wanted, explain

if TYPE_CHECKING:
    from peftsearch.hub.guard import Watch
    from peftsearch.tasks.base import Hub

Result = TypeVar("Result")

DEFAULT_TIMEOUT = 10.0
TIMEOUT_VARIABLE = "PEFTSEARCH_HUB_TIMEOUT"


def hub_timeout() -> float:
    """Longest wait for a connection or the next bytes, in seconds (``PEFTSEARCH_HUB_TIMEOUT``).

    Raises:
        ConfigError: The variable is not a positive number.
    """
    text = os.environ.get(TIMEOUT_VARIABLE, "")
    try:
        seconds = float(text) if text else DEFAULT_TIMEOUT
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise ConfigError(f"{TIMEOUT_VARIABLE} is {text!r}.", "Give a number of seconds, as 10.")
    return seconds


def _ask(wanted: Wanted, filename: str, revision: str | None, watch: Watch) -> None:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, is_offline_mode

    if is_offline_mode():
        return
    filename = filename or ("config.json" if wanted.kind == "model" else "README.md")
    try:
        url = hf_hub_url(wanted.name, filename, repo_type=wanted.kind, revision=revision)
        get_hf_file_metadata(url, timeout=watch.timeout)
    except Exception as error:  # clients raise many unrelated classes: all are explained
        reason = explain(error, wanted, watch.dead)
        if reason is None:
            raise
        raise reason from error


def hub_call(
    repo_id: str,
    function: Callable[[], Result],
    repo_type: str = "model",
    filename: str = "",
    revision: str | None = None,
) -> Result:
    """Call a loader of ``transformers`` or ``datasets``; fail within seconds and clearly.

    A failed check does not end the matter: with a full cache the loader works all the same.

    Args:
        repo_id: Name on the Hub, or a folder, which is loaded without any request.
        function: Loads it, e.g. ``lambda: AutoConfig.from_pretrained(repo_id)``.
        repo_type: ``model`` or ``dataset``.
        filename: File to ask for first; ``config.json`` of a model, ``README.md`` of a data set.
        revision: Commit, tag or branch.

    Returns:
        What the function returns.

    Raises:
        MissingError: It cannot be loaded.
    """
    if Path(repo_id).expanduser().is_dir():
        with hub_errors(repo_id, repo_type):
            return function()
    if _looks_like_path(repo_id):
        raise _no_folder(repo_id, Wanted(repo_id, repo_type))
    from peftsearch.hub.guard import watched

    wanted = Wanted(repo_id, repo_type)
    with watched(hub_timeout()) as watch:
        failure: MissingError | None = None
        try:
            _ask(wanted, filename, revision, watch)
        except MissingError as error:
            failure = error
        try:
            return function()
        except PeftSearchError:
            raise
        except Exception as error:  # as above; what is no loading error goes on unchanged
            reason = explain(error, wanted, watch.dead) if _is_bare(failure, wanted) else failure
            reason = reason or failure or explain(error, wanted, watch.dead)
            if reason is None:
                raise
            raise reason from error


def _is_bare(failure: MissingError | None, wanted: Wanted) -> bool:
    """Whether a data set only lacks a card, which it does not need: the loader knows more."""
    from huggingface_hub.errors import EntryNotFoundError

    cause = None if failure is None else failure.__cause__
    return wanted.kind == "dataset" and isinstance(cause, EntryNotFoundError)


@contextmanager
def hub_errors(what: str, repo_type: str = "model") -> Iterator[None]:
    """Turn loading errors of the clients into :class:`MissingError`; others pass unchanged.

    Args:
        what: Name on the Hub, or a folder.
        repo_type: ``model`` or ``dataset``.
    """
    wanted = Wanted(what, repo_type, local=Path(what).expanduser().is_dir())
    try:
        yield
    except PeftSearchError:
        raise
    except Exception as error:  # as above
        reason = explain(error, wanted)
        if reason is None:
            raise
        raise reason from error


def load_rows(source: Hub) -> dict[str, list[dict[str, Any]]]:
    """Load the splits of a data set of the Hub that a task uses.

    Args:
        source: Data set, configuration and names of the splits.

    Returns:
        Rows by name of the split.

    Raises:
        MissingError: The data set or a split is not there, or cannot be reached.
    """

    def loaded() -> dict[str, list[dict[str, Any]]]:
        import datasets

        with quiet_datasets():
            found = datasets.load_dataset(
                source.path, source.config, data_dir=source.data_dir, revision=source.revision
            )
        names = (source.train, source.test, *source.more_tests)
        for name in names:
            if name not in found:
                raise MissingError(
                    f'The data set "{source.path}" has no split "{name}".',
                    f"It has: {', '.join(found)}.",
                )
        return {name: found[name].to_list() for name in names}

    return hub_call(source.path, loaded, repo_type="dataset", revision=source.revision)


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1


def _no_folder(name: str, wanted: Wanted) -> MissingError:
    path = Path(name).expanduser()
    siblings = [p.name for p in path.parent.glob("*") if p.is_dir()]
    near = difflib.get_close_matches(path.name, siblings, n=1)
    hint = f'Did you mean "{path.parent / near[0]}"?' if near else "Check the path."
    return MissingError(f'There is no folder "{name}" with a {wanted.noun}.', hint)


@contextmanager
def quiet_datasets() -> Iterator[None]:
    """Keep ``datasets`` from asking another host, and its bars off where there is no terminal."""
    import datasets

    export = datasets.config.USE_PARQUET_EXPORT
    bars = not sys.stderr.isatty() and not datasets.are_progress_bars_disabled()
    datasets.config.USE_PARQUET_EXPORT = False
    if bars:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.config.USE_PARQUET_EXPORT = export
        if bars:
            datasets.enable_progress_bars()
