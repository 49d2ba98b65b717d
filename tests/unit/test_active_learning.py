"""Active learning: resampling, classifiers against scikit-learn, and reading a made-up review."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from retrieval_bench.datasets import Review
from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.quality.screening import list_measures

pytest.importorskip("sklearn")

from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

from retrieval_bench.study.active_learning import Learner, features_of, simulate
from retrieval_bench.study.balance import Balance, resample
from retrieval_bench.study.classifiers import Logistic, NaiveBayes
from retrieval_bench.study.published import published_results, tuned_learners

TOPIC_WORDS = ["migraine", "triptan", "headache", "aura", "placebo"]
OTHER_WORDS = ["bridge", "concrete", "steel", "river", "traffic", "engine", "wheel", "paint", "garden", "music"]


def made_up_review(n: int = 150, relevant: int = 15, seed: int = 0) -> Review:
    rng = np.random.default_rng(seed)
    included = np.zeros(n, bool)
    included[rng.choice(n, relevant, replace=False)] = True
    texts = []
    for inside in included:  # a word of the topic stands in every relevant record, and in a fifth of the others
        topical = rng.choice(TOPIC_WORDS, 2 if inside else int(rng.random() < 0.2))
        texts.append(" ".join([*rng.choice(OTHER_WORDS, 12), *topical]))
    return Review(
        name="made up", topic="Drugs for migraine", source="made up", ids=[str(i) for i in range(n)],
        titles=[" ".join(text.split()[-6:]) for text in texts], abstracts=texts, included=included,
    )  # fmt: skip


def test_the_relevant_share_by_hand() -> None:
    balance = Balance(a=2.0, alpha=1.0, b=0.5, beta=1.0)
    # 1 relevant, 3 others: weights 2 * (1/3)^-1 = 6 and 1 - 0.5 / (1 + ln 4).
    other = 1 - 0.5 / (1 + np.log(4))
    assert balance.relevant_share(1, 3) == pytest.approx(6 / (6 + 3 * other))


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 100), st.floats(0.1, 2000))
def test_the_sample_is_as_large_as_the_labelled_set(relevant: int, others: int, seed: int, a: float) -> None:
    rows = np.random.default_rng(seed).permutation(100)
    ones, zeros = rows[:relevant], rows[relevant : relevant + others]
    times = resample(ones, zeros, 100, Balance(a=a), np.random.default_rng(seed))
    assert times.sum() == relevant + others
    assert times[ones].sum() >= 1
    assert times[rows[relevant + others :]].sum() == 0
    for part in (ones, zeros):  # no record of a kind stands in it more than once more than another
        assert np.ptp(times[part]) <= 1


def test_naive_bayes_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    features = sparse.csr_matrix(sparse.random(80, 300, density=0.03, random_state=0))  # columns of few values or none
    relevant = rng.random(80) < 0.4
    times = rng.integers(0, 4, 80)
    times[60:] = 0
    ours = NaiveBayes(features, 0.3).scores(times, relevant)[60:]
    theirs = MultinomialNB(alpha=0.3, fit_prior=False).fit(features, relevant, sample_weight=times)
    odds = np.diff(theirs.predict_joint_log_proba(features[60:]), axis=1).ravel()
    np.testing.assert_allclose(ours - ours[0], odds - odds[0], atol=1e-9)
    assert np.ptp(odds) > 0.1


def test_logistic_regression_takes_repeated_records_as_weights() -> None:
    rng = np.random.default_rng(1)
    features, relevant = rng.normal(size=(40, 5)), rng.random(40) < 0.5
    times = rng.integers(0, 3, 40)
    ours = Logistic(features, c=0.7, weight=3.0, seed=0).scores(times, relevant)
    rows = np.repeat(np.arange(40), times)
    theirs = LogisticRegression(solver="liblinear", C=0.7, class_weight={False: 1, True: 3}, tol=1e-8)
    np.testing.assert_allclose(ours, theirs.fit(features[rows], relevant[rows]).decision_function(features), atol=0.02)


def test_naive_bayes_refuses_sentence_vectors() -> None:
    with pytest.raises(UsageError, match="naive Bayes counts words"):
        NaiveBayes(np.array([[0.5, -0.5]]), 1.0)


def test_fields_side_by_side() -> None:
    review = made_up_review(20, 5)
    together = features_of(review, Learner(ngram_max=2))
    apart = features_of(review, Learner(ngram_max=2, split_fields=True))
    assert apart.shape == (20, 2 * together.shape[1])


@pytest.mark.parametrize(
    "learner", [Learner(), Learner(classifier="lr", batch=5), Learner(ngram_max=2, split_fields=True)]
)
def test_it_beats_a_random_order(learner: Learner) -> None:
    review = made_up_review()
    found = simulate(review, learner, starts=3)
    n, relevant = len(review) - 2, int(review.included.sum()) - 1
    for ranks in found:
        assert len(ranks) == relevant
        assert ranks.min() >= 1
        assert ranks.max() <= n
        saved = list_measures(ranks, n)["WSS@95"]
        rng = np.random.default_rng(0)
        by_chance = [list_measures(1 + rng.choice(n, relevant, replace=False), n)["WSS@95"] for _ in range(200)]
        assert saved > max(by_chance)


def test_a_start_is_fixed_by_its_seed_and_number() -> None:
    review = made_up_review()
    three = simulate(review, Learner(), starts=3, seed=5)
    again = simulate(review, Learner(), starts=2, seed=5)
    for one, other in zip(three, again, strict=False):
        assert one.tolist() == other.tolist()
    assert three[0].tolist() != three[1].tolist()
    other_seed = simulate(review, Learner(), starts=2, seed=6)
    assert [ranks.tolist() for ranks in other_seed] != [ranks.tolist() for ranks in again]


def test_processes_do_not_change_the_figures() -> None:
    review = made_up_review(60, 8)
    told: list[int] = []
    alone = simulate(review, Learner(), starts=2)
    spread = simulate(review, Learner(), starts=2, jobs=2, on_start=told.append)
    assert [ranks.tolist() for ranks in alone] == [ranks.tolist() for ranks in spread]
    assert told == [0, 1]


def test_what_cannot_be_read() -> None:
    review = made_up_review(20, 1)
    with pytest.raises(DataError, match="at least 2 records of each decision"):
        simulate(review, Learner(), starts=1)
    with pytest.raises(UsageError, match="starts = 0"):
        simulate(made_up_review(20, 5), Learner(), starts=0)


def test_published_settings_are_learners() -> None:
    assert tuned_learners("ace")["NB + TF-IDF"].ngram_max == 2
    assert tuned_learners("nudging")["LR + TF-IDF"].classifier == "lr"
    assert tuned_learners("another") == {}


def test_published_results(tmp_path: Path) -> None:
    assert published_results(tmp_path) == []
    path = tmp_path / "published_results.json"
    path.write_text(
        '[{"dataset": "a", "model": "NB", "wss": {"95": 1, "99": 2, "100": 3}, "rrf": {"5": 4, "10": 5, "20": 6}, '
        '"loss": 0.07}]',
        encoding="utf-8",
    )
    (given,) = published_results(tmp_path)
    assert given.measures["WSS@99"] == 2
    assert given.measures["ATD"] == pytest.approx(7)
    path.write_text('[{"dataset": "a"}]', encoding="utf-8")
    with pytest.raises(DataError, match="is not a list of results"):
        published_results(tmp_path)
