"""What is no tensor, no position or no whole number gets one sentence; what is one in another type is taken."""

import numpy as np
import pytest
import torch

import vtm_lesson as vtm
from vtm_lesson.merging.matching import match, match_plain, nearest
from vtm_lesson.merging.partition import centre_mask, n_targets, region, sample, top, uniform

KEYS = torch.randn(1, 12, 4, generator=torch.Generator().manual_seed(0))
TARGETS = uniform(12, 4)
MERGE = match(KEYS, TARGETS)
NAN = torch.tensor([[0.0, float("nan"), 1.0, 2.0]])
ZEROS = torch.zeros(1, 4)


@pytest.mark.parametrize("function", [match, match_plain, nearest])
@pytest.mark.parametrize("keys", [KEYS.numpy(), [[[1.0]]], None])
def test_keys_that_are_no_tensor(function, keys):
    with pytest.raises(ValueError, match=r"keys are of type \w+; match needs a tensor \(B, N, D\)"):
        function(keys, TARGETS)


@pytest.mark.parametrize("n_merge", ["a", "3", float("nan"), float("inf"), 1.5, -1, 10, True, [1], {}, 1 + 0j])
@pytest.mark.parametrize("function", [match, match_plain])
def test_odd_numbers_to_merge(function, n_merge):
    with pytest.raises(
        ValueError, match=r"n_merge is .*; with 12 tokens and 3 targets it is a whole number from 0 to 9"
    ):
        function(KEYS, TARGETS, n_merge)


@pytest.mark.parametrize("n_merge", [3, 3.0, np.int64(3), np.float32(3), torch.tensor(3)])
def test_whole_numbers_to_merge_of_any_type(n_merge):
    assert torch.equal(match(KEYS, TARGETS, n_merge).group, match(KEYS, TARGETS, 3).group)


@pytest.mark.parametrize(
    "sources, words",
    [
        (torch.tensor([1, 12]), "sources lie between 1 and 12; positions of 12 tokens are 0 to 11"),
        (torch.tensor([-1, 3]), "sources lie between -1 and 3"),
        (torch.tensor([1.0, 2.0]), "sources have dtype torch.float32"),
        (torch.ones(12, dtype=torch.bool), "sources have dtype torch.bool"),
        (torch.zeros(3, 3, dtype=torch.long), r"sources have shape \(3, 3\); for 1 item\(s\) give \(S,\) or \(1, S\)"),
        (torch.tensor(3), r"sources have shape \(\)"),
        ("abc", "sources are 'abc'"),
    ],
)
def test_sources_that_are_no_positions(sources, words):
    with pytest.raises(ValueError, match=words):
        nearest(KEYS, TARGETS, sources)


@pytest.mark.parametrize("sources", [[1, 2, 2], np.array([1, 2, 2]), torch.tensor([1, 2, 2], dtype=torch.int32)])
def test_sources_of_any_type(sources):
    best, similarity = nearest(KEYS, TARGETS, sources)
    whole, cosines = nearest(KEYS, TARGETS, torch.tensor([[1, 2, 2]]))
    assert best.dtype == torch.int64 and torch.equal(best, whole) and torch.equal(similarity, cosines)
    assert nearest(KEYS, TARGETS, torch.zeros(0, dtype=torch.long))[0].shape == (1, 0)


@pytest.mark.parametrize("targets", ["abc", None, [[0], [1, 2]], object()])
def test_targets_that_are_no_positions(targets):
    with pytest.raises(ValueError, match=r"targets are .*; they are int64 positions"):
        match(KEYS, targets)


def test_what_a_merge_is_called_with_and_is_no_tensor():
    with pytest.raises(ValueError, match=r"x is of type ndarray; this Merge\(12 -> 3 .* needs a tensor \(1, 12, C\)"):
        MERGE(KEYS.numpy())
    with pytest.raises(ValueError, match=r"y is of type ndarray; .* needs a tensor \(1, 3, C\)"):
        MERGE.unmerge(np.zeros((1, 3, 4)))
    with pytest.raises(ValueError, match="weight is of type ndarray"):
        MERGE(KEYS, weight=np.ones((1, 12)))


