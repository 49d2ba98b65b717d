"""Targets, search spaces, the lottery and the time to a result, without measuring anything."""

import math
from typing import Any, ClassVar

import pytest
from made_up_run import trial

from retrieval_bench import registry
from retrieval_bench.errors import CardError, UnavailableError, UnknownNameError, UsageError
from retrieval_bench.measure.clock import Effort
from retrieval_bench.records import Turns
from retrieval_bench.runner.measurements import exact
from retrieval_bench.specs import Range, SystemCard, system_card, system_cards
from retrieval_bench.tuning import Target, Tuned, Tuning, parse_target
from retrieval_bench.tuning.proposals import Descent, Guide
from retrieval_bench.tuning.results import HeldOut, Sampler, Search
from retrieval_bench.tuning.space import Dimensions, space_of
from retrieval_bench.tuning.study import search
from retrieval_bench.types import Budget, TrialRecord

R = "neighbor_recall@10"


class TestTargets:
    @pytest.mark.parametrize("text", ["qps@neighbor_recall@10=0.95", "bytes@loss=0.01", "nDCG@10", "qps@nDCG@10=0.4"])
    def test_are_read_and_written_alike(self, text: str) -> None:
        assert str(parse_target(text)) == text

    def test_short_names(self) -> None:
        assert parse_target("qps@recall=0.95") == Target(objective="qps", metric=R, least=0.95)
        assert parse_target("ndcg").objective == "nDCG@10"

    @pytest.mark.parametrize("text", ["qps@recall=2", "qps=0.9", "speed@recall=0.9", "qps@recall=x"])
    def test_what_cannot_be_read_is_refused(self, text: str) -> None:
        with pytest.raises(UsageError, match="cannot be read"):
            parse_target(text)

    def test_an_unknown_metric_is_named(self) -> None:
        with pytest.raises(UnknownNameError):
            parse_target("nDGC@10")

    def test_score_and_shortfall(self) -> None:
        record = trial("a", "a-0", {f"tune/{R}": 0.9, "batch_qps": 100.0, "analytic_bytes": 64.0})
        fast = parse_target("qps@recall=0.95")
        assert fast.score(record) == 100.0
        assert fast.shortfall(record) == pytest.approx(0.05)
        small = parse_target("bytes@loss=0.2")
        assert small.shortfall(record) == math.inf
        assert small.given(1.0).shortfall(record) == pytest.approx(-0.1)
        assert small.score(record) == -64.0
        assert fast.shortfall(record.model_copy(update={"outcome": "over_budget"})) == math.inf


class TestSpace:
    def test_every_shipped_card_has_one_that_its_backend_takes(self) -> None:
        for card in system_cards("index").values():
            try:
                build, searched = space_of(card)
            except UnavailableError:  # an engine that this processor does not run
                continue
            assert card.name == "flat" or build or searched

    def test_without_a_table_it_lies_around_what_the_card_uses(self) -> None:
        card = system_card("hnsw").model_copy(update={"space": None})
        build, searched = space_of(card)
        assert searched == {"ef": Range(low=6, high=8000, log=True)}
        assert build == {"ef_construction": Range(low=6, high=1600, log=True)}

    def test_choices_come_from_literals(self) -> None:
        build, _ = space_of(system_card("ivf_pq").model_copy(update={"space": None}))
        assert build["refine"] == [None, "float32", "fp16", "int8", "none"]

    def test_a_parameter_that_does_not_exist_is_an_error_with_the_nearest(self) -> None:
        card = SystemCard.model_validate({**system_card("hnsw").model_dump(), "space": {"search": {"eff": [1]}}})
        with pytest.raises(CardError, match=r"'eff'; did you mean 'ef'"):
            space_of(card)


class Pretended:
    """A bench whose recall and speed follow from nprobe."""

    def __init__(self) -> None:
        self.settings: list[dict[str, Any]] = []

    def measure(
        self, card: SystemCard, build: dict[str, Any], search: dict[str, Any], *, splits: tuple[str, ...],
        effort: Effort, floor: object = None,
    ) -> TrialRecord:  # fmt: skip
        self.settings.append(search)
        nprobe = search["nprobe"]
        recall = 1 - 1 / (1 + nprobe / 4)
        record = trial("ivf", f"ivf-{nprobe}", {f"tune/{R}": recall, "batch_qps": 1e5 / nprobe}, search=search)
        return record.model_copy(
            update={"measurements": (*record.measurements, exact("build_seconds", "s", 10.0)), "seconds": 1.0}
        )

    def lacks_encoder(self, record: TrialRecord) -> bool:
        return False


