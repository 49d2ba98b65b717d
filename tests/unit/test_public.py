import subprocess
import sys

import retrieval_bench


def test_the_public_surface() -> None:
    assert retrieval_bench.__all__ == [
        "Answers", "Budget", "Corpus", "Dataset", "Examples", "Hits", "Measurement", "Params", "Qrels", "Queries",
        "RetrievalBenchError", "Run", "Searcher", "TrialRecord", "build", "export", "load", "load_dataset", "run",
    ]  # fmt: skip
    assert all(hasattr(retrieval_bench, name) for name in retrieval_bench.__all__)


def test_importing_it_imports_no_engine() -> None:
    heavy = "{'torch', 'faiss', 'hnswlib', 'bm25s', 'sentence_transformers', 'h5py', 'plotly', 'ir_datasets'}"
    program = f"import sys, retrieval_bench; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
