"""Code search over the standard library of the running interpreter: a docstring's summary asks for its function.

Made as CodeSearchNet is made (Husain et al. 2019, arXiv 1909.09436, section 2): a query is the first paragraph of a
docstring, its document the function without that docstring. Left out are summaries under three words, functions under
three lines, those with "test" in their name, constructors and other dunder methods, and repeated functions. Unlike
there, a summary that several functions share is one query with several relevant documents, and the split is by query:
about 60 % train, 20 % tune, 20 % test, fixed by a hash of the query's id, over one corpus of all functions.
"""

from __future__ import annotations

import ast
import hashlib
import platform
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrieval_bench.errors import UnavailableError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Corpus, Dataset, Frozen, Qrels, Queries

# Not the library itself: installed packages, its tests and their fixtures, demos, and one build's configuration.
_OUTSIDE = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test", "turtledemo", "__pycache__"})
_FEWEST_WORDS, _FEWEST_LINES = 3, 2  # two lines below the signature: three lines of implementation


class Options(Frozen):
    """The standard library has nothing to set."""


class Function(NamedTuple):
    """A function or method: its id ``module:qualified.name``, docstring summary, and source without docstring."""

    id: str
    summary: str
    code: str


@readers.register("pystdlib")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Collect the functions of the standard library; files that cannot be read as Python are skipped and counted.

    Args:
        card: names the data set; its metric is for encoded text, ``cos`` when it does not say.
        path: a library folder to read instead, or None for that of the running interpreter.

    Raises:
        UnavailableError: there is no source code, as in some stripped or frozen installations.
    """
    validated(Options, card.options, where=f"dataset card {card.name!r}")
    folder = path or Path(sysconfig.get_path("stdlib"))
    functions: dict[str, Function] = {}  # by code: the first of several equal ones is kept
    files = skipped = 0
    for file in _source_files(folder):
        try:
            found = list(functions_of(file, _module_name(file.relative_to(folder))))
        except (SyntaxError, ValueError, RecursionError):  # a UnicodeDecodeError is a ValueError
            skipped += 1
            continue
        files += 1
        for function in found:
            functions.setdefault(function.code, function)
    if not functions:
        raise UnavailableError(f"{folder}: holds no source code; use a Python that comes with its standard library")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    meta = {"python": python, "files": str(files), "skipped_files": str(skipped)}
    return _dataset(card, list(functions.values()), meta)


def _source_files(folder: Path) -> list[Path]:
    files = []
    for file in folder.rglob("*.py"):
        parts = file.relative_to(folder).parts
        if _OUTSIDE.isdisjoint(parts) and not parts[0].startswith("config-"):
            files.append(file)
    return sorted(files, key=lambda file: file.relative_to(folder).as_posix())


def _module_name(file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def functions_of(file: Path, module: str) -> Iterator[Function]:
    """The functions of a source file that fit for code search, in its order; not those inside of functions.

    Names that occur again, such as a property's getter and setter, are told apart as ``name``, ``name#2``, ...

    Raises:
        SyntaxError, ValueError, RecursionError: the file cannot be decoded or parsed.
    """
    with tokenize.open(file) as stream:
        source = stream.read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid escapes in string literals
        tree = ast.parse(source)
    lines = source.split("\n")  # not splitlines, which also splits at form feeds and so loses count
    seen: dict[str, int] = {}
    for name, node in _definitions(tree, ""):
        seen[name] = seen.get(name, 0) + 1
        docstring = ast.get_docstring(node)
        if docstring is None or _is_special(node.name):
            continue
        summary = " ".join(docstring.partition("\n\n")[0].split())
        header, body = _without_docstring(node, lines)
        if len(summary.split()) >= _FEWEST_WORDS and sum(1 for line in body if line.strip()) >= _FEWEST_LINES:
            number = "" if seen[name] == 1 else f"#{seen[name]}"
            indent = lines[node.lineno - 1][: node.col_offset]
            code = "\n".join(line.removeprefix(indent) for line in [*header, *body]).strip()
            yield Function(f"{module}:{name}{number}", summary, code)


def _definitions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name, child
        elif isinstance(child, ast.ClassDef):
            yield from _definitions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.stmt | ast.ExceptHandler):  # defined under an if, try or with
            yield from _definitions(child, prefix)


def _is_special(name: str) -> bool:
    return "test" in name.lower() or (name.startswith("__") and name.endswith("__"))


def _without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> tuple[list[str], list[str]]:
    """Lines of a function before its docstring, decorators first, and after it."""
    docstring = node.body[0]
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    end, last = docstring.end_lineno or docstring.lineno, node.end_lineno or node.lineno
    header, body = lines[first - 1 : docstring.lineno - 1], lines[end:last]
    # What shares a line with the docstring is code too: ``def f(): "doc"; ...``. Columns count UTF-8 bytes.
    before = lines[docstring.lineno - 1].encode()[: docstring.col_offset].decode()
    after = lines[end - 1].encode()[docstring.end_col_offset :].decode().lstrip("; ")
    return (
        [*header, before.rstrip()] if before.strip() else header,
        [" " * docstring.col_offset + after, *body] if after else body,
    )


def _dataset(card: DatasetCard, functions: list[Function], meta: dict[str, str]) -> Dataset:
    relevant: dict[str, list[int]] = {}
    for row, function in enumerate(functions):
        relevant.setdefault(function.summary, []).append(row)
    splits: dict[str, list[str]] = {"train": [], "tune": [], "test": []}
    for summary, rows in relevant.items():
        splits[_split(_query_id(functions[rows[0]]))].append(summary)
    queries, qrels = {}, {}
    for split, summaries in splits.items():
        ids = [_query_id(functions[relevant[summary][0]]) for summary in summaries]
        queries[split] = Queries(ids=ids, texts=summaries, split=split)
        judged = [relevant[summary] for summary in summaries]
        qrels[split] = Qrels(
            offsets=np.cumsum([0, *map(len, judged)], dtype=np.int64),
            rows=np.array([row for rows in judged for row in rows], np.int64),
            grades=np.ones(sum(map(len, judged)), np.int64),
        )
    return Dataset(
        name=card.name,
        fingerprint="",
        corpus=Corpus(ids=[f.id for f in functions], texts=[f.code for f in functions]),
        queries=queries,
        qrels=qrels,
        metric=card.metric or "cos",
        meta=meta,
    )


def _query_id(function: Function) -> str:
    return f"summary:{function.id}"  # not the document's id: equal ids mean that a query is itself a document


def _split(query_id: str) -> str:
    fifth = int.from_bytes(hashlib.blake2b(query_id.encode(), digest_size=8).digest(), "big") % 5
    return {0: "test", 1: "tune"}.get(fifth, "train")
