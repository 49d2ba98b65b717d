"""What applications hand over: right answers, or one clear line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import retrieval_bench as rb
from retrieval_bench.artifact import Searcher
from retrieval_bench.cli import app
from retrieval_bench.errors import CardError, DataError, RetrievalBenchError, UsageError

pd: Any = pytest.importorskip("pandas")
build: Any = rb.build  # which is called with what its types do not allow
N, D = 40, 6
X = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
TEXTS = [f"crane number {i} lifts" for i in range(N)]


@pytest.fixture(scope="module")
def flat() -> Any:
    return build("flat", X)


@pytest.fixture(scope="module")
def bm25() -> Any:
    return build("bm25", texts=TEXTS)


@pytest.mark.parametrize(
    "vectors",
    [
        X.tolist(), list(X), tuple(map(tuple, X.tolist())), pd.DataFrame(X), pd.DataFrame(X).astype(object),
        pd.Series(list(X)), X.astype(object), np.asfortranarray(X), X[::-1][::-1], X.astype(">f4"),
        np.ma.masked_array(X), [[np.float32(v) for v in row] for row in X], X.astype(np.float64), np.array(list(X)),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_becomes_vectors(flat: Searcher, vectors: Any) -> None:
    built = build("flat", vectors)
    expected = flat.search(X, k=3)
    for found in (built.search(X, k=3), flat.search(vectors, k=3)):
        assert np.array_equal(found.rows, expected.rows)


@pytest.mark.parametrize("k", [np.int64(3), np.int32(3), np.uint8(3), np.array(3)[()]])
def test_any_whole_number_is_a_number_of_results(flat: Searcher, k: Any) -> None:
    ivf = build("ivf", X, lists=np.int64(2), seed=np.int64(1), search={"nprobe": np.int32(2)})
    assert ivf.search(X[0], k=k, nprobe=np.int16(2)).rows.shape == flat.search(X[0], k=k).rows.shape == (1, 3)


@pytest.mark.parametrize("k", [3.0, "3", None, True, np.True_, np.float64(3)])
def test_no_other_type_is_a_number_of_results(flat: Searcher, k: Any) -> None:
    with pytest.raises(UsageError, match=r"k = .* is of the type \w+, not a whole number"):
        flat.search(X[0], k=k)


def test_texts_from_any_ordered_iterable(bm25: Searcher) -> None:
    wanted = bm25.search([TEXTS[7], TEXTS[9]], k=1).ids
    for texts in (np.array(TEXTS), pd.Series(TEXTS), (text for text in TEXTS), tuple(TEXTS)):
        built = build("bm25", texts=texts)
        for asked in (np.array([TEXTS[7], TEXTS[9]]), pd.Series([TEXTS[7], TEXTS[9]]), iter([TEXTS[7], TEXTS[9]])):
            assert built.search(asked, k=1).ids == wanted


@pytest.mark.parametrize(
    ("word", "metric"),
    [("cosine", "cos"), ("Angular", "cos"), ("dot", "ip"), ("inner_product", "ip"), ("Euclidean", "l2"), ("L2", "l2")],
)
def test_common_names_of_metrics(word: str, metric: str) -> None:
    assert build("flat", X, metric=word).manifest.metric == metric


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: build("flat", X, metric="hamming"), UsageError, r"'hamming' is not known; there are: ip .*cosine"),
        (lambda: build("flat", X, metric=None), UsageError, "metric = None is not known"),
        (lambda: build("flat", X + 0j), DataError, "type complex64, not real numbers"),
        (lambda: build("flat", [["1", "2"], ["3", "4"]]), DataError, "not real numbers"),
        (lambda: build("flat", np.array([[1, "a"], [2, "b"]], object)), DataError, "not real numbers"),
        (lambda: build("flat", np.array([[1, None], [2, 3]], object)), DataError, "row 0 holds a NaN"),
        (lambda: build("flat", [[1.0], [1.0, 2.0]]), DataError, "different lengths"),
        (lambda: build("flat", pd.Series([[1.0], [1.0, 2.0]])), DataError, "different lengths"),
        (lambda: build("flat", (row for row in X)), DataError, "not real numbers"),
        (lambda: build("flat", "vectors"), DataError, "type str, not vectors"),
        (lambda: build("flat", {0: X[0]}), DataError, "type dict, not vectors"),
        (lambda: build("flat", np.float32(3)), DataError, r"shape \(n, d\), not \(\)"),
        (lambda: build("flat", X[0]), DataError, r"shape \(n, d\), not \(6,\)"),
        (lambda: build("flat", X[:0]), DataError, "holds no"),
        (lambda: build("flat", np.ma.masked_greater(X, 1)), DataError, "masked"),
        (lambda: build("flat", X.astype("datetime64[s]")), DataError, "not real numbers"),
        (lambda: build("flat", X, train_queries=X + 0j), DataError, "train_queries: .*not real"),
        (lambda: build("flat", X.astype(float) * 1e300, metric="l2"), DataError, "divide all vectors by one number"),
        (lambda: build(None, X), UsageError, "unknown backend None"),
        (lambda: build("ivf", X, search=[1]), CardError, "search of ivf"),
        (lambda: build("flat", X, budget={"bytes": 1}), CardError, "budget: unknown key 'bytes'"),
        (lambda: rb.run("synthetic", indexes="flat"), UsageError, "a list of texts is needed, not one str"),
        (lambda: build("flat", X, seed="a"), UsageError, "seed = 'a' is of the type str"),
        (lambda: build("flat", X, seed=-1), UsageError, "seed = -1: 0 to"),
        (lambda: build("flat", X, ids="a" * N), UsageError, "a list of ids is needed, not one str"),
        (lambda: build("flat", X, ids=set(range(N))), UsageError, "not one set"),
        (lambda: build("flat", X, ids=np.array(7)), UsageError, "not one ndarray"),
        (lambda: build("flat", X, ids=[*range(N - 1), np.nan]), DataError, f"place {N - 1} is of the type float"),
        (lambda: build("flat", X, ids=[*range(N - 1), ""]), DataError, f"place {N - 1} is empty"),
        (lambda: build("flat", X, ids=[*range(N - 1), "3"]), DataError, "'3' occurs more than once"),
        (lambda: build("flat", X, ids=range(3)), UsageError, f"{N} documents need as many ids"),
        (lambda: build("bm25", texts=["a", None]), DataError, "number 1 is of the type NoneType"),
        (lambda: build("bm25", texts=["a", np.nan]), DataError, "number 1 is of the type float"),
        (lambda: build("bm25", texts="a text"), UsageError, "a list of texts is needed, not one str"),
        (lambda: build("bm25", texts={"a": "b"}), UsageError, "not one dict"),
        (lambda: build("bm25", texts=7), UsageError, "not one int"),
        (lambda: build("bm25", texts=["a", "\ud800"]), DataError, "number 1 holds half of a surrogate pair"),
        (lambda: build("bm25", texts=[]), DataError, "holds no document"),
    ],
)  # fmt: skip
def test_what_is_neither_is_one_line(call: Callable[[], object], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as raised:
        call()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("queries", "said"),
    [
        (None, "type NoneType, not vectors"), (b"abcdef", "type bytes"), ({0: X[0]}, "type dict"), (X + 0j, "complex"),
        (5, "dimensions"), ([], "no query"), (np.zeros((0, D)), "holds no"), (X[None], "shape"), (X[:, :2], "2 dim"),
        (np.full(D, np.inf), "infinite"), ([None] * D, "no number|not real"), (pd.DataFrame({"a": ["x"]}), "not real"),
        (["text", None], "number 1 is of the type NoneType"), ([X[0], "text"], "number 0 is of the type ndarray"),
    ],
)  # fmt: skip
def test_queries_that_are_none(flat: Searcher, queries: Any, said: str) -> None:
    with pytest.raises(RetrievalBenchError, match=said):
        flat.search(queries, k=1)


def test_a_setting_that_is_no_number_is_named(flat: Searcher) -> None:
    with pytest.raises(CardError, match="nprobe"):
        build("ivf", X).search(X[:1], k=1, nprobe=np.float64(1.5))


def test_an_export_of_few_documents_can_be_searched_on_the_terminal(tmp_path: Path) -> None:
    build("bm25", texts=["a crane lifts", "a heron waits"]).save(tmp_path / "few")
    done = CliRunner().invoke(app, ["search", str(tmp_path / "few"), "crane"])
    assert done.exit_code == 0, done.output
    assert "a crane lifts" in done.output
    with pytest.raises(UsageError, match="ask for 1 to 2"):
        CliRunner().invoke(app, ["search", str(tmp_path / "few"), "crane", "--k", "3"], catch_exceptions=False)
