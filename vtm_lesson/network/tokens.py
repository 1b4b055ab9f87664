"""Tokens on their way through the network: what travels with them, and how they are cut into chunks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..merging.camera import relative_motion
from ..merging.merge import Merge, where_true
from ..merging.partition import Grid, is_whole
from ..merging.strategies import Context, Reducer, is_ragged, reduce
from .ledger import ChunkRun, Segments


@dataclass
class Tokens:
    """The tokens of B videos, and all that travels with them through every merge.

    x: (B, N, C), in order of time. grid: frames, height, width of the video. segments: (frames, tokens) of the
    stretches that later chunks are made of. position: (B, N) int64, the patch that the token continues. size: (B, N)
    float32, how many patches it stands for. motion, oracle, relative: (B, N) or None, means over those patches.
    aux: (B, N, C) or None, the tokens of the auxiliary path.
    pixels: (B, L * H * W, P) or None, of all patches of the video: they do not merge.
    present: (B, N) bool, or None where all are tokens: false for what fills up shorter videos, after a reducer that
    keeps a different number in each. gate: (B, N) or None, as how many tokens each counts, in training with gradients
    through the choice (`network.choosing`); None: as one each.
    """

    x: Tensor
    grid: Grid
    segments: Segments
    position: Tensor
    size: Tensor
    motion: Tensor | None = None
    oracle: Tensor | None = None
    relative: Tensor | None = None
    aux: Tensor | None = None
    present: Tensor | None = None
    pixels: Tensor | None = None
    gate: Tensor | None = None

    @staticmethod
    def start(
        x: Tensor,
        motion: Tensor | None = None,
        oracle: Tensor | None = None,
        grid: Grid | None = None,
        vectors: Tensor | None = None,
        pixels: Tensor | None = None,
    ) -> Tokens:
        """From an encoder's tokens: (B, L, H, W, C), or (B, N, C) with its grid (L, H, W).

        Motion relative to the camera follows from the vectors, (B, L, H, W, 2). pixels: (B, L, H, W, P), of any P.
        """
        given = {"tokens": x, "motion": motion, "oracle": oracle, "vectors": vectors, "pixels": pixels}
        for name, value in given.items():
            if not isinstance(value, Tensor) and (value is not None or name == "tokens"):
                raise ValueError(f"{name}: give a tensor, not a {type(value).__name__}; torch.as_tensor makes one.")
        if not x.is_floating_point():
            raise ValueError(f"tokens have dtype {x.dtype}; a network needs a floating-point one: use tokens.float().")
        if grid is not None:
            grid = _checked_grid(grid)
        if x.dim() == 5 and grid is None:
            grid = (x.shape[1], x.shape[2], x.shape[3])
            x = x.flatten(1, 3)
        if x.dim() != 3 or grid is None or x.shape[1] != math.prod(grid) or 0 in x.shape:
            raise ValueError(
                f"tokens have shape {tuple(x.shape)}, grid {grid}; give (B, L, H, W, C), or (B, N, C) and its grid"
                " (L, H, W) with N = L * H * W."
            )
        batch, n, _ = x.shape
        if vectors is not None and tuple(vectors.shape) != (batch, *grid, 2):
            raise ValueError(f"vectors have shape {tuple(vectors.shape)}; these tokens need {(batch, *grid, 2)}.")
        relative = None if vectors is None else relative_motion(vectors.to(x.device))
        extra = {"motion": motion, "oracle": oracle, "relative": relative}
        for name, value in extra.items():
            if value is None:
                continue
            if tuple(value.shape) not in {(batch, *grid), (batch, n)}:
                raise ValueError(f"{name} has shape {tuple(value.shape)}; these tokens need {(batch, *grid)}.")
            extra[name] = value.reshape(batch, n).to(x.device, torch.float32)
        if pixels is not None:
            if tuple(pixels.shape[:-1]) != (batch, *grid):
                raise ValueError(f"pixels have shape {tuple(pixels.shape)}; these tokens need {(batch, *grid)} and P.")
            pixels = pixels.flatten(1, 3).to(x.device)
        position = torch.arange(n, device=x.device).expand(batch, n)
        segments = ((1, grid[1] * grid[2]),) * grid[0]
        return Tokens(x, grid, segments, position, torch.ones(batch, n, device=x.device), **extra, pixels=pixels)

    def known(self, wanted: Sequence[str] = ()) -> dict[str, Tensor | None]:
        """What a Context says of each token, by its names there: (B, N) each, or None.

        wanted: what a reducer asks for (`strategies.signals`); with "pixels" among it those of the patch that each
        token continues, (B, N, P).
        """
        names = ("position", "size", "motion", "oracle", "relative")
        values = {name: getattr(self, name) for name in names}
        if "pixels" in wanted and self.pixels is not None:
            place = self.position[..., None].expand(-1, -1, self.pixels.shape[-1])
            values["pixels"] = self.pixels.gather(1, place)
        return values

    def weight(self, average: str) -> Tensor | None:
        """What each token counts in an average: (B, N), or None for "plain", where all count the same."""
        weight = {"plain": None, "size": self.size, "motion": self.motion}[average]
        if self.gate is None or weight is None:
            return weight if self.gate is None else self.gate
        return weight * self.gate

    def merged(self, merge: Merge, average: str = "plain", x: Tensor | None = None) -> Tokens:
        """After a merge: everything is averaged, sizes add up, positions are those of the tokens that survive.

        x: (B, M, C'), the merged tokens, where they are known already.
        """
        if merge.is_identity:
            return self if x is None else replace(self, x=x)
        means: dict[str, Any] = {
            name: merge.mean(value[..., None])[..., 0]
            for name in ("motion", "oracle", "relative")
            if (value := getattr(self, name)) is not None
        }
        position = self.position.gather(1, merge.keep)
        x = merge(self.x, self.weight(average)) if x is None else x
        size = merge.size(self.size)
        gate = None if self.gate is None else self.gate.gather(1, merge.keep)
        return replace(self, x=x, position=position, size=size, present=merge.present, gate=gate, **means)

    def mean(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """(B, N, C) -> (B, C): the average over each video's tokens, padding left out; weight: (B, N) or None."""
        if weight is None and self.present is None:
            return x.mean(1)
        lost = None if self.present is None else ~self.present
        whole = Merge(torch.zeros_like(self.position), torch.zeros_like(self.position[:, :1]), lost)
        return whole(x, weight)[:, 0]


class Chunks:
    """Cuts (B, N, C) into chunks that are batch items, and puts them together again.

    Where every chunk of a run has the same number of tokens that is a reshape. With `length`, in frames, chunks are
    found by each token's frame, and the shorter ones are filled up.
    """

    def __init__(self, runs: tuple[ChunkRun, ...], tokens: Tokens, length: int | None = None):
        self.runs, self.batch, self.length = runs, tokens.position.shape[0], length
        if length is None:
            return
        self.frames, height, width = tokens.grid
        chunk = tokens.position // (height * width) // length
        chunk = chunk - chunk[:, :1]  # the tokens may be those of a later part of a video
        here = torch.ones_like(chunk) if tokens.present is None else tokens.present.long()
        self.held = chunk.new_zeros(self.batch, math.ceil(self.frames / length)).scatter_add_(1, chunk, here)
        self.first = self.held.cumsum(1) - self.held
        self.room = int(self.held.max())
        # Absent tokens all go to one spare slot at the end.
        self.spare = self.held.shape[1] * self.room
        slot = chunk * self.room + here.cumsum(1) - 1 - self.first.gather(1, chunk)
        self.index = slot if tokens.present is None else torch.where(tokens.present, slot, self.spare)
        self.order = here.argsort(dim=1, descending=True, stable=True)  # the tokens that are there, in order of time

    def split(self, x: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        """(B, N, C) -> for each run (B * chunks, n, C), and (B * chunks, n) bool where there is a token, or None."""
        if self.length is None:
            parts = x.split([run.chunks * run.tokens for run in self.runs], dim=1)
            return [(p.reshape(-1, run.tokens, x.shape[-1]), None) for p, run in zip(parts, self.runs, strict=True)]
        dim = x.shape[-1]
        filled = x.new_zeros(self.batch, self.spare + 1, dim)
        filled = filled.scatter(1, self.index[..., None].expand(-1, -1, dim), x)[:, : self.spare]
        # An empty chunk looks at its zeros: a softmax over nothing would be NaN.
        present = torch.arange(self.room, device=x.device) < self.held.clamp(min=1)[..., None]
        return [(filled.reshape(-1, self.room, dim), present.view(-1, self.room))]

    def join(self, parts: list[Tensor]) -> Tensor:
        """The reverse, for the tensors alone. What is absent gets anything."""
        if self.length is None:
            parts = [part.reshape(self.batch, -1, part.shape[-1]) for part in parts]
            return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        flat = parts[0].reshape(self.batch, -1, parts[0].shape[-1])
        return flat.gather(1, self.index.clamp(max=self.spare - 1)[..., None].expand(-1, -1, flat.shape[-1]))

    def alike(self) -> Iterator[tuple[Tensor, Tensor, int]]:
        """Chunks with equally many tokens, together: (k, 1) their videos, (k, n) their tokens' places, their frames.

        So that whoever reduces them sees no padding. Needs `length`; reads counts, for which a GPU waits.
        """
        length = self.length or self.frames
        frames = torch.full_like(self.held[0], length)
        frames[-1] = self.frames - length * (len(frames) - 1)
        kind = self.held * (length + 1) + frames
        for value in kind.unique().tolist():
            n, extent = divmod(value, length + 1)
            if n:
                video, chunk = (kind == value).nonzero(as_tuple=True)
                slot = self.first[video, chunk][:, None] + torch.arange(n, device=kind.device)
                yield video[:, None], self.order[video[:, None], slot], extent


def join_merges(
    batch: int, runs: Sequence[ChunkRun], merges: Sequence[Merge], chosen: Sequence[Tensor]
) -> tuple[Merge, Tensor]:
    """The Merges and targets of all chunks as one Merge and one list of targets of the video."""
    group: list[Tensor] = []
    keep: list[Tensor] = []
    targets: list[Tensor] = []
    dropped: list[Tensor] = []
    weight: list[Tensor] = []
    start, left = 0, 0
    for run, merge, picked in zip(runs, merges, chosen, strict=True):
        number = torch.arange(run.chunks, device=picked.device)[:, None]
        first_in, first_out = start + number * run.tokens, left + number * run.left
        for parts, values, first in (
            (group, merge.group, first_out),
            (keep, merge.keep, first_in),
            (targets, picked, first_in),
        ):
            parts.append((values.view(batch, run.chunks, -1) + first).flatten(1))
        lost = torch.zeros_like(merge.group, dtype=torch.bool) if merge.dropped is None else merge.dropped
        dropped.append(lost.view(batch, -1))
        counts = torch.ones_like(merge.group, dtype=torch.float32) if merge.weight is None else merge.weight.float()
        weight.append(counts.view(batch, -1))
        start, left = start + run.chunks * run.tokens, left + run.chunks * run.left
    any_dropped = any(merge.dropped is not None for merge in merges)
    any_weight = any(merge.weight is not None for merge in merges)
    whole = Merge(
        torch.cat(group, 1),
        torch.cat(keep, 1),
        torch.cat(dropped, 1) if any_dropped else None,
        weight=torch.cat(weight, 1) if any_weight else None,
        norm=any(merge.norm for merge in merges),
    )
    return whole, torch.cat(targets, 1)


def reduce_alike(
    reducer: Reducer, tokens: Tokens, chunks: Chunks, context: Callable[[Tensor, Tensor, int], Context]
) -> tuple[Merge, Tensor]:
    """Reduce chunks that hold different numbers of tokens, so that the reducer sees no padding.

    context(videos (k, 1), places (k, n), frames) makes the Context of k chunks with equally many tokens. Returns the
    Merge and the targets (B, T), the last one repeated where videos differ; of a reducer without, what it keeps.
    """
    batch, n = tokens.position.shape
    into = torch.arange(n, device=tokens.position.device).repeat(batch, 1)
    dropped = torch.zeros_like(into, dtype=torch.bool) if tokens.present is None else ~tokens.present
    is_target, chosen = torch.zeros_like(into, dtype=torch.bool), False
    weight, weighted, norm = torch.ones_like(into, dtype=torch.float32), False, False
    for video, place, frames in chunks.alike():
        here = context(video, place, frames)
        if here.n_keep == here.n and not is_ragged(reducer):
            continue
        merge = reduce(reducer, here)
        into[video, place] = place.gather(1, merge.into)
        if here.targets is not None:
            is_target[video, place.gather(1, here.targets)], chosen = True, True
        if merge.dropped is not None:
            dropped[video, place] = merge.dropped
        if merge.weight is not None:
            weight[video, place], weighted = merge.weight.float(), True
        norm |= merge.norm
    if tokens.present is not None:  # what is absent takes weight 0 in some group
        first = tokens.present.long().argmax(1, keepdim=True)
        into = torch.where(tokens.present, into, into.gather(1, first))
    lost = dropped if bool(dropped.any()) else None
    merge = Merge.of(into, lost, weight=weight if weighted else None, norm=norm)
    return merge, where_true(is_target) if chosen else merge.keep


def _checked_grid(grid: Grid) -> Grid:
    """The grid as three ints, or a ValueError."""
    try:
        sides = tuple(grid)
    except TypeError:
        sides = ()
    if len(sides) != 3 or not all(is_whole(side) and side >= 1 for side in sides):
        raise ValueError(
            f"grid is {grid!r}; give (L, H, W), the frames, rows and columns of the tokens, each 1 or more."
        )
    frames, height, width = map(int, sides)
    return frames, height, width
