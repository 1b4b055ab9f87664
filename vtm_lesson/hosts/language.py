"""Fewer video tokens between a video encoder and a language model: LLaVA, Qwen-VL and what is built like them.

    features, positions, merge = reduce_video_tokens(features, (T, h, w), "change", gamma=4)

Such models put the tokens of a film into the sequence of their language model, where most of the sequence is film. The
order of the tokens and their position ids must stay what they are, as the language model reads time and place from
them: a survivor keeps its own, and the text after the film is as far from it as before.

`shorten` does that to what a model of transformers takes: embeddings, position ids and mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..merging.merge import Merge
from ..merging.partition import Grid
from ..merging.registry import choose
from ..merging.strategies import Context, Reducer, reduce

PER_TOKEN = ("motion", "oracle", "saliency", "attention", "relative", "entropy")  # of a Context, one number each


class Reduced(NamedTuple):
    """What `reduce_video_tokens` returns."""

    features: Tensor
    positions: Tensor
    merge: Merge


class Shortened(NamedTuple):
    """What `shorten` returns: what to give to the language model.

    inputs_embeds: (B, S', C). position_ids: (B, S') or (3, B, S'), as they came; the survivors' own. attention_mask:
    (B, S') int64, 0 for padding. keep: (B, S') int64, the place in the whole sequence that each token continues.
    next_position: (B,) int64, the position id of the first token of the answer: what it is without reduction.
    """

    inputs_embeds: Tensor
    position_ids: Tensor
    attention_mask: Tensor
    keep: Tensor
    next_position: Tensor


def reduce_video_tokens(
    features: Tensor,
    grid: Grid,
    reducer: str | Reducer | Callable[..., Merge] | None,
    *,
    gamma: float = 4.0,
    keys: Tensor | None = None,
    **known: Any,
) -> Reduced:
    """Reduce the tokens of a film on their way into a language model.

    Parameters
    ----------
    features : Tensor
        (N, C) or (B, N, C), the tokens of a film, or of B films, as they would enter the language model: frame after
        frame, row after row.
    grid : tuple of int
        (T, h, w) with N = T * h * w, as the language model sees it: for Qwen-VL video_grid_thw with height and width
        halved. Separators such as LLaVA's newline token are no part of it.
    reducer : str, function or None
        A name of `vtm.reducers()`, or a function from a Context to a Merge; "uniform" matches as VTM does. None changes
        nothing.
    gamma : float, optional
        One token in gamma is left: ceil(N / gamma). Not looked at by reducers that decide themselves (`ragged`), but
        for their targets.
    keys : Tensor, optional
        Of the shape of the features, but for the channels: what tokens are matched on. Default: the features.
    **known
        What else the reducer should know, by the Context's names: motion=(B, N) magnitudes, attention=(B, N) from the
        encoder, pixels, saliency, generator.

    Returns
    -------
    features : Tensor
        (M, C) or (B, M, C), averages of groups, in order of the survivors.
    positions : Tensor
        (M,) or (B, M) int64, which of the N tokens each one continues, ascending: what to select position ids with.
    merge : Merge
        Who went where. Where films keep different numbers, `merge.present` tells tokens from padding.

    Raises
    ------
    ValueError
        For features that do not fit the grid, an unknown reducer, and signals that a Context does not have.

    Notes
    -----
    Any reducer that puts each token into one group; DyCoke (2411.15024), EVS (2510.14624) and FrameFusion (2501.01986)
    reduce at this place. Language models were not trained on averaged tokens: how many a model bears is to be measured.

    Examples
    --------
    >>> import torch
    >>> import vtm_lesson as vtm
    >>> film = torch.randn(6, 4, 4, 32)  # T, h, w, C
    >>> features, positions, merge = vtm.hosts.reduce_video_tokens(film.flatten(0, 2), (6, 4, 4), "uniform", gamma=4)
    >>> features.shape, positions[:4].tolist(), merge
    (torch.Size([24, 32]), [0, 4, 8, 12], Merge(96 -> 24 tokens, batch 1))
    """
    single = features.dim() == 2
    x = features[None] if single else features
    if x.dim() != 3 or len(grid) != 3 or x.shape[1] != math.prod(grid) or 0 in x.shape:
        raise ValueError(
            f"features have shape {tuple(features.shape)}, grid {tuple(grid)}; give (N, C) or (B, N, C), and a grid"
            " (T, h, w) with N = T * h * w, without separator tokens."
        )
    batch, n, _ = x.shape
    by = x if keys is None else keys.reshape(batch, n, -1)
    unknown = sorted(set(known) - set(Context.__dataclass_fields__))
    if unknown:
        raise ValueError(f"a reducer is told nothing named {', '.join(unknown)}: see vtm.Context for what there is.")
    known = {name: value.reshape(batch, n) if name in PER_TOKEN else value for name, value in known.items()}
    plug = None if reducer is None else choose(None, reducer)
    merge = Merge.identity(batch, n, x.device)
    if plug is not None:
        position = torch.arange(n, device=x.device).expand(batch, n)
        size = torch.ones(batch, n, device=x.device)
        merge = reduce(plug, Context(by, gamma, *grid, position, size, **known))
    y = merge(x)
    return Reduced(y[0], merge.keep[0], merge) if single else Reduced(y, merge.keep, merge)


def shorten(
    inputs_embeds: Tensor,
    video_mask: Tensor,
    merge: Merge,
    *,
    position_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,
) -> Shortened:
    """Shorten the sequence of a language model by a Merge of the video tokens in it.

    Parameters
    ----------
    inputs_embeds : Tensor
        (B, S, C), text and film, as the language model would get it: the encoder's features are in.
    video_mask : Tensor
        (B, S) bool, true for the N tokens that the Merge is of, equally many in every item. They need not stand
        together: text between frames stays where it is.
    merge : Merge
        What `reduce_video_tokens` returned for these B items.
    position_ids : Tensor, optional
        (B, S), or (3, B, S) for M-RoPE, of the whole sequence (Qwen-VL: `model.model.get_rope_index`). Default: the
        places in the whole sequence.
    attention_mask : Tensor, optional
        (B, S), 1 for tokens and 0 for padding. Default: all are tokens.

    Returns
    -------
    Shortened
        inputs_embeds, position_ids and attention_mask for the language model; keep, for other tensors over the
        sequence (labels); next_position, where the answer begins.

    Raises
    ------
    ValueError
        For shapes that do not fit together.

    Notes
    -----
    Where films keep different numbers of tokens, padding comes last. To generate from a batch then needs padding on the
    left, so generate for one film at a time. Give the answer's tokens the positions next_position, next_position + 1
    and so on: a model that counts them from the sequence's length (`rope_deltas` of Qwen-VL) has to be told
    `next_position - S'`.

    Examples
    --------
    >>> import torch
    >>> import vtm_lesson as vtm
    >>> embeds = torch.randn(1, 100, 32)  # 2 tokens of text, 96 of a film, 2 of text
    >>> is_video = torch.zeros(1, 100, dtype=torch.bool)
    >>> is_video[:, 2:98] = True
    >>> merge = vtm.hosts.reduce_video_tokens(embeds[:, 2:98], (6, 4, 4), "uniform", gamma=4).merge
    >>> short = vtm.hosts.shorten(embeds, is_video, merge)
    >>> short.inputs_embeds.shape, short.position_ids[0, -3:].tolist(), short.next_position.tolist()
    (torch.Size([1, 28, 32]), [94, 98, 99], [100])
    """
    batch, length, dim = inputs_embeds.shape
    whole = torch.arange(length, device=inputs_embeds.device).expand(batch, length)
    position_ids = whole if position_ids is None else position_ids
    attention_mask = torch.ones_like(whole) if attention_mask is None else attention_mask
    shapes = {"video_mask": video_mask, "position_ids": position_ids, "attention_mask": attention_mask}
    for name, value in shapes.items():
        lead = value.shape[:-2] if name == "position_ids" else ()
        if tuple(value.shape) != (*lead, batch, length):
            raise ValueError(f"{name} has shape {tuple(value.shape)}; this sequence needs {(*lead, batch, length)}.")
    counts = video_mask.sum(1).tolist()
    if counts != [merge.n_in] * len(merge.group):
        raise ValueError(
            f"video_mask marks {counts} tokens, and this is a {merge}: mark exactly those that were reduced."
        )
    film = inputs_embeds[video_mask].view(batch, merge.n_in, dim)
    places = video_mask.nonzero()[:, 1].view(batch, merge.n_in)
    # Every token of the film gets its group's value; then the survivors are picked out of the whole sequence.
    filled = inputs_embeds.masked_scatter(video_mask[..., None], merge.unmerge(merge(film)))
    of_all = Merge.of(whole.scatter(1, places, places.gather(1, merge.into)))
    keep, present = of_all.keep, of_all.present
    last = position_ids.reshape(-1, batch, length).amax(0).masked_fill(attention_mask == 0, -1).amax(1)
    mask = attention_mask.gather(1, keep)
    return Shortened(
        inputs_embeds=filled.gather(1, keep[..., None].expand(-1, -1, dim)),
        position_ids=position_ids.gather(-1, keep.expand(*position_ids.shape[:-2], *keep.shape)),
        attention_mask=mask if present is None else mask * present,
        keep=keep,
        next_position=last + 1,
    )
