"""Exports of models that were described or inspected say where the parts stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

import peftsearch
from peftsearch import catalogue, testing
from peftsearch.backbones.base import description_of, hosts_of, wrap
from peftsearch.backbones.description import Description, read_description
from peftsearch.errors import ConfigError
from peftsearch.injection import apply, insertions_of
from tests.models import inputs
from tests.unit.backbones.test_inspection import MPNET, model_of

#: Of other names, and without the feed-forward: nothing that inspection would find.
PART = """
stacks:
  words:
    layers: encoder.layer.{}
    attention:
      q: attention.attn.q
      k: attention.attn.k
      v: attention.attn.v
      o: attention.attn.o
"""


def saved(tmp_path: Path, description: Description | None) -> tuple[Any, torch.Tensor]:
    """Save a trained model with a description; return its batch and logits."""
    model = model_of("MPNet")
    backbone = wrap("test", model, description=description)
    choices = testing.choices_for(backbone, "lora", 2)
    apply(model, testing.architecture_of(backbone, choices))
    testing.draw(insertions_of(model))
    peftsearch.save(model, tmp_path)
    batch = inputs(model)
    return batch, testing.logits(model, batch)


def test_a_description_is_taken_up_when_an_export_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "mpnet.yaml").write_text(PART)
    description = read_description(tmp_path / "mpnet.yaml")
    batch, wanted = saved(tmp_path / "out", description)
    document = json.loads((tmp_path / "out" / "native.json").read_text())
    schema = json.loads(catalogue.schemas()["native"].read_text())
    jsonschema.validate(document, schema)
    sites = json.loads((tmp_path / "out" / "architecture.json").read_text())
    schema = json.loads(catalogue.schemas()["architecture"].read_text())
    jsonschema.validate(sites, schema)
    assert document["description"] == description.to_mapping()
    plain = model_of("MPNet")
    assert {host.site.stack for host in hosts_of(plain)} == {"encoder"}
    loaded = peftsearch.load(tmp_path / "out", plain)
    assert torch.equal(testing.logits(loaded, batch), wanted)
    assert description_of(loaded) == description
    assert {host.site.stack for host in hosts_of(loaded)} == {"words"}


def test_what_was_inspected_is_stored_and_leaves_no_trace(tmp_path: Path) -> None:
    """A model in which inspection finds the same is not described; one that it fails on is."""
    batch, wanted = saved(tmp_path, None)
    plain = model_of("MPNet")
    loaded = peftsearch.load(tmp_path, plain)
    assert torch.equal(testing.logits(loaded, batch), wanted)
    assert not hasattr(loaded, "peftsearch_description")


def test_inspection_that_fails_here_is_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, wanted = saved(tmp_path, None)

    def fails(model: Any) -> Description:
        raise ConfigError("nothing was found")

    monkeypatch.setattr("peftsearch.backbones.base.inspect_model", fails)
    loaded = peftsearch.load(tmp_path, model_of("MPNet"))
    assert torch.equal(testing.logits(loaded, batch), wanted)


def test_families_with_a_file_store_none(tmp_path: Path) -> None:
    from tests.models import FACTORIES

    model = FACTORIES["bert"]()
    backbone = wrap("test", model)
    apply(model, testing.architecture_of(backbone, testing.choices_for(backbone, "lora")))
    peftsearch.save(model, tmp_path)
    assert "description" not in json.loads((tmp_path / "native.json").read_text())


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (MPNET, ()),
        (MPNET.replace("encoder.layer.{}", "encoder.layer"), ("a path with one {}",)),
        (MPNET.replace("attn.k", "attn.q"), ("q and k are both attention.attn.q",)),
        (
            MPNET.replace("      v: attention.attn.v\n", "").replace("up:", "upp:"),
            ("does not say where v is", 'unknown key "upp"', "does not say where up is"),
        ),
        (
            MPNET.replace("q: attention.attn.q", "layout: haeds"),
            ("layout must be parts or heads, not haeds",),
        ),
        (
            MPNET.replace("      norm: attention.LayerNorm", "      layout: heads"),
            ("layout has no meaning without qkv",),
        ),
        ("stacks: {}", ("stacks must be a mapping",)),
        ("model_type: x\n", ("stacks must be a mapping",)),
    ],
)
def test_validate_knows_descriptions(text: str, messages: tuple[str, ...], tmp_path: Path) -> None:
    from peftsearch.cli.checking import validate

    path = tmp_path / "mpnet.yaml"
    path.write_text(text)
    found = validate(path)
    assert found.kind == "backbone description"
    said = " ".join(f"{problem.message} {problem.hint}" for problem in found.problems)
    assert bool(found.problems) == bool(messages)
    for message in messages:
        assert message in said
        assert str(path) in said
