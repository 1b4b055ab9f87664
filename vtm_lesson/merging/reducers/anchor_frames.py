"""Drop frames that are like their neighbours, then tokens that are like those of an anchor frame: LongVU."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..merge import Merge
from ..strategies import Context
from .places import by_frame, cosine, kept_where, unit_keys


@dataclass(frozen=True)
class AnchorFrames:
    """Keep the frames that differ, the first of every few whole, and of the others the tokens that differ from it.

    LongVU (Shen et al., 2410.17434), without its text query, and with thresholds in place of a context's length.
    Frames: in windows of `frame_window`, those whose mean cosine with the window's frames (itself counted) is below
    `frame`, and always the middle one. Tokens: in windows of `window` kept frames, the first is whole; of the others
    stays what has a cosine below `above` with the token at its place in the first, or no token there.

    Two frames' cosine is that of their unit keys, all places one after the other, zeros where one has no token. frame:
    None is halfway from `above` to 1; the paper has 0.83, and 0.6 for tokens. What is dropped belongs to the group of
    the last kept token at its place. It fails on a moving camera, where nothing is like it was.
    """

    above: float = 0.6
    frame: float | None = None
    frame_window: int = 16
    window: int = 8

    ragged = True
    knob = ("above", -1.0, 1.0)
    source = "LongVU (2410.17434, ICML 2025), without text"
    cost = "2 (W + 1) n D, W = 16"

    def __post_init__(self) -> None:
        for name, value in (("above", self.above), ("frame", self.frame)):
            if value is not None and not -1 <= value <= 1:
                raise ValueError(f"{name} is {value}; it is a cosine, from -1 to 1.")
        if self.frame_window < 1 or self.window < 1:
            raise ValueError(f"frame_window is {self.frame_window}, window {self.window}; both are 1 or more.")

    def __call__(self, context: Context) -> Merge:
        frame, table = by_frame(context)
        unit = unit_keys(context)
        stays = self._frames(unit, table)
        rank = stays.cumsum(1) - 1  # of the kept frames
        order = torch.arange(context.frames, device=frame.device).expand_as(rank)
        # The first kept frame of every window of kept frames, then that of each frame's window.
        lead = stays & (rank % self.window == 0)
        anchor = torch.where(lead, order, -1).cummax(1).values.clamp(min=0)
        of_token = anchor.gather(1, frame)
        place = context.position % (context.height * context.width)
        other = table.flatten(1).gather(1, of_token * table.shape[2] + place)
        differs = (other < 0) | (frame == of_token) | (cosine(unit, other) < self.above)
        return kept_where(stays.gather(1, frame) & differs, context)

    def _frames(self, unit: Tensor, table: Tensor) -> Tensor:
        """(B, F) bool: the frames that stay, of those that have a token."""
        batch, frames, _ = table.shape
        there = (table >= 0).any(2)
        least = (1 + self.above) / 2 if self.frame is None else self.frame
        stays = torch.zeros_like(there)
        for i in range(0, frames, self.frame_window):
            here = slice(i, i + self.frame_window)
            index, held = table[:, here].flatten(1), there[:, here]
            v = unit.gather(1, index.clamp(min=0)[..., None].expand(-1, -1, unit.shape[-1]))
            v = (v * (index >= 0)[..., None]).view(batch, held.shape[1], -1)
            v = v / v.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(v.dtype).tiny)
            count = held.sum(1, keepdim=True)
            mean = (v @ v.mT).sum(2) / count.clamp(min=1)
            middle = held.cumsum(1) - 1 == count // 2
            stays[:, here] = held & ((mean < least) | middle)
        return stays

    @staticmethod
    def flops(n: int, n_targets: int, dim: int) -> int:
        """Of every frame with those of its window of 16, and of a token with the anchor's."""
        return 2 * 17 * n * dim

    @staticmethod
    def memory(n: int, n_targets: int, dim: int) -> int:
        """The unit keys, those of the anchors, and one window of frames."""
        return 12 * n * dim
