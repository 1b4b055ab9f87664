"""Every reducer, with random settings, on tokens of every kind: its Merge is one, keeps its budget, and repeats."""

import dataclasses

import numpy as np
import torch
from fuzzing import SEEDS, fuzz
from hypothesis import strategies as st
from matching_by_loops import DTYPES, KINDS, SIZES, check_merge, keys_of

from vtm_lesson.merging.registry import reducer, reducers
from vtm_lesson.merging.strategies import STRATEGIES, Context, is_ragged, reduce

# Settings of reducers that have some, each with what it may be.
COSINE = st.floats(-1, 1)
SETTINGS = {
    "anchor_frames": {"above": COSINE, "frame": COSINE, "frame_window": (1, 9), "window": (1, 9)},
    "cells": {"height": (1, 4), "width": (1, 4)},
    "change": {"average": st.booleans()},
    "drop": {"signal": ("chance", "motion", "saliency", "oracle", "attention")},
    "energy": {"margin": st.floats(0, 1)},
    "frames": {"average": st.booleans()},
    "norm_preserving": {"early": st.floats(0, 1)},
    "quadtree": {"above": COSINE, "time": COSINE, "levels": (1, 3)},
    "run_length": {"above": st.floats(0, 4), "on": ("keys", "pixels"), "average": st.booleans()},
    "threshold": {"above": COSINE},
    "time_space": {"time": st.floats(0, 1)},
    "top": {"signal": ("attention", "saliency", "motion", "oracle", "relative", "entropy")},
    "window": {"above": COSINE, "run": (1, 9), "side": st.sampled_from([1, 3, 5])},
}
# What draws, also where the tokens of highest score are asked for.
DRAWS = ("random", "oracle", "cells", "drop")


def one_of(allowed):
    """(1, 9) is a range, names are names."""
    if isinstance(allowed, st.SearchStrategy):
        return allowed
    return st.integers(*allowed) if isinstance(allowed[0], int) else st.sampled_from(allowed)


CHOICES = st.sampled_from(reducers()).flatmap(
    lambda name: st.tuples(
        st.just(name), st.fixed_dictionaries({}, optional={k: one_of(v) for k, v in SETTINGS.get(name, {}).items()})
    )
)


@dataclasses.dataclass
class Tokens:
    """What a Context is made of, so that the same one, or some rows of it, can be made again."""

    grid: tuple
    gamma: float
    r: float
    merged: int | None
    columns: dict
    seed: int

    def context(self, rows=None):
        rows = list(range(len(self.columns["keys"]))) if rows is None else rows
        columns = {name: value[rows].clone() for name, value in self.columns.items()}
        context = Context(gamma=self.gamma, frames=self.grid[0], height=self.grid[1], width=self.grid[2], **columns)
        context.generator, context.top = torch.Generator().manual_seed(self.seed), True
        context.r, context.merged, context.depth = self.r, self.merged, (self.seed % 3, 3)
        return context


def tokens_of(batch, grid, share, gamma, r, merged, kind, size, dtype, seed):
    """Some tokens of videos: all, or a share of them as after a first merge, other ones in each."""
    chance = np.random.default_rng(seed)
    whole = grid[0] * grid[1] * grid[2]
    n = max(1, round(share * whole))
    position = torch.from_numpy(np.stack([np.sort(chance.permutation(whole)[:n]) for _ in range(batch)]))
    columns = {"keys": keys_of(kind, size, dtype, (batch, n, 6), seed), "position": position}
    for name in ("motion", "oracle", "saliency", "relative", "attention"):
        columns[name] = torch.from_numpy(chance.random((batch, n))).float()
    columns["attention"] /= columns["attention"].sum(1, keepdim=True)
    columns["entropy"] = -torch.from_numpy(chance.random((batch, n))).float()
    columns["size"] = torch.from_numpy(chance.integers(1, 9, (batch, n))).float()
    columns["pixels"] = torch.from_numpy(chance.random((batch, n, 4))).float()
    tokens = Tokens(tuple(grid), gamma, r, None, columns, seed)
    if merged is not None:
        tokens.merged = int(merged * (n - tokens.context().n_targets))
    return tokens


@fuzz(
    cases=120,
    choice=CHOICES,
    batch=st.integers(1, 3),
    grid=st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5)),
    share=st.sampled_from([1.0, 1.0, 0.7, 0.2]),
    gamma=st.floats(1, 12),
    r=st.floats(0, 1),
    merged=st.none() | st.floats(0, 1),
    kind=st.sampled_from(KINDS),
    size=st.sampled_from(SIZES),
    dtype=st.sampled_from(list(DTYPES)),
    seed=SEEDS,
)
def test_a_reducer(choice, batch, grid, share, gamma, r, merged, kind, size, dtype, seed):
    name, settings = choice
    tokens = tokens_of(batch, grid, share, gamma, r, merged, kind, size, dtype, seed)
    what, context = reducer(name, **settings), tokens.context()
    before = {column: value.clone() for column, value in tokens.columns.items()}
    merge = reduce(what, context)
    for column, value in before.items():
        assert torch.equal(getattr(context, column), value), f"the {column} of the Context were changed"

    n = context.n
    counts = [merge.n_out] * batch if merge.count is None else merge.count.tolist()
    sizes = merge.size().tolist()
    for b in range(batch):
        group, keep = merge.group[b].tolist(), merge.keep[b, : counts[b]].tolist()
        lost = [False] * n if merge.dropped is None else merge.dropped[b].tolist()
        assert len(group) == n and set(group) == set(range(counts[b])), "a token in no group, or a group of none"
        assert keep == sorted(set(keep)), "out of the order of time"
        assert [group[i] for i in keep] == list(range(counts[b])), "a group without its survivor"
        assert not any(lost[i] for i in keep), "a survivor that is dropped"
        own = [sum(g == m and not gone for g, gone in zip(group, lost, strict=True)) for m in range(merge.n_out)]
        assert sizes[b] == own, "sizes are not what the groups hold"
    if not is_ragged(what):
        assert counts == [context.n_keep] * batch, "another number of tokens than the budget's"
    share_of = merge.share(context.size)
    sums = torch.zeros(batch, merge.n_out).scatter_add(1, merge.group, share_of)
    assert all(abs(sums[b, m] - 1) < 1e-5 for b in range(batch) for m in range(counts[b])), "shares do not add up to 1"
    x = torch.randn(batch, n, 3, generator=torch.Generator().manual_seed(seed))
    assert merge(x, context.size).isfinite().all()

    again = reduce(what, tokens.context())
    same = torch.equal(merge.group, again.group) and torch.equal(merge.keep, again.keep)
    assert same, "another Merge for the same seed"
    # Equal directions tie up to rounding, which goes by where in a matrix product a number stands.
    untied = kind == "axes" or (kind == "normal" and size == "one" and dtype in ("float64", "float32"))
    if name in DRAWS or not untied or size == "denormal":
        return
    rows = list(range(batch))[::-1]
    turned = reduce(what, tokens.context(rows))
    assert torch.equal(turned.group, merge.group[rows]), "the order of the videos plays a part"
    for b in rows:
        alone = reduce(what, tokens.context([b]))
        assert torch.equal(alone.group[0], merge.group[b]), "a video is merged by what others are in its batch"
    if name in STRATEGIES:
        check_merge(context.keys, context.targets, context.n_merge, merge, exact=kind == "axes")
