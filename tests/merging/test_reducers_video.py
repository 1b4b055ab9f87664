"""The reducers for video, each against its definition written down as loops over tokens, in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vtm_lesson.merging.registry import reducer
from vtm_lesson.merging.strategies import Context, reduce

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6))
FILL = st.sampled_from([1.0, 1.0, 0.7, 0.3])


def film(shape, fill=1.0, seed=0, gamma=3.0, batch=2, dim=5, noise=0.6) -> Context:
    """Chunks whose places look alike from frame to frame, more or less; fill: the share of the tokens still there."""
    generator = torch.Generator().manual_seed(seed)
    frames, height, width = shape
    n = frames * height * width
    base = torch.randn(batch, 1, (height + 1) // 2, (width + 1) // 2, dim, generator=generator, dtype=torch.float64)
    base = base.repeat_interleave(2, 2)[:, :, :height].repeat_interleave(2, 3)[:, :, :, :width]
    change = torch.randn(batch, frames, height, width, dim, generator=generator, dtype=torch.float64)
    keys = (base + noise * change).flatten(1, 3)
    kept = torch.rand(batch, n, generator=generator).argsort(1)[:, : max(1, int(fill * n))].sort(1).values
    keys = keys.gather(1, kept[..., None].expand(-1, -1, dim))
    start = 7 * height * width  # a chunk in the middle of a film
    c = Context(keys, gamma, frames, height, width, kept + start, torch.ones(kept.shape))
    c.attention = torch.rand(kept.shape, generator=generator).double()
    c.pixels = torch.rand(*kept.shape, 3, generator=generator).double()
    return c


def tokens_of(c: Context, item: int):
    """[(frame, row, column)] of one item's tokens, the chunk's frames counted from that of its first token."""
    frame, row, column = (values[item].tolist() for values in (c.frame, c.row, c.column))
    return [(f - frame[0], y, x) for f, y, x in zip(frame, row, column, strict=True)]


def cos(a, b) -> float:
    return float(a @ b / (a.norm() * b.norm()).clamp(min=1e-300))


def earlier_at_place(where, i):
    """The last token before i at its row and column, or None."""
    return next((j for j in range(i - 1, -1, -1) if where[j][1:] == where[i][1:]), None)


def into_last_kept_there(where, kept):
    """Where every token goes when only `kept` stay."""
    into = []
    for i in range(len(where)):
        there = [j for j in kept if where[j][1:] == where[i][1:]]
        earlier = [j for j in there if j <= i]
        anywhere = [j for j in kept if j <= i]
        into.append(earlier[-1] if earlier else there[0] if there else anywhere[-1] if anywhere else min(kept))
    return into


def check(c: Context, name: str, define, dropped=True, **settings_):
    """define(item) -> where every token of that item goes."""
    merge = reduce(reducer(name, **settings_), c)
    for item in range(len(c.keys)):
        expected = define(item)
        assert merge.into[item].tolist() == expected
        stays = [i == j for i, j in enumerate(expected)]
        if dropped:
            assert merge.dropped[item].tolist() == [not s for s in stays]
        else:
            assert merge.dropped is None
    return merge


def largest(scores, count):
    return sorted(sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:count])


@settings(max_examples=60, deadline=None)
@given(SHAPES, FILL, st.integers(0, 99), st.booleans(), st.floats(1, 12))
def test_change_keeps_what_differs_most_from_the_frame_before(shape, fill, seed, average, gamma):
    c = film(shape, fill, seed, gamma)

    def define(item):
        where, keys = tokens_of(c, item), c.keys[item]
        before = [earlier_at_place(where, i) for i in range(c.n)]
        u = [float("inf") if j is None else 1 - cos(keys[i], keys[j]) for i, j in enumerate(before)]
        return into_last_kept_there(where, largest(u, c.n_keep))

    check(c, "change", define, dropped=not average, average=average)


@settings(max_examples=60, deadline=None)
@given(SHAPES, FILL, st.integers(0, 99), st.booleans(), st.sampled_from([0.0, 0.4, 0.7, 1.0]))
def test_run_length_keeps_where_the_picture_changes(shape, fill, seed, pixels, above):
    c = film(shape, fill, seed)

    def define(item):
        where, values = tokens_of(c, item), c.pixels[item] if pixels else c.keys[item]
        scale = 1.0 if pixels else float(values.abs().mean())
        kept = []
        for i in range(c.n):
            j = earlier_at_place(where, i)
            if j is None or float((values[i] - values[j]).abs().mean()) / scale > above:
                kept.append(i)
        return into_last_kept_there(where, kept)

    on = "pixels" if pixels else "keys"
    check(c, "run_length", define, on=on, above=above)
    check(c, "run_length", define, dropped=False, on=on, above=above, average=True)


@settings(max_examples=100, deadline=None)
@given(st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 3)), FILL, st.integers(0, 99),
       st.one_of(st.floats(1, 2), st.floats(1, 12)))  # fmt: skip
def test_frames_keeps_frames_evenly_and_thins_them(shape, fill, seed, gamma):
    c = film(shape, fill, seed, gamma)

    def define(item):
        where = tokens_of(c, item)
        there = sorted({f for f, _, _ in where})
        for m in range(1, len(there) + 1):
            taken = {there[int((j + 0.5) * len(there) / m)] for j in range(m)}
            held = [i for i, (f, _, _) in enumerate(where) if f in taken]
            if len(held) >= c.n_keep:
                break
        kept = [held[(2 * i + 1) * len(held) // (2 * c.n_keep)] for i in range(c.n_keep)]
        return into_last_kept_there(where, kept)

    check(c, "frames", define)


@settings(max_examples=40, deadline=None)
@given(SHAPES, FILL, st.integers(0, 99), st.floats(1, 12))
def test_top_keeps_the_highest_scores(shape, fill, seed, gamma):
    c = film(shape, fill, seed, gamma)
    c.motion = c.attention.flip(1)
    for signal in ("attention", "motion"):

        def define(item, signal=signal):
            kept = largest(getattr(c, signal)[item].tolist(), c.n_keep)
            return [max((j for j in kept if j <= i), default=kept[0]) for i in range(c.n)]

        check(c, "top", define, signal=signal)


@settings(max_examples=60, deadline=None)
@given(SHAPES, FILL, st.integers(0, 99), st.sampled_from([-1.0, 0.5, 0.8]), st.integers(1, 4), st.sampled_from([1, 3]))
def test_window_joins_the_best_near_its_place_in_the_anchor_frame(shape, fill, seed, above, run, side):
    c = film(shape, fill, seed)

    def define(item):
        where, keys, into = tokens_of(c, item), c.keys[item], []
        for i, (f, y, x) in enumerate(where):
            anchor = min(g for g, _, _ in where if g // run == f // run)
            best, target = above, i
            for j, (g, v, u) in enumerate(where):
                near = abs(v - y) <= side // 2 and abs(u - x) <= side // 2
                if g == anchor < f and near and cos(keys[i], keys[j]) > best:
                    best, target = cos(keys[i], keys[j]), j
            into.append(target)
        return into

    check(c, "window", define, dropped=False, above=above, run=run, side=side)


def squares(where, height, width, levels):
    """[{square: [children]}] a level; a child is a square of the level below, and a token on the lowest."""
    below = {i: where[i] for i in range(len(where))}
    pyramid = []
    for _ in range(levels):
        level, above = {}, {}
        for child, (f, y, x) in below.items():
            place = (f, (y + height % 2) // 2, (x + width % 2) // 2)
            level.setdefault(place, []).append(child)
            above[place] = place
        height, width = (height + 1) // 2, (width + 1) // 2
        pyramid.append(level)
        below = above
    return pyramid


@settings(max_examples=80, deadline=None)
@given(SHAPES, FILL, st.integers(0, 99), st.sampled_from([-1.0, 0.6, 0.85]), st.sampled_from([None, 0.3, 0.9]),
       st.integers(0, 3))  # fmt: skip
def test_quadtree_keeps_whole_what_is_alike_then_chains_in_time(shape, fill, seed, above, time, levels):
    c = film(shape, fill, seed)

    def define(item):
        where, keys = tokens_of(c, item), c.keys[item]
        unit = keys / keys.norm(dim=-1, keepdim=True)
        pyramid = squares(where, shape[1], shape[2], levels)

        def mean(level, node):
            return (
                unit[node]
                if level < 0
                else sum(mean(level - 1, k) for k in pyramid[level][node]) / len(pyramid[level][node])
            )

        def inside(level, node):
            return [node] if level < 0 else [t for k in pyramid[level][node] for t in inside(level - 1, k)]

        nodes = []  # (tokens, mean)

        def visit(level, node):
            whole = mean(level, node)
            if level < 0 or all(cos(whole, mean(level - 1, k)) >= above for k in pyramid[level][node]):
                nodes.append((sorted(inside(level, node)), whole))
            else:
                for k in pyramid[level][node]:
                    visit(level - 1, k)

        for top in pyramid[-1] if levels else range(c.n):
            visit(levels - 1, top)
        of = {t: i for i, (tokens, _) in enumerate(nodes) for t in tokens}
        into = {tokens[0]: tokens[0] for tokens, _ in nodes}
        for tokens, own in sorted(nodes, key=lambda node: node[0]):
            before = {of[j] for t in tokens if (j := earlier_at_place(where, t)) is not None}
            partners = [nodes[i][0][0] for i in before if cos(own, nodes[i][1]) >= (above if time is None else time)]
            if partners:
                into[tokens[0]] = into[min(partners)]  # where the partner went already: a chain
        return [into[nodes[of[t]][0][0]] for t in range(c.n)]

    check(c, "quadtree", define, dropped=False, above=above, time=time, levels=levels)


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 4)), FILL, st.integers(0, 99),
       st.sampled_from([None, 0.5, 0.7]), st.integers(1, 5), st.integers(1, 3))  # fmt: skip
def test_anchor_frames_drops_frames_then_tokens(shape, fill, seed, least, frame_window, window):
    c, above = film(shape, fill, seed), 0.6

    def define(item):
        where, keys = tokens_of(c, item), c.keys[item]
        unit = keys / keys.norm(dim=-1, keepdim=True)
        at = {place: i for i, place in enumerate(where)}
        there = sorted({f for f, _, _ in where})

        def alike(f, g):
            ours, theirs = ({k[1:]: unit[i] for k, i in at.items() if k[0] == h} for h in (f, g))
            dots = sum(float(ours[p] @ theirs[p]) for p in ours if p in theirs)
            return dots / (len(ours) * len(theirs)) ** 0.5

        stays = []
        for start in range(0, shape[0], frame_window):
            here = [f for f in there if start <= f < start + frame_window]
            for i, f in enumerate(here):
                limit = (1 + above) / 2 if least is None else least
                if i == len(here) // 2 or sum(alike(f, g) for g in here) / len(here) < limit:
                    stays.append(f)
        kept = []
        for i, (f, y, x) in enumerate(where):
            if f in stays:
                anchor = stays[stays.index(f) // window * window]
                j = at.get((anchor, y, x))
                if f == anchor or j is None or cos(keys[i], keys[j]) < above:
                    kept.append(i)
        return into_last_kept_there(where, kept)

    check(c, "anchor_frames", define, above=above, frame=least, frame_window=frame_window, window=window)


def test_a_still_film_is_its_first_frame():
    c = film((6, 4, 4), noise=0.0, gamma=6)
    for name in ("change", "window", "run_length"):
        assert reduce(reducer(name), c).keep[0].tolist() == list(range(16)), name
    assert reduce(reducer("anchor_frames"), c).n_out == 16
    tree = reduce(reducer("quadtree"), c)
    assert set(tree.keep[0].tolist()) <= set(range(16)) and tree.n_out < 16
    frame = reduce(reducer("frames"), c)
    assert frame.keep[0].tolist() == list(range(48, 64)), "frame floor(0.5 * 6) of 6"


def test_drop_by_attention_samples_in_proportion():
    c = Context(torch.zeros(2000, 3, 1), 3, 1, 1, 3, torch.arange(3).expand(2000, 3), torch.ones(2000, 3))
    c.attention = torch.tensor([0.7, 0.3, 0.0]).expand(2000, 3)
    c.generator = torch.Generator().manual_seed(0)
    kept = reduce(reducer("drop", signal="attention"), c).keep[:, 0]
    share = torch.bincount(kept, minlength=3) / 2000
    assert abs(float(share[0]) - 0.7) < 0.03 and share[2] == 0


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("top", {"signal": "pixels"}, "signal is 'pixels'; it is one of motion"),
        ("run_length", {"on": "sound"}, "on is 'sound'"),
        ("run_length", {"above": -1}, "a difference, 0 or more"),
        ("window", {"above": 2}, "it is a cosine"),
        ("window", {"side": 2}, "side is odd"),
        ("quadtree", {"time": 2}, "time is 2; it is a cosine"),
        ("quadtree", {"levels": -1}, "0 merges in time only"),
        ("anchor_frames", {"frame": -2}, "frame is -2; it is a cosine"),
        ("anchor_frames", {"window": 0}, "both are 1 or more"),
    ],
)
def test_settings_that_are_not_allowed_are_named(name, wrong, words):
    with pytest.raises(ValueError, match=words):
        reducer(name, **wrong)
