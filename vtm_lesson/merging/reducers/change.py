"""Keep the tokens that changed most since the frame before: efficient video sampling."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..merge import Merge
from ..partition import top
from ..strategies import Context
from .places import before, cosine, kept_where, unit_keys


@dataclass(frozen=True)
class Change:
    """Keep the n - R tokens with the largest u = 1 - cosine of their keys with the token one frame before.

    The first token at a place comes before all others; ties go to the lower position. As EVS (2510.14624, 2025), whose
    budget is at least one frame: below it, here the first patches of the first frame stay alone. After earlier merges
    "one frame before" is the last token there. A dropped token belongs to the group of the last kept one at its place.

    average: the dropped count in that group's average. It fails on a cut, which spends the budget on one frame, and on
    slow change, as neighbours are compared.
    """

    average: bool = False

    source = "EVS (2510.14624, 2025)"
    cost = "2 n D"

    def __call__(self, context: Context) -> Merge:
        earlier = before(context)
        u = torch.where(earlier < 0, torch.inf, 1 - cosine(unit_keys(context), earlier))
        kept = top(u, context.gamma, context.n_keep)
        keeps = torch.zeros_like(u, dtype=torch.bool).scatter(1, kept, True)
        return kept_where(keeps, context, self.average, context.n_keep)

    @staticmethod
    def flops(n: int, n_targets: int, dim: int) -> int:
        """Of one dot product a token."""
        return 2 * n * dim

    @staticmethod
    def memory(n: int, n_targets: int, dim: int) -> int:
        """The unit keys, and those one frame before."""
        return 8 * n * dim
