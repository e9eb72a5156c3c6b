"""A trial that trains nothing: a closed form of its settings, told at every rung.

STUB_SLEEP seconds pass before each rung; STUB_LOG is a file that gets a line for every begin and
end; STUB_FAIL names what befalls trials: ``number:kind`` by commas.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from queue import Queue
from typing import Any


class Line:
    """The line to the worker; without an import of the package, which costs most of a second."""

    def __init__(self) -> None:
        self._heard: Queue[bytes] = Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        text = b""
        while piece := os.read(0, 65536):
            *lines, text = (text + piece).split(b"\n")
            for line in lines:
                self._heard.put(line)
        os._exit(9)

    def hear(self) -> Any:
        return json.loads(self._heard.get())

    def say(self, **words: Any) -> None:
        os.write(1, (json.dumps(words) + "\n").encode())


def value(config: dict[str, Any]) -> float:
    """A smooth function of two settings, best at arch_lr = 0.1 and weight_decay = 0.03."""
    first = abs(config["search"]["arch_lr"] - 0.1)
    second = abs(config["retrain"]["weight_decay"] - 0.03)
    return round(1.0 - first - 5 * second, 9)


def note(job: dict[str, Any], word: str) -> None:
    if "STUB_LOG" in os.environ:
        line = f"{word} {Path(job['folder']).parent.parent.name} {job['number']} {os.getpid()}\n"
        with open(os.environ["STUB_LOG"], "a") as file:
            file.write(line)


def fate(number: int) -> str:
    for entry in filter(None, os.environ.get("STUB_FAIL", "").split(",")):
        which, _, kind = entry.partition(":")
        if int(which) == number:
            return kind
    return ""


def main() -> int:
    line = Line()
    job = line.hear()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    folder = Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    note(job, "begin")
    kind = fate(job["number"])
    if kind == "oom":
        line.say(error="OutOfMemoryError", message="the memory is full", code=3)
        return 3
    if kind == "diverge":
        line.say(error="DivergedError", message="found diverged at step 3.", code=5)
        return 5
    if kind == "missing":
        line.say(error="MissingError", message='the Hub has no such model: "x"', code=3)
        return 3
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    best = value(job["config"])
    for rung, share in enumerate(job["shares"]):
        time.sleep(float(os.environ.get("STUB_SLEEP", "0")))
        line.say(rung=rung, score=best * share)
        if line.hear() == "prune" and rung + 1 < len(job["shares"]):
            note(job, "prune")
            line.say(pruned=True, seconds=0.5)
            return 0
    note(job, "end")
    params = 1000 + int(1000 * job["config"]["search"]["arch_lr"])
    scores = {f"{share:g}": best * share for share in job["shares"]}
    done = {"score": best * job["shares"][-1], "num_params": params, "scores": scores}
    line.say(done={**done, "peak_bytes": 1}, seconds=0.5)
    return 0


if __name__ == "__main__":
    sys.exit(main())
