"""What the stages of one run share in memory, each thing loaded when it is first needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from peftsearch import tasks
from peftsearch.architecture import Architecture, Choice
from peftsearch.backbones.base import Backbone
from peftsearch.backbones.loading import load_backbone
from peftsearch.baselines import complete
from peftsearch.budget import Budget, resolve
from peftsearch.carrying import carried
from peftsearch.catalogue import method_facts, space_path
from peftsearch.config import RunConfig, read_yaml
from peftsearch.errors import ConfigError
from peftsearch.export.narrowing import narrowed
from peftsearch.export.writing import problems
from peftsearch.formats import Feature, Format, make_format
from peftsearch.frames import OWN_ROWS, OWN_TASK
from peftsearch.injection import cost_function
from peftsearch.rundir import read_json
from peftsearch.seeds import derive
from peftsearch.session import Session, seed_torch
from peftsearch.site import Site
from peftsearch.space import Cost, SearchSpace
from peftsearch.space_spec import apply_space, parse_space
from peftsearch.tasks.base import Splits, Task, TaskData


def num_labels(task: Task) -> int:
    """Return the outputs a head needs; 1 for a regression or a choice, 2 for begin and end."""
    return 2 if task.kind == "extraction" else max(1, len(task.labels))


def find_task(config: RunConfig, folder: Path | None) -> Task:
    """Find the task of a configuration, or make it of its data set.

    Args:
        config: Names the task, and says what the data set does not.
        folder: Files of its rows, if they are given.
    """
    said = config.dataset
    wishes = tasks.Wishes(
        said.text_columns, said.label_column, said.kind, said.train_split, said.test_split
    )
    return tasks.get(config.task, wishes, folder)


def head_of(task: Task) -> str:
    """Return which head an encoder needs, as a key of ``backbones.loading.HEADS``."""
    return {"tagging": "tokens", "extraction": "span"}.get(task.kind, "sequence")


def build_space(config: RunConfig, backbone: Backbone, cost: Cost) -> SearchSpace:
    """Read the configured space, apply it to a backbone, and narrow it to ``exportable_to``."""
    path = space_path(config.space)
    spec = parse_space(read_yaml(path), method_facts(), path.name)
    space = apply_space(spec, backbone.sites, method_facts(), cost)
    return narrowed(space, config.exportable_to, backbone)


def given_baselines(
    config: RunConfig, sites: Sequence[Site], cost: Cost, limit: int
) -> dict[str, tuple[Choice, ...]]:
    """Read the architectures that a run is to be compared with, by name: ``given-<file>``.

    Args:
        config: Names the files.
        sites: Sites of the backbone.
        cost: Counts a candidate at one of them.
        limit: The budget in parameters.

    Raises:
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
        if name in found:
            raise ConfigError(f"Two baselines are called {name}.", "Rename one of the files.")
        found[name] = choices
    return found


@dataclass
class FeatureSplits:
    """The rows of :class:`~peftsearch.tasks.base.Splits`, each tokenised once, when needed.

    Each attribute is a list of :class:`~peftsearch.formats.Feature`.
    """

    splits: Splits
    format: Format

    @cached_property
    def search_train(self) -> list[Feature]:
        """Weights of the supernet."""
        return list(self.format.features(self.splits.search_train))

    @cached_property
    def search_valid(self) -> list[Feature]:
        """Gates, and what is measured on the supernet."""
        return list(self.format.features(self.splits.search_valid))

    @cached_property
    def selection(self) -> list[Feature]:
        """Scores the race."""
        return list(self.format.features(self.splits.selection))

    @cached_property
    def test(self) -> list[Feature]:
        """Scores what was retrained."""
        return list(self.format.features(self.splits.test))

    @cached_property
    def more_tests(self) -> dict[str, list[Feature]]:
        """Further tests by name."""
        return {
            name: list(self.format.features(rows)) for name, rows in self.splits.more_tests.items()
        }

    def tokenise(self) -> None:
        """Tokenise every split.

        Raises:
            ConfigError: A row does not fit the task's format.
        """
        _ = self.train, self.test, self.more_tests

    @property
    def race_train(self) -> list[Feature]:
        """What the race trains on: all training rows but those that score it."""
        return [*self.search_train, *self.search_valid]

    @property
    def train(self) -> list[Feature]:
        """All training rows."""
        return [*self.race_train, *self.selection]


@dataclass
class Workspace:
    """Task, rows, backbone, space and budget of a run.

    Attributes:
        session: Configuration, directory, device.
        split_seed: Root of the choice and division of the rows; by default the seed of the run.
        charged: What has been spent on shared weights so far, in single trainings.
    """

    session: Session
    split_seed: int | None = None
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

    @property
    def notices(self) -> list[str]:
        """Sentences on the rows: what is uneven, repeated, missing from a part, or was cut."""
        counts, cut = self.data.counts, self.format.truncated
        found = [*(counts.notices if counts else ()), *self.splits.notices]
        if cut:
            found.append(f"{cut:,} rows were cut to {self.format.max_length:,} tokens.")
        return found

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
        """The one copy of the backbone, on the device."""
        backbone = load_backbone(
            self.config.model, num_labels(self.task), self.config.precision, head_of(self.task)
        )
        backbone.model.to(self.session.device)
        return backbone

    @cached_property
    def format(self) -> Format:
        """How the task meets the backbone."""
        return make_format(self.task, self.backbone.tokenizer, self.backbone.model.config)

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
    def full_space(self) -> SearchSpace:
        """The space before the budget is applied."""
        return build_space(self.config, self.backbone, self.cost)

    @cached_property
    def space(self) -> SearchSpace:
        """The candidates that fit the budget: those of ``space.json``, once it is there."""
        path = self.session.run.file("space.json")
        if path.is_file():
            return SearchSpace.from_json(read_json(path))
        return self.full_space.within(self.budget.limit)

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
        """Return the targets of ``exportable_to`` that cannot hold an architecture."""
        wanted = dict.fromkeys(self.config.exportable_to)
        return [name for name in wanted if problems(name, architecture, self.backbone)]

    def seed_everything(self, *names: str | int) -> None:
        """Seed torch from the root seed and a path of names."""
        seed_torch(derive(self.config.seed, *names))
