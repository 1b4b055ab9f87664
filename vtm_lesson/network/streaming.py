"""A long film without holding all of it: the network's blocks run chunk by chunk, depth first.

In block 1 every chunk of L_1 frames is attended, matched and merged by itself; nothing needs the whole video before
the chunks of the last block. So block 1 can run on one chunk after the other, and only the few tokens that it leaves
are kept. The same sums are made as in one pass, at a fraction of the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from .model import VideoClassifier
from .tokens import Tokens


def by_chunks(
    model: VideoClassifier,
    tokens: Tensor | Callable[[int, int], Tensor],
    frames: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Compute what model(tokens) gives in eval mode, chunk by chunk.

    The same sums are made as in one pass, at a fraction of the memory. Runs under inference_mode.

    Parameters
    ----------
    model : VideoClassifier
        In eval mode.
    tokens : Tensor or function
        (B, L, H, W, C); or a function (first, last) -> (B, last - first, H, W, C), that reads or encodes those frames
        when they are needed.
    frames : int, optional
        L, for a function.
    generator : torch.Generator, optional
        For strategies that draw at random. They draw in another order than in one pass.

    Returns
    -------
    Tensor
        (B, classes), logits.

    Raises
    ------
    ValueError
        For a model in training mode; for networks that run in one pass only (those that match over the whole video,
        average by motion or add positions); for tokens of another shape; for a function without frames.

    Examples
    --------
    >>> import torch, vtm_lesson as vtm
    >>> net = vtm.VideoClassifier(8, blocks=2, chunks=(2, 4), classes=3).eval()
    >>> tokens = torch.randn(1, 8, 4, 4, 8)
    >>> torch.allclose(vtm.by_chunks(net, tokens), net(tokens), atol=1e-5)
    True
    >>> vtm.by_chunks(net, lambda first, last: tokens[:, first:last], frames=8).shape
    torch.Size([1, 3])
    """
    if model.training:
        raise ValueError("chunk by chunk is for inference: call model.eval() before, or model(tokens) to train.")
    if model.needs_motion or any(block.config.match_within == "video" for block in model.each_block):
        raise ValueError('chunk by chunk needs match_within="chunk" and no motion: run model(tokens) in one pass.')
    if model.position != "none":
        raise ValueError(f"chunk by chunk adds no positions; this network has position={model.position!r}: one pass.")
    if isinstance(tokens, Tensor):
        if tokens.dim() != 5:
            raise ValueError(f"tokens have shape {tuple(tokens.shape)}; chunk by chunk needs (B, L, H, W, C).")
        whole, frames = tokens, tokens.shape[1]

        def cut(first: int, last: int) -> Tensor:
            return whole[:, first:last]

        read: Callable[[int, int], Tensor] = cut

    elif frames is None:
        raise ValueError("frames is missing: with a function that reads tokens, say how many frames there are.")
    else:
        read = tokens

    def patches(first: int, last: int) -> Tokens:
        """The tokens of frames first to last - 1, at their places in the whole video."""
        piece = Tokens.start(read(first, last))
        _, height, width = piece.grid
        return replace(piece, position=piece.position + first * height * width)

    def after(depth: int, first: int, last: int) -> Tokens:
        """What the first `depth` blocks make of those frames."""
        if depth == 0:
            return patches(first, last)
        block = model.each_block[depth - 1]
        parts: list[Tokens] = []
        chunk = block.config.chunk
        for start in range(first, last, chunk):
            parts.append(block(after(depth - 1, start, min(start + chunk, last)), generator)[0])
        return _join(parts)

    with torch.inference_mode():
        state = after(len(model.blocks), 0, frames)
        logits: Tensor = model.head(model.pool(state.x, state))
        return logits


def _join(parts: list[Tokens]) -> Tokens:
    if len(parts) == 1:
        return parts[0]
    joined = {name: torch.cat([getattr(part, name) for part in parts], 1) for name in ("x", "position", "size")}
    if any(part.present is not None for part in parts):
        there = [torch.ones_like(p.position, dtype=torch.bool) if p.present is None else p.present for p in parts]
        joined["present"] = torch.cat(there, 1)
    grid = sum(part.grid[0] for part in parts), *parts[0].grid[1:]
    return replace(parts[0], grid=grid, segments=sum((part.segments for part in parts), ()), **joined)
