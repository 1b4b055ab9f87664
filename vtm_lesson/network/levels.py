"""Levels that merge and do nothing else: a film's tokens put together chunk by chunk, within a budget.

    live = Live(merging_levels("learnable", frames=3600, keep=196, saliency=held), trace=True)

There is no attention in them and nothing to train: they show what a strategy keeps of a long film, and where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..merging.hierarchy import chunk_lengths
from ..merging.merge import Merge
from ..merging.registry import choose
from ..merging.strategies import Context, Reducer, Saliency, reduce, signals
from .config import check_choice
from .tokens import Tokens

SIGNALS = ("motion", "oracle", "relative", "saliency")


@dataclass
class Scored(Tokens):
    """Tokens with a saliency that was learned elsewhere, (B, N)."""

    saliency: Tensor | None = None


class MergeLevel:
    """One level: merges a chunk's tokens to `keep` of them.

    Parameters
    ----------
    partition : str, callable or None
        Who chooses the targets, as in `BlockConfig`.
    chunk : int
        Frames of a chunk.
    keep : int
        Tokens that are left of it; where it has no more, nothing is merged.
    reducer : str or callable, optional
        In place of a partition.
    average : {"size", "plain"}
        Tokens count by their size in an average, so that it is the mean over patches; or all alike (VTM eq. 4).
    signal : {"own", "mean"}
        What a token that is kept says of its motion, its saliency and the actor: what the patch says that it continues,
        or the mean over its group, in which the rare is lost.
    top : bool
        Whether strategies that draw take the tokens of highest score instead.
    saliency : Saliency, optional
        For "learnable": a saliency learned elsewhere.

    Raises
    ------
    ValueError
        For values out of range.

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson.network import Tokens
    >>> from vtm_lesson.network.levels import MergeLevel
    >>> left, merge = MergeLevel("uniform", chunk=4, keep=3)(Tokens.start(torch.randn(1, 4, 2, 2, 8)))
    >>> left.x.shape, merge
    (torch.Size([1, 3, 8]), Merge(16 -> 3 tokens, batch 1))
    """

    def __init__(
        self,
        partition: str | Callable[..., Tensor] | None,
        chunk: int,
        keep: int,
        reducer: str | Reducer | None = None,
        average: str = "size",
        signal: str = "own",
        top: bool = True,
        saliency: Saliency | None = None,
    ):
        check_choice("average", average, "size", "plain")
        check_choice("signal", signal, "own", "mean")
        if min(chunk, keep) < 1:
            raise ValueError(f"chunk is {chunk}, keep {keep}; both are 1 or more.")
        found = choose(partition, reducer)
        if found is None:
            raise ValueError("partition is None and there is no reducer: a level that merges needs one of them.")
        self.chunk, self.keep, self.reducer = chunk, keep, found
        self.average, self.signal, self.top, self.saliency = average, signal, top, saliency

    def __call__(self, tokens: Tokens, generator: torch.Generator | None = None) -> tuple[Tokens, Merge]:
        """The tokens of one chunk, and what is left of them."""
        if self.saliency is not None and not isinstance(tokens, Scored):
            tokens = Scored(**vars(tokens), saliency=self.saliency.score(tokens.x))
        batch, n = tokens.position.shape
        if n <= self.keep:
            return tokens, Merge.identity(batch, n, tokens.position.device)
        known: dict[str, Any] = {**tokens.known(signals(self.reducer)), "saliency": getattr(tokens, "saliency", None)}
        context = Context(tokens.x, n / self.keep, *tokens.grid, **known)
        context.generator, context.top = generator, self.top
        merge = reduce(self.reducer, context)
        left = tokens.merged(merge, self.average)
        said = {name: value for name in SIGNALS if (value := getattr(tokens, name, None)) is not None}
        if self.signal == "own":
            said = {name: value.gather(1, merge.keep) for name, value in said.items()}
        else:
            by = tokens.weight(self.average)
            said = {name: merge.mean(value[..., None], by)[..., 0] for name, value in said.items()}
        stretch = ((tokens.grid[0], left.x.shape[1]),)
        return replace(left, segments=stretch, **said), merge


def merging_levels(
    partition: str | Callable[..., Tensor] | None,
    frames: int,
    keep: int = 196,
    first: int = 6,
    ratio: int = 6,
    **options: Any,
) -> list[MergeLevel]:
    """Levels for `Live` that merge a film of so many frames to `keep` tokens.

    Parameters
    ----------
    partition : str, callable or None
        As in `MergeLevel`.
    frames : int
        Of the film; of a live source the most that may come.
    keep : int, optional
        Tokens that a chunk is left with, at each level: the film's in the end.
    first, ratio : int, optional
        As in `merging.hierarchy.chunk_lengths`.
    **options
        Of `MergeLevel`.

    Returns
    -------
    list of MergeLevel
        From chunks of `first` frames to one chunk that is the film.

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson.network import Live, merging_levels
    >>> live = Live(merging_levels("uniform", frames=40, keep=8, first=2, ratio=4), trace=True)
    >>> for frame in torch.randn(40, 1, 1, 4, 4, 8):
    ...     live.push(frame)
    >>> live.merge(), live.most_held
    (Merge(640 -> 8 tokens, batch 1), 80)
    """
    lengths = chunk_lengths(frames, first, ratio)
    return [MergeLevel(partition, chunk, keep, **options) for chunk in lengths]
