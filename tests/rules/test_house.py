"""Sizes, names, docstrings, printing and spelling: the house rules that ruff does not know."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.rules.sources import ROOT, modules, project_files, python_files, text_files, tree

MOST_LINES, MOST_FUNCTION_LINES = 400, 60
NO_OWNER = {"utils", "util", "helpers", "helper", "common", "misc"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def relative(path: Path) -> str:
    """Return a path from the root of the project."""
    return path.relative_to(ROOT).as_posix()


def definitions(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """Yield every function and class of a file with its dotted name."""

    def visit(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.AST]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function | ast.ClassDef):
                yield prefix + child.name, child
                if isinstance(child, ast.ClassDef):
                    yield from visit(child, f"{prefix}{child.name}.")

    yield from visit(tree(path), "")


def test_file_length() -> None:
    lengths = {
        relative(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in python_files()
    }
    assert not {path: lines for path, lines in lengths.items() if lines > MOST_LINES}


def test_function_length() -> None:
    lengths = {
        f"{module}.{name}": node.end_lineno - node.lineno + 1
        for module, path in modules().items()
        for name, node in definitions(path)
        if isinstance(node, Function) and node.end_lineno is not None
    }
    assert not {name: lines for name, lines in lengths.items() if lines > MOST_FUNCTION_LINES}


def test_public_names_have_docstrings() -> None:
    assert not [module for module, path in modules().items() if not ast.get_docstring(tree(path))]
    bare = [
        f"{module}.{name}"
        for module, path in modules().items()
        for name, node in definitions(path)
        if isinstance(node, Function | ast.ClassDef)
        and not any(part.startswith("_") for part in name.split("."))
        and not ast.get_docstring(node)
    ]
    assert not bare


def test_no_file_without_an_owner() -> None:
    assert not [relative(path) for path in project_files() if path.stem in NO_OWNER]


def test_only_the_console_prints() -> None:
    printing = {"print", "pprint", "sys.stdout.write", "sys.stderr.write", "typer.echo"}
    wrong = [
        f"{relative(path)}:{node.lineno}"
        for path in modules().values()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in printing
    ]
    assert not [place for place in wrong if not place.startswith("peftsearch/console.py:")]


def test_annotations_are_not_evaluated() -> None:
    def is_there(path: Path) -> bool:
        nodes = (node for node in tree(path).body if isinstance(node, ast.ImportFrom))
        return any(node.module == "__future__" for node in nodes)

    with_code = [path for path in python_files() if len(tree(path).body) > 1]
    assert not [relative(path) for path in with_code if not is_there(path)]


# Built from pieces, so that this file passes its own rule.
AMERICAN = re.compile(
    "|".join(
        [
            r"\b\w*iz(?:e|es|ed|er|ers|ing|ation|ations)\b",
            r"\b\w*yz(?:e|es|ed|er|ing)\b",
            r"\b\w*(?:behavi|neighb|col|fav|lab|hon)or(?:s|ed|ing|able)?\b",
            r"\bcenter(?:s|ed|ing)?\b",
            r"\b(?:gray|catalog|modeling|modeled|labeled|labeling|canceled|program{}med)\b".replace(
                "{}", "m" * 2
            ),
        ]
    ),
    re.IGNORECASE,
)
#: Words that are spelt so in Britain too, or that are the name of something in a library.
ALLOWED = set(
    "prize seize tokenizer tokenizers tokenize tokenized optimizer color colors colormap author "
    "center".split()
)
#: Words of a library's message that is looked for.
QUOTED = {("peftsearch/hub/failures.py", "recognize")}
#: Code in the midst of prose: spans, calls, addresses, names with underscores or two capitals.
CODE = re.compile(r"`[^`]*`|\w+\(|https?://\S+|\w*_\w*|\w*[a-z0-9][A-Z]\w*")


def prose(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Yield what is written for people: comments and docstrings, or all of a text file."""
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), start=1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        sentence = token.type == tokenize.STRING and token.string.count(" ") > 2
        if token.type == tokenize.COMMENT or sentence:
            yield token.start[0], token.string


def own_names(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the names that the project itself gives: functions, classes and arguments."""
    for node in ast.walk(tree(path)):
        if isinstance(node, Function | ast.ClassDef):
            yield node.lineno, node.name.replace("_", " ")
        if isinstance(node, ast.arg):
            yield node.lineno, node.arg.replace("_", " ")


def spelling(path: Path, text: str) -> list[str]:
    """Return the American spellings of a file."""
    pieces = list(prose(path, text))
    if path.suffix == ".py":
        pieces += own_names(path)
    without_code = [(line, CODE.sub(" ", piece)) for line, piece in pieces]
    return [
        f"{relative(path)}:{line}: {word}"
        for line, piece in without_code
        for word in AMERICAN.findall(piece)
        if word.lower() not in ALLOWED
        and not word.lower().endswith(("size", "sized", "sizes"))
        and (relative(path), word) not in QUOTED
    ]


def test_british_spelling() -> None:
    kinds = {".py", ".md", ".toml", ".yaml"}
    found = [
        wrong
        for path, text in text_files()
        if path.suffix in kinds and path != Path(__file__)
        for wrong in spelling(path, text)
    ]
    assert not found


def test_the_spelling_rule_can_fail(tmp_path: Path) -> None:
    wrong = "discreti" + "ze the behavi" + "or"
    pieces = [word for word in AMERICAN.findall(wrong) if word not in ALLOWED]
    assert pieces == ["discreti" + "ze", "behavi" + "or"]


def test_no_paths_of_a_machine_and_no_registry() -> None:
    paths = re.compile(r"(?<![\w.}>)])/(?:home|root|work|Users|mnt|opt)/\w")
    hosts = re.compile("py" + r"pi\.(?:org|python)|pythonhos" + r"ted\.org|conda\.an" + "aconda")
    found = [
        f"{relative(path)}:{number}"
        for path, text in text_files()
        for number, line in enumerate(text.splitlines(), start=1)
        if paths.search(line) or hosts.search(line)
    ]
    assert not found
