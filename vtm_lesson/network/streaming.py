"""A long film without holding all of it: the network's blocks run chunk by chunk, depth first.

In block 1 every chunk of L_1 frames is attended, matched and merged by itself; nothing needs the whole video before
the chunks of the last block. So block 1 can run on one chunk after the other, and only the few tokens that it leaves
are kept. The same sums are made as in one pass, at a fraction of the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from numbers import Integral

import torch
from torch import Tensor

from .ledger import Segments
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
        when they are needed; B, H, W and C are the same each time.
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
        average by motion or add positions); for chunks that cut through those of the block before, as the model itself;
        for tokens of another shape; for a function without frames, or that gives another shape than it was asked for.

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
        if tokens.dim() != 5 or 0 in tokens.shape:
            raise ValueError(f"tokens have shape {tuple(tokens.shape)}; chunk by chunk needs (B, L, H, W, C), none 0.")
        whole, frames = tokens, tokens.shape[1]

        def cut(first: int, last: int) -> Tensor:
            return whole[:, first:last]

        read: Callable[[int, int], Tensor] = cut

    elif frames is None:
        raise ValueError("frames is missing: with a function that reads tokens, say how many frames there are.")
    elif not isinstance(frames, Integral) or frames < 1:
        raise ValueError(f"frames is {frames!r}; give the number of frames that the function can read, 1 or more.")
    else:
        read = tokens

    segments: Segments = ((1, 1),) * int(frames)  # one token a frame: which chunks cut others is the same with more
    for block in model.each_block:
        segments = block.plan(segments).after
    shape: tuple[int, ...] | None = None

    def patches(first: int, last: int) -> Tokens:
        """The tokens of frames first to last - 1, at their places in the whole video."""
        nonlocal shape
        x = read(first, last)
        shape = _checked(x, first, last, shape)
        piece = Tokens.start(x)
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


def _checked(x: object, first: int, last: int, before: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape of what was read as frames first to last - 1, or ValueError. before: the shape of an earlier piece."""
    shape = tuple(x.shape) if isinstance(x, Tensor) else ()
    known = shape if before is None else before
    wanted = (*known[:1], last - first, *known[2:])
    if len(shape) != 5 or 0 in shape or shape != wanted:
        given = shape if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(
            f"the function was asked for frames {first} to {last - 1} and gave {given}; it has to give"
            f" {wanted if before else f'(B, {last - first}, H, W, C)'}, with the same B, H, W and C each time."
        )
    return shape


def _join(parts: list[Tokens]) -> Tokens:
    if len(parts) == 1:
        return parts[0]
    joined = {name: torch.cat([getattr(part, name) for part in parts], 1) for name in ("x", "position", "size")}
    if any(part.present is not None for part in parts):
        there = [torch.ones_like(p.position, dtype=torch.bool) if p.present is None else p.present for p in parts]
        joined["present"] = torch.cat(there, 1)
    grid = sum(part.grid[0] for part in parts), *parts[0].grid[1:]
    return replace(parts[0], grid=grid, segments=sum((part.segments for part in parts), ()), **joined)