class Lexical(Pretended):
    """A bench that takes no parameters that do not go together, as the real one."""

    def measure(self, card: SystemCard, build: dict[str, Any], search: dict[str, Any], **rest: Any) -> TrialRecord:
        registry.rankers.get(card.backend).BuildParams.model_validate(card.build | build)
        self.settings.append(build)
        return trial("bm25", f"bm25-{len(self.settings)}", {"tune/nDCG@10": 0.5})


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_parameters_that_do_not_go_together_are_not_tried(sampler: Sampler) -> None:
    pytest.importorskip("bm25s")
    bench, target = Lexical(), parse_target("nDCG@10")
    asked: dict[str, Any] = {"sampler": sampler, "seed": 0, "trials": 40, "seconds": None}
    done = search(bench, system_card("bm25"), target, **asked)  # type: ignore[arg-type]
    assert len(done.trials) == 40
    assert {build["lengths"] for build in bench.settings} == {"exact", "lucene"}
    assert any(build["method"] != "lucene" for build in bench.settings)


def test_a_space_without_parameters_that_go_together_is_an_error() -> None:
    pytest.importorskip("bm25s")
    space = {"build": {"method": ["atire"], "lengths": ["lucene"]}}
    card = SystemCard.model_validate({**system_card("bm25").model_dump(), "space": space})
    asked: dict[str, Any] = {"sampler": "random", "seed": 0, "trials": None, "seconds": 1.0}
    with pytest.raises(CardError, match="lengths = 'lucene' belongs to method = 'lucene'"):
        search(Lexical(), card, parse_target("nDCG@10"), **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_every_sampler_finds_a_setting_near_the_target_and_repeats_itself(sampler: Sampler) -> None:
    bench, again = Pretended(), Pretended()
    target, card = parse_target("qps@recall=0.9"), system_card("ivf")
    found, repeated = (
        search(b, card, target, sampler=sampler, seed=3, trials=30, seconds=None)  # type: ignore[arg-type]
        for b in (bench, again)
    )
    assert found == repeated
    assert len(found.trials) == 30
    assert 36 <= found.search["nprobe"] <= 80  # 36 lists just reach .9
    assert found.seconds == pytest.approx(10 + 30)  # one build, thirty trials
    assert found.first_met is not None
    assert found.first_met >= 11


def test_seconds_end_a_search_too() -> None:
    found = search(
        Pretended(), system_card("ivf"), parse_target("qps@recall=0.9"), sampler="random", seed=0, trials=None,  # type: ignore[arg-type]
        seconds=15,
    )  # fmt: skip
    assert len(found.trials) == 5


def test_tpe_learns_more_than_chance() -> None:
    near = {}
    for sampler in ("tpe", "random"):
        bench = Pretended()
        for seed in range(3):
            search(
                bench, system_card("ivf"), parse_target("qps@recall=0.9"), sampler=sampler, seed=seed, trials=40,  # type: ignore[arg-type]
                seconds=None,
            )  # fmt: skip
        near[sampler] = sum(36 <= s["nprobe"] <= 60 for s in bench.settings)
    assert near["tpe"] > 1.5 * near["random"]


def test_the_lottery_is_how_often_two_seeds_disagree() -> None:
    def system(name: str, scores: list[float | None]) -> Tuned:
        held_out = HeldOut(
            trial=f"pick of {name}", score=1.0, quality=1.0, low=1.0, high=1.0, met=True,
            optimism=None, optimism_low=None, optimism_high=None,
        )  # fmt: skip
        searches = tuple(
            Search(seed=i, trials=(), hopeless=0, seconds=1, best=None, score=s, first_met=None)
            for i, s in enumerate(scores)
        )
        return Tuned(system=name, searches=searches, held_out=held_out)

    tuning = Tuning(
        dataset="d", target="qps@recall=0.9", quality=R, sampler="tpe", budget=Budget(),
        systems=(system("a", [3, 3, 1]), system("b", [2, None, 2])),
    )  # fmt: skip
    assert tuning.winners() == ["a", "a", "b"]
    assert tuning.lottery == pytest.approx(2 / 3)
    assert tuning.winner is not None
    assert tuning.winner.system == "a"
    turns = Turns(
        qps={"pick of b": 1000.0, "pick of a": 9.0}, rival="pick of a", ratio=111, low=105, high=120, rounds=20
    )
    raced = tuning.model_copy(update={"turns": turns}).winner
    assert raced is not None
    assert raced.system == "b"  # what was measured in turns decides


def test_the_settings_of_the_card_are_tried_first_and_no_more_than_half() -> None:
    bench = Pretended()
    card = system_card("ivf")
    search(bench, card, parse_target("qps@recall=0.9"), sampler="tpe", seed=0, trials=6, seconds=None)  # type: ignore[arg-type]
    own = [s["nprobe"] for s in card.settings()]
    assert [s["nprobe"] for s in bench.settings[:3]] == [own[0], own[len(own) // 2], own[-1]]
    assert len(bench.settings) == 6
    control = Pretended()
    search(control, card, parse_target("qps@recall=0.9"), sampler="random", seed=0, trials=6, seconds=None)  # type: ignore[arg-type]
    assert [s["nprobe"] for s in control.settings[:3]] != [s["nprobe"] for s in bench.settings[:3]]


def test_the_build_of_the_card_is_tried_first_and_one_that_cannot_be_made_once() -> None:
    class Small(Pretended):
        """Only codes without originals fit."""

        def __init__(self) -> None:
            super().__init__()
            self.builds: list[Any] = []

        def measure(self, card: SystemCard, build: dict[str, Any], search: dict[str, Any], **rest: Any) -> TrialRecord:
            self.builds.append(build["refine"])
            record = super().measure(card, build, search, **rest)
            return record if build["refine"] == "none" else record.model_copy(update={"outcome": "refused"})

    bench, card = Small(), system_card("ivf_pq")
    search(bench, card, parse_target("qps@recall=0.9"), sampler="tpe", seed=0, trials=24, seconds=None)  # type: ignore[arg-type]
    assert bench.builds[0] is None
    fits = bench.builds.index("none")
    assert bench.builds[fits : fits + 4] == ["none"] * 4
    own = card.settings()
    assert bench.settings[: fits + 1] == [own[0]] * (fits + 1)
    assert bench.settings[fits + 1 : fits + 4] == own[1:4]


def test_few_trials_end_near_the_least_effort_that_meets_the_target() -> None:
    bench = Pretended()
    found = search(bench, system_card("ivf"), parse_target("qps@recall=0.9"), sampler="tpe", seed=1, trials=14,  # type: ignore[arg-type]
                   seconds=None)  # fmt: skip
    assert 36 <= found.search["nprobe"] <= 40


def test_a_descent_halves_between_what_misses_and_what_meets() -> None:
    descent = Descent({"a": Range(low=1, high=100, log=True), "b": [1, 2], "c": Range(low=2, high=9)})
    best = {"a": 64, "b": 2, "c": 2}
    assert descent.propose(best) == {"a": 8, "b": 2, "c": 2}
    missed = [{"a": 8, "b": 2, "c": 2}]
    assert descent.propose(best, missed) == {"a": 24, "b": 2, "c": 2}  # c is as low as it may be
    assert descent.propose({"a": 24, "b": 2, "c": 2}, missed) == {"a": 14, "b": 2, "c": 2}
    assert Descent({"b": [1, 2]}).propose({"b": 2}) is None
    assert Descent({"a": Range(low=4, high=9)}).propose({"a": 4}) is None


def test_a_descent_learns_from_whatever_missed_with_the_others_at_least_as_high() -> None:
    space: Dimensions = {"a": Range(low=1, high=100, log=True), "b": ["x", "y"], "c": Range(low=1, high=9)}
    best = {"a": 16, "b": "x", "c": 2}
    assert Descent(space).propose(best, [{"a": 4, "b": "x", "c": 8}]) == {"a": 8, "b": "x", "c": 2}
    assert Descent(space).propose(best, [{"a": 4, "b": "x", "c": 1}]) == {"a": 4, "b": "x", "c": 2}
    assert Descent(space).propose(best, [{"a": 4, "b": "y", "c": 8}]) == {"a": 4, "b": "x", "c": 2}


class TestGuide:
    """What is proposed until a quality is reached, and from there on."""

    SPACE: ClassVar[dict[str, Any]] = {"a": Range(low=1, high=256, log=True), "c": Range(low=1, high=64, log=True)}

    def guide(self, **changes: Any) -> Guide:
        waiting = [{"a": 4, "c": 8}, {"a": 64, "c": 8}]
        return Guide({"b": 1}, waiting, self.SPACE, **{"searches": 4, "reaching": True, **changes})

    def play(self, guide: Guide, needed: int, steps: int) -> list[tuple[int, int] | None]:
        """Proposals (a, c) where ``needed`` of a reaches the target, and the sampler's turns as None."""
        tried: list[tuple[int, int] | None] = []
        best: tuple[dict[str, Any], dict[str, Any]] | None = None
        for _ in range(steps):
            fixed = guide.fixed(best)
            sampled = "search.a" not in fixed
            values = {"build.b": 1, "search.a": 2, "search.c": 8, **fixed}
            tried.append(None if sampled else (values["search.a"], values["search.c"]))
            short = (needed - values["search.a"]) / 1000
            if short <= 0 and (best is None or values["search.a"] < best[1]["a"]):
                best = {"b": 1}, {"a": values["search.a"], "c": values["search.c"]}
            guide.told(values, answered=True, short=short)
        return tried

    def test_what_the_cards_settings_miss_is_reached_and_then_lowered_between(self) -> None:
        assert self.play(self.guide(), needed=80, steps=7) == [
            (4, 8), (64, 8), (128, 8), (91, 8), None, (91, 2), None
        ]  # fmt: skip

    def test_the_other_parameter_is_raised_where_the_first_does_not_help(self) -> None:
        tried = self.play(self.guide(), needed=1000, steps=9)
        assert tried[2:] == [(128, 8), (128, 23), (182, 23), (182, 39), (182, 50), None, None]

    def test_where_no_quality_is_to_be_reached_the_sampler_chooses(self) -> None:
        assert self.play(self.guide(reaching=False), needed=1000, steps=4)[2:] == [None, None]
