"""Keep the tokens of highest score: dropping without chance."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .. import partition as P
from ..merge import Merge
from ..strategies import SIGNALS, Context, needed
from .places import last_before

SCORES = tuple(name for name in SIGNALS if name not in ("pixels", "depth"))


@dataclass(frozen=True)
class Top:
    """Keep the n - R tokens of highest score, ties to the lower position, and drop the others.

    signal: the score, one of `SCORES`: "attention", how much attention a token received; "saliency", "motion",
    "relative", "entropy" or "oracle". As EViT (Liang et al., ICLR 2022) keeps tokens by the class token's attention,
    without its fused token. Dropped tokens belong to the group of the last kept one before them, as with `drop`.

    It fails where many tokens with a high score say the same: it keeps them all, and no other.
    """

    signal: str = "attention"

    source = "EViT (2202.07800, ICLR 2022), without fusion"
    cost = "0"

    def __post_init__(self) -> None:
        if self.signal not in SCORES:
            raise ValueError(f"signal is {self.signal!r}; it is one of {', '.join(SCORES)}.")

    def __call__(self, context: Context) -> Merge:
        score = needed(context, self.signal, f"keeping the top by {self.signal}")
        kept = P.top(score, context.gamma, context.n_keep)
        keeps = torch.zeros_like(context.size, dtype=torch.bool).scatter(1, kept, True)
        return Merge.of(last_before(keeps), dropped=~keeps, n_out=context.n_keep)

    @staticmethod
    def flops(n: int, n_targets: int, dim: int) -> int:
        """Nothing is matched. What attention looks at is counted by the network."""
        return 0
