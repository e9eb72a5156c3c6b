"""The whole path: prepare, search, discretise, retrain, baselines, export, report.

Reads top to bottom. Every stage writes its files before it is marked done, and a finished
stage is skipped when a run is resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from peftsearch import ranks
from peftsearch.budget import parse
from peftsearch.config import RunConfig
from peftsearch.environment import hardware, versions
from peftsearch.errors import ConfigError, PeftSearchError, StoppedError, paste
from peftsearch.garbage import frozen_heap
from peftsearch.interrupt import Interrupt
from peftsearch.planning import plan
from peftsearch.rundir import STAGES, Events, Listener, RunDir, write_json
from peftsearch.tracking import Tracking, require_trackers

__all__ = ["Summary", "plan", "run", "run_blind", "run_stage"]
#: Stages of the leading process alone: the others have nothing to compute there, and end.
_ALONE = ("export", "report")

Verdict = TypeVar("Verdict")


@dataclass(frozen=True)
class Summary:
    """The result of a run.

    Attributes:
        run_dir: Where everything lies.
        summary: The content of ``summary.json``; empty in all processes of a run but the first,
            which end before it is written.
    """

    run_dir: Path
    summary: dict[str, Any]


def run(
    config: RunConfig,
    *,
    out: Path | None = None,
    resume: Path | None = None,
    command: list[str] | None = None,
    listener: Listener | None = None,
    bring: Callable[[Path], None] | None = None,
) -> Summary:
    """Run the whole path, or what is left of it.

    Args:
        config: The resolved configuration; on resume it must agree with the stored one.
        out: A new or empty directory; by default a dated one under ``runs/``.
        resume: Directory of a run to go on with.
        command: Command line, for the manifest.
        listener: Called with every event.
        bring: Writes what was given as objects into a new run directory.

    Raises:
        PeftSearchError: See :mod:`peftsearch.errors`.
    """
    parse(config.budget)
    require_trackers(config.track)
    ranks.join()
    with RunDir.shared(
        lambda: RunDir.open_existing(resume) if resume else RunDir.create(config, out)
    ) as directory:
        runner = _Runner(directory, config, listener)
        if not resume:
            runner.manifest.update(command=command or [])
        with runner, Interrupt(config.max_seconds, config.grace_seconds) as interrupt:
            try:
                if bring is not None:
                    bring(directory.path)
                runner.stage("prepare", interrupt)
            except PeftSearchError as error:
                # Nothing in it is worth going on with, unless the user means to.
                if not resume and not isinstance(error, StoppedError):
                    directory.discard()
                raise
            for stage in STAGES[1:]:
                runner.stage(stage, interrupt)
        summary = directory.read_json("summary.json") if ranks.leads() else {}
        return Summary(directory.path, summary)


def run_blind(
    config: RunConfig,
    run_dir: Path,
    stages: Sequence[str],
    judge: Callable[[Any], Verdict],
    *,
    listener: Listener | None = None,
) -> Verdict:
    """Run the first stages of a run without its test rows, or what is left of them, and judge.

    Args:
        config: The resolved configuration.
        run_dir: Where the run lies, or is to lie.
        stages: Which.
        judge: Called with the workspace when they are done.
        listener: Called with every event.

    Returns:
        What the judge returns.
    """
    there = (run_dir / "config.yaml").is_file()
    directory = RunDir.open_existing(run_dir) if there else RunDir.create(config, run_dir)
    with (
        directory,
        _Runner(directory, config, listener, blind=True) as runner,
        Interrupt() as interrupt,
    ):
        for stage in stages:
            runner.stage(stage, interrupt)
        return judge(runner.work(interrupt))


def run_stage(
    name: str,
    run_dir: Path,
    *,
    listener: Listener | None = None,
    to: str | None = None,
    out: Path | None = None,
    python: Path | None = None,
    load_from: Path | None = None,
    formats: Collection[str] | None = None,
) -> None:
    """Run one stage on a run directory, again if it is done already.

    Args:
        name: Name of the stage.
        run_dir: The run.
        listener: Called with every event.
        to: For ``export``: the target.
        out: For ``export``: where to write instead of ``export/<target>``.
        python: For ``export``: interpreter in which the target can be imported.
        load_from: For ``export``: folder that the lines in ``check.json`` load.
        formats: For ``report``: what to write; by default everything.

    Raises:
        ConfigError: An earlier stage is missing.
    """
    if name == "report":
        # From the files alone and beside a run that is still going: no lock, no manifest.
        _write_report(RunDir.open_existing(run_dir, lock=False), formats)
        return
    if name != "export":  # one process writes exports, as many as a launcher may have started
        ranks.join()
    with (
        RunDir.shared(lambda: RunDir.open_existing(run_dir)) as directory,
        _Runner(directory, directory.config(), listener) as runner,
        Interrupt(grace_seconds=runner.config.grace_seconds) as interrupt,
    ):
        needed = STAGES[: STAGES.index(name)] if name != "export" else ("prepare",)
        runner.stage("prepare", interrupt)
        for stage in needed[1:]:
            if stage != "baselines" and not runner.manifest.is_done(stage):
                hint = paste("peftsearch", stage, run_dir)
                raise ConfigError(f"{name} needs the stage {stage}, which is not done.", hint)
        if name == "export" and to:
            place = out or directory.file("export", to)
            runner.export(interrupt, to, place, python=python, load_from=load_from)
        else:
            runner.stage(name, interrupt, again=True)


class _Runner:
    """Runs stages on one directory and keeps the manifest."""

    def __init__(
        self,
        directory: RunDir,
        config: RunConfig,
        listener: Listener | None,
        *,
        blind: bool = False,
    ) -> None:
        self.directory, self.config, self.blind = directory, config, blind
        self.manifest = directory.manifest()
        self.events = Events(directory.path, listener if ranks.leads() else None)
        self._work: Any = None
        self._tracking: Tracking | None = None
        ranks.wait()  # until everyone has read the manifest, nobody goes on to change it

    def __enter__(self) -> _Runner:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the event log, and what follows it."""
        self.events.close()
        if self._tracking is not None:
            self._tracking.close()
        if error[0] in (None, StoppedError):  # else others may be waiting where nobody comes
            ranks.leave()

    def work(self, interrupt: Interrupt) -> Any:
        """Return the workspace; torch is imported here and not before."""
        if self._work is None:
            from peftsearch.session import Session
            from peftsearch.workspace import Workspace

            session = Session(self.config, self.directory, self.events, interrupt)
            if self.config.track and ranks.leads():
                tell = partial(self._note, "track")
                self._tracking = Tracking(session.accelerator, self.config, self.directory, tell)
                self.events.tell(self._tracking)
            self._work = Workspace(session)
            if self.blind:
                self._work.forget_test()
            self._check_data()
        return self._work

    def _check_data(self) -> None:
        """Note the data on the first time, and refuse other data later."""
        work = self._work
        known = self.manifest.data["data"]
        if known and known["fingerprint"] != work.data.fingerprint:
            raise ConfigError(
                "The data have changed since this run began.", "Start another run with --out DIR."
            )
        if not known:
            rows = {
                name: len(getattr(work.splits, name))
                for name in ("search_train", "search_valid", "selection", "test")
            }
            self.manifest.update(
                versions=versions(),
                hardware=hardware(),
                data={
                    "fingerprint": work.data.fingerprint,
                    "rows": rows,
                    "test_split": work.data.test_name,
                    **({"counts": counts.to_json()} if (counts := work.data.counts) else {}),
                },
                seeds={
                    "root": self.config.seed,
                    "search": list(range(self.config.search.seeds)),
                    "retrain": list(range(self.config.seeds)),
                },
            )

    def _note(self, stage: str, text: str) -> None:
        self.events.emit(stage, "note", text=text)

    def whole(self, interrupt: Interrupt) -> Any:
        """Return the workspace for exports: a backbone that was in shards stays in the memory."""
        work = self.work(interrupt)
        return replace(work, on_device=False) if self.config.shard else work

    def stage(self, name: str, interrupt: Interrupt, *, again: bool = False) -> None:
        """Run a stage unless it is done."""
        if name in _ALONE:
            if ranks.size() > 1:
                self.work(interrupt)  # Accelerate connects processes, so while they are all there
            ranks.part()
            if not ranks.leads():
                return
        if self.manifest.is_done(name) and not again:
            self.events.emit(name, "skip")
            return
        before = self.manifest.start(name)
        self.events.emit(name, "start")
        try:
            steps, peak = self._report() if name == "report" else self._compute(name, interrupt)
        except BaseException:
            if before["status"] == "done":
                self.manifest.restore(name, before)
            else:
                self.manifest.tick(name)  # the time spent counts, also when it is resumed
            raise
        self.manifest.finish(name, steps, peak)
        self.events.emit(name, "finish")
        interrupt.check(f"the end of {name}")

    def _compute(self, name: str, interrupt: Interrupt) -> tuple[int, int]:
        work = self.whole(interrupt) if name == "export" else self.work(interrupt)
        from peftsearch.session import forget_peak, peak_bytes
        from peftsearch.stages import COMPUTE

        device = work.session.device
        work.session.saved = lambda: self.manifest.tick(name)
        forget_peak(device)
        with frozen_heap():
            return COMPUTE[name](work), peak_bytes(device)

    def _report(self) -> tuple[int, int]:
        _write_report(self.directory)
        return 0, 0

    def export(self, interrupt: Interrupt, target: str, folder: Path, **options: Any) -> None:
        """Write one export."""
        work = self.whole(interrupt)
        from peftsearch.stages import export_to

        self.events.emit("export", "start")
        export_to(work, target, folder, **options)
        self.events.emit("export", "finish")


def _write_report(directory: RunDir, formats: Collection[str] | None = None) -> None:
    """Write the summary, once there is something to compare, and the report."""
    from peftsearch.report import write_report
    from peftsearch.summary import summarise

    if directory.manifest().is_done("baselines"):
        write_json(directory.file("summary.json"), summarise(directory.path))
    write_report(directory.path, **({} if formats is None else {"formats": formats}))
