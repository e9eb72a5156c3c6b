"""The budget: from what the user typed to an integer that is never exceeded.

The denominator is the frozen backbone's parameters, tied tensors once, without a task head
that the run adds; the numerator is every parameter trained beside that head.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from peftsearch.errors import ConfigError

_SUFFIX = {"": 1, "k": 10**3, "M": 10**6, "m": 10**6, "G": 10**9, "B": 10**9}
_NUMBER = r"(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)"
_PATTERN = re.compile(rf"^{_NUMBER}\s*(?P<unit>%|[kKmMGB]?)$")
#: A share or a count beyond this power of ten is a slip of the key.
_MOST_DIGITS = 15
_HINT = "Examples: 1%, 0.0139%, 1e-3, 100k, 2.2M, 102458."


@dataclass(frozen=True)
class Budget:
    """A resolved budget.

    Attributes:
        requested: What the user typed, e.g. ``"1%"``.
        limit: Largest number of trained parameters allowed, head excluded.
        denominator: Parameters of the frozen backbone.
    """

    requested: str
    limit: int
    denominator: int

    @property
    def fraction(self) -> float:
        """The limit as a share of the backbone, >= 0."""
        return self.limit / self.denominator

    def to_json(self) -> dict[str, str | int]:
        """Return the form written into ``architecture.json``."""
        return {"requested": self.requested, "limit": self.limit}


def parse(text: str) -> Decimal | int:
    """Read a budget string.

    Returns:
        A :class:`~decimal.Decimal` in (0, 1] for a share, an ``int`` >= 1 for a count.

    Raises:
        ConfigError: Not a number, out of range, or ambiguous such as ``"1"``.
    """
    match = _PATTERN.match(text.strip())
    if match is None:
        raise ConfigError(f'budget "{text}" is not a budget.', _HINT)
    try:
        number = Decimal(match["number"])
    except InvalidOperation as error:
        raise ConfigError(f'budget "{text}" is not a budget.', _HINT) from error
    unit = match["unit"].replace("K", "k")
    if number and abs(number.adjusted()) > _MOST_DIGITS:
        raise ConfigError(f'budget "{text}" is out of range.', _HINT)
    if unit == "%":
        return _share(text, number / 100)
    if unit:
        return _count(text, number * _SUFFIX[unit])
    if number == 1:
        message = f'budget "{text}" is ambiguous: 1 parameter or 100%?'
        raise ConfigError(message, "Write 1% or 1000.")
    return _share(text, number) if number < 1 else _count(text, number)


def several(text: str) -> list[str]:
    """Read one budget, or several with commas between them.

    Returns:
        The text of each, the largest first.

    Raises:
        ConfigError: One is no budget, two are equal, or some are shares and others counts.
    """
    texts = [part.strip() for part in text.split(",")]
    sizes = {part: parse(part) for part in texts}
    if len(set(sizes.values())) < len(texts):
        raise ConfigError(f'budget "{text}" names a budget twice.', "Give each once.")
    if len({isinstance(size, int) for size in sizes.values()}) > 1:
        raise ConfigError(
            f'budget "{text}" mixes shares and numbers of parameters.',
            "Write all as shares (0.1%,1%), or all as numbers (10k,100k).",
        )
    return sorted(texts, key=lambda part: sizes[part], reverse=True)


def _share(text: str, share: Decimal) -> Decimal:
    if not 0 < share <= 1:
        raise ConfigError(f'budget "{text}" must lie above 0% and at most 100%.', _HINT)
    return share


def _count(text: str, count: Decimal) -> int:
    if count != count.to_integral_value() or count < 1:
        raise ConfigError(f'budget "{text}" is not a whole number of parameters.', _HINT)
    return int(count)


def resolve(text: str, denominator: int) -> Budget:
    """Turn a budget string into an integer limit, ``floor(share * denominator)``, exactly."""
    value = parse(text)
    limit = value if isinstance(value, int) else int(value * denominator)
    return Budget(text.strip(), limit, denominator)
