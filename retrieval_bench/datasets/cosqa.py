"""CoSQA (Huang et al. 2021, arXiv 2105.13239) as its authors hand it out: questions of web searchers for functions.

``code_idx_map.txt`` is a JSON object of all functions and their numbers. ``cosqa-retrieval-test-500.json`` and
``cosqa-retrieval-dev-500.json`` are JSON lists of questions (``idx``, ``doc``) with the number of the one function that
answers each (``retrieval_idx``). The training file, whose pairs may be wrong ones, is left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from retrieval_bench.datasets._judgments import JudgmentRows, Judgments
from retrieval_bench.datasets._textset import text_dataset, unique_texts
from retrieval_bench.errors import DataError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Dataset, Frozen

FUNCTIONS = "code_idx_map.txt"
_QUESTIONS = {"test": "cosqa-retrieval-test-500.json", "tune": "cosqa-retrieval-dev-500.json"}


class Options(Frozen):
    """The names of the files are fixed."""


@readers.register("cosqa")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Read the functions, and the questions to test and to tune on.

    Raises:
        DataError: a file is missing, is not JSON or holds something else, or an id occurs twice; names file and place.
    """
    validated(Options, card.options, where=f"dataset card {card.name!r}")
    if path is None or not path.is_dir():
        raise DataError(f"{path or card.name}: CoSQA is a folder with {FUNCTIONS} and {_QUESTIONS['test']}")
    numbers = _json(path / FUNCTIONS)
    if not isinstance(numbers, dict):
        raise DataError(f"{path / FUNCTIONS}: is not a JSON object of functions and their numbers")
    in_order = sorted(numbers.items(), key=lambda pair: (len(str(pair[1])), str(pair[1])))
    documents = unique_texts(
        ((f"{path / FUNCTIONS}", f"code-{number}", code) for code, number in in_order), what="document"
    )
    texts: dict[str, str] = {}
    judgments: dict[str, Judgments] = {}
    for split, name in _QUESTIONS.items():
        if split == "test" or (path / name).exists():
            asked, judgments[split] = _asked(path / name)
            texts |= asked
    return text_dataset(card, documents=documents, query_texts=texts, judgments=judgments)


def _asked(file: Path) -> tuple[dict[str, str], Judgments]:
    rows = _json(file)
    if not isinstance(rows, list):
        raise DataError(f"{file}: is not a JSON list of questions")
    for number, row in enumerate(rows):
        missing = [key for key in ("idx", "doc", "retrieval_idx") if not isinstance(row, dict) or key not in row]
        if missing:
            raise DataError(f"{file}: question {number} lacks the key {missing[0]!r}")
    judged = JudgmentRows(str(file))
    for number, row in enumerate(rows):
        judged.add(str(row["idx"]), f"code-{row['retrieval_idx']}", 1, number)
    texts = ((f"{file}: question {number}", str(row["idx"]), str(row["doc"])) for number, row in enumerate(rows))
    return unique_texts(texts, what="query"), judged.finish()


def _json(file: Path) -> Any:
    if not file.is_file():
        raise DataError(f"{file}: there is no such file; CoSQA is {FUNCTIONS} and {_QUESTIONS['test']}")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file}: is not JSON ({error}); get it again") from error
