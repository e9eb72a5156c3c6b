"""``export --to hub`` against the loopback Hub, with the real client.

One child process does all commands that need a running Hub; importing the libraries takes seconds.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from peftsearch.backbones.loading import load_backbone
from tests.hub.server import LoopbackHub
from tests.hub.writing import Account
from tests.unit.export.material import architecture, choice

ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("upload_child.py")
#: Looked for in all output.
TOKEN, READER, STRANGER = "hf_the_token_of_me", "hf_one_that_reads", "hf_of_nobody"
TRAINED = b"of somebody"


class Ended(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str


Seen = tuple[LoopbackHub, dict[str, Ended]]


def arguments(repo: str, *more: str, form: str = "peft") -> list[str]:
    """Return a command that uploads the untrained architecture."""
    out = repo.replace("/", "-")
    words = ["export", "arch.json", "--untrained", "--to", "hub", "--from", form]
    return [*words, "--repo", repo, "--out", out, *more]


#: By name: token and words.
COMMANDS: dict[str, list[str]] = {
    "new": [TOKEN, *arguments("me/new")],
    "again": [TOKEN, *arguments("me/new", "--json", form="merged")],
    "public": [TOKEN, *arguments("me/public", "--public", "--quiet", form="native")],
    "seen by all": [TOKEN, *arguments("me/public")],
    "hidden": [TOKEN, *arguments("me/new", "--public")],
    "other content": [TOKEN, *arguments("me/thesis")],
    "somebody else's": [TOKEN, *arguments("you/model")],
    "of a group": [TOKEN, *arguments("an-org/model")],
    "bad token": [STRANGER, *arguments("me/stranger", "--debug")],
    "no token": ["", *arguments("me/nobody")],
    "damaged token": [f"{TOKEN}\tx", *arguments("me/damaged", "--debug")],
    "reader": [READER, *arguments("me/reader")],
    "commit fails": [TOKEN, *arguments("me/commit-fails")],
    "tried again": [TOKEN, *arguments("me/commit-fails")],
    "files fail": [TOKEN, *arguments("me/files-fail")],
    "slow": [TOKEN, *arguments("me/slow")],
    "refused": [TOKEN, *arguments("me/refused")],
    "dry": ["", *arguments("me/dry", "--dry-run", form="native")],
    "cannot": [TOKEN, *arguments("me/cannot", form="peft-serving")],
    "bad name": [TOKEN, *arguments("me")],
    "bad form": [TOKEN, *arguments("me/x", form="pfet")],
    "no name": [TOKEN, "export", "arch.json", "--untrained", "--to", "hub", "--out", "x"],
    "not the hub": [TOKEN, "export", "run", "--to", "peft", "--repo", "me/x"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an architecture of LoRA and IA3 on the built-in model."""
    folder = tmp_path_factory.mktemp("upload")
    backbone = load_backbone("micro-t5", 2)
    choices = [
        choice(backbone, "encoder.00.attention", "lora", 2, "q", "v"),
        choice(backbone, "decoder.01.feed_forward", "ia3", 1, "down"),
    ]
    found = architecture(backbone, choices).to_json()
    found |= {"model": "micro-t5", "task": "micro-nli"}
    (folder / "arch.json").write_text(json.dumps(found))
    return folder


