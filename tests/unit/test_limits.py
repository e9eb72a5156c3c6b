"""Limits beside the parameters: what people write, what is refused, and the size of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from peftsearch import config as configuration
from peftsearch.architecture import Choice
from peftsearch.config.names import UNCHECKED
from peftsearch.errors import BudgetError, ConfigError
from peftsearch.limits import Limits, parse_bytes, parse_flops, parse_latency
from peftsearch.resources import Resource
from peftsearch.site import Site
from peftsearch.space import EMPTY, Candidate, Gate, SearchSpace

SITES = [Site("encoder", n, part, ("q",)) for n in range(2) for part in ("attention", "norm")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("200k", 200_000),
        ("2MB", 2_000_000),
        ("1.5 MiB", 3 * 2**19),
        ("1e5", 100_000),
        ("2KiB", 2048),
        ("50000", 50_000),
        (".5GB", 500_000_000),
    ],
)
def test_sizes_as_people_write_them(text: str, wanted: int) -> None:
    assert parse_bytes(text) == wanted


@pytest.mark.parametrize("text", ["", "2 MBit", "-1k", "0", "k", "1,5MB", "1%"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a size of a file"):
        parse_bytes(text)


def test_shares_and_numbers() -> None:
    assert parse_latency("5%") == 0.05
    assert parse_latency(" 0.5 %") == 0.005
    assert parse_flops("80%") == (0.8, True)
    assert parse_flops("2.5e15") == (2.5e15, False)
    assert parse_flops("120 %") == (1.2, True)


@pytest.mark.parametrize("text", ["5", "0%", "-1%", "fast", "1e%", ""])
def test_what_is_no_latency(text: str) -> None:
    with pytest.raises(ConfigError, match=r"limits\.latency .* is not a percentage"):
        parse_latency(text)


@pytest.mark.parametrize("text", ["0", "0%", "-1e9", "much", "1T", ""])
def test_what_is_no_number_of_flops(text: str) -> None:
    with pytest.raises(ConfigError, match=r"limits\.train_flops"):
        parse_flops(text)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"limits.bytes": "2MBit"}, 'limits.bytes "2MBit" is not a size of a file.'),
        ({"limits.modules_per_layer": 0}, "limits.modules_per_layer must be at least 1, not 0."),
        ({"limits.latency": "5"}, 'limits.latency "5" is not a percentage above 0.'),
        ({"limits.train_flops": "lots"}, 'limits.train_flops "lots" is not a limit.'),
        (
            {"limits.latency": "5%", "limits.mergeable_only": True},
            "limits.mergeable_only leaves nothing that takes time once it is merged.",
        ),
        ({"limits.byte": "2k"}, 'unknown key "limits.byte".'),
        ({"limits.mergeable_only": "so"}, "limits.mergeable_only must be true or false"),
    ],
)
def test_the_configuration_refuses(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configuration.resolve(flags=flags, names=UNCHECKED)
    assert message in caught.value.message


def test_a_number_in_yaml_is_a_size(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("limits: {bytes: 50000, mergeable_only: true}\nexportable_to: [native]\n")
    config = configuration.resolve(path, names=UNCHECKED)
    assert config.limits.bytes == "50000"
    assert config.holders == ("native", "merged")
    assert configuration.from_mapping(configuration.to_mapping(config), names=UNCHECKED) == config


def by_size(site: Site, method: str, modules: tuple[str, ...], size: int) -> float:
    return 10.0 * size


def one(site: Site, method: str, modules: tuple[str, ...], size: int) -> float:
    return 1.0


def limits(size: float = 35.0, per_layer: int = 1) -> Limits:
    resources = (
        Resource("bytes", "bytes", f"{size:g}", size, fixed=5.0),
        Resource("modules_per_layer", "modules in a layer", f"{per_layer}", per_layer, True),
    )
    meters = {"bytes": by_size, "modules_per_layer": one}
    return Limits(resources, meters, {site.id: site for site in SITES})


SPACE = SearchSpace(
    "some",
    "",
    "one",
    tuple(
        Gate(site, (EMPTY, *(Candidate("lora", n, ("q",), n) for n in (1, 2, 4)))) for site in SITES
    ),
)


def choice(place: int, size: int) -> Choice:
    return Choice(SITES[place].id, "lora", size, ("q",), size)


def test_every_limit_is_asked() -> None:
    found = limits()
    assert found.allow((choice(0, 1), choice(2, 2), Choice(SITES[1].id)))
    assert [r.name for r in found.exceeded((choice(0, 1), choice(1, 1)))] == ["modules_per_layer"]
    assert [r.name for r in found.exceeded((choice(0, 4),))] == ["bytes"]
    message = "x takes 45 bytes, and --max-bytes is 35."
    with pytest.raises(BudgetError, match=message):
        found.require((choice(0, 4),), "x")


def test_a_space_loses_what_alone_is_too_large() -> None:
    found = limits().on(SPACE)
    assert [[c.size for c in gate.candidates] for gate in found.gates] == [[0, 1, 2]] * 4
    assert found.gates[0].candidates[2].costs == (20.0, 1.0)
    assert limits().on(SPACE, (choice(0, 1),)).gates[0].site == SITES[2]  # its layer is full


def test_a_shared_space_keeps_its_candidates() -> None:
    """Those of a supernet that was trained for a larger budget; they cost what they cost here."""
    found = limits(12.0).rated(SPACE)
    assert found == SearchSpace("some", "", "one", SPACE.gates, resources=limits(12.0).resources)
    assert found.gates[0].candidates[3].costs == (40.0, 1.0)
    assert not found.allows([3, 0, 0, 0])


def test_an_impossible_limit_is_named_with_its_cheapest_candidate() -> None:
    with pytest.raises(BudgetError) as caught:
        limits(12.0).on(SPACE)
    assert caught.value.exit_code == 4
    assert caught.value.message == (
        "--max-bytes 12 is less than the cheapest candidate of the space needs: "
        "lora 1 (q) at encoder.00.attention takes 15 bytes."
    )


def test_limits_that_exclude_each_other_are_all_named() -> None:
    """Each has something that fits it, and nothing fits both."""

    def falling(site: Site, method: str, modules: tuple[str, ...], size: int) -> float:
        return 50.0 - 10 * size

    other = Resource("train_flops", "FLOPs", "15", 15.0)
    found = limits(25.0)
    both = Limits(
        (found.resources[0], other), {**found.meters, "train_flops": falling}, found.sites
    )
    with pytest.raises(BudgetError) as caught:
        both.on(SPACE)
    assert "No candidate of the space keeps to all of --max-bytes 25" in caught.value.message
    assert "--max-train-flops 15 (lora 4 (q) at encoder.00.attention takes 10 FLOPs)" in (
        caught.value.message
    )
