"""ToMe in timm's ViTs: nothing changes at r = 0, and what changes otherwise is what a plain transcription computes."""

import copy
import io
import math
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vtm_lesson import hosts
from vtm_lesson.hosts import timm_vit as tome
from vtm_lesson.merging import Merge
from vtm_lesson.merging.registry import reducer
from vtm_lesson.partition import uniform

# isort: split
import timm
from timm.layers import SwiGLU
from timm.models import vision_transformer as vit
from timm.models.vision_transformer import VisionTransformer

SMALL = {"img_size": 32, "depth": 3, "embed_dim": 32, "num_heads": 2, "num_classes": 5}
PLAIN = {**SMALL, "patch_size": 8}


def named(name, **kwargs):
    return timm.create_model(name, **{**SMALL, "patch_size": 8, **kwargs})


# name -> (how it is made, number of protected tokens)
MODELS = {
    "vit": (lambda: named("vit_tiny_patch16_224"), 1),
    "vit, average pool": (lambda: named("vit_tiny_patch16_224", global_pool="avg"), 1),
    "no class token": (lambda: VisionTransformer(**PLAIN, class_token=False, global_pool="avg"), 0),
    "attention pool": (lambda: VisionTransformer(**PLAIN, class_token=False, global_pool="map"), 0),
    "max pool": (lambda: VisionTransformer(**PLAIN, global_pool="max"), 1),
    "deit": (lambda: named("deit_tiny_patch16_224"), 1),
    "deit distilled": (lambda: named("deit_tiny_distilled_patch16_224"), 2),
    "deit3 (LayerScale)": (lambda: named("deit3_small_patch16_224"), 1),
    "dinov2 (LayerScale)": (lambda: named("vit_small_patch14_dinov2"), 1),
    "dinov2 with registers": (lambda: named("vit_small_patch14_reg4_dinov2"), 5),
    "registers, no class": (lambda: named("vit_medium_patch16_reg4_gap_256"), 4),
    "clip (pre-norm)": (lambda: named("vit_base_patch32_clip_224"), 1),
    "post-norm": (lambda: VisionTransformer(**PLAIN, block_fn=vit.ResPostBlock, init_values=0.5), 1),
    "qk_norm": (lambda: VisionTransformer(**PLAIN, qk_norm=True, init_values=0.1), 1),
    "differential attention": (lambda: VisionTransformer(**PLAIN, attn_layer="diff", qk_norm=True), 1),
    "swiglu": (lambda: VisionTransformer(**PLAIN, mlp_layer=SwiGLU, reg_tokens=2), 3),
    "any image size": (lambda: VisionTransformer(**PLAIN, dynamic_img_size=True), 1),
}


