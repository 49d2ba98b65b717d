"""Kernel pooling over the similarities of a question's and a document's words: K-NRM and Conv-KNRM.

Xiong, Dai, Callan, Liu and Power, SIGIR 2017 (arXiv 1706.06613); Dai, Xiong, Callan and Liu, WSDM 2018. Departures from
the papers, because here hundreds of questions teach and not millions: word vectors are those of a trained encoder and
stay as they are, behind a learned projection; the scaled score of the first stage is one more feature; soft counts go
through log(1 + x), which starts at 0 and not at log(1e-10); no tanh.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name it goes by

_EXACT_WIDTH, _WIDTH = 1e-3, 0.1
_NOWHERE = 100.0  # a likeness that no kernel counts


class KernelNet(nn.Module):
    """Scores of pairs of token sequences.

    Args:
        vectors: (v, d) word vectors; row 0 is padding and matches nothing.
        ngrams: 1 is K-NRM; 3 is Conv-KNRM, whose n-grams of all lengths are matched across.
        filters: dimensions after projection or convolution.
        kernels: soft-match kernels between -1 and 1, besides the exact one.
    """

    def __init__(self, vectors: Tensor, *, ngrams: int, filters: int, kernels: int) -> None:
        super().__init__()
        self._vectors = vectors
        self.views = nn.ModuleList(nn.Conv1d(vectors.shape[1], filters, n, bias=False) for n in range(1, ngrams + 1))
        for view in self.views:
            nn.init.orthogonal_(view.weight)  # type: ignore[arg-type]  # near to the vectors' own cosines
        self.score = nn.Linear((kernels + 1) * ngrams**2 + 1, 1, bias=False)
        with torch.no_grad():  # before it has learned anything it ranks as the first stage does
            self.score.weight.zero_()
            self.score.weight[0, -1] = 1
        step = 2 / kernels
        centres = [1.0, *(1 - step / 2 - i * step for i in range(kernels))]
        widths = [_EXACT_WIDTH] + [_WIDTH] * kernels
        self._kernels = [(centre, -1 / (2 * width**2)) for centre, width in zip(centres, widths, strict=True)]

    def forward(self, queries: Tensor, documents: Tensor, first: Tensor) -> Tensor:
        """(b,) scores.

        Args:
            queries: (b, q) token numbers, 0 pads.
            documents: (b, t) likewise.
            first: (b,) scaled scores of the first stage.
        """
        asked, held = self._views(queries), self._views(documents)
        features = [self._pooled(a, h, queries != 0, documents != 0) for a in asked for h in held]
        scores: Tensor = self.score(torch.cat([*features, first[:, None]], dim=1))
        return scores.squeeze(1)

    def _views(self, tokens: Tensor) -> list[Tensor]:
        """For each view (b, length, filters) unit vectors of the n-grams that start at each token.

        A word's vector is the same wherever it stands, so the products of a convolution are made once for each word.
        """
        words, places = torch.unique(tokens, return_inverse=True)
        vectors, found = self._vectors[words] * (words != 0).unsqueeze(1), []
        for view in self.views:
            products = torch.einsum("wd,fdn->nwf", vectors, view.weight)
            total = products[0][places]
            for shift, product in enumerate(products[1:], 1):
                total = total + F.pad(product[places[:, shift:]], (0, 0, 0, min(shift, tokens.shape[1])))
            found.append(F.normalize(total, dim=2))
        return found

    def _pooled(self, asked: Tensor, held: Tensor, real_asked: Tensor, real_held: Tensor) -> Tensor:
        """(b, kernels + 1) log of soft counts, summed over the question's words."""
        likeness = (asked @ held.transpose(1, 2)).masked_fill(~real_held[:, None, :], _NOWHERE)
        # One kernel after the other: what all of them hold of a batch together does not stay in the cache.
        soft = [torch.exp((likeness - centre).square() * scale).sum(2) for centre, scale in self._kernels]
        counts = torch.stack(soft, 2).log1p()
        return (counts * real_asked.unsqueeze(-1)).sum(dim=1)
