"""Topics of TREC, in the forms that its tracks hand out: markup, JSON, or lines of id, tab and text."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from retrieval_bench.datasets._asked import first_texts
from retrieval_bench.datasets._lines import numbered_lines
from retrieval_bench.errors import DataError

TopicField = Literal["title", "desc", "narr"]
# What tracks call the parts of a topic: `query` and `question` are of TREC-COVID, the web track has `query` too.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "num": ("num", "number", "_id", "id", "qid", "query_id", "topic_id"),
    "title": ("title", "query", "text"),
    "desc": ("desc", "description", "question"),
    "narr": ("narr", "narrative"),
}
_FORMS = (
    '<top> blocks, <topic number="1"> elements with <title> or <query>, '
    'JSON objects with the keys "id" and "title" or "query", or lines of an id, a tab and a text'
)
_BLOCK_FIELD = re.compile(
    r"<(num|title|query|desc|narr)>\s*(?:(?:Number|Topic|Description|Narrative)\s*:)?", re.IGNORECASE
)
_ELEMENT = re.compile(r"<topic\b([^<>]*)>(.*?)</topic\s*>", re.IGNORECASE | re.DOTALL)
_ATTRIBUTE = re.compile(r"(\w+)\s*=\s*[\"']([^\"']*)[\"']")
_CHILD = re.compile(r"<(\w+)[^<>]*>(.*?)</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"</?\w+[^<>]*>")
_Rows = list[tuple[str, str, str]]


@dataclass(frozen=True, kw_only=True)
class Topics:
    """Queries as a topic file holds them.

    Attributes:
        ids: m ids.
        texts: m texts, white space collapsed; empty where the file has none.
        notes: on topics that were left out because their id occurred before.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    notes: Sequence[str] = ()


def read_topics(path: Path, *, field: TopicField = "title") -> Topics:
    """Read topics: ``<top>`` blocks, whose tags need no ends, ``<topic>`` elements, JSON, or lines with tabs.

    Entities of markup are resolved. The first topic of an id is kept.

    Args:
        path: plain or gzipped.
        field: which part of a topic is the query, where it has several.

    Raises:
        DataError: a topic without a number or that field, a line without a tab or an id, no topic.
    """
    lines = list(numbered_lines(path, fallback="cp1252"))
    start = next((line.lstrip() for _, line in lines if line.strip()), "")
    if start.startswith("<"):
        rows = _blocks(path, lines, field) or _elements(path, lines, field)
    elif start.startswith(("{", "[")):
        rows = _json(path, lines, field)
    else:
        rows = _tabbed(path, lines)
    if not rows:
        raise DataError(f"{path}: holds no topics in a form that is read: {_FORMS}")
    texts, notes = first_texts(rows)
    return Topics(ids=list(texts), texts=list(texts.values()), notes=notes)


def _tabbed(path: Path, lines: list[tuple[int, str]]) -> _Rows:
    rows = []
    for number, line in lines:
        if not line.strip():
            continue
        key, tab, text = line.partition("\t")
        if not tab or not key.strip():
            raise DataError(f"{path}:{number}: not a topic; read are {_FORMS}")
        rows.append((f"{path}:{number}", key.strip(), " ".join(text.split())))
    return rows


def _blocks(path: Path, lines: list[tuple[int, str]], field: TopicField) -> _Rows:
    rows = []
    start, block = 0, list[str]()
    for number, line in lines:
        if line.strip().lower().startswith("<top>"):
            if start:
                raise DataError(f"{path}:{start}: this <top> has no </top>")
            start, block = number, []
        if start:
            block.append(line)
            if "</top>" in line.lower():
                pieces = _BLOCK_FIELD.split("\n".join(block))
                parts = {
                    tag.lower(): _plain(re.split(rf"</{tag}>", text, flags=re.IGNORECASE)[0])
                    for tag, text in zip(pieces[1::2], pieces[2::2], strict=True)
                }
                rows.append(_topic(f"{path}:{start}", parts, field))
                start = 0
    if start:
        raise DataError(f"{path}:{start}: this <top> has no </top>; the file is cut short")
    return rows


def _elements(path: Path, lines: list[tuple[int, str]], field: TopicField) -> _Rows:
    text = "\n".join(line for _, line in lines)
    rows = []
    for found in _ELEMENT.finditer(text):
        attributes = {name.lower(): value for name, value in _ATTRIBUTE.findall(found[1])}
        children = {name.lower(): _plain(inner) for name, inner in _CHILD.findall(found[2])}
        whole = {} if children else {"text": _plain(found[2])}  # the clinical tracks have a text and no elements
        line = lines[text.count("\n", 0, found.start())][0]
        rows.append(_topic(f"{path}:{line}", {**whole, **attributes, **children}, field))
    return rows


def _json(path: Path, lines: list[tuple[int, str]], field: TopicField) -> _Rows:
    rows = []
    for where, value in _json_values(path, lines):
        if not isinstance(value, dict):
            raise DataError(f"{where}: holds a {type(value).__name__} where a topic should stand; read are {_FORMS}")
        parts = {k.lower(): " ".join(str(v).split()) for k, v in value.items() if isinstance(v, str | int)}
        rows.append(_topic(where, parts, field))
    return rows


def _json_values(path: Path, lines: list[tuple[int, str]]) -> list[tuple[str, Any]]:
    """The items of a list, of an object by id, or of a file with one on each line; with their places."""
    try:
        whole = json.loads("\n".join(line for _, line in lines))
    except json.JSONDecodeError:
        try:
            return [(f"{path}:{number}", json.loads(line)) for number, line in lines if line.strip()]
        except json.JSONDecodeError as error:
            raise DataError(f"{path}: not JSON, whole or line by line ({error.msg}); read are {_FORMS}") from error
    if isinstance(whole, dict) and not any(name in whole for name in _NAMES["num"]):
        whole = [{"id": k, **(v if isinstance(v, dict) else {"title": v})} for k, v in whole.items()]
    return [(f"{path}: topic {i}", v) for i, v in enumerate(whole if isinstance(whole, list) else [whole], start=1)]


def _plain(markup: str) -> str:
    return " ".join(html.unescape(_TAG.sub(" ", markup)).split())


def _topic(where: str, parts: Mapping[str, str], field: TopicField) -> tuple[str, str, str]:
    number = next((parts[name] for name in _NAMES["num"] if parts.get(name)), None)
    text = next((parts[name] for name in _NAMES[field] if name in parts), None)
    for name, value in (("num", number), (field, text)):
        if value is None:
            others = ", ".join(_NAMES[name][1:])
            raise DataError(f"{where}: this topic has no <{name}> (or {others})")
    return where, str(number), str(text)