def perturbed(model, seed=0):
    """No parameter stays at a value that hides it (class tokens start at zero, LayerScale at 1e-5)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture(params=MODELS, ids=str)
def known(request):
    make, prefix = MODELS[request.param]
    return perturbed(make()), prefix


@pytest.fixture
def model():
    return perturbed(VisionTransformer(**PLAIN))


@pytest.fixture
def images():
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


# ------------------------------------------------------------------------------------------ nothing changes at r = 0


def test_r_zero_changes_nothing(known, images):
    model, prefix = known
    keys = list(model.state_dict())
    with torch.no_grad():
        before = model(images), model.forward_features(images)
        assert tome.apply(model, 0) is model
        after = model(images), model.forward_features(images)
    torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-6)
    assert list(model.state_dict()) == keys
    assert model.merges.n_in == model.merges.n_out == 16 + prefix


def test_every_kind_merges_protects_and_is_restored(known, images):
    model, prefix = known
    with torch.no_grad():
        before = model(images)
        tome.apply(model, [3, 0, 4])
        merged = model(images)
        assert merged.shape == before.shape and (merged - before).abs().max() > 1e-5
        assert [m.n_out for m in model.layer_merges] == [13 + prefix, 13 + prefix, 9 + prefix]
        assert (model.merges.n_in, model.merges.n_out) == (16 + prefix, 9 + prefix)
        size = model.merges.size()
        assert (size[:, :prefix] == 1).all() and (size.sum(1) == 16 + prefix).all()
        assert (model.merges.group[:, :prefix] == torch.arange(prefix)).all()
        assert tome.remove(model) is model
        assert torch.equal(model(images), before)
    assert not hasattr(model, "merges") and not hasattr(model, "tome")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


# ---------------------------------------------------------------------------------- against a plain transcription


def plain_tome(model, films, amounts, proportional, order="time"):
    """ToMe's ViT in numpy float64, one film (list of frames) at a time, tokens in a Python list; from the formulae."""
    w = {k: v.double().numpy() for k, v in model.state_dict().items()}
    heads, dim, p = model.blocks[0].attn.num_heads, model.embed_dim, model.patch_embed.patch_size[0]
    erf = np.vectorize(math.erf)

    def norm(x, name):
        if name + ".weight" not in w:
            return x
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * w[name + ".weight"] + w[name + ".bias"]

    def linear(x, name):
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    outputs, groups = [], []
    for film in films:
        tokens, protected = [], []
        for frame in film:
            patches = []
            for top in range(0, frame.shape[1], p):
                for left in range(0, frame.shape[2], p):
                    patch = frame[:, top : top + p, left : left + p]
                    kernel = w["patch_embed.proj.weight"]
                    patches.append((kernel * patch).sum((1, 2, 3)) + w["patch_embed.proj.bias"])
            sequence = np.stack(([w["cls_token"][0, 0]] if "cls_token" in w else []) + patches) + w["pos_embed"][0]
            if "cls_token" in w:
                protected, sequence = [sequence[0]], sequence[1:]
            tokens += list(sequence)
        x = np.stack(protected + tokens)
        n_protected = len(protected)
        size = [1.0] * len(x)
        members = [[i] for i in range(len(x))]  # of every present token: the original tokens in it
        for i, r in enumerate(amounts):
            name = f"blocks.{i}."
            q, k, v = np.split(linear(norm(x, name + "norm1"), name + "attn.qkv"), 3, axis=1)
            width = dim // heads
            out = np.zeros_like(x)
            for h in range(heads):
                part = slice(h * width, (h + 1) * width)
                for a in range(len(x)):
                    score = np.array([q[a, part] @ k[b, part] / math.sqrt(width) for b in range(len(x))])
                    if proportional:
                        score = score + np.log(size)
                    share = np.exp(score - score.max())
                    out[a, part] = (share / share.sum()) @ v[:, part]
            x = x + linear(out, name + "attn.proj")

            key = sum(k[:, h * width : (h + 1) * width] for h in range(heads)) / heads
            sources = [j for j in range(n_protected, len(x)) if j % 2 == 0]
            targets = [j for j in range(n_protected, len(x)) if j % 2 == 1]
            edges = []
            for s in sources:
                cosines = [key[s] @ key[t] / np.linalg.norm(key[s]) / np.linalg.norm(key[t]) for t in targets]
                best = int(np.argmax(cosines))
                edges.append((cosines[best], s, targets[best]))
            edges.sort(reverse=True)
            gone = {s: t for _, s, t in edges[: min(r, (len(x) - n_protected) // 2)]}
            kept = [j for j in range(len(x)) if j not in gone]
            if order == "tome":  # unmerged sources first; in order only where a class token was sorted to the front
                ranked = [s for _, s, _ in edges if s not in gone]
                kept = [*range(n_protected), *(sorted(ranked) if n_protected else ranked), *targets]
            new_x, new_size, new_members = [], [], []
            for j in kept:
                group = [j] + [s for s, t in gone.items() if t == j]
                total = sum(size[g] for g in group)
                new_x.append(sum(size[g] * x[g] for g in group) / total)
                new_size.append(total)
                new_members.append(sorted(m for g in group for m in members[g]))
            x, size, members = np.stack(new_x), new_size, new_members

            hidden = linear(norm(x, name + "norm2"), name + "mlp.fc1")
            x = x + linear(hidden * 0.5 * (1 + erf(hidden / math.sqrt(2))), name + "mlp.fc2")
        x = norm(x, "norm")
        pooled = x[0] if n_protected else norm(sum(s * t for s, t in zip(size, x, strict=True)) / sum(size), "fc_norm")
        outputs.append(linear(pooled, "head"))
        groups.append(members)
    return np.stack(outputs), groups


def members_of(merge, item):
    return [sorted((merge.group[item] == j).nonzero()[:, 0].tolist()) for j in range(merge.n_out)]


@pytest.mark.parametrize("proportional", [True, False], ids=["proportional", "plain attention"])
@pytest.mark.parametrize("r, amounts", [(3, [3] * 4), ((2, -1.0), [4, 3, 1, 0]), ([0, 5, 0, 1], [0, 5, 0, 1])], ids=str)
@pytest.mark.parametrize("frames", [1, 2])
def test_against_a_plain_transcription(r, amounts, proportional, frames):
    model = perturbed(VisionTransformer(**{**PLAIN, "depth": 4}), seed=3).double()
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    films = images.unflatten(0, (-1, frames)).numpy()
    expected, groups = plain_tome(model, films, amounts, proportional)
    unmerged, _ = plain_tome(model, films, [0] * 4, proportional)
    tome.apply(model, r, proportional, frames=frames)
    with torch.no_grad():
        got = model(images)
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-6)
    assert abs(expected - unmerged).max() > 1e-3  # so the line above says something
    for item, members in enumerate(groups):
        assert members_of(model.merges, item) == members


def test_against_a_plain_transcription_with_averagepool():
    model = perturbed(VisionTransformer(**PLAIN, class_token=False, global_pool="avg"), seed=4).double()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    expected, groups = plain_tome(model, images[:, None].numpy(), [4, 4, 4], True)
    tome.apply(model, 4)
    with torch.no_grad():
        np.testing.assert_allclose(model(images).numpy(), expected, rtol=0, atol=1e-6)
    assert [members_of(model.merges, i) for i in range(2)] == groups
    assert model.forward_features(images).shape == (2, 16, 32)  # unmerged before the pool


@pytest.mark.parametrize("proportional", [True, False], ids=["proportional", "plain attention"])
@pytest.mark.parametrize("class_token", [True, False])
@pytest.mark.parametrize("r", [2, 3])
def test_order_as_tomes_own_code_leaves_it(r, class_token, proportional):
    kind = {} if class_token else {"class_token": False, "global_pool": "avg"}
    model = perturbed(VisionTransformer(**{**PLAIN, "depth": 4}, **kind), seed=7).double()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    outputs = {}
    for order in ("tome", "time"):
        expected, groups = plain_tome(model, images[:, None].numpy(), [r] * 4, proportional, order)
        tome.apply(model, r, proportional, order=order)
        with torch.no_grad():
            outputs[order] = model(images)
        np.testing.assert_allclose(outputs[order].numpy(), expected, rtol=0, atol=1e-6)
        assert [members_of(model.merges, i) for i in range(2)] == groups
    assert (outputs["tome"] - outputs["time"]).abs().max() > 1e-4, "the order changes who meets whom"
    assert model.layer_merges[0].n_out == 16 + class_token - r


# ----------------------------------------------------------------------------------------------- other reducers


@pytest.mark.parametrize("name", ["uniform", "random", "drop"])
def test_any_reducer_takes_the_place_of_tomes_matching(known, images, name):
    model, prefix = known
    with torch.no_grad():
        plain = model(images)
        hosts.apply(model, 3, reducer=name)
        assert model(images).shape == plain.shape and (model(images) - plain).abs().max() > 1e-5
        assert [m.n_out for m in model.layer_merges] == [13 + prefix, 10 + prefix, 7 + prefix]
        assert (model.merges.group[:, :prefix] == torch.arange(prefix)).all()
        if name == "drop":
            assert model.merges.dropped.sum(1).tolist() == [9] * 4 and not model.merges.dropped[:, :prefix].any()
        assert torch.equal(hosts.remove(model)(images), plain)


def test_a_bipartite_reducer_chooses_half_as_targets_and_merges_the_most_similar(model, images):
    with torch.no_grad():
        by_function = tome.apply(model, 3, partition=lambda n: uniform(n, 2))(images)
        for settings in ({"partition": "uniform"}, {"reducer": "uniform"}):
            torch.testing.assert_close(tome.apply(model, 3, **settings)(images), by_function)


def test_what_a_picture_of_groups_needs_knows_what_was_dropped(model, images):
    with torch.no_grad():
        tome.apply(model, 3, reducer="drop")(images)
        assert tome.patch_merge(model).size().sum(1).tolist() == [16 - 9] * 4
        tome.apply(model, reducer=reducer("threshold", above=0.3))(images)
    assert tome.patch_merge(model).size().sum(1).tolist() == [16] * 4


def test_dropping_is_the_same_model_on_fewer_tokens(model, images):
    """After the first block's attention, patches 1, 2 and 3 are left out, as if they were masked from then on."""

    class First:
        ragged = False

        def __call__(self, context):
            into = torch.arange(context.n).expand(len(context.keys), -1).clone()
            into[:, 1:4] = 0
            return Merge.of(into, torch.arange(context.n).expand_as(into).sub(2).abs() <= 1, n_out=context.n_keep)

    with torch.no_grad():
        x = model.patch_embed(images)
        x = model.norm_pre(model._pos_embed(x))
        x = model.blocks[0](x)[:, [0, 1, *range(5, 17)]]
        expected = model.forward_head(model.norm(model.blocks[2](model.blocks[1](x))))
        got = tome.apply(model, [3, 0, 0], reducer=First())(images)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("proportional", [True, False])
@pytest.mark.parametrize("pool", ["token", "avg"])
def test_images_that_keep_different_numbers_do_not_disturb_each_other(pool, proportional):
    model = perturbed(VisionTransformer(**PLAIN, global_pool=pool), seed=2)
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    images[1, :, :16] = 0.3  # half of it is empty
    model = tome.apply(model, proportional=proportional, reducer=reducer("threshold", above=0.6)).double()
    with torch.no_grad():
        whole = model(images.double())
        counts = model.merges.count.tolist()
        assert len(set(counts)) > 1
        for i in range(3):
            alone = model(images[i : i + 1].double())
            torch.testing.assert_close(whole[i : i + 1], alone)
            assert model.merges.n_out == counts[i]


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"r": 3, "reducer": "luck"}, "reducer is 'luck'"),
        ({"r": 3, "reducer": "threshold"}, "decides itself how many"),
        ({"reducer": "drop"}, "r is missing"),
        ({"r": 3, "reducer": "drop", "partition": uniform}, "both given"),
        ({"r": 3, "reducer": "drop", "order": "tome"}, "ToMe's own matching"),
        ({"r": 3, "order": "space"}, "order is 'space'"),
        ({"r": 3, "partition": "space"}, "partition is 'space'"),
    ],
)
def test_wrong_plugs_are_named(model, settings, words):
    with pytest.raises(ValueError, match=words):
        tome.apply(model, **settings)


