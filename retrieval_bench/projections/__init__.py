"""Linear reductions of vectors to fewer dimensions, made so that inner products survive: one method per file."""

from __future__ import annotations

from retrieval_bench.projections._moments import centre, sampled, shortened
from retrieval_bench.projections._projection import Projection
from retrieval_bench.projections.eigenvector_search import fit_eigenvector_search
from retrieval_bench.projections.frank_wolfe import fit_frank_wolfe
from retrieval_bench.projections.pca import fit_pca
from retrieval_bench.projections.query_aware import fit_query_aware
from retrieval_bench.projections.random_rotation import fit_random_rotation

__all__ = [
    "Projection",
    "centre",
    "fit_eigenvector_search",
    "fit_frank_wolfe",
    "fit_pca",
    "fit_query_aware",
    "fit_random_rotation",
    "sampled",
    "shortened",
]
