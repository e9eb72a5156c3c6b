"""The registered names that a configuration may refer to, found without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """Known names, for "did you mean"; ``None`` leaves names of that kind unchecked.

    Attributes:
        tasks: Names of tasks.
        methods: Names of methods.
        spaces: Names of search spaces.
        exporters: Names of exporters.
        strategies: Names of search strategies.
    """

    tasks: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None
    spaces: tuple[str, ...] | None = None
    exporters: tuple[str, ...] | None = None
    strategies: tuple[str, ...] | None = None


#: For a configuration that was checked when it was written: a run can be looked at, and its
#: report rebuilt, where the plug-in that brought its task is not installed.
UNCHECKED = Names()


def known_names() -> Names:
    """Read the registries.

    They are imported here, not at the top: a registry of tasks may itself want the
    configuration's checks.
    """
    from peftsearch import catalogue, tasks

    return Names(
        tasks=(*tasks.all_tasks(), *tasks.KINDS),
        methods=tuple(catalogue.method_facts()),
        spaces=tuple(catalogue.spaces()),
        exporters=tuple(catalogue.exporters()),
        strategies=tuple(catalogue.strategies()),
    )
