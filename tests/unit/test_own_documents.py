"""Queries that are documents (as in ArguAna): whatever learns or judges looks past each query's own document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("bm25s")
pytest.importorskip("lightgbm")

from made_up_training import tiny_encoder  # noqa: E402

from retrieval_bench import registry  # noqa: E402
from retrieval_bench.datasets import load_dataset  # noqa: E402
from retrieval_bench.quality import is_own, mean, without_own  # noqa: E402
from retrieval_bench.specs import params  # noqa: E402
from retrieval_bench.training import cross_encoder  # noqa: E402
from retrieval_bench.training.batches import Pairs  # noqa: E402
from retrieval_bench.training.hard_negatives import HardPairs  # noqa: E402
from retrieval_bench.training.heldout import heldout_scores  # noqa: E402
from retrieval_bench.training.settings import Settings  # noqa: E402
from retrieval_bench.training.text_encoder import TextEncoder  # noqa: E402
from retrieval_bench.types import Budget, Dataset, Examples, Hits, IntArray  # noqa: E402

N = 24
WORDS = ("crane", "steel", "bird", "list", "search", "index", "query", "vector", "rank", "graph", "tree", "field")


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Documents that are all asked for too; the answer to one is its neighbour, which shares two of its words."""
    folder = tmp_path_factory.mktemp("data") / "arguments"
    (folder / "qrels").mkdir(parents=True)
    texts = [
        f"{WORDS[i // 2]} {WORDS[(i // 2 + 5) % 12]} {'for' if i % 2 else 'against'} {WORDS[i % 12]}" for i in range(N)
    ]
    for name in ("corpus", "queries"):
        lines = [json.dumps({"_id": f"a{i}", "text": text}) for i, text in enumerate(texts)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for split, rows in (("train", range(16)), ("test", range(16, N))):
        lines = ["query-id\tcorpus-id\tscore", *(f"a{i}\ta{i ^ 1}\t1" for i in rows)]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = load_dataset(str(folder))
    for split, first in (("train", 0), ("test", 16)):
        own = data.queries[split].own_rows
        assert own is not None
        assert own.tolist() == list(range(first, first + len(own)))
    return data


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_encoder(tmp_path_factory.mktemp("models") / "tiny"))


def test_answers_keep_their_scores() -> None:
    hits = Hits(rows=np.array([[4, 2, 7], [3, 1, -1]]), scores=np.array([[3, 2, 1], [3, 2, -np.inf]], np.float32))
    own = np.array([2, -1])
    assert is_own(hits.rows, own).tolist() == [[False, True, False], [False] * 3]
    assert not is_own(hits.rows, None).any()
    found = without_own(hits, own, 3)
    assert found.rows.tolist() == [[4, 7, -1], [3, 1, -1]]
    assert found.scores.tolist() == [[3, 1, -np.inf], [3, 2, -np.inf]]


@pytest.mark.parametrize("hard", [False, True])
def test_they_are_no_negatives(hard: bool, arguments: Dataset, tiny: str) -> None:
    settings = Settings(batch=16, negatives=2)
    source = HardPairs(arguments, settings, encoder=tiny) if hard else Pairs(arguments, settings)
    assert len(source._negatives) == 16
    for row, negatives in source._negatives.items():
        assert len(negatives)
        assert not np.isin([row, row ^ 1], negatives).any()
    batch = source.batch(0, 0)
    # The answer to another query of the batch may be this query itself.
    own = batch.query_rows[:, None] == batch.document_rows[None, :]
    assert own.any()
    assert batch.relevant[own].all()
    assert (batch.document_rows[:16] == batch.query_rows ^ 1).all()


def test_re_ranking_is_judged_without_them(arguments: Dataset, tiny: str, tmp_path: Path) -> None:
    settings = cross_encoder.CrossEncoderSettings(frozen_layers=0, query_tokens=16, document_tokens=16)
    cross_encoder.CrossEncoding(TextEncoder(tiny, frozen_layers=0, device="cpu"), settings).save(tmp_path)
    for depth in (1, 100):  # the second is more than there are documents
        gains = cross_encoder.rerank_gains(tmp_path, arguments, start=tiny, depth=depth)
        before = {name: mean(values) for name, values in heldout_scores(tiny, arguments, "test").items()}
        assert {gain.metric: gain.before for gain in gains} == pytest.approx(before)
        assert depth > 1 or [gain.gain for gain in gains] == [0, 0]


@pytest.mark.parametrize(
    ("name", "settings", "seen_by"),
    [
        ("hybrid", {"rankers": ["bm25"], "fusion": "weighted"}, "learned_weights"),
        ("knrm", {"depth": 10, "filters": 8, "epochs": 1, "document_tokens": 8}, "grades_of"),
    ],
)
def test_rankers_learn_from_other_documents(
    name: str, settings: dict[str, Any], seen_by: str, arguments: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranker = registry.rankers.get(name)()
    module = f"retrieval_bench.rankers.{name}"
    seen: list[IntArray] = []
    learn = getattr(__import__(module, fromlist=[seen_by]), seen_by)

    def watched(given: Any, *others: Any) -> Any:
        seen.append(given[0].rows if isinstance(given, list) else given)
        return learn(given, *others)

    monkeypatch.setattr(f"{module}.{seen_by}", watched)
    examples = Examples(queries=arguments.queries["train"], qrels=arguments.qrels["train"])
    ranker.build(arguments.corpus, params(ranker.BuildParams, settings, where="test"), Budget(), examples=examples)
    (rows,) = seen
    assert (rows >= 0).any(axis=1).all()
    assert not is_own(rows, examples.queries.own_rows).any()


def test_trees_learn_from_other_documents(arguments: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    ltr = registry.rankers.get("ltr")
    module = __import__("retrieval_bench.rankers.ltr", fromlist=["lightgbm"])
    train = module.lightgbm.train
    seen: list[int] = []

    def watched(settings: Any, data: Any, *others: Any, **more: Any) -> Any:
        seen.append(int(np.sum(data.group)))
        return train(settings, data, *others, **more)

    monkeypatch.setattr(module.lightgbm, "train", watched)
    asked, qrels = arguments.queries["train"], arguments.qrels["train"]
    ranker = ltr()
    wanted = ltr.BuildParams.model_validate({"least": 1, "depth": N, "trees": 2})
    ranker.build(arguments.corpus, wanted, Budget(), examples=Examples(queries=asked, qrels=qrels))
    assert seen == [(16 - 16 // 5) * (N - 1)]  # every fifth question says when to stop
