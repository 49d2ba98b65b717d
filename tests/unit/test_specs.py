from pathlib import Path

import pytest

from retrieval_bench.errors import CardError, UnknownNameError
from retrieval_bench.specs import DatasetCard, SystemCard, dataset_cards, system_card, system_cards, validated
from retrieval_bench.types import Budget

CARD = """
name = "mine"
summary = "a card"
kind = "index"
backend = "ivf"
[build]
lists = 64
[search]
nprobe = [1, 4]
refine_factor = [1, 2, 3]
"""


def test_settings_are_all_combinations_in_the_order_written(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(CARD)
    card = system_card(str(tmp_path / "mine.toml"))
    assert len(card.settings()) == 6
    assert card.settings()[1] == {"nprobe": 1, "refine_factor": 2}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[build]", "[biuld]", "unknown key 'biuld', did you mean 'build'"),
        ('kind = "index"', 'kind = "indx"', "key 'kind'"),
        ('name = "mine"', "", "key 'name'"),
        ("lists = 64", "lists = [", "not valid TOML"),
    ],
)
def test_a_typo_names_the_card_and_the_key(tmp_path: Path, old: str, new: str, expected: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(CARD.replace(old, new))
    with pytest.raises(CardError) as error:
        system_card(str(path))
    assert str(path) in str(error.value)
    assert expected in str(error.value)


def test_unknown_card_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'ivf_pq'"):
        system_card("ivf_qp")
    with pytest.raises(UnknownNameError, match="bm25"):
        system_card("bm52", "ranker")


def test_missing_card_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"no\.toml: cannot be read"):
        system_card(str(tmp_path / "no.toml"))


def test_card_of_the_other_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(CARD)
    with pytest.raises(CardError, match="kind 'ranker' was asked for"):
        system_card(str(tmp_path / "mine.toml"), "ranker")


def test_users_cards_join_the_shipped_ones(home_folder: Path) -> None:
    folder = home_folder / "cards" / "indexes"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text(CARD)
    assert system_cards()["mine"].build == {"lists": 64}
    assert "flat" in system_cards("index")


def test_hash_follows_what_is_asked_for_only() -> None:
    card = SystemCard.model_validate({"name": "a", "summary": "x", "kind": "index", "backend": "flat"})
    assert card.hash == card.model_copy(update={"summary": "y"}).hash
    assert card.hash != card.model_copy(update={"build": {"lists": 1}}).hash


def test_shipped_cards_are_valid_and_named_after_their_files() -> None:
    folder = Path(__file__).parents[2]
    assert {n.replace("/", "-") for n in dataset_cards()} == {p.stem for p in (folder / "datasets").glob("*.toml")}
    assert set(system_cards()) == {p.stem for p in (folder / "indexes").glob("*.toml")}


def test_every_bad_value_is_named() -> None:
    with pytest.raises(CardError) as error:
        validated(Budget, {"threads": 0, "latncy_ms": 3}, where="budget")
    assert "'threads'" in str(error.value)
    assert "did you mean 'latency_ms'" in str(error.value)


def test_dataset_card_needs_a_known_split_name() -> None:
    with pytest.raises(CardError, match="splits"):
        validated(DatasetCard, {"name": "a", "summary": "b", "reader": "beir", "splits": {"dev": "x"}}, where="card")
