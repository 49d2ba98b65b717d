"""One system tuned by one sampler with one seed: Optuna proposes, the runner measures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import optuna
from optuna.trial import TrialState

from retrieval_bench import registry
from retrieval_bench.errors import CardError
from retrieval_bench.measure.clock import Effort
from retrieval_bench.runner.job import Floor
from retrieval_bench.specs import SystemCard, params
from retrieval_bench.tuning.bench import Bench
from retrieval_bench.tuning.proposals import Guide, build_of_the_card, of_the_card
from retrieval_bench.tuning.results import Sampler, Search
from retrieval_bench.tuning.space import Dimensions, space_of, suggest
from retrieval_bench.tuning.targets import Target
from retrieval_bench.types import Params, TrialRecord

QUICK = Effort(seconds=0.5, concurrent_seconds=0.02)
"""How long a trial is measured: enough to choose by. The chosen setting is measured again with the full effort."""
SEARCHES = 4  # search settings tried on one build before the next is made
_SHORTFALL = "shortfall"
_DRAWS = 100  # in a row whose parameters do not go together: then the space holds none that do


def search(
    bench: Bench, card: SystemCard, target: Target, *, sampler: Sampler, seed: int, trials: int | None,
    seconds: float | None, on_trial: Callable[[TrialRecord], None] | None = None,
) -> Search:  # fmt: skip
    """Try settings until the trials or the seconds are used, or until one is refused for want of the data's encoder.

    A setting whose quality on tuning queries surely misses the target is hopeless, and its speed is not measured.
    Search settings are cheap and builds are not, so each build is asked for a few of them. First come the card's own
    build and settings, for at most half of the trials; then, where a quality is to be reached, the nearest so far at
    more effort until it is, and the best so far at less effort in turns with the sampler. Random sampling, the control,
    is nothing but that. The same call makes the same proposals where the trials' records are there, and so goes on
    where it was interrupted.

    Raises:
        CardError: the card's space does not fit its backend, or holds no build whose parameters go together.
    """
    plugin: Any = (registry.indexes if card.kind == "index" else registry.rankers).get(card.backend)
    build_space, search_space = space_of(card)
    floor = None if target.metric is None or target.least is None else Floor(metric=target.metric, least=target.least)
    study = _study(_sampler(sampler, seed, trials))
    done: list[TrialRecord] = []
    builds: set[str] = set()
    spent, first_met, hopeless = 0.0, None, 0
    best: _Best | None = None
    guided = sampler != "random"
    guide = Guide(
        build_of_the_card(card, build_space, plugin.BuildParams) if guided else {},
        of_the_card(card, search_space, (trials or 2 * SEARCHES) // 2) if guided else [],
        search_space, searches=SEARCHES, reaching=guided and target.least is not None,
    )  # fmt: skip
    while not _used(len(done), spent, trials, seconds):
        trial, build, setting = _drawn(study, guide, best, card, build_space, search_space)
        record = bench.measure(card, build, setting, splits=("tune",), effort=QUICK, floor=floor)
        done.append(record)
        if record.build_id not in builds:
            builds.add(record.build_id)
            spent += record.value("build_seconds") or 0.0
        spent += record.seconds
        short = target.shortfall(record)
        score = target.score(record)
        trial.set_constraint(_SHORTFALL, min(short, 1.0))
        if math.isinf(short) or score is None:
            hopeless += 1
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, math.log(score) if target.objective == "qps" else score)
            if short <= 0:
                first_met = spent if first_met is None else first_met
                if best is None or score > best.score:
                    best = _Best(score, record.trial_id, build, setting)
        guide.told(trial.params, answered=record.outcome == "ok", short=target.missing(record))
        if on_trial is not None:
            on_trial(record)
        if bench.lacks_encoder(record):
            break
    return Search(
        seed=seed, trials=tuple(r.trial_id for r in done), hopeless=hopeless, seconds=spent,
        first_met=first_met, **(best._asdict() if best else {}),
    )  # fmt: skip


def _drawn(
    study: optuna.Study, guide: Guide, best: _Best | None, card: SystemCard, build_space: Dimensions,
    search_space: Dimensions,
) -> tuple[optuna.Trial, dict[str, Any], dict[str, Any]]:  # fmt: skip
    """The next trial whose build parameters go together, and its build and search parameters; other draws cost nothing.

    Raises:
        CardError: none of many draws goes together.
    """
    plugin: Any = (registry.indexes if card.kind == "index" else registry.rankers).get(card.backend)
    search_model: type[Params] = plugin.SearchParams if card.kind == "index" else Params
    for left in reversed(range(_DRAWS)):
        if fixed := guide.fixed((best.build, best.search) if best else None):
            study.enqueue_trial(fixed)
        trial = study.ask()
        build = suggest(trial, "build", build_space, plugin.BuildParams)
        setting = suggest(trial, "search", search_space, search_model)
        try:
            params(plugin.BuildParams, {**card.build, **build}, where=f"card {card.name!r}, a build in its space")
            break
        except CardError:
            if not left:
                raise
            trial.set_constraint(_SHORTFALL, 1.0)
            study.tell(trial, state=TrialState.PRUNED)
            guide.told(trial.params, answered=False, short=math.inf)
    return trial, build, setting


class _Best(NamedTuple):
    score: float
    best: str
    build: dict[str, Any]
    search: dict[str, Any]


def _used(trials: int, spent: float, most: int | None, seconds: float | None) -> bool:
    return (most is not None and trials >= most) or (seconds is not None and spent >= seconds)


def _sampler(name: Sampler, seed: int, trials: int | None) -> optuna.samplers.BaseSampler:
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(4, (trials or 40) // 4))
    if name == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=max(4, (trials or 40) // 5))
    return optuna.samplers.RandomSampler(seed=seed)


def _study(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(direction="maximize", sampler=sampler)
