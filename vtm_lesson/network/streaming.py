"""A long film without holding all of it: levels of chunks run depth first, as soon as their frames are there.

In block 1 every chunk of L_1 frames is attended, matched and merged by itself; nothing needs the whole video before
the chunks of the last block. So block 1 can run on one chunk after the other, and only the few tokens that it leaves
are kept; block 2 runs as soon as its first chunk is complete, and so on. The same sums are made as in one pass, at a
fraction of the memory. `Live` takes frames as they arrive; `by_chunks` reads a film through it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from numbers import Integral
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..merging.hierarchy import side_by_side
from ..merging.merge import Merge
from .block import VTMBlock
from .ledger import Segments
from .model import VideoClassifier
from .tokens import Tokens


class Level(Protocol):
    """What runs on one chunk after the other: a block of a network, or merging alone (`network.levels`)."""

    @property
    def chunk(self) -> int:
        """Frames of a chunk."""

    def __call__(self, tokens: Tokens, generator: torch.Generator | None = None) -> tuple[Tokens, Merge]:
        """The tokens of one chunk, or of a shorter last one, and what is left of them."""


class Part(NamedTuple):
    """What is left of a stretch of frames, and the Merge from its patches to that, where it is asked for."""

    tokens: Tokens
    merge: Merge | None

    @property
    def frames(self) -> int:
        """How many frames it stands for."""
        return self.tokens.grid[0]


class Live:
    """A network, or levels of merging, that take frames as they arrive and can say at any time what they have.

    Parameters
    ----------
    levels : VideoClassifier or sequence of levels
        A network in eval mode; or what merges chunks of chunks, `network.merging_levels` say.
    generator : torch.Generator, optional
        For strategies that draw at random.
    trace : bool, optional
        Keep the Merge from the film's patches to the kept tokens: 8 bytes a patch, and twice that for a moment. Beside
        the kept tokens of a last level with many chunks nothing else here grows with the film.

    Raises
    ------
    ValueError
        For a network in training mode, and for networks that run in one pass only: those that match over the whole
        video or add positions. From `push`, with trace=True, for several videos at once where a reducer keeps another
        number of tokens in each: one Merge cannot say that of all chunks.

    Notes
    -----
    At each level wait the tokens of a chunk that is not complete. `kept`, `logits` and `merge` run what waits as if the
    film ended here, on the side: what is pushed later meets the state as it was.

    Examples
    --------
    >>> import torch, vtm_lesson as vtm
    >>> from vtm_lesson.network import Live
    >>> net = vtm.VideoClassifier(8, blocks=2, chunks=(2, 4), classes=3).eval()
    >>> film = torch.randn(1, 7, 4, 4, 8)
    >>> live = Live(net, trace=True)
    >>> for frame in film.split(1, dim=1):
    ...     live.push(frame)
    >>> torch.allclose(live.logits(), net(film), atol=1e-5), live.merge()
    (True, Merge(112 -> 4 tokens, batch 1))
    """

    def __init__(
        self,
        levels: VideoClassifier | Sequence[Level],
        generator: torch.Generator | None = None,
        trace: bool = False,
    ):
        self.network = levels if isinstance(levels, VideoClassifier) else None
        if self.network is not None:
            _check_network(self.network)
            levels = [_Block(block) for block in self.network.each_block]
        self.levels: list[Level] = list(levels) if not isinstance(levels, VideoClassifier) else []
        if not self.levels:
            raise ValueError("there are no levels; give a network, or one level or more.")
        self.generator, self.trace = generator, trace
        self._ragged = any(getattr(level, "ragged", False) for level in self.levels)
        self.frames = 0  # that have arrived
        self.most_held = 0  # tokens, at the moment when there were most
        self._shape: tuple[int, ...] | None = None
        self._raw: list[Part] = []  # frames that wait for the first level
        self._waiting: list[list[Part]] = [[] for _ in self.levels[1:]]
        self._done: list[Part] = []

    @property
    def held(self) -> int:
        """How many tokens of a video are held now, at all levels together."""
        waiting = [self._raw, *self._waiting, self._done]
        return sum(part.tokens.x.shape[1] for parts in waiting for part in parts)

    @torch.inference_mode()
    def push(
        self,
        tokens: Tensor,
        motion: Tensor | None = None,
        oracle: Tensor | None = None,
        vectors: Tensor | None = None,
    ) -> None:
        """Take the next frames, as many as there are.

        Parameters
        ----------
        tokens : Tensor
            (B, l, H, W, C), with the same B, H, W and C each time.
        motion, oracle, vectors : Tensor, optional
            Of these frames, as a network takes them.

        Raises
        ------
        ValueError
            For another shape, where a chunk would cut through those of the level below, and for several videos that
            may keep different numbers of tokens, where their Merge is asked for.
        """
        shape = tuple(tokens.shape) if isinstance(tokens, Tensor) else ()
        known = self._shape or shape
        if len(shape) != 5 or 0 in shape or shape[:1] + shape[2:] != known[:1] + known[2:]:
            given = shape if isinstance(tokens, Tensor) else type(tokens).__name__
            raise ValueError(f"push was given {given}; it takes (B, l, H, W, C), none 0, B, H, W and C as before.")
        if self.trace and self._ragged and shape[0] > 1:
            raise ValueError(
                f"{shape[0]} videos were given with trace=True to a reducer that keeps another number of tokens in "
                "each; give one video at a time, or leave trace out."
            )
        self._shape = shape
        first = self.levels[0].chunk
        while shape[1] > 0:
            room = first - sum(part.frames for part in self._raw)
            cut = [None if value is None else value[:, :room] for value in (tokens, motion, oracle, vectors)]
            rest = [None if value is None else value[:, room:] for value in (tokens, motion, oracle, vectors)]
            assert cut[0] is not None and rest[0] is not None
            self._raw.append(self._part(*cut))
            tokens, motion, oracle, vectors = rest[0], *rest[1:]
            shape = tuple(tokens.shape)
            self._note()
            if sum(part.frames for part in self._raw) == first:
                whole, self._raw = self._raw, []
                self._enter(0, whole)
                self._note()

    def kept(self) -> Tokens:
        """What is left of all frames so far: tokens with their position among the film's patches, and their size."""
        return join([part.tokens for part in self._so_far()])

    def merge(self) -> Merge:
        """The Merge from all patches so far to the kept tokens; needs trace=True."""
        if not self.trace:
            raise ValueError("this keeps no Merge: make it with trace=True.")
        return side_by_side([part.merge for part in self._so_far() if part.merge is not None])

    def logits(self) -> Tensor:
        """(B, classes): what the network makes of the frames so far."""
        if self.network is None:
            raise ValueError("levels that merge give no logits; kept() has their tokens.")
        state = self.kept()
        with torch.inference_mode():
            found: Tensor = self.network.head(self.network.pool(state.x, state))
        return found

    def _part(self, x: Tensor | None, *known: Tensor | None) -> Part:
        """Frames that arrived, at their place in the film."""
        assert x is not None
        motion, oracle, vectors = known
        piece = Tokens.start(x, motion, oracle, vectors=vectors)
        frames, height, width = piece.grid
        piece = replace(piece, position=piece.position + self.frames * height * width)
        self.frames += frames
        batch, n = piece.position.shape
        return Part(piece, Merge.identity(batch, n, piece.position.device) if self.trace else None)

    def _enter(self, depth: int, parts: list[Part]) -> None:
        """A chunk of this level is complete: run it, and hand what is left to the next level."""
        made = self._run(depth, parts)
        if depth + 1 == len(self.levels):
            self._done.append(made)
            return
        waiting = self._waiting[depth]
        waiting.append(made)
        if sum(part.frames for part in waiting) >= self.levels[depth + 1].chunk:
            whole, self._waiting[depth] = waiting, []
            self._enter(depth + 1, whole)

    def _run(self, depth: int, parts: list[Part]) -> Part:
        level, frames = self.levels[depth], sum(part.frames for part in parts)
        if frames > level.chunk:
            raise ValueError(
                f"chunks of {level.chunk} frames would cut through the chunks of the level below; each length must be "
                "a multiple of the one before it."
            )
        left, merge = level(join([part.tokens for part in parts]), self.generator)
        if not self.trace:
            return Part(left, None)
        return Part(left, side_by_side([part.merge for part in parts if part.merge is not None]).then(merge))

    @torch.inference_mode()
    def _so_far(self) -> list[Part]:
        """All that is left, as if the film ended here; the state stays as it is."""
        if not self.frames:
            raise ValueError("no frame has arrived yet.")
        state = None if self.generator is None else self.generator.get_state()
        carried = self._raw
        for depth in range(len(self.levels)):
            parts = [*(self._waiting[depth - 1] if depth else []), *carried]
            carried = [self._run(depth, parts)] if parts else []
        if self.generator is not None and state is not None:
            self.generator.set_state(state)
        return [*self._done, *carried]

    def _note(self) -> None:
        self.most_held = max(self.most_held, self.held)


