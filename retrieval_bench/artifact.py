"""A built system as a folder that an application imports: manifest, hashes, canary queries; never pickle.

Layout: ``manifest.json``; ``documents/`` (ids and, where known, texts) and ``canaries/``, as plain arrays; ``index/``;
``shift.npy`` where the vectors were moved (see ``frame``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from retrieval_bench import registry
from retrieval_bench.arrays import load_strings, save_strings
from retrieval_bench.canaries import read_canaries, same_answer, write_canaries
from retrieval_bench.checks import check_ids, check_k, check_vectors
from retrieval_bench.encoders import encode_queries, load_encoder
from retrieval_bench.errors import ArtifactError, UnavailableError, UsageError
from retrieval_bench.files import atomic_folder
from retrieval_bench.frame import Frame
from retrieval_bench.given import given_texts, given_vectors
from retrieval_bench.manifest import FORMAT_VERSION, Manifest, facts_of, verified, write_manifest
from retrieval_bench.measure.machine import libraries
from retrieval_bench.protocols import Encoder, Index, Ranker
from retrieval_bench.replacing import restore
from retrieval_bench.threads import limited
from retrieval_bench.types import Hits, MemoryReport, Queries, RowIds

__all__ = ["FORMAT_VERSION", "Answers", "Manifest", "Searcher", "load"]

CANARY_QUERIES, CANARY_DEPTH = 8, 10
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Answers(Hits):
    """Hits with the external ids of the documents; scores are in the units of the user's vectors.

    Attributes:
        ids: for each query, the ids of its hits, best first (shorter than k where the answer is padded).
    """

    ids: tuple[tuple[str, ...], ...]


class Searcher:
    """A built system ready to answer: what ``build`` and ``load`` return.

    Args:
        manifest: what it is.
        system: the built index or ranker.
        ids: n document ids.
        texts: n document texts or None.
        frame: of an index: how vectors and scores of the user become those of the system, and back.
    """

    def __init__(
        self, manifest: Manifest, system: Index | Ranker, ids: Sequence[str], texts: Sequence[str] | None = None,
        frame: Frame | None = None,
    ) -> None:  # fmt: skip
        self._frame = frame or Frame(asked=manifest.metric)
        self.manifest = manifest.model_copy(update={"exponent": self._frame.exponent})
        self._system, self.ids, self.texts = system, ids, texts
        self._encoder: Encoder | None = None
        self.canaries: Queries | None = None  # what ``save`` stores answers to where it is told of no others

    def __len__(self) -> int:
        return self.manifest.documents

    def __repr__(self) -> str:
        m = self.manifest
        return f"<Searcher {m.name}: {m.documents:,} documents, {m.dimensions} dimensions, {m.build_params}>"

    def search(
        self, queries: str | Iterable[str] | Iterable[float] | Iterable[Iterable[float]] | npt.NDArray[Any],
        k: int = 10, **settings: Any,
    ) -> Answers:  # fmt: skip
        """Answer texts, or vectors where the system is an index.

        Args:
            queries: one text, texts, or vectors (m, d) or (d,) of any real dtype, as an array or what becomes one
                (lists of numbers, a data frame). Under the metric ``cos`` they need not be normalised.
            k: results per query, 1 to n, of any integer type.
            **settings: search parameters in place of those the system was chosen with (indexes only).

        Raises:
            UsageError: k out of range, or texts for an index without an encoder, or vectors for a ranker.
            DataError: vectors of different lengths, wrong dimension, NaN, infinite or zero vectors, no queries, or
                scores that do not fit float32.
            CardError: an unknown setting; names the nearest ones.
        """
        k = check_k(k, self.manifest.documents)
        texts, vectors = _told_apart(queries)
        hits = self._search_texts(texts, k, settings) if vectors is None else self._search_vectors(vectors, k, settings)
        if hits.rows.max(initial=-1) >= self.manifest.documents:
            raise ArtifactError(f"{self.manifest.name}: its engine names documents beyond those it was built from")
        ids = tuple(tuple(self.ids[int(r)] for r in row if r >= 0) for row in hits.rows)
        return Answers(rows=hits.rows, scores=hits.scores, ids=ids)

    def memory(self) -> MemoryReport:
        """Analytic bytes by part of all that answering a query needs."""
        return self._frame.counted(self._system.memory())

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
        check_place(folder)
        with atomic_folder(folder) as new:
            (new / "index").mkdir()
            self._system.save(new / "index")
            self._frame.write(new)
            (new / "documents").mkdir()
            save_strings(new / "documents", "ids", self.ids)
            if self.texts is not None:
                save_strings(new / "documents", "texts", self.texts)
            if asked := canaries or self.canaries:
                chosen = asked.take(slice(0, CANARY_QUERIES))
                hits = self._answer(chosen, min(CANARY_DEPTH, self.manifest.documents), {})
                write_canaries(new, chosen, hits, vectors=self.manifest.kind == "index")
            created = datetime.now(UTC).isoformat(timespec="seconds")
            facts = {"files": facts_of(new), "created": created, "libraries": libraries()}
            write_manifest(new, self.manifest.model_copy(update=facts))
        return folder

    def _search_vectors(self, vectors: npt.NDArray[Any], k: int, settings: dict[str, Any]) -> Hits:
        if self.manifest.kind == "ranker":
            raise UsageError(f"{self.manifest.name} ranks texts: give it texts, not vectors")
        check_vectors(vectors, source="queries", metric=self.manifest.metric, dim=self.manifest.dimensions)
        framed, factor = self._frame.queries(vectors)
        hits = self._answer(Queries(ids=RowIds(len(framed)), vectors=framed), k, settings)
        scores = self._frame.scores(hits.scores, factor)
        return hits if scores is hits.scores else Hits(rows=hits.rows, scores=scores)

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

    def replay_canaries(self, folder: str | Path) -> int:
        """Ask the stored canary queries again, with one thread; returns how many there were.

        Raises:
            ArtifactError: an answer differs by more than rounding, or there is none.
        """
        stored = read_canaries(Path(folder), self.manifest.documents)
        if stored is None:
            return 0
        asked, before = stored
        with limited(1):
            hits = _told(folder, lambda: self._answer(asked, before.rows.shape[1], {}))
        for i, query in enumerate(asked.ids):
            if not same_answer(before.rows[i], before.scores[i], hits.rows[i], hits.scores[i]):
                raise ArtifactError(
                    f"{folder}: canary query {query!r} gives other hits than when it was exported; the engine or its "
                    f"version differs ({_differences(self.manifest.libraries)}); export it again here"
                )
        return len(asked)


def check_place(folder: Path) -> None:
    """Refuse to write an artifact over anything else than another one.

    Raises:
        UsageError: the folder exists and is no artifact.
    """
    if folder.exists() and not (folder / "manifest.json").exists():
        raise UsageError(f"{folder}: exists and is not an exported index; choose another folder")


def load(folder: str | Path, *, canaries: bool = True) -> Searcher:
    """Load an exported system after verifying every file, and replay its canary queries.

    No thread pool is started: a server that forks its workers loads first, forks, and searches in the workers only.
    (A process that has searched with several threads must not fork workers that search: OpenMP's threads do not
    outlive a fork, and the workers would wait for them for ever.)

    Args:
        folder: as ``Searcher.save`` or ``retrieval-bench export`` wrote it.
        canaries: False skips the canary queries, for a quick start; ``Searcher.replay_canaries`` asks them later.

    Raises:
        ArtifactError: no artifact, an unknown format version, a file that is missing, added or changed, or no regular
            file; an engine that cannot read it, or a canary query with another answer.
        UnavailableError: the engine that it needs is not installed; says what to install.
    """
    folder = Path(folder)
    restore(folder)
    manifest = verified(folder)
    plugin: type[Index | Ranker] = (
        registry.indexes.get(manifest.backend) if manifest.kind == "index" else registry.rankers.get(manifest.backend)
    )
    with limited(1):
        system = _told(folder, lambda: plugin.load(folder / "index"))
    documents = folder / "documents"
    ids = load_strings(documents, "ids", manifest.documents)
    texts = load_strings(documents, "texts", manifest.documents) if (documents / "texts.npy").exists() else None
    frame = Frame.read(folder, asked=manifest.metric, exponent=manifest.exponent, dim=manifest.dimensions)
    searcher = Searcher(manifest, system, ids, texts, frame)
    if canaries:
        searcher.replay_canaries(folder)
    return searcher


def _told(folder: str | Path, call: Callable[[], T]) -> T:
    """What a call gives on what was read from an artifact; whatever it raises is said of the artifact."""
    try:
        return call()
    except (ArtifactError, UnavailableError):
        raise
    except Exception as error:  # an engine's own
        said = " ".join(str(error).split())
        raise ArtifactError(
            f"{folder}: its engine cannot use it ({type(error).__name__}: {said:.200}); export the index again"
        ) from error


def _differences(made_with: dict[str, str]) -> str:
    here = libraries()
    changed = [f"{n} {v} then, {here.get(n, 'absent')} now" for n, v in made_with.items() if here.get(n) != v]
    return "; ".join(changed) or "same library versions, so another processor"


def _told_apart(queries: Any) -> tuple[list[str], npt.NDArray[Any] | None]:
    """Queries as texts, or as vectors (m, d)."""
    if isinstance(queries, str):
        return given_texts([queries], source="queries"), None
    if not hasattr(queries, "__array__") and isinstance(queries, Iterable):
        queries = list(queries) if not isinstance(queries, bytes | bytearray | Mapping | set) else queries
    several = isinstance(queries, list) or np.ndim(queries) == 1
    if several and (len(queries) == 0 or any(isinstance(query, str) for query in queries)):
        return given_texts(list(queries), source="queries"), None
    return [], np.atleast_2d(given_vectors(queries, source="queries"))
