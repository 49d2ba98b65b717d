"""The backends over codes keep the contract with codecs of every kind, not only with their default."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from pydantic import Field, create_model

from retrieval_bench.contract import IndexSubject, checks
from retrieval_bench.registry import indexes


@cache
def _subject(backend: str, codec: str) -> IndexSubject:
    base = indexes.get(backend)
    build = create_model("Build", __base__=base.BuildParams, codec=(str, Field(codec, description="the one checked")))
    factory = type(f"{backend}_{codec}", (base,), {"BuildParams": build})
    return IndexSubject(factory, ({"nprobe": 8, "refine": 32},) if backend == "coded_ivf" else ())


@pytest.mark.parametrize("check", checks("index"), ids=lambda check: check.__name__)
@pytest.mark.parametrize("codec", ["binary", "cluster_dim", "mixed", "rabitq"])
@pytest.mark.parametrize("backend", ["coded", "coded_ivf"])
def test_contract(backend: str, codec: str, check: Callable[[IndexSubject], None]) -> None:
    check(_subject(backend, codec))
