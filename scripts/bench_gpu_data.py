"""Made-up vectors for bench_gpu, and what is right about an answer to them, by float64."""

from __future__ import annotations

import torch

K = 10


def documents(n: int, d: int, device: torch.device, seed: int = 0) -> torch.Tensor:
    """(n, d) float32 unit vectors in clusters, of falling variance by dimension as embeddings have."""
    draw = torch.Generator(device).manual_seed(seed)
    spread = torch.linspace(0, 4, d, device=device).neg().exp()
    centres = torch.randn((1024, d), generator=draw, device=device)
    made = torch.empty((n, d), device=device)
    for start in range(0, n, 1 << 20):
        rows = min(1 << 20, n - start)
        of = torch.randint(len(centres), (rows,), generator=draw, device=device)
        made[start : start + rows] = (centres[of] + torch.randn((rows, d), generator=draw, device=device)) * spread
    return unit(made)


def unit(made: torch.Tensor) -> torch.Tensor:
    """Rows of length 1, in place."""
    return made.div_(made.norm(dim=1, keepdim=True))


def asked(vectors: torch.Tensor, m: int) -> torch.Tensor:
    """(m, d) queries near documents."""
    draw = torch.Generator(vectors.device).manual_seed(7)
    rows = torch.randint(len(vectors), (m,), generator=draw, device=vectors.device)
    noise = torch.randn((m, vectors.shape[1]), generator=draw, device=vectors.device)
    return unit(vectors[rows].float() + noise * 0.5 / vectors.shape[1] ** 0.5)


def judged(
    rows: torch.Tensor, scores: torch.Tensor, queries: torch.Tensor, vectors: torch.Tensor
) -> tuple[float, float]:
    """Share of the K best by float64 that were found, and how far the scores given are from those of float64."""
    best = torch.empty((len(queries), 0), dtype=torch.float64, device=queries.device)
    for start in range(0, len(vectors), 1 << 18):
        block = queries.double() @ vectors[start : start + (1 << 18)].double().T
        best = torch.cat([best, block], dim=1).topk(K, dim=1).values
    found = (vectors[rows].double() * queries.double()[:, None]).sum(dim=2)
    # By score: documents that are equal up to the last bits may stand for each other.
    return float((found >= best[:, -1:] - 1e-12).double().mean()), float((found - scores.double()).abs().max())
