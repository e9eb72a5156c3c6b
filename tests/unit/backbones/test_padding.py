"""What stands behind or before a text as padding changes nothing of it, with all methods in."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from peftsearch import testing
from peftsearch.backbones.base import wrap
from peftsearch.catalogue import method_facts
from peftsearch.injection import apply, insertions_of
from tests.encoder_models import ENCODERS
from tests.models import FACTORIES, VOCABULARY

METHODS = [name for name in method_facts() if name != "none"]
#: With padding in front these change by themselves: positions are absolute, or blocks begin anew.
BEHIND_ONLY = {"pegasus", "marian", "longt5_global"}
#: Positions must be given then; ModernBERT's are relative, but to a prefix, which has none.
ABSOLUTE = {"electra", "distilbert", "albert", "modernbert"}


def _states(model: Any, ids: Tensor, mask: Tensor, front: int, family: str) -> Tensor:
    """Return what comes out for the tokens of the text: states, or a decoder's logits."""
    batch: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
    if model.config.is_encoder_decoder:
        batch["decoder_input_ids"] = torch.tensor([[2, 9, 4]])
        return model(**batch).logits  # type: ignore[no-any-return]
    if family in ABSOLUTE:
        batch["position_ids"] = (torch.arange(ids.shape[1]) - front).clamp(min=0)[None]
    return model.base_model(**batch).last_hidden_state[:, front : front + 5]  # type: ignore[no-any-return]


@torch.no_grad()
@pytest.mark.parametrize("family", ENCODERS)
def test_padding_on_either_side(family: str) -> None:
    model = FACTORIES[family]()
    backbone = wrap("test", model)
    choices = [c for name in METHODS for c in testing.choices_for(backbone, name, 2)]
    apply(model, testing.architecture_of(backbone, choices))
    testing.draw(insertions_of(model), std=0.1)
    model.eval()
    text = torch.randint(3, VOCABULARY, (1, 5), generator=torch.Generator().manual_seed(0))
    pad = torch.full((1, 3), model.config.pad_token_id)
    on, off = torch.ones(1, 5, dtype=torch.long), torch.zeros(1, 3, dtype=torch.long)
    wanted = _states(model, text, on, 0, family)
    assert torch.equal(wanted, _states(model, text, on, 0, family)), "not the same twice"
    behind = _states(model, torch.cat([text, pad], 1), torch.cat([on, off], 1), 0, family)
    before = _states(model, torch.cat([pad, text], 1), torch.cat([off, on], 1), 3, family)
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(behind, wanted, **close)
    if family in BEHIND_ONLY:
        assert not torch.allclose(before, wanted, **close)
    else:
        torch.testing.assert_close(before, wanted, **close)
