"""The part of the loopback Hub that is written to: accounts, new repositories, files, commits.

Large files take the way of Git LFS, all others come with the commit, as on the Hub. A commit is
whole or not at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

Answer = tuple[int, bytes, dict[str, str]]
_COMMIT = re.compile(r"/api/models/(?P<id>[^/]+/[^/]+)/commit/main")
_PREUPLOAD = re.compile(r"/api/models/(?P<id>[^/]+/[^/]+)/preupload/main")
_BATCH = re.compile(r"/(?P<id>[^/]+/[^/]+)\.git/info/lfs/objects/batch")
_BLOB = re.compile(r"/lfs/(?P<oid>[0-9a-f]{64})")
_LARGE = (".safetensors", ".bin")


@dataclass(frozen=True)
class Account:
    """Who a token belongs to, and whether it may write."""

    name: str
    writes: bool = True


@dataclass
class Store:
    """What has been uploaded, and who may.

    Attributes:
        repositories: Files by path, by ``models/ID``; shared with the server.
        url: Address of the server.
        accounts: Accounts by token.
        private: Ids of the repositories that only their owner sees.
        commits: What each commit did, by id: keys and paths, in order.
        blobs: Large files by their SHA-256, committed or not.
    """

    repositories: dict[str, dict[str, bytes]]
    url: str = ""
    accounts: dict[str, Account] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    commits: dict[str, list[list[tuple[str, str]]]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def sees(self, key: str, token: str) -> bool:
        """Whether a repository is there for the owner of a token."""
        name = key.partition("/")[2]
        return name not in self.private or self._owns(name, token)

    def _owns(self, name: str, token: str) -> bool:
        account = self.accounts.get(token)
        return account is not None and name.startswith(f"{account.name}/")

    def answer(self, method: str, path: str, token: str, body: bytes) -> Answer | None:
        """Answer a request; ``None`` for one that only reads."""
        if path == "/api/whoami-v2":
            return self._whoami(token)
        if method not in ("POST", "PUT"):
            return None
        blob = _BLOB.fullmatch(path)
        if blob is not None:  # the address itself is the permission
            return self._blob(blob["oid"], body)
        account = self.accounts.get(token)
        if account is None:
            return 401, b"{}", {}
        if path == "/api/validate-yaml":
            return _validated(json.loads(body)["content"])
        if not account.writes:
            return 403, b"{}", {}
        if path == "/api/repos/create":
            return self._create(account, json.loads(body))
        return self._into(path, token, body)

    def _into(self, path: str, token: str, body: bytes) -> Answer:
        """Answer what concerns one repository."""
        handlers: dict[re.Pattern[str], Callable[[str, bytes], Answer]] = {
            _PREUPLOAD: self._preupload,
            _BATCH: self._batch,
            _COMMIT: self._commit,
        }
        for pattern, handler in handlers.items():
            found = pattern.fullmatch(path)
            if found is None:
                continue
            if f"models/{found['id']}" not in self.repositories:
                return 404, b"{}", {"X-Error-Code": "RepoNotFound"}
            return handler(found["id"], body) if self._owns(found["id"], token) else (403, b"", {})
        return 404, b"{}", {}

    def _whoami(self, token: str) -> Answer:
        account = self.accounts.get(token)
        if account is None:
            return 401, b'{"error": "Invalid credentials"}', {}
        return _json({"type": "user", "name": account.name, "orgs": [{"name": "an-org"}]})

    def _create(self, account: Account, wanted: dict[str, Any]) -> Answer:
        name = f"{wanted.get('organization') or account.name}/{wanted['name']}"
        if not name.startswith(f"{account.name}/"):  # a member of the group who may only read
            return 403, b"{}", {}
        if f"models/{name}" in self.repositories:
            return 409, b"{}", {}
        if wanted["visibility"] == "private":
            self.private.add(name)
        self.repositories[f"models/{name}"] = {".gitattributes": b"*.safetensors filter=lfs"}
        self.commits[name] = []
        return _json({"url": f"{self.url}/{name}"})

    def _preupload(self, name: str, body: bytes) -> Answer:
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(_LARGE) else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for file in json.loads(body)["files"]
        ]
        return _json({"files": files})

    def _batch(self, name: str, body: bytes) -> Answer:
        objects = []
        for file in json.loads(body)["objects"]:
            upload = {"href": f"{self.url}/lfs/{file['oid']}", "header": {}}
            known = file["oid"] in self.blobs
            objects.append({**file, **({} if known else {"actions": {"upload": upload}})})
        return _json({"transfer": "basic", "objects": objects})

    def _blob(self, oid: str, body: bytes) -> Answer:
        if hashlib.sha256(body).hexdigest() != oid:
            return 400, b"{}", {}
        self.blobs[oid] = body
        return 200, b"", {}

    def _commit(self, name: str, body: bytes) -> Answer:
        lines = [json.loads(line) for line in body.splitlines()]
        files, done = dict(self.repositories[f"models/{name}"]), []
        for line in lines:
            key, value = line["key"], line["value"]
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in self.blobs:
                    return 400, b"{}", {}
                files[value["path"]] = self.blobs[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
            if key != "header":
                done.append((key, value["path"]))
        self.repositories[f"models/{name}"] = files
        self.commits.setdefault(name, []).append(done)
        oid = f"{len(self.commits[name]):040x}"
        return _json({"commitUrl": f"{self.url}/{name}/commit/{oid}", "commitOid": oid})


def _validated(card: str) -> Answer:
    """Check front matter as the Hub does: three dashes, a mapping in YAML, three dashes."""
    found = re.match(r"---\n(.*?)\n---\n", card, flags=re.DOTALL)
    try:
        data = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        data = None
    if isinstance(data, dict):
        return _json({"errors": [], "warnings": []})
    return 400, b'{"errors": [{"message": "no metadata"}]}', {}


def _json(content: Any) -> Answer:
    return 200, json.dumps(content).encode(), {"Content-Type": "application/json"}
