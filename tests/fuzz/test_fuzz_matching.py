"""Matching, merging and averaging, plain, tiled and screened, against float64 by loops."""

from unittest import mock

import numpy as np
import torch
from fuzzing import SEEDS, fuzz
from hypothesis import strategies as st
from matching_by_loops import DTYPES, KINDS, SIZES, averages_of, check_merge, check_nearest, keys_of

from vtm_lesson.merging import Merge, fast_cpu, match, match_plain, tiled
from vtm_lesson.merging.fast_cpu import nearest_screened
from vtm_lesson.merging.tiled import nearest_tiled, others

# What average and exact one may differ by: a few units in the last place.
ROUNDING = {"float64": 1e-12, "float32": 1e-5, "bfloat16": 2e-2, "float16": 2e-3}


def targets_of(batch, n, count, alike, seed):
    """(B, T) ascending positions: the same ones in every item, or each item's own."""
    chance = np.random.default_rng(seed)
    rows = [np.sort(chance.permutation(n)[:count]) for _ in range(batch)]
    return torch.from_numpy(np.stack([rows[0]] * batch if alike else rows))


@fuzz(
    cases=40,
    shape=st.tuples(st.integers(1, 3), st.integers(2, 40), st.integers(1, 9)),
    share=st.floats(0, 1),
    merged=st.floats(0, 1),
    alike=st.booleans(),
    kind=st.sampled_from(KINDS),
    size=st.sampled_from(SIZES),
    dtype=st.sampled_from(list(DTYPES)),
    tile=st.sampled_from([1, 60, 1 << 22]),
    seed=SEEDS,
)
def test_match(shape, share, merged, alike, kind, size, dtype, tile, seed):
    batch, n, _ = shape
    keys, before = (keys_of(kind, size, dtype, shape, seed) for _ in range(2))
    targets = targets_of(batch, n, 1 + int(share * (n - 1)), alike, seed)
    n_merge = int(merged * (n - targets.shape[1]))
    exact = kind == "axes"
    with mock.patch.dict(tiled.TILE, cpu=tile):
        best, similarity = nearest_tiled(keys, targets, others(targets, n))
        merges = [match(keys, targets[0] if alike else targets, n_merge), match_plain(keys, targets, n_merge)]
    check_nearest(keys, targets, others(targets, n), best, similarity, exact)
    for merge in merges:
        check_merge(keys, targets, n_merge, merge, exact)
    assert torch.equal(keys, before), "the keys were changed"


@fuzz(
    cases=12,
    shape=st.tuples(st.integers(1, 2), st.integers(80, 200), st.integers(1, 24)),
    kind=st.sampled_from(KINDS),
    size=st.sampled_from(SIZES),
    dtype=st.sampled_from(["float32", "bfloat16", "float16"]),
    extra=st.integers(0, 15),
    tile=st.sampled_from([500, 1 << 22]),
    seed=SEEDS,
)
def test_screening(shape, kind, size, dtype, extra, tile, seed):
    """With blocks of 8 targets, so that small problems are screened as large ones are."""
    keys = keys_of(kind, size, dtype, shape, seed)
    targets = targets_of(shape[0], shape[1], 64 + extra, False, seed)
    sources = others(targets, shape[1])
    smaller = mock.patch.multiple(fast_cpu, BLOCK=8, SMALL=0), mock.patch.object(tiled, "BLOCK", 8)
    never = mock.patch.object(fast_cpu, "nearest_tiled", side_effect=fast_cpu.nearest_tiled)
    with smaller[0], smaller[1], mock.patch.dict(tiled.TILE, cpu=tile), never as usual:
        best, similarity = nearest_screened(keys, targets, sources)
        assert all(call.args[2].shape[1] < sources.shape[1] or len(call.args[0]) == 1 for call in usual.mock_calls)
    check_nearest(keys, targets, sources, best, similarity, exact=kind == "axes")


