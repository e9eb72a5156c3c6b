"""Lines of Python that load an export, as they can be pasted.

Place in the flow: part of html. Lines written by the exporter itself (``load`` in its
``check.json``) come first; they were written where the model's class is known.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from peftsearch.catalogue import families
from peftsearch.report.collect import RunData
from peftsearch.report.tables import records
from peftsearch.report.wording import count

#: Types of models that answer with a text, of families that are all encoder-decoders.
_TEXT_OUT = tuple(kind for kind, file in families().items() if file in ("t5", "bart"))
_CLASSES = {
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
}


@dataclass(frozen=True)
class Export:
    """One export target, as the report shows it.

    Attributes:
        target: Name of the target.
        verified: Whether it was loaded back and gave the same logits.
        status: One sentence.
        lines: Python lines that load it; empty where there is nothing to load.
        problems: Site, method and reason of each choice it cannot express.
    """

    target: str
    verified: bool
    status: str
    lines: str
    problems: pd.DataFrame


def exports(data: RunData) -> list[Export]:
    """Return every target, the verified ones first."""
    rows = data.exports.sort_values("verified", ascending=False, kind="stable")
    result = []
    for row in records(rows):
        target = str(row["target"])
        problems = data.problems[data.problems["target"] == target]
        verified = bool(row["verified"])
        lines = _lines(data, target) if verified else ""
        status = _status(verified, row["max_logit_difference"], row["num_params"], len(problems))
        result.append(Export(target, verified, status, lines, problems))
    return result


def _status(verified: bool, gap: object, parameters: object, problems: int) -> str:
    if problems:
        return f"Not written: {problems} of the choices cannot be expressed in this format."
    difference = "" if not isinstance(gap, (int, float)) or pd.isna(gap) else f"{gap:.2g}"
    if not verified:
        return "Written, but the loaded model differs" + (
            f" by up to {difference} in its logits." if difference else "."
        )
    text = "Verified by loading it back"
    if difference:
        text += f": largest difference of a logit {difference}"
    if isinstance(parameters, (int, float)) and not pd.isna(parameters):
        text += f", {count(float(parameters))} parameters"
    return f"{text}."


def apply_lines(data: RunData) -> str:
    """Lines that put the architecture on a model of the reader's own."""
    path = json.dumps(shown_path(data.path / "architecture.json"), ensure_ascii=False)
    return (
        f"import peftsearch\n\narchitecture = peftsearch.Architecture.load({path})\n"
        "model = peftsearch.apply(model, architecture)"
    )


def _moved(lines: str, folder: Path) -> str:
    """Return recorded lines with the folder of the export as it lies now: a run may be moved."""
    recorded = rf"""(['"])[^'"\n]*export/{re.escape(folder.name)}\1"""
    return re.sub(recorded, lambda _: repr(shown_path(folder)), lines)


def shown_path(path: Path) -> str:
    """Return a path as it can be pasted: relative where it lies below the current folder."""
    whole = path.absolute()
    try:
        return whole.relative_to(Path(os.getcwd())).as_posix()
    except ValueError:
        return str(whole)


def _lines(data: RunData, target: str) -> str:
    if target in data.loading:
        return _moved(data.loading[target], data.path / "export" / target)
    folder = json.dumps(shown_path(data.path / "export" / target), ensure_ascii=False)
    if target == "native":
        return f"import peftsearch\n\nmodel = peftsearch.load({folder})"
    if target == "peft":
        text_out = data.facts.family in _TEXT_OUT
        kind = data.facts.peft_task or ("SEQ_2_SEQ_LM" if text_out else "SEQ_CLS")
        name = _CLASSES.get(kind, "AutoModel")
        base = json.dumps(data.facts.peft_base or data.facts.model, ensure_ascii=False)
        return (
            f"from peft import PeftModel\nfrom transformers import {name}\n\n"
            f"model = {name}.from_pretrained({base})\n"
            f"model = PeftModel.from_pretrained(model, {folder})"
        )
    return f"# written to {shown_path(data.path / 'export' / target)}".replace("\n", " ")
