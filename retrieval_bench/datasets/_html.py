"""An archive of HTML pages, one document each, as Anserini's HtmlCollection indexes it: the whole text of the page."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath

from retrieval_bench.datasets._download import members
from retrieval_bench.errors import DataError

_SILENT = {"script", "style"}
_WITHIN_WORDS = set(
    "a abbr b big code em font i kbd mark q s small span strong sub sup tt u var".split()  # noqa: SIM905 - reads better
)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - the base's form
        self._silent += tag in _SILENT
        self._part(tag)

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in _SILENT and self._silent > 0
        self._part(tag)

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.pieces.append(data)

    def _part(self, tag: str) -> None:
        if tag not in _WITHIN_WORDS:
            self.pieces.append(" ")


def page_text(page: str) -> str:
    """The text of a page without tags, scripts and styles, entities resolved and white space collapsed."""
    parser = _Text()
    parser.feed(page)
    parser.close()
    return " ".join("".join(parser.pieces).split())


def read_pages(archive: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (archive and member, id, text) of each ``*.html`` member, by name; the id is its name without the suffix.

    Raises:
        DataError: the archive is damaged, or a page is not UTF-8.
    """
    pages = {PurePosixPath(name): content.read() for name, content in members(archive) if name.endswith(".html")}
    for path in sorted(pages, key=lambda path: path.stem):
        where = f"{archive}/{path}"
        try:
            yield where, path.stem, page_text(pages[path].decode())
        except UnicodeDecodeError as error:
            raise DataError(f"{where}: is not UTF-8 text ({error.reason}); convert the page") from error