def environment(hub: LoopbackHub, **more: str) -> dict[str, str]:
    return {**hub.env(), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def run_child(commands: list[list[str]], place: Path, env: dict[str, str]) -> list[Ended]:
    """Run commands in one child process."""
    done = subprocess.run(
        [sys.executable, str(CHILD), json.dumps(commands)],
        env=env,
        cwd=place,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Ended(*answer) for answer in json.loads(done.stdout)]


def accounts(hub: LoopbackHub) -> None:
    hub.store.accounts = {TOKEN: Account("me"), READER: Account("me", writes=False)}
    hub.repositories["models/me/thesis"] = {"README.md": TRAINED, "model.bin": TRAINED}
    hub.repositories["models/you/model"] = {"model.bin": TRAINED}


@pytest.fixture(scope="module")
def seen(start_hub: Callable[[Path], LoopbackHub], place: Path) -> Seen:
    """The Hub, and what came of every command."""
    hub = start_hub(place / "hf")
    hub.fault("status", "agent-harnesses", status=404)
    accounts(hub)
    hub.fault("status", "commit-fails/commit", status=500, times=1)
    hub.fault("status", "files-fail.git/info/lfs", status=500)
    hub.fault("slow", "me/slow/commit")
    hub.fault("status", "me/refused/commit", status=403)
    ended = run_child(list(COMMANDS.values()), place, environment(hub))
    return hub, dict(zip(COMMANDS, ended, strict=True))


def files(hub: LoopbackHub, repo: str) -> dict[str, bytes]:
    """Return what is in a repository, without what the Hub put there."""
    there = hub.repositories[f"models/{repo}"]
    return {name: content for name, content in there.items() if name != ".gitattributes"}


def on_disk(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_the_token_is_nowhere(seen: Seen, place: Path) -> None:
    for name, ended in seen[1].items():
        for token in (TOKEN, READER, STRANGER):
            assert token not in ended.out + ended.err, name
    for path in place.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()
    assert not any("Traceback" in ended.err for ended in seen[1].values() if ended.code != 3)


def test_a_new_repository_is_private_and_holds_the_folder(seen: Seen, place: Path) -> None:
    hub, ended = seen
    code, out, err = ended["new"]
    assert (code, out) == (0, f"{hub.url}/me/new\n"), err
    assert "me/new" in hub.store.private
    first = hub.store.commits["me/new"][0]
    names = [path for _, path in first]
    assert {"README.md", "check.json", "lora/adapter_config.json", "load_order.json"} <= set(names)
    large = [path for key, path in first if key == "lfsFile"]
    assert large == [n for n in names if n.endswith(".safetensors")] != []


def test_files_are_shown_with_their_sizes_before_the_first_write(seen: Seen) -> None:
    hub, ended = seen
    lines = ended["new"].err.splitlines()
    start = lines.index(f"Files for {hub.url}/me/new (private, new):")
    shown = [line.split()[0] for line in lines[start + 1 :]]
    names = [path for _, path in hub.store.commits["me/new"][0]]
    assert shown == [*sorted(names), "in"]
    assert all(re.search(r"\d (B|KiB|MiB)$", line) for line in lines[start + 1 :])
    public = ended["public"]
    assert (public.code, public.out) == (0, f"{hub.url}/me/public\n")
    assert "me/public" not in hub.store.private
    failed = ended["commit fails"].err
    assert failed.index("Files for") < failed.index("was created, and is empty")


def test_an_export_takes_the_place_of_another_in_one_commit(seen: Seen, place: Path) -> None:
    hub, ended = seen
    code, out, err = ended["again"]
    assert code == 0, err
    answer = json.loads(out)
    assert (answer["url"], answer["uploaded"], answer["public"]) == (
        f"{hub.url}/me/new",
        True,
        False,
    )
    assert len(hub.store.commits["me/new"]) == 2
    here = on_disk(place / "me-new")
    assert files(hub, "me/new") == here
    assert {file["path"]: file["bytes"] for file in answer["files"]} == {
        name: len(content) for name, content in here.items()
    }
    deleted = [path for key, path in hub.store.commits["me/new"][1] if key == "deletedFile"]
    assert "lora/adapter_model.safetensors" in deleted
    for path in deleted:
        assert f"{path} of the export that is there is deleted" in err


def test_the_card(seen: Seen, place: Path) -> None:
    hub, _ = seen
    card = files(hub, "me/public")["README.md"].decode()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["library_name"] == "peftsearch"
    assert {"lora", "ia3"} <= set(front["tags"])
    assert "base_model" not in front  # micro-t5 is not on the Hub
    assert "The weights are not trained" in card
    check = json.loads(files(hub, "me/public")["check.json"])
    assert (check["verified"], check["trained"]) == (True, False)
    assert check["load"] == [
        "from huggingface_hub import snapshot_download",
        "snapshot_download('me/public', local_dir='public')",
        "import peftsearch",
        "model = peftsearch.load('public')",
    ]
    assert "\n".join(check["load"]) in card
    assert str(place) not in card + json.dumps(check)


@pytest.mark.parametrize(
    ("name", "code", "texts"),
    [
        ("seen by all", 2, ['"me/public" is there already, and public.', "Give --public"]),
        ("hidden", 2, ['"me/new" is there already, and private.', "Leave out --public"]),
        ("other content", 2, ['"me/thesis" is not empty', "not an export: README.md", "--repo"]),
        ("somebody else's", 2, ['"you/model" belongs to you, and the token to me', "me/model"]),
        ("bad token", 3, ["does not accept the token (HTTP 401)", "hf auth login"]),
        ("no token", 3, ["there is no token", "hf auth login"]),
        ("damaged token", 3, ["token for the Hub is damaged", "hf auth login"]),
        ("reader", 3, ['The token may not write to "me/reader" (HTTP 403)', "right to write"]),
        ("of a group", 3, ['The token may not write to "an-org/model"']),
        ("cannot", 6, ["peft-serving cannot express", "decoder.01.feed_forward: ia3: servers"]),
        ("bad name", 2, ['--repo "me" is not the name of a repository', "USER/NAME"]),
        ("bad form", 2, ['--from "pfet" is not known.', 'Did you mean "peft"?']),
        ("no name", 2, ["does not know where to", "--repo USER/NAME"]),
        ("not the hub", 2, ["--repo goes with --to hub, not with --to peft"]),
    ],
)
def test_what_may_not_be_leaves_nothing_on_the_hub(
    seen: Seen, name: str, code: int, texts: list[str]
) -> None:
    hub, ended = seen
    found = ended[name]
    assert (found.code, found.out) == (code, "")
    for text in texts:
        assert text in found.err
    words = COMMANDS[name]
    repo = words[words.index("--repo") + 1] if "--repo" in words else ""
    if name not in ("seen by all", "hidden", "other content", "somebody else's"):
        assert f"models/{repo}" not in hub.repositories
    assert files(hub, "me/thesis") == {"README.md": TRAINED, "model.bin": TRAINED}
    assert files(hub, "you/model") == {"model.bin": TRAINED}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("commit fails", "127.0.0.1 answered HTTP 500"),
        ("files fail", "127.0.0.1 answered HTTP 500"),
        ("slow", "did not answer within 2 s"),
        ("refused", 'may not write to "me/refused" (HTTP 403)'),
    ],
)
def test_what_breaks_off_is_named(seen: Seen, name: str, text: str) -> None:
    hub, ended = seen
    found, repo = ended[name], f"me/{name.replace(' ', '-')}"
    assert (found.code, found.out) == (3, "")
    assert text in found.err
    assert f"{hub.url}/{repo} was created, and is empty" in found.err
    assert f"hf repos delete {repo}" in found.err
    sent = [r for r in hub.requests if r == f"POST /api/models/{repo}/commit/main"]
    times = {"commit fails": 2, "files fail": 0}.get(name, 1)
    assert len(sent) == times, "what changes something is sent once"
    if name == "commit fails":
        assert ended["tried again"].code == 0
        assert len(hub.store.commits[repo]) == 1
    else:
        assert files(hub, repo) == {}


