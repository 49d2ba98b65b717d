"""Where a dual encoder starts the family: its vectors as factors of documents and priors of queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from retrieval_bench.arrays import load_array, save_array
from retrieval_bench.encoders import cached_encode, encode_queries, load_encoder
from retrieval_bench.errors import ArtifactError
from retrieval_bench.protocols import Encoder
from retrieval_bench.rankers._cur.factors import Known, calibrated
from retrieval_bench.types import FloatArray, IntArray


@dataclass
class Start:
    """A dual encoder whose similarities are put on the scorer's scale.

    Attributes:
        encoder: of documents and queries.
        axes: (d, r) float32, to the r directions in which documents differ most.
        line: (2,) float32, slope and offset from similarities to scores; set by ``calibrate``.
    """

    encoder: Encoder
    axes: FloatArray
    line: FloatArray

    @classmethod
    def over(cls, name: str | None, documents: Sequence[str], factors: int | None) -> tuple[Self, FloatArray]:
        """The start, and the documents' vectors on its axes (r, n), with r the encoder's dimensions for None."""
        encoder = load_encoder(name)
        vectors = np.asarray(cached_encode(encoder, documents))
        directions = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors)[1][:, ::-1]
        axes = directions[:, :factors].astype(np.float32)
        return cls(encoder, axes, np.array([1, 0], np.float32)), np.ascontiguousarray((vectors @ axes).T)

    def reduced(self, texts: list[str]) -> FloatArray:
        """(m, r) queries on the axes."""
        found: FloatArray = encode_queries(self.encoder, texts) @ self.axes
        return found

    def calibrate(self, asked: FloatArray, items: FloatArray, known: list[Known]) -> None:
        """Fit the line to scores that are known; ``asked`` are the reduced queries of ``known``."""
        self.line = np.array(calibrated(asked, items, known), np.float32)

    def priors(self, texts: list[str]) -> FloatArray:
        """(m, r + 1) coefficients that a query has before anything is scored."""
        slope, offset = self.line
        reduced = self.reduced(texts)
        return np.hstack([slope * reduced, np.full((len(texts), 1), offset, np.float32)]).astype(np.float32)

    def parts(self) -> dict[str, int]:
        """Bytes by part."""
        return {"axes": self.axes.nbytes, "dual_encoder": getattr(self.encoder, "nbytes", 0)}

    def save(self, folder: Path) -> None:
        """Write the arrays; the encoder is named with its revision by whoever saves."""
        save_array(folder / "axes.npy", self.axes)
        save_array(folder / "line.npy", self.line)

    @classmethod
    def load(cls, folder: Path, name: str | None, revision: str) -> Self:
        """Read what save wrote.

        Raises:
            ArtifactError: the encoder has other weights now, or a file is missing or damaged.
        """
        encoder = load_encoder(name)
        if encoder.revision != revision:
            raise ArtifactError(f"{folder}: the dual encoder {encoder.name!r} has other weights; build again")
        axes = load_array(folder / "axes.npy", np.float32, (encoder.dim, None))
        line = load_array(folder / "line.npy", np.float32, (2,))
        return cls(encoder, axes, line)


def rows_to_score(asked: FloatArray, items: FloatArray, each: int, rng: np.random.Generator) -> list[IntArray]:
    """For each query ``each`` documents in ascending order: half of them its most similar ones, the others drawn."""
    rows = []
    for similar in asked @ items:
        order = np.argsort(-similar, kind="stable")
        near = order[: each // 2]
        rows.append(np.sort(np.concatenate([near, rng.permutation(order[each // 2 :])[: each - len(near)]])))
    return rows