class _Block:
    """A block of a network as a level."""

    def __init__(self, block: VTMBlock):
        self.block, self.chunk, self.ragged = block, block.config.chunk, block.ragged

    def __call__(self, tokens: Tokens, generator: torch.Generator | None = None) -> tuple[Tokens, Merge]:
        left, trace = self.block(tokens, generator)
        return left, trace.merge


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
    if model.needs_motion:
        raise ValueError("chunk by chunk gives the network no motion: run model(tokens) in one pass, or use Live.")
    live = Live(model, generator)
    if isinstance(tokens, Tensor):
        if tokens.dim() != 5 or 0 in tokens.shape:
            raise ValueError(f"tokens have shape {tuple(tokens.shape)}; chunk by chunk needs (B, L, H, W, C), none 0.")
        whole, frames = tokens, tokens.shape[1]

        def cut(first: int, last: int) -> Tensor:
            return whole[:, first:last]

        read: Callable[[int, int], Tensor] = cut

    elif not callable(tokens):
        raise ValueError(f"tokens: give a tensor or a function that reads them, not a {type(tokens).__name__}.")
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
    step = live.levels[0].chunk
    for first in range(0, int(frames), step):
        last = min(first + step, int(frames))
        x = read(first, last)
        shape = _checked(x, first, last, shape)
        live.push(x)
    return live.logits()


