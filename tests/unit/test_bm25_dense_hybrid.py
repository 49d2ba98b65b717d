"""Rankers: bm25 against the formulas, dense against brute force, fusion by hand, and what they do with odd input."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval_bench import registry, specs
from retrieval_bench.arrays import load_strings, save_strings
from retrieval_bench.encoders import load_encoder
from retrieval_bench.errors import ArtifactError, BudgetError, CardError, DataError, UnknownNameError
from retrieval_bench.rankers import dense as dense_module
from retrieval_bench.rankers._analysis import STOP_WORDS, words
from retrieval_bench.rankers.bm25 import Bm25, Bm25Params
from retrieval_bench.rankers.dense import Dense, DenseParams
from retrieval_bench.rankers.hybrid import Fusion, HybridParams, fuse
from retrieval_bench.types import Budget, Corpus, FloatArray, Hits, Queries

TEXTS = (
    "The crane lifts steel beams.",
    "Cranes are large birds; a crane dances.",
    "Sorting a list of numbers in place",
    "",
    "Der Kran hebt Stahl. 日本語 café",
    "binary search in a sorted list, list, list",
)


def corpus_of(texts: Sequence[str], vectors: FloatArray | None = None) -> Corpus:
    return Corpus(ids=[f"d{i}" for i in range(len(texts))], texts=list(texts), vectors=vectors)


def asked(*texts: str) -> Queries:
    return Queries(ids=[f"q{i}" for i in range(len(texts))], texts=list(texts))


def read_jsonl(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def bm25(texts: Sequence[str] = TEXTS, **params: Any) -> Bm25:
    ranker = Bm25()
    ranker.build(corpus_of(texts), Bm25Params(**params), Budget())
    return ranker


def assert_same(one: Hits, other: Hits) -> None:
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_array_equal(one.scores, other.scores)


# Analysis


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop O'Neil's U.S.A. e.g.", ["don't", "stop", "o'neil", "u.s.a", "e.g"]),
        ("3.14 1,000 a-b x/y snake_case c++ v1.2", ["3.14", "1,000", "a", "b", "x", "y", "snake_case", "c", "v1.2"]),
        ("John\u2019s cafe\u0301 NAÏVE", ["john", "cafe\u0301", "naïve"]),
        ("日本語テスト ひら 한국어", ["日", "本", "語", "テスト", "ひ", "ら", "한국어"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("\ud800 \x00 🙂 \u200d --", []),
        ("z" * 600, ["z" * 255, "z" * 255, "z" * 90]),
    ],
)
def test_words_are_those_of_lucene(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text(alphabet=st.characters(codec="ascii")))
def test_ascii_and_other_text_are_cut_alike(text: str) -> None:
    assert words(text + " é") == [*words(text), "é"]


def test_stop_words_are_the_33_of_lucene() -> None:
    assert len(STOP_WORDS) == 33
    assert {"the", "such", "will"} <= STOP_WORDS
    assert not {"which", "from", "have"} & STOP_WORDS


# BM25


def reference(method: str, tf: int, df: int, n: int, length: float, k1: float, b: float, delta: float) -> float:
    """One term's score after Kamphuis et al. (ECIR 2020), table 1; `tf` may be 0."""
    norm = 1 - b + b * length
    if method == "lucene":
        return math.log(1 + (n - df + 0.5) / (df + 0.5)) * tf / (tf + k1 * norm)
    if method == "robertson":
        return math.log(max(1.0, (n - df + 0.5) / (df + 0.5))) * tf / (tf + k1 * norm)
    if method == "atire":
        return math.log(n / df) * (k1 + 1) * tf / (tf + k1 * norm)
    if method == "bm25l":
        return math.log((n + 1) / (df + 0.5)) * (k1 + 1) * (tf / norm + delta) / (k1 + tf / norm + delta)
    return math.log((n + 1) / df) * ((k1 + 1) * tf / (tf + k1 * norm) + delta)


