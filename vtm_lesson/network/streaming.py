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
    """What model(tokens) gives in eval mode, chunk by chunk: logits (B, classes).

    tokens: (B, L, H, W, C); or a function (first, last) -> (B, last - first, H, W, C), with frames=L, that reads or
    encodes those frames when they are needed. Runs under inference_mode. Strategies that draw at random draw in
    another order than in one pass. Networks that match over the whole video, average by motion or add positions run
    in one pass only.
    """
    if model.training:
        raise ValueError("chunk by chunk is for inference: call model.eval() before, or model(tokens) to train.")
    motion = "motion" in (model.pooling, *(block.average for block in model.blocks))
    if motion or any(block.match_within == "video" for block in model.blocks):
        raise ValueError('chunk by chunk needs match_within="chunk" and no motion: run model(tokens) in one pass.')
    if model.position != "none":
        raise ValueError(f"chunk by chunk adds no positions; this network has position={model.position!r}: one pass.")
    if isinstance(tokens, Tensor):
        if tokens.dim() != 5:
            raise ValueError(f"tokens have shape {tuple(tokens.shape)}; chunk by chunk needs (B, L, H, W, C).")
        whole, frames = tokens, tokens.shape[1]
        read = lambda first, last: whole[:, first:last]  # noqa: E731
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
        block = model.blocks[depth - 1]
        parts = []
        for start in range(first, last, block.chunk):
            parts.append(block(after(depth - 1, start, min(start + block.chunk, last)), generator)[0])
        return _join(parts)

    with torch.inference_mode():
        state = after(len(model.blocks), 0, frames)
        return model.head(model.pool(state.x, state))


def _join(parts: list[Tokens]) -> Tokens:
    if len(parts) == 1:
        return parts[0]
    joined = {name: torch.cat([getattr(part, name) for part in parts], 1) for name in ("x", "position", "size")}
    return replace(parts[0], segments=sum((part.segments for part in parts), ()), **joined)