@pytest.mark.parametrize("wrong", [lambda n: torch.arange(n) % 2 == 1, lambda n: torch.arange(n + 5)])
def test_targets_that_are_none_are_refused(model, images, wrong):
    with pytest.raises(ValueError, match="targets"), torch.no_grad():
        tome.apply(model, 3, partition=wrong)(images)


# ----------------------------------------------------------------------------------------------- settings


def test_applying_twice_is_applying_once(model, images):
    with torch.no_grad():
        once = tome.apply(copy.deepcopy(model), 4)(images)
        tome.apply(model, 2, proportional=False)
        model(images)
        assert torch.equal(tome.apply(model, 4)(images), once)
        assert model.merges.n_out == 17 - 12
        before = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
        tome.apply(model, 4)
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == before


def test_a_refused_setting_leaves_the_last_one(model, images):
    tome.apply(model, 2)
    with pytest.raises(ValueError):
        tome.apply(model, [1, 2])
    model(images)
    assert model.merges.n_out == 17 - 6


def test_patch_merge(images):
    model = perturbed(VisionTransformer(**PLAIN, reg_tokens=2))
    with pytest.raises(ValueError, match="merged nothing yet"):
        tome.patch_merge(tome.apply(model, 4))
    model(images)
    merge = tome.patch_merge(model)
    assert (merge.n_in, merge.n_out) == (16, 4) and torch.equal(merge.size(), model.merges.size()[:, 3:])
    assert torch.equal(merge.group.gather(1, merge.keep), torch.arange(4).expand(4, 4))
    with pytest.raises(ValueError, match="merged nothing yet"):
        tome.patch_merge(tome.remove(model))


