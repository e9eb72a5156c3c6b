"""One trial, in a process of its own: ``python -m peftsearch.tune.child``.

Its memory is really freed, and whatever happens to it happens to it alone. Talks in lines of JSON:
is given its job, tells the score at every rung and waits for an answer, tells the result. When the
worker that began it has gone, it goes too, at once: its run directory can be taken up by another.

Place in the flow: worker -> **child** -> pipeline -> race, on a run without its test rows.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from filelock import FileLock

from peftsearch import config as configuration
from peftsearch.errors import ConfigError, PeftSearchError
from peftsearch.rundir.directory import LOCK

#: What is told before the last word: a request, and its answers.
GO, PRUNE = "go", "prune"
#: Exit code where the worker has gone.
ORPHANED = 9
#: Seconds to wait for a process that is just letting go of the run directory.
_LOCKED = 30
NAME = "found"
#: Errors that may not come again: memory is shared with other processes.
MEMORY = ("OutOfMemoryError", "MemoryError")


class Line:
    """The line to the worker.

    Args:
        heard: File descriptor of what it says.
        out: File descriptor of what it is told.
    """

    def __init__(self, heard: int, out: int) -> None:
        self._out = out
        self._heard: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._listen, args=(heard,), daemon=True).start()

    def _listen(self, heard: int) -> None:
        # Not through sys.stdin: a thread that waits in it would hold up the end of the process.
        text = b""
        while piece := os.read(heard, 65536):
            *lines, text = (text + piece).split(b"\n")
            for line in lines:
                self._heard.put(line)
        os._exit(ORPHANED)  # every file of the run is written atomically

    def hear(self) -> Any:
        """Wait for the next word."""
        return json.loads(self._heard.get())

    def say(self, **words: Any) -> None:
        """Tell something."""
        os.write(self._out, (json.dumps(words) + "\n").encode())


class Pruned(Exception):
    """The study has seen enough of this trial."""


def main() -> int:
    """Run the trial that is asked for; return the exit code, as ``peftsearch run`` has them."""
    out = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no word of ours
    line = Line(0, out)
    job = line.hear()
    began = time.monotonic()
    try:
        result = run(job, line)
    except Pruned:
        line.say(pruned=True, seconds=time.monotonic() - began)
        return 0
    except Exception as error:
        traceback.print_exc()
        code, message = _explained(error)
        line.say(error=type(error).__name__, message=message, code=code)
        return code
    line.say(done=result, seconds=time.monotonic() - began)
    return 0


def _explained(error: Exception) -> tuple[int, str]:
    if isinstance(error, PeftSearchError):
        return error.exit_code, error.message
    said = " ".join(str(error).split())
    if type(error).__name__ in MEMORY:
        return 3, f"the memory is full: {said[:200]}"
    return 1, f"unexpected {type(error).__name__}: {said[:200]}"


def run(job: dict[str, Any], line: Line) -> dict[str, Any]:
    """Find an architecture, or take the uniform one, and score a short training of it.

    Args:
        job: ``config``, ``folder``, ``shares`` of a training at which to score, and ``baseline``.
        line: Told every score.

    Returns:
        ``score``, ``num_params``, ``scores`` by share and ``peak_bytes``.
    """
    from peftsearch import pipeline

    config = configuration.from_mapping(job["config"], "trial")
    folder, baseline = Path(job["folder"]), job["baseline"]
    stages = ("prepare",) if baseline else ("prepare", "search", "discretise")

    def judge(work: Any) -> dict[str, Any]:
        return _judged(work, baseline, job["shares"], line)

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK, timeout=_LOCKED):
        pass  # whoever had it before has ended
    return pipeline.run_blind(config, folder, stages, judge)


def _judged(work: Any, baseline: str, shares: list[float], line: Line) -> dict[str, Any]:
    """Train from scratch up to each rung, with a seed that no race has seen."""
    from peftsearch import baselines
    from peftsearch.errors import BudgetError, DivergedError
    from peftsearch.race import Contestant, RealTrials
    from peftsearch.session import peak_bytes
    from peftsearch.stages import found_architecture

    if baseline:
        facts, limit = work.backbone.sites, work.budget.limit
        named = baselines.uniform_baselines(facts, work.cost, limit)
        if baseline not in named:
            raise BudgetError(f"{baseline} does not fit {limit:,} parameters.")
        architecture = work.architecture(named[baseline])
    else:
        architecture = found_architecture(work)
    trials = RealTrials(work, purpose="tune")
    entry, scores = Contestant(NAME, NAME, architecture), {}
    for rung, share in enumerate(shares):
        score = trials.score(entry, share)
        if score is None:
            record = trials.records[NAME]
            raise DivergedError(record["diverged"], record["hint"])
        scores[f"{share:g}"] = score
        line.say(rung=rung, score=score)
        if line.hear() == PRUNE and rung + 1 < len(shares):
            raise Pruned
    return {
        "score": score,
        "num_params": architecture.num_params,
        "scores": scores,
        "peak_bytes": peak_bytes(work.session.device),
    }


if __name__ == "__main__":
    if len(sys.argv) > 1:
        raise SystemExit(ConfigError("A trial is begun by: peftsearch tune").message)
    sys.exit(main())
