"""``plan --devices --trials``: what many trials would take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from peftsearch.cli import options as o
from peftsearch.cli.given import Given
from peftsearch.cli.rendering import labelled, size
from peftsearch.config import RunConfig
from peftsearch.errors import ConfigError

_SCALE = "Many trials"
Trials = Annotated[
    int | None,
    o.option("--trials", min=1, panel=_SCALE, text="Predict what so many trials take."),
]
MeasuredIn = Annotated[
    Path | None,
    o.option(
        "--measured",
        panel=_SCALE,
        metavar="DIR",
        text="Folder of a finished run, sweep or study: what one trial takes.",
    ),
]
Measure = Annotated[
    bool, o.option("--measure", panel=_SCALE, text="Time a few real steps instead.")
]
SCALE_OPTIONS: dict[str, tuple[Any, Any]] = {
    "trials": (Trials, None),
    "measured": (MeasuredIn, None),
    "measure": (Measure, False),
}


@dataclass(frozen=True)
class Scale:
    """What was asked about many trials.

    Attributes:
        devices: Devices that work at once.
        trials: Trials in all.
        measured: Where single trials were measured.
        measure: Whether to time steps now.
    """

    devices: int
    trials: int
    measured: Path | None
    measure: bool


def scale_of(
    given: Given, *, trials: int | None, measured: Path | None, measure: bool
) -> tuple[Given, Scale | None]:
    """Return what is left for the plan of one run, and what was asked about many.

    Raises:
        ConfigError: What was asked does not go together.
    """
    if trials is None and measured is None and not measure:
        return given, None
    if measured is not None and measure:
        message = f"--measured {measured} and --measure cannot be given together."
        raise ConfigError(message, "Leave out one of them.")
    # Of many trials each runs on one device, whatever the key says for a single run.
    devices = given.flags.get("devices") or 1
    flags = {key: value for key, value in given.flags.items() if key != "devices"}
    return replace(given, flags=flags), Scale(devices, trials or 1, measured, measure)


def scaled(scale: Scale, config: RunConfig, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the prediction, or what was asked where nothing has been measured."""
    from peftsearch.scaling import predict, read_measured

    if scale.measured is not None:
        return predict(read_measured(scale.measured), scale.devices, scale.trials)
    if scale.measure:
        from peftsearch.scaling.timing import time_steps

        ends = sum(s["trainings"] for s in plan["stages"] if s["name"] in ("retrain", "baselines"))
        timed = time_steps(config, plan["single_trainings"], ends)
        return predict(timed, scale.devices, scale.trials)
    return {"format": 1, "devices": scale.devices, "trials": scale.trials, "measured": None}


def without_scale(words: Sequence[str]) -> list[str]:
    """Return the words of a command line without what asks about many trials."""
    left: list[str] = []
    skip = False
    for word in words:
        name, equals, _ = word.partition("=")
        if skip:
            skip = False
        elif name in ("--devices", "--trials", "--measured"):
            skip = not equals
        elif word != "--measure":
            left.append(word)
    return left


def scale_lines(scale: Mapping[str, Any] | None, command: str) -> list[str]:
    """Return the prediction, or the command that makes one possible."""
    if scale is None:
        return []
    head = f"{scale['trials']:,} trials on {scale['devices']:,} devices"
    if scale["measured"] is None:
        return [
            labelled("scale", f"{head}: the time is not known before one has been measured"),
            labelled("", f"time a few steps now: {command} --measure"),
            labelled("", f"or, better, after a run: {command} --measured RUN"),
        ]
    return [
        labelled("scale", f"{head}, {scale['workers']:,} at once"),
        *(labelled("", line) for line in _figures(scale)),
    ]


def _figures(scale: Mapping[str, Any]) -> list[str]:
    one = scale["measured"]
    spread = "" if one["seconds_sd"] is None else f", sd {one['seconds_sd']:.3g}"
    start = "" if one["process_start_included"] else ", without the start of a process"
    low, high = scale["wall_seconds_at_least"], scale["wall_seconds_at_most"]
    disk = scale["disk_bytes"]
    traffic = [
        f"{kind} {size(each['written_bytes'])} written, {size(each['read_bytes'])} read, "
        f"{each['writes_per_second']:.3g} writes/s"
        for kind, each in scale["storage"].items()
    ]
    return [
        f"one trial {one['seconds']:,.3g} s (n = {one['n']}{spread}) in {one['source']}{start}",
        f"wall time {duration(scale['wall_seconds'])} ({duration(low)} to {duration(high)})",
        f"{scale['device_hours']:,.2f} device hours",
        "disk " + ("not known" if disk is None else size(disk)),
        *(f"storage {line}" for line in traffic),
    ]


def duration(seconds: float) -> str:
    """Return seconds for humans, e.g. ``3 h 20 min``, ``95 s``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    return f"{hours:,} h {rest} min" if hours else f"{minutes} min"
