"""What a Merge carries beside its groups: weights apart from sizes, and lengths."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vtm_lesson.merging import Merge

INTO = torch.tensor([[0, 0, 2, 2, 0, 5], [0, 1, 1, 1, 5, 5]])
WEIGHT = torch.tensor([[1.0, 3.0, 0.5, 0.0, 2.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.2, 0.6]])


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weighted(**options):
    return Merge.of(INTO, n_out=3, weight=WEIGHT, **options)


def test_weights_count_in_averages_and_in_no_size():
    x, merge = numbers(2, 6, 4), weighted()
    y = merge(x)
    torch.testing.assert_close(y[0, 0], (x[0, 0] + 3 * x[0, 1] + 2 * x[0, 4]) / 6)
    torch.testing.assert_close(y[0, 1], x[0, 2])  # the other's weight is 0
    torch.testing.assert_close(y[0, 2], x[0, 5])  # alone, whatever its weight
    torch.testing.assert_close(y[1, 1], x[1, 1:4].mean(0))  # all weights 0: the plain average
    assert torch.equal(merge.size(), Merge.of(INTO, n_out=3).size()) and merge.size().sum(1).tolist() == [6, 6]
    share = merge.share(dtype=x.dtype)
    torch.testing.assert_close(
        torch.zeros(2, 3, dtype=x.dtype).scatter_add(1, merge.group, share), torch.ones_like(y[..., 0])
    )


def test_the_weight_of_a_call_is_multiplied():
    x, size = numbers(2, 6, 4), torch.tensor([1.0, 2, 3, 4, 5, 6]).expand(2, 6)
    own = WEIGHT.clone()
    own[0, 5], own[1, 1:4] = 1, 1  # weights of 0 in a whole group say nothing
    torch.testing.assert_close(weighted()(x, size), Merge.of(INTO, n_out=3)(x, size * own))
    lost = torch.zeros_like(INTO, dtype=torch.bool)
    lost[0, 1] = True
    y = weighted(dropped=lost)(x, size)
    torch.testing.assert_close(y[0, 0], (x[0, 0] + 10 * x[0, 4]) / 11)


@pytest.mark.parametrize("bad", [torch.ones(2, 5), -torch.ones(2, 6), torch.full((2, 6), float("nan"))])
def test_weights_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match="weight"):
        Merge(*(getattr(Merge.of(INTO), name) for name in ("group", "keep")), weight=bad)(numbers(2, 6, 1))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 99), st.booleans(), st.booleans(), st.booleans())
def test_two_merges_as_one(seed, first_weighs, second_weighs, drops):
    generator = torch.Generator().manual_seed(seed)

    def some(n, weighs):
        roots = torch.rand(2, n, generator=generator) < 0.5
        roots[:, 0] = True
        into = torch.where(roots, torch.arange(n), 0)
        dropped = ~roots & (torch.rand(2, n, generator=generator) < 0.3) if drops else None
        weight = torch.rand(2, n, generator=generator) * (torch.rand(2, n, generator=generator) < 0.8)
        return Merge.of(into, dropped, weight=weight if weighs else None)

    first = some(9, first_weighs)
    second = some(first.n_out, second_weighs)
    x = numbers(2, 9, 3, seed=seed)
    step = second(first(x), first.size())
    both = first.then(second)
    real = both.size() > 0
    torch.testing.assert_close(both(x)[real], step[real], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(both.size()[real], second.size(first.size())[real])


def test_lengths_are_the_largest_of_the_group():
    x = numbers(2, 6, 4)
    merge, plain = Merge.of(INTO, n_out=3, norm=True), Merge.of(INTO, n_out=3)
    y = merge(x)
    torch.testing.assert_close(y[0, 0].norm(), x[0, [0, 1, 4]].norm(dim=-1).max())
    torch.testing.assert_close(
        torch.nn.functional.normalize(y, dim=-1), torch.nn.functional.normalize(plain(x), dim=-1)
    )
    assert torch.equal(merge.mean(x), plain(x)) and torch.equal(y[0, 2], x[0, 5])
    lost = torch.zeros_like(INTO, dtype=torch.bool)
    lost[:, 1] = True
    x[0, 1] *= 100
    torch.testing.assert_close(Merge.of(INTO, lost, 3, norm=True)(x)[0, 0].norm(), x[0, [0, 4]].norm(dim=-1).max())
    both = merge.then(Merge.of(torch.tensor([[0, 0, 2]] * 2)))
    assert both.norm
    torch.testing.assert_close(both(x)[0, 0].norm(), x[0, :5].norm(dim=-1).max())


def test_tokens_that_cancel_have_no_length_to_get():
    x = torch.tensor([[[1.0, 0.3], [-1.0, -0.3], [0.0, 0.0]]], requires_grad=True)
    y = Merge.of(torch.tensor([[0, 0, 2]]), norm=True)(x)
    assert (y == 0).all()
    y.sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_lengths_in_other_dtypes(dtype):
    x = (300 * numbers(2, 6, 4)).to(dtype)
    y = Merge.of(INTO, n_out=3, norm=True)(x)
    assert y.dtype == dtype
    expected = Merge.of(INTO, n_out=3, norm=True)(x.double())
    torch.testing.assert_close(y.double(), expected, atol=0, rtol={torch.float64: 1e-9}.get(dtype, 2e-2))


def test_protected_tokens_in_front():
    lost = torch.zeros_like(INTO, dtype=torch.bool)
    lost[0, 4] = True
    merge = Merge.of(torch.where(INTO == 5, 0, INTO), lost, weight=WEIGHT, norm=True)
    assert merge.count is None
    ragged = Merge.of(torch.tensor([[0, 0, 0, 0, 0, 0], [0, 0, 2, 2, 0, 0]]), weight=WEIGHT)
    for one in (merge, ragged):
        front = one.after_prefix(2)
        x = numbers(2, 8, 4)
        torch.testing.assert_close(front(x), torch.cat([x[:, :2], one(x[:, 2:])], 1))
        assert front.keep[:, :2].tolist() == [[0, 1]] * 2 and front.norm is one.norm
        back = front.without_prefix(2)
        for name in ("group", "keep", "dropped", "count", "weight"):
            ours, theirs = getattr(back, name), getattr(one, name)
            assert (ours is None and theirs is None) or torch.equal(ours, theirs), name
    turned = merge.reordered(torch.tensor([[1, 0]] * 2))
    torch.testing.assert_close(turned(x[:, 2:]), merge(x[:, 2:]).flip(1))
