"""Tokens on their way through the network: what travels with them, and how they are cut into chunks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..merging.merge import Merge
from ..merging.partition import Grid
from .ledger import ChunkRun, Segments


@dataclass
class Tokens:
    """The tokens of B videos, and all that travels with them through every merge.

    x: (B, N, C), in order of time. grid: frames, height, width of the video. segments: (frames, tokens) of the
    stretches that later chunks are made of. position: (B, N) int64, the patch that the token continues. size: (B, N)
    float32, how many patches it stands for. motion, oracle: (B, N) or None, means over those patches.
    aux: (B, N, C) or None, the tokens of the auxiliary path.
    """

    x: Tensor
    grid: Grid
    segments: Segments
    position: Tensor
    size: Tensor
    motion: Tensor | None = None
    oracle: Tensor | None = None
    aux: Tensor | None = None

    @staticmethod
    def start(
        x: Tensor, motion: Tensor | None = None, oracle: Tensor | None = None, grid: Grid | None = None
    ) -> Tokens:
        """From an encoder's tokens: (B, L, H, W, C), or (B, N, C) with its grid (L, H, W)."""
        if x.dim() == 5 and grid is None:
            grid = (x.shape[1], x.shape[2], x.shape[3])
            x = x.flatten(1, 3)
        if x.dim() != 3 or grid is None or x.shape[1] != math.prod(grid) or 0 in x.shape:
            raise ValueError(
                f"tokens have shape {tuple(x.shape)}, grid {grid}; give (B, L, H, W, C), or (B, N, C) and its grid"
                " (L, H, W) with N = L * H * W."
            )
        batch, n, _ = x.shape
        extra = {"motion": motion, "oracle": oracle}
        for name, value in extra.items():
            if value is None:
                continue
            if tuple(value.shape) not in {(batch, *grid), (batch, n)}:
                raise ValueError(f"{name} has shape {tuple(value.shape)}; these tokens need {(batch, *grid)}.")
            extra[name] = value.reshape(batch, n).to(x.device, torch.float32)
        position = torch.arange(n, device=x.device).expand(batch, n)
        segments = ((1, grid[1] * grid[2]),) * grid[0]
        return Tokens(x, grid, segments, position, torch.ones(batch, n, device=x.device), **extra)

    def weight(self, average: str) -> Tensor | None:
        """What each token counts in an average: (B, N), or None for "plain", where all count the same."""
        return {"plain": None, "size": self.size, "motion": self.motion}[average]

    def merged(self, merge: Merge, average: str = "plain", x: Tensor | None = None) -> Tokens:
        """After a merge: everything is averaged, sizes add up, positions are those of the tokens that survive.

        x: (B, M, C'), the merged tokens, where they are known already and M < N.
        """
        if merge.n_out == merge.n_in:
            return self
        spread = {
            name: None if value is None else merge(value[..., None])[..., 0]
            for name, value in (("motion", self.motion), ("oracle", self.oracle))
        }
        position = self.position.gather(1, merge.keep)
        x = merge(self.x, self.weight(average)) if x is None else x
        return replace(self, x=x, position=position, size=merge.size(self.size), **spread)


class Chunks:
    """Cuts (B, N, C) into chunks that are batch items, and puts them together again.

    Where every chunk of a run has the same number of tokens that is a reshape. With `length` chunks are found by each
    token's frame, and the shorter ones are filled up.
    """

    def __init__(self, runs: tuple[ChunkRun, ...], tokens: Tokens, length: int | None = None):
        self.runs, self.batch, self.index = runs, tokens.position.shape[0], None
        if length is not None:
            frames, height, width = tokens.grid
            chunk = tokens.position // (height * width) // length
            self.held = chunk.new_zeros(self.batch, math.ceil(frames / length))
            self.held.scatter_add_(1, chunk, torch.ones_like(chunk))
            self.room = int(self.held.max())
            first = (self.held.cumsum(1) - self.held).gather(1, chunk)
            self.index = chunk * self.room + torch.arange(chunk.shape[1], device=chunk.device) - first

    def split(self, x: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        """(B, N, C) -> for each run (B * chunks, n, C), and (B * chunks, n) bool where there is a token, or None."""
        if self.index is None:
            parts = x.split([run.chunks * run.tokens for run in self.runs], dim=1)
            return [(p.reshape(-1, run.tokens, x.shape[-1]), None) for p, run in zip(parts, self.runs, strict=True)]
        count, dim = self.held.shape[1], x.shape[-1]
        filled = x.new_zeros(self.batch, count * self.room, dim)
        filled = filled.scatter(1, self.index[..., None].expand(-1, -1, dim), x)
        # An empty chunk looks at its zeros: a softmax over nothing would be NaN.
        present = torch.arange(self.room, device=x.device) < self.held.clamp(min=1)[..., None]
        return [(filled.view(-1, self.room, dim), present.view(-1, self.room))]

    def join(self, parts: list[Tensor]) -> Tensor:
        """The reverse, for the tensors alone."""
        if self.index is None:
            parts = [part.reshape(self.batch, -1, part.shape[-1]) for part in parts]
            return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        flat = parts[0].reshape(self.batch, -1, parts[0].shape[-1])
        return flat.gather(1, self.index[..., None].expand(-1, -1, flat.shape[-1]))


def join_merges(
    batch: int, runs: Sequence[ChunkRun], merges: Sequence[Merge], chosen: Sequence[Tensor]
) -> tuple[Merge, Tensor]:
    """The Merges and targets of all chunks as one Merge and one list of targets of the video."""
    group, keep, targets, start, left = [], [], [], 0, 0
    for run, merge, picked in zip(runs, merges, chosen, strict=True):
        number = torch.arange(run.chunks, device=picked.device)[:, None]
        first_in, first_out = start + number * run.tokens, left + number * run.left
        for parts, values, first in (
            (group, merge.group, first_out),
            (keep, merge.keep, first_in),
            (targets, picked, first_in),
        ):
            parts.append((values.view(batch, run.chunks, -1) + first).flatten(1))
        start, left = start + run.chunks * run.tokens, left + run.chunks * run.left
    return Merge(torch.cat(group, 1), torch.cat(keep, 1)), torch.cat(targets, 1)
