"""K-NRM: the network by hand, that it learns what BM25 cannot see, and what it is before it has learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval_bench.errors import ArtifactError, DataError
from retrieval_bench.rankers import knrm as knrm_module
from retrieval_bench.rankers._kernel_net import KernelNet
from retrieval_bench.rankers.bm25 import Bm25, Bm25Params
from retrieval_bench.rankers.knrm import Knrm, KnrmParams
from retrieval_bench.types import Budget, Corpus, Examples, FloatArray, Qrels, Queries


def vectors(tokens: int = 60, dim: int = 16) -> FloatArray:
    """Token 1 lies beside token 2, 3 beside 4, ...; token 0 is padding."""
    rng = np.random.default_rng(0)
    pairs = rng.standard_normal((tokens // 2, dim)).repeat(2, axis=0)
    return np.concatenate([np.zeros((1, dim)), pairs + 0.1 * rng.standard_normal(pairs.shape)]).astype(np.float32)


class Words:
    """Word ``w7`` is token 7."""

    name, revision, nbytes = "words", "r1", 1000

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        return [[int(word[1:]) for word in text.split() if word[1:].isdigit()] for text in texts]

    def token_vectors(self) -> FloatArray:
        return vectors()


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> Words:
    words = Words()
    monkeypatch.setattr(knrm_module, "load_encoder", lambda name: words)
    return words


def test_kernels_count_soft_matches() -> None:
    net = KernelNet(torch.from_numpy(vectors()), ngrams=1, filters=16, kernels=10)
    asked, held = torch.tensor([[1, 3, 0]]), torch.tensor([[1, 2, 9, 0]])
    view = net.views[0]
    assert isinstance(view, torch.nn.Conv1d)
    counts = net._pooled(net._views(asked)[0], net._views(held)[0], asked != 0, held != 0)
    projected = torch.from_numpy(vectors()) @ view.weight.squeeze(2).T
    unit = torch.nn.functional.normalize(projected, dim=1).detach()
    expected = []
    for centre, scale in net._kernels:
        total = 0.0
        for q in (1, 3):
            near = sum(float(np.exp((float(unit[q] @ unit[d]) - centre) ** 2 * scale)) for d in (1, 2, 9))
            total += float(np.log1p(near))
        expected.append(total)
    np.testing.assert_allclose(counts[0].detach().numpy(), expected, rtol=1e-2, atol=1e-3)


def test_kernels_stand_at_equal_distances_and_one_at_equality() -> None:
    kernels = KernelNet(torch.from_numpy(vectors()), ngrams=1, filters=16, kernels=4)._kernels
    np.testing.assert_allclose([centre for centre, _ in kernels], [1.0, 0.75, 0.25, -0.25, -0.75])
    np.testing.assert_allclose([scale for _, scale in kernels], [-5e5, -50, -50, -50, -50])


def test_products_by_word_are_the_convolution() -> None:
    words = torch.from_numpy(vectors())
    words[0] = 0.0
    net = KernelNet(words, ngrams=3, filters=8, kernels=4)
    tokens = torch.tensor([[1, 2, 9, 2, 5], [3, 3, 4, 0, 0]])
    for view, found in zip(net.views, net._views(tokens), strict=True):
        assert isinstance(view, torch.nn.Conv1d)
        moved = torch.nn.functional.pad(words[tokens].transpose(1, 2), (0, view.kernel_size[0] - 1))
        expected = torch.nn.functional.normalize(view(moved).transpose(1, 2), dim=2)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert net._views(tokens[:, :1])[2].shape == (2, 1, 8)


@pytest.mark.parametrize("ngrams", [1, 3])
def test_padding_changes_nothing_and_the_first_score_is_the_start(ngrams: int) -> None:
    words = torch.from_numpy(vectors())
    words[0] = 1.0  # what an encoder has for padding
    net = KernelNet(words, ngrams=ngrams, filters=8, kernels=4)
    first = torch.tensor([0.25, 0.75])
    asked, held = torch.tensor([[1, 3], [5, 6]]), torch.tensor([[1, 2, 9], [3, 4, 5]])
    np.testing.assert_allclose(net(asked, held, first).detach(), first)
    torch.nn.init.normal_(net.score.weight)
    wide = net(torch.nn.functional.pad(asked, (0, 4)), torch.nn.functional.pad(held, (0, 7)), first)
    np.testing.assert_allclose(wide.detach(), net(asked, held, first).detach(), rtol=1e-4, atol=1e-5)


def learnable() -> tuple[Corpus, Examples, Queries, list[int]]:
    """Each question has two documents with its word once; the right one also holds the word's neighbour."""
    odd = range(1, 40, 2)
    texts, right = list[str](), list[int]()
    for word in odd:
        other = 41 + word % 9 * 2  # never asked for
        right.append(len(texts) + 1)
        texts += [f"w{word} w{other} w{other}", f"w{word} w{word + 1} w{word + 1} w{other} w{other}"]
    corpus = Corpus(ids=[f"d{i}" for i in range(len(texts))], texts=texts)
    asked = [f"w{word}" for word in odd]
    taught, tested = [i for i in range(20) if i % 3], range(0, 20, 3)
    qrels = Qrels(
        offsets=np.arange(len(taught) + 1),
        rows=np.array([right[i] for i in taught]),
        grades=np.ones(len(taught), np.int64),
    )
    examples = Examples(
        queries=Queries(ids=[f"q{i}" for i in taught], texts=[asked[i] for i in taught], split="train"), qrels=qrels
    )
    return (
        corpus,
        examples,
        Queries(ids=[f"q{i}" for i in tested], texts=[asked[i] for i in tested]),
        [right[i] for i in tested],
    )