@fuzz(
    cases=40,
    shape=st.tuples(st.integers(1, 3), st.integers(1, 30), st.integers(1, 5)),
    share=st.floats(0, 1),
    even=st.booleans(),
    dropped=st.booleans(),
    weight=st.sampled_from(["", "some", "many zeros"]),
    given=st.sampled_from(["", "some", "many zeros", "huge"]),
    norm=st.booleans(),
    dtype=st.sampled_from(list(DTYPES)),
    size=st.sampled_from(["one", "huge", "tiny"]),
    seed=SEEDS,
)
def test_averages(shape, share, even, dropped, weight, given, norm, dtype, size, seed):
    """Any Merge: groups of any size, other numbers in each item, dropped tokens, weights of its own and of a call."""
    batch, n, _ = shape
    chance = np.random.default_rng(seed)
    stays = chance.random((batch, n)) < share
    stays[:, 0] = True
    if even:
        stays[:] = stays[:1]
    into = np.array([[i if row[i] else chance.choice(np.flatnonzero(row)) for i in range(n)] for row in stays])
    lost = (chance.random((batch, n)) < 0.3) & ~stays if dropped else np.zeros((batch, n), bool)

    def numbers(what):
        values = chance.random((batch, n)) + 0.1
        if what == "many zeros":
            values *= chance.random((batch, n)) < 0.4
        return values * (1e30 if what == "huge" else 1)

    own, asked = (numbers(what) if what else np.ones((batch, n)) for what in (weight, given))
    merge = Merge.of(
        torch.from_numpy(into), torch.from_numpy(lost) if dropped else None, int(stays[0].sum()) if even else None,
        torch.from_numpy(own).float() if weight else None, norm,
    )  # fmt: skip
    x = keys_of("normal", "one" if norm else size, dtype, shape, seed)  # lengths are sums of squares, which end sooner
    y = merge(x, torch.from_numpy(asked).float() if given else None)
    assert y.dtype == x.dtype and y.shape == (batch, merge.n_out, shape[2])
    back, sizes = merge.unmerge(y), merge.size()
    for b in range(batch):
        survivors = np.flatnonzero(stays[b]).tolist()
        group = [survivors.index(i) for i in into[b].tolist()]
        assert merge.group[b].tolist() == group and merge.keep[b, : len(survivors)].tolist() == survivors
        counts = [sum(g == m and not lost[b, i] for i, g in enumerate(group)) for m in range(merge.n_out)]
        assert sizes[b].tolist() == counts, "another size"
        expected = averages_of(x[b], group, merge.n_out, effective(own[b], asked[b], lost[b], group), norm)
        ours = y[b].double().numpy()
        assert (ours[len(survivors) :] == 0).all(), "padding that is no zeros"
        scale = max(1e-300, float(x[b].double().abs().max()))
        off = np.abs(ours - expected) / scale
        assert not (off > ROUNDING[dtype] * (3 if norm else 1)).any(), "another average"
        assert torch.equal(back[b], y[b][torch.tensor(group)]), "unmerged to another token's group"


def effective(own, asked, lost, group):
    """What each token of an item counts: as `Merge` says of its weight, of a call's weight, and of dropped tokens."""
    own, asked = own.astype(np.float32).astype(np.float64), asked.astype(np.float32).astype(np.float64)
    own, alone = np.where(lost, 0, own), np.where(lost, 0, 1.0)
    for m in set(group):
        here = np.array(group) == m
        if own[here].sum() == 0:  # weights that are all 0 say nothing
            own[here] = alone[here]
        if (own[here] * asked[here]).sum() == 0:  # nor do both together
            own[here], asked[here] = alone[here], 1.0
    return own * asked


@fuzz(
    cases=20,
    n=st.integers(1, 40),
    shares=st.lists(st.floats(0, 1), min_size=2, max_size=4),
    dropped=st.booleans(),
    weighted=st.booleans(),
    seed=SEEDS,
)
def test_merges_one_after_the_other_are_one(n, shares, dropped, weighted, seed):
    """`then`, any number of times: averages weighted by size are those over the first tokens."""
    chance = np.random.default_rng(seed)
    whole, group, count = None, list(range(n)), np.ones(n)
    x = torch.from_numpy(chance.standard_normal((1, n, 3)))
    y, size, left = x, torch.ones(1, n), n
    for share in shares:
        stays = chance.random(left) < share
        stays[0] = True
        into = np.array([i if stays[i] else chance.choice(np.flatnonzero(stays)) for i in range(left)])
        lost = (chance.random(left) < 0.3) & ~stays if dropped else np.zeros(left, bool)
        weight = chance.random(left) + 0.5
        merge = Merge.of(
            torch.from_numpy(into)[None], torch.from_numpy(lost)[None] if dropped else None, int(stays.sum()),
            torch.from_numpy(weight)[None] if weighted else None,
        )  # fmt: skip
        y, size, left = merge(y, size), merge.size(size), merge.n_out
        whole = merge if whole is None else whole.then(merge)
        number = {int(i): m for m, i in enumerate(np.flatnonzero(stays))}
        count = np.array([0 if lost[group[i]] else count[i] for i in range(n)])
        group = [number[int(into[g])] for g in group]
    assert whole.group[0].tolist() == group
    assert whole.size()[0].tolist() == [sum(count[i] for i in range(n) if group[i] == m) for m in range(left)]
    torch.testing.assert_close(whole.size(), size)
    torch.testing.assert_close(whole(x), y, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(whole.unmerge(y), y[:, torch.tensor(group)])
