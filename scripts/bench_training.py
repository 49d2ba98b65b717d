"""Every training recipe at its small size: held-out gains with intervals, the spread over seeds, and the soups.

    python scripts/bench_training.py [--out FOLDER] [--seeds 3] [--only contrastive --only soup ...]

Trained on pystdlib (``adapted`` alone on cosqa's tune queries), reported on test queries that no training saw. The
soups and their share of the starting weights are chosen on a third of cosqa's tune queries, which is what is left to
choose on where a set has no ``train``. ``unseen`` reports the models of ``adapted`` on those test queries alone that
want a function which no tune query wanted. Resumable: a finished model is not trained again, an interrupted one goes
on. Writes bench_training.json and bench_training.md into the folder.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console

from retrieval_bench.datasets import load_dataset
from retrieval_bench.files import home, write_text
from retrieval_bench.training import heldout
from retrieval_bench.training.cocosoda import CoCoSoDaSettings
from retrieval_bench.training.heldout import Gain, heldout_scores
from retrieval_bench.training.moe import train_moe
from retrieval_bench.training.recipes import train_cocosoda, train_contrastive, train_matryoshka
from retrieval_bench.training.settings import Settings
from retrieval_bench.training.soup import SHARES, make_soup
from retrieval_bench.types import Dataset, IntArray, Split

TRAIN, OTHER, SECOND_DOMAIN = "pystdlib", "cosqa", "beir/scifact"
RECIPES = ("contrastive", "soup", "cocosoda", "matryoshka", "moe", "adapted", "unseen")
WEB_QUERIES = 0.5


class Bench:
    """Trains and notes, one method per recipe; everything goes into one folder."""

    def __init__(self, out: Path, seeds: int) -> None:
        self.out = out
        self.seeds = range(seeds)
        written = out / "bench_training.json"  # of recipes that were run before, by themselves
        before = json.loads(written.read_text(encoding="utf-8"))["gains"] if written.is_file() else {}
        self.found = {name: [Gain.model_validate(gain) for gain in gains] for name, gains in before.items()}
        self._console = Console(stderr=True)

    def note(self, name: str, gains: Iterable[Gain]) -> None:
        """Show gains and write all of them, so that an interruption loses none."""
        self.found[name] = list(gains)
        for gain in self.found[name]:
            self._console.print(f"{name}: {line(gain)}", highlight=False, markup=False, soft_wrap=True)
        write_text(self.out / "bench_training.json", json.dumps(as_json(self.found), indent=1))
        write_text(self.out / "bench_training.md", as_markdown(self.found))

    def contrastive(self) -> None:
        """Seeds of the dual encoder."""
        for seed in self.seeds:
            settings = Settings(seed=seed, web_queries=WEB_QUERIES)
            done = train_contrastive(
                TRAIN, self.out / f"contrastive-{seed}", settings=settings, evaluate=[OTHER], progress=True
            )
            self.note(f"contrastive, seed {seed}", done.gains)

    def soup(self) -> None:
        """Averages of those seeds, alone and with the starting weights."""
        runs = [self.out / f"contrastive-{seed}" for seed in self.seeds]
        kinds: list[tuple[str, Literal["uniform", "greedy"], tuple[float, ...]]] = [
            ("soup, uniform", "uniform", (1.0,)),
            ("soup, greedy", "greedy", (1.0,)),
            ("soup, uniform, with the start", "uniform", SHARES),
        ]
        for title, kind, shares in kinds:
            folder = self.out / title.replace(",", "").replace(" ", "-")
            done = make_soup(runs, folder, choose_on=OTHER, kind=kind, shares=shares, evaluate=[TRAIN])
            self.note(f"{title} (share {done.facts['share']})", done.gains)

    def cocosoda(self) -> None:
        """Seeds of the code-search recipe."""
        for seed in self.seeds:
            settings = CoCoSoDaSettings(seed=seed, web_queries=WEB_QUERIES)
            done = train_cocosoda(
                TRAIN, self.out / f"cocosoda-{seed}", settings=settings, evaluate=[OTHER], progress=True
            )
            self.note(f"cocosoda, seed {seed}", done.gains)

    def matryoshka(self) -> None:
        """Nested prefixes, each over the start cut as short."""
        settings = Settings(web_queries=WEB_QUERIES)
        done = train_matryoshka(
            TRAIN, self.out / "matryoshka", dims=(32, 64, 128, 384), settings=settings, evaluate=[OTHER], progress=True
        )
        self.note("matryoshka", done.gains)

    def adapted(self) -> None:
        """The dual encoder taught by cosqa's own 500 tune queries: not comparable with those that saw none."""
        for seed in self.seeds:
            settings = Settings(seed=seed, split="tune", epochs=3, negatives=1)
            done = train_contrastive(
                OTHER, self.out / f"adapted-{seed}", settings=settings, evaluate=[TRAIN], progress=True
            )
            self.note(f"adapted to cosqa's tune queries, seed {seed}", done.gains)

    def unseen(self) -> None:
        """Those models on test queries whose function no tune query wanted: nothing there can have been remembered."""
        dataset = load_dataset(OTHER)
        kept = new_wishes(dataset)
        for folder in sorted(self.out.glob("adapted-*")):
            before, after = (
                {metric: values[kept] for metric, values in heldout_scores(encoder, dataset, "test").items()}
                for encoder in ("minilm", str(folder))
            )
            found = heldout.gains(before, after, dataset=OTHER, split="test", over="minilm", dimensions=384)
            seed = folder.name.partition("-")[2]
            self.note(f"adapted, {len(kept)} queries for functions that no tune query wanted, seed {seed}", found)

    def moe(self) -> None:
        """Experts over code and claims, one model for both, and one model each."""
        done = train_moe([TRAIN, SECOND_DOMAIN], self.out / "moe", settings=Settings(), progress=True)
        self.note("mixture of experts", done.experts.gains)
        self.note("one model for both domains", done.joint.gains)
        self.note("one model per domain", [gain for model in done.alone for gain in model.gains])
        self.note("mixture of experts over one model for both", done.over_joint)
        self.note("mixture of experts over one model per domain", done.over_alone)


