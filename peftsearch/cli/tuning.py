"""``tune``: Optuna over the settings of a search."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from peftsearch.cli.given import Given, with_options
from peftsearch.cli.session import Session, session
from peftsearch.cli.tune_lines import tune_lines
from peftsearch.cli.tune_options import OPTIONS
from peftsearch.config import RunConfig
from peftsearch.config.values import require_known
from peftsearch.errors import ConfigError, StoppedError, paste

#: Options of a worker's command that are not passed on to another worker, and whether they have
#: a value.
_NOT_PASSED = {"--workers": True, "--storage": True, "--out": True}
_FLAGS = ("--print-worker-command", "--json", "--quiet")


def _tune(given: Given, **options: Any) -> None:
    """Find the settings that make the search good.

    Every trial is a short run in a process of its own: a search, a race, and a short training
    from scratch of what was found, whose score on the selection split is what counts; the test
    split is not looked at. The same command goes on where it stopped, and in another terminal
    it is one more worker. Writes best.yaml, trials.csv, tune.json and report/tune.html.
    """
    with session(quiet=given.quiet, as_json=given.as_json, debug=given.debug) as current:
        if given.resume is not None:
            raise ConfigError(
                "tune goes on by itself; --resume is for runs.", "Type the same command again."
            )
        settings = given.resolve(current.environ)
        options["seconds"] = settings.max_seconds  # of this worker, and of no trial
        settings = replace(settings, max_seconds=None)
        out = Path(settings.out or f"runs/{options['study']}")
        _check(options)
        from peftsearch.tune import storage as s

        url = s.normal(options["storage"] or f"sqlite:///{out / 'study.db'}")
        words = _without_secret(sys.argv[1:], options["storage"], url)
        current.again = _again(words, out, url)
        if options["print_worker_command"]:
            _print_command(current, words, out, url)
            return
        found = _tuned(current, settings, out, url, options, words)
        if found is None:
            return
        page = out / "report" / "tune.html"
        data = {"out": str(out), "report": str(page), **found}
        current.console.result(tune_lines(found, out, page), brief=str(out), data=data)


tune = with_options(_tune, more=OPTIONS)


def _check(options: Mapping[str, Any]) -> None:
    """Refuse names that are not known, and what does not go together."""
    wanted = options["objectives"].split(",")
    if wanted not in (["score"], ["score", "parameters"]):
        message = f'--objectives "{options["objectives"]}" is not known.'
        raise ConfigError(message, "Use score, or score,parameters.")
    from peftsearch.tune.samplers import PRUNERS, SAMPLERS, made

    require_known(options["sampler"], list(SAMPLERS), "--sampler")
    pruner = options["pruner"]
    if pruner is not None:
        require_known(pruner, list(PRUNERS), "--pruner")
    if len(wanted) > 1 and pruner not in (None, "none"):
        message = f"--pruner {pruner} cannot decide by two objectives."
        raise ConfigError(message, "Use --pruner none, or --objectives score.")
    if len(wanted) > 1 and options["sampler"] == "cmaes":
        raise ConfigError("--sampler cmaes has one objective.", "Use --sampler tpe or nsga2.")
    made(SAMPLERS[options["sampler"]], 0)  # says now if something is not installed


def _tuned(
    current: Session,
    settings: RunConfig,
    out: Path,
    url: str,
    options: Mapping[str, Any],
    words: Sequence[str],
) -> dict[str, Any] | None:
    """Work, alone or with others, and write what was found; a member writes nothing."""
    from peftsearch.tune import campaign

    plan = campaign.plan_of(settings, options)
    team = campaign.Team(
        out=out,
        url=url,
        module=options["trial_module"],
        lease=options["lease"],
        patience=options["patience"],
        attempts=options["attempts"],
        tell=current.console.note,
    )
    plans = [plan, *(campaign.baselines_of(plan) if options["tune_baselines"] else [])]
    current.console.note(f"Study {plan.name} in {out}: {plan.trials} trials")
    try:
        if options["workers"] == 1:
            desks = campaign.work(team, plans, options["seconds"])
            return None if options["member"] else campaign.finish(team, desks)
        current.console.note(
            f"{options['workers']} workers: which trial comes first is left to chance, so two "
            "such studies differ; --workers 1 repeats exactly."
        )
        own = _of_worker(words, out)
        return campaign.finish(team, campaign.lead(team, plans, own, options["workers"]))
    except StoppedError:
        if not any(out.rglob("trials.csv")):
            current.console.note("No trial has ended yet.")
        raise


def _without_secret(words: Sequence[str], typed: str | None, url: str) -> list[str]:
    """Return the command without the password of a storage, in this process for good.

    What is printed or logged later is taken from ``sys.argv``.
    """
    from peftsearch.tune.storage import hidden, secret

    if not typed or not secret(url):
        return list(words)
    clean = [word.replace(typed, hidden(typed)) for word in words]
    sys.argv[1:] = clean
    return clean


def _again(words: Sequence[str], out: Path, url: str) -> str:
    """Return the command that goes on: the same, and the folder."""
    from peftsearch.tune.storage import secret

    kept = _dropped(words, {"--storage": True} if secret(url) else {}, ())
    given = any(word == "--out" or word.startswith("--out=") for word in kept)
    command = paste("peftsearch", *kept, *([] if given else ["--out", out]))
    return f"{command}\n  with PEFTSEARCH_STORAGE set as before" if secret(url) else command


def _of_worker(words: Sequence[str], out: Path) -> list[str]:
    """Return the words of one worker of many; it finds the storage in its environment."""
    return [*_dropped(words, _NOT_PASSED, _FLAGS), "--out", str(out), "--member"]


def _print_command(current: Session, words: Sequence[str], out: Path, url: str) -> None:
    """Print the command of one more worker, anywhere where ``--out`` can be reached."""
    from peftsearch.tune.storage import hidden, secret

    kept = _dropped(words, _NOT_PASSED, _FLAGS)
    place = [] if secret(url) else ["--storage", url]
    command = paste("peftsearch", *kept, *place, "--out", os.path.abspath(out))
    if secret(url):
        current.console.note(
            f"The password is not in it. Before it, set PEFTSEARCH_STORAGE to {hidden(url)} with "
            "the password in place of ***."
        )
    data = {"command": command, "storage": hidden(url)}
    current.console.result([command], brief=command, data=data)


def _dropped(words: Sequence[str], valued: Mapping[str, bool], flags: Sequence[str]) -> list[str]:
    """Return a command without some options."""
    kept, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in valued:
            skip = True
        elif word.partition("=")[0] not in valued and word not in flags:
            kept.append(word)
    return kept
