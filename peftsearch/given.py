"""An architecture that is known already, carried to the model and the task of a run.

Place in the flow: in place of search and race, where the configuration names an ``architecture``;
its choices keep site, method, modules and size, and cost what they cost on this model.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from peftsearch.architecture import Architecture
from peftsearch.catalogue import method_facts
from peftsearch.errors import BudgetError, ConfigError
from peftsearch.race import Contestant, Standing
from peftsearch.strategies.base import Verdict
from peftsearch.workspace import Workspace

NAME = "given"


def choose(work: Workspace) -> Verdict:
    """Return the architecture of the file, as the only contestant of a race that nobody runs.

    Raises:
        ConfigError: The model lacks a site or module that it takes, or it takes nothing.
        BudgetError: It costs more here than the budget allows.
    """
    path = Path(work.config.architecture or "")
    found = carried(work, Architecture.load(path), str(path))
    if found.num_params > work.budget.limit:
        raise BudgetError(
            f"{path} has {found.num_params:,} parameters on {work.config.model}, and "
            f"{work.budget.requested} allows {work.budget.limit:,}.",
            f"Start again with --budget {found.num_params}.",
        )
    return Verdict([Standing(Contestant(NAME, NAME, found), {})])


def carried(work: Workspace, architecture: Architecture, where: str) -> Architecture:
    """Return an architecture with the costs, the model and the budget of a run.

    Raises:
        ConfigError: See :func:`choose`; every site that is missing is named.
    """
    sites, methods = {site.id: site for site in work.backbone.sites}, method_facts()
    choices, missing = [], []
    for choice in architecture.active:
        site = sites.get(choice.site)
        if choice.method not in methods:
            missing.append(f"{choice.site}: no method {choice.method}")
        elif site is None or not set(choice.modules) <= set(site.modules):
            lacking = "no such site" if site is None else f"no {', '.join(choice.modules)} there"
            missing.append(f"{choice.site}: {lacking}")
        else:
            cost = work.cost(site, choice.method, choice.modules, choice.size)
            choices.append(replace(choice, num_params=cost))
    if missing:
        lines = "\n".join(f"  {line}" for line in missing)
        message = f"{where} does not fit {work.config.model}:\n{lines}"
        raise ConfigError(message, "Take a model of the same shape, or search anew.")
    if not choices:
        raise ConfigError(f"{where} trains nothing.", "Give one with a choice at some site.")
    return work.architecture(tuple(choices))
