"""Texts of like length through a model together: as many as the device holds, gathered without waiting for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch

from retrieval_bench.errors import DataError, DeviceMemoryError
from retrieval_bench.types import FloatArray, IntArray

_WAITING = {"cuda": 16}  # batches whose results are still on the device; a CPU has nothing to overlap with

Work = Callable[[list[int], bool], torch.Tensor]


class Batches:
    """Runs a model over rows in batches of a number of padded tokens.

    A batch that does not fit into the device's memory is halved, and later ones keep to the size that fits.

    Args:
        device: on which the model is.
        budgets: padded tokens of a batch, by kind of device; other kinds have that of ``cpu``.
        what: names the model in notes and errors.
        notes: one line for each thing that did not go as asked; added to.

    Attributes:
        budget: padded tokens of a batch; a longer text is a batch by itself.
    """

    def __init__(self, device: torch.device, budgets: Mapping[str, int], what: str, notes: list[str]) -> None:
        self.budget = budgets.get(device.type, budgets["cpu"])
        self.notes = notes
        self._device, self._what = device, what

    def run(
        self, lengths: IntArray, work: Work, *, half: bool, waiting: int | None = None
    ) -> Iterator[tuple[list[int], FloatArray]]:
        """Results of all rows, in batches from the longest rows to the shortest: a lack of memory shows at once.

        Args:
            lengths: (n,) tokens of each row.
            work: gives the result of rows as a tensor on the device; True asks for float32.
            half: whether the model is in half precision, so that float32 may help where numbers overflow.
            waiting: batches whose results may stay on the device; None chooses.

        Yields:
            Rows, and their result as float32.

        Raises:
            DeviceMemoryError: one row alone does not fit.
            DataError: a result holds NaN or infinity, in float32 as well.
        """
        order = np.argsort(-lengths, kind="stable").tolist()
        most = waiting or _WAITING.get(self._device.type, 1)
        done: list[tuple[list[int], torch.Tensor]] = []
        start = 0
        while start < len(order):
            rows = order[start : start + self._size(int(lengths[order[start]]))]
            fits = True
            try:
                done.append((rows, work(rows, False)))
                start += len(rows)
            except torch.OutOfMemoryError as error:
                self._halve(len(rows), int(lengths[rows[0]]), error)
                fits = False
            if not fits or len(done) == most:
                yield from self._fetched(done, lengths, work, half=half)
                done = []
            if not fits and self._device.type == "cuda":  # what the failed call held is free now that its frames ended
                torch.cuda.empty_cache()
        yield from self._fetched(done, lengths, work, half=half)

    def _size(self, longest: int) -> int:
        return max(1, self.budget // max(1, longest))

    def _halve(self, rows: int, longest: int, error: torch.OutOfMemoryError) -> None:
        if rows == 1:
            raise DeviceMemoryError(
                f"{self._what}: a text of {longest:,} tokens alone does not fit into the device's memory "
                f"({str(error).strip().partition('. ')[0]}); lower max_length, or use device='cpu'"
            ) from error
        tokens = rows * max(1, longest)
        self.budget = min(self.budget, tokens // 2)
        self.notes.append(
            f"{self._what}: {tokens:,} padded tokens at once do not fit on the device; a batch has {self.budget:,} now."
        )

    def _fetched(
        self, done: list[tuple[list[int], torch.Tensor]], lengths: IntArray, work: Work, *, half: bool
    ) -> Iterator[tuple[list[int], FloatArray]]:
        for rows, tensor in done:
            values: FloatArray = tensor.float().cpu().numpy()
            if np.isfinite(values).all():
                yield rows, values
            elif not half:
                raise DataError(
                    f"{self._what}: gave NaN or infinity in float32 for a text among {len(rows)} of at most "
                    f"{lengths[rows[0]]:,} tokens; its weights are damaged or not of this model"
                )
            else:
                again = f"{self._what}: half precision overflowed; texts that did so were computed again in float32."
                if again not in self.notes:
                    self.notes.append(again)
                yield from self._again(rows, lengths, work)

    def _again(self, rows: list[int], lengths: IntArray, work: Work) -> Iterator[tuple[list[int], FloatArray]]:
        def wide(part: list[int], _: bool) -> torch.Tensor:
            return work([rows[i] for i in part], True)

        for part, values in self.run(lengths[rows], wide, half=False):
            yield [rows[i] for i in part], values
