"""Every key of the configuration, with its type, range and built-in value.

The dataclasses are the only list of keys: checks, environment variables and ``config.yaml``
are derived from them. The built-in values are those of the preset ``quick``.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import lru_cache
from typing import Any

from peftsearch.tasks.base import FORMATS

BILEVEL = ("first", "second", "single")
PRECISIONS = ("fp32", "bf16")
#: Storage of the frozen linear maps, beside as they are.
LOAD_IN = ("8bit", "4bit")
TRACKERS = ("tensorboard", "wandb", "mlflow")
PRESETS = ("quick", "standard", "thorough")


def _range(
    default: Any, low: float, high: float | None = None, *, above: bool = False, below: bool = False
) -> Any:
    """Declare a number with its range; ``above`` and ``below`` leave the ends out."""
    bounds = {"low": low, "high": high, "above": above, "below": below}
    return field(default=default, metadata=bounds)


def _choice(default: str, choices: tuple[str, ...]) -> Any:
    return field(default=default, metadata={"choices": choices})


@dataclass(frozen=True)
class SearchConfig:
    """How the supernet is trained.

    Attributes:
        seeds: Searches, each with a supernet and measurements of its own, >= 1. They are read
            together, and how far they agree is reported; each costs the same. More than one for
            the strategy ``priced`` only.
        warm_start: A run directory or an ``architecture.json`` from which gates begin, and by
            which values are held likely before anything is measured; ``priced`` only.
        warm_strength: How much that counts, >= 0; 1: as much as first-order importance.
        budgets: Further budgets that the supernet is to serve: each step samples architectures of
            one of them; see ``--budget A,B``.
        shared: A run directory whose search is taken instead of making one; its space too.
        steps: Optimiser steps of a search, >= 1, warm-up included.
        warmup_fraction: Share of the steps in which the gates stay uniform, in [0, 1).
        batch_size: Rows a step, >= 1.
        arch_lr: Learning rate of the gates, > 0.
        temperature_start: Temperature of the gates after the warm-up, > 0.
        temperature_end: Temperature at the last step, > 0, at most ``temperature_start``.
        exploration_end: Share of uniform sampling left at the last step, in [0, 1].
        bilevel: ``first``, ``second`` (DARTS finite differences) or ``single`` (control).
        gate_every: Steps of the weights for one of the gates, >= 1.
        architectures_per_batch: Architectures sampled for each batch, >= 1.
        probed_fraction: Share of the candidates that were not sampled whose gradients a step of
            the gates takes besides, in (0, 1]; less is faster and noisier.
        measured: In-budget architectures scored with the supernet's weights, >= 1.
        valid_rows: Rows of search-valid used for those scores, >= 1.
        stable_checks: Stop early once so many checks (of 20 in a search) have found the same
            architecture most probable, >= 0; 0: never.
        log_every: Steps between two logged steps, >= 1.
        checkpoint_every: Steps between two checkpoints, >= 1.
    """

    seeds: int = _range(1, 1)
    warm_start: str | None = None
    warm_strength: float = _range(1.0, 0)
    budgets: tuple[str, ...] = ()
    shared: str | None = None
    steps: int = _range(160, 1)
    warmup_fraction: float = _range(0.3, 0, 1, below=True)
    batch_size: int = _range(32, 1)
    arch_lr: float = _range(0.1, 0, above=True)
    temperature_start: float = _range(5.0, 0, above=True)
    temperature_end: float = _range(0.5, 0, above=True)
    exploration_end: float = _range(0.05, 0, 1)
    bilevel: str = _choice("first", BILEVEL)
    gate_every: int = _range(5, 1)
    architectures_per_batch: int = _range(4, 1)
    probed_fraction: float = _range(0.25, 0, 1, above=True)
    measured: int = _range(32, 1)
    valid_rows: int = _range(64, 1)
    stable_checks: int = _range(5, 0)
    log_every: int = _range(10, 1)
    checkpoint_every: int = _range(50, 1)


@dataclass(frozen=True)
class RaceConfig:
    """The real trainings that decide, by successive halving.

    Attributes:
        first_rung: Share of a single training to which every contestant trains, in (0, 1].
        last_rung: Share to which the last ones train, in (0, 1], at least ``first_rung``; the
            rungs between double.
        besides: Share of the contestants that are uniform architectures at most, in [0, 1): LoRA,
            and those that the values like; ``priced`` only.
    """

    first_rung: float = _range(0.125, 0, 1, above=True)
    last_rung: float = _range(0.5, 0, 1, above=True)
    besides: float = _range(0.5, 0, 1, below=True)


@dataclass(frozen=True)
class RetrainConfig:
    """The training from scratch of the found architecture and of every baseline.

    Attributes:
        steps: Optimiser steps, >= 1.
        batch_size: Rows a step, >= 1.
        warmup_fraction: Share of the steps with a rising learning rate, in [0, 1).
        weight_decay: Decoupled weight decay, >= 0.
        head_lr: Learning rate of the task head, > 0.
        checkpoint_every: Steps between two checkpoints, >= 1.
        random_baselines: Random architectures that fill the budget, >= 0.
        baselines: Files of further architectures to compare with, within the budget; see
            ``peftsearch import``.
    """

    steps: int = _range(160, 1)
    batch_size: int = _range(32, 1)
    warmup_fraction: float = _range(0.06, 0, 1, below=True)
    weight_decay: float = _range(0.0, 0)
    head_lr: float = _range(1e-3, 0, above=True)
    checkpoint_every: int = _range(100, 1)
    random_baselines: int = _range(1, 0)
    baselines: tuple[str, ...] = ()


@dataclass(frozen=True)
class FreezeConfig:
    """What is decided before the search.

    Attributes:
        choices: An ``architecture.json`` of which a part is kept as it is; its parameters count.
        sites: Patterns of site ids, e.g. ``encoder.*``, that are kept, also where the file leaves
            them empty; none: every site at which the file inserts something.
    """

    choices: str | None = None
    sites: tuple[str, ...] = ()


@dataclass(frozen=True)
class LimitsConfig:
    """What is limited beside the parameters; see docs/budgets.md. Absent: no such limit.

    Attributes:
        bytes: Most bytes of ``adapter.safetensors``, e.g. ``200k``, ``2MB``, ``1.5MiB``.
        modules_per_layer: Most insertions in one layer of the backbone, >= 1.
        train_flops: Most FLOPs of one training: a number, or a share of what LoRA at every site
            costs, e.g. ``80%``.
        latency: Most that a forward pass may take longer than that of the frozen model, on this
            machine, e.g. ``5%``.
        mergeable_only: Whether to search only for what can be merged into the backbone's weights.
    """

    bytes: str | None = None
    modules_per_layer: int | None = _range(None, 1)
    train_flops: str | None = None
    latency: str | None = None
    mergeable_only: bool = False


@dataclass(frozen=True)
class ExportConfig:
    """What is written for other trainers at the end of a run.

    Attributes:
        targets: Names of exporters, see ``peftsearch list exporters``.
    """

    targets: tuple[str, ...] = ("native", "peft")


@dataclass(frozen=True)
class DatasetConfig:
    """What a data set does not say about itself; for ``hf:owner/name`` and kinds of tasks only.

    Attributes:
        text_columns: Columns with the texts; absent: what has one meaning.
        label_column: Column with what is right; absent: likewise.
        kind: ``classification``, ``regression``, ``generation``, ``tagging`` or ``extraction``;
            absent: by the type of the label column.
        train_split: Split to train on; absent: ``train``.
        test_split: Split to test on; absent: ``validation``, else ``test``.
        language: What is spoken, e.g. ``en``, for speech recognition; absent: what the model knows.
    """

    text_columns: tuple[str, ...] = ()
    label_column: str | None = None
    kind: str | None = None
    train_split: str | None = None
    test_split: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides what a run does.

    Attributes:
        model: Built-in model, Hub id, or folder.
        backbone: YAML file that says where the parts of the model stand, for models of a type that
            is not known; absent: the model's family, or an inspection of the model.
        task: Name of a task, a task YAML file, ``hf:owner/name[:config]``, or a kind of task
            where ``data`` is given.
        format: How the task meets the model: ``text`` writes the answer, ``head`` reads a label
            from a new head, ``auto`` takes what is usual for the model and the kind of task.
        data: Folder with ``train`` and ``validation`` files that replace the task's own rows.
        budget: As typed, e.g. ``1%``, ``1e-3``, ``100k``, ``102458``; several with commas.
        space: Name of a search space, or a space YAML file.
        exportable_to: Names of exporters, each of which can hold whatever is found: candidates
            that one of them cannot hold are left out of the space.
        strategy: How the architecture is found, see ``peftsearch list strategies``.
        architecture: An ``architecture.json`` that is trained instead of searching for one; model,
            task and budget are its own where they are not given.
        trainings: What search and race may cost, in single trainings, > 0; the race gets what
            the search leaves.
        preset: ``quick``, ``standard`` or ``thorough``.
        seed: Root of all randomness, >= 0.
        seeds: Retraining seeds, >= 1.
        out: Run directory; absent: a dated one under ``runs/``.
        precision: ``fp32`` or ``bf16``.
        load_in: ``8bit`` or ``4bit``: how the frozen linear maps are kept, see docs/memory.md;
            absent: in the precision.
        gradient_checkpointing: Whether a layer's activations are computed again in the backward
            pass instead of being kept.
        group_by_length: Whether texts of like length share a batch: less padding, so faster where
            lengths differ; the order of the rows is another.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        devices: Devices of this machine on which each batch is computed together, >= 1.
        shard: Whether the frozen layers are cut over the devices, for a backbone that does not fit
            one of them.
        max_seconds: Save and stop after this time, as after SIGTERM, > 0; absent: never.
        grace_seconds: Leave at the latest so long after SIGTERM, >= 0.
        track: Where figures are followed besides: ``tensorboard``, ``wandb``, ``mlflow``.
        train_rows: Train on this many rows drawn at random, >= 1; absent: on all.
        test_rows: Test on this many rows drawn at random, >= 1; absent: on all.
        selection_share: Share of the training rows on which the race is scored, in (0, 0.5].
        accumulation: Parts a batch is cut into, to save memory, >= 1; the gradients are those of
            the whole batch. Where memory runs out, more parts are made by themselves.
        freeze: What an earlier architecture decides, so that the search does not.
        dropout: Dropout of the backbone in every training, in [0, 1); absent: the model's own.
        limits: What is limited beside the parameters.
        search: Training of the supernet.
        race: The short trainings that decide.
        retrain: Training of the found architecture and the baselines.
        learning_rates: Learning rate by method, each > 0; absent ones take the method's own.
        export: What is written for other trainers.
        dataset: What a data set does not say about itself.
    """

    model: str = "micro-t5"
    backbone: str | None = None
    task: str = "micro-nli"
    format: str = _choice("auto", FORMATS)
    data: str | None = None
    budget: str = "1%"
    space: str = "default"
    exportable_to: tuple[str, ...] = ()
    strategy: str = "priced"
    architecture: str | None = None
    trainings: float = _range(3.9, 0, above=True)
    preset: str = _choice("quick", PRESETS)
    seed: int = _range(0, 0)
    seeds: int = _range(3, 1)
    out: str | None = None
    precision: str = _choice("fp32", PRECISIONS)
    load_in: str | None = field(default=None, metadata={"choices": LOAD_IN})
    gradient_checkpointing: bool = False
    group_by_length: bool = False
    device: str = "auto"
    devices: int = _range(1, 1)
    shard: bool = False
    max_seconds: float | None = _range(None, 0, above=True)
    grace_seconds: float = _range(25.0, 0)
    track: tuple[str, ...] = ()
    train_rows: int | None = _range(None, 1)
    test_rows: int | None = _range(None, 1)
    selection_share: float = _range(0.1, 0, 0.5, above=True)
    accumulation: int = _range(1, 1)
    freeze: FreezeConfig = field(default_factory=FreezeConfig)
    dropout: float | None = _range(None, 0, 1, below=True)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    race: RaceConfig = field(default_factory=RaceConfig)
    retrain: RetrainConfig = field(default_factory=RetrainConfig)
    learning_rates: dict[str, float] = field(default_factory=dict)
    export: ExportConfig = field(default_factory=ExportConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)

    @property
    def holders(self) -> tuple[str, ...]:
        """Exporters that must be able to hold whatever is found, each once."""
        merged = ("merged",) if self.limits.mergeable_only else ()
        return tuple(dict.fromkeys((*self.exportable_to, *merged)))


