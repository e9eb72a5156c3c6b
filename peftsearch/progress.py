"""Progress on stderr while a run goes on: a live block on a terminal, else a line now and then.

Place in the flow: listens to the same events that go into ``events.jsonl``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from peftsearch.console import Console

#: Seconds between two plain lines.
INTERVAL = 5.0
_WIDTH = 12


def count(number: float) -> str:
    """Return a count of parameters for humans: ``9,216``, ``231 k``, ``2.23 M``."""
    for size, unit in ((1e9, "G"), (1e6, "M")):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return f"{number / 1e3:.0f} k" if number >= 1e5 else f"{number:,.0f}"


def duration(seconds: float) -> str:
    """Return a duration for humans: ``12 s``, ``6 min``, ``2 h 05 min``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def details(event: dict[str, Any]) -> str:
    """Return the figures of a step event, e.g. ``valid loss 0.41  expected 2.31 M / 2.23 M``."""
    parts = []
    if event.get("valid_loss") is not None:
        parts.append(f"valid loss {event['valid_loss']:.3f}")
    elif event.get("train_loss") is not None:
        parts.append(f"train loss {event['train_loss']:.3f}")
    elif event.get("loss") is not None:
        parts.append(f"loss {event['loss']:.3f}")
    if event.get("expected_cost") is not None:
        parts.append(f"expected {count(event['expected_cost'])} / {count(event['limit'])}")
    if event.get("entropy") is not None:
        parts.append(f"entropy {event['entropy']:.2f}")
    if event.get("temperature") is not None:
        parts.append(f"temperature {event['temperature']:.2f}")
    return "  ".join(parts)


class Progress:
    """Shows stages and steps; call it with every event. Does nothing with ``--quiet``.

    Events: ``start``, ``finish`` and ``skip`` of a stage, any event with ``step`` and
    ``steps``, and any other event with a ``text``.

    Args:
        console: Where to write.
        clock: Seconds that only grow.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._ended: list[str] = []
        self._started: dict[str, float] = {}
        self._loop: tuple[str, str] = ("", "")
        self._first: tuple[int, float] = (0, 0.0)
        self._told = -INTERVAL
        self._live: Live | None = None
        self._bars = Bars(
            TextColumn(f"  {{task.description:<{_WIDTH}}}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}  {task.fields[left]}"),
            console=console.rich,
        )
        self._bar: TaskID | None = None
        self._figures = ""

    def __enter__(self) -> Progress:
        """Open the live block, on a terminal."""
        if not (self._console.plain or self._console.quiet or self._console.muted):
            self._live = Live(self._block(), console=self._console.rich, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Close the live block."""
        if self._live is not None:
            self._drop_bar()
            self._live.update(self._block())
            self._live.stop()
            self._live = None

    def __call__(self, event: dict[str, Any]) -> None:
        """Take one event."""
        if self._console.quiet:
            return
        kind, stage = event["event"], event["stage"]
        if "step" in event and "steps" in event:
            self._step(event)
        elif kind == "start":
            self._started[stage] = self._clock()
            self._line(f"{stage}: started")
        elif kind in ("finish", "skip"):
            self._end(stage, kind)
        elif event.get("text"):
            self._console.note(f"{stage}: {event['text']}")

    def _step(self, event: dict[str, Any]) -> None:
        loop, now = (event["stage"], str(event.get("name", ""))), self._clock()
        if loop != self._loop:
            self._loop, self._first = loop, (event["step"], now)
            self._drop_bar()
        title = loop[1] or loop[0]
        figures, left = details(event), self._left(event, now)
        if self._live is None:
            last = event["step"] >= event["steps"]
            if last or now - self._told >= INTERVAL:
                self._told = now
                stage = f"{loop[0]} {loop[1]}".strip()
                done = f"{event['step']:,}/{event['steps']:,}"
                self._line("  ".join(part for part in (stage, done, figures, left) if part))
            return
        if self._bar is None:
            self._bar = self._bars.add_task(title, total=event["steps"], left="")
        self._bars.update(self._bar, completed=event["step"], left=left)
        self._figures = figures
        self._live.update(self._block())

    def _left(self, event: dict[str, Any], now: float) -> str:
        step, begun = self._first
        done, remaining = event["step"] - step, event["steps"] - event["step"]
        if done <= 0 or remaining <= 0:
            return ""
        return f"{duration((now - begun) / done * remaining)} left"

    def _end(self, stage: str, kind: str) -> None:
        now = self._clock()
        self._drop_bar()
        self._loop = ("", "")
        self._ended.append(stage)
        if kind == "skip":
            self._line(f"{stage}: already done, skipped")
        else:
            self._line(f"{stage}: done in {duration(now - self._started.get(stage, now))}")
        if self._live is not None:
            self._live.update(self._block())

    def _drop_bar(self) -> None:
        if self._bar is not None:
            self._bars.remove_task(self._bar)
            self._bar = None
            self._figures = ""

    def _line(self, text: str) -> None:
        """Tell a line where there is no live block; the block shows the same by itself."""
        if self._live is None:
            self._console.note(text)

    def _block(self) -> Group:
        ticks = Text("  ".join(f"✓ {stage}" for stage in self._ended), style="green")
        figures = [Text(f"  {self._figures}")] if self._figures else []
        return Group(ticks, self._bars, *figures)
