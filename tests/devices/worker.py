"""What several processes do together; each leaves what it has found in a file of a folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from peftsearch import ranks
from peftsearch.devices.reduce import sum_gradients, summed
from peftsearch.devices.slices import slice_of
from peftsearch.errors import ConfigError
from peftsearch.evaluate import predictions
from peftsearch.formats import Feature
from peftsearch.portions import Portions

ROWS = [Feature({"input_ids": [i]}, list(range(1 + i % 3)), 0.0) for i in range(7)]


def tokens_of(rows: Sequence[Feature]) -> int:
    """Return the tokens of all targets."""
    return sum(len(row.target) for row in rows if isinstance(row.target, list))


def gradients(count: int) -> dict[str, Any]:
    """Gradients of the mean over all target tokens of a batch, from the slices of it."""
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(8, dtype=torch.float64))
    never, some = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    own = slice_of(ROWS[:count], tokens_of)
    means = [weight[row.inputs["input_ids"][0]] ** 2 * len(row.target) for row in own.rows]
    loss = own.weighted(torch.stack(means).sum() / tokens_of(own.rows))
    loss.backward()
    if ranks.rank() == 0:
        some.grad = torch.tensor([1.0, 2.0])
    sum_gradients([weight, never, some])
    assert weight.grad is not None
    return {
        "weight": weight.grad.tolist(),
        "never": never.grad is None,
        "some": some.grad.tolist() if some.grad is not None else None,
        "loss": ranks.total(float(loss.detach())),
        "rows": len(own.rows) if own.weight else 0,
    }


class Echo:
    """A format that answers with the first token of the row."""

    def collate(self, features: list[Feature]) -> dict[str, Any]:
        return {"first": torch.tensor([f.inputs["input_ids"][0] for f in features])}

    def predict(self, model: Any, batch: dict[str, Any]) -> list[float]:
        return [float(x) for x in batch["first"]]


def predicted(count: int) -> list[float]:
    session: Any = SimpleNamespace(
        accelerator=SimpleNamespace(autocast=nullcontext),
        to_device=lambda batch: batch,
        portions=Portions(Path("unused.json"), lambda text: None),
    )
    features = [Feature({"input_ids": [i] * (1 + 7 * i % 5)}, 0, 0.0) for i in range(count)]
    echo: Any = Echo()
    found = predictions(session, torch.nn.Linear(1, 1), echo, features)
    return [float(value) for value in found]


def failing() -> None:
    raise ConfigError("The directory is not empty.", "Use --out DIR.")


def talk() -> dict[str, Any]:
    try:
        ranks.led(failing)
        refused = None
    except ConfigError as error:
        refused = [error.message, error.hint]
    return {
        "gathered": ranks.gathered([ranks.rank()] * ranks.rank()),
        "told": ranks.told(f"said by {ranks.rank()}"),
        "led": ranks.led(lambda: ranks.size()),
        "highest": ranks.highest(ranks.rank() * 10),
        "mixed": [t.tolist() for t in summed([torch.ones(2), torch.ones(1).double()])],
        "refused": refused,
    }


def main() -> None:
    ranks.join()
    found = {"rank": ranks.rank(), "talk": talk()}
    found["predicted"] = [predicted(count) for count in (131, 1, 0)]
    found |= {str(count): gradients(count) for count in (7, 2, 1)}
    ranks.part()
    said = json.dumps({**found, "parted": ranks.size()})
    Path(sys.argv[1], f"{ranks.rank()}.json").write_text(said)


if __name__ == "__main__":
    main()
