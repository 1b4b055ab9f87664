"""Merging in levels: chunks of chunks, so that no level ever meets more than a few tokens at once.

Level 1 merges every chunk of a few frames to so many tokens. Level 2 puts the tokens of some of these chunks together
and merges them to as many again, and so on, until one chunk is the whole film. Each level has a fraction of the chunks
of the one below, so all levels together cost little more than the first: time grows with the film's length, not with
its square.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .merge import Merge


def chunk_lengths(frames: int, first: int = 6, ratio: int = 6) -> tuple[int, ...]:
    """Frames of a chunk at each level: first, first * ratio, ..., until one chunk holds the whole film.

    Parameters
    ----------
    frames : int
        Of the film.
    first : int, optional
        Frames of a chunk of level 1.
    ratio : int, optional
        How many chunks of a level make one of the next, 2 or more.

    Returns
    -------
    tuple of int
        One number a level.

    Raises
    ------
    ValueError
        For numbers out of range.

    Examples
    --------
    >>> from vtm_lesson.merging.hierarchy import chunk_lengths
    >>> chunk_lengths(3600)
    (6, 36, 216, 1296, 7776)
    """
    if min(frames, first) < 1 or ratio < 2:
        raise ValueError(f"frames is {frames}, first {first}, ratio {ratio}; give 1 or more, 1 or more, 2 or more.")
    lengths = [first]
    while lengths[-1] < frames:
        lengths.append(lengths[-1] * ratio)
    return tuple(lengths)


def most_held(keep: int, levels: int, ratio: int, chunk_tokens: int) -> int:
    """The most tokens that wait at one moment while a film goes by, chunk by chunk.

    Parameters
    ----------
    keep : int
        Tokens that a chunk is merged to, at each level.
    levels, ratio : int
        As in `chunk_lengths`.
    chunk_tokens : int
        Tokens of a chunk of level 1 before it is merged.

    Returns
    -------
    int
        A chunk of level 1 that is about to be merged, and at each further level all but one of the parts of a chunk.

    Examples
    --------
    >>> from vtm_lesson.merging.hierarchy import most_held
    >>> most_held(keep=196, levels=5, ratio=6, chunk_tokens=1176)  # of the 705,600 of an hour
    5096
    """
    return chunk_tokens + (levels - 1) * (ratio - 1) * keep


def side_by_side(merges: Sequence[Merge]) -> Merge:
    """Merges of neighbouring stretches of tokens as one Merge of all of them.

    Parameters
    ----------
    merges : sequence of Merge
        In the order of their tokens, of one batch size.

    Returns
    -------
    Merge
        Applied to the stretches joined, it gives what they give, joined.

    Raises
    ------
    ValueError
        For none, and for merges with padding.

    Examples
    --------
    >>> import torch, vtm_lesson as vtm
    >>> from vtm_lesson.merging.hierarchy import side_by_side
    >>> two = vtm.Merge(torch.tensor([[0, 0]]), torch.tensor([[0]]))
    >>> side_by_side([two, two]).group
    tensor([[0, 0, 1, 1]])
    """
    if not merges or any(merge.count is not None for merge in merges):
        raise ValueError(f"{len(merges)} merges, or some with padding; give one or more without.")
    if len(merges) == 1:
        return merges[0]
    group: list[Tensor] = []
    keep: list[Tensor] = []
    before, after = 0, 0
    for merge in merges:
        group.append(merge.group + after)
        keep.append(merge.keep + before)
        before, after = before + merge.n_in, after + merge.n_out
    dropped, weight = None, None
    if any(merge.dropped is not None for merge in merges):
        none = [torch.zeros_like(merge.group, dtype=torch.bool) for merge in merges]
        dropped = torch.cat([zero if m.dropped is None else m.dropped for m, zero in zip(merges, none, strict=True)], 1)
    if any(merge.weight is not None for merge in merges):
        ones = [torch.ones_like(merge.group, dtype=torch.float32) for merge in merges]
        weight = torch.cat([one if m.weight is None else m.weight for m, one in zip(merges, ones, strict=True)], 1)
    return Merge(
        torch.cat(group, 1), torch.cat(keep, 1), dropped, weight=weight, norm=any(merge.norm for merge in merges)
    )
