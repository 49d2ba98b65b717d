"""The training loop: it learns, resumes to the bit, reproduces, and refuses what it cannot do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_training import toy_collection
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner

from retrieval_bench.cli import app
from retrieval_bench.datasets import load_dataset
from retrieval_bench.encoders import load_encoder
from retrieval_bench.errors import ArtifactError, DataError, UsageError
from retrieval_bench.training.batches import Batch, Domains, Pairs
from retrieval_bench.training.cocosoda import CoCoSoDa, CoCoSoDaSettings
from retrieval_bench.training.contrastive import Contrastive
from retrieval_bench.training.heldout import heldout_scores, selection_pool
from retrieval_bench.training.loop import fit
from retrieval_bench.training.objective import Objective
from retrieval_bench.training.recipes import train_contrastive, train_matryoshka
from retrieval_bench.training.settings import Settings
from retrieval_bench.training.text_encoder import TextEncoder

SETTINGS = Settings(
    batch=8, epochs=3, learning_rate=2e-3, frozen_layers=0, query_tokens=16, document_tokens=16, web_queries=0.3
)
SOFT = CoCoSoDaSettings(**{**SETTINGS.model_dump(), "negatives": 0, "queue": 32, "epochs": 1})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_training_learns_and_leaves_an_encoder(tiny: str, toy: str, tmp_path: Path) -> None:
    out = tmp_path / "trained"
    done = train_contrastive(toy, out, settings=SETTINGS, start=tiny, device="cpu")
    assert len(done.losses) == 3 * 64 // 8
    assert np.mean(done.losses[-4:]) < 0.8 * np.mean(done.losses[:4])
    assert {gain.metric for gain in done.gains} == {"nDCG@10", "MRR"}
    assert all(gain.low <= gain.gain <= gain.high and gain.queries == 16 for gain in done.gains)
    assert not (out / "checkpoint").exists()
    facts = json.loads((out / "metrics.json").read_text())
    assert facts["identity"]["settings"]["learning_rate"] == 2e-3
    card = (out / "README.md").read_text()
    assert f"| nDCG@10 | 32 | 16 | {tiny} |" in card
    texts = ["a query", "another"]
    plain = SentenceTransformer(str(out), device="cpu").encode(texts)
    np.testing.assert_allclose(
        load_encoder(str(out), precision="float32", device="cpu").encode(texts), plain, atol=1e-6
    )
    assert not np.allclose(load_encoder(tiny, precision="float32", device="cpu").encode(texts), plain, atol=1e-3)


def test_a_finished_run_is_not_repeated_nor_overwritten(
    tiny: str, toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, short = tmp_path / "trained", SETTINGS.model_copy(update={"epochs": 1})
    done = train_contrastive(toy, out, settings=short, start=tiny, device="cpu")
    monkeypatch.setattr("retrieval_bench.training.recipes.fit", None)
    assert train_contrastive(toy, out, settings=short, start=tiny, device="cpu") == done
    with pytest.raises(UsageError, match=r"is of another run \(settings .*; name another folder with --out"):
        train_contrastive(toy, out, settings=SETTINGS, start=tiny, device="cpu")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds other files"):
        train_contrastive(toy, foreign, settings=short, start=tiny, device="cpu")
    assert (foreign / "thesis.txt").exists()


def test_the_seed_decides(tiny: str, toy: str, tmp_path: Path) -> None:
    short = SETTINGS.model_copy(update={"epochs": 1})
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(len(name) + seed)  # what was drawn before must not matter
        settings = short.model_copy(update={"seed": seed})
        train_contrastive(toy, tmp_path / name, settings=settings, start=tiny, device="cpu")
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert same(a, b)
    assert not same(a, c)


class PowerCutError(Exception):
    """Ends a run in the middle of a step."""


def contrastive(encoder: TextEncoder) -> Objective:
    return Contrastive(encoder, SETTINGS)


def cocosoda(encoder: TextEncoder) -> Objective:
    return CoCoSoDa(encoder, SOFT)


@pytest.mark.parametrize("make", [contrastive, cocosoda])
def test_an_interrupted_run_ends_as_one_that_was_not(
    make: Callable[[TextEncoder], Objective], tiny: str, toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SOFT if make is cocosoda else SETTINGS.model_copy(update={"epochs": 1})
    source = Pairs(load_dataset(toy), settings)
    whole = make(TextEncoder(tiny, device="cpu"))
    losses = fit(whole, source, settings, tmp_path / "whole", identity={"run": 1})
    stopped = make(TextEncoder(tiny, device="cpu"))
    step = type(stopped).forward
    seen: list[Batch] = []

    def failing(self: Objective, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        seen.append(batch)
        if len(seen) == 6:
            raise PowerCutError
        return step(self, batch, rng)

    monkeypatch.setattr(type(stopped), "forward", failing)
    with pytest.raises(PowerCutError):
        fit(stopped, source, settings, tmp_path / "cut", identity={"run": 1}, save_seconds=0)
    resumed = make(TextEncoder(tiny, device="cpu"))
    with pytest.raises(UsageError, match="run 1 there, 2 asked for"):
        fit(resumed, source, settings, tmp_path / "cut", identity={"run": 2})
    assert fit(resumed, source, settings, tmp_path / "cut", identity={"run": 1}) == losses
    assert len(seen) == 6 + len(source) - 5  # the step that failed is done again, those before are not
    assert same(dict(whole.state_dict()), dict(resumed.state_dict()))


@pytest.mark.parametrize("damage", ["run.json", "optimizer.safetensors", "objective.safetensors"])
def test_a_damaged_checkpoint_is_one_clear_line(damage: str, tiny: str, toy: str, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 1})
    source = Pairs(load_dataset(toy), settings)
    objective = contrastive(TextEncoder(tiny, device="cpu"))
    fit(objective, source, settings, tmp_path, identity={})
    (tmp_path / "checkpoint" / damage).write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(ArtifactError, match="remove it to start anew"):
        fit(objective, source, settings, tmp_path, identity={})


def test_a_loss_that_is_no_number_stops_the_run(tiny: str, toy: str, tmp_path: Path) -> None:
    wild = SETTINGS.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(DataError, match=r"the loss of step \d+ is nan; lower the learning rate"):
        train_contrastive(toy, tmp_path / "out", settings=wild, start=tiny, device="cpu")


def test_layers_are_frozen_from_below(tiny: str) -> None:
    encoder = TextEncoder(tiny, frozen_layers=1, device="cpu")
    trained = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert trained
    assert all(".layer.1." in name for name in trained)
    with pytest.raises(UsageError, match="has 2 transformer layers, frozen_layers = 2 leaves none"):
        TextEncoder(tiny, frozen_layers=2, device="cpu")


def test_vectors_in_training_are_those_of_encoding(tiny: str) -> None:
    texts = ["sort a list", "read a file line by line and strip the ends"]
    encoder = TextEncoder(tiny, device="cpu")
    with torch.no_grad():
        vectors = encoder(texts, 32, "query").numpy()
    np.testing.assert_allclose(vectors, load_encoder(tiny, precision="float32", device="cpu").encode(texts), atol=1e-6)


def test_batches_pair_queries_with_their_documents(toy: str) -> None:
    dataset = load_dataset(toy)
    pairs = Pairs(dataset, SETTINGS.model_copy(update={"negatives": 2}))
    texts = dataset.queries["train"].require_texts()
    seen, shared = set(), list[int]()
    for place in range(len(pairs)):
        batch = pairs.batch(0, place)
        seen.update(batch.query_rows.tolist())
        assert batch.queries == [texts[row] for row in batch.query_rows]
        assert batch.document_rows[:8].tolist() == batch.query_rows.tolist()  # query i asks for document i
        assert len(batch.documents) == 3 * 8
        own = batch.query_rows[:, None] == batch.document_rows[None, :]
        np.testing.assert_array_equal(batch.relevant, own)
        mined = batch.documents[8:16]
        shared += [len(set(q.split()) & set(d.split())) for q, d in zip(batch.queries, mined, strict=True)]
        assert not own[np.arange(8), 8 + np.arange(8)].any()
    assert len(seen) == 64
    assert np.mean(np.array(shared) > 0) > 0.9  # the few others share no word with any wrong document
    assert pairs.batch(0, 0).queries != pairs.batch(1, 0).queries


def test_the_split_decides_what_is_learned_from(toy: str) -> None:
    pairs = Pairs(load_dataset(toy), SETTINGS.model_copy(update={"split": "tune"}))
    assert len(pairs) == 16 // 8
    assert all(64 <= row < 80 for place in range(2) for row in pairs.batch(0, place).document_rows[:8])


def test_domains_take_turns_and_keep_their_batches(toy: str, tmp_path: Path) -> None:
    other = load_dataset(str(toy_collection(tmp_path / "other", seed=1)))
    sources = [Pairs(load_dataset(toy), SETTINGS), Pairs(other, SETTINGS)]
    domains = Domains(sources, seed=0)
    assert len(domains) == 16
    batches = [domains.batch(0, place) for place in range(16)]
    order = [batch.domain for batch in batches]
    assert sorted(order) == [0] * 8 + [1] * 8
    assert order != sorted(order)
    for domain, source in enumerate(sources):
        drawn = {tuple(batch.queries) for batch in batches if batch.domain == domain}
        assert drawn == {tuple(source.batch(0, place).queries) for place in range(8)}


def test_data_without_training_queries_is_refused(toy: str, tmp_path: Path) -> None:
    bare = toy_collection(tmp_path / "bare")
    for judged in ("train", "dev"):  # a part of dev would be learned from where there is no train
        (bare / "qrels" / f"{judged}.tsv").unlink()
    with pytest.raises(DataError, match="no judged queries of a split 'train'"):
        train_contrastive(str(bare), tmp_path / "out", settings=SETTINGS, device="cpu")
    lone = toy_collection(tmp_path / "lone")
    (lone / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\nq1\td1\t0\n")
    with pytest.raises(DataError, match="1 training queries have a relevant document; at least 2"):
        train_contrastive(str(lone), tmp_path / "out", settings=SETTINGS, device="cpu")


def test_a_model_folder_without_weights_is_refused(toy: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no model weights"):
        train_contrastive(toy, tmp_path / "out", settings=SETTINGS, start=str(tmp_path / "empty"), device="cpu")


def test_heldout_scores_over_a_pool_and_over_prefixes(tiny: str, toy: str) -> None:
    dataset = load_dataset(toy)
    pool = selection_pool(dataset, "tune", documents=20)
    assert len(pool) == 36
    assert set(range(64, 80)) <= set(pool.tolist())
    whole = heldout_scores(tiny, dataset, "tune")
    assert (heldout_scores(tiny, dataset, "tune", rows=pool)["MRR"] >= whole["MRR"]).all()
    assert not np.array_equal(heldout_scores(tiny, dataset, "tune", dim=4)["MRR"], whole["MRR"])


def test_matryoshka_reports_every_prefix(tiny: str, toy: str, tmp_path: Path) -> None:
    done = train_matryoshka(toy, tmp_path / "nested", dims=(8, 32), settings=SETTINGS, start=tiny, device="cpu")
    assert [(gain.metric, gain.dimensions) for gain in done.gains] == [
        ("nDCG@10", 8), ("MRR", 8), ("nDCG@10", 32), ("MRR", 32),
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"dimensions \[64\]: each must lie in 1 to 32"):
        train_matryoshka(toy, tmp_path / "other", dims=(64,), settings=SETTINGS, start=tiny, device="cpu")


def test_the_command_prints_the_gain(tiny: str, toy: str, tmp_path: Path) -> None:
    options = ["--from", tiny, "--batch", "16", "--frozen-layers", "0", "--device", "cpu"]
    shown = CliRunner().invoke(app, ["train", "contrastive", toy, "--out", str(tmp_path / "m"), *options])
    assert shown.exit_code == 0, shown.output
    assert "Held-out gain" in shown.output
    assert (tmp_path / "m" / "model.safetensors").exists()
