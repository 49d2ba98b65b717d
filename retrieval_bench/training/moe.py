"""A mixture of experts over several data sets, each one domain, against one model per domain and one for all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from retrieval_bench.encoders.loading import save_model
from retrieval_bench.errors import UsageError
from retrieval_bench.training.batches import Domains, Pairs
from retrieval_bench.training.contrastive import Contrastive
from retrieval_bench.training.experts import Experts
from retrieval_bench.training.folder import Trained, finished, publish
from retrieval_bench.training.heldout import Gain, gains_on
from retrieval_bench.training.learned import learning_data
from retrieval_bench.training.loop import fit
from retrieval_bench.training.objective import Objective
from retrieval_bench.training.recipes import train_contrastive
from retrieval_bench.training.settings import Settings
from retrieval_bench.training.text_encoder import TextEncoder
from retrieval_bench.types import Frozen


class Comparison(Frozen):
    """Three ways to serve several domains, trained on the same batches.

    Attributes:
        experts: one model with experts; its folder holds one ordinary model per domain.
        joint: one model without experts for all domains.
        alone: one model per domain.
        over_joint: gains of the experts over the joint model.
        over_alone: gains of the experts over the models of one domain each.
    """

    experts: Trained
    joint: Trained
    alone: tuple[Trained, ...]
    over_joint: tuple[Gain, ...]
    over_alone: tuple[Gain, ...]


def train_moe(
    names: Sequence[str],
    out: Path,
    *,
    settings: Settings,
    layers: int = 1,
    start: str = "minilm",
    device: str | None = None,
    progress: bool = False,
) -> Comparison:
    """Train a mixture of experts and the models that it is compared with; resumes as ``train_contrastive`` does.

    Args:
        names: of two or more data sets, each with a ``train`` split: the domains.
        out: gets the folders ``experts/DOMAIN``, ``joint`` and ``alone/DOMAIN``, each of which is an encoder.
        settings: of each run. A domain's expert and its model of its own see the same batches.
        layers: layers with experts, from the top.
        start: encoder to start from.
        device: None is a GPU where there is one.
        progress: show a bar on standard error.

    Raises:
        UsageError: fewer than two domains, or what ``train_contrastive`` raises.
    """
    folders = [Path(name).name for name in names]
    if len(set(folders)) < 2 or len(set(folders)) < len(folders):
        raise UsageError("a mixture of experts needs two or more data sets of different names")

    def run(recipe: str, folder: Path) -> Trained:
        encoder = TextEncoder(start, frozen_layers=settings.frozen_layers, device=device)
        experts = recipe == "moe"
        objective: Objective = Contrastive(encoder, settings)
        if experts:
            objective = Experts(encoder, settings, domains=len(names), layers=layers)
        datasets = [learning_data(name, settings) for name in names]
        identity = {
            "recipe": recipe, "settings": settings.model_dump(mode="json"), "datasets": list(names),
            "dataset_fingerprints": [dataset.fingerprint for dataset in datasets], "start": start,
            "start_revision": encoder.revision, "expert_layers": layers if experts else 0,
        }  # fmt: skip
        done = finished(folder, identity)
        if done is not None:
            return done
        source = Domains([Pairs(dataset, settings) for dataset in datasets], seed=settings.seed)
        losses = fit(objective, source, settings, folder, identity=identity, progress=progress)

        def write(place: Path) -> None:
            if isinstance(objective, Experts):
                for domain, name in enumerate(folders):
                    (place / name).mkdir()
                    save_model(objective.model_of(domain), place / name)
            else:
                encoder.save(place)

        def measure(place: Path) -> list[Gain]:
            models = [place / name if experts else place for name in folders]
            return [
                gain for name, model in zip(names, models, strict=True) for gain in gains_on([name], start, str(model))
            ]

        parts = folders if experts else ()
        return publish(folder, write, measure, identity=identity, start=start, losses=losses, parts=parts)

    mixture, joint = run("moe", out / "experts"), run("joint", out / "joint")
    alone = [
        train_contrastive(
            name, out / "alone" / folder, settings=settings, start=start, device=device, progress=progress
        )
        for name, folder in zip(names, folders, strict=True)
    ]
    over_joint: list[Gain] = []
    over_alone: list[Gain] = []
    for name, folder, own in zip(names, folders, alone, strict=True):
        expert = str(mixture.folder / folder)
        over_joint += gains_on([name], str(joint.folder), expert)
        over_alone += gains_on([name], str(own.folder), expert)
    return Comparison(
        experts=mixture,
        joint=joint,
        alone=tuple(alone),
        over_joint=tuple(over_joint),
        over_alone=tuple(over_alone),
    )
