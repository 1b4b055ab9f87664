"""The operator against a float64 reference written with loops, and against the papers' formulae."""

import math

import pytest
import torch
from helpers import random
from hypothesis import given
from hypothesis import strategies as st

from vtm_lesson.merging import Merge, match, match_plain, nearest
from vtm_lesson.partition import uniform

# How far a 16-bit or 32-bit average may lie from the exact one: a few units in the last place.
ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}


def cosine(a, b):
    """The cosine of two float64 vectors as Python numbers; 0 where one of them is zero."""
    length = math.sqrt(sum(v * v for v in a)) * math.sqrt(sum(v * v for v in b))
    return sum(v * w for v, w in zip(a, b, strict=True)) / length if length else 0.0


def reference(keys, targets, n_merge):
    """(group, keep) of one item, by the letter of VTM eqs. 1-5: lists in, lists out, loops all the way."""
    n = len(keys)
    sources = [j for j in range(n) if j not in set(targets)]
    matched = {}
    for j in sources:
        scores = [round(cosine(keys[j], keys[i]), 6) for i in targets]
        matched[j] = (max(scores), targets[scores.index(max(scores))])
    ranked = sorted(sources, key=lambda j: (-matched[j][0], j))
    merged = set(ranked[:n_merge])
    keep = [i for i in range(n) if i not in merged]
    number = {i: m for m, i in enumerate(keep)}
    group = [number[matched[j][1]] if j in merged else number[j] for j in range(n)]
    return group, keep


def averages(x, group, n_out, weight=None):
    """Group averages of one item, token by token, in float64."""
    x = x.double()
    weight = torch.ones(len(x)).double() if weight is None else weight.double()
    total, count = torch.zeros(n_out, x.shape[1]).double(), torch.zeros(n_out).double()
    for j, g in enumerate(group):
        total[g] += weight[j] * x[j]
        count[g] += weight[j]
    return total / count[:, None]


@st.composite
def problems(draw):
    """Keys of small whole numbers (so that ties, duplicates and zeros are common and exact), targets, n_merge."""
    batch, n, dim = draw(st.integers(1, 3)), draw(st.integers(1, 24)), draw(st.integers(1, 4))
    dtype = draw(st.sampled_from(list(ROUNDING)))
    seed = draw(st.integers(0, 10_000))
    generator = torch.Generator().manual_seed(seed)
    # Powers of two and zero: cosines of such keys come out the same however a product is summed.
    steps = torch.tensor([0.0, 1.0, -1.0, 2.0])
    keys = steps[torch.randint(0, 4, (batch, n, dim), generator=generator)].to(dtype)
    if draw(st.booleans()):
        keys = torch.randn(batch, n, dim, generator=generator).to(dtype)
    count = draw(st.integers(1, n))
    rows = [torch.randperm(n, generator=generator)[:count].sort().values for _ in range(batch)]
    targets = torch.stack(rows) if draw(st.booleans()) else rows[0]
    return keys, targets, draw(st.integers(0, n - count))


@given(problems())
@pytest.mark.parametrize("function", [match, match_plain])
def test_equals_the_reference(function, problem):
    keys, targets, n_merge = problem
    merge = function(keys, targets, n_merge)
    for b in range(len(keys)):
        own = targets if targets.dim() == 1 else targets[b]
        group, keep = reference(keys[b].double().tolist(), own.tolist(), n_merge)
        if merge.group[b].tolist() == group:
            assert merge.keep[b].tolist() == keep
        else:  # float32 may decide otherwise between cosines closer than it resolves; nothing else may be lost
            exact = keys[b].double().tolist()
            ours = merged_similarity(exact, merge.group[b].tolist(), merge.keep[b].tolist())
            assert abs(ours - merged_similarity(exact, group, keep)) < 1e-5


def merged_similarity(keys, group, keep):
    """The sum over merged sources of the cosine with the token they went into."""
    return sum(cosine(keys[j], keys[keep[g]]) for j, g in enumerate(group) if keep[g] != j)


