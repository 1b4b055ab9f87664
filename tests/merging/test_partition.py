"""The partitions: counts, positions, and that sampling follows the probabilities it claims."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vtm_lesson.partition import n_targets, region, sample, top, uniform


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def is_partition(positions, n, gamma):
    return (
        positions.dtype == torch.int64
        and positions.shape[-1] == math.ceil(n / gamma - 1e-9)
        and bool((positions.diff(dim=-1) > 0).all())
        and int(positions.min()) >= 0
        and int(positions.max()) < n
    )


@given(st.integers(1, 200), st.floats(1, 40), st.integers(0, 50), st.booleans())
def test_uniform_is_a_partition(n, gamma, offset, staggered):
    assert is_partition(uniform(n, gamma, offset, staggered=staggered), n, gamma)


@given(st.integers(1, 200), st.floats(1, 40))
def test_staggered_takes_one_token_of_every_run(n, gamma):
    starts = torch.cat([uniform(n, gamma), torch.tensor([n])])
    positions = uniform(n, gamma, staggered=True)
    assert bool((starts[:-1] <= positions).all()) and bool((positions < starts[1:]).all())


@pytest.mark.parametrize(("height", "width"), [(14, 14), (16, 16), (8, 8), (9, 16)])
@pytest.mark.parametrize("gamma", [2, 6, 8, 14, 16, 20])
def test_staggered_reaches_every_place(height, width, gamma):
    """Where every gamma-th token is a comb: on 14 x 14 places it reaches 98 of 196 at gamma 6, 49 at gamma 20."""
    places, frames = height * width, 50 * gamma
    hits = (uniform(frames * places, gamma, staggered=True) % places).bincount(minlength=places)
    assert hits.sum() == 50 * places
    assert hits.min() > 25 and hits.max() < 75, "the fair share is 50"


def test_every_gamma_th_token_is_a_comb():
    """What lesson 04 shows: more frames reach no more places."""
    for gamma, reached in ((2, 98), (6, 98), (20, 49), (60, 49), (196, 1), (5, 196)):
        assert len((uniform(600 * 196, gamma) % 196).unique()) == reached


def test_uniform_is_every_gamma_th_token():
    assert uniform(12, 4).tolist() == [0, 4, 8]
    assert uniform(13, 4).tolist() == [0, 4, 8, 12], "the tail is not dropped"
    assert uniform(12, 4, offset=3).tolist() == [3, 7, 11]
    assert uniform(8, 2, offset=1).tolist() == [1, 3, 5, 7], "ToMe's targets"
    assert uniform(6, 1.5).tolist() == [0, 1, 3, 4]
    assert uniform(5, 1).tolist() == [0, 1, 2, 3, 4] and uniform(5, 99).tolist() == [0]


@given(st.integers(1, 4), st.integers(1, 12), st.integers(1, 12), st.floats(1, 30), st.integers(0, 9))
@pytest.mark.parametrize("focus", ["centre", "boundary"])
def test_region_is_a_partition(focus, frames, height, width, gamma, offset):
    n = frames * height * width
    assert is_partition(region(frames, height, width, gamma, focus, offset), n, gamma)


@pytest.mark.parametrize("gamma", [2, 4, 6, 8])
def test_region_densities(gamma):
    """Centre: gamma/2 inside the H/2 x W/2 rectangle and 3 gamma/2 outside. Boundary: three times denser outside."""
    frames, side = 12, 16
    inside = torch.zeros(side, side, dtype=torch.bool)
    inside[4:12, 4:12] = True
    inside = inside.flatten().repeat(frames)
    n_inside, n_outside = int(inside.sum()), int((~inside).sum())
    centre = region(frames, side, side, gamma)
    assert inside[centre].sum() == pytest.approx(n_inside / (gamma / 2), abs=1)
    assert (~inside[centre]).sum() == pytest.approx(n_outside / (3 * gamma / 2), abs=1)
    boundary = region(frames, side, side, gamma, focus="boundary")
    ratio = ((~inside[boundary]).sum() / n_outside) / (inside[boundary].sum() / n_inside)
    assert float(ratio) == pytest.approx(3, rel=0.02)


def test_region_fills_a_full_region_before_it_overflows():
    """At gamma 1 everything is a target; just above, the dense region is full and the rest goes outside."""
    assert region(2, 4, 4, 1).tolist() == list(range(32))
    assert len(region(1, 4, 4, 1.2)) == 14


@given(st.integers(1, 60), st.floats(1, 10), st.integers(0, 1000))
def test_sample_and_top_are_partitions(n, gamma, seed):
    score = torch.randn(3, n, generator=seeded(seed))
    assert is_partition(sample(score, gamma, seeded(seed)), n, gamma)
    best = top(score, gamma)
    assert is_partition(best, n, gamma)
    left_out = torch.ones(3, n, dtype=torch.bool).scatter_(1, best, False)
    if left_out.any():
        assert bool((score.gather(1, best).amin(1) >= score.masked_fill(~left_out, -9e9).amax(1)).all())


def test_sample_repeats_with_a_generator_and_only_then():
    score = torch.zeros(2, 100)
    assert torch.equal(sample(score, 5, seeded(1)), sample(score, 5, seeded(1)))
    assert not torch.equal(sample(score, 5, seeded(1)), sample(score, 5, seeded(2)))
    assert not torch.equal(*sample(score, 5, seeded(1)).unbind()), "items of a batch are drawn independently"


def test_sample_follows_softmax_without_replacement():
    """Two of three tokens: P(pair) by the formula of drawing one after the other; 20,000 draws, five sigma."""
    score = torch.tensor([0.0, 1.0, 2.0])
    p = score.softmax(0).double()
    draws = sample(score.expand(20_000, 3), 1.5, seeded(3))
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        expected = float(p[i] * p[j] / (1 - p[i]) + p[j] * p[i] / (1 - p[j]))
        share = ((draws[:, 0] == i) & (draws[:, 1] == j)).double().mean().item()
        assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / 20_000)


def test_sample_survives_extreme_scores():
    score = torch.tensor([[1e4, -1e4, -math.inf, 0.0]])
    assert sample(score, 4, seeded(0)).tolist() == [[0]]
    assert sample(score, 4 / 3, seeded(0)).tolist() == [[0, 1, 3]]
    assert not sample(score.requires_grad_(), 2, seeded(0)).requires_grad


def test_top_breaks_ties_by_position():
    assert top(torch.zeros(1, 8), 4).tolist() == [[0, 1]]
    assert top(torch.tensor([[0.0, 3, 1, 3, 2]]), 2.5).tolist() == [[1, 3]]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: uniform(10, 0.5), "gamma is 0.5"),
        (lambda: uniform(10, math.nan), "gamma is nan"),
        (lambda: uniform(0, 2), "n is 0"),
        (lambda: n_targets(2.5, 2), "n is 2.5"),
        (lambda: region(2, 4, 4, 0), "gamma is 0"),
        (lambda: region(2, 0, 4, 2), "2 x 0 x 4"),
        (lambda: region(2, 4, 4, 2, focus="left"), "'left'"),
        (lambda: sample(torch.zeros(5), 2), "(5,)"),
        (lambda: sample(torch.tensor([[0.0, math.nan]]), 2), "NaN"),
        (lambda: top(torch.zeros(5), 2), "(5,)"),
    ],
)
def test_wrong_input_is_told(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert words in str(error.value)
