"""The registries, read without torch."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from peftsearch import catalogue
from peftsearch.errors import ConfigError
from peftsearch.micro import MODEL_DIRS

ROOT = Path(__file__).resolve().parents[2]
METHODS = "none layernorm lora ia3 bitfit adapter parallel_adapter prefix".split()
SPACES = "default coarse lora_only unipelt s3pet_m bipeft_s1 peft_lossless tiny".split()


def test_methods_are_read_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from peftsearch.catalogue import method_facts\n"
        "print(*method_facts())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) >= set(METHODS)


def test_methods_come_in_the_order_of_composition() -> None:
    cards = list(catalogue.method_facts().values())
    orders = [card.order for card in cards]
    assert orders == sorted(orders)
    assert len(set(orders)) == len(orders), "two methods with the same place"
    assert cards[0].name == "none"
    assert catalogue.method_order("lora") < catalogue.method_order("adapter")
    assert catalogue.method_order("nonsense") > max(orders)


def test_every_method_declares_its_facts() -> None:
    for card in catalogue.method_facts().values():
        assert card.title
        assert card.reference
        assert card.source == f"peftsearch.methods.{card.name}"
        assert card.name == "none" or card.learning_rate > 0


@pytest.mark.parametrize(
    ("literal", "wrong"),
    [("{'name': 'x'}", "identity_at_start, learning_rate"), ("{'nonsense': 1}", "nonsense")],
)
def test_incomplete_facts_are_refused(tmp_path: Path, literal: str, wrong: str) -> None:
    path = tmp_path / "x.py"
    path.write_text(f"METHOD = {literal}\n")
    with pytest.raises(
        ConfigError, match=rf"^x\.py: METHOD has missing or unknown keys: .*{wrong}"
    ):
        catalogue._read_card(path)


def test_a_file_without_a_method(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("OTHER = 1\nMETHOD: dict = {}\n")
    assert catalogue._read_card(tmp_path / "base.py") is None


def test_spaces() -> None:
    assert set(catalogue.spaces()) >= set(SPACES)
    assert catalogue.space_path("tiny").name == "tiny.yaml"


def test_a_space_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\n")
    assert catalogue.space_path(str(path)) == path


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        (
            "lora_onyl",
            'space "lora_onyl" is not known.',
            'Did you mean "lora_only"? peftsearch list spaces',
        ),
        ("no.yaml", 'space "no.yaml" does not exist.', "peftsearch list spaces"),
    ],
)
def test_unknown_spaces(name: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        catalogue.space_path(name)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_models_and_exporters_have_a_line_each() -> None:
    names = {*MODEL_DIRS, *catalogue.families().values()}
    assert names <= set(catalogue.models())
    assert {"native", "peft"} <= set(catalogue.exporters())
    assert all(catalogue.models().values())
    assert all(card.title for card in catalogue.exporters().values())
    assert next(iter(catalogue.exporters())) == "native"


def test_families_are_read_without_torch() -> None:
    from peftsearch import backbones

    files = [each.name for each in pkgutil.iter_modules(backbones.__path__)]
    loaded = [import_module(f"{backbones.__name__}.{name}") for name in files]
    families = {m.__name__.split(".")[-1]: m for m in loaded if hasattr(m, "MODEL_TYPES")}
    wanted = {kind: name for name, module in families.items() for kind in module.MODEL_TYPES}
    assert catalogue.families() == wanted
    alone = {kind for m in loaded if hasattr(m, "DECODER") for kind in m.MODEL_TYPES}
    assert catalogue.decoders() == alone >= {"gpt2", "llama"}


def test_reasons_of_an_exporter() -> None:
    """A part of a layer stands before the whole method, a model type before the rest."""
    holds = {
        "lora": "",
        "bitfit": {"t5": "no bias", "*": ""},
        "bitfit.norm": "not there",
        "prefix": {"bert": ""},
    }
    card = catalogue.ExporterCard("x", "a target", holds, "no such method", "nowhere")
    assert card.reason("lora", "attention", "t5") == ""
    assert card.reason("bitfit", "attention", "t5") == "no bias"
    assert card.reason("bitfit", "attention", "bert") == ""
    assert card.reason("bitfit", "norm", "bert") == "not there"
    assert card.reason("prefix", "attention", "bert") == ""
    assert card.reason("prefix", "attention", "t5") == "no such method"
    assert card.reason("ia3", "attention", "t5") == "no such method"


class _Entry:
    """An entry point of another package."""

    name = value = "stray_exporter"


def _plug_in(folder: Path, literal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "stray_exporter.py").write_text(f"EXPORTER = {literal}\nraise RuntimeError\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(catalogue, "entry_points", lambda group: [_Entry()])
    catalogue.exporters.cache_clear()


@pytest.fixture
def _fresh_catalogue() -> Iterator[None]:
    yield
    catalogue.exporters.cache_clear()


@pytest.mark.usefixtures("_fresh_catalogue")
def test_exporters_of_other_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by entry point, and listed without being imported."""
    literal = '{"name": "stray", "title": "x", "holds": {"lora": ""}, "otherwise": "no"}'
    _plug_in(tmp_path, literal, monkeypatch)
    card = catalogue.exporters()["stray"]
    assert card.source == "stray_exporter"
    assert card.reason("lora", "attention", "t5") == ""


@pytest.mark.usefixtures("_fresh_catalogue")
def test_incomplete_exporters_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _plug_in(tmp_path, '{"name": "stray", "holds": {}, "else": ""}', monkeypatch)
    with pytest.raises(ConfigError, match="missing or unknown keys: else, otherwise, title"):
        catalogue.exporters()
