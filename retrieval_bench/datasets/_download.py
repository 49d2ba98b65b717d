"""Downloads: whole and verified, or nothing. Archives are unpacked without following what they say about paths."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import shutil
import stat
import tarfile
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from retrieval_bench.errors import CardError, DataError, UnavailableError
from retrieval_bench.files import atomic_file, atomic_folder, home
from retrieval_bench.specs import DatasetCard

_TIMEOUT_SECONDS = 30.0
_BLOCK_BYTES = 1 << 20
_ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar")


def download_folder() -> Path:
    """Where downloads are kept and looked for."""
    return home() / "downloads"


def local_name(card: DatasetCard) -> str | None:
    """Name of the data set's file or folder: as the card says, else the last part of its URL without ``.zip``.

    Of a name with ``/`` the first part is what an archive of several data sets is unpacked to.
    """
    if card.file or not card.url:
        return card.file
    name = PurePosixPath(urlsplit(card.url).path).name
    suffix = _archive_suffix(name)
    return name.removesuffix(suffix) if suffix else name


def fetch(card: DatasetCard, *, progress: bool = False) -> Path:
    """Download what the card's ``url`` points at, verify it against the card's checksums, unpack it if an archive.

    Args:
        card: with ``url``; ``file`` names the result.
        progress: show a progress bar.

    Returns:
        The file or folder in the download folder.

    Raises:
        UnavailableError: the server cannot be reached; says what to get from where and where to put it.
        DataError: the transfer was cut short, a checksum differs, or the archive is damaged or unsafe. Nothing is kept.
        CardError: the URL is not one that can be downloaded from, or its archive does not hold the named folder.
    """
    name = local_name(card)
    if card.url is None or name is None:
        raise CardError(f"dataset card {card.name!r}: has no url to download from")
    if urlsplit(card.url).scheme not in ("http", "https", "ftp"):
        raise CardError(f"dataset card {card.name!r}: the url {card.url!r} is not http, https or ftp")
    target = download_folder() / name
    suffix = _archive_suffix(urlsplit(card.url).path)
    if not suffix or name.endswith(suffix):
        with atomic_file(target) as temporary:
            _download(card, temporary, target, progress=progress)
        return target
    whole = download_folder() / PurePosixPath(name).parts[0]
    archive = whole.with_name(f"{whole.name}{suffix}")
    if not whole.exists():  # another data set of the same archive may have brought it
        try:
            with atomic_file(archive) as temporary:
                _download(card, temporary, whole, progress=progress)
            unpack(archive, whole)
        finally:
            archive.unlink(missing_ok=True)
    if not target.exists():
        raise CardError(
            f"dataset card {card.name!r}: {whole} holds no {name.partition('/')[2]!r}; remove it to get it anew"
        )
    return target


def _archive_suffix(name: str) -> str:
    return next((suffix for suffix in _ARCHIVES if name.endswith(suffix)), "")


def _download(card: DatasetCard, temporary: Path, target: Path, *, progress: bool) -> None:
    digests = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    url = str(card.url)
    request = urllib.request.Request(url, headers={"User-Agent": "retrieval-bench"})  # noqa: S310 - scheme was checked
    received, expected = 0, 0
    try:
        with (
            urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response,  # noqa: S310
            _bar(card.name, shown=progress) as bar,
        ):
            expected = int(response.headers.get("Content-Length") or 0)
            task = bar.add_task(card.name, total=expected or None)
            with temporary.open("wb") as file:
                while block := _receive(response):
                    file.write(block)
                    received += len(block)
                    for digest in digests.values():
                        digest.update(block)
                    bar.update(task, completed=received)
    except (URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        if isinstance(error, HTTPError):  # it holds the connection
            error.close()
        raise UnavailableError(_how_to_get(card, target, str(getattr(error, "reason", error)))) from error
    if expected and received != expected:
        raise DataError(f"{url}: ended after {received} of {expected} bytes; try again")
    for kind, wanted in (("sha256", card.sha256), ("md5", card.md5)):
        found = digests[kind].hexdigest()
        if wanted and wanted.lower() != found:
            raise DataError(
                f"{url}: its {kind} is {found}, the dataset card {card.name!r} says {wanted}; "
                "the file was changed or damaged on the way, and was not kept"
            )


def _receive(response: IO[bytes]) -> bytes:
    return response.read(_BLOCK_BYTES)


def _bar(name: str, *, shown: bool) -> Progress:
    columns = (TextColumn(f"downloading {name}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, disable=not shown, transient=True)


def how_to_get(card: DatasetCard, target: Path, reason: str) -> str:
    """One line for a data set that is not there: why, where it can be had, and where to put it."""
    source = f"download {card.url} yourself" if card.url else "get it yourself"
    hint = f" ({card.get})" if card.get else ""
    return (
        f"{card.name}: {reason}; {source}{hint} and put it at {target}, "
        f"or as {target.name} into the folder $RETRIEVAL_BENCH_DATA"
    )


def _how_to_get(card: DatasetCard, target: Path, reason: str) -> str:
    return how_to_get(card, target, f"cannot be downloaded ({reason})")


def unpack(archive: Path, target: Path) -> None:
    """Unpack a zip or tar archive into the folder ``target``; a single folder at its top is left out.

    Raises:
        DataError: the archive is damaged, or a member is a link, a device, or would land outside the folder. Nothing is
            kept then.
    """
    with atomic_folder(target) as folder:
        inside = folder / "content"
        inside.mkdir()
        try:
            for name, content in members(archive):
                path = inside / _safe(name, archive)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as file:
                    shutil.copyfileobj(content, file, _BLOCK_BYTES)
        except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, FileExistsError) as error:
            raise DataError(f"{archive.name}: the archive is damaged ({error}); get it again") from error
        top = list(inside.iterdir())
        root = top[0] if len(top) == 1 and top[0].is_dir() else inside
        for item in list(root.iterdir()):
            item.rename(folder / item.name)
        shutil.rmtree(inside)


def _safe(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise DataError(f"{archive.name}: the member {name!r} would land outside its folder; the archive is not safe")
    return path


def members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Names and contents of the files of an archive; links and devices are refused."""
    with contextlib.ExitStack() as stack:
        if archive.suffix == ".zip":
            zipped = stack.enter_context(zipfile.ZipFile(archive))
            for info in zipped.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _not_a_file(info.filename, archive)
                if not info.is_dir():
                    with zipped.open(info) as content:
                        yield info.filename, content
            return
        for member in (tar := stack.enter_context(tarfile.open(archive))):
            if member.isdir():
                continue
            extracted = tar.extractfile(member) if member.isreg() else None
            if extracted is None:
                raise _not_a_file(member.name, archive)
            with extracted:
                yield member.name, extracted


def _not_a_file(name: str, archive: Path) -> DataError:
    return DataError(f"{archive.name}: the member {name!r} is a link or a device; the archive is not safe")