@pytest.mark.parametrize("method", ["lucene", "robertson", "atire", "bm25l", "bm25+"])
def test_bm25_scores_are_those_of_the_formula(method: str) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{w}" for w in rng.zipf(1.5, rng.integers(1, 30)) % 40) for _ in range(50)]
    tokens = [Counter(text.split()) for text in texts]
    mean = float(np.mean([t.total() for t in tokens]))
    frequency = Counter(word for t in tokens for word in t)
    query = Counter(["w5", "w7", "w7", "w12", "unknown"])
    ranker = bm25(texts, method=method, k1=1.2, b=0.6, delta=0.4, stemmer="none", stopwords="none")
    hits = ranker.rank(asked(" ".join(query.elements())), 50)
    expected = {}
    for row, t in enumerate(tokens):
        if any(t[word] for word in query):
            expected[row] = sum(
                count * reference(method, t[word], frequency[word], 50, t.total() / mean, 1.2, 0.6, 0.4)
                for word, count in query.items()
                if word in frequency
            )
    found = {int(row): score for row, score in zip(hits.rows[0], hits.scores[0], strict=True) if row >= 0}
    assert found == pytest.approx({row: score for row, score in expected.items() if score > 0}, rel=1e-4)
    assert len(found) < 50


def test_bm25_ranks_by_stems_and_pads() -> None:
    hits = bm25().rank(asked("crane lifting", "sorted lists"), 4)
    assert hits.rows.tolist() == [[0, 1, -1, -1], [5, 2, -1, -1]]
    assert np.isneginf(hits.scores[hits.rows < 0]).all()
    assert (hits.scores[hits.rows >= 0] > 0).all()


@pytest.mark.parametrize("method", ["lucene", "robertson", "bm25l", "bm25+"])
@pytest.mark.parametrize("query", ["", "the of and", "zzz unknown", "🙂 \ud800 \x00", "?!"])
def test_queries_without_known_terms_have_no_hits(query: str, method: str) -> None:
    hits = bm25(method=method).rank(asked(query, "crane"), 3)
    assert hits.rows[0].tolist() == [-1, -1, -1]
    assert np.isneginf(hits.scores[0]).all()
    assert hits.rows[1, 0] >= 0


def test_k_may_exceed_the_documents() -> None:
    ranker = bm25()
    wide = ranker.rank(asked("list"), 50)
    assert wide.rows.shape == (1, 50)
    assert wide.rows[0, :3].tolist() == [5, 2, -1]


def test_ties_go_to_the_first_rows_at_every_k() -> None:
    ranker = bm25(["crane bird", "heron", "crane bird", "crane crane", "crane bird", "crane bird"])
    full = ranker.rank(asked("crane"), 6).rows[0]
    assert full.tolist() == [3, 0, 2, 4, 5, -1]
    for k in range(1, 6):
        assert ranker.rank(asked("crane"), k).rows[0].tolist() == full[:k].tolist()


def test_many_queries_are_answered_as_one() -> None:
    ranker = bm25()
    texts = ["crane", "", "list in place", "日 café"]
    together = ranker.rank(asked(*texts), 3)
    for i, text in enumerate(texts):
        alone = ranker.rank(asked(text), 3)
        np.testing.assert_array_equal(alone.rows[0], together.rows[i])
        np.testing.assert_array_equal(alone.scores[0], together.scores[i])
    assert together.rows[3, 0] == 4


def test_a_document_and_a_query_of_a_megabyte() -> None:
    long = "crane " * 100_000 + "x" * 400_000
    ranker = bm25([*TEXTS, long])
    assert 6 in ranker.rank(asked("crane"), 3).rows[0]
    assert ranker.rank(asked(long), 1).rows.tolist() == [[6]]
    assert max(map(len, ranker._vocabulary)) == 255


def test_texts_without_terms_are_refused() -> None:
    with pytest.raises(DataError, match="nothing to index"):
        bm25(["the", "", "of and"])
    with pytest.raises(DataError, match="no texts"):
        Bm25().build(Corpus(ids=["a"]), Bm25Params(), Budget())


