"""What an artifact holds, and its opening: nothing but regular files that the manifest lists, inside the folder."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from retrieval_bench.errors import ArtifactError
from retrieval_bench.files import open_regular, read_small, sha256
from retrieval_bench.types import EncoderInfo, Frozen, Metric

FORMAT_VERSION = 2
NAME = "manifest.json"
_LARGEST = 1 << 18  # bytes of a manifest: what stands in it may take twenty times as many in memory
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_DEEPEST = 16  # folders within folders

Counted = Annotated[int, Field(ge=0, lt=1 << 40)]


class FileFacts(Frozen):
    """What a file must be."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(Frozen):
    """What an artifact holds and where it comes from."""

    format_version: int
    name: str
    kind: Literal["index", "ranker"]
    backend: str
    plugin: str
    metric: Metric
    exponent: Annotated[int, Field(ge=-2048, le=2048)] = 0  # vectors are multiplied by 2 to the power of it
    documents: Counted
    held_out: Counted = 0  # rows of the data that are not in it since they were to ask with when it was measured
    built: Literal["by the application", "as measured", "anew over all rows"] = "by the application"
    dimensions: Counted
    build_params: dict[str, Any]
    search_params: dict[str, Any]
    encoder: EncoderInfo | None = None  # makes the vectors of queries
    dataset: str = ""
    dataset_fingerprint: str = ""
    measured: dict[str, float] = Field(default_factory=dict)
    libraries: dict[str, str] = Field(default_factory=dict)
    created: str = ""
    files: dict[str, FileFacts] = Field(default_factory=dict)

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, FileFacts]) -> dict[str, FileFacts]:
        if odd := next((name for name in files if not _FILE_NAME.fullmatch(name)), None):
            raise ValueError(f"the file name {odd!r:.80} leaves the folder, or has characters that no export writes")
        if len({name.casefold() for name in files} | {NAME}) != len(files) + 1:
            raise ValueError("two files have one name")
        return files


class _Version(Frozen, extra="ignore"):
    format_version: int


def facts_of(folder: Path) -> dict[str, FileFacts]:
    """Size and hash of every file below a folder, by name."""
    return {name: FileFacts(bytes=path.stat().st_size, sha256=sha256(path)) for name, path in _files(folder)}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest beside the files it lists."""
    (folder / NAME).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")


def verified(folder: Path) -> Manifest:
    """The manifest of a folder that holds exactly the files it lists, each with its size and SHA-256.

    Sizes come first, so that nothing longer than the manifest says is read. Hashes show accidents; what a file says
    is still checked by whoever reads it, since whoever changes one can change its hash.

    Raises:
        ArtifactError: no artifact, an unknown format version, a file that is missing, added, changed or no regular
            file.
    """
    manifest = _read(folder)
    missing = dict(manifest.files)
    for name, path in _files(folder):
        if name == NAME:
            continue
        facts = missing.pop(name, None)
        if facts is None:
            raise ArtifactError(f"{folder}: the file {name} is not listed in the manifest; export the index again")
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size != facts.bytes:
                raise ArtifactError(
                    f"{path}: is not of the {facts.bytes} bytes in the manifest; export the index again"
                )
        if sha256(path) != facts.sha256:
            raise ArtifactError(f"{path}: differs from its SHA-256 in the manifest; export the index again")
    if missing:
        raise ArtifactError(f"{folder}: the file {min(missing)} is missing; export the index again")
    return manifest


def _read(folder: Path) -> Manifest:
    path = folder / NAME
    if not os.path.lexists(path):
        raise ArtifactError(f"{folder}: holds no {NAME}; it is not an index exported by `retrieval-bench export`")
    text = read_small(path, _LARGEST)
    try:
        version = _Version.model_validate_json(text).format_version
        if version != FORMAT_VERSION:
            raise ArtifactError(
                f"{path}: format version {version}, this release reads {FORMAT_VERSION}; export the index again"
            )
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ArtifactError(
            f"{path}: not a valid manifest ({where}: {first['msg']}); export the index again"
        ) from error


def _files(folder: Path, within: str = "") -> Iterator[tuple[str, Path]]:
    """Names and paths of the regular files below a folder, in order; refuses all else that stands there."""
    if within.count("/") > _DEEPEST:
        raise ArtifactError(f"{folder}: is deeper than any export writes; export the index again")
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise ArtifactError(f"{folder}: cannot be read ({error.strerror}); export the index again") from error
    for entry in entries:
        name, path, mode = within + entry.name, Path(entry.path), entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            inside = list(_files(path, name + "/"))
            if not inside:
                raise ArtifactError(f"{path}: is an empty folder, which no export writes; export the index again")
            yield from inside
        elif stat.S_ISREG(mode):
            yield name, path
        else:
            raise ArtifactError(f"{path}: is a link, pipe or device; an artifact holds regular files only")
