"""The process of a trial, as the worker sees it."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

#: Seconds that a trial has for saving itself; batch systems give 30 in all.
GRACE = 20.0


class TrialProcess:
    """A running trial.

    Args:
        module: The module that is run.
        job: What it is given.
        log: File to which its standard error is added.
    """

    def __init__(self, module: str, job: dict[str, Any], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as errors:
            # A session of its own: a Ctrl-C of the terminal goes to the worker, which passes it on.
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.tell(job)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with suppress(ValueError):  # half a line of one that was killed
                    self._said.put(json.loads(line))
        self._said.put(None)

    def tell(self, words: Any) -> None:
        """Tell the trial something."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended; its last words say why
            self._process.stdin.write((json.dumps(words) + "\n").encode())
            self._process.stdin.flush()

    def hear(self, timeout: float) -> dict[str, Any] | None:
        """Return its next words; ``None`` at the end.

        Raises:
            TimeoutError: It has said nothing.
        """
        try:
            return self._said.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None

    def code(self) -> int:
        """Wait for its end; return the exit code, negative for a signal."""
        self._close()
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(GRACE)
        self.kill()
        return self._process.wait()

    def stop(self) -> None:
        """Ask it to save and end; end it if it does not."""
        self._send(signal.SIGTERM)
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close()

    def kill(self) -> None:
        """End it, and what it has begun, at once."""
        self._send(signal.SIGKILL)
        self._process.wait()
        self._close()

    def _send(self, number: int) -> None:
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _close(self) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
