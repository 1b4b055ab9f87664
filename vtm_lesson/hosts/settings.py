"""Settings of a host: how many tokens each block merges, by what, and whether that fits the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..merging.registry import choose
from ..merging.strategies import SIGNALS, Reducer, Strategy, is_ragged, resolve, signals

Amount = Callable[[int, Tensor], int]
KNOWN = ("attention", "entropy", "depth")  # what a host can tell a reducer, beside the keys


def schedule(r: int | Sequence[int] | tuple[int, float] | Amount, depth: int) -> list[int | Amount]:
    """Say how many tokens each block merges away: one entry a block.

    Parameters
    ----------
    r : int, list, (int, float) or function
        As for `apply`.
    depth : int
        L, the number of blocks.

    Returns
    -------
    list
        [r] * depth for an int or a function, a checked copy of a list, or a slope for (r, c): block l gets
        r + round(r c (2 l / (L - 1) - 1)), which runs from r (1 - c) to r (1 + c) and adds up to r L exactly. c = -1
        merges most in the first blocks, where it saves most; c = 1 in the last; c = 0 is constant.

    Raises
    ------
    ValueError
        For a list of another length, a slope outside -1 to 1, and numbers that are not whole or below 0.

    Examples
    --------
    >>> from vtm_lesson import tome
    >>> tome.schedule((8, -1.0), 5)
    [16, 12, 8, 4, 0]
    """
    if callable(r):
        return [r] * depth
    if isinstance(r, tuple):
        slopes = len(r) == 2 and isinstance(r[1], (int, float)) and -1 <= r[1] <= 1
        if not slopes or not is_count(r[0]):
            raise ValueError(f"r is {r}; a tuple is (tokens a block on average, slope from -1 to 1), (8, -1.0) say.")
        average, slope = int(r[0]), float(r[1])
        return [average + round(average * slope * (2 * i - depth + 1) / max(1, depth - 1)) for i in range(depth)]
    if isinstance(r, list):
        if len(r) != depth:
            raise ValueError(f"r lists {len(r)} numbers; this model has {depth} blocks, so give {depth}.")
        amounts = r
    else:
        amounts = [r] * depth
    wrong = [a for a in amounts if not (callable(a) or is_count(a))]
    if wrong:
        raise ValueError(f"r holds {wrong[0]!r}; tokens merged away in a block are a whole number, 0 or more.")
    return [a if callable(a) else int(a) for a in amounts]


@dataclass(frozen=True)
class Settings:
    """What a user asked for: the arguments of `apply`, checked."""

    amounts: tuple[int | Amount | None, ...]  # one a block; None: the reducer decides
    proportional: bool
    frames: int
    partition: Strategy | None
    reducer: Reducer | None
    order: str

    @staticmethod
    def of(
        depth: int,
        r: Any,
        proportional: bool = True,
        *,
        frames: int = 1,
        partition: Any = None,
        reducer: Any = None,
        order: str = "time",
    ) -> Settings:
        """ValueError for what does not fit together, or not to a model of so many blocks."""
        if order not in ("time", "tome"):
            raise ValueError(f'order is {order!r}; it is "time" or "tome".')
        if partition is not None and reducer is not None:
            raise ValueError("partition and reducer were both given; a partition is the short form: give one of them.")
        if order == "tome" and reducer is not None:
            raise ValueError("order='tome' is the order of ToMe's own matching; leave reducer out, or order.")
        chosen = None if reducer is None else choose(None, reducer)
        if (r is None) != is_ragged(chosen):
            raise ValueError(
                "r is missing: say how many tokens each block merges away."
                if r is None
                else f"r is {r!r}, but this reducer decides itself how many tokens it merges: leave r out."
            )
        strategy = resolve(partition)
        plug: Any = strategy if chosen is None else chosen
        asked = signals(plug)
        unknown = [name for name in asked if name in SIGNALS and name not in KNOWN]
        if unknown:
            raise ValueError(
                f"this {'partition' if chosen is None else 'reducer'} needs {' and '.join(unknown)}, which a host model"
                " does not know: choose another."
            )
        amounts: list[int | Amount | None] = [None] * depth if r is None else [*schedule(r, depth)]
        if not is_count(frames) or frames < 1:
            raise ValueError(f"frames is {frames!r}; give the number of frames of a film, 1 or more.")
        return Settings(tuple(amounts), proportional, int(frames), strategy, chosen, order)

    @property
    def is_tome(self) -> bool:
        """Whether tokens are matched as ToMe does it, and stay in their order in time."""
        return self.partition is None and self.reducer is None and self.order == "time"

    @property
    def merges(self) -> bool:
        """Whether any block may merge."""
        return any(amount != 0 for amount in self.amounts)

    @property
    def masked(self) -> bool:
        """Whether the attention needs a mask: for log(size), or where images keep different numbers of tokens."""
        return self.proportional or is_ragged(self.reducer)

    @property
    def signals(self) -> tuple[str, ...]:
        """What the reducer, or the partition, needs of the attention itself."""
        plug: Any = self.partition if self.reducer is None else self.reducer
        asked = signals(plug)
        return tuple(name for name in asked if name in ("attention", "entropy"))


def is_count(value: Any) -> bool:
    """Whether a value is a whole number, 0 or more."""
    try:
        return not isinstance(value, bool) and int(value) == value and value >= 0
    except (TypeError, ValueError, OverflowError):
        return False
