"""What an architecture does to each backbone module, put together for exporters.

The methods that act on weights alone (LoRA, IA3, BitFit, LayerNorm tuning) compose in closed
form; where several choices of one method meet on a module, they are one there:

    linear map    y = s_out * (W (s_in * x) + c B A (s_in * x) + b) + d
    norm          y = (w + dw) * n(x) + b + db

LoRAs stack their ranks, IA3s multiply, biases and norm differences add up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from peftsearch.architecture import Choice
from peftsearch.export.base import Bundle
from peftsearch.methods.linear_map import LinearMap, linear_map

#: The methods that are described here.
METHODS = ("layernorm", "lora", "ia3", "bitfit")


@dataclass
class Touched:
    """One backbone module, and what the weights of an architecture come to there.

    Attributes:
        path: Dotted path of the module within the model.
        module: The frozen module.
        part: The part of a layer it belongs to.
        A: LoRA's first matrix (R, D_in).
        B: LoRA's second matrix (D_out, R), without the scale.
        scale: IA3's factor, of the input in a feed-forward and of the output elsewhere.
        norm_weight: What is added to a norm's weight.
        bias: What is added to the bias, or to the output where there is none.
        num_params: Trained parameters by method.
    """

    path: str
    module: nn.Module
    part: str
    A: Tensor | None = None
    B: Tensor | None = None
    scale: Tensor | None = None
    norm_weight: Tensor | None = None
    bias: Tensor | None = None
    num_params: dict[str, int] = field(default_factory=dict)

    @property
    def on_input(self) -> bool:
        """Whether IA3 rescales the input."""
        return self.part == "feed_forward"

    @property
    def linear(self) -> LinearMap:
        """The module as a linear map, which all but norms are."""
        found = linear_map(self.module)
        assert found is not None
        return found

    @property
    def transposed(self) -> bool:
        """Whether the weight is stored as (D_in, D_out)."""
        return isinstance(self.module, Conv1D)

    @property
    def rank(self) -> int:
        """LoRA's rank in all; 0 without."""
        return 0 if self.A is None else len(self.A)

    def add(self, method: str, tensors: dict[str, Tensor]) -> None:
        """Take in what one method does; no method comes twice."""
        self.num_params[method] = sum(tensor.numel() for tensor in tensors.values())
        if method == "lora":
            self.A, self.B = tensors["A"], tensors["B"]
        elif method == "ia3":
            self.scale = 1 + tensors["delta"]
        elif method == "bitfit":
            self.bias = _sum(self.bias, tensors["delta"])
        elif method == "layernorm":
            self.norm_weight = tensors["weight"]
            self.bias = _sum(self.bias, tensors.get("bias"))

    def tuned_norm(self) -> dict[str, Tensor]:
        """Return the weight, and bias if it has one, of a norm as it was tuned."""
        weight = self.module.get_parameter("weight").detach().cpu().float()
        if self.norm_weight is not None:
            weight = weight + self.norm_weight
        if getattr(self.module, "bias", None) is None:
            return {"weight": weight}
        bias = self.module.get_parameter("bias").detach().cpu().float()
        return {"weight": weight, "bias": bias if self.bias is None else bias + self.bias}


def _sum(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    """Add what is there."""
    if old is None or new is None:
        return new if old is None else old
    return old + new


def touched(bundle: Bundle, choices: Iterable[Choice]) -> list[Touched]:
    """Return every module that choices of :data:`METHODS` touch, in the order of the model."""
    paths = {id(module): path for path, module in bundle.backbone.model.named_modules()}
    hosts = {host.site.id: host for host in bundle.backbone.hosts}
    found: dict[str, Touched] = {}
    for choice in choices:
        host = hosts[choice.site]
        for name in choice.modules:
            module = host.modules[name]
            path = paths[id(module)]
            one = found.setdefault(path, Touched(path, module, host.site.part))
            one.add(choice.method, bundle.of(choice.site, choice.method, name))
    return [found[path] for path in paths.values() if path in found]
