"""Uploading a folder to the Hub in one commit, into a repository that is new or an export's own.

Place in the flow: export -> card -> **upload**. First the Hub is asked whether this may be done at
all; only then is anything written. The token is handed to the client and to nobody else: it is in
no message, and neither is what a library says of a request.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftsearch.errors import ConfigError, MissingError, PeftSearchError
from peftsearch.hub.calls import TIMEOUT_VARIABLE, hub_timeout

#: What marks a repository, as a folder, as an export.
CHECK = "check.json"
#: The Hub puts it into every repository.
_OWN = ".gitattributes"
#: Longest wait for the answer to a commit, in seconds, unless the user has set one.
_PATIENCE = 60.0
_LOGIN = "hf auth login"
#: The Hub's own rules; it takes neither two dashes nor two dots in a row.
_WORD = r"[A-Za-z0-9_](?:[A-Za-z0-9_]|[.-](?![.-]))*(?<![.-])"
_NAME = re.compile(f"{_WORD}/{_WORD}(?<!\\.git)")
_LONGEST_NAME = 96


@dataclass(frozen=True)
class Repository:
    """A model repository on the Hub, as it was found.

    Attributes:
        name: ``USER/NAME``.
        url: Its page.
        public: Whether everybody can see it, or will be able to.
        commit: Its last commit; ``None`` for a repository that is not there yet.
        files: What is in it.
    """

    name: str
    url: str
    public: bool
    commit: str | None = None
    files: tuple[str, ...] = ()


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a repository.

    Raises:
        ConfigError: It is not of the form ``USER/NAME``.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        message = f'--repo "{name}" is not the name of a repository.'
        raise ConfigError(message, "Names look like USER/NAME: letters, digits, - _ and . in each.")


def page(name: str) -> str:
    """Return the address of a repository's page."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{name}"


def look(name: str, public: bool) -> Repository:
    """Ask the Hub whether a folder may be uploaded to a repository; nothing is written.

    Args:
        name: ``USER/NAME``.
        public: Whether everybody is to see it.

    Raises:
        ConfigError: The repository is somebody else's, holds something that is not an export, or
            is public where that was not asked for, or the other way round.
        MissingError: There is no token, it is not accepted, or the Hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    token = _token()
    api = HfApi(token=token)
    with _explained(name):
        me = api.whoami()
        _check_owner(name, str(me["name"]), [str(org["name"]) for org in me.get("orgs") or ()])
        try:
            info = api.model_info(name)
        except RepositoryNotFoundError:
            return Repository(name, page(name), public)
    files = tuple(sibling.rfilename for sibling in info.siblings or ())
    found = Repository(name, page(name), not info.private, info.sha or "", files)
    _check_content(found, public)
    return found


def _check_owner(name: str, user: str, groups: list[str]) -> None:
    owner, _, own = name.partition("/")
    if owner.lower() not in {each.lower() for each in (user, *groups)}:
        raise ConfigError(
            f'"{name}" belongs to {owner}, and the token to {user}.', f"--repo {user}/{own}"
        )


def _check_content(found: Repository, public: bool) -> None:
    """Refuse a repository in which an export would replace something else, or be seen by others."""
    foreign = [name for name in found.files if name != _OWN]
    if foreign and CHECK not in foreign:
        raise ConfigError(
            f'"{found.name}" is not empty, and what is there is not an export: {foreign[0]}.',
            "Choose another name with --repo USER/NAME.",
        )
    if found.public != public:
        there, hint = (
            ("public", "Give --public, or make it private on its page first.")
            if found.public
            else ("private", "Leave out --public, or make it public on its page first.")
        )
        raise ConfigError(f'"{found.name}" is there already, and {there}.', hint)


def files_of(folder: Path) -> dict[str, int]:
    """Return the size in bytes of every file of a folder, by its path there."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}


def dropped(repository: Repository, folder: Path) -> list[str]:
    """Return the files of an earlier export that a commit of this folder takes away."""
    return sorted(set(repository.files) - set(files_of(folder)) - {_OWN})


