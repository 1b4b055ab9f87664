"""Merge whole frames, then patches inside each frame: TESTA."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..matching import match
from ..merge import Merge
from ..partition import uniform
from ..strategies import Context
from ..tiled import TILE, normalised


@dataclass(frozen=True)
class TimeSpace:
    """Merge the frames that are most alike, place by place; then merge patches of one frame, in every frame by itself.

    Frames are matched as ToMe's tokens, every second one a target, by the cosines of all their places together; TESTA
    (Ren et al., EMNLP Findings 2023) lets every place vote for a frame. time: the share of R that goes into whole
    frames, as many as fit, up to half of them. The rest of R is spread over the frames that are left: one token of each
    stays, and of the others everywhere the same share. Inside a frame it is ToMe's match, with half of the tokens as
    targets, or only as many as stay, where that is fewer.

    Frames are merged on whole grids only: after a first merge tokens are no longer at the same places in every frame,
    and patches are all that is merged. Where fewer tokens stay than there are frames, they are matched over all frames.
    It fails on a moving camera: places of two frames then show different things.
    """

    time: float = 0.5

    source = "TESTA (2310.19060, EMNLP Findings 2023)"
    cost = "at most 2 T (n - T) D"

    def __post_init__(self) -> None:
        if not 0 <= self.time <= 1:
            raise ValueError(f"time is {self.time}; it is the share of R that merges frames, from 0 to 1.")

    def __call__(self, context: Context) -> Merge:
        first = self._frames(context)
        frame = context.frame.gather(1, first.keep)
        return first.then(within_frames(first(context.keys, context.size), frame, context.n_keep))

    def _frames(self, c: Context) -> Merge:
        places = c.height * c.width
        gone = min(int(self.time * c.n_merge / places), c.frames // 2)
        if gone == 0 or c.n != c.frames * places:
            return Merge.identity(len(c.keys), c.n, c.device)
        unit = normalised(c.keys.to(torch.promote_types(c.keys.dtype, torch.float32), copy=True))[0]
        merge = match(unit.view(len(unit), c.frames, -1), uniform(c.frames, 2, offset=1, device=c.device), gone)
        into = merge.into[:, :, None] * places + torch.arange(places, device=c.device)
        return Merge.of(into.flatten(1), n_out=c.n - gone * places)

    @staticmethod
    def flops(n: int, n_targets: int, dim: int) -> int:
        """At most, where all sources merge: of their product with all targets, in one frame."""
        return 2 * n_targets * (n - n_targets) * dim

    @staticmethod
    def memory(n: int, n_targets: int, dim: int) -> int:
        """At most: the tile of scores, the unit keys, and the keys of merged frames."""
        return 4 * (min(TILE["cpu"], n_targets * (n - n_targets)) + 2 * n * dim)


def within_frames(keys: Tensor, frame: Tensor, n_keep: int) -> Merge:
    """Merge n tokens, keys (B, n, D) in frames (B, n), to n_keep, each into one of its own frame."""
    batch, n = frame.shape
    frame = frame - frame.amin(1, keepdim=True)
    into = torch.arange(n, device=keys.device).repeat(batch, 1)
    held = frame.new_zeros(batch, int(frame.max()) + 1).scatter_add(1, frame, torch.ones_like(frame))
    frames = (held > 0).sum(1, keepdim=True)
    # Differences of whole numbers that end at n_keep - frames: they add up to it.
    share = (held - 1).clamp(min=0).cumsum(1) * (n_keep - frames) // (n - frames).clamp(min=1)
    left = share.diff(dim=1, prepend=torch.zeros_like(frames)) + (held > 0)

    order, start = frame.argsort(dim=1, stable=True), held.cumsum(1) - held
    few = frames > n_keep
    if bool(few.any()):  # as if all were one frame
        held = torch.where(few, 0, held)
        held[:, :1] = torch.where(few, n, held[:, :1])
        left[:, :1] = torch.where(few, n_keep, left[:, :1])
    alike = held * (n + 1) + left
    for kind in alike[held > left].unique().tolist():  # frames that hold, and keep, equally many
        n_here, n_left = divmod(kind, n + 1)
        item, which = (alike == kind).nonzero(as_tuple=True)
        place = order[item[:, None], start[item, which][:, None] + torch.arange(n_here, device=keys.device)]
        count = min(n_left, (n_here + 1) // 2)
        targets = uniform(n_here, n_here / count, offset=1, device=keys.device)
        merge = match(keys[item[:, None], place], targets, n_here - n_left)
        into[item[:, None], place] = place.gather(1, merge.into)
    return Merge.of(into, n_out=n_keep)
