"""What holds for every reducer of the registry, whatever it does; then what each of those that do not match does."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vtm_lesson.merging import Merge, match
from vtm_lesson.merging.partition import uniform
from vtm_lesson.merging.registry import choose, describe, reducer, reducers
from vtm_lesson.merging.strategies import SIGNALS, Context, is_ragged, reduce, signals

# What a Context holds for each token, (B, n, ...).
FIELDS = (*("keys", "position", "size", "motion", "oracle", "saliency", "relative", "attention", "entropy", "pixels"),)
# Those that draw: another seed, another Merge.
BY_CHANCE = ("random", "motion", "relative", "learnable", "oracle", "drop", "cells")


def context(batch=2, frames=3, height=4, width=5, gamma=4.0, r=1.0, seed=0, keys=None):
    """Everything that any reducer may ask for."""
    generator = torch.Generator().manual_seed(seed)
    n = frames * height * width
    if keys is None:
        keys = torch.randn(batch, n, 6, generator=generator)
    score = torch.rand(batch, n, generator=generator)
    position = torch.arange(n).expand(batch, n)
    c = Context(keys, gamma, frames, height, width, position, torch.ones(batch, n), score, score, score)
    c.relative, c.generator, c.r = score, torch.Generator().manual_seed(seed), r
    c.attention, c.entropy, c.depth = score / score.sum(1, keepdim=True), -score, (seed % 3, 3)
    c.pixels = torch.rand(batch, n, 4, generator=generator)
    return c


def some_of(c: Context, places: torch.Tensor) -> Context:
    """The same with some of its tokens, (B, k) ascending: as after a first merge."""
    for name in FIELDS:
        value = getattr(c, name)
        index = places.view(*places.shape, *[1] * (value.dim() - 2)).expand(*places.shape, *value.shape[2:])
        setattr(c, name, value.gather(1, index))
    return c


def scattered(shape, n, seed, **options) -> Context:
    """A Context of n tokens at most, one or more, other ones in each item."""
    c = context(*shape, seed=seed, **options)
    order = torch.rand(c.keys.shape[:2], generator=torch.Generator().manual_seed(seed)).argsort(1)
    return some_of(c, order[:, : max(1, min(n, c.n))].sort(1).values)


def check_is_a_merge_of(merge: Merge, c: Context):
    """Groups are a partition of the tokens, in order of time; every group has its survivor, which is not dropped."""
    batch, n = c.keys.shape[:2]
    counts = torch.full((batch,), merge.n_out) if merge.count is None else merge.count
    for item in range(batch):
        group, keep = merge.group[item], merge.keep[item, : counts[item]]
        assert group.shape == (n,) and sorted(set(group.tolist())) == list(range(counts[item]))
        assert keep.tolist() == sorted(set(keep.tolist()))
        assert group[keep].tolist() == list(range(counts[item]))
        assert merge.dropped is None or not merge.dropped[item][keep].any()
    size = merge.size()
    lost = 0 if merge.dropped is None else merge.dropped.sum(1)
    assert torch.equal(size.sum(1), torch.full((batch,), float(n)) - lost)
    assert int(counts.max()) == merge.n_out and (size > 0).sum(1).tolist() == counts.tolist()


@pytest.mark.parametrize("name", reducers())
@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
    gamma=st.floats(1, 12),
    r=st.floats(0, 1),
    seed=st.integers(0, 5),
)
def test_every_reducer_gives_a_merge_and_keeps_to_its_budget(name, shape, gamma, r, seed):
    c = context(*shape, gamma=gamma, r=r, seed=seed)
    merge = reduce(reducer(name), c)
    check_is_a_merge_of(merge, c)
    if not is_ragged(reducer(name)):
        assert merge.n_out == c.n_keep


@pytest.mark.parametrize("name", reducers())
@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
    n=st.integers(1, 60),
    gamma=st.floats(1, 8),
    seed=st.integers(0, 5),
)
def test_tokens_that_are_no_full_grid(name, shape, n, gamma, seed):
    c = scattered(shape, n, seed, gamma=gamma)
    c.size = torch.randint(1, 5, c.size.shape, generator=torch.Generator().manual_seed(seed)).float()
    merge = reduce(reducer(name), c)
    check_is_a_merge_of(merge, c)
    later = c.position.gather(1, merge.keep)
    counts = torch.full((len(later),), merge.n_out) if merge.count is None else merge.count
    for item, count in enumerate(counts.tolist()):  # in order of time
        assert later[item, :count].tolist() == sorted(set(later[item, :count].tolist()))
    assert is_ragged(reducer(name)) or merge.n_out == c.n_keep


@pytest.mark.parametrize("name", reducers())
def test_a_seed_decides_everything(name):
    one, two, other = (reduce(reducer(name), context(seed=s, keys=torch.ones(2, 60, 6).cumsum(1))) for s in (0, 0, 1))
    assert torch.equal(one.group, two.group) and torch.equal(one.keep, two.keep)
    if name in BY_CHANCE:
        assert not torch.equal(one.group, other.group)


@pytest.mark.parametrize("name", reducers())
def test_videos_of_a_batch_know_nothing_of_each_other(name):
    def some(seed, *items):
        c = context(batch=3)
        for field in FIELDS:
            setattr(c, field, getattr(c, field)[list(items)])
        c.top, c.generator = True, torch.Generator().manual_seed(seed)  # `top`: as little chance as there can be
        return reduce(reducer(name), c)

    whole = some(0, 0, 1, 2)
    if not torch.equal(whole.group, some(1, 0, 1, 2).group):
        whole = some(0, 0)  # it draws all the same, and for a batch in another order: only the first can be compared
    for item in range(len(whole.group)):
        assert torch.equal(some(0, item).group[0], whole.group[item])


@pytest.mark.parametrize("name", reducers())
@pytest.mark.parametrize("keys", [torch.zeros(2, 60, 6), torch.ones(2, 60, 6)], ids=["zeros", "all alike"])
def test_keys_that_say_nothing(name, keys):
    c = context(keys=keys)
    check_is_a_merge_of(reduce(reducer(name), c), c)


@pytest.mark.parametrize("name", reducers())
def test_averages_are_those_of_the_tokens_that_count(name):
    c = context(seed=3)
    merge = reduce(reducer(name), c)
    x = torch.randn(2, 60, 3, generator=torch.Generator().manual_seed(9))
    weight = torch.rand(2, 60, generator=torch.Generator().manual_seed(8))
    counted = torch.ones(2, 60) if merge.dropped is None else (~merge.dropped).float()
    if merge.weight is not None:
        counted = counted * merge.weight
    for given_weight in (None, weight):
        w = counted if given_weight is None else counted * given_weight
        y = merge.mean(x, given_weight)
        for item, m in ((0, 0), (1, merge.n_out // 2)):
            mine = merge.group[item] == m
            if not bool(mine.any()):  # padding of an item with fewer tokens
                assert (y[item, m] == 0).all()
                continue
            expected = (x[item] * w[item, :, None])[mine].sum(0) / w[item][mine].sum()
            torch.testing.assert_close(y[item, m], expected)
    assert merge.unmerge(merge(x)).shape == x.shape


@pytest.mark.parametrize("name", reducers())
def test_values_have_a_gradient_and_choices_none(name):
    c = context(seed=4)
    c.keys.requires_grad_()
    merge = reduce(reducer(name), c)
    x = torch.randn(2, 60, 3, generator=torch.Generator().manual_seed(9)).requires_grad_()
    merge(x, c.size).pow(2).sum().backward()
    assert x.grad.isfinite().all() and c.keys.grad is None
    share = merge.share(c.size)
    assert torch.equal((x.grad != 0).any(-1), share > 0), "what counts has a gradient, and nothing else"


@pytest.mark.parametrize("name", reducers())
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_keys_that_are_no_numbers_are_refused(name, bad):
    c = context()
    c.keys[1, 7, 2] = bad
    with pytest.raises(ValueError, match="keys hold NaN or infinite numbers"):
        reduce(reducer(name), c)


@pytest.mark.parametrize("name", reducers())
def test_a_signal_that_is_missing_is_named(name):
    c, row = context(), next(row for row in describe() if row["name"] == name)
    bare = Context(c.keys, c.gamma, c.frames, c.height, c.width, c.position, c.size)
    if row["signal"] in ("", "depth"):
        check_is_a_merge_of(reduce(reducer(name), bare), bare)
        return
    with pytest.raises(ValueError, match="needs " + SIGNALS[row["signal"]].split(":")[0]):
        reduce(reducer(name), bare)
    setattr(bare, row["signal"], getattr(c, row["signal"]))  # that one is enough
    check_is_a_merge_of(reduce(reducer(name), bare), bare)


@pytest.mark.cuda
@pytest.mark.parametrize("name", reducers())
def test_on_the_gpu_as_on_the_cpu(name):
    c, there = scattered((2, 3, 4, 5), 50, 1), scattered((2, 3, 4, 5), 50, 1)
    for field in FIELDS:
        setattr(there, field, getattr(there, field).cuda())
    c.top = there.top = True
    there.generator = torch.Generator("cuda").manual_seed(0)
    merge = reduce(reducer(name), there)
    assert merge.group.is_cuda and merge(there.keys).isfinite().all()
    if name not in BY_CHANCE:
        assert torch.equal(merge.group.cpu(), reduce(reducer(name), c).group)


def test_what_each_says_about_itself():
    rows = describe()
    assert [row["name"] for row in rows] == reducers()
    for row in rows:
        what = reducer(row["name"])
        assert row["source"] and row["cost"] and row["count"] == ("ragged" if is_ragged(what) else "fixed")
        memory = getattr(what, "memory", lambda *_: 0)
        small, large = ((what.flops(n, n // 6, 8), memory(n, n // 6, 8)) for n in (60, 600))
        assert all(0 <= a <= b for a, b in zip(small, large, strict=True)), row
    signal = {row["name"]: row["signal"] for row in rows}
    assert (signal["top"], signal["learnable"], signal["uniform"]) == ("attention", "saliency", "")
    assert signals(reducer("run_length", on="pixels")) == ("pixels",) and signals(reducer("run_length")) == ()


@pytest.mark.parametrize("name", [name for name in reducers() if is_ragged(reducer(name))])
def test_a_knob_goes_from_few_tokens_to_many(name):
    """Monotonically, so that a budget can be met by halving."""
    field, fewest, most = reducer(name).knob
    c = context(batch=3, frames=6, seed=5)
    c.keys = c.keys[:, :20].repeat(1, 6, 1) + 0.5 * c.keys  # alike in time, more or less
    left = []
    for i in range(9):
        merge = reduce(reducer(name, **{field: fewest + (most - fewest) * i / 8}), c)
        left.append(int((merge.size() > 0).sum()))
    assert left == sorted(left) and left[0] < left[-1]
    assert left[-1] == 3 * c.n, "all"
    assert left[0] <= 3 * c.n / 4, "few"


# ------------------------------------------------------------------------------------------------- each by itself


@pytest.mark.parametrize(
    ("into", "n_out", "words"),
    [
        ([[0, 3, 1, 3]], None, "sends token 2 to token 1, which itself goes to 3"),
        ([[0, 4, 2, 3]], None, "positions, 0 to 3"),
        ([[0, 0, 2, 2], [1, 1, 1, 1]], 2, r"\[2, 1\] tokens stay, and n_out is 2"),
    ],
)
def test_destinations_that_do_not_stay_are_named(into, n_out, words):
    with pytest.raises(ValueError, match=words):
        Merge.of(torch.tensor(into), n_out=n_out)


def test_bipartite_is_partition_and_match():
    c = context(r=0.5)
    merge = reduce(choose("uniform"), c)
    expected = match(c.keys, uniform(60, 4), 22)
    assert torch.equal(merge.group, expected.group) and torch.equal(c.targets, uniform(60, 4).expand(2, -1))


def test_drop_keeps_by_score_and_counts_nothing_else():
    c = context(batch=1, gamma=6)
    c.motion = torch.zeros(1, 60)
    c.motion[0, 10:20] = 100.0
    merge = reduce(reducer("drop", signal="motion"), c)
    assert merge.keep[0].tolist() == list(range(10, 20)) and merge.size().tolist() == [[1.0] * 10]
    assert merge.group[0, :10].tolist() == [0] * 10 and merge.group[0, 20:].tolist() == [9] * 40
    x = torch.randn(1, 60, 4)
    assert torch.equal(merge(x), x[:, 10:20])
    assert torch.equal(merge(x, torch.rand(1, 60)), x[:, 10:20])
    share = merge.share()
    assert share.sum() == 10 and torch.equal(share > 0, ~merge.dropped)


def test_drop_draws_as_the_strategies_do():
    marked = torch.zeros(1, 600)
    marked[0, :50] = 1.0
    for signal, strategy in (("saliency", "learnable"), ("oracle", "oracle"), ("chance", "random")):
        shares = []
        for what in (reducer("drop", signal=signal), reducer(strategy)):
            c = Context(torch.randn(1, 600, 4), 6, 6, 10, 10, torch.arange(600)[None], torch.ones(1, 600))
            c.saliency = c.oracle = marked
            c.generator, c.top = torch.Generator().manual_seed(1), signal == "chance"
            shares.append(float(marked.gather(1, reduce(what, c).keep).mean()))
        assert shares[0] == shares[1], "the same draws"


def test_drop_by_a_score_that_is_not_there():
    c = context()
    c.saliency = None
    with pytest.raises(ValueError, match="dropping by saliency needs a block that learns saliency"):
        reduce(reducer("drop", signal="saliency"), c)


def test_threshold_merges_what_is_similar_and_nothing_else():
    keys = torch.eye(12).expand(2, -1, -1).clone()
    keys[0, 1:4] = keys[0, 0]  # three copies of target 0 in the first video, none in the second
    c = Context(keys, 4, 1, 3, 4, torch.arange(12).expand(2, 12), torch.ones(2, 12))
    merge = reduce(reducer("threshold", above=0.5), c)
    assert merge.count.tolist() == [9, 12] and merge.n_out == 12
    assert merge.group[0, :4].tolist() == [0] * 4 and merge.size()[0].tolist() == [4.0] + [1.0] * 8 + [0.0] * 3
    assert merge.present.tolist() == [[True] * 9 + [False] * 3, [True] * 12]
    assert repr(merge) == "Merge(12 -> 9 to 12 tokens, batch 2)"
    assert reduce(reducer("threshold", above=-1), c).n_out == 3
    assert reduce(reducer("threshold", above=1), c).is_identity
    with pytest.raises(ValueError, match="it is a cosine"):
        reducer("threshold", above=2)


def test_composing_merges_that_drop_and_differ():
    first = Merge(torch.tensor([[0, 0, 1, 1], [0, 1, 2, 2]]), torch.tensor([[0, 2, 2], [0, 1, 2]]), None,
                  torch.tensor([2, 3]))  # fmt: skip
    second = Merge(torch.tensor([[0, 0, 0], [0, 0, 1]]), torch.tensor([[0, 0], [0, 2]]),
                   torch.tensor([[False, True, True], [False, True, False]]), torch.tensor([1, 2]))  # fmt: skip
    both = first.then(second)
    assert both.group.tolist() == [[0, 0, 0, 0], [0, 0, 1, 1]] and both.count.tolist() == [1, 2]
    assert both.dropped.tolist() == [[False, False, True, True], [False, True, False, False]]
    assert both.size().tolist() == [[2.0, 0.0], [1.0, 2.0]]
    assert first.then(Merge.identity(2, 3)).count.tolist() == [2, 3]


# --------------------------------------------------------------------------------------------------------- the plug


def test_registry_knows_names_settings_and_functions():
    assert set(reducers()) >= {"uniform", "random", "centre", "boundary", "motion", "learnable", "drop", "threshold"}
    mine = lambda c: Merge.identity(*c.keys.shape[:2])  # noqa: E731
    assert choose("uniform", mine) is mine and choose(None) is None
    by_name = choose(None, lambda keys, n_keep: Merge.identity(len(keys), n_keep))
    assert by_name(context(r=0)).n_out == 60 and not is_ragged(by_name)
    assert reducer("threshold", partition="centre")(context()).n_out >= 15
    for call, words in (
        (lambda: reducer("luck"), "names are uniform"),
        (lambda: reducer("drop", above=1), "does not take these settings"),
        (lambda: choose("uniform", 3), "give a name, or a function"),
        (lambda: choose("centre", "drop"), "both given"),
        (lambda: choose("drop"), "it is a reducer, reducer='drop'"),
        (lambda: reducer("drop", signal="loud"), "signal is 'loud'"),
        (lambda: choose(None, lambda keys, volume: keys), "the reducer function asks for volume"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.parametrize(
    "wrong, words",
    [
        (lambda c: torch.arange(15), "takes a Context and returns a Merge"),
        (lambda c: Merge.identity(2, 7), "needs one for 60 tokens, batch 2"),
        (lambda c: Merge.identity(2, 60), "the budget is 15 tokens left of 60"),
        (lambda c: Merge(torch.zeros(2, 60).long(), uniform(60, 4).expand(2, -1)), "a group that no token goes into"),
        (lambda c: Merge(torch.zeros(2, 60), uniform(60, 4).expand(2, -1)), "not int64 from 0 to 14"),
        (lambda c: Merge(torch.full((2, 60), 15), uniform(60, 4).expand(2, -1)), "not int64 from 0 to 14"),
    ],
)
def test_a_reducer_that_breaks_the_rules_is_told(wrong, words):
    with pytest.raises(ValueError, match=words):
        reduce(wrong, context())