def new_wishes(dataset: Dataset) -> IntArray:
    """Rows of the test queries that want no document which a tune query wants."""

    def relevant(split: Split) -> list[set[int]]:
        qrels = dataset.qrels[split]
        each = [slice(*ends) for ends in itertools.pairwise(qrels.offsets)]
        return [set(qrels.rows[one][qrels.grades[one] > 0].tolist()) for one in each]

    taught = set().union(*relevant("tune"))
    return np.flatnonzero([not taught & wanted for wanted in relevant("test")])


def line(gain: Gain) -> str:
    """One gain as a line."""
    return (
        f"{gain.dataset} {gain.metric}, {gain.dimensions} dims, over {Path(gain.over).name}: {gain.before:.4f} -> "
        f"{gain.after:.4f} ({gain.gain:+.4f}, {gain.low:+.4f} to {gain.high:+.4f})"
    )


def spreads(found: dict[str, list[Gain]]) -> list[dict[str, Any]]:
    """Mean and standard deviation of a recipe's gains over its seeds."""
    groups: dict[tuple[str, str, str], list[float]] = {}
    for name, gains in found.items():
        recipe, seeded, _ = name.partition(", seed ")
        for gain in gains if seeded else []:
            groups.setdefault((recipe, gain.dataset, gain.metric), []).append(gain.gain)
    return [
        {
            "recipe": recipe, "dataset": dataset, "metric": metric, "seeds": len(values),
            "mean": statistics.fmean(values), "sd": statistics.stdev(values), "least": min(values), "most": max(values),
        }
        for (recipe, dataset, metric), values in groups.items()
        if len(values) > 1
    ]  # fmt: skip


def as_json(found: dict[str, list[Gain]]) -> dict[str, Any]:
    """All gains and spreads as JSON values."""
    return {"gains": {n: [g.model_dump() for g in gains] for n, gains in found.items()}, "spreads": spreads(found)}


def as_markdown(found: dict[str, list[Gain]]) -> str:
    """All gains and spreads as tables."""
    rows = [
        f"| {name} | {g.dataset} | {g.metric} | {g.dimensions} | {Path(g.over).name} | {g.before:.4f} | {g.after:.4f} "
        f"| {g.gain:+.4f} | {g.low:+.4f} to {g.high:+.4f} |"
        for name, gains in found.items()
        for g in gains
    ]
    over_seeds = [
        f"| {s['recipe']} | {s['dataset']} | {s['metric']} | {s['seeds']} | {s['mean']:+.4f} | {s['sd']:.4f} "
        f"| {s['least']:+.4f} to {s['most']:+.4f} |"
        for s in spreads(found)
    ]
    return "\n".join([
        "| model | data set | metric | dims | over | before | after | gain | 95 % interval |",
        "|---|---|---|---:|---|---:|---:|---:|---|", *rows, "",
        "| recipe | data set | metric | seeds | mean gain | sd over seeds | range |",
        "|---|---|---|---:|---:|---:|---|", *over_seeds, "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=home() / "results" / "training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=RECIPES)
    asked = parser.parse_args()
    bench = Bench(asked.out, asked.seeds)
    for recipe in asked.only or RECIPES:
        getattr(bench, recipe)()
    print(as_markdown(bench.found))


if __name__ == "__main__":
    main()
