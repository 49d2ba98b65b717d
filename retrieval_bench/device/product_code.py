"""Product quantization on a device, behind a rotation that makes the sub-spaces alike (OPQ)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from retrieval_bench.device.kmeans import assign_many, check_enough, kmeans_many
from retrieval_bench.errors import UsageError

CODEWORDS = 256
_ROUNDS, _TURNS, _ROUNDS_OF_TURN = 15, 10, 2  # of k-means; of the rotation, and of k-means within each
_ENCODED_TOGETHER = 1 << 16


@dataclass(frozen=True, kw_only=True)
class ProductCode:
    """Codes of one byte per sub-space.

    Attributes:
        codewords: (s, 256, d / s) float32.
        rotation: (d, d) float32 that vectors are multiplied by before they are cut, or None.
    """

    codewords: torch.Tensor
    rotation: torch.Tensor | None = None

    def encode(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, d) float32 to (n, s) uint8: the nearest codeword in every sub-space."""
        parts = [self._encoded(vectors[i : i + _ENCODED_TOGETHER]) for i in range(0, len(vectors), _ENCODED_TOGETHER)]
        return torch.cat(parts) if parts else torch.empty((0, len(self.codewords)), dtype=torch.uint8)

    def _encoded(self, vectors: torch.Tensor) -> torch.Tensor:
        turned = self.turned(vectors)
        return assign_many(_cut(turned, len(self.codewords)), self.codewords).T.to(torch.uint8).contiguous()

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """(n, s) uint8 to (n, d) float32 in the rotated space, where products are the same."""
        spaces = torch.arange(len(self.codewords), device=codes.device)
        return self.codewords[spaces, codes.long()].flatten(1)

    def turned(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, d) in the space that codes stand for."""
        return vectors if self.rotation is None else vectors @ self.rotation


def train_product_code(vectors: torch.Tensor, spaces: int, *, seed: int, rotate: bool) -> ProductCode:
    """Learn codewords, and with ``rotate`` the rotation too.

    Codewords: Jegou, Douze and Schmid 2011. Rotation: Ge, He, Ke and Sun 2013, "Optimized Product Quantization",
    the non-parametric form: codewords and rotation in turns, the rotation by an orthogonal Procrustes problem.

    Args:
        vectors: (n, d) float32.
        spaces: sub-spaces, each of which a code spends one byte on.
        seed: of the first codewords and the first rotation.
        rotate: whether to learn a rotation.

    Raises:
        UsageError: ``spaces`` does not divide d.
        DataError: fewer vectors than codewords.
    """
    n, d = vectors.shape
    if d % spaces:
        fitting = [s for s in range(1, d + 1) if d % s == 0]
        raise UsageError(f"{spaces} code bytes do not divide {d} dimensions; use one of {fitting}")
    check_enough(n, CODEWORDS)
    draw = np.random.default_rng(seed)
    first = torch.from_numpy(np.sort(draw.choice(n, CODEWORDS, replace=False))).to(vectors.device)
    if not rotate:
        points = _cut(vectors, spaces)
        return ProductCode(codewords=kmeans_many(points, CODEWORDS, rounds=_ROUNDS, start=points[:, first]))
    turn = torch.from_numpy(np.linalg.qr(draw.standard_normal((d, d)))[0].astype(np.float32)).to(vectors.device)
    points = _cut(vectors @ turn, spaces)
    words = points[:, first]
    for _ in range(_TURNS):
        words = kmeans_many(points, CODEWORDS, rounds=_ROUNDS_OF_TURN, start=words)
        code = ProductCode(codewords=words)
        coded = code.decode(code.encode(points.transpose(0, 1).flatten(1)))
        left, _, right = torch.linalg.svd(vectors.T @ coded)
        turn = left @ right
        points = _cut(vectors @ turn, spaces)
    words = kmeans_many(points, CODEWORDS, rounds=_ROUNDS // 2, start=words)
    return ProductCode(codewords=words, rotation=turn)


def _cut(vectors: torch.Tensor, spaces: int) -> torch.Tensor:
    """(n, d) to (spaces, n, d / spaces)."""
    return vectors.reshape(len(vectors), spaces, -1).transpose(0, 1).contiguous()