def create(repository: Repository) -> None:
    """Create a repository that is not there yet.

    Raises:
        MissingError: The token may not, or the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    with _explained(repository.name):
        HfApi(token=_token()).create_repo(repository.name, private=not repository.public)


def commit(repository: Repository, folder: Path, message: str) -> str:
    """Put a folder in the place of what a repository holds, in one commit or not at all.

    Returns:
        The commit.

    Raises:
        MissingError: The token may not, or the Hub cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    operations: list[Any] = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=folder / name)
        for name in files_of(folder)
    ]
    operations += [CommitOperationDelete(path_in_repo=n) for n in dropped(repository, folder)]
    with _explained(repository.name, "The upload is not confirmed"):
        done = HfApi(token=_token()).create_commit(
            repository.name,
            operations,
            commit_message=message,
            parent_commit=repository.commit or None,
        )
    return str(done.oid)


def _token() -> str:
    """Return the user's token.

    Raises:
        MissingError: There is none, or the Hub is switched off.
    """
    from huggingface_hub import get_token, is_offline_mode

    if is_offline_mode():
        raise MissingError(
            "Nothing can be uploaded: the Hub is switched off (HF_HUB_OFFLINE).",
            "Unset HF_HUB_OFFLINE, or look at what would be uploaded with --dry-run.",
        )
    token = get_token()
    if not token:
        message = "Nothing can be uploaded: there is no token for the Hub."
        raise MissingError(message, f"{_LOGIN}  (or set HF_TOKEN; --dry-run needs none)")
    if not re.fullmatch(r"[!-~]+", token):  # the client would quote it in its error
        raise MissingError("The token for the Hub is damaged: it holds odd characters.", _LOGIN)
    return token


@contextmanager
def _explained(name: str, outcome: str = "Nothing was uploaded") -> Iterator[None]:
    """Watch the client, and turn its errors into sentences.

    Args:
        name: The repository.
        outcome: What is known where an answer did not come.
    """
    from peftsearch.hub.guard import watched

    patience = hub_timeout() if os.environ.get(TIMEOUT_VARIABLE) else _PATIENCE
    with watched(patience) as watch:
        try:
            yield
        except PeftSearchError:
            raise
        except Exception as error:  # the clients raise many unrelated classes
            reason = _reason(error, name, watch.dead, outcome)
            if reason is None:
                raise
            raise reason from None  # what the client says may quote the request


def _reason(error: Exception, name: str, dead: str, outcome: str) -> MissingError | None:
    """Say why an upload failed; ``None`` if the error has nothing to do with the Hub."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    for part in chain:
        status = getattr(getattr(part, "response", None), "status_code", None)
        if status is not None:
            return _by_status(status, name, getattr(part, "server_message", None))
    again = "The same command tries it again."
    if dead:
        return MissingError(f"{outcome}: {dead}.", again)
    libraries = {type(part).__module__.partition(".")[0] for part in chain}
    if libraries & {"httpx", "httpx2", "hf_xet"}:
        return MissingError(f"{outcome}: the Hub cannot be reached or broke off.", again)
    return None


def _by_status(status: int, name: str, said: str | None) -> MissingError:
    """Say what an HTTP status means for the user."""
    if status == 401:
        return MissingError("The Hub does not accept the token (HTTP 401).", f"{_LOGIN} --force")
    if status == 403:
        return MissingError(
            f'The token may not write to "{name}" (HTTP 403).',
            f"Give it the right to write, on the Hub's page of tokens, then: {_LOGIN} --force",
        )
    if status in (409, 412):
        return MissingError(
            f'"{name}" was changed by somebody else just now (HTTP {status}).',
            "Look at its page; the same command tries it again.",
        )
    text = f": {' '.join(said.split())}" if said else ""
    return MissingError(
        f"Nothing was uploaded: the Hub answered HTTP {status}{text}.",
        "The same command tries it again.",
    )
