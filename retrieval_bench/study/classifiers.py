"""Classifiers that say which unread record is most likely relevant, refitted after every record that is read."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from retrieval_bench.errors import UsageError
from retrieval_bench.quality.judged import BoolArray, Float64Array
from retrieval_bench.types import IntArray

Features = sparse.csr_matrix | npt.NDArray[np.floating]


class Classifier(Protocol):
    """Scores records after a sample of them."""

    def scores(self, times: IntArray, relevant: BoolArray) -> Float64Array:
        """Higher is more likely relevant.

        Args:
            times: (n,) how often each record stands in the training sample; both classes are in it.
            relevant: (n,) labels; read only where ``times`` is not 0.

        Returns:
            (n,) scores, meaningful where ``times`` is 0.
        """


class NaiveBayes:
    """The log odds of multinomial naive Bayes (scikit-learn's ``MultinomialNB``), up to a constant.

    Written out, because the study refits it after every record, over a million word sequences most of which stand in
    one record only. In the odds of an unread record such a sequence counts through the length of the record alone, so
    its column is summed up beforehand: the same order at a fraction of the work. The prior moves all odds alike.

    Args:
        features: (n, f) non-negative.
        alpha: additive smoothing.

    Raises:
        UsageError: features below 0, such as sentence vectors.
    """

    def __init__(self, features: Features, alpha: float) -> None:
        matrix = sparse.csr_matrix(features, dtype=np.float64)
        if matrix.nnz and matrix.data.min() < 0:
            raise UsageError("naive Bayes counts words and needs features of 0 or more: take 'tfidf' or another model")
        shared = np.flatnonzero(matrix.getnnz(axis=0) > 1)
        self._lengths = np.asarray(matrix.sum(axis=1)).ravel()
        self._shared = sparse.csr_matrix(matrix[:, shared])
        self._by_column = sparse.csr_matrix(self._shared.T)
        self._alpha, self._columns = alpha, matrix.shape[1]

    def scores(self, times: IntArray, relevant: BoolArray) -> Float64Array:
        """See ``Classifier``."""
        odds, offset = np.zeros(self._shared.shape[1]), 0.0
        for sign, weights in ((1, times * relevant), (-1, times * ~relevant)):
            odds += sign * np.log(self._by_column @ weights + self._alpha)
            offset += sign * np.log(self._lengths @ weights + self._alpha * self._columns)
        return np.asarray(self._shared @ odds - self._lengths * offset)


class Logistic:
    """Regularised logistic regression (liblinear, as ASReview has it).

    Args:
        features: (n, f) sparse or dense.
        c: inverse strength of the regularisation.
        weight: what an error on a relevant record costs, in errors on others.
        seed: of the solver.
    """

    def __init__(self, features: Features, *, c: float, weight: float, seed: int) -> None:
        self._features = features
        self._model = LogisticRegression(
            solver="liblinear", C=c, class_weight={False: 1.0, True: weight}, random_state=seed
        )

    def scores(self, times: IntArray, relevant: BoolArray) -> Float64Array:
        """See ``Classifier``."""
        rows = np.flatnonzero(times)
        self._model.fit(self._features[rows], relevant[rows], sample_weight=times[rows])
        return np.asarray(self._model.decision_function(self._features), np.float64)
