"""The reader of sentences: how texts are cut, and that questions and sentences ask one corpus."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up_files import write_jsonl

from retrieval_bench.datasets import load_dataset
from retrieval_bench.datasets.sentences import Options, cut
from retrieval_bench.errors import CardError, UnknownNameError
from retrieval_bench.files import home

OPTIONS = Options.model_validate({"collections": ["any"]})


def _collection(folder: Path) -> Path:
    documents = [
        {"_id": f"d{i}", "text": f"The first crane of group {i} dances here. A second heron number {i} waits there."}
        for i in range(40)
    ]
    (folder / "qrels").mkdir(parents=True)
    write_jsonl(folder / "corpus.jsonl", documents)
    write_jsonl(folder / "queries.jsonl", [{"_id": f"q{i}", "text": f"which bird dances in {i}"} for i in range(30)])
    lines = [f"q{i}\td{i}\t1\n" for i in range(30)]
    (folder / "qrels" / "test.tsv").write_text("".join(lines))
    return folder


def _card(name: str, collection: Path, queries: str) -> None:
    path = home() / "cards" / "datasets" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    options = f'collections = ["{collection}"]\nqueries = "{queries}"'
    path.write_text(f'name = "{name}"\nsummary = "made up"\nreader = "sentences"\n[options]\n{options}\n')


def test_texts_are_cut_at_the_ends_of_sentences_and_at_blank_lines() -> None:
    text = "Birds of a feather flock together. Two words. They fly e.g. to the south!  (So it is said.)"
    text += "\n\ndef fly(self, far):\n    return far"
    assert list(cut(text, OPTIONS)) == [
        "Birds of a feather flock together.",
        "They fly e.g. to the south!",
        "(So it is said.)",
        "def fly(self, far): return far",
    ]


def test_long_pieces_are_cut_again_and_short_rests_left_out() -> None:
    words = [f"word{'abcdefghij'[i // 10]}{'abcdefghij'[i % 10]}" for i in range(98)]
    pieces = list(cut(" ".join(words), OPTIONS))
    assert [len(piece.split()) for piece in pieces] == [48, 48]
    assert pieces[0].split() == words[:48]


def test_sentences_and_questions_ask_one_corpus(tmp_path: Path) -> None:
    folder = _collection(tmp_path / "birds")
    _card("birds-alike", folder, "sentences")
    _card("birds-questions", folder, "questions")
    alike, questions = load_dataset("birds-alike"), load_dataset("birds-questions")
    assert alike.corpus.texts == questions.corpus.texts
    assert alike.metric == "cos"
    assert {split: len(part) for split, part in alike.queries.items()} == {"train": 8, "tune": 8, "test": 8}
    assert {split: len(part) for split, part in questions.queries.items()} == {"train": 24, "tune": 3, "test": 3}
    everything = [*alike.corpus.require_texts()]
    for part in alike.queries.values():
        everything += part.require_texts()
    assert len(everything) == len(set(everything)) == 80
    asked = [text for part in questions.queries.values() for text in part.require_texts()]
    assert sorted(asked) == sorted(f"which bird dances in {i}" for i in range(30))


def test_unknown_collections_and_options_are_refused(tmp_path: Path) -> None:
    _card("lost", Path("birdz"), "sentences")
    with pytest.raises(UnknownNameError, match="birdz"):
        load_dataset("lost")
    _card("wrong", _collection(tmp_path / "birds"), "answers")
    with pytest.raises(CardError, match="queries"):
        load_dataset("wrong")
