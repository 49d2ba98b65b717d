"""Terms as Lucene makes them, other languages, and Lucene's lengths in bm25."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval_bench import specs
from retrieval_bench.datasets import load_dataset
from retrieval_bench.errors import CardError
from retrieval_bench.quality import evaluate, ranked
from retrieval_bench.rankers._analysis import term_maker, words
from retrieval_bench.rankers.bm25 import Bm25, Bm25Params
from retrieval_bench.types import Budget, Corpus, Queries

# What Anserini 1.7's DefaultEnglishAnalyzer makes of them; Porter's paper gives others.
LUCENE_STEMS = {
    "aetiology": "aetiolog", "analogies": "analog", "assembly": "assembl", "disassembly": "disassembl",
    "flexibly": "flexibl", "incredibly": "incred", "invisibly": "invis", "bs": "bs", "ey": "ey",
    "microbiology": "microbiolog", "running": "run", "possibly": "possibl", "probably": "probabl",
}  # fmt: skip


def test_stems_are_those_of_lucene() -> None:
    stem = term_maker("porter", "none")
    assert {word: stem(word) for word in LUCENE_STEMS} == LUCENE_STEMS


def test_raised_digits_and_fractions_are_no_words() -> None:
    assert words("h₂o₂ ¼ x² é") == ["h", "o", "x", "é"]


def test_other_languages() -> None:
    german = term_maker("german", "german")
    assert [german(word) for word in ("der", "kräne", "häuser")] == ["", "kran", "haus"]
    texts = ["der Kran und die Häuser", "das Haus", "ein Vogel"]
    ranker = Bm25()
    ranker.build(Corpus(ids=["a", "b", "c"], texts=texts), Bm25Params(stemmer="german", stopwords="german"), Budget())
    hits = ranker.rank(Queries(ids=["q", "r"], texts=["Hauses", "der die das"]), 3)
    assert hits.rows.tolist() == [[1, 0, -1], [-1, -1, -1]]


def test_lucenes_lengths_belong_to_lucenes_method() -> None:
    with pytest.raises(CardError, match="lengths = 'lucene' belongs to method = 'lucene'"):
        specs.params(Bm25Params, {"method": "atire", "lengths": "lucene"}, where="test")


def test_rounded_lengths_tie_documents_of_nearly_one_length() -> None:
    texts = ["crane " + "word " * 39, "crane " + "word " * 40, "", "bird"]
    found = []
    for lengths in ("exact", "lucene"):
        ranker = Bm25()
        ranker.build(Corpus(ids=list("abcd"), texts=texts), Bm25Params.model_validate({"lengths": lengths}), Budget())
        found.append(ranker.rank(Queries(ids=["q"], texts=["crane"]), 2).scores[0])
    assert found[0][0] > found[0][1]
    assert found[1][0] == found[1][1]
    # ln(1 + (N - df + .5) / (df + .5)) with the empty document not counted, and 1 / (1 + k1 (1 - b + b 40 / mean))
    mean = (40 + 41 + 1) / 3
    expected = np.log(1 + 1.5 / 2.5) / (1 + 0.9 * (0.6 + 0.4 * 40 / mean))
    assert found[1][0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("name", "figure"), [("beir/scifact", 0.6789), ("cacm-html", 0.4544)])
def test_with_lucenes_lengths_bm25_reaches_lucenes_figure(name: str, figure: float, data_folder: Path) -> None:
    folder = data_folder / ("scifact" if "scifact" in name else "cacm")
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    # On CACM Lucene itself has .4543: Anserini keeps equal scores in Lucene's order, and trec_eval's is another.
    data = load_dataset(name)
    ranker = Bm25()
    ranker.build(data.corpus, Bm25Params(lengths="lucene"), Budget())
    hits = ranker.rank(data.queries["test"], 10)
    assert (
        round(float(evaluate(ranked(hits, data.corpus), data.qrels["test"], ["nDCG@10"])["nDCG@10"].mean()), 4)
        == figure
    )