def test_bm25_says_nothing(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ranker = bm25()
    ranker.rank(asked("", "crane"), 2)
    ranker.save(tmp_path)
    Bm25.load(tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("method", ["lucene", "bm25+"])
def test_a_saved_bm25_is_the_same(method: str, tmp_path: Path) -> None:
    ranker = bm25(method=method, stemmer="english", stopwords="none")
    ranker.save(tmp_path)
    loaded = Bm25.load(tmp_path)
    queries = asked("the crane lifts", "日本 café", "list list", "")
    assert_same(ranker.rank(queries, 5), loaded.rank(queries, 5))
    assert loaded.params == ranker.params
    assert loaded.memory() == ranker.memory()
    on_disk = sum(path.stat().st_size for path in tmp_path.glob("*.npy") if not path.name.startswith("terms"))
    arrays = sum(size for part, size in ranker.memory().parts.items() if part != "vocabulary")
    assert 0 <= on_disk - arrays <= 128 * 4  # headers


def test_bm25_is_built_the_same_in_any_process(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        bm25().save(tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert load_strings(tmp_path / "a", "terms")[:3] == [
        "crane",
        "lift",
        "steel",
    ]  # in the order of the texts, not of a set's hashes


@pytest.mark.parametrize("damage", ["pickled", "short", "out of range", "vocabulary", "missing", "params"])
def test_a_damaged_bm25_is_refused(damage: str, tmp_path: Path) -> None:
    bm25().save(tmp_path)
    rows = tmp_path / "indices.npy"
    if damage == "pickled":
        np.save(rows, np.array([{"a": 1}], object), allow_pickle=True)
    elif damage == "short":
        np.save(rows, np.load(rows)[:-1])
    elif damage == "out of range":
        np.save(rows, np.load(rows) + 3)
    elif damage == "vocabulary":
        save_strings(tmp_path, "terms", ["crane"])
    elif damage == "missing":
        rows.unlink()
    else:
        (tmp_path / "ranker.json").write_text('{"k1": -1}')
    with pytest.raises(ArtifactError, match=tmp_path.name):
        Bm25.load(tmp_path)


def test_bm25_reaches_the_published_figure_of_scifact(data_folder: Path) -> None:
    """Lucene: nDCG@10 .6789, recall@100 .9253 (title and text in one field, k1 .9, b .4)."""
    import pytrec_eval

    folder = data_folder / "scifact"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    lines = read_jsonl(folder / "corpus.jsonl")
    ids = [line["_id"] for line in lines]
    ranker = bm25([f"{line['title']} {line['text']}" for line in lines])
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        qrels.setdefault(query, {})[document] = int(grade)
    texts = {query["_id"]: query["text"] for query in read_jsonl(folder / "queries.jsonl")}
    hits = ranker.rank(asked(*(texts[query] for query in qrels)), 100)
    ranking = {
        query: {ids[row]: 100.0 - place for place, row in enumerate(rows) if row >= 0}
        for query, rows in zip(qrels, hits.rows, strict=True)
    }
    scores = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut_10", "recall_100"}).evaluate(ranking).values()
    assert np.mean([s["ndcg_cut_10"] for s in scores]) == pytest.approx(0.6789, abs=0.002)
    assert np.mean([s["recall_100"] for s in scores]) == pytest.approx(0.9253, abs=0.00005)


# Dense


class Letters:
    """Encodes a text by its letters; counts what it is given."""

    name, revision, dim, precision, nbytes = "letters", "r1", 26, "float32", 1000

    def __init__(self) -> None:
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> FloatArray:
        self.seen += texts
        return np.array([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], np.float32)


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Letters:
    encoder = Letters()
    monkeypatch.setattr(dense_module, "load_encoder", lambda name, **settings: encoder)
    return encoder


def dense(texts: Sequence[str] = TEXTS, vectors: FloatArray | None = None, **params: Any) -> Dense:
    ranker = Dense()
    ranker.build(corpus_of(texts, vectors), DenseParams(**params), Budget())
    return ranker


def test_dense_is_cosine_similarity(letters: Letters) -> None:
    hits = dense().rank(asked("crane birds", "list"), 4)
    queries, documents = letters.encode(["crane birds", "list"]), letters.encode(TEXTS)
    lengths = np.linalg.norm(queries, axis=1)[:, None] * np.maximum(np.linalg.norm(documents, axis=1), 1e-9)
    cosines = queries @ documents.T / lengths
    np.testing.assert_array_equal(hits.rows, np.argsort(-cosines, axis=1, kind="stable")[:, :4])
    np.testing.assert_allclose(hits.scores, -np.sort(-cosines, axis=1)[:, :4], rtol=1e-5)


def test_dense_encodes_documents_once_and_queries_always(letters: Letters) -> None:
    ranker = dense()
    assert letters.seen == list(TEXTS)
    dense()
    assert letters.seen == list(TEXTS)
    ranker.rank(asked("a"), 1)
    ranker.rank(asked("a"), 1)
    assert letters.seen[len(TEXTS) :] == ["a", "a"]


def test_dense_takes_the_vectors_of_the_corpus(letters: Letters) -> None:
    vectors = letters.encode(TEXTS) * 7
    vectors.setflags(write=False)
    letters.seen.clear()
    ranker = dense(vectors=vectors)
    assert not letters.seen
    given, encoded = ranker.rank(asked("crane"), 6), dense().rank(asked("crane"), 6)
    np.testing.assert_array_equal(given.rows, encoded.rows)
    np.testing.assert_allclose(given.scores, encoded.scores, rtol=1e-5)
    with pytest.raises(DataError, match=r"5 dimensions, the encoder 'letters' makes 26"):
        dense(vectors=np.ones((len(TEXTS), 5), np.float32))


def test_dense_has_no_direction_for_an_empty_text(letters: Letters) -> None:
    hits = dense().rank(asked("", "🙂"), 3)
    assert hits.rows.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert not hits.scores.any()


def test_dense_pads_where_k_exceeds_the_documents(letters: Letters) -> None:
    hits = dense().rank(asked("crane"), 9)
    assert sorted(hits.rows[0, :6].tolist()) == list(range(6))
    assert hits.rows[0, 6:].tolist() == [-1, -1, -1]
    assert np.isneginf(hits.scores[0, 6:]).all()


def test_dense_checks_the_parameters_of_its_index(letters: Letters) -> None:
    with pytest.raises(CardError, match=r"index 'flat': unknown key 'nlist'"):
        dense(index_build={"nlist": 4})
    with pytest.raises(UnknownNameError, match="flat"):
        dense(index="flatt")


def test_the_encoder_counts_in_memory_and_budget(letters: Letters) -> None:
    parts = dense().memory().parts
    assert parts.pop("encoder") == 1000
    index_bytes = sum(parts.values())
    assert index_bytes >= 4 * 26 * len(TEXTS)
    for limit, reason in ((900, "encoder's weights alone"), (1000 + index_bytes - 1, "flat")):
        with pytest.raises(BudgetError, match=reason):
            Dense().build(corpus_of(TEXTS), DenseParams(), Budget(index_bytes=limit))
    Dense().build(corpus_of(TEXTS), DenseParams(), Budget(bytes_per_vector=(1000 + index_bytes) / len(TEXTS)))


def test_a_saved_dense_is_the_same_and_knows_its_encoder(
    letters: Letters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranker = dense()
    ranker.save(tmp_path)
    loaded = Dense.load(tmp_path)
    queries = asked("crane", "", "list")
    assert_same(ranker.rank(queries, 8), loaded.rank(queries, 8))
    assert loaded.params == ranker.params
    assert loaded.params.precision == "float32"
    monkeypatch.setattr(letters, "revision", "r2", raising=False)
    with pytest.raises(ArtifactError, match="of revision r1, here it is r2"):
        Dense.load(tmp_path)


def test_dense_with_the_packaged_model() -> None:
    ranker = dense(["How to sort a list", "The crane is a bird", "Steel production in 1950"])
    assert ranker.rank(asked("ordering an array", "wading animals"), 1).rows.tolist() == [[0], [1]]
    encoder = load_encoder()
    assert (ranker.params.precision, ranker.memory().parts["encoder"]) == (encoder.precision, encoder.nbytes)


# Fusion


def hits_of(*rankings: Sequence[int]) -> Hits:
    """Hits of these rows, best first, -1 pads."""
    rows = np.array(rankings, np.int64)
    scores = np.where(rows < 0, -np.inf, np.arange(rows.shape[1], 0, -1)).astype(np.float32)
    return Hits(rows=rows, scores=scores)


def test_reciprocal_rank_fusion_by_hand() -> None:
    first = hits_of([3, 1, 2], [5, -1, -1], [-1, -1, -1])
    second = hits_of([1, 4], [7, 5], [-1, -1])
    hits = fuse([first, second], 4, 60)
    # Query 0: row 1 is 2nd and 1st, row 3 is 1st, rows 4 and 2 are 2nd and 3rd. Query 1: row 5 is 1st and 2nd.
    assert hits.rows.tolist() == [[1, 3, 4, 2], [5, 7, -1, -1], [-1, -1, -1, -1]]
    expected = [[1 / 62 + 1 / 61, 1 / 61, 1 / 62, 1 / 63], [1 / 61 + 1 / 62, 1 / 61, -np.inf, -np.inf], [-np.inf] * 4]
    np.testing.assert_allclose(hits.scores, np.array(expected, np.float32))


def test_fused_ties_stand_by_row_at_every_k() -> None:
    rankings = [hits_of([9, 4, 1]), hits_of([2, 8, 5])]
    assert fuse(rankings, 6, 60).rows.tolist() == [[2, 9, 4, 8, 1, 5]]
    assert fuse(rankings, 1, 60).rows.tolist() == [[2]]


@settings(deadline=None)
@given(st.data())
def test_fusion_is_that_of_the_plain_loop(data: st.DataObject) -> None:
    m, k = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 8))
    rankings = []
    for _ in range(data.draw(st.integers(1, 3))):
        depth = data.draw(st.integers(1, 6))
        rows = [data.draw(st.lists(st.integers(0, 9), max_size=depth, unique=True)) for _ in range(m)]
        rankings.append(hits_of(*([*r, *[-1] * (depth - len(r))] for r in rows)))
    hits = fuse(rankings, k, 60)
    for query in range(m):
        scores: dict[int, float] = {}
        for ranking in rankings:
            for place, row in enumerate(ranking.rows[query].tolist(), start=1):
                if row >= 0:
                    scores[row] = scores.get(row, 0) + 1 / (60 + place)
        best = sorted(scores, key=lambda row: (-np.float32(scores[row]), row))[:k]
        assert hits.rows[query].tolist() == best + [-1] * (k - len(best))


def test_hybrid_fuses_its_parts(letters: Letters, tmp_path: Path) -> None:
    ranker = Fusion()
    ranker.build(corpus_of(TEXTS), HybridParams(depth=3), Budget())
    queries = asked("crane", "", "sorted list")
    hits = ranker.rank(queries, 2)
    assert_same(hits, fuse([bm25().rank(queries, 3), dense().rank(queries, 3)], 2, 60))
    # More than `depth` are asked for: the parts give as many, but no more than there are documents.
    assert_same(ranker.rank(queries, 9), fuse([bm25().rank(queries, 6), dense().rank(queries, 6)], 9, 60))
    assert {"0.bm25.vocabulary", "1.dense.encoder"} <= set(ranker.memory().parts)
    assert ranker.params.rankers[0].build["k1"] == 0.9
    ranker.save(tmp_path)
    loaded = Fusion.load(tmp_path)
    assert_same(loaded.rank(queries, 9), ranker.rank(queries, 9))
    assert loaded.params == ranker.params
    (tmp_path / "0-bm25" / "ranker.json").unlink()
    with pytest.raises(ArtifactError, match="0-bm25"):
        Fusion.load(tmp_path)


def test_hybrid_hands_its_encoder_to_the_parts_that_name_none(
    letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []

    def loaded(name: str, **settings: str) -> Letters:
        names.append(name)
        return letters

    monkeypatch.setattr(dense_module, "load_encoder", loaded)
    parts = ["bm25", "dense", {"ranker": "dense", "build": {"encoder": "own"}}]
    params = HybridParams.model_validate({"rankers": parts, "encoder": "run's"})
    Fusion().build(corpus_of(TEXTS), params, Budget())
    assert names == ["run's", "own"]


def test_hybrid_names_what_is_wrong_with_a_part() -> None:
    for part, error, reason in (
        ("bm52", UnknownNameError, "did you mean 'bm25'"),
        ({"ranker": "bm25", "build": {"k": 1}}, CardError, "ranker 'bm25': unknown key 'k'"),
    ):
        params = HybridParams.model_validate({"rankers": [part]})
        with pytest.raises(error, match=reason):
            Fusion().build(corpus_of(TEXTS), params, Budget())
    with pytest.raises(CardError, match="rankers"):
        specs.params(HybridParams, {"rankers": []}, where="test")


@pytest.mark.parametrize("name", ["bm25", "dense", "hybrid"])
def test_the_cards_hold_valid_parameters(name: str) -> None:
    card = specs.system_card(name, "ranker")
    plugin = registry.rankers.get(card.backend)
    assert card.default
    assert plugin.name == card.backend
    assert specs.params(plugin.BuildParams, card.build, where=name) == plugin.BuildParams()
