"""What an error of the Hub's clients means, in one sentence with a next step.

Place in the flow: below :mod:`peftsearch.hub.calls`. Pure. Classes are tried before texts, the
most specific first; texts are needed where ``datasets`` or ``transformers`` drop the cause.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from peftsearch.errors import MissingError

KNOWN_MODELS = (
    "micro-t5",
    "micro-bert",
    "t5-small",
    "t5-base",
    "t5-large",
    "google/t5-v1_1-small",
    "google/t5-v1_1-base",
    "google/flan-t5-small",
    "google/flan-t5-base",
    "google/mt5-small",
    "google/byt5-small",
    "facebook/bart-base",
    "facebook/bart-large",
    "facebook/mbart-large-50",
    "bert-base-uncased",
    "bert-base-cased",
    "bert-large-uncased",
    "roberta-base",
    "roberta-large",
)
"""Names worth suggesting when one is mistyped."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for.

    Attributes:
        name: Id on the Hub, or a folder.
        kind: ``model`` or ``dataset``.
        local: Whether the name is a folder.
    """

    name: str
    kind: str = "model"
    local: bool = False

    @property
    def noun(self) -> str:
        """How it is called in a sentence."""
        return "model" if self.kind == "model" else "data set"

    @property
    def way_out(self) -> str:
        """The option that does without the Hub."""
        return "--model DIR" if self.kind == "model" else "--data DIR"


def explain(error: BaseException, wanted: Wanted, dead: str = "") -> MissingError | None:
    """Say what went wrong; ``None`` if the error has nothing to do with loading.

    Args:
        error: What a client raised.
        wanted: What was asked for.
        dead: Why the Hub counts as down, if it does.
    """
    found = list(_chain(error))
    text = " ".join(str(part) for part in found)
    return (
        _by_class(found, wanted)
        or (down(wanted, dead) if dead else None)
        or _by_network(found, wanted, text)
        or _by_text(error, wanted, text)
        or _damaged(found, wanted, text)
        or _anything_else(error, wanted)
    )


def down(wanted: Wanted, reason: str) -> MissingError:
    """The Hub does not work, and the cache does not have it either."""
    return MissingError(
        f'The {wanted.noun} "{wanted.name}" cannot be loaded: {reason}.',
        f"Try again later, use a folder ({wanted.way_out}), or what is cached (HF_HUB_OFFLINE=1).",
    )


def missing(wanted: Wanted) -> MissingError:
    """There is no such name."""
    near = difflib.get_close_matches(wanted.name, KNOWN_MODELS, n=1, cutoff=0.75)
    guess = f'Did you mean "{near[0]}"? ' if near and wanted.kind == "model" else ""
    return MissingError(
        f'There is no {wanted.noun} "{wanted.name}" on the Hub that you can see.',
        f"{guess}Check the name, or give a folder: {wanted.way_out}. If it is private: "
        "hf auth login",
    )


def gated(wanted: Wanted) -> MissingError:
    """Its licence has to be accepted."""
    return MissingError(
        f'The {wanted.noun} "{wanted.name}" is gated: its licence must be accepted first.',
        "Accept it on its page of the Hub, then type: hf auth login",
    )


def _offline(wanted: Wanted) -> MissingError:
    return MissingError(
        f'The {wanted.noun} "{wanted.name}" is not in the cache, and the Hub is switched off '
        "(HF_HUB_OFFLINE).",
        f"Unset HF_HUB_OFFLINE once to download it, or give a folder: {wanted.way_out}",
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all its causes and contexts, each once."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        part = waiting.pop(0)
        if part is not None and id(part) not in seen:
            seen.add(id(part))
            yield part
            waiting += [part.__cause__, part.__context__]


def _by_class(found: list[BaseException], wanted: Wanted) -> MissingError | None:
    from huggingface_hub import errors

    def seen(kind: type[BaseException]) -> bool:
        return any(isinstance(part, kind) for part in found)

    if seen(errors.GatedRepoError):
        return gated(wanted)
    if seen(errors.RepositoryNotFoundError):
        return missing(wanted)
    if seen(errors.RevisionNotFoundError):
        return MissingError(
            f'The {wanted.noun} "{wanted.name}" has no such revision.', "Check its name."
        )
    if seen(errors.RemoteEntryNotFoundError):
        file = "config.json" if wanted.kind == "model" else "README.md"
        return MissingError(
            f'"{wanted.name}" on the Hub has no {file}, so it is no {wanted.noun} to load.',
            f"Check the name, or give a folder: {wanted.way_out}",
        )
    if seen(errors.HFValidationError) or seen(errors.HfUriError):
        return MissingError(
            f'"{wanted.name}" is neither a folder nor the name of a {wanted.noun} on the Hub.',
            f"Names look like google/flan-t5-small; a folder: {wanted.way_out}",
        )
    return None


def _by_network(found: list[BaseException], wanted: Wanted, text: str) -> MissingError | None:
    from huggingface_hub import errors, is_offline_mode

    for part in found:
        if type(part).__name__ == "HubDown":
            return down(wanted, str(part))
    lost = (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, ConnectionError)
    local = is_offline_mode() and any(isinstance(part, lost) for part in found)
    if local or "OfflineModeIsEnabled" in text or "Couldn't find cache" in text:
        return _offline(wanted)
    for part in found:
        if isinstance(part, errors.HfHubHTTPError) and part.response is not None:
            return down(wanted, f"the Hub answered HTTP {part.response.status_code}")
    if "XetDownloadError" in [type(part).__name__ for part in found] or "CAS service" in text:
        return down(wanted, "the Hub's download service broke off")
    for part in found:
        if type(part).__module__.split(".")[0] in ("httpx", "httpx2"):
            slow = "Timeout" in type(part).__name__
            return down(wanted, f"the Hub {'did not answer in time' if slow else 'broke off'}")
    if any(isinstance(part, lost) for part in found):
        return down(wanted, "the Hub cannot be reached")
    return None


def _by_text(error: BaseException, wanted: Wanted, text: str) -> MissingError | None:
    if type(error).__name__ == "DatasetNotFoundError":
        return gated(wanted) if "gated" in text else missing(wanted)
    if "BuilderConfig" in text:
        return MissingError(
            f'The data set "{wanted.name}": {_first_line(error)}', "Check config: in the task file."
        )
    if "does not appear to have a file named" in text:
        place = "folder" if wanted.local else wanted.noun
        return MissingError(
            f'The {place} "{wanted.name}" is not complete: {_first_line(error)}',
            "A model needs config.json, model.safetensors and its tokenizer's files.",
        )
    if "Unrecognized model" in text or "does not recognize this architecture" in text:
        return MissingError(
            f'"{wanted.name}" is no model that this transformers knows.',
            "Check config.json, or update: pip install --upgrade transformers",
        )
    if "trust_remote_code" in text:
        return MissingError(
            f'"{wanted.name}" needs code of its own, which is not run here.',
            "Use a model of the T5, BART, BERT or RoBERTa family.",
        )
    return None


def _damaged(found: list[BaseException], wanted: Wanted, text: str) -> MissingError | None:
    names = ("SafetensorError", "ArrowInvalid", "DatasetGenerationError")
    broken = any(type(part).__name__ in names for part in found)
    if any(isinstance(part, json.JSONDecodeError) for part in found):
        broken = True
    if broken or "Consistency check failed" in text or "NonMatchingSplitsSizes" in text:
        where = "in the folder" if wanted.local else "of the Hub or in the cache"
        hint = "Copy it again." if wanted.local else f"Delete it from the cache: {_remove(wanted)}"
        return MissingError(f'A file {where} is damaged: "{wanted.name}" cannot be read.', hint)
    return None


def _remove(wanted: Wanted) -> str:
    return f"hf cache rm {wanted.kind}/{wanted.name}"


def _anything_else(error: BaseException, wanted: Wanted) -> MissingError | None:
    if isinstance(error, ImportError):
        return MissingError(
            f'Loading "{wanted.name}" needs a package that is not installed: {_first_line(error)}',
            "Install it with pip.",
        )
    if isinstance(error, OSError):
        return MissingError(
            f'The {wanted.noun} "{wanted.name}" cannot be loaded: {_first_line(error)}',
            f"Check the name, or give a folder: {wanted.way_out}",
        )
    return None


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0] if lines else type(error).__name__
    return line if line.endswith(".") else f"{line}."
