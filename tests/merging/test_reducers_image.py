"""The reducers that come from images, against loops in float64; then what each of them is prone to."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from vtm_lesson.merging import match
from vtm_lesson.merging.partition import uniform
from vtm_lesson.merging.reducers import energy as energy_file
from vtm_lesson.merging.registry import reducer
from vtm_lesson.merging.strategies import Context, reduce, signals

# ------------------------------------------------------------------------------------------------------- the inputs


def context(batch=1, frames=2, height=3, width=4, gamma=4.0, r=1.0, seed=0, share=1.0, keys="normal"):
    """Tokens of a full grid, or of a random share of it, as after a first merge; all in float64.

    keys: "normal", no two alike; "axes", unit vectors and zeros, so that many are alike and cosines are exact.
    """
    generator = torch.Generator().manual_seed(seed)
    n_grid = frames * height * width
    n = max(1, math.ceil(share * n_grid))
    position = torch.stack([torch.randperm(n_grid, generator=generator)[:n].sort().values for _ in range(batch)])
    if keys == "normal":
        k = torch.randn(batch, n, 5, generator=generator, dtype=torch.float64)
    else:
        axes = torch.cat([torch.eye(3), -torch.eye(3), torch.zeros(1, 3)]).double()
        k = axes[torch.randint(7, (batch, n), generator=generator)]
    c = Context(k, gamma, frames, height, width, position, torch.randint(1, 9, (batch, n), generator=generator).float())
    c.entropy = -3 * torch.rand(batch, n, generator=generator, dtype=torch.float64)
    c.generator, c.r = torch.Generator().manual_seed(seed), r
    return c


some_context = st.builds(
    context,
    batch=st.integers(1, 3),
    frames=st.integers(1, 4),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    gamma=st.floats(1, 12),
    r=st.floats(0, 1),
    seed=st.integers(0, 10**6),
    share=st.sampled_from([1.0, 1.0, 0.6, 0.3, 0.01]),
    keys=st.sampled_from(["normal", "axes"]),
)
depths = st.sampled_from([None, (0, 1), (0, 4), (1, 4), (2, 4), (3, 4), (2, 5)])
often = settings(max_examples=60, deadline=None)


def features(c):
    return torch.randn(*c.keys.shape[:2], 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


# --------------------------------------------------------------------------------------- the references, one item each


def cosine(a, b):
    lengths = math.sqrt(sum(v * v for v in a)) * math.sqrt(sum(v * v for v in b))
    return sum(v * w for v, w in zip(a, b, strict=True)) / lengths if lengths else 0.0


def matched(keys, targets, sources, r, score=cosine):
    """token -> where it goes: the r sources most similar to a target go to it, ties to the lower."""
    into = {i: i for i in sorted([*targets, *sources])}
    best = {}
    for i in sources:
        best[i] = max(targets, key=lambda j: (score(keys[i], keys[j]), -j))
    ranked = sorted(sources, key=lambda i: (-score(keys[i], keys[best[i]]), i))
    return into | {i: best[i] for i in ranked[:r]}


def every_second(tokens):
    """ToMe's halves, of a list: what `uniform(n, 2, offset=1)` chooses."""
    return [tokens[i] for i in uniform(len(tokens), 2, offset=1).tolist()]


def averages(keys, size, into):
    """The survivors' keys and sizes after a merge, weighted by size: two dictionaries."""
    new_keys, new_size = {}, {}
    for j in sorted(set(into.values())):
        group = [i for i in into if into[i] == j]
        total = sum(size[i] for i in group)
        new_keys[j] = [sum(size[i] * keys[i][d] for i in group) / total for d in range(len(keys[j]))]
        new_size[j] = total
    return new_keys, new_size


