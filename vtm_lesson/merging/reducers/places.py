"""No reducer, but what several share: which tokens lie at the same place of the frame, and who stands for the dropped.

After a first merge tokens are no full grid. A token's place is that of the patch it continues; at a place some frames
have a token and others have none.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..merge import Merge
from ..strategies import Context
from ..tiled import normalised


def unit_keys(context: Context) -> Tensor:
    """(B, n, D), of length 1 (zeros stay zeros), in float32 or better."""
    keys = context.keys
    return normalised(keys.to(torch.promote_types(keys.dtype, torch.float32), copy=True))[0]


def cosine(unit: Tensor, other: Tensor) -> Tensor:
    """(B, n): of every token with token other[:, i] of its item, and 0 where that is -1; unit (B, n, D) keys."""
    place = other.clamp(min=0)[..., None].expand_as(unit)
    return torch.where(other < 0, 0, (unit * unit.gather(1, place)).sum(-1))


def before(context: Context) -> Tensor:
    """(B, n) int64: the last earlier token of the chunk at the same row and column, -1 where there is none.

    On a full grid that is the token one frame before.
    """
    order, same = _by_place(context)
    earlier = torch.where(same, order.roll(1, dims=1), -1)
    return torch.empty_like(order).scatter(1, order, earlier)


def by_frame(context: Context) -> tuple[Tensor, Tensor]:
    """Frames counted from the chunk's first token, (B, n); and who is where, (B, F, H * W): a token, or -1 for none."""
    frame = context.frame - context.frame.amin(1, keepdim=True)
    places = context.height * context.width
    batch, n = frame.shape
    order = torch.arange(n, device=frame.device).expand(batch, n)
    table = frame.new_full((batch, context.frames * places), -1)
    table = table.scatter(1, frame * places + context.position % places, order)
    return frame, table.view(batch, context.frames, places)


def last_before(keeps: Tensor) -> Tensor:
    """(B, n) bool -> (B, n): the last kept token at or before each, the first kept one where there is none."""
    order = torch.arange(keeps.shape[1], device=keeps.device).expand_as(keeps)
    into = torch.where(keeps, order, -1).cummax(1).values
    first = torch.where(keeps, order, order[:, -1:]).amin(1, keepdim=True)
    return torch.where(into < 0, first, into)


def kept_where(keeps: Tensor, context: Context, average: bool = False, n_out: int | None = None) -> Merge:
    """The Merge that keeps some tokens, (B, n) bool, and gives each other one to the last kept before it at its place.

    Where none was kept there before, to the next one there; and where none is, to the last kept before it anywhere.
    average: the others count in their group's average; if not they are dropped, and only drawn and unmerged with it.
    """
    order, same = _by_place(context)
    n = context.n
    step = torch.arange(n, device=order.device).expand_as(order)
    first = torch.where(same, 0, step).cummax(1).values  # where the run of its place begins, and ends
    last = torch.where(same.roll(-1, 1).index_fill(1, step[0, -1:], False), n, step).flip(1).cummin(1).values.flip(1)
    kept = keeps.gather(1, order)
    earlier = torch.where(kept, step, -1).cummax(1).values
    later = torch.where(kept, step, n).flip(1).cummin(1).values.flip(1)
    found = torch.where(earlier >= first, earlier, torch.where(later <= last, later, -1))
    there = torch.where(found < 0, -1, order.gather(1, found.clamp(min=0)))
    into = torch.empty_like(order).scatter(1, order, there)
    into = torch.where(into < 0, last_before(keeps), into)
    return Merge.of(into, None if average else ~keeps, n_out)


def _by_place(context: Context) -> tuple[Tensor, Tensor]:
    """Tokens in order of place, then of time, (B, n); and whether each lies where the one before in that order does."""
    places = context.height * context.width
    place = context.position % places
    frame = context.frame - context.frame.amin(1, keepdim=True)
    order = (place * context.frames + frame).argsort(dim=1, stable=True)
    place = place.gather(1, order)
    same = place == place.roll(1, dims=1)
    return order, same.index_fill(1, torch.zeros(1, dtype=torch.int64, device=same.device), False)
