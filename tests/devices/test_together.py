"""Sums, slices, gathered answers and decisions of three processes, against closed forms."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from peftsearch import ranks
from peftsearch.devices.slices import slice_of
from peftsearch.errors import PeftSearchError
from tests.devices.material import in_processes
from tests.devices.worker import ROWS

COUNT = 3


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of three processes says, by rank."""
    return in_processes(COUNT, "worker.py", tmp_path_factory.mktemp("together"))


@pytest.mark.parametrize(("count", "sizes"), [(7, [2, 2, 3]), (2, [0, 1, 1]), (1, [0, 0, 1])])
def test_gradients_are_those_of_the_whole_batch(
    count: int, sizes: list[int], found: list[dict[str, Any]]
) -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(8, dtype=torch.float64))
    rows = ROWS[:count]
    tokens = [len(row.target) for row in rows if isinstance(row.target, list)]
    terms = [weight[i] ** 2 * size for i, size in enumerate(tokens)]
    loss = torch.stack(terms).sum() / sum(tokens)
    loss.backward()
    assert weight.grad is not None
    assert [each[str(count)]["rows"] for each in found] == sizes
    for each in found:
        said = each[str(count)]
        torch.testing.assert_close(
            torch.tensor(said["weight"], dtype=torch.float64), weight.grad, rtol=1e-12, atol=1e-14
        )
        assert said["loss"] == pytest.approx(float(loss.detach()), rel=1e-12)
        assert said["never"]
        assert said["some"] == [1.0, 2.0]


def test_answers_come_once_and_in_order(found: list[dict[str, Any]]) -> None:
    whole = [list(map(float, range(count))) for count in (131, 1, 0)]
    assert [each["predicted"] for each in found] == [whole] * COUNT


def test_what_one_does_all_know(found: list[dict[str, Any]]) -> None:
    for rank, each in enumerate(found):
        talk = each["talk"]
        assert talk["gathered"] == [[], [1], [2, 2]]
        assert talk["told"] == "said by 0"
        assert talk["led"] == (1 if rank == 0 else None)  # it does not wait for the others
        assert talk["highest"] == 20
        assert talk["mixed"] == [[3.0, 3.0], [3.0]]
        assert talk["refused"] == ["The directory is not empty.", "Use --out DIR."]
        assert each["parted"] == 1


def test_one_process_is_the_whole() -> None:
    own = slice_of(ROWS)
    assert (list(own.rows), own.places, own.weight) == (ROWS, range(7), 1.0)
    loss = torch.ones(1)
    assert own.weighted(loss) is loss
    assert (ranks.gathered("a"), ranks.told("b"), ranks.total(1.5)) == (["a"], "b", 1.5)


@pytest.mark.parametrize(
    "environ", [{"WORLD_SIZE": "2"}, {"RANK": "2", "WORLD_SIZE": "2"}, {"WORLD_SIZE": "two"}]
)
def test_a_launcher_that_contradicts_itself(environ: dict[str, str]) -> None:
    with pytest.raises(PeftSearchError, match="the launcher gave RANK="):
        ranks.join(environ)
    assert (ranks.rank(), ranks.size()) == (0, 1)