@pytest.mark.parametrize("n", ["a", "12", None, float("nan"), float("inf"), 2.5, 0, -3, [12], 1j])
def test_odd_numbers_of_tokens(n):
    with pytest.raises(ValueError, match=r"n is .*; a partition needs a whole number of tokens, 1 or more"):
        uniform(n, 4)


@pytest.mark.parametrize("gamma", ["a", None, float("nan"), float("inf"), 0.5, [4], 1j])
def test_odd_gammas(gamma):
    with pytest.raises(ValueError, match=r"gamma is .*; it is 1 or more"):
        n_targets(12, gamma)


@pytest.mark.parametrize("n", [12, 12.0, np.int64(12), np.float64(12), torch.tensor(12)])
@pytest.mark.parametrize("gamma", [4, 4.0, np.float32(4), np.int64(4), torch.tensor(4.0)])
def test_whole_numbers_of_any_type(n, gamma):
    assert uniform(n, gamma, offset=np.int64(1)).tolist() == [1, 5, 9]


@pytest.mark.parametrize("offset", [1.5, "1", None, float("nan"), [1]])
def test_targets_move_along_by_whole_numbers(offset):
    for function, arguments in ((uniform, (12, 4)), (region, (1, 4, 4, 4))):
        with pytest.raises(ValueError, match=r"offset is .*; targets move along by a whole number"):
            function(*arguments, offset=offset)


@pytest.mark.parametrize("grid", [(1, 2.5, 4), (1, "a", 4), (None, 4, 4), (0, 4, 4), (-5, -3, 4), (1, 4, float("nan"))])
def test_odd_grids(grid):
    with pytest.raises(ValueError, match=r"the grid is .*; each must be 1 or more, and whole"):
        region(*grid, 4)


@pytest.mark.parametrize("function", [sample, top])
def test_scores_that_are_none(function):
    for score, words in ((ZEROS.numpy(), "is of type ndarray"), ([[0.0]], "is of type list"), (ZEROS[0], "has shape")):
        with pytest.raises(ValueError, match=rf"score {words}.*; {function.__name__} needs a tensor \(B, N\)"):
            function(score, 2)
    with pytest.raises(ValueError, match="score holds NaN; every token needs a number"):
        function(NAN, 2)
    for count in (5, -1, 1.5, "2", float("nan")):
        with pytest.raises(ValueError, match=r"count is .*; of 4 tokens, targets are a whole number from 0 to 4"):
            function(ZEROS, 2, count=count)
    assert function(ZEROS, 2, count=4).tolist() == [[0, 1, 2, 3]] and function(ZEROS, 2, count=0).shape == (1, 0)
    assert function(torch.zeros(1, 4, dtype=torch.int64), 2).shape == (1, 2)


def test_a_region_is_spread_in_floats_as_the_studies_were_run():
    """Whole numbers, i * m // k, would give 56 and 147 for 55 and 146; whoever changes that changes stored studies."""
    found = region(1, 14, 14, 3).tolist()
    assert 55 in found and 56 not in found
    differ = []
    inside = centre_mask(14, 14).flatten()
    for mask, k in ((inside, 33), (~inside, 33)):
        places = mask.nonzero()[:, 0]
        exact = [int(places[i * len(places) // k]) for i in range(k)]
        differ += sorted(set(exact) - set(found))
    assert differ == [56, 147]
    # In a network the same targets are found from each token's position.
    context = vtm.Context(torch.zeros(1, 196, 1), 3, 1, 14, 14, torch.arange(196)[None], torch.ones(1, 196))
    assert vtm.merging.strategies.STRATEGIES["centre"](context)[0].tolist() == found


@pytest.mark.parametrize("side, half", [(1, 1), (2, 1), (3, 2), (5, 2), (7, 4), (9, 4), (11, 6)])
def test_half_of_an_odd_side_is_rounded_as_round_does(side, half):
    assert centre_mask(side, 4).any(1).sum() == half == centre_mask(4, side).any(0).sum()