@given(problems(), st.integers(1, 5), st.booleans())
def test_averages_equal_the_reference(problem, channels, weighted):
    keys, targets, n_merge = problem
    merge = match(keys, targets, n_merge)
    x = random(*keys.shape[:2], channels, seed=1, dtype=keys.dtype)
    weight = random(*keys.shape[:2], seed=2).abs() + 0.1 if weighted else None
    y = merge(x, weight=weight)
    assert y.dtype == x.dtype and y.shape == (keys.shape[0], keys.shape[1] - n_merge, channels)
    for b in range(len(keys)):
        expected = averages(x[b], merge.group[b].tolist(), merge.n_out, None if weight is None else weight[b])
        torch.testing.assert_close(y[b].double(), expected, rtol=ROUNDING[x.dtype], atol=ROUNDING[x.dtype])


@given(problems())
def test_order_counts_and_composition(problem):
    keys, targets, n_merge = problem
    batch, n, _ = keys.shape
    merge = match(keys, targets, n_merge)
    assert (merge.n_in, merge.n_out) == (n, n - n_merge)
    assert bool((merge.keep.diff(dim=1) > 0).all()), "output tokens keep their order in time"
    assert torch.equal(merge.group.gather(1, merge.keep), torch.arange(merge.n_out).expand(batch, -1))
    every = targets.expand(batch, -1)
    assert all(set(every[b].tolist()) <= set(merge.keep[b].tolist()) for b in range(batch)), "targets survive"

    # Sizes: nothing is lost, and size-weighted averages conserve the sum.
    size = merge.size()
    assert size.dtype == torch.float32 and torch.equal(size.sum(1), torch.full((batch,), float(n)))
    x = random(batch, n, 3, seed=3).double()
    torch.testing.assert_close((merge(x) * size[..., None]).sum(1), x.sum(1))

    # A second merge, and the two as one.
    small = merge(keys.float())
    second = match(small, uniform(merge.n_out, 2))
    both = merge.then(second)
    assert (both.n_in, both.n_out) == (n, second.n_out)
    torch.testing.assert_close(both.size(), second.size(size))
    stepwise = second(merge(x), weight=size)
    torch.testing.assert_close(both(x), stepwise)
    torch.testing.assert_close(both.unmerge(stepwise), merge.unmerge(second.unmerge(stepwise)))
    position = torch.arange(n).expand(batch, n)
    assert torch.equal(position.gather(1, both.keep), merge.keep.gather(1, second.keep))


@given(problems())
def test_unmerge_then_merge_changes_nothing(problem):
    keys, targets, n_merge = problem
    merge = match(keys, targets, n_merge)
    y = random(keys.shape[0], merge.n_out, 2, seed=4).double()
    torch.testing.assert_close(merge(merge.unmerge(y)), y)


@pytest.mark.parametrize("n", [2, 3, 12, 25])
def test_uniform_with_all_sources_is_vtm_equations_1_to_4(n):
    """y_i = (x_i + sum of the x_j matched to i) / (1 + |M_i|), targets every gamma-th token."""
    for gamma in (1, 2, 3, 4):
        keys, x = random(1, n, 5, seed=n).double(), random(1, n, 3, seed=n + 1).double()
        targets = list(range(0, n, gamma))
        expected = []
        matched = {i: [] for i in targets}
        for j in set(range(n)) - set(targets):
            cosines = torch.nn.functional.cosine_similarity(keys[0, j], keys[0, targets], dim=1)
            matched[targets[int(cosines.argmax())]].append(j)
        for i in targets:
            expected.append((x[0, i] + x[0, matched[i]].sum(0)) / (1 + len(matched[i])))
        y = match(keys, uniform(n, gamma))(x)
        torch.testing.assert_close(y[0], torch.stack(expected))


