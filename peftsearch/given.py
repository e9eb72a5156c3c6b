"""An architecture that is known already, carried to the model and the task of a run.

Place in the flow: in place of search and race, where the configuration names an ``architecture``;
its choices keep site, method, modules and size, and cost what they cost on this model.
"""

from __future__ import annotations

from pathlib import Path

from peftsearch.architecture import Architecture
from peftsearch.carrying import carried
from peftsearch.errors import BudgetError
from peftsearch.race import Contestant, Standing
from peftsearch.strategies.base import Verdict
from peftsearch.workspace import Workspace

NAME = "given"


def choose(work: Workspace) -> Verdict:
    """Return the architecture of the file, as the only contestant of a race that nobody runs.

    Raises:
        ConfigError: The model lacks a site or module that it takes, or it takes nothing.
        BudgetError: It costs more here than the budget, or another limit, allows.
    """
    path = Path(work.config.architecture or "")
    choices = carried(Architecture.load(path), work.backbone.sites, work.cost, str(path))
    found = work.architecture(choices)
    if found.num_params > work.budget.limit:
        raise BudgetError(
            f"{path} has {found.num_params:,} parameters on {work.config.model}, and "
            f"{work.budget.requested} allows {work.budget.limit:,}.",
            f"Start again with --budget {found.num_params}.",
        )
    work.limits.require(found.active, str(path))
    return Verdict([Standing(Contestant(NAME, NAME, found), {})])
