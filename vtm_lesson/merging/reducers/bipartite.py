"""Targets and sources: ToMe's reducer, and with other partitions those of VTM."""

from __future__ import annotations

from dataclasses import dataclass

from ..matching import match
from ..merge import Merge
from ..projected import match_projected
from ..strategies import STRATEGIES, Context, Motion, Relative, Strategy, pick
from ..tiled import TILE


@dataclass(frozen=True)
class Bipartite:
    """Choose targets, match every source to one, merge the R sources that are most similar (VTM eqs. 1 to 5).

    partition: the strategy that chooses the targets. Keeps n - R tokens of n.
    """

    partition: Strategy

    source = "VTM (NeurIPS 2024), eqs. 1 to 5; matching of ToMe (2210.09461, 2023)"
    cost = "2 T (n - T) D"

    @property
    def signal(self) -> str | tuple[str, ...] | None:
        """What its strategy needs."""
        return getattr(self.partition, "signal", None)

    @property
    def projects(self) -> bool:
        """Whether it can do without keys: where no strategy looks at them, the targets' are enough."""
        known = self.partition in STRATEGIES.values() or isinstance(self.partition, (Motion, Relative))
        return known or "keys" not in getattr(self.partition, "names", ("keys",))

    def __call__(self, context: Context) -> Merge:
        context.targets = pick(self.partition, context)
        if context.projection is None:
            return match(context.keys, context.targets, context.n_merge)
        if context.n_merge == context.n - context.n_targets:
            return match_projected(context.keys, context.projection, context.targets)
        return match(context.keys @ context.projection.T, context.targets, context.n_merge)

    @staticmethod
    def flops(n: int, n_targets: int, dim: int) -> int:
        """Of the product of all sources with all targets."""
        return 2 * n_targets * (n - n_targets) * dim

    @staticmethod
    def memory(n: int, n_targets: int, dim: int) -> int:
        """The tile of scores, and the unit keys of the targets."""
        return 4 * (min(TILE["cpu"], n_targets * (n - n_targets)) + n_targets * dim)
