"""The rows of a run as a model reads them, split by split, each tokenised when it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from peftsearch.formats import Feature, Format
from peftsearch.tasks.base import Splits


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
