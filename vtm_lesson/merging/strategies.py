"""What a reducer may know about its tokens, and who picks the targets.

A *strategy* looks at a `Context` and returns the positions of the targets. All strategies return the same number of
them, so that they are compared at one token budget. The five mergers of the course, two controls, and your own
function go through `resolve`:

    def newest(n, gamma):                  # arguments are filled by name from the Context ...
        return torch.arange(n - n_targets(n, gamma), n)

    def loudest(context):                  # ... or the whole Context is handed over
        return context.draw(context.keys.norm(dim=-1))

A *reducer* is the larger plug: `reducer(context) -> Merge`. Choosing targets and matching is one kind of reducer
(`reducers/bipartite.py`); `reducers/` has others, and `registry` knows them by name.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import partition as P
from .merge import Merge
from .tiled import refuse_non_finite, values_can_be_read

Strategy = Callable[["Context"], Tensor]
Reducer = Callable[["Context"], Merge]


@dataclass
class Context:
    """What is known about n tokens when they are reduced; B counts chunks of all videos.

    Parameters
    ----------
    keys : Tensor
        (B, n, D), what tokens are matched on.
    gamma : float
        The partition factor: one token in gamma is a target.
    frames, height, width : int
        The extent of the chunk in the video; n = frames * height * width in the first block only.
    position : Tensor
        (B, n) int64, the patch of the video that the token continues: frame, row and column follow from it.
    size : Tensor
        (B, n) float32, how many patches a token stands for.
    motion : Tensor, optional
        (B, n), mean motion magnitude of those patches.
    oracle : Tensor, optional
        (B, n), the share of those patches that shows the actor.
    saliency : Tensor, optional
        (B, n), tanh(K U_s) (VTM eq. 9), in blocks that learn it.
    training, generator
        As in the network.
    temperature, top
        How `draw` draws.
    r : float
        The share of the sources that is merged: R = floor(r * |S|).
    merged : int, optional
        R itself, where the network around says how many tokens to merge away (ToMe's r). It goes before `r`.
    attention : Tensor, optional
        (B, n), how much attention each token received in its chunk: the mean over heads and queries, so a chunk's sum
        is 1. Computed for reducers whose `signal` says "attention" only.
    relative : Tensor, optional
        (B, n), mean motion relative to the camera of those patches (`camera.relative_motion`).
    targets : Tensor, optional
        (B, T) int64: not given but noted, by reducers that choose targets, for whoever wants to know (recall, traces).
    entropy : Tensor, optional
        (B, n), sum_j A_ij log A_ij of the token's own row of attention, averaged over heads first: 0 where it looks at
        one token, -log(n) where at all alike (vid-TLDR's sharpness). For reducers whose `signal` says "entropy" only.
    pixels : Tensor, optional
        (B, n, P), the raw pixels of the patch that the token continues, where whoever calls has them.
    depth : (int, int), optional
        The number of the block, from 0, and how many blocks there are, for schedules over depth.
    projection : Tensor, optional
        (D', D), for reducers that say `projects`: tokens are matched on keys @ projection.T, not multiplied out here.

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson import Context
    >>> keys = torch.randn(1, 12, 4)
    >>> context = Context(keys, 4, 3, 2, 2, torch.arange(12)[None], torch.ones(1, 12))
    >>> context.n_targets, context.n_merge, context.n_keep
    (3, 9, 3)
    >>> context.frame.tolist()
    [[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]]
    """

    keys: Tensor
    gamma: float
    frames: int
    height: int
    width: int
    position: Tensor
    size: Tensor
    motion: Tensor | None = None
    oracle: Tensor | None = None
    saliency: Tensor | None = None
    training: bool = False
    generator: torch.Generator | None = None
    temperature: float | None = None
    top: bool = False
    r: float = 1.0
    merged: int | None = None
    attention: Tensor | None = None
    relative: Tensor | None = None
    targets: Tensor | None = None
    entropy: Tensor | None = None
    pixels: Tensor | None = None
    depth: tuple[int, int] | None = None
    projection: Tensor | None = None

    @property
    def n(self) -> int:
        """The number of tokens in the chunk."""
        return self.keys.shape[1]

    @property
    def n_targets(self) -> int:
        """T = ceil(n / gamma), how many targets a strategy returns (VTM eq. 1)."""
        return P.n_targets(self.n, self.gamma)

    @property
    def n_merge(self) -> int:
        """R, how many tokens are merged away, or dropped (VTM eq. 5)."""
        return P.n_merged(self.n, self.gamma, self.r) if self.merged is None else self.merged

    @property
    def n_keep(self) -> int:
        """n - R, how many tokens are left: the budget that every reducer keeps to that is not ragged."""
        return self.n - self.n_merge

    @property
    def device(self) -> torch.device:
        """Where the tokens are. Targets made there need no copy, for which a GPU would have to wait."""
        return self.keys.device

    @property
    def frame(self) -> Tensor:
        """(B, n) int64: the frame of each token, counted from the start of the video."""
        return self.position // (self.height * self.width)

    @property
    def row(self) -> Tensor:
        """(B, n) int64."""
        return self.position // self.width % self.height

    @property
    def column(self) -> Tensor:
        """(B, n) int64."""
        return self.position % self.width

    def draw(self, score: Tensor, temperature: float = 1.0, count: int | None = None) -> Tensor:
        """Targets from a score (B, n): sampled with p = softmax(temperature * score), (B, T) ascending.

        The network's own `temperature`, if it has one, goes before the strategy's. With `top` and out of training
        the tokens of highest score are taken instead. count: how many, in place of T.
        """
        if not isinstance(score, Tensor):
            raise ValueError(f"draw was given {score!r}; it needs a score, (B, n): this network has none of that name.")
        if self.top and not self.training:
            return P.top(score, self.gamma, count)
        if self.temperature is not None:
            temperature = self.temperature
        return P.sample(temperature * score, self.gamma, generator=self.generator, count=count)


# Each signal of a Context, and what to do where it is missing.
SIGNALS = {
    "motion": "motion: give the network motion=(B, L, H, W) magnitudes",
    "relative": "vectors: give the network vectors=(B, L, H, W, 2) of motion",
    "saliency": "a block that learns saliency: leave saliency at its default",
    "oracle": "the actor: give the network oracle=(B, L, H, W), 1 on the actor",
    "attention": "attention: only networks that attend know it, and they compute it for reducers with that `signal`",
    "entropy": "attention's entropy: only networks that attend know it, and compute it for reducers with that `signal`",
    "pixels": "pixels: give the network pixels=(B, L, H, W, P), those of each patch",
    "depth": "depth: only networks of several blocks know it; a Context of your own takes depth=(block, blocks)",
}


def needed(context: Context, name: str, purpose: str) -> Any:
    """What a Context says under that name, one of `SIGNALS`; ValueError where it says nothing, and what to do then.

    purpose: what asks for it, as the sentence's subject: "dropping by attention", say.
    """
    value = getattr(context, name)
    if value is None:
        raise ValueError(f"{purpose} needs {SIGNALS[name]}.")
    return value


def signals(reducer: Reducer | None) -> tuple[str, ...]:
    """What a reducer says that it needs beside the keys: its `signal`, a name, several or None, as a tuple."""
    said = getattr(reducer, "signal", None)
    return (said,) if isinstance(said, str) else tuple(said or ())


def _asks_for(signal: str) -> Callable[[Strategy], Strategy]:
    """Have a strategy say what it needs, as a reducer does: as its `signal`."""

    def said(strategy: Strategy) -> Strategy:
        vars(strategy)["signal"] = signal
        return strategy

    return said


def _uniform(c: Context) -> Tensor:
    return P.uniform(c.n, c.gamma, device=c.device)


def _random(c: Context) -> Tensor:
    return P.sample(torch.zeros_like(c.size), c.gamma, generator=c.generator)


@_asks_for("motion")
def _motion(c: Context) -> Tensor:
    return c.draw(needed(c, "motion", 'partition "motion"'))


@_asks_for("relative")
def _relative(c: Context) -> Tensor:
    return c.draw(standardise(needed(c, "relative", 'partition "relative"')), temperature=2.0)


@_asks_for("saliency")
def _learnable(c: Context) -> Tensor:
    return c.draw(needed(c, "saliency", 'partition "learnable"'), temperature=6.0)


@_asks_for("oracle")
def _oracle(c: Context) -> Tensor:
    # Any token with more of the actor goes before any with less; chance decides among equals.
    return P.sample(1000 * needed(c, "oracle", 'partition "oracle"'), c.gamma, generator=c.generator)


def _region(c: Context, focus: str = "centre", offset: int = 0) -> Tensor:
    """`partition.region` for tokens anywhere: the same shares and the same even spread, from each token's position.

    On a full grid it returns what `partition.region` returns. After the first block the number of tokens in the
    centre differs from chunk to chunk, so every row has its own shares.
    """
    if focus not in ("centre", "boundary"):
        raise ValueError(f'focus is {focus!r}; it is "centre" or "boundary".')
    count = P.n_targets(c.n, c.gamma)
    centre = P.centre_mask(c.height, c.width, c.device).flatten()
    dense = centre[c.position % (c.height * c.width)] == (focus == "centre")
    n_dense = dense.sum(1, keepdim=True).double()
    n_sparse = c.n - n_dense
    share = 3 * n_dense / (3 * n_dense + n_sparse)
    k_dense = (count * share).round().maximum(count - n_sparse).minimum(n_dense)
    slot = torch.arange(count, device=c.position.device, dtype=torch.float64).expand(len(dense), count)
    in_dense = slot < k_dense
    nth = torch.where(in_dense, slot * (n_dense / k_dense), (slot - k_dense) * (n_sparse / (count - k_dense)))
    nth = (nth.floor() + offset) % torch.where(in_dense, n_dense, n_sparse)
    # Dense tokens first, each kind in its own order: slot j is then the nth of its kind.
    order = (~dense).byte().argsort(dim=1, stable=True)
    return order.gather(1, (nth + torch.where(in_dense, 0, n_dense)).long()).sort(dim=1).values


STRATEGIES: dict[str, Strategy] = {
    "uniform": _uniform,
    "random": _random,
    "centre": _region,
    "boundary": functools.partial(_region, focus="boundary"),
    "motion": _motion,
    "relative": _relative,
    "learnable": _learnable,
    "oracle": _oracle,
}


def resolve(partition: str | Callable[..., Tensor] | None) -> Strategy | None:
    """The strategy behind a name, one of `partition`'s functions, or a function of your own; None for no merging.

    Names: uniform (naive VTM), centre and boundary (region-concentrated), motion, learnable; relative, motion less the
    camera's, which is not in the paper; and the controls random and oracle. `partition.uniform`, `partition.region`
    and `partition.sample` (on motion) work as they are, also with settings: `functools.partial(region,
    focus="boundary")`.
    """
    if partition is None or partition == "none":
        return None
    if isinstance(partition, str):
        if partition not in STRATEGIES:
            raise ValueError(f"partition is {partition!r}; names are {', '.join(STRATEGIES)}, or give a function.")
        return STRATEGIES[partition]
    if not callable(partition):
        raise ValueError(f"partition is {partition!r}; give a name, a function that returns targets, or None.")
    inner, settings = getattr(partition, "func", partition), getattr(partition, "keywords", {})
    if inner is P.region:
        return functools.partial(_region, **settings)
    if inner in (P.sample, P.top):
        return _ByMotion(inner, settings)
    return filled_by_name(partition)


def pick(strategy: Strategy, context: Context) -> Tensor:
    """Run a strategy and see that it keeps to the budget: (B, T) int64 with T = ceil(n / gamma)."""
    chosen = strategy(context)
    count = context.n_targets
    if not isinstance(chosen, Tensor) or chosen.dim() not in (1, 2) or chosen.shape[-1] != count:
        given: object = tuple(chosen.shape) if isinstance(chosen, Tensor) else type(chosen).__name__
        if isinstance(chosen, Tensor) and chosen.dtype == torch.bool:
            given = "a mask (its positions are mask.nonzero()[:, 0])"
        raise ValueError(
            f"the partition returned {given} for {context.n} tokens at gamma {context.gamma:g}; every strategy returns"
            f" T = ceil(n / gamma) = {count} positions, ({count},) or ({len(context.keys)}, {count})."
        )
    return chosen.to(context.keys.device).expand(len(context.keys), count)


@torch.no_grad()
def reduce(reducer: Reducer, context: Context) -> Merge:
    """Run a reducer and see that it keeps to the budget: n - R tokens are left, unless it says `ragged = True`.

    ValueError for keys that are not finite and for another Merge than the Context needs, where values can be read.
    """
    if context.keys.numel():
        refuse_non_finite(context.keys)
    merge = reducer(context)
    if not isinstance(merge, Merge):
        raise ValueError(
            f"the reducer returned {type(merge).__name__}; a reducer takes a Context and returns a Merge."
            " A function that returns targets goes into partition=."
        )
    batch, n = context.keys.shape[:2]
    if tuple(merge.group.shape) != (batch, n):
        raise ValueError(f"the reducer returned {merge}; this Context needs one for {n} tokens, batch {batch}.")
    if values_can_be_read(merge.group):
        _check_groups(merge)
    if not is_ragged(reducer) and (merge.n_out != context.n_keep or merge.count is not None):
        raise ValueError(
            f"the reducer returned {merge}; the budget is {context.n_keep} tokens left of {n}."
            " A reducer that keeps another number says so: ragged = True."
        )
    return merge


def _check_groups(merge: Merge) -> None:
    """ValueError for groups that are no numbers from 0 to M - 1, or where one of them has no token."""
    if merge.group.dtype != torch.int64 or not 0 <= int(merge.group.min()) <= int(merge.group.max()) < merge.n_out:
        raise ValueError(f"the reducer returned {merge} with groups that are not int64 from 0 to {merge.n_out - 1}.")
    filled = torch.zeros_like(merge.keep, dtype=torch.bool).scatter(1, merge.group, True)
    present = torch.ones_like(filled) if merge.present is None else merge.present
    if not torch.equal(filled, present):
        raise ValueError(f"the reducer returned {merge} with a group that no token goes into; `Merge.of` numbers them.")


def is_ragged(reducer: Reducer | None) -> bool:
    """Whether a reducer keeps a different number of tokens in each item."""
    return bool(getattr(reducer, "ragged", False))


@dataclass(frozen=True)
class _ByMotion:
    """`partition.sample` or `partition.top` as a strategy: the score is the motion."""

    function: Callable[..., Tensor]
    settings: dict[str, Any]

    signal = "motion"

    def __call__(self, c: Context) -> Tensor:
        given = {"generator": c.generator} if self.function is P.sample else {}
        return self.function(needed(c, "motion", "this partition"), c.gamma, **(given | self.settings))


@dataclass(frozen=True)
class _ByName:
    """A function whose arguments are taken from the Context by their names: a strategy, or a reducer."""

    function: Callable[..., Any]
    names: tuple[str, ...]

    @property
    def ragged(self) -> bool:
        """Of a reducer, as the next ones: what the function says of itself."""
        return bool(getattr(self.function, "ragged", False))

    @property
    def linear(self) -> bool:
        """False where its Merges may have `norm`."""
        return bool(getattr(self.function, "linear", True))

    @property
    def signal(self) -> tuple[str, ...]:
        """What it needs beside the keys: what it says, and what attention looks at, where it has arguments for that."""
        return (*signals(self.function), *(name for name in ("attention", "entropy", "pixels") if name in self.names))

    @property
    def flops(self) -> Callable[[int, int, int], int]:
        """What it costs."""
        return getattr(self.function, "flops", lambda *_: 0)

    @property
    def memory(self) -> Callable[[int, int, int], int]:
        """What it holds at once."""
        return getattr(self.function, "memory", lambda *_: 0)

    def __call__(self, c: Context) -> Any:
        return self.function(**{name: getattr(c, name) for name in self.names})


def filled_by_name(function: Callable[..., Any], kind: str = "partition") -> Callable[[Context], Any]:
    """A function of the Context, or of some of its fields, as a function of the Context; kind: for messages."""
    parameters = [
        p for p in inspect.signature(function).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    known = {name for name in dir(Context) if not name.startswith("_")} | set(Context.__dataclass_fields__)
    required = [p for p in parameters if p.default is p.empty]
    if len(required) == 1 and required[0].name not in known:
        return function
    unknown = [p.name for p in required if p.name not in known]
    if unknown or any(p.kind is p.POSITIONAL_ONLY for p in required):
        raise ValueError(
            f"the {kind} function asks for {', '.join(unknown or ['positional arguments'])}; it can have one"
            f" argument (the Context), or arguments named {', '.join(sorted(known - {'draw'}))}."
        )
    # An argument with a default keeps it, unless the Context has something to say under that name.
    fixed = getattr(function, "keywords", {})
    return _ByName(function, tuple(p.name for p in parameters if p.name in known and p.name not in fixed))


def standardise(score: Tensor) -> Tensor:
    """(B, n): mean 0 and standard deviation 1 within each row; rows that are all alike become 0."""
    score = score - score.mean(1, keepdim=True)
    if score.shape[1] == 1:  # a token alone has no deviation
        return score
    return score / score.std(1, keepdim=True).clamp(min=1e-6)


@dataclass(frozen=True)
class Saliency:
    """s = tanh(k U + b) (VTM eq. 9, with an offset), learned elsewhere and frozen; a partition strategy.

    keys: what gives the keys of a token, None for the token itself (k = x).
    """

    U: Tensor
    b: Tensor
    temperature: float = 6.0
    keys: Callable[[Tensor], Tensor] | None = None

    def score(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N), in (-1, 1)."""
        with torch.no_grad():
            return torch.tanh((x if self.keys is None else self.keys(x)) @ self.U + self.b)[..., 0]

    def __call__(self, context: Context) -> Tensor:
        return context.draw(self.score(context.keys), self.temperature)


@dataclass(frozen=True)
class Relative:
    """Motion relative to the camera as a strategy with settings; "relative" is the one without a prior.

    p = softmax(temperature * v - prior * d), where v is standardised and d the squared distance of a patch from the
    middle of the frame, 1 at the middle of an edge: who films holds the subject in the picture's middle, more or less.
    """

    temperature: float = 2.0
    prior: float = 0.0

    signal = "relative"

    def __call__(self, context: Context) -> Tensor:
        score = self.temperature * standardise(needed(context, "relative", "this strategy"))
        if self.prior:
            half = ((max(side - 1, 1)) / 2 for side in (context.height, context.width))
            y, x = (place / h - 1 for place, h in zip((context.row, context.column), half, strict=True))
            score = score - self.prior * (y**2 + x**2)
        return context.draw(score, 1.0)


@dataclass(frozen=True)
class Motion:
    """Motion as a strategy with settings (VTM eq. 6): p = softmax(temperature * v).

    scale: "raw", pixels a frame, as in the paper; "max", divided by the largest of the tokens; "standard", their mean
    subtracted and divided by their standard deviation, so that one temperature fits fast and slow films.
    """

    scale: str = "raw"
    temperature: float = 1.0

    signal = "motion"

    def __call__(self, context: Context) -> Tensor:
        v = needed(context, "motion", "this strategy")
        if self.scale == "max":
            v = v / v.amax(1, keepdim=True).clamp(min=1e-6)
        elif self.scale == "standard":
            v = standardise(v)
        elif self.scale != "raw":
            raise ValueError(f'scale is {self.scale!r}; it is "raw", "max" or "standard".')
        return context.draw(v, self.temperature)