@dataclass(frozen=True)
class Leaf:
    """One key that holds a value.

    Attributes:
        path: Dotted name, e.g. ``search.steps``.
        kind: ``int``, ``float``, ``bool``, ``str``, ``list`` (of names) or ``dict``
            (of numbers by name).
        optional: Whether ``null`` is allowed.
        default: Built-in value.
        rules: Range or choices, as declared.
    """

    path: str
    kind: str
    optional: bool
    default: Any
    rules: Mapping[str, Any]


def _kind(hint: Any) -> tuple[str, bool]:
    if isinstance(hint, types.UnionType):
        inner = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return _kind(inner[0])[0], True
    origin = typing.get_origin(hint)
    if origin is tuple:
        return "list", False
    return (origin or hint).__name__, False


def _collect(cls: type, prefix: str, sections: dict[str, type], leaves: dict[str, Leaf]) -> None:
    hints, built_in = typing.get_type_hints(cls), cls()
    sections[prefix] = cls
    for item in fields(cls):
        path, hint = f"{prefix}.{item.name}".lstrip("."), hints[item.name]
        if is_dataclass(hint):
            _collect(typing.cast(type, hint), path, sections, leaves)
            continue
        kind, optional = _kind(hint)
        default = getattr(built_in, item.name)
        leaves[path] = Leaf(path, kind, optional, default, item.metadata)


@lru_cache(maxsize=1)
def tree() -> tuple[dict[str, type], dict[str, Leaf]]:
    """Return the sections (``""`` is the root) and the leaves, both by dotted path."""
    sections: dict[str, type] = {}
    leaves: dict[str, Leaf] = {}
    _collect(RunConfig, "", sections, leaves)
    return sections, leaves


def children(section: str) -> list[str]:
    """Return the names of the keys directly under a section."""
    return [item.name for item in fields(tree()[0][section])]
