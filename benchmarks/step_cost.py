"""Time and memory of a training step, as ratios measured side by side in one run.

    python benchmarks/step_cost.py --shape minilm --rounds 15
    python benchmarks/step_cost.py --shape t5-small --rounds 15

Every variant trains the same model (random weights) on the same batch. The floor is a step in
which one bias or norm of the bottom layer trains: forward plus activation gradients, the least
any PEFT step can cost. Variants run in turn, round by round, so a change of the machine's speed
hits all of them; the ratio of each round is taken and the median, least and largest are printed.
Peak memory is that of a fresh process per variant, less what the process held before the model.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
)

from peftsearch.backbones.base import freeze, module_paths, wrap
from peftsearch.baselines import uniform
from peftsearch.catalogue import method_facts, space_path
from peftsearch.config import read_yaml
from peftsearch.config.schema import SearchConfig
from peftsearch.injection import cost_function, insert_choice
from peftsearch.methods.lora import SCALE
from peftsearch.space_spec import apply_space, parse_space
from peftsearch.supernet.gates import sample
from peftsearch.supernet.supernet import Supernet

Step = Callable[[], None]
BUDGET = 0.01
RANK = 8


def minilm() -> tuple[Any, dict[str, torch.Tensor]]:
    """Return a model of MiniLM's shape and a batch of 16 x 64 tokens."""
    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    ids = torch.randint(1000, 20000, (16, 64))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return BertForSequenceClassification(config), batch | {"labels": torch.randint(0, 2, (16,))}


def t5_small() -> tuple[Any, dict[str, torch.Tensor]]:
    """Return a model of T5-small's shape and a batch of 8 x 64 tokens."""
    config = T5Config(
        d_model=512, d_kv=64, d_ff=2048, num_layers=6, num_heads=8, decoder_start_token_id=0
    )
    ids = torch.randint(1000, 20000, (8, 64))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return T5ForConditionalGeneration(config), batch | {"labels": ids[:, :4].clone()}


SHAPES = {"minilm": minilm, "t5-small": t5_small}


