"""BM25, BM25+RM3 and query likelihood by Lucene through Anserini, in this process: the reference implementation.

Text is analysed as Anserini does by default: Lucene's tokenizer, possessives off, lower case, its 33 stop words, Porter
stems. Sources: Robertson et al. 1994 (BM25); Abdul-Jaleel et al., TREC 2004 (RM3); Zhai and Lafferty, SIGIR 2001 (query
likelihood with Dirichlet smoothing); Yang, Fang and Lin, SIGIR 2017 (Anserini).
"""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from retrieval_bench.encoders._bar import steps
from retrieval_bench.errors import ArtifactError, DataError, RetrievalBenchError, UsageError
from retrieval_bench.files import folder_bytes
from retrieval_bench.hits import make_hits
from retrieval_bench.rankers._jvm import Java
from retrieval_bench.rankers._params_file import load_params, save_params
from retrieval_bench.registry import rankers
from retrieval_bench.threads import threads
from retrieval_bench.types import Budget, Corpus, Examples, FloatArray, Hits, IntArray, MemoryReport, Params, Queries

_BATCH = 2000  # documents handed to Java at once
_FOLDER = "lucene"
_MOST_CLAUSES = 1 << 20  # distinct terms of a query: a query may be a document


class LuceneParams(Params):
    """Build parameters; the defaults are those of Anserini."""

    model: Literal["bm25", "qld"] = Field(default="bm25", description="BM25, or query likelihood with Dirichlet prior")
    k1: float = Field(default=0.9, gt=0, le=10, description="bm25: how slowly repeated terms saturate")
    b: float = Field(default=0.4, ge=0, le=1, description="bm25: how much long documents are penalised")
    mu: float = Field(default=1000.0, gt=0, le=100_000, description="qld: weight of the collection's language model")
    fields: Literal["flat", "multifield"] = Field(
        default="flat", description="title and text as one field, or a field each, whose scores are added"
    )
    rm3: bool = Field(default=False, description="expand the query by terms of the first documents found")
    rm3_terms: int = Field(default=10, ge=1, le=1000, description="rm3: terms to add")
    rm3_documents: int = Field(default=10, ge=1, le=1000, description="rm3: documents to take them from")
    rm3_original: float = Field(default=0.5, ge=0, le=1, description="rm3: weight of the query as it was asked")
    stemmer: Literal["porter", "krovetz", "none"] = Field(default="porter", description="as Anserini names them")
    stopwords: Literal["english", "none"] = Field(default="english", description="english: Lucene's 33 words")
    heap_megabytes: int = Field(default=1024, ge=64, le=1 << 20, description="most memory of Java's own objects")


