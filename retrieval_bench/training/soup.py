"""Model soups: the weights of several runs averaged into one model, which costs no more to use than one of them.

Wortsman et al. 2022 (arXiv 2203.05482, sections 2 and 3): uniform averages all, greedy adds runs from the best on and
keeps those that do not lower the score on held-out tuning queries. Interpolating between the starting weights and the
trained ones (WiSE-FT, Wortsman et al. 2021, arXiv 2109.01903, section 3) keeps more of what the starting model can do
on data that training did not see. All choices are made on ``tune`` queries, never on those reported.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch

from retrieval_bench.device.choose import choose_device
from retrieval_bench.encoders._models import content_hash, find_model
from retrieval_bench.encoders.loading import open_model, save_model
from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.quality import mean
from retrieval_bench.training.folder import Trained, finished, measured_also, publish
from retrieval_bench.training.heldout import Gain, gains_on, heldout_scores, selection_pool
from retrieval_bench.training.learned import choosing_data
from retrieval_bench.types import Dataset

Weights = dict[str, torch.Tensor]
Score = Callable[[Weights], float]

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Shares of the trained weights that are tried, the rest being the starting model's."""
_METRIC = "nDCG@10"


def average(models: Sequence[Weights], shares: Sequence[float] | None = None) -> Weights:
    """The weighted mean of each tensor; integers (position numbers) are the first model's.

    Args:
        models: of one architecture.
        shares: of each model, adding up to 1; None weighs all the same.

    Raises:
        DataError: the models differ in their tensors' names or shapes.
    """
    shares = shares or [1 / len(models)] * len(models)
    shapes = [{name: tensor.shape for name, tensor in model.items()} for model in models]
    for number, other in enumerate(shapes[1:], start=2):
        if other != shapes[0]:
            raise DataError(f"model 1 and model {number} of a soup differ in architecture: their weights have no mean")
    return {
        name: sum(share * model[name] for share, model in zip(shares, models, strict=True))  # type: ignore[misc]
        if first.is_floating_point()
        else first
        for name, first in models[0].items()
    }


def greedy(models: Sequence[Weights], scores: Sequence[float], score: Score) -> tuple[list[int], float]:
    """Which models to average, best first, and the score of their average, which is never below the best one's.

    Args:
        models: of one architecture.
        scores: of each alone.
        score: of weights, on held-out tuning queries.
    """
    order = sorted(range(len(models)), key=lambda number: -scores[number])
    kept, best = [order[0]], scores[order[0]]
    for number in order[1:]:
        reached = score(average([models[i] for i in [*kept, number]]))
        if reached >= best:
            kept, best = [*kept, number], reached
    return kept, best


def make_soup(
    runs: Sequence[Path],
    out: Path,
    *,
    choose_on: str,
    kind: Literal["greedy", "uniform"] = "greedy",
    shares: Sequence[float] = SHARES,
    start: str = "minilm",
    evaluate: Sequence[str] = (),
) -> Trained:
    """Average runs, then interpolate with the starting model, and report the gain over it and over the best run.

    Args:
        runs: folders of models trained from ``start``.
        out: folder of the soup.
        choose_on: data set whose ``tune`` queries choose the runs and the share (a part of them where it has no
            ``train`` apart); its ``test`` queries are reported.
        kind: which average.
        shares: of the trained weights, to choose from; ``(1.0,)`` does not interpolate.
        start: encoder that the runs started from.
        evaluate: more data sets to report the ``test`` split of.

    Raises:
        UsageError: no runs or shares, a run learned from the queries that it would be chosen on, or the folder holds
            something else.
        DataError: a run's folder holds no model, or models differ in architecture.
    """
    if not runs or not shares or not all(0 < share <= 1 for share in shares):
        raise UsageError("a soup needs at least one run, and shares above 0 and up to 1")
    folders = [find_model(str(run)) for run in runs]
    dataset = choosing_data(choose_on, [*folders, find_model(start)])
    identity = {
        "recipe": "soup", "kind": kind, "runs": [str(run) for run in runs],
        "revisions": [content_hash(folder).hex()[:24] for folder in folders], "shares": list(shares), "start": start,
        "chosen_on": choose_on, "dataset_fingerprint": dataset.fingerprint,
    }  # fmt: skip
    reported = list(dict.fromkeys([choose_on, *evaluate]))
    done = finished(out, identity)
    if done is not None:
        peers = (start, done.facts["best_run"])
        return measured_also(done, reported, lambda names: _gains(names, peers, out))
    models = [_weights(folder) for folder in folders]
    uniform = average(models)  # before any work, it shows whether the models can be averaged
    score = _scorer(dataset, folders[0])
    alone = [score(model) for model in models]
    best = max(range(len(runs)), key=alone.__getitem__)
    kept, soup = list(range(len(runs))), uniform
    if kind == "greedy":
        kept, _ = greedy(models, alone, score)
        soup = average([models[i] for i in kept])
    first = _weights(find_model(start))
    mixed = {share: average([soup, first], [share, 1 - share]) for share in shares}
    reached = {share: score(weights) for share, weights in mixed.items()}
    share = max(reached, key=reached.__getitem__)
    peers = (start, str(runs[best]))
    return publish(
        out,
        lambda folder: _write(mixed[share], folders[0], folder),
        lambda folder: _gains(reported, peers, folder),
        identity=identity,
        start=start,
        facts={
            f"tune_{_METRIC}_of_runs": alone,
            f"tune_{_METRIC}_of_shares": {str(share): value for share, value in reached.items()},
            "kept": [str(runs[i]) for i in kept],
            "share": share,
            "best_run": str(runs[best]),
        },
    )


def _gains(names: Sequence[str], peers: Sequence[str], folder: Path) -> list[Gain]:
    return [gain for over in peers for gain in gains_on(names, over, str(folder))]


def _scorer(dataset: Dataset, like: Path) -> Score:
    """Scores weights on a part of the corpus, as any encoder is scored."""
    pool = selection_pool(dataset, "tune")

    def score(weights: Weights) -> float:
        with tempfile.TemporaryDirectory() as folder:
            _write(weights, like, Path(folder))
            return mean(heldout_scores(folder, dataset, "tune", rows=pool)[_METRIC])

    return score


def _weights(folder: Path) -> Weights:
    return dict(open_model(folder, choose_device("cpu")).state_dict())


def _write(weights: Weights, like: Path, folder: Path) -> None:
    """Write a model of the architecture of another."""
    model = open_model(like, choose_device("cpu"))
    model.load_state_dict(weights)
    save_model(model, folder)