def training_step(model: Any, batch: dict[str, torch.Tensor]) -> Step:
    """Return forward and backward over whatever is trainable, and an AdamW step."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-4, fused=True)

    def step() -> None:
        model(**batch).loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def floor(shape: str) -> Step:
    """Train one norm of the bottom layer."""
    model, batch = SHAPES[shape]()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    norm = next(h for h in wrap("x", model).hosts if h.site.part == "norm")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    norm.modules["attention"].get_parameter("weight").requires_grad_(True)
    return training_step(model.train(), batch)


def _lora_modules(shape: str, everywhere: bool) -> tuple[Any, dict[str, torch.Tensor], list[Any]]:
    model, batch = SHAPES[shape]()
    names = ("q", "k", "v", "o", "up", "gate", "down") if everywhere else ("q", "v")
    chosen = [
        (host, tuple(m for m in host.modules if m in names))
        for host in wrap("x", model).hosts
        if host.site.part != "norm" and any(m in names for m in host.modules)
    ]
    return model, batch, chosen


def ours(shape: str, everywhere: bool) -> Step:
    """Train LoRA of rank 8 inserted by peftsearch."""
    from peftsearch.architecture import Choice

    model, batch, chosen = _lora_modules(shape, everywhere)
    for host, modules in chosen:
        insert_choice(host, Choice(host.site.id, "lora", RANK, modules))
    return training_step(model.train(), batch)


def peft(shape: str, everywhere: bool) -> Step:
    """Train the same LoRA inserted by HF PEFT."""
    model, batch, chosen = _lora_modules(shape, everywhere)
    hosts = [host.modules[m] for host, modules in chosen for m in modules]
    config = LoraConfig(r=RANK, lora_alpha=SCALE * RANK, target_modules=module_paths(model, hosts))
    wrapped = get_peft_model(model, config)
    for name, parameter in wrapped.named_parameters():
        if name.startswith("base_model.model.classifier"):
            parameter.requires_grad_(True)  # peftsearch trains the head beside
    return training_step(wrapped.train(), batch)


def supernet(shape: str, *, gates: bool) -> Step:
    """One pass of the supernet over the default space: of the weights, or of the gates."""
    torch.manual_seed(0)
    model, batch = SHAPES[shape]()
    backbone = wrap("x", model)
    spec = parse_space(read_yaml(space_path("default")), method_facts(), "default")
    limit = int(BUDGET * backbone.num_parameters)
    space = apply_space(spec, backbone.sites, method_facts(), cost_function(backbone.hosts))
    net = Supernet(backbone, space.within(limit))
    freeze(model)
    model.train()
    rows = len(batch["labels"])
    weights = [p for group in net.weight_parameters().values() for p in group]
    optimiser = torch.optim.AdamW(weights, lr=1e-4, fused=True)

    def weight_pass() -> None:
        with torch.no_grad():
            log_q, _ = net.gates.priced(net.gates.log_prior(), float(limit))
            choices = sample(log_q, SearchConfig().architectures_per_batch, 1.0)
        net.set(choices, rows)
        model(**batch).loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    def gate_pass() -> None:
        log_q, _ = net.gates.priced(net.gates.log_prior(), float(limit))
        drawn = sample(log_q, SearchConfig().architectures_per_batch, 1.0)
        net.set(drawn, rows, probed=SearchConfig().probed_fraction)
        torch.autograd.grad(model(**batch).loss, net.arch_parameters())

    return gate_pass if gates else weight_pass


def uniform_method(shape: str, method: str) -> Step:
    """Train the uniform architecture of a method at 1 %."""
    model, batch = SHAPES[shape]()
    backbone = wrap("x", model)
    cost = cost_function(backbone.hosts)
    limit = int(BUDGET * backbone.num_parameters)
    choices = uniform(method_facts()[method], backbone.sites, cost, limit) or ()
    hosts = {host.site.id: host for host in backbone.hosts}
    for choice in choices:
        if choice.num_params:
            insert_choice(hosts[choice.site], choice)
    return training_step(model.train(), batch)


VARIANTS: dict[str, Callable[[str], Step]] = {
    "floor": floor,
    "lora-qv/ours": lambda s: ours(s, False),
    "lora-qv/peft": lambda s: peft(s, False),
    "lora-all/ours": lambda s: ours(s, True),
    "lora-all/peft": lambda s: peft(s, True),
    "adapter/ours": lambda s: uniform_method(s, "adapter"),
    "prefix/ours": lambda s: uniform_method(s, "prefix"),
    "supernet weights": lambda s: supernet(s, gates=False),
    "supernet gates": lambda s: supernet(s, gates=True),
}


def time_all(shape: str, rounds: int) -> dict[str, list[float]]:
    """Return seconds per step of every variant and round."""
    steps = {name: build(shape) for name, build in VARIANTS.items()}
    for step in steps.values():
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    gc.disable()
    for _ in range(rounds):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def peak_growth(shape: str, variant: str) -> int:
    """Return by how many bytes the model and four steps raise the peak of a fresh process."""
    code = f"import step_cost; step_cost.report_growth({shape!r}, {variant!r})"
    folder = Path(__file__).parent
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=folder, capture_output=True, check=True
    )
    return int(found.stdout.split()[-1])


def report_growth(shape: str, variant: str) -> None:
    """Print what :func:`peak_growth` reads; runs in a process of its own."""
    torch.set_num_threads(1)
    before = _peak_bytes()
    step = VARIANTS[variant](shape)
    for _ in range(4):
        step()
    sys.stdout.write(f"{_peak_bytes() - before}\n")


def _peak_bytes() -> int:
    """Return this process's peak resident memory (Linux; getrusage would count the parent's)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def row(name: str, values: list[float]) -> dict[str, Any]:
    """Return median, least and largest of one ratio."""
    return {
        "ratio": name,
        "median": round(statistics.median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
        "n": len(values),
    }


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--shape", choices=SHAPES, default="minilm")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    seconds = time_all(arguments.shape, arguments.rounds)
    against = [(name, "floor") for name in VARIANTS if name != "floor"]
    against += [("lora-qv/ours", "lora-qv/peft"), ("lora-all/ours", "lora-all/peft")]
    rows = [
        row(f"{a} : {b}", [x / y for x, y in zip(seconds[a], seconds[b], strict=True)])
        for a, b in against
    ]
    growth = {
        name: peak_growth(arguments.shape, name)
        for name in ("lora-all/ours", "lora-qv/ours", "supernet weights", "supernet gates")
    }
    for name in ("supernet weights", "supernet gates"):
        rows.append(row(f"memory of {name} : lora-all", [growth[name] / growth["lora-all/ours"]]))
    floor_seconds = statistics.median(seconds["floor"])
    lines = [
        f"{arguments.shape}, {arguments.threads} thread(s), floor {floor_seconds:.3f} s a step"
    ]
    for r in rows:
        spread = f"({r['min']:.2f} to {r['max']:.2f}, n = {r['n']})"
        lines.append(f"{r['ratio']:45s} {r['median']:6.2f}  {spread}")
    sys.stdout.write("\n".join(lines) + "\n")
    if arguments.out:
        content = {"shape": arguments.shape, "floor_seconds": floor_seconds, "rows": rows}
        arguments.out.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