@rankers.register("lucene")
class Lucene:
    """A Lucene index, mapped into memory. Batches are searched by as many threads as there may be (``threads``).

    Documents are known to Lucene by their row, so that equal scores stand in the order of rows.
    """

    name: ClassVar[str] = "lucene"
    BuildParams: ClassVar[type[Params]] = LuceneParams
    params: LuceneParams

    def build(
        self,
        corpus: Corpus,
        params: LuceneParams,
        budget: Budget,
        *,
        examples: Examples | None = None,  # noqa: ARG002 - learns nothing
        seed: int = 0,  # noqa: ARG002 - chooses nothing
    ) -> None:
        """Index the texts.

        Raises:
            DataError: no document holds a term, or fields are asked for and the titles are not known.
            UsageError: fields and rm3 are asked for together.
            UnavailableError: there is no Java, or it cannot have the heap.
        """
        documents = _documents(corpus, params)
        java = Java(params.heap_megabytes)
        folder = Path(tempfile.mkdtemp(prefix="retrieval-bench-lucene-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        with _told("cannot index", java):
            _index(java, folder, documents, params, budget.threads or threads())
        self._open(java, folder, params)
        if self._reader.getSumDocFreq("contents") <= 0:
            raise DataError("lucene: no document holds a word besides stop words; there is nothing to index")

    def _open(self, java: Java, folder: Path, params: LuceneParams) -> None:
        self.params, self._java, self._folder = params, java, folder
        place = java("java.nio.file.Paths").get(str(folder))
        self._reader = java("org.apache.lucene.index.DirectoryReader").open(
            java("org.apache.lucene.store.FSDirectory").open(place)
        )
        searching = java("org.apache.lucene.search.IndexSearcher")
        searching.setMaxClauseCount(_MOST_CLAUSES)
        self._searcher = searching(self._reader.getContext())
        similarities = "org.apache.lucene.search.similarities."
        if params.model == "bm25":
            self._searcher.setSimilarity(java(f"{similarities}BM25Similarity")(params.k1, params.b))
        else:
            self._searcher.setSimilarity(java(f"{similarities}LMDirichletSimilarity")(params.mu))
        stemmer, keep = params.stemmer, params.stopwords == "none"
        analyzer = java("io.anserini.analysis.DefaultEnglishAnalyzer").fromArguments(stemmer, keep, None)
        self._analyzer = analyzer
        self._generator = java("io.anserini.search.query.BagOfWordsQueryGenerator")()
        field, kind = java("org.apache.lucene.search.SortField"), java("org.apache.lucene.search.SortField$Type")
        self._order = java("org.apache.lucene.search.Sort")(field.FIELD_SCORE, field("id", kind.STRING_VAL))
        self._found = java("io.anserini.search.ScoredDocs")
        self._fields: Any = "contents"
        if params.fields == "multifield":
            self._fields, one = java("java.util.HashMap")(), java("java.lang.Float")(1.0)
            for name in ("contents", "title"):
                self._fields.put(name, one)
        if params.rm3:
            self._expand = java("io.anserini.rerank.lib.Rm3Reranker")(
                analyzer, None, "contents", params.rm3_terms, params.rm3_documents, params.rm3_original, False, True
            )
            self._context = java("io.anserini.rerank.RerankerContext")
            self._arguments = java("io.anserini.search.SearchCollection$Args")
            self._tokens = java("io.anserini.analysis.AnalyzerUtils")

    def rank(self, queries: Queries, k: int) -> Hits:
        """The k best documents of each query; fewer, padded, where fewer hold a term of it."""
        texts = queries.require_texts()
        rows = np.full((len(texts), k), -1, np.int64)
        scores = np.full((len(texts), k), -np.inf, np.float32)
        workers = min(len(texts), threads())

        def search(places: range) -> None:
            try:
                with _told("cannot search", self._java):
                    for i in places:
                        found, values = self._search(texts[i], k)
                        rows[i, : len(found)], scores[i, : len(found)] = found, values
            finally:
                self._java.leave()

        if workers == 1:
            search(range(len(texts)))
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(search, [range(t, len(texts), workers) for t in range(workers)]))
        return make_hits(rows, scores)

    def _search(self, text: str, k: int) -> tuple[IntArray, FloatArray]:
        text = _plain(text)
        query = self._generator.buildQuery(self._fields, self._analyzer, text)
        top = self._searcher.search(query, k, self._order, True)
        found = self._found.fromTopDocs(top, self._searcher)
        if self.params.rm3 and len(found.scores):
            found = self._expanded(found, query, text, k)
        return np.array(found.docids, dtype="U").astype(np.int64), _untied(np.array(found.scores, np.float32))

    def _expanded(self, found: Any, query: Any, text: str, k: int) -> Any:
        arguments = self._arguments()
        arguments.hits = k
        tokens = self._tokens.analyze(self._analyzer, text)
        context = self._context(self._searcher, None, query, None, text, tokens, None, arguments)
        return self._expand.rerank(found, context)

    def memory(self) -> MemoryReport:
        """The files of the index, which Lucene maps into memory."""
        return MemoryReport(parts={"index": folder_bytes(self._folder)})

    def save(self, folder: Path) -> None:
        """Copy the files of the index."""
        shutil.copytree(self._folder, folder / _FOLDER)
        save_params(folder, self.params)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Open what save wrote, where it stands.

        Raises:
            ArtifactError: the files are not a Lucene index that can be read.
            UnavailableError: there is no Java, or it cannot have the heap.
        """
        params = load_params(folder, LuceneParams)
        java = Java(params.heap_megabytes)
        ranker = cls()
        with _told(f"{folder}: cannot be read as a Lucene index", java, ArtifactError):
            ranker._open(java, folder / _FOLDER, params)
        return ranker


def _untied(scores: FloatArray) -> FloatArray:
    """(k,) scores of which none equals the one before: Lucene's order of equal scores is part of its answer.

    So does Anserini (``ScoreTiesAdjusterReranker``) before it writes a run, for trec_eval would order them otherwise.
    """
    while len(equal := np.flatnonzero(scores[1:] >= scores[:-1])):
        for place in equal:
            scores[place + 1] = np.nextafter(scores[place], np.float32(-np.inf))
    return scores


def _documents(corpus: Corpus, params: LuceneParams) -> Sequence[dict[str, str]]:
    """What Anserini reads of each document besides its id."""
    texts = corpus.require_texts()
    if params.fields == "flat":
        return [{"contents": _plain(text)} for text in texts]
    if params.rm3:
        raise UsageError("lucene: rm3 expands queries to one field; use fields = 'flat' with it")
    if corpus.titles is None:
        raise DataError("lucene: the titles of these documents are not known; use fields = 'flat'")
    pairs = zip(corpus.titles, texts, strict=True)
    return [{"title": _plain(title), "contents": _plain(text.removeprefix(title).strip())} for title, text in pairs]


def _index(java: Java, folder: Path, documents: Sequence[dict[str, str]], params: LuceneParams, threads: int) -> None:
    arguments = ["-input", "", "-collection", "JsonCollection", "-index", str(folder), "-threads", str(threads)]
    arguments += ["-stemmer", params.stemmer]
    if params.stopwords == "none":
        arguments.append("-keepStopwords")
    if params.rm3:
        arguments.append("-storeDocvectors")
    if params.fields == "multifield":
        arguments += ["-fields", "title"]
    indexer = java("io.anserini.index.SimpleIndexer")(arguments)
    with steps("indexing", len(documents)) as advance:
        for start in range(0, len(documents), _BATCH):
            part = documents[start : start + _BATCH]
            indexer.addRawDocuments([json.dumps({"id": f"{row:010d}", **each}) for row, each in enumerate(part, start)])
            advance(len(part))
    indexer.close(True)  # merged into one segment: each query reads one dictionary
    (folder / "write.lock").unlink(missing_ok=True)


def _plain(text: str) -> str:
    """The text with halves of surrogate pairs, which Java's UTF-8 cannot hold, replaced by question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


@contextmanager
def _told(what: str, java: Java, kind: type[RetrievalBenchError] = DataError) -> Iterator[None]:
    """Java's exceptions as ours."""
    try:
        yield
    except java.Error as error:
        hint = "; raise heap_megabytes" if "OutOfMemory" in str(error) else ""
        raise kind(f"lucene: {what}: {str(error).partition(chr(10))[0]}{hint}") from error