def cells_by_loops(c, b, order, height=2, width=2):
    """order: of the tokens of a cell, the one where it is least is the target."""
    row, column, frame = c.row[b].tolist(), c.column[b].tolist(), c.frame[b].tolist()
    sizes, widen = [(1, height, width)], True
    while sizes[-1][1] < c.height or sizes[-1][2] < c.width:
        _, high, wide = sizes[-1]
        sizes.append((1, high, wide + 1) if widen else (1, high + 1, wide))
        widen = not widen
    sizes += [(deep, high, wide) for _, high, wide in sizes[-1:] for deep in range(2, c.frames + 1)]
    for deep, high, wide in sizes:
        high, wide = min(high, c.height), min(wide, c.width)
        cells = {}
        for i in range(c.n):
            y, x = row[i] // high, column[i] // wide
            if (y + 1) * high <= c.height and (x + 1) * wide <= c.width:
                cells.setdefault(((frame[i] - min(frame)) // deep, y, x), []).append(i)
        targets = sorted(min(cell, key=lambda i: order[i]) for cell in cells.values())
        if 1 <= len(targets) <= c.n_keep:
            return matched(c.keys[b].tolist(), targets, sorted({*range(c.n)} - {*targets}), c.n_merge)
    raise AssertionError("the largest cell holds everything")


def energy_by_loops(c, b, margin=0.75):
    m = margin / 2 if c.depth is None else margin * (1 - c.depth[0] / c.depth[1])
    keys, size = dict(enumerate(c.keys[b].tolist())), dict(enumerate(c.size[b].tolist()))
    gone = {i: i for i in range(c.n)}
    while len(keys) > c.n_keep:
        n = len(keys)
        left = c.n_keep
        if 2 * (n - left) > n:  # more than one round: a share each that is more than half
            rounds = math.floor(math.log2(n / c.n_keep)) + 1
            left = max(math.ceil(n / 2), math.floor(n * (c.n_keep / n) ** (1 / rounds)))
        energy = {}
        for i in keys:
            cosines = [cosine(keys[i], keys[j]) for j in keys]
            energy[i] = sum(x if x >= m else math.exp(x - m) - 1 for x in cosines) / n
        ranked = sorted(keys, key=lambda i: (-round(energy[i] * 2**16), i))[: 2 * (n - left)]
        sources, targets = sorted(ranked[0::2]), sorted(ranked[1::2])
        into = {i: i for i in keys} | matched(keys, targets, sources, len(sources))
        keys, size = averages(keys, size, into)
        gone = {i: into[j] for i, j in gone.items()}
    return gone


def bipartite_by_loops(c, b, embed=lambda key: key):
    targets = uniform(c.n, c.gamma).tolist()
    keys = [embed(key) for key in c.keys[b].tolist()]
    return matched(keys, targets, sorted({*range(c.n)} - {*targets}), c.n_merge)


def sharp_by_loops(c, b, into):
    """What each token counts in the average: its size, and for those that merge that times its sharpness."""
    e, size = c.entropy[b].tolist(), c.size[b].tolist()
    low, high = min(e), max(e)
    if high == low:
        return size
    e = [(v - low) / (high - low) for v in e]
    mean = sum(e) / len(e)
    e = [v - mean if v >= mean else 0.0 for v in e]
    return [size[i] * (e[i] / max(e) if into[i] != i else 1) for i in range(c.n)]


def time_space_by_loops(c, b, time=0.5):
    n, places, frames, frame = c.n, c.height * c.width, c.frames, c.frame[b].tolist()
    keys, size = dict(enumerate(c.keys[b].tolist())), dict(enumerate(c.size[b].tolist()))
    gone = {i: i for i in range(n)}
    many = min(math.floor(time * c.n_merge / places), frames // 2)
    if n == frames * places and many:

        def votes(s, t):
            return sum(cosine(keys[s * places + p], keys[t * places + p]) for p in range(places))

        targets = every_second(range(frames))
        chosen = matched(range(frames), targets, sorted({*range(frames)} - {*targets}), many, score=votes)
        into = {i: chosen[i // places] * places + i % places for i in range(n)}
        keys, size = averages(keys, size, into)
        gone = into
    held = {f: [i for i in keys if frame[i] == f] for f in sorted({frame[i] for i in keys})}
    if len(held) > c.n_keep:
        held = {0: sorted(keys)}
    into, given, others = {}, 0, 0
    for tokens in held.values():
        others += len(tokens) - 1
        so_far = others * (c.n_keep - len(held)) // max(1, len(keys) - len(held))  # less the one that stays anyway
        left, given = 1 + so_far - given, so_far
        count = min(left, math.ceil(len(tokens) / 2))
        targets = [tokens[i] for i in uniform(len(tokens), len(tokens) / count, offset=1).tolist()]
        into |= matched(keys, targets, sorted({*tokens} - {*targets}), len(tokens) - left)
    return {i: into[j] for i, j in gone.items()}


# ---------------------------------------------------------------------------------------------------- the comparisons


def same(merge, b, into):
    assert merge.into[b].tolist() == [into[i] for i in range(merge.n_in)]


@often
@given(some_context, st.booleans(), st.sampled_from([(2, 2), (1, 3), (4, 1)]))
def test_cells(c, top, cell):
    c.top = top
    merge = reduce(reducer("cells", height=cell[0], width=cell[1]), c)
    noise = torch.rand(c.size.shape, generator=torch.Generator().manual_seed(c.generator.initial_seed()))
    for b in range(len(c.keys)):
        same(merge, b, cells_by_loops(c, b, range(c.n) if top else noise[b].tolist(), *cell))


@often
@given(some_context, depths, st.sampled_from([0.75, 0.2]))
def test_energy(c, depth, margin):
    if 2 * c.n_merge > c.n:  # averages of axes are alike up to rounding
        c.keys = torch.randn(c.keys.shape, generator=torch.Generator().manual_seed(c.n), dtype=torch.float64)
    c.depth = depth
    merge = reduce(reducer("energy", margin=margin), c)
    for b in range(len(c.keys)):
        same(merge, b, energy_by_loops(c, b, margin))


@often
@given(some_context, depths, st.sampled_from([0.0, 0.5, 1.0]))
def test_norm_preserving(c, depth, early):
    c.depth = depth
    merge = reduce(reducer("norm_preserving", early=early), c)
    x = features(c)
    y = merge(x, c.size)
    for b in range(len(c.keys)):
        into = bipartite_by_loops(c, b)
        same(merge, b, into)
        for m, j in enumerate(sorted(set(into.values()))):
            group = [i for i in into if into[i] == j]
            if depth is not None and depth[0] < early * depth[1]:
                expected = x[b, j]
            else:
                mean = sum(x[b, i] * c.size[b, i].double() for i in group) / sum(c.size[b, i] for i in group)
                expected = mean / mean.norm() * max(x[b, i].norm() for i in group)
            torch.testing.assert_close(y[b, m], expected)


@often
@given(some_context, st.sampled_from(["given", "constant", "one is sharp"]))
def test_sharpness(c, kind):
    if kind != "given":
        c.entropy = torch.full_like(c.entropy, -0.1)  # ten times -0.1 is not -1 in floating point
    if kind == "one is sharp":
        c.entropy[:, c.n // 2] = 0
    merge = reduce(reducer("sharpness"), c)
    assert merge.size().sum(1).tolist() == [c.n] * len(c.keys), "sizes count patches, whatever a token weighs"
    x = features(c)
    y = merge(x, c.size)
    for b in range(len(c.keys)):
        into = bipartite_by_loops(c, b)
        same(merge, b, into)
        weight = sharp_by_loops(c, b, into)
        for m, j in enumerate(sorted(set(into.values()))):
            group = [i for i in into if into[i] == j]
            expected = sum(x[b, i] * weight[i] for i in group) / sum(weight[i] for i in group)
            torch.testing.assert_close(y[b, m], expected)


@often
@given(some_context, st.sampled_from([0.0, 0.5, 1.0]))
def test_time_space(c, time):
    if time and c.n == c.frames * c.height * c.width:  # as in `test_energy`
        c.keys = torch.randn(c.keys.shape, generator=torch.Generator().manual_seed(c.n), dtype=torch.float64)
    merge = reduce(reducer("time_space", time=time), c)
    for b in range(len(c.keys)):
        same(merge, b, time_space_by_loops(c, b, time))


@pytest.mark.parametrize("frames, gamma, time", [(4, 4.0, 0.5), (5, 9.0, 1.0), (6, 12.0, 1.0), (3, 3.0, 0.8)])
def test_time_space_where_whole_frames_merge(frames, gamma, time):
    """Films of many frames: as many of them merge as may, and what is matched then are averages by size."""
    for seed in range(8):
        c = context(batch=2, frames=frames, height=2, width=3, gamma=gamma, seed=seed)
        merge = reduce(reducer("time_space", time=time), c)
        for b in range(2):
            same(merge, b, time_space_by_loops(c, b, time))


@often
@given(some_context)
def test_decoupled(c):
    plain = reduce(reducer("decoupled"), c)
    halved = reduce(reducer("decoupled", embed=lambda keys: keys[:, :, :2] - 0.25), c)
    for b in range(len(c.keys)):
        same(plain, b, bipartite_by_loops(c, b))
        same(halved, b, bipartite_by_loops(c, b, embed=lambda key: [v - 0.25 for v in key[:2]]))


# ------------------------------------------------------------------------------------------------------ each by itself


def on_grid(keys, frames, height, width, gamma, **more):
    n = frames * height * width
    position = torch.arange(n).expand(len(keys), n)
    return Context(keys, gamma, frames, height, width, position, torch.ones(len(keys), n), **more)


def test_one_target_a_cell_and_none_where_the_border_cuts():
    c = on_grid(torch.eye(30)[None], 1, 5, 6, 4.0, merged=0)
    chosen = reducer("cells")._choose(c)[0].view(5, 6)
    assert chosen[:4].unfold(0, 2, 2).unfold(1, 2, 2).sum((2, 3)).tolist() == [[1] * 3] * 2
    assert not chosen[4].any()


def test_cells_draw_for_every_item_and_take_the_top_left_without_chance():
    c = on_grid(torch.randn(4, 144, 3), 1, 12, 12, 4.0, merged=60, generator=torch.Generator().manual_seed(0))
    chosen = reducer("cells")._choose(c)
    assert len({tuple(row.nonzero()[:, 0].tolist()) for row in chosen}) == 4
    c.top = True
    corners = torch.zeros(12, 12, dtype=torch.bool)
    corners[::2, ::2] = True
    assert torch.equal(reducer("cells")._choose(c), corners.flatten().expand(4, -1))
    c.training = True
    assert not torch.equal(reducer("cells")._choose(c)[0], corners.flatten())


@pytest.mark.parametrize(
    ("gamma", "targets"), [(4, 2 * 9), (5, 2 * 6), (8, 2 * 4), (18, 2 * 2), (36, 2), (72, 1)], ids=str
)
def test_cells_grow_with_the_budget(gamma, targets):
    c = on_grid(torch.randn(1, 72, 3), 2, 6, 6, gamma)
    assert int(reducer("cells")._choose(c).sum()) == targets
    assert reduce(reducer("cells"), c).n_out == c.n_keep


def test_cells_grow_where_all_tokens_lie_in_cells_that_are_cut_off():
    c = on_grid(torch.randn(1, 25, 3), 1, 5, 5, 2.0)
    c.keys, c.position, c.size = c.keys[:, 20:], c.position[:, 20:], c.size[:, 20:]  # the last row
    assert int(reducer("cells")._choose(c).sum()) == 1, "two patches a side, three, four: none; the whole frame"
    assert reduce(reducer("cells"), c).n_out == 3


def test_items_may_have_different_numbers_of_cells():
    c = context(batch=4, frames=2, height=5, width=5, gamma=2.5, share=0.5, seed=1)
    c.top = True
    assert len(set(reducer("cells")._choose(c).sum(1).tolist())) > 1
    merge = reduce(reducer("cells"), c)
    for b in range(4):
        same(merge, b, cells_by_loops(c, b, range(c.n)))


@pytest.mark.parametrize("name", ["cells", "time_space"])
def test_a_chunk_may_begin_anywhere_in_the_film(name):
    c = on_grid(torch.randn(1, 12, 3, generator=torch.Generator().manual_seed(0)), 3, 2, 2, 9.0, top=True)
    first = reduce(reducer(name), c)
    c.position = c.position + 20  # frames 5 to 7
    assert torch.equal(reduce(reducer(name), c).group, first.group)


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("cells", {"height": 0}, "the cell is 0 x 2; sides are 1 patch or more"),
        ("norm_preserving", {"early": 1.5}, "early is 1.5; it is a share of the blocks"),
        ("time_space", {"time": -0.5}, "time is -0.5; it is the share of R that merges frames"),
    ],
)
def test_settings_are_checked(name, wrong, words):
    with pytest.raises(ValueError, match=words):
        reducer(name, **wrong)


def test_energy_protects_who_stands_alone():
    alone = torch.eye(8)[:6]
    wall = torch.eye(8)[6] + 0.01 * torch.randn(34, 8, generator=torch.Generator().manual_seed(0))
    keys = torch.cat([wall[:7], alone, wall[7:]])[None]
    for left in (23, 16):  # one round, and two
        merge = reduce(reducer("energy"), on_grid(keys, 1, 5, 8, 2.0, merged=40 - left))
        assert merge.n_out == left
        assert all((merge.group[0] == merge.group[0, i]).sum() == 1 for i in range(7, 13))
    assert not set(range(7, 13)) <= set(match(keys, uniform(40, 40 / 16)).keep[0].tolist()), "ToMe merges some of them"


def test_energy_takes_equals_in_order_whatever_the_batch_and_the_tile(monkeypatch):
    generator = torch.Generator().manual_seed(3)
    kinds = torch.randn(4, 40, generator=generator)
    keys = kinds[torch.randint(4, (5, 90), generator=generator)]
    whole = energy_file.energy(keys, 0.3)
    for item in range(5):
        assert all(len(set(whole[item][(keys[item] == kind).all(1)].tolist())) <= 1 for kind in kinds)
        assert torch.equal(energy_file.energy(keys[item, None], 0.3)[0], whole[item])
    monkeypatch.setitem(energy_file.TILE, "cpu", 4 * 5 * 7**2)
    assert torch.equal(energy_file.energy(keys, 0.3), whole)


def test_energy_holds_no_matrix_of_all_pairs(monkeypatch):
    monkeypatch.setitem(energy_file.TILE, "cpu", 4 * 32**2)
    largest = 0
    where = torch.where

    def spy(condition, *rest):
        nonlocal largest
        largest = max(largest, condition.numel())
        return where(condition, *rest)

    monkeypatch.setattr(torch, "where", spy)
    energy_file.energy(torch.randn(1, 300, 4), 0.5)
    assert 0 < largest <= 32**2


@pytest.mark.parametrize("n", [80, 300])
def test_energy_counts_its_products(monkeypatch, n):
    monkeypatch.setitem(energy_file.TILE, "cpu", 4 * 128**2)
    c = on_grid(torch.randn(1, n, 5), 1, 1, n, 6.0)
    with FlopCounterMode(display=False) as counter:
        reduce(reducer("energy"), c)
    assert counter.get_total_flops() == reducer("energy").flops(n, c.n_targets, 5)


def test_the_margin_falls_with_depth(monkeypatch):
    margins = []
    real = energy_file.energy
    monkeypatch.setattr(energy_file, "energy", lambda keys, margin: margins.append(margin) or real(keys, margin))
    for depth in (None, (0, 4), (3, 4)):
        reduce(reducer("energy"), on_grid(torch.randn(1, 12, 3), 1, 3, 4, 2.0, depth=depth))
    assert margins == [0.375, 0.75, 0.1875]


def test_the_norm_is_the_largest_of_the_group_not_that_of_its_target():
    keys = torch.tensor([[[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]])
    c = on_grid(keys, 1, 2, 2, 2.0)
    x = torch.tensor([[[1.0, 0.0], [0.0, 5.0], [3.0, 0.0], [-3.0, 0.0]]])
    merge = reduce(reducer("norm_preserving"), c)
    assert merge.group.tolist() == [[0, 0, 1, 1]]
    y = merge(x)
    torch.testing.assert_close(y[0, 0], 5 * torch.tensor([0.5, 2.5]) / math.hypot(0.5, 2.5))
    assert y.isfinite().all(), "the second group cancels"
    c.depth = (0, 2)
    assert torch.equal(reduce(reducer("norm_preserving"), c)(x), x[:, ::2])


def test_a_source_that_looks_everywhere_vanishes_and_a_map_without_shape_says_nothing():
    keys = torch.tensor([[[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]])
    c = on_grid(keys, 1, 2, 2, 2.0, entropy=torch.tensor([[-1.0, -3.0, -1.0, 0.0]]))
    x = torch.tensor([[[2.0], [4.0], [6.0], [8.0]]])
    merge = reduce(reducer("sharpness"), c)
    assert merge(x).flatten().tolist() == [2.0, 7.0] and merge.size().tolist() == [[2.0, 2.0]]
    for flat in (torch.zeros(1, 4), torch.full((1, 4), -0.1)):
        c.entropy = flat
        assert reduce(reducer("sharpness"), c)(x).flatten().tolist() == [3.0, 7.0]
    c.entropy = None
    with pytest.raises(ValueError, match="merging by sharpness needs attention's entropy"):
        reduce(reducer("sharpness"), c)


def test_what_the_reducers_need():
    assert signals(reducer("sharpness")) == ("entropy",)
    assert all(signals(reducer(name)) == () for name in ("cells", "energy", "time_space", "decoupled"))


def test_the_same_frames_merge_at_every_place():
    film = torch.randn(6, 8, 16, generator=torch.Generator().manual_seed(1))
    film[2] = film[5] + 0.1  # 1, 3 and 5 are targets
    film[4, :7] = film[1, :7]
    c = on_grid(film.flatten(0, 1)[None], 6, 2, 4, 2.0, merged=32)
    merge = reduce(reducer("time_space"), c)
    places = torch.arange(8)
    assert torch.equal(merge.group[0].view(6, 8)[2], merge.group[0].view(6, 8)[5])
    assert torch.equal(merge.group[0].view(6, 8)[4], merge.group[0].view(6, 8)[1])
    frames_only = reduce(reducer("time_space", time=1.0), on_grid(c.keys, 6, 2, 4, 2.0, merged=16))
    assert torch.equal(frames_only.into[0].view(6, 8)[2], 40 + places) and frames_only.size().max() == 2


def test_frames_are_left_alone_where_their_tokens_are_not_at_the_same_places():
    c = context(frames=4, height=4, width=4, share=0.5, r=0.5, seed=2)
    merge = reduce(reducer("time_space", time=1.0), c)
    assert merge.n_out == c.n_keep < c.n and torch.equal(c.frame.gather(1, merge.into), c.frame)


def test_fewer_tokens_than_frames():
    c = on_grid(torch.randn(2, 24, 4), 12, 1, 2, 12.0)
    assert reduce(reducer("time_space"), c).n_out == 2


def test_frames_may_hold_different_numbers():
    c = context(batch=2, frames=5, height=4, width=4, share=0.4, gamma=3.0, seed=4)
    merge = reduce(reducer("time_space"), c)
    assert merge.n_out == c.n_keep and torch.equal(c.frame.gather(1, merge.into), c.frame)
    for b in range(2):
        for f in c.frame[b].unique().tolist():
            held, left = int((c.frame[b] == f).sum()), int((c.frame[b, merge.keep[b]] == f).sum())
            assert abs((left - 1) - (held - 1) * (c.n_keep - 5) / (c.n - 5)) < 1


def test_an_embedding_decides_and_is_checked():
    c = on_grid(torch.randn(2, 12, 6, generator=torch.Generator().manual_seed(0)), 1, 3, 4, 3.0)
    embed = torch.nn.Linear(6, 2, bias=False)
    merge = reduce(reducer("decoupled", embed=embed), c)
    assert torch.equal(merge.group, match(embed(c.keys), uniform(12, 3)).group)
    assert torch.equal(c.targets, uniform(12, 3).expand(2, -1))
    assert torch.equal(reduce(reducer("decoupled"), c).group, reduce(reducer("uniform"), c).group)
    with pytest.raises(ValueError, match=r"embed returned \(2, 12\) for keys \(2, 12, 6\); it returns \(B, n, d\)"):
        reduce(reducer("decoupled", embed=lambda keys: keys[..., 0]), c)


@pytest.mark.parametrize("name", ["cells", "energy", "norm_preserving", "time_space", "decoupled", "sharpness"])
def test_one_token_and_nothing_to_merge(name):
    one = on_grid(torch.zeros(1, 1, 3), 1, 1, 1, 6.0, entropy=torch.zeros(1, 1))
    assert reduce(reducer(name), one).is_identity
    whole = context(r=0.0)
    merge = reduce(reducer(name), whole)
    assert merge.n_out == whole.n
    torch.testing.assert_close(merge(features(whole)), features(whole))