def test_removing_from_an_untouched_model_does_nothing(model, images):
    before = model(images)
    assert torch.equal(tome.remove(model)(images), before)


def test_schedules():
    assert tome.schedule(3, 4) == [3, 3, 3, 3]
    assert tome.schedule([1, 2], 2) == [1, 2]
    assert tome.schedule((3, -1), 4) == [6, 4, 2, 0]  # 3 + 3 * (1, 1/3, -1/3, -1)
    assert tome.schedule((3, 1), 4) == [0, 2, 4, 6]
    assert tome.schedule((8, 0), 3) == [8, 8, 8]
    assert tome.schedule((5, -1), 1) == [5]
    for r in range(20):
        for depth in range(1, 14):
            for slope in (-1.0, -0.7, -0.33, 0.5, 1.0):
                amounts = tome.schedule((r, slope), depth)
                assert sum(amounts) == r * depth and min(amounts) >= 0
                assert amounts == sorted(amounts, reverse=slope < 0)


def test_too_much_is_half(model, images):
    tome.apply(model, 1000)
    model(images)
    assert [m.n_out - 1 for m in model.layer_merges] == [8, 4, 2]
    deep = perturbed(VisionTransformer(**{**PLAIN, "depth": 7}))
    tome.apply(deep, 1000)
    deep(images)
    assert [m.n_out - 1 for m in deep.layer_merges] == [8, 4, 2, 1, 1, 1, 1]