def built(epochs: int, ngrams: int = 1, depth: int = 50) -> Knrm:
    ranker = Knrm()
    params = KnrmParams(ngrams=ngrams, depth=depth, filters=16, epochs=epochs, document_tokens=8, learning_rate=0.05)
    corpus, examples, *_ = learnable()
    ranker.build(corpus, params, Budget(), examples=examples, seed=2)
    return ranker


def test_untrained_it_is_bm25(encoder: Words) -> None:
    corpus, _, queries, right = learnable()
    bm25 = Bm25()
    bm25.build(corpus, Bm25Params(), Budget())
    found = bm25.rank(queries, 2).rows
    np.testing.assert_array_equal(built(0).rank(queries, 2).rows, found)
    assert not (found[:, 0] == right).any()  # the right documents are longer


@pytest.mark.parametrize("ngrams", [1, 2])
def test_it_learns_that_neighbours_of_words_count(encoder: Words, ngrams: int, tmp_path: Path) -> None:
    _, _, queries, right = learnable()
    state = torch.random.get_rng_state()
    ranker = built(15, ngrams)
    assert torch.equal(torch.random.get_rng_state(), state)
    hits = ranker.rank(queries, 2)
    assert (hits.rows[:, 0] == right).mean() > 0.8
    ranker.save(tmp_path)
    loaded = Knrm.load(tmp_path)
    np.testing.assert_array_equal(loaded.rank(queries, 2).rows, hits.rows)
    (tmp_path / "net.safetensors").write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match="K-NRM"):
        Knrm.load(tmp_path)


def test_how_many_are_asked_for_orders_nothing(encoder: Words) -> None:
    ranker, n = built(0, depth=6), len(learnable()[0])
    torch.nn.init.normal_(ranker._net.score.weight, generator=torch.Generator().manual_seed(0))
    queries = Queries(ids=["a", "b"], texts=["w1 w43 w45 w47 w49", "w41 w51 w53 w7"])
    whole, bm25 = ranker.rank(queries, n), ranker._first.rank(queries, n)
    assert ((whole.rows >= 0).sum(axis=1) > 10).all()
    for k in (1, 6, 10):
        np.testing.assert_array_equal(ranker.rank(queries, k).rows, whole.rows[:, :k])
    assert not np.array_equal(whole.rows[:, :6], bm25.rows[:, :6])
    np.testing.assert_array_equal(np.sort(whole.rows[:, :6]), np.sort(bm25.rows[:, :6]))
    np.testing.assert_array_equal(whole.rows[:, 6:], bm25.rows[:, 6:])


def test_it_needs_examples(encoder: Words) -> None:
    with pytest.raises(DataError, match="knrm learns from judged questions"):
        Knrm().build(learnable()[0], KnrmParams(), Budget())
