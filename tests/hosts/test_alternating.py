"""ToMe's own matching in few calls: the same groups and averages as `match` and its Merge, in every case."""

import pytest
import torch

from vtm_lesson.hosts import alternating, passes
from vtm_lesson.hosts.alternating import Step, merge_nearest, nearest_alternate
from vtm_lesson.merging import Merge
from vtm_lesson.merging.matching import match

# isort: split
from timm.models.vision_transformer import VisionTransformer

from vtm_lesson.hosts import timm_vit as tome


def random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def expected(keys, prefix, r):
    """By the general code."""
    free = keys[:, prefix:]
    return match(free, tome.alternate(free.shape[1], prefix), r).after_prefix(prefix)


@pytest.mark.parametrize("prefix", [0, 1, 2, 5])
@pytest.mark.parametrize("n, r", [(2, 1), (3, 1), (16, 1), (16, 8), (17, 5), (31, 15)])
def test_the_same_groups_as_match(n, r, prefix):
    keys = random(3, prefix + n, 8, seed=n)
    got, wanted = (
        merge_nearest(*nearest_alternate(keys, prefix), prefix + n, prefix, r).merge,
        expected(keys, prefix, r),
    )
    assert torch.equal(got.group, wanted.group) and torch.equal(got.keep, wanted.keep)
    assert got.dropped is got.count is got.weight is None


def test_ties_go_to_the_lower_position():
    keys = torch.ones(2, 13, 4)  # all cosines are equal
    keys[1] = torch.eye(4)[torch.tensor([0, 1, 2, 1, 2, 2, 1, 3, 3, 1, 2, 2, 1])]
    for r in (1, 2, 5):
        got, wanted = merge_nearest(*nearest_alternate(keys, 1), 13, 1, r).merge, expected(keys, 1, r)
        assert torch.equal(got.group, wanted.group) and torch.equal(got.keep, wanted.keep)


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_same_averages_and_sizes(dtype, sized):
    keys, x = random(3, 22, 4), random(3, 22, 6, seed=1, dtype=dtype)
    size = torch.randint(1, 9, (3, 22), generator=torch.Generator().manual_seed(2)).float() if sized else None
    step, merge = merge_nearest(*nearest_alternate(keys, 1), 22, 1, 9), expected(keys, 1, 9)
    assert int(merge.size().max()) > 2, "no target gains two tokens"
    for one in (step, Step(merge)):
        y, new = one.average(x, size)
        torch.testing.assert_close(y, merge(x, weight=size))
        assert torch.equal(new, merge.size(size)) and new.dtype == torch.float32 and one.present is None


def test_gradients_are_those_of_the_general_code():
    keys, size = random(2, 13, 4), 1.0 + torch.arange(26).view(2, 13) % 3
    step, merge = merge_nearest(*nearest_alternate(keys, 1), 13, 1, 6), expected(keys, 1, 6)
    x, up = random(2, 13, 3, dtype=torch.float64).requires_grad_(), random(2, 7, 3, seed=3, dtype=torch.float64)
    got = torch.autograd.grad((step.average(x, size)[0] * up).sum(), x)[0]
    torch.testing.assert_close(got, torch.autograd.grad((merge(x, weight=size) * up).sum(), x)[0])


def test_what_needs_care_goes_the_usual_way():
    keys = random(1, 13, 4)
    assert nearest_alternate(keys, 1) is not None
    for place, value in ((0, 0.0), (3, float("nan")), (3, 1e30), (3, 1e-30), (12, float("inf"))):
        odd = keys.clone()
        odd[0, place] = value
        assert nearest_alternate(odd, 1) is None
    assert nearest_alternate(torch.ones(1, 1, 4).expand(9, 2000, 4), 1) is None, "the scores fill more than a tile"
    with torch.autocast("cpu", torch.bfloat16):
        assert nearest_alternate(keys, 1) is None


@pytest.fixture
def model():
    torch.manual_seed(0)
    return VisionTransformer(img_size=32, patch_size=8, depth=3, embed_dim=32, num_heads=2, num_classes=5).eval()


@pytest.mark.parametrize(
    "r", [3, lambda index, similarity: int((similarity > 0).sum(1).min())], ids=["int", "function"]
)
def test_a_model_gets_the_same_either_way(model, monkeypatch, r):
    images, outputs, asked = random(2, 3, 32, 32), [], []
    tome.apply(model, r)
    for way in (nearest_alternate, lambda *args: None):
        monkeypatch.setattr(passes, "nearest_alternate", lambda *args, way=way: asked.append(way(*args)) or asked[-1])
        with torch.no_grad():
            outputs.append((model(images), model.merges.group, [m.keep for m in model.layer_merges]))
    assert [found is None for found in asked] == [False] * 3 + [True] * 3
    torch.testing.assert_close(*outputs)


def test_no_merge_is_made_before_somebody_asks(model, monkeypatch):
    made = []
    monkeypatch.setattr(alternating, "Merge", lambda *args: made.append(args) or Merge(*args))
    tome.apply(model, 3)
    model(random(1, 3, 32, 32))
    assert made == []
    assert model.merges is model.merges and model.layer_merges[0] is model.layer_merges[0] and len(made) == 3


def test_merges_grow_with_the_blocks_that_are_done(model):
    tome.apply(model, 3)
    model.forward_intermediates(random(1, 3, 32, 32), indices=[0], stop_early=True, output_fmt="NLC")
    assert model.merges.n_out == 14
    first = model.merges
    model.blocks[1](random(1, 14, 32))
    assert first.n_out == 14 and (model.merges.n_in, model.merges.n_out, len(model.layer_merges)) == (17, 11, 2)


def test_the_block_adds_nothing_to_a_sum_that_is_made(model):
    value = torch.ones(2)
    answer = passes.Answer(value)
    assert torch.zeros(5) + answer is value and answer + torch.zeros(5) is value