def test_amount_from_similarity(model, images):
    seen = []

    def amount(index, similarity):
        seen.append((index, tuple(similarity.shape)))
        return int((similarity > 0.5).sum(1).min())

    tome.apply(model, amount)
    model(images)
    assert [i for i, _ in seen] == [0, 1, 2] and seen[0][1] == (4, 8)
    tome.apply(model, lambda index, similarity: int((similarity >= -1.01).sum(1).min()))
    model(images)
    assert [m.n_out - 1 for m in model.layer_merges] == [8, 4, 2]
    tome.apply(model, lambda index, similarity: 0.5)
    with pytest.raises(ValueError, match=r"gave 0\.5 in block 0"):
        model(images)


def test_own_partition(model, images):
    """One target: everything may go into one token, which is then the mean of all patch tokens of the first block."""
    tome.apply(model, [15, 0, 0], partition=lambda n: torch.tensor([n - 1]))
    model(images)
    assert model.merges.size().tolist() == [[1, 16]] * 4
    tome.apply(model, 100, partition=lambda n: uniform(n, 4))
    model(images)
    assert [m.n_out - 1 for m in model.layer_merges] == [4, 1, 1]


@pytest.mark.parametrize(
    "r, message",
    [
        ([1, 2], "lists 2 numbers; this model has 3 blocks"),
        (-1, "-1; tokens merged away"),
        ([1, 2.5, 3], "2.5"),
        (True, "True"),
        ("8", "'8'"),
        (None, "r is missing"),
        ((8, 2.0), "slope from -1 to 1"),
        ((8,), "a tuple is"),
        ((8, 1, 1), "a tuple is"),
    ],
)
def test_wrong_amounts(model, r, message):
    with pytest.raises(ValueError, match=message):
        tome.apply(model, r)
    assert not hasattr(model, "tome")


def test_wrong_frames(model, images):
    for frames in (0, 1.5, True, "a", None, math.inf, math.nan):
        with pytest.raises(ValueError, match="give the number of frames of a film"):
            tome.apply(model, 1, frames=frames)
    tome.apply(model, 1, frames=3)
    with pytest.raises(ValueError, match="no whole number of films of 3 frames"):
        model(images)


# ------------------------------------------------------------------------------------------------ refused models


class OwnAttention(vit.Attention):
    def forward(self, x, attn_mask=None, is_causal=False):
        return super().forward(x)


class OwnBlock(vit.Block):
    def forward(self, x, attn_mask=None, is_causal=False):
        return super().forward(x)


