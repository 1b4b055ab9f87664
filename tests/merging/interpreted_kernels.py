"""The fused kernels in Triton's interpreter. `test_fast_cuda.py` runs this file in a process of its own.

The interpreter is chosen when Triton is imported, for the whole process. It is slow per loop step: shapes stay small.
An out-of-bounds access would end the process, so a green run also says that none was made.
"""

import os

os.environ["TRITON_INTERPRET"] = "1"

import pytest
import torch
from helpers import cosines, problem

from vtm_lesson.merging import fast_cuda, matching, tiled

# The interpreter multiplies with numpy, which warns where a key is no number. A GPU says nothing, and the tests with
# this mark are about such keys.
numpy_warns = pytest.mark.filterwarnings("ignore:invalid value encountered in (matmul|multiply):RuntimeWarning")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(1, 7, 5), (2, 200, 40), (1, 65, 33)])
def test_finds_the_nearest_target(shape, dtype):
    keys, targets, sources = problem(*shape, dtype=dtype)
    best, similarity = fast_cuda.nearest_fused(keys, targets, sources)
    scores = cosines(keys, targets, sources)
    assert best.dtype == torch.int64 and similarity.dtype == torch.float32
    torch.testing.assert_close(similarity.double(), scores.amax(2), atol=2e-6, rtol=0)
    torch.testing.assert_close(scores.gather(2, best[..., None])[..., 0], scores.amax(2), atol=2e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_same_targets_as_the_tiled_version(dtype):
    keys, targets, sources = problem(2, 150, 24, dtype=dtype, gamma=2, seed=1)
    best, similarity = fast_cuda.nearest_fused(keys, targets, sources)
    expected, cosine = tiled.nearest_tiled(keys, targets, sources)
    assert torch.equal(best, expected)
    torch.testing.assert_close(similarity, cosine, atol=2e-6, rtol=0)


def test_ties_go_to_the_first_target_across_blocks_and_splits(monkeypatch):
    keys, targets, sources = problem(1, 620, 8, gamma=2, seed=2)
    # The same direction in three blocks of 128 targets, once at another length; and sources that point there.
    for target in (140, 141, 300, 309):
        keys[0, targets[0, target]] = torch.arange(1.0, 9.0) * (4 if target == 300 else 1)
    keys[0, sources[0, :50]] = torch.arange(1.0, 9.0)
    for splits in (1, 3):
        monkeypatch.setattr(fast_cuda, "_splits", lambda *_, splits=splits: splits)
        best, _ = fast_cuda.nearest_fused(keys, targets, sources)
        assert (best[0, :50] == 140).all()
        assert torch.equal(best, tiled.nearest_tiled(keys, targets, sources)[0])


def test_zero_keys_have_similarity_zero():
    keys, targets, sources = problem(1, 60, 6, seed=3)
    keys = keys.abs()  # every other similarity is positive
    keys[0, 0] = 0  # a target
    keys[0, sources[0, 4]] = 0
    best, similarity = fast_cuda.nearest_fused(keys, targets, sources)
    assert similarity[0, 4] == 0 and best[0, 4] == 0
    others = torch.arange(sources.shape[1]) != 4
    assert (best[0, others] != 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_huge_and_tiny_keys(dtype):
    keys, targets, sources = problem(1, 60, 6, dtype=dtype, seed=4)
    expected, cosine = fast_cuda.nearest_fused(keys, targets, sources)
    factor = torch.tensor([2.0**100, 2.0**-100, 1.0]).repeat(20)[None, :, None].to(dtype)
    best, similarity = fast_cuda.nearest_fused(keys * factor, targets, sources)
    assert torch.equal(best, expected)
    torch.testing.assert_close(similarity, cosine)


@numpy_warns
def test_keys_that_are_no_numbers_stay_in_range_and_come_last():
    keys, targets, sources = problem(1, 60, 6, seed=5)
    keys[0, sources[0, 3]] = float("nan")
    keys[0, sources[0, 5]] = float("inf")
    best, similarity = fast_cuda.nearest_fused(keys, targets, sources)
    assert (best >= 0).all() and (best < targets.shape[1]).all()
    assert similarity.argsort()[0, :2].sort().values.tolist() == [3, 5]


@numpy_warns
def test_a_target_that_is_no_number_attracts_nobody():
    keys, targets, sources = problem(1, 400, 6, gamma=2, seed=7)
    zeroed = keys.clone()
    for place, value in ((3, float("nan")), (150, float("inf")), (151, -float("inf"))):
        keys[0, targets[0, place]] = value
        zeroed[0, targets[0, place]] = 0
    best, similarity = fast_cuda.nearest_fused(keys, targets, sources)
    expected, cosine = fast_cuda.nearest_fused(zeroed, targets, sources)
    assert torch.equal(best, expected) and torch.equal(similarity, cosine)


def test_each_item_has_its_own_targets_and_keys_need_not_be_contiguous():
    generator = torch.Generator().manual_seed(6)
    targets = torch.stack([torch.randperm(50, generator=generator)[:17].sort().values for _ in range(3)])
    keys = torch.randn(3, 12, 50, generator=generator).transpose(1, 2)
    sources = tiled.others(targets, 50)
    best, _ = fast_cuda.nearest_fused(keys, targets, sources)
    assert torch.equal(best, cosines(keys, targets, sources).argmax(2))


def test_match_gives_the_same_merge_with_it(monkeypatch):
    monkeypatch.setitem(matching.MATCHERS, "cpu", fast_cuda.nearest_fused)
    keys, targets, _ = problem(2, 90, 16, seed=7)
    for n_merge in (None, 20, 1):
        merge, plain = matching.match(keys, targets, n_merge), matching.match_plain(keys, targets, n_merge)
        assert torch.equal(merge.group, plain.group) and torch.equal(merge.keep, plain.keep)


def test_other_dtypes_and_no_sources_go_to_the_tiled_version():
    keys, targets, sources = problem(1, 20, 4, dtype=torch.float64, seed=8)
    assert fast_cuda.nearest_fused(keys, targets, sources)[1].dtype == torch.float64
    best, similarity = fast_cuda.nearest_fused(keys.float(), targets, sources[:, :0])
    assert best.shape == similarity.shape == (1, 0)


def test_magnitudes_are_the_same_for_problems_of_about_the_same_size():
    assert fast_cuda.magnitude(12_800, 2560) == fast_cuda.magnitude(13_000, 2600)
    small, large = fast_cuda.magnitude(3, 1), fast_cuda.magnitude(12_800, 256)
    assert len({small, large, fast_cuda.magnitude(256, 12_800)}) == 3


def test_as_an_operator_it_can_be_traced():
    tests = ("test_schema", "test_faketensor")
    torch.library.opcheck(fast_cuda._nearest, problem(2, 20, 4), test_utils=tests)