def test_a_dry_run_asks_for_nothing_and_leaves_the_card(seen: Seen, place: Path) -> None:
    hub, ended = seen
    assert (ended["dry"].code, ended["dry"].out) == (0, "me-dry\n")
    assert f"Files for {hub.url}/me/dry (private, new):" in ended["dry"].err
    assert not [request for request in hub.requests if "dry" in request]
    assert (place / "me-dry" / "README.md").read_text().startswith("---\nlibrary_name: peftsearch")


def test_a_file_that_cannot_be_sent(hub: LoopbackHub, place: Path) -> None:
    accounts(hub)
    hub.fault("status", "PUT /lfs/", status=500)
    (ended,) = run_child([[TOKEN, *arguments("me/blob", "--debug")]], place, environment(hub))
    assert (ended.code, ended.out) == (3, "")
    assert f"{hub.url}/me/blob was created, and is empty" in ended.err
    assert "The upload is not confirmed: 127.0.0.1 answered HTTP 500" in ended.err
    assert TOKEN not in ended.err
    assert files(hub, "me/blob") == {}


def test_offline_only_a_dry_run(hub: LoopbackHub, place: Path) -> None:
    accounts(hub)
    commands = [[TOKEN, *arguments("me/off", *more)] for more in ((), ("--dry-run",))]
    refused, dry = run_child(commands, place, environment(hub, HF_HUB_OFFLINE="1"))
    assert (refused.code, refused.out) == (3, "")
    assert "switched off (HF_HUB_OFFLINE)" in refused.err
    assert (dry.code, dry.out) == (0, "me-off\n"), dry.err
    assert hub.requests == []


def test_a_hub_that_is_down(hub: LoopbackHub, place: Path) -> None:
    env = environment(hub)
    hub.down()
    (ended,) = run_child([[TOKEN, *arguments("me/down")]], place, env)
    assert (ended.code, ended.out) == (3, "")
    assert "Nothing was uploaded: 127.0.0.1 cannot be reached." in ended.err
    assert not (place / "me-down").exists()


def test_an_interrupted_upload_says_what_is_left_and_how_to_go_on(
    hub: LoopbackHub, place: Path
) -> None:
    accounts(hub)
    hub.fault("slow", "/commit/")
    env = environment(hub, HF_TOKEN=TOKEN, PEFTSEARCH_HUB_TIMEOUT="300")
    with ExitStack() as stack:
        started = {
            number: stack.enter_context(_started(f"me/stopped-{int(number)}", place, env))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        for number, process in started.items():
            repo = f"me/stopped-{int(number)}"
            while not any(f"{repo}/commit/" in request for request in hub.requests):
                assert process.poll() is None, process.communicate()
                time.sleep(0.05)
            process.send_signal(number)
            out, err = process.communicate(timeout=120)
            assert (process.returncode, out) == (128 + number, "")
            assert f"{hub.url}/{repo} was created, and is empty" in err
            again = f"Continue with:\n  peftsearch {' '.join(arguments(repo))}"
            assert f"Stopped; the upload is not confirmed. {again}" in err
            assert files(hub, repo) == {}


@contextmanager
def _started(repo: str, place: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Start an upload in a process of its own, which is gone at the end."""
    command = [sys.executable, "-m", "peftsearch", *arguments(repo)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=place, env=env, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()
