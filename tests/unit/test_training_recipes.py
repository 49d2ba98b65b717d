"""What each recipe adds to the loop: losses by hand, augmentation, momentum and queues, experts, soups."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_training import tiny_encoder, toy_collection

from retrieval_bench.datasets import load_dataset
from retrieval_bench.encoders import load_encoder
from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.training.batches import Pairs
from retrieval_bench.training.cocosoda import CoCoSoDa, CoCoSoDaSettings
from retrieval_bench.training.contrastive import Contrastive, info_nce
from retrieval_bench.training.experts import Experts
from retrieval_bench.training.folder import Trained
from retrieval_bench.training.learned import choosing_data, learning_data
from retrieval_bench.training.matryoshka import Matryoshka
from retrieval_bench.training.moe import train_moe
from retrieval_bench.training.momentum import MomentumEncoder, Queue
from retrieval_bench.training.recipes import train_cocosoda, train_contrastive
from retrieval_bench.training.settings import Settings
from retrieval_bench.training.soft_augmentation import kind, masked, softened
from retrieval_bench.training.soup import Weights, average, greedy, make_soup
from retrieval_bench.training.text_encoder import TextEncoder
from retrieval_bench.training.web_queries import rewritten, web_query

SETTINGS = Settings(batch=16, epochs=1, learning_rate=2e-3, frozen_layers=0, query_tokens=16, document_tokens=16)
CODE = 'def read(path, mode="r"):\n    return open(path, mode).read(1024)\n'


def unit(*rows: Sequence[float]) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float32), dim=-1)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# Losses


def test_info_nce_by_hand() -> None:
    queries, documents = unit([1, 0], [0, 1]), unit([1, 0], [1, 1], [0, -1])
    relevant = torch.eye(2, 3, dtype=torch.bool)
    s = (queries.double() @ documents.double().T / 0.5).exp()
    rows = -(s[0, 0] / s[0].sum()).log() - (s[1, 1] / s[1].sum()).log()
    columns = -(s[0, 0] / s[:, 0].sum()).log() - (s[1, 1] / s[:, 1].sum()).log()
    assert info_nce(queries, documents, relevant, 0.5).item() == pytest.approx((rows + columns).item() / 4, rel=1e-5)


def test_other_relevant_documents_are_no_negatives() -> None:
    queries, documents = unit([1, 0], [1, 0.1]), unit([1, 0], [1, 0.1])
    relevant = torch.ones(2, 2, dtype=torch.bool)
    assert info_nce(queries, documents, relevant, 0.05).item() == pytest.approx(0, abs=1e-6)
    assert info_nce(queries, documents, torch.eye(2, dtype=torch.bool), 0.05).item() > 0.5


def test_matryoshka_is_the_mean_of_the_prefixes_losses(tiny: str, toy: str) -> None:
    encoder = TextEncoder(tiny, device="cpu").eval()
    batch = Pairs(load_dataset(toy), SETTINGS).batch(0, 0)
    with torch.no_grad():
        nested = Matryoshka(encoder, SETTINGS, (4, 32)).eval()
        queries, documents = nested.vectors(batch, rng())
        expected = [
            info_nce(
                torch.nn.functional.normalize(queries[:, :dim], dim=-1),
                torch.nn.functional.normalize(documents[:, :dim], dim=-1),
                torch.from_numpy(batch.relevant),
                SETTINGS.temperature,
            ).item()
            for dim in (4, 32)
        ]
        assert nested(batch, rng()).item() == pytest.approx(np.mean(expected), rel=1e-5)
        plain = Contrastive(encoder, SETTINGS)(batch, rng()).item()
    assert plain == pytest.approx(expected[1], rel=1e-5)
    assert expected[0] != pytest.approx(expected[1], rel=1e-2)


# Queries and code, changed


def test_web_queries_are_short_lower_case_words() -> None:
    summary = "Return a list of the Names in `scope`. Raise KeyError if there are none."
    seen = {web_query(summary, rng(seed)) for seed in range(200)}
    assert len(seen) > 20
    assert all(re.fullmatch(r"[\w ]+", query) and query == query.lower() for query in seen)
    assert all("get" in query and "names" in query and "raise" not in query for query in seen)
    assert any(query.startswith("how to get") and query.endswith("in python") for query in seen)
    assert 0.5 < np.mean(["python" in web_query(summary, rng(seed)) for seed in range(300)]) < 0.95


def test_the_share_of_web_queries_is_kept() -> None:
    texts = ["Return the Name of this file."] * 1000
    assert rewritten(texts, 0.0, rng()) == texts
    changed = sum(text != texts[0] for text in rewritten(texts, 0.4, rng()))
    assert 340 < changed < 460
    assert rewritten(texts, 0.4, rng(1)) == rewritten(texts, 0.4, rng(1))
    assert rewritten(["...", ""], 1.0, rng()) == ["...", ""]


def test_soft_augmentation_masks_or_names_kinds_of_tokens() -> None:
    seen = [softened(CODE, "[MASK]", rng(seed)) for seed in range(400)]
    assert CODE in seen  # a share of the tokens can be none of them
    assert len(set(seen)) > 100
    for text in seen:
        found = set(re.findall(r"\w+", text)) - set(re.findall(r"\w+", CODE))
        assert found <= {"MASK"} or found <= {"keyword", "name", "string", "number", "operator"}  # one way at a time
    assert {"MASK", "string", "number", "operator"} <= {word for text in seen for word in re.findall(r"\w+", text)}
    assert softened("", "[MASK]", rng()) == ""


def test_kinds_of_tokens() -> None:
    from retrieval_bench.training.soft_augmentation import _TOKEN

    kinds = [(token.group(), kind(token)) for token in _TOKEN.finditer("for x1 in f(0x1F, 'it\\'s', a+=2.5):")]
    assert kinds == [
        ("for", "keyword"), ("x1", "name"), ("in", "keyword"), ("f", "name"), ("(", "operator"), ("0x1F", "number"),
        (",", "operator"), ("'it\\'s'", "string"), (",", "operator"), ("a", "name"), ("+=", "operator"),
        ("2.5", "number"), ("):", "operator"),
    ]  # fmt: skip


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=80), st.integers(0, 1000))
def test_augmentation_takes_any_text(text: str, seed: int) -> None:
    assert masked(text, "M", rng(seed), share=0) == text
    assert masked(text, "M", rng(seed), share=1) == re.sub(r"\w+", "M", text)
    softened(text, "M", rng(seed))
    web_query(text, rng(seed))


# Momentum and queues


def test_the_momentum_encoder_follows(tiny: str) -> None:
    encoder = TextEncoder(tiny, frozen_layers=1, device="cpu")
    follower = MomentumEncoder(encoder, 0.9)
    before = {name: value.clone() for name, value in encoder.named_parameters()}
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(1.0)
    follower.follow(encoder)
    trained = dict(encoder.named_parameters())
    for name, value in follower.copied.named_parameters():
        assert not value.requires_grad
        step = 0.1 if trained[name].requires_grad else 0.0
        torch.testing.assert_close(value, before[name] + step)


def test_a_queue_forgets_the_oldest() -> None:
    queue = Queue(5, 2)
    for start in (0, 2, 4):
        owners = torch.arange(start, start + 2)
        queue.put(torch.stack([owners, -owners], dim=1).float(), owners)
    assert queue.owners.tolist() == [5, 1, 2, 3, 4]
    assert queue.vectors[:, 0].tolist() == [5, 1, 2, 3, 4]
    assert queue.place.item() == 1


def test_queued_vectors_are_negatives_but_not_of_their_owner() -> None:
    asked, keys = unit([1, 0], [0, 1]), unit([1, 0.1], [0.1, 1])
    owners, none = torch.tensor([7, 8]), torch.zeros(2, 2, dtype=torch.bool)
    queue = Queue(4, 2)
    batch = torch.nn.functional.cross_entropy(asked @ keys.T / 0.1, torch.arange(2))
    assert queue.loss(asked, keys, owners, none, 0.1).item() == pytest.approx(batch.item(), rel=1e-5)
    queue.put(unit([1, 0.05]), torch.tensor([7]))
    alone = queue.loss(asked, keys, owners, none, 0.1)
    scores = torch.cat([asked @ keys.T, torch.tensor([[-torch.inf], [(asked[1] @ unit([1, 0.05])[0]).item()]])], dim=1)
    by_hand = torch.nn.functional.cross_entropy(scores / 0.1, torch.arange(2))
    assert alone.item() == pytest.approx(by_hand.item(), rel=1e-5)
    queue.put(unit([1, 0.05]), torch.tensor([9]))
    assert queue.loss(asked, keys, owners, none, 0.1).item() > alone.item() + 0.1


def test_cocosoda_fills_its_queues_and_learns(tiny: str, toy: str, tmp_path: Path) -> None:
    wanted = CoCoSoDaSettings(**{**SETTINGS.model_dump(), "negatives": 0, "queue": 24, "epochs": 6})
    objective = CoCoSoDa(TextEncoder(tiny, device="cpu"), wanted)
    batch = Pairs(load_dataset(toy), wanted).batch(0, 0)
    objective(batch, rng())
    assert objective.code_keys.owners.tolist() == [*batch.query_rows.tolist(), *[-1] * 8]
    lengths = torch.linalg.vector_norm(objective.query_keys.vectors[:16], dim=1)
    torch.testing.assert_close(lengths, torch.ones(16))
    done = train_cocosoda(toy, tmp_path / "m", settings=wanted, start=tiny, device="cpu")
    full = done.losses[2:]  # the queues are full by then
    assert np.mean(full[-4:]) < 0.9 * np.mean(full[:4])


# Experts


def test_experts_start_as_the_model_and_routing_is_enforced(tiny: str, toy: str) -> None:
    texts = ["sort a list", "open a file"]
    plain = TextEncoder(tiny, device="cpu").eval()
    encoder = TextEncoder(tiny, device="cpu")
    experts = Experts(encoder, SETTINGS, domains=2, layers=1).eval()
    with pytest.raises(UsageError, match="set the domain first"):
        encoder(texts, 16, "query")
    batch = Pairs(load_dataset(toy), SETTINGS).batch(0, 0)
    optimizer = torch.optim.SGD(experts.parameters(), lr=0.1)
    with torch.no_grad():
        experts.route(1)
        before = encoder(texts, 16, "query")
        torch.testing.assert_close(before, plain(texts, 16, "query"))
    changed = {name: value.clone() for name, value in experts.named_parameters()}
    experts(batch, rng()).backward()  # a batch of domain 0
    optimizer.step()
    moved = {name for name, value in experts.named_parameters() if not torch.equal(value, changed[name])}
    assert any(".experts.0." in name for name in moved)
    assert not any(".experts.1." in name for name in moved)
    assert any("attention" in name for name in moved)  # what the domains share
    for domain in (0, 1):
        with torch.no_grad():
            experts.route(domain)
            routed = encoder(texts, 16, "query").numpy()
        np.testing.assert_allclose(experts.model_of(domain).encode(texts), routed, atol=1e-6)
    for layers in (0, 3):
        with pytest.raises(UsageError, match=f"expert layers = {layers}: must lie in 1 to 2"):
            Experts(TextEncoder(tiny, device="cpu"), SETTINGS, domains=2, layers=layers)


def test_a_mixture_is_compared_with_its_peers(tiny: str, toy: str, tmp_path: Path) -> None:
    other = str(toy_collection(tmp_path / "other", seed=1))
    out = tmp_path / "out"
    done = train_moe([toy, other], out, settings=SETTINGS, start=tiny, device="cpu")
    assert len(done.experts.losses) == len(done.joint.losses) == 8
    assert [len(model.losses) for model in done.alone] == [4, 4]
    assert [gain.dataset for gain in done.over_alone] == [toy, toy, other, other]
    assert done.over_joint[0].over == str(out / "joint")
    assert done.over_joint[0].after == done.over_alone[0].after == done.experts.gains[0].after
    vectors = [load_encoder(str(out / "experts" / name), device="cpu").encode(["a text"]) for name in ("toy", "other")]
    assert not np.allclose(vectors[0], vectors[1])
    assert "--encoder experts/toy" in (out / "experts" / "README.md").read_text()
    assert train_moe([toy, other], out, settings=SETTINGS, start=tiny, device="cpu") == done
    with pytest.raises(UsageError, match="two or more data sets of different names"):
        train_moe([toy, toy], out, settings=SETTINGS, start=tiny)


# Soups


def test_averages_by_hand() -> None:
    one: Weights = {"w": torch.tensor([0.0, 4.0]), "ids": torch.tensor([3])}
    two: Weights = {"w": torch.tensor([2.0, 0.0]), "ids": torch.tensor([3])}
    assert average([one, two])["w"].tolist() == [1.0, 2.0]
    mixed = average([one, two], [0.75, 0.25])
    assert mixed["w"].tolist() == [0.5, 3.0]
    assert mixed["ids"].dtype == torch.int64
    with pytest.raises(DataError, match="model 1 and model 2 of a soup differ in architecture"):
        average([one, {"w": torch.zeros(3), "ids": torch.tensor([3])}])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.floats(-5, 5))
def test_a_greedy_soup_is_never_below_its_best_run(places: list[float], goal: float) -> None:
    def score(weights: Weights) -> float:
        return -abs(weights["w"].item() - goal)

    models: list[Weights] = [{"w": torch.tensor(place, dtype=torch.float64)} for place in places]
    alone = [score(model) for model in models]
    kept, reached = greedy(models, alone, score)
    assert reached >= max(alone)
    assert alone[kept[0]] == max(alone)
    assert reached == pytest.approx(score(average([models[i] for i in kept])), abs=1e-9)


def test_a_soup_is_chosen_on_tune_queries_and_reported_on_test(tiny: str, toy: str, tmp_path: Path) -> None:
    runs = []
    for seed in (0, 1):
        seeded = SETTINGS.model_copy(update={"seed": seed})
        train_contrastive(toy, tmp_path / f"run-{seed}", settings=seeded, start=tiny, device="cpu")
        runs.append(tmp_path / f"run-{seed}")
    done = make_soup(runs, tmp_path / "soup", choose_on=toy, kind="uniform", shares=(0.5,), start=tiny)
    states = [TextEncoder(str(folder), device="cpu").model.state_dict() for folder in (*runs, Path(tiny))]
    expected = average(states, [0.25, 0.25, 0.5])
    for name, value in TextEncoder(str(tmp_path / "soup"), device="cpu").model.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    assert {gain.over for gain in done.gains} == {tiny, done.facts["best_run"]}
    assert {gain.split for gain in done.gains} == {"test"}
    other = str(toy_collection(tmp_path / "other", seed=1))
    more = make_soup(
        runs, tmp_path / "soup", choose_on=toy, kind="uniform", shares=(0.5,), start=tiny, evaluate=[other]
    )
    assert more.gains[: len(done.gains)] == done.gains
    assert {(gain.dataset, gain.over) for gain in more.gains} == {
        (name, over) for name in (toy, other) for over in (tiny, done.facts["best_run"])
    }
    greedy_soup = make_soup(runs, tmp_path / "greedy", choose_on=toy, shares=(0.5, 1.0), start=tiny)
    reached = greedy_soup.facts["tune_nDCG@10_of_shares"]
    assert reached["1.0"] >= max(greedy_soup.facts["tune_nDCG@10_of_runs"]) - 1e-9
    assert reached[str(greedy_soup.facts["share"])] == max(reached.values())


def without_dev(folder: Path) -> str:
    """A collection with one set of queries to learn from and to choose on."""
    (toy_collection(folder) / "qrels" / "dev.tsv").unlink()
    return str(folder)


def test_what_is_learned_from_is_not_chosen_on(tiny: str, toy: str, tmp_path: Path) -> None:
    one_set, run = without_dev(tmp_path / "one-set"), tmp_path / "run"
    done = train_contrastive(one_set, run, settings=SETTINGS, start=tiny, device="cpu")
    apart = load_dataset(one_set, apart=True)
    assert done.identity["dataset_fingerprint"] == apart.fingerprint
    assert not set(apart.queries["train"].ids) & set(apart.queries["tune"].ids)
    assert len(done.losses) == len(apart.queries["train"]) // SETTINGS.batch < 4  # of 64 some are left to choose on
    assert choosing_data(one_set, [run]).queries["tune"].ids == apart.queries["tune"].ids
    plain = load_dataset(toy).fingerprint  # with a set to choose on nothing changes, nor does a model's identity
    assert learning_data(toy, SETTINGS).fingerprint == choosing_data(toy, [run]).fingerprint == plain


def test_a_soup_is_not_chosen_on_what_a_run_learned_from(tiny: str, toy: str, tmp_path: Path) -> None:
    one_set = without_dev(tmp_path / "one-set")
    whole = load_dataset(one_set).fingerprint
    trained_on = {"dataset": "another name of it", "dataset_fingerprint": whole}
    wanted: dict[str, object] = {"settings": {"split": "train"}, **trained_on}
    all_of_it = claimed(tmp_path / "all", wanted)  # as models were trained before a part was left to choose on
    with pytest.raises(UsageError, match=r"all: learned from the queries of .* that the choice would be made on"):
        make_soup([all_of_it], tmp_path / "soup", choose_on=one_set, start=tiny)
    tune = claimed(tmp_path / "tune", {**wanted, "settings": {"split": "tune"}, "dataset": toy})
    for name in (toy, one_set):
        with pytest.raises(UsageError, match="tune: learned from the queries"):
            choosing_data(name, [tune])
    later = claimed(tmp_path / "later", {"recipe": "contrastive", "start": str(tune)})
    of_both = claimed(tmp_path / "of-both", {"recipe": "soup", "runs": [str(tmp_path / "none"), str(later)]})
    with pytest.raises(UsageError, match="of-both: learned from the queries"):
        choosing_data(toy, [of_both])
    expert = claimed(tmp_path / "moe", {**wanted, "recipe": "moe", "datasets": [one_set]}) / "domain"
    expert.mkdir()
    with pytest.raises(UsageError, match="domain: learned from the queries"):
        choosing_data(one_set, [expert])
    choosing_data(toy, [all_of_it, expert])


def claimed(folder: Path, identity: dict[str, object]) -> Path:
    """A folder that says of itself that it was trained so; it holds weights in name only."""
    folder.mkdir()
    (folder / "model.safetensors").touch()
    said = Trained(folder=folder, identity=identity, start="minilm", gains=())
    (folder / "metrics.json").write_text(said.model_dump_json())
    return folder


def test_soups_of_what_does_not_mix_are_refused(tiny: str, toy: str, tmp_path: Path) -> None:
    wide = tiny_encoder(tmp_path / "wide", hidden=64)
    with pytest.raises(DataError, match="differ in architecture"):
        make_soup([Path(tiny), wide], tmp_path / "soup", choose_on=toy, kind="uniform", start=tiny)
    (toy_collection(tmp_path / "judged-once") / "qrels" / "train.tsv").unlink()
    (tmp_path / "judged-once" / "qrels" / "dev.tsv").unlink()
    with pytest.raises(DataError, match="has no judged queries besides those of test"):
        make_soup([Path(tiny)], tmp_path / "soup", choose_on=str(tmp_path / "judged-once"), start=tiny)
    with pytest.raises(UsageError, match="at least one run"):
        make_soup([], tmp_path / "soup", choose_on=toy)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no model weights"):
        make_soup([tmp_path / "empty"], tmp_path / "soup", choose_on=toy, start=tiny)
