"""Keep a token where the picture changes: run-length tokenization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from ..merge import Merge
from ..strategies import Context, needed
from .places import before, kept_where


@dataclass(frozen=True)
class RunLength:
    """Keep a token if it differs from the one before it at its place by more than a threshold; the first always.

    The difference is the mean over channels of |x_t - x_(t-1)|. on: "keys", where it is divided by the mean |x| of the
    chunk's keys (two that have nothing in common differ by about 1.4), or "pixels", as they are given: RLT (Choudhury
    et al., NeurIPS 2024) keeps above 0.1 of normalised ones. above: the threshold, 0 or more. The others belong to the
    last kept token at their place, a run, and are dropped; average: they count in its average.

    "Before it" is one frame before, or after earlier merges the last token there. It fails on slow change: neighbours
    are compared, so what drifts is never kept; and on a moving camera, where nothing stays.
    """

    above: float = 0.5
    on: Literal["keys", "pixels"] = "keys"
    average: bool = False

    ragged = True
    knob = ("above", 4.0, 0.0)
    source = "RLT (2411.05222, NeurIPS 2024)"
    cost = "0, and n D differences"

    def __post_init__(self) -> None:
        if self.on not in ("keys", "pixels"):
            raise ValueError(f'on is {self.on!r}; it is "keys" or "pixels".')
        if not self.above >= 0:
            raise ValueError(f"above is {self.above}; it is a difference, 0 or more.")

    @property
    def signal(self) -> str | None:
        """The pixels, where those are compared."""
        return "pixels" if self.on == "pixels" else None

    def __call__(self, context: Context) -> Merge:
        x = context.keys if self.on == "keys" else needed(context, "pixels", "comparing pixels")
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        earlier = before(context)
        place = earlier.clamp(min=0)[..., None].expand_as(x)
        change = (x - x.gather(1, place)).abs().mean(-1)
        if self.on == "keys":
            change = change / x.abs().mean((1, 2)).clamp(min=torch.finfo(x.dtype).tiny)[:, None]
        return kept_where((earlier < 0) | (change > self.above), context, self.average)

    @staticmethod
    def flops(n: int, n_targets: int, dim: int) -> int:
        """Nothing is multiplied."""
        return 0

    @staticmethod
    def memory(n: int, n_targets: int, dim: int) -> int:
        """The differences."""
        return 4 * n * dim
