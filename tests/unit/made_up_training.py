"""A random encoder and a small data set, so that training takes a second."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import BertConfig, BertModel

from retrieval_bench.encoders._models import find_model

_TOKENIZER = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def tiny_encoder(folder: Path, *, hidden: int = 32) -> Path:
    """A BERT of two layers with random weights and the packaged model's tokenizer."""
    bert = folder.parent / f"{folder.name}-bert"
    with torch.random.fork_rng():
        torch.manual_seed(7)
        config = BertConfig(
            hidden_size=hidden, num_hidden_layers=2, num_attention_heads=2, intermediate_size=2 * hidden,
            max_position_embeddings=64,
        )  # fmt: skip
        BertModel(config).save_pretrained(bert)
    for name in _TOKENIZER:
        shutil.copy(find_model("minilm") / name, bert)
    modules = [Transformer(str(bert), max_seq_length=32), Pooling(hidden), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    return folder


def toy_collection(folder: Path, *, seed: int = 0) -> Path:
    """A BEIR folder: a query holds three of its document's eight words; 64 to train, 16 each to tune and to test."""
    rng = np.random.default_rng(seed)
    words = [word for word in (find_model("minilm") / "vocab.txt").read_text().split() if word.isalpha()][2000:2300]
    documents = [rng.choice(words, 8, replace=False).tolist() for _ in range(96)]
    folder.mkdir(parents=True)
    _write(
        folder / "corpus.jsonl", [{"_id": f"d{i}", "title": "", "text": " ".join(d)} for i, d in enumerate(documents)]
    )
    asked = [" ".join(rng.choice(d, 3, replace=False)) for d in documents]
    _write(folder / "queries.jsonl", [{"_id": f"q{i}", "text": text} for i, text in enumerate(asked)])
    (folder / "qrels").mkdir()
    for split, rows in (("train", range(64)), ("dev", range(64, 80)), ("test", range(80, 96))):
        lines = ["query-id\tcorpus-id\tscore", *(f"q{i}\td{i}\t1" for i in rows)]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    return folder


def _write(path: Path, records: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
