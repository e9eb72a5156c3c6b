"""A small server on the loopback that speaks the Hub's protocol to the real clients.

It answers what ``transformers`` and ``datasets`` ask for (``huggingface_hub`` 1 and 2), takes
uploads (:mod:`tests.hub.writing`), logs every request, and can be told to fail in each of the ways
a Hub fails.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from tests.hub.writing import Answer, Store

SHA = "5" * 40
Kind = Literal["status", "gated", "missing", "slow", "cut", "stall"]
_FILE = re.compile(r"/(?P<kind>datasets/)?(?P<id>.+?)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_API = re.compile(
    r"/api/(?P<kind>models|datasets)/(?P<id>[^/]+(?:/(?!revision/|tree/)[^/]+)?)"
    r"(?:/(?P<what>revision|tree)/(?P<revision>[^/]+)(?:/(?P<path>.*))?)?"
)
#: Settings that would reach the real Hub, or spoil the loopback.
_DROPPED = re.compile(r"^(HF_|HUGGING_FACE_|HUGGINGFACE_|TRANSFORMERS_|(https?|all)_proxy$)", re.I)


@dataclass
class Fault:
    """A way to fail.

    Attributes:
        pattern: Searched for in ``"METHOD path"``.
        kind: ``status`` answers with ``status``; ``gated`` and ``missing`` are what the Hub says;
            ``slow`` waits before the answer; ``cut`` closes in the middle of the body; ``stall``
            stops sending there.
        times: How often it happens; ``None`` for ever.
        status: HTTP status of ``status``.
        seconds: Wait of ``slow`` and ``stall``.
        headers: Further headers of the answer.
    """

    pattern: str
    kind: Kind
    times: int | None = None
    status: int = 500
    seconds: float = 600.0
    headers: dict[str, str] = field(default_factory=dict)


class LoopbackHub:
    """The server, its repositories and its faults.

    Args:
        repositories: Files by path, by ``models/ID`` or ``datasets/ID``.
        home: Folder for the cache of the clients; also in :meth:`env`.
        redirects: Old ids and the new ones.
    """

    def __init__(
        self,
        repositories: dict[str, dict[str, bytes]],
        home: Path,
        redirects: dict[str, str] | None = None,
    ) -> None:
        self.repositories = dict(repositories)  # what is uploaded is this Hub's alone
        self.store = Store(self.repositories)
        self.home = home
        self.redirects = redirects or {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.stopping = threading.Event()
        self._server: ThreadingHTTPServer | None = _Server(("127.0.0.1", 0), _handler(self))
        self.url = self.store.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def fault(self, kind: Kind, pattern: str = "", **options: Any) -> None:
        """Fail from now on where the pattern is found in ``"METHOD path"``."""
        self.faults.append(Fault(pattern, kind, **options))

    def clear(self) -> None:
        """Work again."""
        self.faults.clear()

    def down(self) -> None:
        """Stop listening: connections are refused."""
        self.stopping.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def env(self, **more: str) -> dict[str, str]:
        """Environment of a child process that takes this for the Hub."""
        kept = {name: value for name, value in os.environ.items() if not _DROPPED.match(name)}
        return kept | {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(self.home),
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "PEFTSEARCH_HUB_TIMEOUT": "2",
            **more,
        }

    def match(self, request: str) -> Fault | None:
        """Find the fault of a request, and use it up."""
        for fault in self.faults:
            if re.search(fault.pattern, request) and fault.times != 0:
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


def _handler(hub: LoopbackHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        def do_HEAD(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def do_PUT(self) -> None:
            self._serve()

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet: :attr:`LoopbackHub.requests` is the log."""

        def _serve(self) -> None:
            request = f"{self.command} {self.path}"
            hub.requests.append(request)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            fault = hub.match(request)
            if fault is not None and fault.kind == "slow":
                hub.stopping.wait(fault.seconds)
            if fault is not None and fault.kind == "status":
                self._answer(fault.status, b"{}", fault.headers)
            elif fault is not None and fault.kind == "gated":
                self._answer(403, b"{}", {"X-Error-Code": "GatedRepo"})
            elif fault is not None and fault.kind == "missing":
                self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            else:
                path = unquote(urlsplit(self.path).path)
                found = hub.store.answer(self.command, path, token, body)
                status, content, headers = found or _route(hub, path, token)
                self._answer(status, content, headers, fault)

        def _answer(
            self, status: int, body: bytes, headers: dict[str, str], fault: Fault | None = None
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if fault is not None and fault.kind in ("cut", "stall"):
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                if fault.kind == "stall":
                    hub.stopping.wait(fault.seconds)
                self.close_connection = True
                return
            self.wfile.write(body)

    return Handler


def _route(hub: LoopbackHub, path: str, token: str) -> Answer:
    found = _FILE.fullmatch(path) or _API.fullmatch(path)
    if found is None:
        return 404, b"{}", {}
    parts = found.groupdict()
    if parts["id"] in hub.redirects:
        return 307, b"", {"Location": path.replace(parts["id"], hub.redirects[parts["id"]], 1)}
    kind = "datasets" if (parts["kind"] or "").startswith("datasets") else "models"
    files = hub.repositories.get(f"{kind}/{parts['id']}")
    if files is None or not hub.store.sees(f"{kind}/{parts['id']}", token):
        return 404, b"{}", {"X-Error-Code": "RepoNotFound"}
    if parts["revision"] not in (None, "main", SHA):
        return 404, b"{}", {"X-Error-Code": "RevisionNotFound"}
    if found.re is _FILE:
        content = files.get(parts["path"])
        if content is None:
            return 404, b"{}", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": SHA}
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        return 200, content, {"X-Repo-Commit": SHA, "ETag": etag}
    private = parts["id"] in hub.store.private
    siblings = [{"rfilename": name} for name in files]
    answer: Any = {"id": parts["id"], "sha": SHA, "private": private, "siblings": siblings}
    if parts["what"] == "tree":
        answer = _tree(files, parts["path"] or "")
    return 200, json.dumps(answer).encode(), {"Content-Type": "application/json"}


def _tree(files: dict[str, bytes], folder: str) -> list[dict[str, Any]]:
    """List one level: files, and the folders that hold any."""
    prefix = f"{folder}/" if folder else ""
    entries: dict[str, dict[str, Any]] = {}
    for path, content in files.items():
        if path.startswith(prefix):
            name, _, deeper = path.removeprefix(prefix).partition("/")
            digest = hashlib.sha256(content).hexdigest()[:40]
            entries[name] = {
                "type": "directory" if deeper else "file",
                "path": prefix + name,
                "size": 0 if deeper else len(content),
                "oid": digest,
            }
    return list(entries.values())
