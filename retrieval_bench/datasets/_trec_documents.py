"""Files of ``<DOC>`` blocks, the form of the TREC disks."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

from retrieval_bench.datasets._lines import numbered_lines
from retrieval_bench.errors import DataError

_NUMBER = re.compile(r"<DOCNO>\s*(\S+)\s*</DOCNO>", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")


def read_documents(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (file and line, id, text) of each document.

    The text is everything but the id, without tags and comments, entities resolved and white space collapsed. Lines
    that are not UTF-8 are read as Windows-1252, which the old disks use.

    Raises:
        DataError: a block without ``<DOCNO>`` or ``</DOC>``.
    """
    start, block = 0, list[str]()
    for number, line in numbered_lines(path, fallback="cp1252"):
        tag = line.strip().upper()
        if tag.startswith("<DOC>"):
            if start:
                raise DataError(f"{path}:{start}: this <DOC> has no </DOC>")
            start, block = number, []
        if start:
            block.append(line)
            if tag.endswith("</DOC>"):
                yield _document(f"{path}:{start}", "\n".join(block))
                start = 0
    if start:
        raise DataError(f"{path}:{start}: this <DOC> has no </DOC>; the file is cut short")


def _document(where: str, block: str) -> tuple[str, str, str]:
    found = _NUMBER.search(block)
    if found is None:
        raise DataError(f"{where}: this document has no <DOCNO>")
    body = block[: found.start()] + block[found.end() :]
    text = html.unescape(_TAG.sub(" ", _COMMENT.sub(" ", body)))
    return where, found.group(1), " ".join(text.split())
