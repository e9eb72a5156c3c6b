"""What the stages of one run share in memory, each thing loaded when it is first needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from peftsearch import tasks
from peftsearch.architecture import Architecture, Choice
from peftsearch.backbones.base import Backbone
from peftsearch.backbones.checkpointing import checkpoint_layers
from peftsearch.backbones.loading import load_backbone, load_config
from peftsearch.baselines import complete, to_choices
from peftsearch.budget import Budget, resolve
from peftsearch.carrying import carried
from peftsearch.catalogue import method_facts, space_path
from peftsearch.config import RunConfig, read_yaml
from peftsearch.devices.sharding import shard_layers
from peftsearch.errors import ConfigError
from peftsearch.export.narrowing import narrowed
from peftsearch.export.writing import problems
from peftsearch.feature_splits import FeatureSplits
from peftsearch.formats import Format, head_of, head_outputs, make_format
from peftsearch.formats.pairs_apart import pairs_apart
from peftsearch.frames import OWN_ROWS, OWN_TASK
from peftsearch.freezing import Frozen, frozen
from peftsearch.injection import cost_function
from peftsearch.limits import Limits
from peftsearch.metering.flops import mean_tokens
from peftsearch.metering.latency import ROWS as TIMED_ROWS
from peftsearch.metering.latency import Timings, measure
from peftsearch.metering.making import make_limits, timed_choices
from peftsearch.rundir import copy_file, read_json, write_json
from peftsearch.seeds import derive
from peftsearch.session import Session, seed_torch
from peftsearch.site import Site
from peftsearch.space import Cost, SearchSpace
from peftsearch.space_spec import apply_space, parse_space
from peftsearch.tasks.base import Splits, Task, TaskData

#: What the configured ``freeze.choices`` decides, in the run directory.
FROZEN = "frozen.json"
#: What candidates add to a forward pass, in the run directory.
LATENCY = "latency.json"


def find_task(config: RunConfig, folder: Path | None) -> Task:
    """Find the task of a configuration, or make it of its data set.

    Args:
        config: Names the task, and says what the data set does not.
        folder: Files of its rows, if they are given.
    """
    said = config.dataset
    wishes = tasks.Wishes(
        said.text_columns,
        said.label_column,
        said.kind,
        said.train_split,
        said.test_split,
        said.language,
    )
    return tasks.get(config.task, wishes, folder)


def wanted_format(config: RunConfig, task: Task) -> str:
    """Return the format that was asked for: the run's, or else the task's own."""
    return task.format if config.format == "auto" else config.format


def head_for(task: Task, model: str, wanted: str = "auto") -> tuple[int, str]:
    """Return the outputs of the head that a model needs for a task, 0 for none, and its kind.

    Args:
        task: The task.
        model: Name of the model; only its config is read.
        wanted: The format that was asked for.

    Raises:
        ConfigError: The model cannot do the task.
    """
    return head_outputs(task, load_config(model), wanted), head_of(task)


def build_space(config: RunConfig, backbone: Backbone, cost: Cost, kept: Frozen) -> SearchSpace:
    """Read the configured space, apply it to a backbone, and leave out what must not be searched.

    That is what is decided already, and what a target that must hold it cannot.
    """
    path = space_path(config.space)
    spec = parse_space(read_yaml(path), method_facts(), path.name)
    space = apply_space(spec, backbone.sites, method_facts(), cost)
    return narrowed(kept.opened(space), config.holders, backbone)


def given_baselines(
    config: RunConfig, sites: Sequence[Site], cost: Cost, limit: int, limits: Limits
) -> dict[str, tuple[Choice, ...]]:
    """Read the architectures that a run is to be compared with, by name: ``given-<file>``.

    Args:
        config: Names the files.
        sites: Sites of the backbone.
        cost: Counts a candidate at one of them.
        limit: The budget in parameters.
        limits: What is limited besides.

    Raises:
        BudgetError: A file exceeds one of these limits.
        ConfigError: A file is no architecture, has sites or modules that this backbone has not,
            is over the budget, or is called as another one.
    """
    found: dict[str, tuple[Choice, ...]] = {}
    for text in config.retrain.baselines:
        path = Path(text)
        named = path.absolute().parent.name if path.stem == "architecture" else path.stem
        name = f"given-{named}"
        choices = carried(Architecture.load(path), sites, cost, text)
        used = sum(choice.num_params for choice in choices)
        if used > limit:
            message = f"{path} has {used:,} parameters, and the budget is {limit:,}."
            raise ConfigError(message, f"--budget {used}")
        limits.require(choices, str(path))
        if name in found:
            raise ConfigError(f"Two baselines are called {name}.", "Rename one of the files.")
        found[name] = choices
    return found


def space_of(run: Path) -> SearchSpace:
    """Read the space of a run directory."""
    return SearchSpace.from_json(read_json(run / "space.json"))


@dataclass
class Workspace:
    """Task, rows, backbone, space and budget of a run.

    Attributes:
        session: Configuration, directory, device.
        split_seed: Root of the choice and division of the rows; by default the seed of the run.
        on_device: Whether the backbone goes there; else it stays in the host's memory.
        charged: What has been spent on shared weights so far, in single trainings.
    """

    session: Session
    split_seed: int | None = None
    on_device: bool = True
    charged: float = 0.0

    @property
    def config(self) -> RunConfig:
        """The resolved configuration."""
        return self.session.config

    @cached_property
    def task(self) -> Task:
        """The task."""
        own = self.session.run.file(OWN_TASK)
        config = replace(self.config, task=str(own)) if own.is_file() else self.config
        return find_task(config, self._data_folder)

    @cached_property
    def data(self) -> TaskData:
        """Its rows."""
        c = self.config
        return tasks.load(self.task, self._data_folder, c.train_rows, c.test_rows, self._row_seed)

    @cached_property
    def splits(self) -> Splits:
        """The four splits."""
        return tasks.split(self.data, self._row_seed, self.config.selection_share)

    def forget_test(self) -> None:
        """Drop every test row of this process, for what must not be able to look at one."""
        self.splits = replace(self.splits, test=[], more_tests={})

    @property
    def notices(self) -> list[str]:
        """Sentences on the rows: what is uneven, repeated, missing from a part, or was cut."""
        counts, cut = self.data.counts, self.format.truncated
        found = [*(counts.notices if counts else ()), *self.splits.notices]
        if cut:
            rows_were = "row was" if cut == 1 else "rows were"
            found.append(f"{cut:,} {rows_were} cut to {self.format.max_length:,} tokens.")
        return [*found, *pairs_apart(self.task, self.config)]

    @property
    def _data_folder(self) -> Path | None:
        """Files of the rows; those that the run holds itself come first, wherever it lies now."""
        own = self.session.run.file(OWN_ROWS)
        if own.is_dir():
            return own
        return None if self.config.data is None else Path(self.config.data)

    @property
    def _row_seed(self) -> int:
        return self.config.seed if self.split_seed is None else self.split_seed

    @cached_property
    def backbone(self) -> Backbone:
        """The one copy of the backbone: on the device, in shards, or in the host's memory."""
        c = self.config
        backbone = self._loaded(c.precision, c.load_in)
        if c.gradient_checkpointing:
            checkpoint_layers(backbone.model)
        if self.on_device and c.load_in is None:  # which is loaded to its device
            if c.shard:
                shard_layers(backbone.model, self.session.device)
            backbone.model.to(self.session.device)
        return backbone

    @cached_property
    def as_stored(self) -> Backbone:
        """The backbone as it is loaded from an export: in float32, not quantised.

        One that was rounded is loaded anew, in the host's memory.
        """
        rounded = self.config.load_in is not None or self.config.precision != "fp32"
        return self._loaded("fp32", None) if rounded else self.backbone

    def _loaded(self, precision: str, load_in: str | None) -> Backbone:
        c = self.config
        outputs, head = head_for(self.task, c.model, wanted_format(c, self.task))
        return load_backbone(
            c.model,
            outputs,
            precision,
            head=head,
            description=c.backbone,
            dropout=c.dropout,
            load_in=load_in,
            device=self.session.device,
        )

    @cached_property
    def format(self) -> Format:
        """How the task meets the backbone."""
        wanted = wanted_format(self.config, self.task)
        return make_format(self.task, self.backbone.reader, self.backbone.model.config, wanted)

    @cached_property
    def features(self) -> FeatureSplits:
        """The four splits, tokenised."""
        return FeatureSplits(self.splits, self.format)

    @cached_property
    def cost(self) -> Cost:
        """Counts a candidate at a site."""
        return cost_function(self.backbone.hosts)

    @cached_property
    def budget(self) -> Budget:
        """The budget in parameters."""
        return resolve(self.config.budget, self.backbone.num_parameters)

    @cached_property
    def kept(self) -> Frozen:
        """What is decided before the search, and is in whatever the search finds."""
        settings, copy = self.config.freeze, self.session.run.file(FROZEN)
        if copy.is_file():  # so that the run can go on without the file it came from
            settings = replace(settings, choices=str(copy))
        return frozen(settings, self.backbone.sites, self.cost)

    @cached_property
    def limits(self) -> Limits:
        """What is limited beside the parameters."""
        tokens = mean_tokens(self.features.train, self.backbone)
        timings = None if self.config.limits.latency is None else self.timings
        return make_limits(self.config, self.backbone, self.cost, tokens, timings)

    @cached_property
    def timings(self) -> Timings:
        """What candidates add to a forward pass on this machine; measured once for a run.

        Several budgets share the table of the run that searches.
        """
        file, shared = self.session.run.file(LATENCY), self.config.search.shared
        if not file.is_file() and shared is not None and (Path(shared) / LATENCY).is_file():
            copy_file(Path(shared) / LATENCY, file)
        if not file.is_file():
            brought = [self.config.architecture, *self.config.retrain.baselines]
            given = [c for path in brought if path for c in Architecture.load(path).active]
            known = {site.id for site in self.backbone.sites}
            more = [*self.kept.choices, *(c for c in given if c.site in known)]
            wanted = timed_choices(self.full_space, self.backbone.sites, more)
            found = measure(self.backbone, wanted, self.forward)
            write_json(file, found.to_json())
        return Timings.from_json(read_json(file))

    def forward(self) -> None:
        """Run the model as it is on a batch of real rows, without gradients."""
        batch = self.session.to_device(self.format.collate(self.features.search_valid[:TIMED_ROWS]))
        with torch.no_grad(), self.session.accelerator.autocast():
            self.format.loss(self.backbone.model, batch)

    @property
    def free(self) -> int:
        """The parameters of the budget that the search may spend."""
        return self.kept.free(self.budget.limit)

    @property
    def search_limits(self) -> list[int]:
        """The parameters that the supernet serves, the run's own first."""
        count = self.backbone.num_parameters
        others = [resolve(text, count).limit for text in self.config.search.budgets]
        return [self.free, *(self.kept.free(limit) for limit in others)]

    @cached_property
    def full_space(self) -> SearchSpace:
        """The space before the budget is applied."""
        return build_space(self.config, self.backbone, self.cost, self.kept)

    @cached_property
    def space(self) -> SearchSpace:
        """The candidates that fit the budget: those of ``space.json``, once it is there."""
        path = self.session.run.file("space.json")
        if path.is_file():
            return space_of(path.parent)
        kept, shared = self.kept, self.config.search.shared
        self.limits.require(kept.choices, f"What {kept.source} keeps")
        own = self.limits.on(kept.within(self.full_space, self.budget.limit), kept.choices)
        if shared is None:
            return own
        return self.limits.rated(space_of(Path(shared)), kept.choices)

    def assigned(self, candidates: Sequence[int]) -> Architecture:
        """Return the architecture of one candidate index per gate, with what is kept."""
        return self.architecture((*self.kept.choices, *to_choices(self.space, candidates)))

    def architecture(self, choices: tuple[Choice, ...]) -> Architecture:
        """Return an architecture of this run, with every site listed."""
        return Architecture(
            model=self.config.model,
            task=self.task.name,
            backbone_parameters=self.budget.denominator,
            requested=self.budget.requested,
            limit=self.budget.limit,
            choices=complete(choices, self.backbone.sites),
        )

    def not_exportable_to(self, architecture: Architecture) -> list[str]:
        """Return the targets that must hold an architecture and cannot."""
        return [name for name in self.config.holders if problems(name, architecture, self.backbone)]

    def seed_everything(self, *names: str | int) -> None:
        """Seed torch from the root seed and a path of names."""
        seed_torch(derive(self.config.seed, *names))