class OwnModel(VisionTransformer):
    def forward_features(self, x, **kwargs):
        return super().forward_features(x.flip(-1), **kwargs)


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: timm.create_model("swin_tiny_patch4_window7_224", embed_dim=8, depths=(1, 1), num_heads=(1, 1)),
            "SwinTransformer is not a timm VisionTransformer",
        ),
        (lambda: torch.nn.Linear(2, 2), "Linear is not"),
        (lambda: VisionTransformer(**PLAIN, block_fn=vit.ParallelScalingBlock), "made of ParallelScalingBlock"),
        (lambda: VisionTransformer(**PLAIN, block_fn=vit.ParallelThingsBlock), "made of ParallelThingsBlock"),
        (lambda: VisionTransformer(**PLAIN, block_fn=OwnBlock), "made of OwnBlock"),
        (lambda: VisionTransformer(**PLAIN, attn_layer=OwnAttention), "attention of type OwnAttention"),
    ],
    ids=["swin", "linear", "parallel scaling", "parallel things", "own block", "own attention"],
)
def test_refused_models(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        tome.apply(make(), 2)
    assert "\n" not in str(caught.value)


def test_own_subclass_with_timm_blocks_works(images):
    model = perturbed(OwnModel(**PLAIN))
    with torch.no_grad():
        before = model(images)
        assert torch.equal(tome.apply(model, 0)(images), before)
        model = tome.apply(model, 2)
        model(images)
    assert model.merges.n_out == 17 - 6


def test_attention_without_a_mask_is_refused(model, images, monkeypatch):
    """As in timm before 1.0.16."""
    forward = vit.Attention.forward
    monkeypatch.setattr(vit.Attention, "forward", lambda self, x: forward(self, x))
    with pytest.raises(ValueError, match=r"install timm 1\.0\.16 or newer"):
        tome.apply(model, 2)
    tome.apply(model, 2, proportional=False)


def test_masks_and_checkpointing_are_refused(model, images):
    tome.apply(model, 2)
    with pytest.raises(ValueError, match="attn_mask"):
        model(images, attn_mask=torch.zeros(17, 17))
    with pytest.raises(ValueError, match="is_causal"):
        model(images, is_causal=True)
    model.set_grad_checkpointing(True)
    with pytest.raises(ValueError, match="checkpointing"):
        model(images)
    model.set_grad_checkpointing(False)
    model(images)
    assert model.merges.n_out == 17 - 6  # the refused passes left nothing behind


# ------------------------------------------------------------------------------------------------ life in a project


def test_fused_attention_gets_the_log_sizes(model, images, monkeypatch):
    masks, fused = [], F.scaled_dot_product_attention

    def spy(q, k, v, attn_mask=None, **kwargs):
        masks.append(attn_mask)
        return fused(q, k, v, attn_mask=attn_mask, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    tome.apply(model, 4)
    model(images)
    assert masks[0] is None and [tuple(m.shape) for m in masks[1:]] == [(4, 1, 1, 13), (4, 1, 1, 9)]
    torch.testing.assert_close(masks[1].exp()[:, 0, 0].sum(1), torch.full((4,), 17.0))
    masks.clear()
    tome.apply(model, 4, proportional=False)
    model(images)
    assert masks == [None] * 3


def test_copies_and_files(model, images):
    tome.apply(model, (3, -1.0))
    with torch.no_grad():
        expected = model(images)
        twin = copy.deepcopy(model)
        buffer = io.BytesIO()
        torch.save(model, buffer)
        buffer.seek(0)
        loaded = torch.load(buffer, weights_only=False)
        tome.apply(model, 0)
        for other in (twin, loaded):
            assert torch.equal(other(images), expected)
            assert other.merges.n_out == 8 and model.merges is not other.merges
            tome.remove(other)
            assert torch.equal(other(images), model(images))
    fresh = VisionTransformer(**PLAIN)
    fresh.load_state_dict(tome.apply(model, 4).state_dict())


def test_gradients(model, images):
    """Along a random direction, the derivative is the difference quotient."""
    model = tome.apply(model.double().train(), 4)
    x = images.double().requires_grad_()
    model(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    step = 1e-5 * torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        change = model(x + step).square().sum() - model(x - step).square().sum()
    torch.testing.assert_close((x.grad * step).sum() * 2, change, rtol=1e-4, atol=0)


def test_training_mode_with_dropout(images):
    model = VisionTransformer(**PLAIN, drop_path_rate=0.5, proj_drop_rate=0.2, attn_drop_rate=0.2, patch_drop_rate=0.25)
    tome.apply(model.train(), 2)
    model(images).sum().backward()
    assert (model.merges.n_in, model.merges.n_out) == (13, 7)


def test_low_precision(model, images):
    with torch.no_grad():
        exact = tome.apply(model, 2)(images)
        half = copy.deepcopy(model).bfloat16()
        assert (half(images.bfloat16()).float() - exact).abs().max() < 0.2 * exact.abs().max()
        assert half.merges.size().dtype == torch.float32
        with torch.autocast("cpu", torch.bfloat16):
            assert model(images).isfinite().all()


def test_intermediates_and_feature_paths(model, images):
    tome.apply(model, 4)
    with torch.no_grad():
        features = model.forward_features(images)
        final, between = model.forward_intermediates(images, output_fmt="NLC", norm=True)
    assert [b.shape[1] for b in between] == [12, 8, 4]
    torch.testing.assert_close(final, features)
    assert model.merges.unmerge(features).shape == (4, 17, 32)
    model.forward_intermediates(images, indices=[0], output_fmt="NLC", stop_early=True, intermediates_only=True)
    assert model.merges.n_out == 13


def test_merged_tokens_are_refused_as_a_grid(model, images):
    tome.apply(model, 3)  # 17 -> 14 -> 11 -> 8 tokens: timm would reshape the last 7 x 32 numbers to 4 x 4 pixels of 14
    grids = [
        lambda host: host.forward_intermediates(images),
        lambda host: host.forward_intermediates(images, None, False, False, False, "NCHW", True),
        lambda host: host.get_intermediate_layers(images, 1, reshape=True),
    ]
    for host in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for grid in grids:
            with pytest.raises(ValueError, match=r"merged tokens are no grid: .*output_fmt='NLC'"):
                grid(host)
        assert host.get_intermediate_layers(images, 1)[0].shape == (4, 7, 32)
        assert host.layer_merges[-1].n_out == 8, "the copy's own record"
    for harmless in (tome.apply(model, 0), tome.remove(model)):
        assert [g.shape for g in harmless.get_intermediate_layers(images, 2, reshape=True)] == [(4, 32, 4, 4)] * 2
    assert "forward_intermediates" not in vars(model)


@pytest.mark.filterwarnings("ignore")  # tracing warns of every value that it writes down, and that it is deprecated
@pytest.mark.parametrize("plug", [{"r": 3}, {"r": 3, "reducer": "drop"}, {"r": lambda block, similarity: 2}])
def test_tracing_is_refused_where_it_would_keep_one_image_s_groups(model, images, plug):
    tome.apply(model, **plug)
    with pytest.raises(ValueError, match=r"torch\.jit\.trace writes down one pass"):
        torch.jit.trace(model, images)
    with torch.no_grad():
        traced = torch.jit.trace(tome.apply(model, 0), images)
        assert torch.equal(traced(images), tome.remove(model)(images))


@pytest.mark.parametrize("frames", ["a", None, 1.5, True, 0, -1, float("nan"), [2]])
def test_odd_numbers_of_frames_are_told(model, frames):
    with pytest.raises(ValueError, match="give the number of frames of a film, 1 or more"):
        tome.apply(model, 3, frames=frames)


@pytest.mark.parametrize("r", [(8, "a"), (8, None), (8, [1]), ("a", 0.5), (8, float("nan")), "8", {8}])
def test_odd_amounts_are_told(model, r):
    with pytest.raises(ValueError, match=r"^r (is|holds) "):
        tome.apply(model, r)


def test_one_frame_a_film_is_per_frame(model, images):
    with torch.no_grad():
        alone = tome.apply(model, 3)(images)
        assert torch.equal(tome.apply(model, 3, frames=1)(images), alone)
        joint = tome.apply(model, 3, frames=4)(images)
    assert joint.shape == (1, 5) and model.merges.n_in == 1 + 4 * 16


def test_export(model, images):
    """torch.export follows matching and merging as one graph, without a break."""
    tome.apply(model, 3)
    with torch.no_grad():
        exported = torch.export.export(model, (images,)).module()
        torch.testing.assert_close(exported(images.flip(0)), model(images.flip(0)))


# ------------------------------------------------------------------------------------------------ several threads


def seen_of(model, images):
    """The output of a pass, and all that the model then says of it."""
    with torch.inference_mode():
        output = model(images)
    merges = [model.merges, *model.layer_merges, tome.patch_merge(model)]
    return [output, *(tensor for merge in merges for tensor in (merge.group, merge.keep))]


@pytest.mark.parametrize(
    "settings",
    [
        {"r": 3},
        {"r": 2, "frames": 2},
        {"r": 3, "reducer": "uniform", "proportional": False},
        {"reducer": reducer("threshold", above=0.3)},
        {"r": lambda index, similarity: int((similarity > 0.5).sum(1).min())},
    ],
    ids=["tome", "films", "uniform", "threshold", "function"],
)
def test_threads_share_a_model(settings):
    """4 threads with batches of different sizes: bit for bit what one thread gets, outputs and merges."""
    model = tome.apply(perturbed(VisionTransformer(**PLAIN, global_pool="avg")), **settings)
    batches = [torch.randn(2 + 2 * (i % 3), 3, 32, 32, generator=torch.Generator().manual_seed(i)) for i in range(6)]
    expected = [seen_of(model, images) for images in batches]
    start = threading.Barrier(4)

    def run(number):
        start.wait()
        for i in range(3 * len(batches)):
            which = (number + i) % len(batches)
            torch.testing.assert_close(seen_of(model, batches[which]), expected[which], rtol=0, atol=0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))


def test_every_thread_reads_its_own_last_pass(model, images):
    tome.apply(model, 4)
    assert model.merges is None and model.layer_merges == []
    model(images)
    own = model.merges

    def other():
        before = model.merges, model.layer_merges
        with pytest.raises(ValueError, match="merged nothing yet"):
            tome.patch_merge(model)
        with pytest.raises(ValueError, match="run the first block before"):
            model.blocks[1](torch.zeros(1, 17, 32))
        model(images[:1])
        return before, model.merges

    with ThreadPoolExecutor(1) as pool:
        before, theirs = pool.submit(other).result()
    assert before == (None, []) and len(theirs.group) == 1
    assert model.merges is own and len(own.group) == 4
    # What belongs to models that merge is seen on no other.
    assert not hasattr(tome.remove(model), "merges") and not hasattr(VisionTransformer(**PLAIN), "layer_merges")


def test_training_in_threads_gives_the_gradients_of_one(images):
    model = tome.apply(perturbed(VisionTransformer(**PLAIN)).double(), 3)

    def gradient(number):
        x = images[: 1 + number % 3].double().requires_grad_()
        return torch.autograd.grad(model(x).square().sum(), x)[0]

    expected = [gradient(number) for number in range(3)]
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(got, expected[i % 3]) for i, got in enumerate(pool.map(gradient, range(24))))


@pytest.mark.parametrize("kind", ["r", "r and reducer", "partition", "reducer"])
def test_a_function_that_decides_may_run_the_same_model(model, images, kind):
    """The pass within the pass has another size, and leaves no trace in the outer one."""
    inside = []

    def peek(value):
        if not inside:
            inside.append(None)
            inside[0] = model(images[:1])
        return value

    settings = {
        "r": {"r": lambda index, similarity: peek(3)},
        "r and reducer": {"r": lambda index, similarity: peek(3), "reducer": "centre"},
        "partition": {"r": 3, "partition": lambda context: peek(torch.arange(context.n // 2))},
        "reducer": {"r": 3, "reducer": lambda context: peek(reducer("uniform")(context))},
    }[kind]
    with torch.no_grad():
        tome.apply(model, **settings)
        inside.append("not now")
        expected, alone = seen_of(model, images), model(images[:1])
        inside.clear()
        got = seen_of(model, images)
    assert all(map(torch.equal, got, expected)) and torch.equal(inside[0], alone)


def test_a_pass_that_failed_midway_leaves_nothing_for_the_next(model, images):
    """Neither for the next pass nor for copies: tensors with a history cannot be copied."""
    tome.apply(model, 3)
    expected = seen_of(model, images)

    def fail(*_):
        raise RuntimeError("midway")

    for place in (model.blocks[0].mlp, model.blocks[1].attn, model.blocks[2].drop_path2, model.blocks[2].norm2):
        handle = place.register_forward_hook(fail)
        with pytest.raises(RuntimeError, match="midway"):
            model(images[:2])
        handle.remove()
        twin = copy.deepcopy(model)
        assert all(map(torch.equal, seen_of(twin, images), expected))
        assert all(map(torch.equal, seen_of(model, images), expected))


def test_a_copy_knows_what_its_original_did_last(model, images):
    tome.apply(model, 3)
    model(images)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    for other in (copy.deepcopy(model), torch.load(buffer, weights_only=False)):
        assert torch.equal(other.merges.group, model.merges.group) and len(other.layer_merges) == 3
        other(images[:1])
        assert len(other.merges.group) == 1 and len(model.merges.group) == 4


def test_compiled_it_keeps_a_record_of_each_thread(model, images):
    """One graph without a break; eager as backend, as only what Python does is asked here."""
    tome.apply(model, 3)
    expected = [seen_of(model, images), seen_of(model, images[:1])]
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    got = seen_of(compiled, images)
    with ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(seen_of, compiled, images[:1]).result()
    for seen, wanted in zip((got, theirs), expected, strict=True):
        torch.testing.assert_close(seen[0], wanted[0])  # the compiler is given the general code for averages
        assert all(map(torch.equal, seen[1:], wanted[1:]))
    assert len(compiled.merges.group) == 4
