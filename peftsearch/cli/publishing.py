"""``export --to hub``: an export, its model card, and one commit on the Hugging Face Hub."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from peftsearch.card import model_card
from peftsearch.catalogue import exporters
from peftsearch.cli import options as o
from peftsearch.cli.card_facts import card_facts
from peftsearch.cli.rendering import size, table
from peftsearch.cli.session import Session
from peftsearch.config.values import require_known
from peftsearch.errors import ConfigError, paste
from peftsearch.hub import upload
from peftsearch.interrupt import leaving
from peftsearch.rundir import read_json, write_json, write_text

#: As typed after ``--to``.
HUB = "hub"
TITLE = "the Hugging Face Hub: one of the others, with a model card (--repo, --from)"
CARD = "README.md"

Repo = Annotated[
    str | None,
    o.option("--repo", metavar="USER/NAME", text="With --to hub: the model repository."),
]
From = Annotated[
    str | None,
    o.option("--from", text="With --to hub: format that is uploaded. Default peft."),
]
Public = Annotated[
    bool, o.option("--public", text="With --to hub: everybody can see it. Default: private.")
]
DryRun = Annotated[
    bool,
    o.option("--dry-run", text="With --to hub: write export and model card, and upload nothing."),
]
#: Writes an export of a format into a folder; ``load_from`` is what the lines that load it name.
Write = Callable[..., None]


@dataclass(frozen=True)
class Publication:
    """What was asked for.

    Attributes:
        repo: ``USER/NAME``.
        form: Format that is uploaded.
        public: Whether everybody is to see it.
        dry_run: Whether nothing is to be uploaded.
    """

    repo: str
    form: str
    public: bool
    dry_run: bool


def publication(
    to: str, repo: str | None, form: str | None, public: bool, dry_run: bool
) -> Publication | None:
    """Return what was asked for; ``None`` if it is not an upload.

    Raises:
        ConfigError: The options do not go together, or name nothing that is known.
    """
    if to != HUB:
        given = {"--repo": repo, "--from": form, "--public": public, "--dry-run": dry_run}
        for name, value in given.items():
            if value:
                raise ConfigError(f"{name} goes with --to {HUB}, not with --to {to}.")
        return None
    form = "peft" if form is None else form
    require_known(form, list(exporters()), "--from", "exporters")
    if repo is None:
        raise ConfigError(f"--to {HUB} does not know where to.", "--repo USER/NAME")
    upload.check_name(repo)
    return Publication(repo, form, public, dry_run)


def publish(
    current: Session, wanted: Publication, source: Path, folder: Path, write: Write
) -> None:
    """Write an export and its card, show the files, and upload them.

    Args:
        current: The command.
        wanted: What was asked for.
        source: The run, or an ``architecture.json``.
        folder: Where the export goes.
        write: Writes it.
    """
    current.again = paste("peftsearch", *sys.argv[1:])
    planned = upload.Repository(wanted.repo, upload.page(wanted.repo), wanted.public)
    there = planned if wanted.dry_run else upload.look(wanted.repo, wanted.public)
    write(wanted.form, folder, load_from=Path(_place(wanted.repo)))
    _fetch_first(wanted.repo, folder / upload.CHECK)
    facts = card_facts(wanted.repo, source, folder)
    model = facts.architecture["model"]
    if not facts.base_model and Path(model).is_dir():
        current.console.warn(f"The files name the backbone by a folder of this machine: {model}")
    write_text(folder / CARD, model_card(facts))
    _show(current, there, folder)
    commit = "" if wanted.dry_run else _upload(current, there, folder)
    data = {
        "url": there.url,
        "repo": there.name,
        "public": there.public,
        "uploaded": bool(commit),
        "commit": commit or None,
        "files": [{"path": name, "bytes": n} for name, n in upload.files_of(folder).items()],
        "written": str(folder),
    }
    shown = str(folder) if wanted.dry_run else there.url
    current.console.result([shown], brief=shown, data=data)


def _place(repo: str) -> str:
    """Return the folder into which a reader of the card fetches a repository."""
    return repo.rpartition("/")[2]


def _fetch_first(repo: str, path: Path) -> None:
    """Put the lines that fetch the repository before those that load what was fetched."""
    check = read_json(path)
    fetch = f"snapshot_download({repo!r}, local_dir={_place(repo)!r})"
    check["load"] = ["from huggingface_hub import snapshot_download", fetch, *check["load"]]
    write_json(path, check)


def _show(current: Session, repository: upload.Repository, folder: Path) -> None:
    """Tell what will be uploaded, before it is."""
    files = upload.files_of(folder)
    seen = "everybody can see it" if repository.public else "private"
    new = ", new" if repository.commit is None else ""
    current.console.note(f"Files for {repository.url} ({seen}{new}):")
    rows = [[name, size(number)] for name, number in files.items()]
    for line in table([*rows, ["in all", size(sum(files.values()))]], "  "):
        current.console.note(line)
    for name in upload.dropped(repository, folder):
        current.console.note(f"  {name} of the export that is there is deleted")


def _upload(current: Session, repository: upload.Repository, folder: Path) -> str:
    """Upload the files, and say what is left behind if that fails."""
    with leaving("Stopped; the upload is not confirmed"):
        created = repository.commit is None
        if created:
            upload.create(repository)
        try:
            return upload.commit(repository, folder, "Upload an export of peftsearch")
        except BaseException:
            if created:
                remove = paste("hf", "repos", "delete", repository.name)
                current.console.warn(
                    f"{repository.url} was created, and is empty unless the commit came through "
                    f"after all. The same command goes on; this removes it: {remove}"
                )
            raise
