"""Matching on keys that are never made is matching on the keys."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vtm_lesson.merging import Context, match, projected, reducer
from vtm_lesson.merging.projected import match_projected
from vtm_lesson.merging.reducers.bipartite import Bipartite
from vtm_lesson.merging.strategies import reduce
from vtm_lesson.merging.tiled import TILE
from vtm_lesson.partition import sample, uniform


def tokens(batch, n, dim, out, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, n, dim, generator=generator, dtype=torch.float64).to(dtype)
    return x, torch.randn(out, dim, generator=generator, dtype=torch.float64).to(dtype), generator


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 3), n=st.integers(1, 70), dim=st.integers(1, 12), out=st.integers(2, 9),
    gamma=st.floats(1, 20), tile=st.integers(1, 3000), seed=st.integers(0, 99),
)  # fmt: skip
def test_it_is_match(batch, n, dim, out, gamma, tile, seed):
    x, W, generator = tokens(batch, n, dim + 1, out, seed)
    targets = sample(torch.zeros(batch, n), gamma, generator=generator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TILE, "cpu", tile)
        found = match_projected(x, W, targets)
    want = match(x @ W.T, targets)
    assert torch.equal(found.keep, want.keep)
    assert torch.equal(found.group, want.group)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_in_other_dtypes_it_loses_next_to_nothing(dtype):
    """Keys that are rounded lose more than keys that are never made."""
    x, W, _ = tokens(1, 400, 32, 32, dtype=dtype)
    targets = uniform(400, 8).expand(1, -1)
    exact = x.double() @ W.double().T
    unit = exact / exact.norm(dim=-1, keepdim=True)

    def mean_cosine(merge):
        return float((unit * unit.gather(1, merge.into[..., None].expand_as(unit))).sum(-1).mean())

    best = mean_cosine(match(exact, targets))
    lost, with_keys = (best - mean_cosine(m) for m in (match_projected(x, W, targets), match(x @ W.T, targets)))
    assert -1e-9 <= lost <= max(with_keys, 1e-6)


def test_a_key_of_zeros_and_a_length_that_overflows():
    x, W, _ = tokens(1, 12, 4, 4, dtype=torch.float32)
    targets = torch.tensor([[0, 5, 9]])
    x[:, 5] = 0  # as a target it has no direction: its similarity to everything is 0
    assert torch.equal(match_projected(x, W, targets).group, match(x @ W.T, targets).group)
    x[:, 0] *= 1e15
    assert torch.equal(match_projected(x, W, targets).group, match(x @ W.T, targets).group)


def test_a_target_that_is_no_number_is_refused():
    x, W, _ = tokens(1, 12, 4, 4)
    x[:, 5] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        match_projected(x, W, torch.tensor([[0, 5]]))


def test_no_more_scores_than_a_tile(monkeypatch):
    seen = []
    monkeypatch.setitem(TILE, "cpu", 1 << 12)
    monkeypatch.setattr(projected, "first_max", lambda scores: (seen.append(scores.numel()), scores.max(-1))[1][::-1])
    x, W, _ = tokens(2, 900, 8, 8)
    match_projected(x, W, uniform(900, 9).expand(2, -1))
    assert max(seen) <= 1 << 12 and sum(seen) == 2 * 900 * 100


@pytest.mark.parametrize("r", [1.0, 0.5])
def test_a_bipartite_reducer_takes_a_projection(r):
    x, W, _ = tokens(2, 48, 12, 6)
    place = torch.arange(48).expand(2, -1)
    given = {"gamma": 4, "frames": 3, "height": 4, "width": 4, "position": place, "size": torch.ones(2, 48), "r": r}
    bipartite = reducer("uniform")
    assert bipartite.projects and not Bipartite(lambda context: context.keys).projects
    found = reduce(bipartite, Context(x, projection=W, **given))
    assert torch.equal(found.group, reduce(bipartite, Context(x @ W.T, **given)).group)