def _check_network(model: VideoClassifier) -> None:
    if model.training:
        raise ValueError("chunk by chunk is for inference: call model.eval() before, or model(tokens) to train.")
    if any(block.config.match_within == "video" for block in model.each_block):
        raise ValueError('chunk by chunk needs match_within="chunk": run model(tokens) in one pass.')
    if model.position != "none":
        raise ValueError(f"chunk by chunk adds no positions; this network has position={model.position!r}: one pass.")


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


def join(parts: Sequence[Tokens]) -> Tokens:
    """The tokens of neighbouring stretches of a film as those of one stretch."""
    if len(parts) == 1:
        return parts[0]
    batch = parts[0].position.shape[0]
    joined = {}
    for field in fields(parts[0]):  # whatever there is one of for each token
        values = [getattr(part, field.name) for part in parts]
        if field.name != "present" and all(
            isinstance(value, Tensor) and value.shape[:2] == (batch, part.x.shape[1])
            for value, part in zip(values, parts, strict=True)
        ):
            joined[field.name] = torch.cat(values, 1)
    if any(part.present is not None for part in parts):
        there = [torch.ones_like(p.position, dtype=torch.bool) if p.present is None else p.present for p in parts]
        joined["present"] = torch.cat(there, 1)
    grid = sum(part.grid[0] for part in parts), *parts[0].grid[1:]
    return replace(parts[0], grid=grid, segments=sum((part.segments for part in parts), ()), **joined)
