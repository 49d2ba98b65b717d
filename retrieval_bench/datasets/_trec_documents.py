"""Files of ``<DOC>`` blocks, the form of the TREC disks, whose names have no suffix to know them by."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

from retrieval_bench.datasets._lines import first_bytes, numbered_lines
from retrieval_bench.errors import DataError

_OPENING = re.compile(r"<DOC(?:\s[^<>]*)?>", re.IGNORECASE)
_NAMED = re.compile(r"<DOC\s[^<>]*?\bid\s*=\s*[\"']?([^\s\"'>]+)", re.IGNORECASE)
_FIRST = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s|<[^>]*>)*?<DOC[\s>]", re.IGNORECASE)
_NUMBER = re.compile(r"<DOCNO>\s*(\S+)\s*</DOCNO>", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")


def document_files(folder: Path) -> list[Path]:
    """The files below a folder that begin with ``<DOC>``, before which only other tags may stand, plain or gzipped.

    Hidden files, topics and judgments are left aside.

    Raises:
        DataError: a packed file cannot be unpacked, so that it cannot be told whether its documents are missing.
    """
    found = []
    for file in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if hidden or file.name.startswith(("topics", "qrels")) or not file.is_file():
            continue
        if _FIRST.match(first_bytes(file)):
            found.append(file)
    return found


def read_documents(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (file and line, id, text) of each document.

    The text is everything but the id, without tags and comments, entities resolved and white space collapsed. Lines
    that are not UTF-8 are read as Windows-1252, which the old disks use.

    Raises:
        DataError: a block without ``<DOCNO>`` or ``</DOC>``, or no block.
    """
    start, block, any_read = 0, list[str](), False
    for number, line in numbered_lines(path, fallback="cp1252"):
        if _OPENING.match(line.strip()):
            if start:
                raise DataError(f"{path}:{start}: this <DOC> has no </DOC>")
            start, block = number, []
        if start:
            block.append(line)
            if line.strip().upper().endswith("</DOC>"):
                yield _document(f"{path}:{start}", "\n".join(block))
                start, any_read = 0, True
    if start:
        raise DataError(f"{path}:{start}: this <DOC> has no </DOC>; the file is cut short")
    if not any_read:
        raise DataError(f"{path}: no line begins with <DOC>; put each document's <DOC> on a line of its own")


def _document(where: str, block: str) -> tuple[str, str, str]:
    number = _NUMBER.search(block)
    found = number or _NAMED.match(block.lstrip())
    if found is None:
        raise DataError(f"{where}: this document has no <DOCNO>")
    body = block[: number.start()] + block[number.end() :] if number else block
    text = html.unescape(_TAG.sub(" ", _COMMENT.sub(" ", body)))
    return where, found.group(1), " ".join(text.split())
