"""Cross-encoder: query and document read together, trained to put the relevant document above hard negatives.

Localised contrastive estimation (Gao, Dai and Callan 2021, arXiv 2101.08751): the softmax over a query's relevant
document and the wrong ones that a first stage ranks high. It starts from a dual encoder's weights and from a head that
compares as that encoder does (see ``scorers._joint_similarity``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from sentence_transformers import CrossEncoder
from torch.nn import functional

from retrieval_bench.checks import normalised
from retrieval_bench.datasets import exact_neighbors, load_dataset, notes_of
from retrieval_bench.device.choose import native_bfloat16
from retrieval_bench.encoders import cached_encode, load_encoder
from retrieval_bench.hits import make_hits
from retrieval_bench.quality import evaluate, ranked, without_own
from retrieval_bench.scorers import Metered, load_scorer
from retrieval_bench.scorers._joint_similarity import JointSimilarity
from retrieval_bench.training.batches import Batch
from retrieval_bench.training.folder import Trained, finished, measured_also, publish
from retrieval_bench.training.hard_negatives import HardPairs
from retrieval_bench.training.heldout import METRICS, Gain, gains
from retrieval_bench.training.learned import learning_data
from retrieval_bench.training.loop import fit
from retrieval_bench.training.objective import Objective
from retrieval_bench.training.settings import Settings
from retrieval_bench.training.text_encoder import TextEncoder
from retrieval_bench.types import Dataset

_FIRST_STAGE = 1000  # documents ranked by the dual encoder, as ``heldout`` ranks them


class CrossEncoderSettings(Settings):
    """Settings of one run; a pair is cut to ``query_tokens + document_tokens``."""

    batch: int = Field(default=8, ge=2, description="queries in a step, each with its own candidates")
    learning_rate: float = Field(default=5e-5, gt=0, description="at its peak, after the warm-up")
    negatives: int = Field(default=3, ge=1, description="hard negatives of each query, from BM25 and the encoder")
    frozen_layers: int = Field(default=3, ge=0, description="lower transformer layers that stay as they are")


class CrossEncoding(Objective):
    """Softmax cross-entropy of the relevant document among a query's own candidates."""

    def __init__(self, encoder: TextEncoder, settings: CrossEncoderSettings) -> None:
        super().__init__(encoder)
        self.head = JointSimilarity()
        transformer: Any = encoder.model[0]
        transformer.model.config.num_labels = 1  # what sentence-transformers takes for the number of scores
        model = CrossEncoder(modules=[transformer, self.head], activation_fn=torch.nn.Identity())
        model.max_seq_length = settings.query_tokens + settings.document_tokens
        self._model = (model,)  # in a tuple, so that a checkpoint does not hold the shared weights twice

    def forward(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:  # noqa: ARG002 - draws nothing
        """The loss of a batch; a candidate that is relevant too does not count as wrong."""
        asked = len(batch.queries)
        each = len(batch.documents) // asked
        pairs = [[query, batch.documents[i + j * asked]] for i, query in enumerate(batch.queries) for j in range(each)]
        scores = self._scores(pairs).reshape(asked, each)
        own = np.arange(asked)[:, None] + asked * np.arange(each)[None, :]
        relevant = np.take_along_axis(batch.relevant, own, axis=1)
        relevant[:, 0] = False  # the one to be found
        scores = scores.masked_fill(torch.from_numpy(relevant).to(scores.device), -torch.inf)
        return functional.cross_entropy(scores, torch.zeros(asked, dtype=torch.long, device=scores.device))

    def _scores(self, pairs: list[list[str]]) -> torch.Tensor:
        model = self._model[0]
        features = {name: value.to(model.device) for name, value in model.preprocess(pairs).items()
                    if isinstance(value, torch.Tensor)}  # fmt: skip
        with torch.autocast(model.device.type, torch.bfloat16, enabled=native_bfloat16(model.device)):
            scores: torch.Tensor = model(features)["scores"]
        return scores[:, 0]

    def save(self, folder: Path) -> None:
        """Write the model into an existing folder, as ``scorers.cross_encoder`` reads it."""
        self._model[0].save(str(folder), create_model_card=False)


def train_cross_encoder(
    dataset: str,
    out: Path,
    *,
    settings: CrossEncoderSettings,
    start: str = "minilm",
    depth: int = 50,
    queries: int | None = None,
    evaluate: Sequence[str] = (),
    device: str | None = None,
    progress: bool = False,
) -> Trained:
    """Train a cross-encoder and report what re-ranking with it gains over its dual encoder.

    The same call goes on where an interrupted one stopped, and returns at once when the model is there; another
    ``depth``, ``queries`` or ``evaluate`` measures that model again.

    Args:
        dataset: whose ``train`` split is learned from, and whose ``test`` split is reported.
        out: folder of the model.
        settings: of the run.
        start: dual encoder to start from; the gain is over its exact search.
        depth: of its hits, how many are re-ranked for the report.
        queries: report the first so many test queries only; None is all.
        evaluate: more data sets to report the ``test`` split of.
        device: None is a GPU where there is one.
        progress: show a bar on standard error.

    Raises:
        UsageError: the folder holds something else, or a setting does not fit the encoder.
        DataError: nothing to learn from, or the encoder's folder holds no model.
        UnavailableError: data set, encoder or device cannot be had.
    """
    encoder = TextEncoder(start, frozen_layers=settings.frozen_layers, device=device)
    data = learning_data(dataset, settings)
    identity = {
        "recipe": "cross-encoder", "settings": settings.model_dump(mode="json"), "dataset": dataset,
        "dataset_fingerprint": data.fingerprint, "start": start, "start_revision": encoder.revision,
    }  # fmt: skip
    reported = list(dict.fromkeys([dataset, *evaluate]))
    measured_so = {"reranked": depth, "queries": queries}

    def measure(names: Sequence[str], folder: Path) -> list[Gain]:
        return [
            gain.model_copy(update={"dataset": name})
            for name in names
            for gain in rerank_gains(folder, load_dataset(name), start=start, depth=depth, queries=queries)
        ]

    if done := finished(out, identity):
        if done.facts != measured_so:
            done = done.model_copy(update={"gains": (), "facts": measured_so})
        return measured_also(done, reported, lambda names: measure(names, out))
    objective = CrossEncoding(encoder, settings)
    losses = fit(objective, HardPairs(data, settings, encoder=start), settings, out, identity=identity,
                 progress=progress)  # fmt: skip
    return publish(
        out,
        objective.save,
        lambda folder: measure(reported, folder),
        identity=identity,
        start=start,
        losses=losses,
        facts=measured_so,
        measured=f"the {depth} best of {start} re-ranked",
        use="in a card of the rankers `rerank` and `cur`: "
        '`scorer = "cross_encoder"`, `scorer_settings = {{ model = "{}" }}`',
    )


def rerank_gains(
    model: Path, dataset: Dataset, *, start: str, depth: int = 50, queries: int | None = None
) -> list[Gain]:
    """What re-ranking the dual encoder's ``depth`` best hits with the cross-encoder gains, on ``test`` queries."""
    encoder = load_encoder(start)
    texts = dataset.corpus.require_texts()
    asked = dataset.queries["test"]
    chosen = np.arange(len(asked) if queries is None else min(queries, len(asked)))
    documents = normalised(cached_encode(encoder, texts))
    vectors = normalised(cached_encode(encoder, asked.require_texts(), queries=True))
    found = exact_neighbors(documents, vectors, min(_FIRST_STAGE + 1, len(texts)), "ip")
    before = without_own(found, asked.own_rows, min(_FIRST_STAGE, len(texts)))
    scorer = Metered.over(load_scorer("cross_encoder", {"model": str(model)}, where=str(model)), texts)
    rows, scores = before.rows.copy(), before.scores.copy()
    for i, session in enumerate(scorer.sessions(asked.take(chosen).require_texts())):
        top = slice(min(depth, np.count_nonzero(rows[i] >= 0)))
        scores[i, top] = session.score(rows[i, top])
        scores[i, top.stop :] += scores[i, top].min() - 2.0  # cosines span 2: the rest keeps its order below
    after = make_hits(rows, scores)
    qrels = dataset.qrels["test"]
    values = [
        {name: column[chosen] for name, column in evaluate(ranked(hits, dataset.corpus), qrels, METRICS).items()}
        for hits in (before, after)
    ]
    return gains(
        *values, dataset=dataset.name, split="test", over=start, dimensions=encoder.dim, notes=notes_of(dataset)
    )
