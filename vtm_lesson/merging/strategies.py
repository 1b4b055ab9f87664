"""Partition strategies as plugs: what a block of the network knows about its tokens, and who picks the targets.

A strategy is a function that looks at a `Context` and returns the positions of the targets. The five mergers of the
course, two controls, and your own function all go through `resolve`, and all of them have to return the same number
of targets, so that they are compared at one token budget.

    def newest(n, gamma):                  # arguments are filled by name from the Context ...
        return torch.arange(n - n_targets(n, gamma), n)

    def loudest(context):                  # ... or the whole Context is handed over
        return context.draw(context.keys.norm(dim=-1))
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from . import partition as P


@dataclass
class Context:
    """What is known about the n tokens of a chunk when targets are picked; B counts chunks of all videos.

    keys: (B, n, D), what tokens will be matched on. gamma: the partition factor.
    frames, height, width: the extent of the chunk in the video; n = frames * height * width in the first block only.
    position: (B, n) int64, the patch of the video that the token continues: frame, row and column follow from it.
    size: (B, n) float32, how many patches a token stands for.
    motion: (B, n) or None, mean motion magnitude of those patches. oracle: (B, n) or None, the share of them that
        shows the actor. saliency: (B, n) or None, tanh(K U_s) (VTM eq. 9) in blocks that learn it.
    training, generator: as in the network. temperature, top: how `draw` draws.
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

    @property
    def n(self) -> int:
        """The number of tokens in the chunk."""
        return self.keys.shape[1]

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

    def draw(self, score: Tensor, temperature: float = 1.0) -> Tensor:
        """Targets from a score (B, n): sampled with p = softmax(temperature * score), (B, T) ascending.

        The network's own `temperature`, if it has one, goes before the strategy's. With `top` and out of training
        the tokens of highest score are taken instead.
        """
        if self.top and not self.training:
            return P.top(score, self.gamma)
        if self.temperature is not None:
            temperature = self.temperature
        return P.sample(temperature * score, self.gamma, generator=self.generator)


def _uniform(c: Context) -> Tensor:
    return P.uniform(c.n, c.gamma, device=c.device)


def _random(c: Context) -> Tensor:
    return P.sample(torch.zeros_like(c.size), c.gamma, generator=c.generator)


def _motion(c: Context) -> Tensor:
    if c.motion is None:
        raise ValueError('partition "motion" needs motion: give the network motion=(B, L, H, W) magnitudes.')
    return c.draw(c.motion)


def _learnable(c: Context) -> Tensor:
    if c.saliency is None:
        raise ValueError('partition "learnable" needs a block that learns saliency: leave saliency at its default.')
    return c.draw(c.saliency, temperature=6.0)


def _oracle(c: Context) -> Tensor:
    if c.oracle is None:
        raise ValueError('partition "oracle" needs the actor: give the network oracle=(B, L, H, W), 1 on the actor.')
    # Any token with more of the actor goes before any with less; chance decides among equals.
    return P.sample(1000 * c.oracle, c.gamma, generator=c.generator)


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


STRATEGIES: dict[str, Callable[[Context], Tensor]] = {
    "uniform": _uniform,
    "random": _random,
    "centre": _region,
    "boundary": functools.partial(_region, focus="boundary"),
    "motion": _motion,
    "learnable": _learnable,
    "oracle": _oracle,
}


def resolve(partition: str | Callable | None) -> Callable[[Context], Tensor] | None:
    """The strategy behind a name, one of `partition`'s functions, or a function of your own; None for no merging.

    Names: uniform (naive VTM), centre and boundary (region-concentrated), motion, learnable; and the controls
    random and oracle. `partition.uniform`, `partition.region` and `partition.sample` (on motion) work as they are,
    also with settings: `functools.partial(region, focus="boundary")`.
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
        return lambda c: inner(_needed(c.motion, "motion"), c.gamma, **({"generator": c.generator} | settings))
    return _filled_by_name(partition)


def pick(strategy: Callable[[Context], Tensor], context: Context) -> Tensor:
    """Run a strategy and see that it keeps to the budget: (B, T) int64 with T = ceil(n / gamma)."""
    chosen = strategy(context)
    count = P.n_targets(context.n, context.gamma)
    if not isinstance(chosen, Tensor) or chosen.dim() not in (1, 2) or chosen.shape[-1] != count:
        given = tuple(chosen.shape) if isinstance(chosen, Tensor) else type(chosen).__name__
        raise ValueError(
            f"the partition returned {given} for {context.n} tokens at gamma {context.gamma:g}; every strategy returns"
            f" T = ceil(n / gamma) = {count} positions, ({count},) or ({len(context.keys)}, {count})."
        )
    return chosen.to(context.keys.device).expand(len(context.keys), count)


def _filled_by_name(function: Callable) -> Callable[[Context], Tensor]:
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
            f"the partition function asks for {', '.join(unknown or ['positional arguments'])}; it can have one"
            f" argument (the Context), or arguments named {', '.join(sorted(known - {'draw'}))}."
        )
    # An argument with a default keeps it, unless the Context has something to say under that name.
    names = [p.name for p in parameters if p.name in known]
    fixed = getattr(function, "keywords", {})
    return lambda c: function(**{name: getattr(c, name) for name in names if name not in fixed})


def _needed(value: Tensor | None, name: str) -> Tensor:
    if value is None:
        raise ValueError(f"this partition needs {name}: give the network {name}=(B, L, H, W).")
    return value
