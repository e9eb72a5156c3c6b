"""Watching the Hub's own HTTP client, so that its first failure ends the matter.

Place in the flow: below :mod:`peftsearch.hub.calls`. Only public parts of ``huggingface_hub`` are
used: its shared client is asked for, and its ``send`` is wrapped for as long as a call lasts, so
that proxies, certificates and hooks that the user has set stay in force.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import OfflineModeIsEnabled

PAUSE_SECONDS = 1.0
"""Wait before the one further try that a failed request gets."""
LONGEST_WAIT = 5.0
"""A Hub that asks to wait longer than this (seconds) counts as not available."""
MOST_DOWNLOADS = 2
"""Tries of one download that makes no progress."""
REGISTRY_PATH = "/api/agent-harnesses"
"""A question of the client's own whose failure it swallows; it must not cost time."""


class HubDown(OfflineModeIsEnabled):
    """The Hub failed before; the clients take this as offline mode and turn to their cache."""


@dataclass
class Watch:
    """What has been seen of the Hub during one call.

    Attributes:
        timeout: Longest wait for a connection or for the next bytes, in seconds.
        host: Host of the Hub; other hosts cannot mark it as down.
        transport_error: Base class of the network errors of the client's library.
        timeout_error: Base class of its time-outs.
        dead: Why the Hub counts as down, in words; empty while it works.
    """

    timeout: float
    host: str
    transport_error: type[Exception]
    timeout_error: type[Exception]
    dead: str = ""
    _downloads: Counter[tuple[str, str]] = field(default_factory=Counter)

    def send(self, original: Callable[..., Any], request: Any, **options: Any) -> Any:
        """Send one request, a question at most twice; after a failure of the Hub send none at all.

        Raises:
            HubDown: The Hub fails, or failed before.
        """
        if request.url.host != self.host:
            self._limit(request, self.timeout)
            return original(request, **options)
        if request.url.path.endswith(REGISTRY_PATH):
            self._limit(request, 1.0)
            return original(request, **options)
        self._count(request)
        question = request.method in ("GET", "HEAD")  # what changes something is sent once
        for last in (False, True) if question else (True,):
            if self.dead:
                raise HubDown(self.dead)
            pause = PAUSE_SECONDS
            cause: Exception | None = None
            self._limit(request, self.timeout)
            try:
                response = original(request, **options)
            except self.timeout_error as error:
                self.dead = f"{self.host} did not answer within {self.timeout:g} s"
                raise HubDown(self.dead) from error
            except self.transport_error as error:
                reason = f"{self.host} cannot be reached"
                cause = error
            else:
                status = response.status_code
                if status < 500 and status != 429:
                    return response
                pause = max(pause, _seconds(response.headers.get("Retry-After")))
                response.close()
                reason = f"{self.host} answered HTTP {status}"
            if last or pause > LONGEST_WAIT:
                self.dead = reason
                raise HubDown(self.dead) from cause
            time.sleep(pause)
        raise AssertionError("unreachable")

    def _limit(self, request: Any, seconds: float) -> None:
        limits = request.extensions.get("timeout") or {}
        request.extensions["timeout"] = {
            name: min(limits.get(name) or seconds, seconds)
            for name in ("connect", "read", "write", "pool")
        }

    def _count(self, request: Any) -> None:
        """Stop a download that starts again and again at the same place."""
        if request.method != "GET" or "/resolve/" not in request.url.path:
            return
        place = (str(request.url), request.headers.get("Range", ""))
        self._downloads[place] += 1
        if self._downloads[place] > MOST_DOWNLOADS and not self.dead:
            self.dead = f"{self.host} broke off or stalled a download twice"


def _seconds(header: str | None) -> float:
    try:
        return float(header or 0)
    except ValueError:  # a date: rare, and too far off to wait for
        return LONGEST_WAIT + 1


@contextmanager
def watched(timeout: float) -> Iterator[Watch]:
    """Watch the shared client of ``huggingface_hub``.

    Args:
        timeout: Longest wait for a connection or for the next bytes, in seconds.
    """
    client: Any = huggingface_hub.get_session()
    library = next(
        import_module(root)
        for root in (base.__module__.split(".")[0] for base in type(client).__mro__)
        if root.startswith("httpx")
    )
    host = urlsplit(constants.ENDPOINT).hostname or ""
    watch = Watch(timeout, host, library.TransportError, library.TimeoutException)
    original = client.send
    wrapped_before = "send" in vars(client)

    def send(request: Any, **options: Any) -> Any:
        return watch.send(original, request, **options)

    client.send = send
    try:
        with _quiet_bars():
            yield watch
    finally:
        if wrapped_before:
            client.send = original
        else:
            del client.send


@contextmanager
def _quiet_bars() -> Iterator[None]:
    """Switch the clients' progress bars off where stderr is no terminal."""
    utils: Any = import_module("huggingface_hub.utils")
    if sys.stderr.isatty() or utils.are_progress_bars_disabled():
        yield
        return
    utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.enable_progress_bars()
