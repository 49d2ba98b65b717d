"""A built system as a folder that an application imports: manifest, hashes, canary queries; never pickle.

Layout: ``manifest.json``, ``documents.parquet`` (ids and, where known, texts), ``canaries.parquet``, ``index/``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from retrieval_bench import registry
from retrieval_bench.canaries import read_canaries, same_answer, write_canaries
from retrieval_bench.checks import check_ids, check_k, check_vectors, normalised
from retrieval_bench.encoders import encode_queries, load_encoder
from retrieval_bench.errors import ArtifactError, DataError, UsageError
from retrieval_bench.files import atomic_folder, sha256
from retrieval_bench.measure.machine import libraries
from retrieval_bench.protocols import Encoder, Index, Ranker
from retrieval_bench.types import EncoderInfo, Frozen, Hits, MemoryReport, Metric, Queries, RowIds

FORMAT_VERSION = 1
CANARY_QUERIES, CANARY_DEPTH = 8, 10


@dataclass(frozen=True, kw_only=True)
class Answers(Hits):
    """Hits with the external ids of the documents.

    Attributes:
        ids: for each query, the ids of its hits, best first (shorter than k where the answer is padded).
    """

    ids: tuple[tuple[str, ...], ...]


class Manifest(Frozen):
    """What an artifact holds and where it comes from."""

    format_version: int
    name: str
    kind: Literal["index", "ranker"]
    backend: str
    plugin: str
    metric: Metric
    documents: int
    dimensions: int
    build_params: dict[str, Any]
    search_params: dict[str, Any]
    encoder: EncoderInfo | None = None  # makes the vectors of queries
    dataset: str = ""
    dataset_fingerprint: str = ""
    measured: dict[str, float] = Field(default_factory=dict)
    libraries: dict[str, str] = Field(default_factory=dict)
    created: str = ""
    files: dict[str, str] = Field(default_factory=dict)


class Searcher:
    """A built system ready to answer: what ``build`` and ``load`` return.

    Args:
        manifest: what it is.
        system: the built index or ranker.
        ids: n document ids.
        texts: n document texts or None.
    """

    def __init__(
        self, manifest: Manifest, system: Index | Ranker, ids: Sequence[str], texts: Sequence[str] | None = None
    ) -> None:
        self.manifest, self._system, self.ids, self.texts = manifest, system, ids, texts
        self._encoder: Encoder | None = None
        self.canaries: Queries | None = None  # what ``save`` stores answers to where it is told of no others

    def __len__(self) -> int:
        return self.manifest.documents

    def __repr__(self) -> str:
        m = self.manifest
        return f"<Searcher {m.name}: {m.documents:,} documents, {m.dimensions} dimensions, {m.build_params}>"

    def search(
        self, queries: str | Sequence[str] | Sequence[float] | Sequence[Sequence[float]] | npt.NDArray[Any],
        k: int = 10, **settings: Any,
    ) -> Answers:  # fmt: skip
        """Answer texts, or vectors where the system is an index.

        Args:
            queries: one text, a list of texts, or vectors (m, d) or (d,) of any real dtype, as an array or as lists of
                numbers. Under the metric ``cos`` they need not be normalised.
            k: results per query, 1 to n.
            **settings: search parameters in place of those the system was chosen with (indexes only).

        Raises:
            UsageError: k out of range, or texts for an index without an encoder, or vectors for a ranker.
            DataError: vectors of different lengths, wrong dimension, NaN, infinite or zero vectors, no queries.
            CardError: an unknown setting; names the nearest ones.
        """
        check_k(k, self.manifest.documents)
        if isinstance(queries, str):
            queries = [queries]
        texts: list[Any] = [] if isinstance(queries, np.ndarray) else list(queries)
        if isinstance(queries, np.ndarray) or (texts and not isinstance(texts[0], str)):
            hits = self._search_vectors(_vectors(queries), k, settings)
        else:
            hits = self._search_texts(texts, k, settings)
        ids = tuple(tuple(self.ids[int(r)] for r in row if r >= 0) for row in hits.rows)
        return Answers(rows=hits.rows, scores=hits.scores, ids=ids)

    def memory(self) -> MemoryReport:
        """Analytic bytes by part of all that answering a query needs."""
        return self._system.memory()

    def save(self, folder: str | Path, *, canaries: Queries | None = None) -> Path:
        """Write the artifact; the folder appears whole or not at all.

        Args:
            folder: must not exist, or be an artifact to replace.
            canaries: a few queries whose answers are stored and replayed by ``load``; None takes the first documents
                that an index was built from.

        Raises:
            UsageError: the folder exists and is no artifact.
            DataError: the disk is full or the place is not writable.
        """
        folder = Path(folder)
        if folder.exists() and not (folder / "manifest.json").exists():
            raise UsageError(f"{folder}: exists and is not an exported index; choose another folder")
        with atomic_folder(folder) as new:
            (new / "index").mkdir()
            self._system.save(new / "index")
            columns: dict[str, Any] = {"id": pa.array(list(self.ids), pa.large_string())}
            if self.texts is not None:
                columns["text"] = pa.array(list(self.texts), pa.large_string())
            pq.write_table(pa.table(columns), new / "documents.parquet", compression="zstd")
            if asked := canaries or self.canaries:
                chosen = asked.take(slice(0, CANARY_QUERIES))
                hits = self._answer(chosen, min(CANARY_DEPTH, self.manifest.documents), {})
                write_canaries(new, chosen, hits, vectors=self.manifest.kind == "index")
            files = {str(f.relative_to(new).as_posix()): sha256(f) for f in sorted(new.rglob("*")) if f.is_file()}
            manifest = self.manifest.model_copy(
                update={
                    "files": files,
                    "created": datetime.now(UTC).isoformat(timespec="seconds"),
                    "libraries": libraries(),
                }
            )
            (new / "manifest.json").write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return folder

    def _search_vectors(self, vectors: npt.NDArray[Any], k: int, settings: dict[str, Any]) -> Hits:
        if self.manifest.kind == "ranker":
            raise UsageError(f"{self.manifest.name} ranks texts: give it texts, not vectors")
        metric: Metric = self.manifest.metric
        check_vectors(vectors, source="queries", metric=metric, dim=self.manifest.dimensions)
        prepared = normalised(vectors) if metric == "cos" else np.ascontiguousarray(vectors, np.float32)
        return self._answer(Queries(ids=RowIds(len(prepared)), vectors=prepared), k, settings)

    def _search_texts(self, texts: list[str], k: int, settings: dict[str, Any]) -> Hits:
        check_ids(texts and ["some"], source="queries", what="query")
        if self.manifest.kind == "ranker":
            if settings:
                raise UsageError(
                    f"{self.manifest.name} is a ranker: it takes no search settings ({', '.join(settings)})"
                )
            return self._answer(Queries(ids=RowIds(len(texts)), texts=texts), k, settings)
        if self.manifest.encoder is None:
            raise UsageError(f"{self.manifest.name} was built from vectors: it has no encoder, give it vectors")
        return self._search_vectors(encode_queries(self.encoder(), texts), k, settings)

    def _answer(self, queries: Queries, k: int, settings: dict[str, Any]) -> Hits:
        if self.manifest.kind == "ranker":
            ranker: Ranker = self._system  # type: ignore[assignment]
            return ranker.rank(queries, k)
        from retrieval_bench.specs import params

        index: Index = self._system  # type: ignore[assignment]
        wanted = {**self.manifest.search_params, **settings}
        return index.search(queries, k, params(index.SearchParams, wanted, where=f"search of {self.manifest.name}"))

    def encoder(self) -> Encoder:
        """The encoder of the queries, loaded at first use.

        Raises:
            ArtifactError: the encoder found here gives other vectors than the one the index was built with.
        """
        if self._encoder is None:
            info = self.manifest.encoder
            if info is None:
                raise UsageError(f"{self.manifest.name} has no encoder")
            encoder = load_encoder(info.name)
            if encoder.revision != info.revision:
                raise ArtifactError(
                    f"encoder {info.name!r} here has the revision {encoder.revision}, "
                    f"the index was built with {info.revision}"
                )
            self._encoder = encoder
        return self._encoder

    def replay_canaries(self, folder: Path) -> int:
        """Ask the stored canary queries again; returns how many there were.

        Raises:
            ArtifactError: an answer differs by more than rounding.
        """
        stored = read_canaries(folder)
        if stored is None:
            return 0
        asked, before = stored
        hits = self._answer(asked, before.rows.shape[1], {})
        for i, query in enumerate(asked.ids):
            if not same_answer(before.rows[i], before.scores[i], hits.rows[i], hits.scores[i]):
                raise ArtifactError(
                    f"{folder}: canary query {query!r} gives other hits than when it was exported; the engine or its "
                    f"version differs ({_differences(self.manifest.libraries)}); export it again here"
                )
        return len(asked)


def load(folder: str | Path) -> Searcher:
    """Load an exported system after verifying every file's hash, and replay its canary queries.

    Raises:
        ArtifactError: no artifact, an unknown format version, a file that is missing, added or changed, an engine that
            cannot read it, or a canary query with another answer.
        UnavailableError: the engine that it needs is not installed; says what to install.
    """
    folder = Path(folder)
    manifest = _verified(folder)
    plugin = (
        registry.indexes.get(manifest.backend) if manifest.kind == "index" else registry.rankers.get(manifest.backend)
    )
    system = plugin.load(folder / "index")
    table = pq.read_table(folder / "documents.parquet")
    texts = table["text"].to_pylist() if "text" in table.column_names else None
    searcher = Searcher(manifest, system, table["id"].to_pylist(), texts)
    searcher.replay_canaries(folder)
    return searcher


def _verified(folder: Path) -> Manifest:
    path = folder / "manifest.json"
    if not path.is_file():
        raise ArtifactError(
            f"{folder}: holds no manifest.json; it is not an index exported by `retrieval-bench export`"
        )
    try:
        manifest = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: not a valid manifest; export the index again") from error
    if manifest.format_version != FORMAT_VERSION:
        raise ArtifactError(f"{path}: format version {manifest.format_version}, this release reads {FORMAT_VERSION}")
    found = {f.relative_to(folder).as_posix() for f in folder.rglob("*") if not f.is_dir()} - {"manifest.json"}
    if odd := sorted(found ^ set(manifest.files)):
        state = "is missing" if odd[0] in manifest.files else "is not listed in the manifest"
        raise ArtifactError(f"{folder}: the file {odd[0]} {state}; export the index again")
    for name, expected in manifest.files.items():
        if (folder / name).is_symlink() or sha256(folder / name) != expected:
            raise ArtifactError(f"{folder / name}: differs from its SHA-256 in the manifest; export the index again")
    return manifest


def _differences(made_with: dict[str, str]) -> str:
    here = libraries()
    changed = [f"{n} {v} then, {here.get(n, 'absent')} now" for n, v in made_with.items() if here.get(n) != v]
    return "; ".join(changed) or "same library versions, so another processor"


def _vectors(queries: Any) -> npt.NDArray[Any]:
    try:
        vectors = np.atleast_2d(np.asarray(queries))
    except ValueError as error:
        raise DataError("queries: the vectors have different lengths; give lists of the same length") from error
    if vectors.dtype.kind not in "fiub":
        raise DataError(f"queries: hold values of type {vectors.dtype}, not numbers; give texts or vectors")
    return vectors
