"""Every exporter on every family, over random architectures of all methods.

What a target refuses, it refuses by name and reason and leaves nothing; all the rest is written
and verified. There is no third outcome.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from peftsearch.backbones.base import Backbone
from peftsearch.catalogue import exporters
from peftsearch.errors import ExportError
from peftsearch.export import writing
from peftsearch.export.base import Bundle, logits_of
from tests.models import EACH_FAMILY, FACTORIES, inputs
from tests.unit.export.material import METHODS, architecture, bundle_of, fresh, random_choices

#: Targets that are loaded in this interpreter.
TARGETS = ("native", "peft", "peft-serving", "merged")


def _state(backbone: Backbone) -> list[tuple[str, bool, int]]:
    model = backbone.model
    return [(n, p.requires_grad, p.data_ptr()) for n, p in model.named_parameters()]


def _refused(bundle: Bundle, target: str, folder: Path) -> set[tuple[str, str]]:
    """Return what a target refuses; check that it says so, and leaves nothing behind."""
    found = writing.problems(target, bundle.architecture, bundle.backbone)
    if found:
        with pytest.raises(ExportError) as caught:
            writing.export(bundle, target, folder)
        for problem in found:
            assert f"  {problem.site}: {problem.method}: {problem.reason}" in caught.value.message
            assert len(problem.reason) > 15
        assert not folder.exists()
        assert list(folder.parent.iterdir()) == []
    return {(problem.site, problem.method) for problem in found}


@pytest.mark.parametrize("family", EACH_FAMILY)
@pytest.mark.parametrize("target", TARGETS)
def test_written_and_verified_or_refused(target: str, family: str, tmp_path: Path) -> None:
    backbone = fresh(family)
    choices = random_choices(backbone, METHODS, seed=sum(map(ord, family)))
    folder = tmp_path / "export.of.1"
    refused = _refused(bundle_of(backbone, choices), target, folder)
    table = exporters()[target]
    for choice in choices:
        reason = table.reason(choice.method, choice.site.split(".")[2], backbone.family)
        assert bool(reason) == ((choice.site, choice.method) in refused), choice
    rest = [choice for choice in choices if (choice.site, choice.method) not in refused]
    bundle = bundle_of(backbone, rest)
    before, logits = _state(backbone), logits_of(backbone.model, inputs(backbone.model))
    again = {site for site, _ in _refused(bundle, target, folder)}
    assert again <= {"head", "all sites"}
    if not again:
        check = writing.export(bundle, target, folder)
        assert check["verified"]
        assert check["max_logit_difference"] <= check["tolerance"]
        counted = [e["num_params"] for e in check["entries"] if e["name"] != "head"]
        assert sum(counted) == bundle.architecture.num_params or target == "merged"
        assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert _state(backbone) == before, "the backbone is as it was, tensor by tensor"
    assert torch.equal(logits_of(backbone.model, inputs(backbone.model)), logits)


def test_every_choice_that_the_table_holds_is_held_alone() -> None:
    """A declared yes is never taken back for a single choice; a no is one for every size."""
    for family in FACTORIES:
        backbone = fresh(family)
        choices = random_choices(backbone, METHODS, 0)
        for target in TARGETS:
            found = [
                problem
                for one in choices
                for problem in writing.problems(target, architecture(backbone, [one]), backbone)
            ]
            card = exporters()[target]
            wanted = [
                (c.site, c.method)
                for c in choices
                if card.reason(c.method, c.site.split(".")[2], backbone.family)
            ]
            assert [(p.site, p.method) for p in found if p.site != "head"] == wanted


@pytest.mark.parametrize("target", TARGETS)
def test_an_empty_architecture(target: str, tmp_path: Path) -> None:
    backbone = fresh("t5")
    bundle = bundle_of(backbone, [])
    refused = _refused(bundle, target, tmp_path / "x")
    assert refused == (set() if target in ("native", "merged") else {("all sites", "none")})
    if not refused:
        assert writing.export(bundle, target, tmp_path / "x")["max_logit_difference"] == 0


def test_an_export_of_other_logits_is_not_kept(tmp_path: Path) -> None:
    backbone = fresh("t5")
    good = bundle_of(backbone, random_choices(backbone, ["lora"], 0))
    wrong = Bundle(
        architecture(backbone, good.architecture.choices),
        {name: tensor * 1.01 for name, tensor in good.weights.items()},
        good.head,
        backbone,
        good.check_inputs,
        good.check_logits,
    )
    for target in TARGETS:
        with pytest.raises(ExportError, match="does not reproduce the model: its logits differ"):
            writing.export(wrong, target, tmp_path / target)
    assert list(tmp_path.iterdir()) == []