def tome(metric, x, size, r):
    """ToMe's three steps from its paper, float64, dense: split, match, size-weighted merge of one (N, C) item.

    Its result is a set of tokens: sources that stay, then targets. Sorted by position for the comparison.
    """
    unit = metric / metric.norm(dim=-1, keepdim=True)
    a, b = torch.arange(0, len(x), 2), torch.arange(1, len(x), 2)
    scores = unit[a] @ unit[b].T
    node_max, node_idx = scores.max(dim=-1)
    edge = node_max.argsort(descending=True)
    stays, goes = edge[r:], edge[:r]
    into = torch.zeros(len(b), len(x)).double()  # which tokens each target collects
    into[torch.arange(len(b)), b] = 1
    into[node_idx[goes], a[goes]] = 1
    total = into @ size
    merged = (into * size) @ x / total[:, None]
    position = torch.cat([a[stays], b])
    order = position.argsort()
    return torch.cat([x[a[stays]], merged])[order], torch.cat([size[a[stays]], total])[order]


@pytest.mark.parametrize("n", [8, 33, 64])
def test_odd_targets_and_size_weights_are_tome(n):
    keys, x = random(1, n, 6, seed=n), random(1, n, 4, seed=n + 1).double()
    size = torch.randint(1, 9, (1, n), generator=torch.Generator().manual_seed(n)).double()
    for r in range(1, n // 2 + 1):
        merge = match(keys, torch.arange(1, n, 2), n_merge=r)
        expected, total = tome(keys[0].double(), x[0], size[0], r)
        torch.testing.assert_close(merge(x, weight=size)[0], expected)
        torch.testing.assert_close(merge.size(size)[0].double(), total)


def test_large_input_takes_the_tiled_path_and_equals_the_plain_one(monkeypatch):
    from vtm_lesson.merging import tiled

    for batch, n, targets in [(2, 1500, 700), (3, 700, 300), (1, 1203, 257), (5, 90, 40)]:
        keys = random(batch, n, 16, seed=n)
        positions = torch.stack([torch.randperm(n)[:targets].sort().values for _ in range(batch)])
        plain = match_plain(keys, positions, (n - targets) // 2)
        for tile in (1, 10_000, 1 << 22):
            monkeypatch.setitem(tiled.TILE, "cpu", tile)
            merge = match(keys, positions, (n - targets) // 2)
            # Rounding may differ in the last place; more than one pair in a thousand would be a mistake.
            assert (merge.group == plain.group).float().mean() > 0.999


@pytest.mark.parametrize("n_targets", [3, 300])
@pytest.mark.parametrize("dtype", ROUNDING)
def test_ties_go_to_the_lower_position(dtype, n_targets):
    """All keys equal: every source goes to the first target, and the first sources merge first.

    16 of the 40 numbers are 1 or -1, so the length is 4, and a cosine is 1 in whatever order its terms are added.
    """
    n = 2 * n_targets + 1
    key = torch.zeros(40, dtype=dtype)
    key[::3][:8], key[1::3][:8] = 1, -1
    keys, targets = key.expand(1, n, 40).contiguous(), torch.arange(1, n, 2)
    for function in (match, match_plain):
        merge = function(keys, targets, 2)
        assert merge.group[0, :5].tolist() == [0, 0, 0, 1, 2]
        assert merge.keep[0, :3].tolist() == [1, 3, 4]
        assert function(keys, targets).size()[0].tolist() == [n_targets + 2.0] + [1.0] * (n_targets - 1)


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("n", [3, 10, 18, 20, 1203])
def test_of_keys_that_are_alike_any_target_is_as_near(n, dtype):
    """Products of the same two keys may differ in their last places, by where they lie in the matrix: no tie then."""
    keys = random(1, 1, 768, seed=n, dtype=dtype).expand(1, n, 768).contiguous()
    best, similarity = nearest(keys, uniform(n, 2))
    lost = 1e-12 if dtype == torch.float64 else 2e-6
    assert (similarity - 1).abs().max() < lost and int(best.max()) < math.ceil(n / 2)
    assert match(keys, uniform(n, 2)).size().sum() == n


@pytest.mark.parametrize("n_targets", [4, 280])
def test_zero_keys_neither_become_nan_nor_attract_everything(n_targets):
    n = 4 * n_targets
    keys = random(1, n, 8, seed=6).abs() + 0.1
    keys[:, : n_targets // 2] = 0  # some targets and some sources: padding
    targets = torch.arange(0, n, 4)
    merge = match(keys, targets)
    assert not merge(keys).isnan().any()
    zero_targets = targets[targets < n_targets // 2]
    living = torch.arange(n_targets // 2, n)
    into = merge.keep[0][merge.group[0, living]]
    assert not torch.isin(into, zero_targets).any(), "a living source went to a padded target"
    _, similarity = nearest(keys, targets)
    assert similarity.isfinite().all() and (similarity[0, : n_targets // 8] == 0).all()


def test_large_small_and_unequal_lengths_do_not_matter():
    keys = random(1, 30, 6, seed=7)
    targets = uniform(30, 3)
    expected = match(keys, targets, 11).group
    for factor in (1e-30, 1e-12, 1e12, 1e30):
        assert torch.equal(match(keys * factor, targets, 11).group, expected), factor
    lengths = 2.0 ** torch.arange(-15, 15)[None, :, None]
    assert torch.equal(match(keys * lengths, targets, 11).group, expected)


def test_same_input_same_result_and_input_unchanged():
    keys = random(2, 400, 16, seed=8)
    before, targets = keys.clone(), uniform(400, 3)
    first = match(keys, targets, 100)
    again = match(keys, targets, 100)
    assert torch.equal(first.group, again.group) and torch.equal(keys, before)
    assert torch.equal(first.group[1:], match(keys[1:], targets, 100).group), "items of a batch do not mix"
    strided = random(2, 16, 400, seed=8).transpose(1, 2)
    assert torch.equal(match(strided, targets).group, match(strided.contiguous(), targets).group)


def test_gradients_flow_through_values_never_through_matching():
    keys = random(2, 9, 4, seed=9).double().requires_grad_()
    merge = match(keys, uniform(9, 3), 4)
    x = random(2, 9, 3, seed=10).double().requires_grad_()
    weight = (random(2, 9, seed=11).double().abs() + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: merge(x), x)
    assert torch.autograd.gradcheck(lambda x, w: merge(x, weight=w), (x, weight))
    assert torch.autograd.gradcheck(lambda x: merge.unmerge(merge(x)), x)
    merge(x).sum().backward()
    assert keys.grad is None
    assert torch.allclose(x.grad.sum(1), torch.full((2, 3), 5.0).double()), "each output hands out a gradient of 1"


def test_sizes_do_not_lose_count_in_half_precision():
    n = 1626
    merge = match(torch.ones(1, n, 2, dtype=torch.bfloat16), torch.tensor([0]))
    assert merge.size().item() == n
    halves = match(torch.ones(1, 2, 2), torch.tensor([0]))
    assert halves.size(torch.tensor([[813.0, 813.0]])).item() == n


def grouped(n, n_out):
    """n tokens in n_out groups, one after the other round."""
    order = torch.arange(n)[None]
    return Merge(order % n_out, order[:, :n_out])


@pytest.mark.parametrize(("n", "value"), [(3000, 30.0), (6, 60_000.0), (65_536, 0.25)])
def test_averages_in_float16_do_not_overflow(n, value):
    x = torch.full((1, n, 2), value, dtype=torch.float16)
    for y in (grouped(n, 1)(x), grouped(n, 1)(x, weight=torch.ones(1, n))):
        assert y.dtype == x.dtype and (y == value).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("n_out", [1, 3, 700])
@pytest.mark.parametrize("channels", [1, 5, 64])
def test_averages_of_many_16_bit_numbers_are_rounded_once(channels, n_out, dtype):
    """Against float64: as near as the dtype allows, half of its last place."""
    x = (random(1, 3000, channels, seed=n_out).abs() + 0.5).to(dtype)
    merge = grouped(3000, n_out)
    exact = averages(x[0], merge.group[0].tolist(), n_out)[None]
    for given_x in (x, x.transpose(1, 2).contiguous().transpose(1, 2)):
        error = (merge(given_x).double() - exact).abs() / exact
        assert error.max() <= 0.501 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_gradients_have_the_dtype_of_the_values_and_sums_of_them_are_sums(dtype):
    n = 3000
    x, y = torch.ones(1, n, 2, dtype=dtype, requires_grad=True), torch.ones(1, 3, 2, dtype=dtype, requires_grad=True)
    merge = grouped(n, 3)
    merge(x).sum().backward()
    spread = merge.unmerge(y)
    spread.sum().backward()
    assert spread.dtype == x.grad.dtype == y.grad.dtype == dtype
    torch.testing.assert_close(x.grad, torch.full_like(x, 1 / 1000))
    assert (y.grad == 1000).all(), "a group of 1,000 tokens adds 1,000 gradients up"


def test_shares_are_the_columns_of_the_average():
    merge = match(random(2, 9, 4, seed=3), torch.arange(0, 9, 2), 3)
    x, weight = random(2, 9, 5, seed=4), random(2, 9, seed=5).abs()
    for weights in (None, weight, weight[..., None]):
        share = merge.share(weights)
        matrix = torch.zeros(2, merge.n_out, 9).scatter_(1, merge.group[:, None], share[:, None])
        torch.testing.assert_close(matrix @ x, merge(x, weights))
        torch.testing.assert_close(matrix.sum(2), torch.ones(2, merge.n_out))
    assert merge.share(dtype=torch.float64).dtype == torch.float64
    assert merge.share(dtype=torch.bfloat16).dtype == torch.float32


def test_a_group_without_weight_gets_the_plain_average():
    merge = match(torch.ones(1, 3, 1), torch.tensor([0]))
    x = torch.tensor([[[1.0], [2.0], [6.0]]])
    assert merge(x, weight=torch.zeros(1, 3)).item() == 3
    assert merge(x, weight=torch.tensor([[0.0, 0.0, 2.0]])).item() == 6
    assert merge(x, weight=torch.tensor([[[1.0], [1.0], [0.0]]])).item() == 1.5


def test_one_target_all_targets_and_nothing_to_merge():
    keys, x = random(2, 6, 3, seed=12), random(2, 6, 2, seed=13)
    torch.testing.assert_close(match(keys, torch.tensor([3]))(x)[:, 0], x.mean(1))
    for merge in (match(keys, torch.arange(6)), match(keys, torch.tensor([0, 2]), 0), Merge.identity(2, 6)):
        assert torch.equal(merge(x), x) and torch.equal(merge.keep, torch.arange(6).expand(2, 6))
        assert torch.equal(merge.unmerge(x), x)
    assert repr(match(keys, torch.tensor([0, 2]), 3)) == "Merge(6 -> 3 tokens, batch 2)"


KEYS = torch.ones(2, 6, 3)
ODD = torch.tensor([1, 3, 5])


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: match(KEYS, torch.tensor([1, 6])), "positions of 6 tokens are 0 to 5"),
        (lambda: match(KEYS, torch.tensor([-1, 2])), "between -1 and 2"),
        (lambda: match(KEYS, torch.tensor([3, 1])), "ascend"),
        (lambda: match(KEYS, torch.tensor([1, 1])), "repeats"),
        (lambda: match(KEYS, torch.tensor([], dtype=torch.long)), "0 targets"),
        (lambda: match(KEYS, torch.arange(7)), "7 targets"),
        (lambda: match(KEYS, torch.tensor([True] * 6)), "torch.bool"),
        (lambda: match(KEYS, torch.tensor([1.0])), "torch.float32"),
        (lambda: match(KEYS, ODD.expand(3, 3)), "(3, 3)"),
        (lambda: match(KEYS, ODD[None, None]), "(1, 1, 3)"),
        (lambda: match(KEYS[0], ODD), "(6, 3)"),
        (lambda: match(KEYS[:, :0], ODD), "(2, 0, 3)"),
        (lambda: match(KEYS.long(), ODD), "torch.int64"),
        (lambda: match(KEYS, ODD, 4), "n_merge is 4"),
        (lambda: match(KEYS, ODD, -1), "n_merge is -1"),
        (lambda: match(KEYS, ODD, 1.5), "n_merge is 1.5"),
        (lambda: match(KEYS, ODD, True), "n_merge is True"),
        (lambda: match(KEYS * float("nan"), ODD), "NaN"),
        (lambda: match(KEYS * float("nan"), ODD, 0), "NaN"),
        (lambda: match(KEYS.index_fill(1, torch.tensor([2]), float("inf")), ODD), "infinite"),
        (lambda: match_plain(KEYS * float("nan"), ODD), "NaN"),
        (lambda: match(KEYS, ODD)(torch.ones(2, 5, 3)), "(2, 5, 3)"),
        (lambda: match(KEYS, ODD)(torch.ones(2, 6)), "(2, 6)"),
        (lambda: match(KEYS, ODD)(torch.ones(2, 6, 3).long()), "torch.int64"),
        (lambda: match(KEYS, ODD)(KEYS, weight=torch.ones(6)), "(6,)"),
        (lambda: match(KEYS, ODD)(KEYS, weight=-torch.ones(2, 6)), "negative"),
        (lambda: match(KEYS, ODD)(KEYS, weight=torch.full((2, 6), float("nan"))), "non-finite"),
        (lambda: match(KEYS, ODD).unmerge(KEYS), "(2, 6, 3)"),
        (lambda: match(KEYS, ODD).size(torch.ones(2, 3)), "(2, 3)"),
        (lambda: match(KEYS, ODD).then(match(KEYS, ODD)), "cannot be followed"),
    ],
)
def test_wrong_input_is_told_in_one_sentence(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_merge_used_for_inference_first_can_be_trained_through_later():
    merge, x = match(KEYS, ODD), KEYS.clone().requires_grad_()
    with torch.inference_mode():
        merge(KEYS, weight=torch.ones(2, 6))
    merge(x, weight=torch.ones(2, 6)).sum().backward()
    assert x.grad is not None


def test_the_default_dtype_of_torch_does_not_matter():
    expected = match(KEYS, ODD)
    torch.set_default_dtype(torch.float64)
    try:
        found = match(KEYS, ODD)
        assert torch.equal(found.group, expected.group) and found.size().dtype == torch.float32
        large = random(1, 1300, 64, seed=3, dtype=torch.float32)
        assert nearest(large, uniform(1300, 2))[1].dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_autocast_does_not_reach_the_reference():
    keys, targets = random(1, 300, 32, seed=4, dtype=torch.float32), uniform(300, 3)
    expected = match_plain(keys, targets, 50)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(match_plain(keys, targets, 50).group, expected.group)
        assert torch.equal(match(keys, targets, 50).group, expected.group)


def test_nearest_takes_one_row_of_targets_and_sources_for_all():
    best, similarity = nearest(KEYS, ODD, torch.tensor([0, 2, 4]))
    whole = nearest(KEYS, ODD.expand(2, -1))
    assert torch.equal(best, whole[0]) and torch.equal(similarity, whole[1])


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_cuda_equals_cpu(dtype):
    keys, x = random(2, 700, 32, seed=14, dtype=dtype), random(2, 700, 8, seed=15, dtype=dtype)
    targets = uniform(700, 3)
    cpu, cuda = match(keys, targets, 200), match(keys.cuda(), targets.cuda(), 200)
    assert (cpu.group == cuda.group.cpu()).float().mean() > 0.999
    same = Merge(cpu.group.cuda(), cpu.keep.cuda())
    torch.testing.assert_close(same(x.cuda()).cpu(), cpu(x), rtol=ROUNDING[dtype], atol=ROUNDING[dtype])
