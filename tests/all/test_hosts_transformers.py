"""Merging in transformers' vision and video models, random weights: nothing changes at r = 0, otherwise what a plain
transcription of ToMe computes; and DINOv2 is the same in timm and in transformers."""

import copy
import io
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import vtm_lesson as vtm
from vtm_lesson import hosts  # before timm and transformers
from vtm_lesson.hosts import transformers_video
from vtm_lesson.merging.registry import reducer
from vtm_lesson.merging.strategies import is_ragged, signals

# isort: split
from dinov2_in_both import pair, perturbed

T = pytest.importorskip("transformers", reason="transformers is missing: make test-all installs it")
ROOT = Path(__file__).resolve().parents[2]
BASE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
IMAGE = {**BASE, "image_size": 32, "patch_size": 8, "intermediate_size": 48}
TEXT = {**BASE, "intermediate_size": 48, "vocab_size": 50, "max_position_embeddings": 16}
LABELS = {"num_labels": 5}


def clip_config(kind=T.CLIPConfig, vision=T.CLIPVisionConfig, **kwargs):
    text = {**TEXT, "eos_token_id": 49, "bos_token_id": 1, "pad_token_id": 0}
    return kind(text_config=text, vision_config=vision(**IMAGE).to_dict(), projection_dim=24, **kwargs)


def siglip_config(**kwargs):
    return clip_config(T.SiglipConfig, T.SiglipVisionConfig, **kwargs)


def dino(kind=T.Dinov2Model, **kwargs):
    return kind(T.Dinov2Config(**BASE, image_size=32, patch_size=8, mlp_ratio=2, **kwargs))


def videomae(kind=T.VideoMAEModel, **kwargs):
    return kind(T.VideoMAEConfig(**IMAGE, num_frames=6, tubelet_size=2, **kwargs))


def vivit(kind=T.VivitModel, **kwargs):
    config = {name: value for name, value in IMAGE.items() if name != "patch_size"}
    return kind(T.VivitConfig(**config, num_frames=6, tubelet_size=[2, 8, 8], **kwargs))


# The classes with the blocks: how they are made, and the grid that they see.
TRUNKS = {
    "CLIP": (lambda: T.CLIPVisionModel(T.CLIPVisionConfig(**IMAGE)), (1, 4, 4)),
    "SigLIP": (lambda: T.SiglipVisionModel(T.SiglipVisionConfig(**IMAGE)), (1, 4, 4)),
    "DINOv2": (dino, (1, 4, 4)),
    "VideoMAE": (videomae, (3, 4, 4)),
    "ViViT": (vivit, (3, 4, 4)),
}
HOLDERS = {
    "CLIPModel": lambda: T.CLIPModel(clip_config()),
    "CLIPVisionModelWithProjection": lambda: T.CLIPVisionModelWithProjection(T.CLIPVisionConfig(**IMAGE)),
    "CLIPForImageClassification": lambda: T.CLIPForImageClassification(clip_config(**LABELS)),
    "SiglipModel": lambda: T.SiglipModel(siglip_config()),
    "SiglipForImageClassification": lambda: T.SiglipForImageClassification(siglip_config(**LABELS)),
    "Dinov2ForImageClassification": lambda: dino(T.Dinov2ForImageClassification, **LABELS),
    "VideoMAEForVideoClassification": lambda: videomae(T.VideoMAEForVideoClassification, **LABELS),
    "VivitForVideoClassification": lambda: vivit(T.VivitForVideoClassification, **LABELS),
}


def family_of(model):
    return next(n for n, classes in transformers_video.class_names().items() if type(model).__name__ in classes)


def prefix_of(model):
    return transformers_video.FAMILIES[family_of(model)].prefix


def inputs_of(model, batch=4, seed=1):
    """What the model takes: images or films, and for the models with a text part some text."""
    video = transformers_video.FAMILIES[family_of(model)].video
    shape = (batch, 6, 3, 32, 32) if video else (batch, 3, 32, 32)
    inputs = {"pixel_values": torch.randn(shape, generator=torch.Generator().manual_seed(seed))}
    if type(model).__name__ in ("CLIPModel", "SiglipModel"):
        inputs["input_ids"] = torch.tensor([[1, 7, 49], [1, 9, 49]])
    return inputs


def outputs(model, inputs, **options):
    """All tensors of the output by name, those of nested outputs too."""
    with torch.no_grad():
        out = model(**inputs, **options)
    flat = {}
    for name, value in out.items():
        parts = value.items() if hasattr(value, "items") else [("", value)]
        flat |= {f"{name}.{part}": tensor for part, tensor in parts if isinstance(tensor, torch.Tensor)}
    return flat


def last(model, inputs, **options):
    with torch.no_grad():
        return model(**inputs, **options).last_hidden_state


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(params=TRUNKS)
def trunk(request):
    return perturbed(TRUNKS[request.param][0]())


@pytest.fixture(params=[*TRUNKS, *HOLDERS])
def known(request):
    return perturbed(TRUNKS[request.param][0]() if request.param in TRUNKS else HOLDERS[request.param]())


def left_in(model):
    """Everything that a model has beside parameters: attributes of all modules, numbers of hooks, configurations."""
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    names = [sorted(vars(m)) for m in model.modules()]
    return hooks, names, [id(m.config) for m in model.modules() if "config" in vars(m)]


# ------------------------------------------------------------------------------------------ nothing changes at r = 0


def test_every_listed_class_is_tested_here():
    listed = {name for classes in transformers_video.class_names().values() for name in classes}
    assert listed == {type(make()).__name__ for make, _ in TRUNKS.values()} | set(HOLDERS)
    rows = {row["family"]: row for row in hosts.supported() if row["library"] == "transformers"}
    assert rows.keys() == TRUNKS.keys() and all("CLIPModel" not in r["classes"] for n, r in rows.items() if n != "CLIP")


def test_merging_nothing_changes_no_bit(known):
    inputs, keys, config = inputs_of(known), list(known.state_dict()), known.config.to_dict()
    before = outputs(known, inputs)
    assert before and hosts.apply(known, 0) is known
    assert same(outputs(known, inputs), before)
    assert list(known.state_dict()) == keys and known.config.to_dict() == config
    assert known.merges.n_in == known.merges.n_out and len(known.layer_merges) == 3


def test_every_class_merges_protects_and_is_restored(known):
    inputs, prefix = inputs_of(known), prefix_of(known)
    before, untouched = outputs(known, inputs), left_in(known)
    hosts.apply(known, [3, 0, 4])
    merged = outputs(known, inputs)
    assert {n: v.shape for n, v in merged.items()} == {n: v.shape for n, v in before.items()}
    assert all((merged[n] - before[n]).abs().max() > 1e-5 for n in before if "text" not in n)
    n = known.merges.n_in
    assert [m.n_out for m in known.layer_merges] == [n - 3, n - 3, n - 7] and known.merges.n_out == n - 7
    size = known.merges.size()
    assert (size[:, :prefix] == 1).all() and (size.sum(1) == n).all()
    assert hosts.remove(known) is known
    assert same(outputs(known, inputs), before) and left_in(known) == untouched
    assert not hasattr(known, "merges") and not hasattr(known, "layer_merges")
    assert same(outputs(hosts.remove(known), inputs), before)  # once more does nothing


# ---------------------------------------------------------------------------------- against a plain transcription


def parts(family, layer):
    """The linear maps of one block, from transformers' modules: norm, q, k, v, out, scale, norm, MLP, scale."""
    one = torch.nn.Identity()
    if family == "VideoMAE":
        names = ["layernorm_before", *(f"attention.attention.{n}" for n in ("query", "key", "value"))]
        first = attrgetter(*names, "attention.output.dense", "layernorm_after")(layer)
        return *first, lambda x: layer.output.dense(layer.intermediate(x)), one, one
    norms = {"DINOv2": ("norm1", "norm2"), "ViViT": ("layernorm_before", "layernorm_after")}
    before, after = norms.get(family, ("layer_norm1", "layer_norm2"))
    attention = layer.self_attn if hasattr(layer, "self_attn") else layer.attention
    out = attention.out_proj if hasattr(attention, "out_proj") else attention.o_proj
    scales = (layer.layer_scale1, layer.layer_scale2) if family == "DINOv2" else (one, one)
    q, k, v = attention.q_proj, attention.k_proj, attention.v_proj
    return getattr(layer, before), q, k, v, out, getattr(layer, after), layer.mlp, *scales


@torch.no_grad()
def plain_tome(model, pixels, amounts, proportional, frames=1):
    """ToMe, one input at a time, matched in Python loops: last_hidden_state and who is in which token."""
    family = family_of(model)
    layers = attrgetter(transformers_video.FAMILIES[family].layers)(model)
    tokens = model.embeddings(pixels, None) if family == "VideoMAE" else model.embeddings(pixels)
    tokens = model.pre_layrnorm(tokens) if family == "CLIP" else tokens
    prefix, heads = prefix_of(model), model.config.num_attention_heads
    rows, groups = [], []
    for film in tokens.split(frames):
        x = torch.cat([film[0, :prefix], *film[:, prefix:]])
        size, members = torch.ones(len(x), dtype=x.dtype), [[i] for i in range(len(x))]
        for layer, r in zip(layers, amounts, strict=True):
            norm1, q, k, v, out, norm2, mlp, scale1, scale2 = parts(family, layer)
            h = norm1(x)
            keys, summed = k(h).unflatten(1, (heads, -1)), []
            for a in range(heads):
                query, value = q(h).unflatten(1, (heads, -1))[:, a], v(h).unflatten(1, (heads, -1))[:, a]
                score = query @ keys[:, a].T / math.sqrt(query.shape[1])
                summed.append((score + size.log() * proportional).softmax(1) @ value)
            x = x + scale1(out(torch.cat(summed, 1)))

            key = keys.mean(1)
            sources = [j for j in range(prefix, len(x)) if j % 2 == 0]
            targets = [j for j in range(prefix, len(x)) if j % 2 == 1]
            edges = []
            for s in sources:
                cosines = [float(F.cosine_similarity(key[s], key[t], dim=0)) for t in targets]
                best = max(range(len(targets)), key=cosines.__getitem__)
                edges.append((cosines[best], s, targets[best]))
            gone = {s: t for _, s, t in sorted(edges, reverse=True)[: min(r, (len(x) - prefix) // 2)]}
            grouped = [[j, *(s for s, t in gone.items() if t == j)] for j in range(len(x)) if j not in gone]
            x = torch.stack([(x[g] * size[g, None]).sum(0) / size[g].sum() for g in grouped])
            members = [sorted(m for j in g for m in members[j]) for g in grouped]
            size = torch.stack([size[g].sum() for g in grouped])
            x = x + scale2(mlp(norm2(x)))
        spread = torch.stack([x[[i in m for m in members].index(True)] for i in range(sum(map(len, members)))])
        rows.append(spread)
        groups.append(members)
    norm = {"SigLIP": "post_layernorm", "DINOv2": "layernorm", "ViViT": "layernorm"}.get(family)
    return (getattr(model, norm) if norm else torch.nn.Identity())(torch.stack(rows)), groups


def members_of(merge, item):
    return [sorted((merge.group[item] == j).nonzero()[:, 0].tolist()) for j in range(merge.n_out)]


@pytest.mark.parametrize("proportional", [True, False], ids=["proportional", "plain attention"])
@pytest.mark.parametrize("frames", [1, 2])
def test_against_a_plain_transcription(trunk, proportional, frames):
    if frames > 1 and transformers_video.FAMILIES[family_of(trunk)].video:
        with pytest.raises(ValueError, match="has frames of its own"):
            hosts.apply(trunk, 3, frames=frames)
        return
    model, inputs = trunk.double(), inputs_of(trunk)
    pixels = inputs["pixel_values"].double()
    expected, groups = plain_tome(model, pixels, [3, 2, 4], proportional, frames)
    unmerged, _ = plain_tome(model, pixels, [0, 0, 0], proportional, frames)
    if frames == 1:
        torch.testing.assert_close(last(model, {"pixel_values": pixels}), unmerged)  # the transcription itself
    hosts.apply(model, [3, 2, 4], proportional=proportional, frames=frames)
    got = last(model, {"pixel_values": pixels})
    assert [members_of(model.merges, item) for item in range(len(groups))] == groups
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-9)
    assert (expected - unmerged).abs().max() > 1e-3


def test_stored_scores_give_the_same_as_fused_attention(trunk):
    inputs = inputs_of(trunk)
    fused = last(hosts.apply(trunk, 3), inputs)
    trunk.set_attn_implementation("eager")  # of a model that merges already
    assert trunk.config._attn_implementation == "eager"
    torch.testing.assert_close(last(trunk, inputs), fused, rtol=1e-4, atol=1e-5)
    assert trunk.merges.n_out == trunk.merges.n_in - 9


def test_fused_attention_gets_the_log_sizes(trunk, monkeypatch):
    masks, fused = [], F.scaled_dot_product_attention

    def spy(q, k, v, attn_mask=None, **kwargs):
        masks.append(attn_mask)
        return fused(q, k, v, attn_mask=attn_mask, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    last(hosts.apply(trunk, 4), inputs_of(trunk))
    n = trunk.merges.n_in
    assert masks[0] is None and [tuple(m.shape) for m in masks[1:]] == [(4, 1, 1, n - 4), (4, 1, 1, n - 8)]
    torch.testing.assert_close(masks[2].exp()[:, 0, 0], trunk.layer_merges[0].then(trunk.layer_merges[1]).size())
    masks.clear()
    last(hosts.apply(trunk, 4, proportional=False), inputs_of(trunk))
    assert masks == [None] * 3


# ------------------------------------------------------------------------------------------- the same network in timm


def merging(name):
    """A reducer by its name; one that decides itself how many is set between its extremes, so that it merges."""
    knob = getattr(reducer(name), "knob", None)
    return reducer(name) if knob is None else reducer(name, **{knob[0]: (knob[1] + knob[2]) / 2})


# Those that a host can give all that they ask for; the other strategies need a film's motion, or a trained network.
KNOWN = {"attention", "entropy", "depth", "chance"}
BY_NAME = [name for name in vtm.reducers() if set(signals(reducer(name))) <= KNOWN]
REDUCERS = [name for name in BY_NAME if name not in ("motion", "relative", "learnable", "oracle")]


@pytest.mark.parametrize("name", REDUCERS)
def test_timm_and_transformers_merge_alike_by_every_reducer(name):
    ours, theirs = (model.double() for model in pair())
    amount = None if is_ragged(reducer(name)) else 3
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    tokens = []
    for model in (ours, theirs):
        hosts.apply(model, amount, reducer=merging(name))
        torch.manual_seed(0)
        with torch.no_grad():
            tokens.append(ours.forward_features(images)[:, 0] if model is ours else model(images).pooler_output)
    torch.testing.assert_close(tokens[0], tokens[1], rtol=0, atol=1e-6)
    assert torch.equal(ours.merges.group, theirs.merges.group)
    assert ours.merges.n_out == 8 if amount else ours.merges.n_out <= 17


# --------------------------------------------------------------------------------------------------- other reducers


class Noting:
    """ToMe's matching, which notes what it was told."""

    signal = ("attention", "entropy")

    def __init__(self):
        self.seen = []

    def __call__(self, context):
        self.seen.append(context)
        return reducer("uniform")(context)


def test_a_context_knows_the_grid_the_depth_and_the_attention(trunk):
    grid = TRUNKS[family_of(trunk)][1]
    prefix, inputs, noting = prefix_of(trunk), inputs_of(trunk), Noting()
    trunk.set_attn_implementation("eager")
    hosts.apply(trunk, 3, reducer=noting)
    with torch.no_grad():
        # Stored scores, which transformers can hand out, against what was computed beside fused attention's way.
        maps = trunk(**inputs, output_attentions=True).attentions
    assert [context.depth for context in noting.seen] == [(0, 3), (1, 3), (2, 3)]
    for context, attention in zip(noting.seen, maps, strict=True):
        assert (context.frames, context.height, context.width) == grid
        rows = attention.mean(1)
        torch.testing.assert_close(context.attention, rows.mean(1)[:, prefix:], rtol=1e-4, atol=1e-6)
        entropy = torch.special.entr(rows).sum(-1).neg()[:, prefix:]
        torch.testing.assert_close(context.entropy, entropy, rtol=1e-4, atol=1e-5)
    assert noting.seen[0].position[0].tolist() == list(range(math.prod(grid)))
    kept = trunk.layer_merges[0].keep[:, prefix:] - prefix
    assert torch.equal(noting.seen[1].position, kept)


def test_an_image_of_another_size_has_its_own_grid():
    noting, model = Noting(), dino().eval()
    with torch.no_grad():
        hosts.apply(model, 3, reducer=noting)(torch.randn(2, 3, 24, 48))
        assert (noting.seen[0].frames, noting.seen[0].height, noting.seen[0].width) == (1, 3, 6)
        hosts.apply(model, 3, reducer=noting, frames=2)(torch.randn(2, 3, 24, 48))
    assert (noting.seen[-1].frames, noting.seen[-1].height, noting.seen[-1].width) == (2, 3, 6)
    assert noting.seen[-1].frame.max() == 1


def test_dropped_tokens_do_not_come_back(trunk):
    inputs, prefix = inputs_of(trunk), prefix_of(trunk)
    plain = last(trunk, inputs)
    got = last(hosts.apply(trunk, 3, reducer="drop"), inputs)
    assert got.shape[1] == plain.shape[1] - 9 == trunk.merges.n_out
    assert not trunk.merges.dropped[:, :prefix].any() and trunk.merges.dropped.sum(1).tolist() == [9] * 4


@pytest.mark.parametrize("proportional", [True, False])
def test_inputs_that_keep_different_numbers_do_not_disturb_each_other(trunk, proportional):
    inputs = inputs_of(trunk, batch=3)
    inputs["pixel_values"][1, ..., :16, :] = 0.3  # half of it is empty
    inputs = {"pixel_values": inputs["pixel_values"].double()}
    hosts.apply(trunk, reducer=reducer("threshold", above=0.5), proportional=proportional).double()
    whole = last(trunk, inputs)
    counts = trunk.merges.count.tolist()
    assert len(set(counts)) > 1
    for i in range(3):
        alone = last(trunk, {"pixel_values": inputs["pixel_values"][i : i + 1]})
        torch.testing.assert_close(whole[i : i + 1], alone)
        assert trunk.merges.n_out == counts[i]


class SomeDropped:
    """Drops the first tokens, one more in every item."""

    ragged = True

    def __call__(self, context):
        into = torch.arange(context.n).repeat(len(context.keys), 1)
        dropped = torch.zeros_like(into, dtype=torch.bool)
        for item in range(len(into)):
            into[item, : item + 1], dropped[item, : item + 1] = context.n - 1, True
        return vtm.Merge.of(into, dropped)


def test_a_model_that_reads_all_patches_refuses_padding():
    clip, siglip = T.CLIPVisionModel(T.CLIPVisionConfig(**IMAGE)), TRUNKS["SigLIP"][0]()
    last(hosts.apply(clip.eval(), reducer=SomeDropped()), inputs_of(clip))
    averaging = HOLDERS["Dinov2ForImageClassification"]()
    for model in (siglip, averaging):
        with pytest.raises(ValueError, match="would read padding"):
            outputs(hosts.apply(model.eval(), reducer=SomeDropped()), inputs_of(model))
    model = videomae(T.VideoMAEForVideoClassification, use_mean_pooling=False).eval()
    with pytest.raises(ValueError, match="reads its first patch token"):
        outputs(hosts.apply(model, 2, reducer="drop"), inputs_of(model))
    outputs(hosts.apply(model, 2), inputs_of(model))


# ------------------------------------------------------------------------------------------------ life in a project


def test_the_last_call_counts_whatever_it_is_given():
    model = perturbed(HOLDERS["CLIPForImageClassification"]())
    inputs = inputs_of(model)
    plain, untouched = outputs(model, inputs), left_in(model)
    once = outputs(hosts.apply(copy.deepcopy(model), 4), inputs)
    hosts.apply(model, 2, proportional=False)
    outputs(model, inputs)
    hosts.apply(model.vision_model, 4)  # the part, after the whole
    assert same(outputs(model, inputs), once)
    assert model.merges is model.vision_model.merges and model.merges.n_out == 17 - 12
    with pytest.raises(ValueError):
        hosts.apply(model, [1, 2])
    assert same(outputs(model, inputs), once), "a refused setting leaves the last one"
    hosts.remove(model.vision_model)
    assert same(outputs(model, inputs), plain) and left_in(model) == untouched


def test_models_that_share_a_configuration_do_not_share_merging():
    config = T.CLIPVisionConfig(**IMAGE)
    first, second = (perturbed(T.CLIPVisionModel(config), seed) for seed in (0, 1))
    inputs = inputs_of(second)
    before = last(second, inputs)
    hosts.apply(first, 4)
    assert torch.equal(last(second, inputs), before) and not hasattr(second, "merges")
    assert first.config._attn_implementation == "sdpa"


def test_copies_and_files(trunk):
    inputs = inputs_of(trunk)
    plain = last(trunk, inputs)
    expected = last(hosts.apply(trunk, (3, -1.0)), inputs)
    buffer = io.BytesIO()
    torch.save(trunk, buffer)
    twin = copy.deepcopy(trunk)
    hosts.apply(trunk, 0)
    T.AttentionInterface._global_mapping.pop(transformers_video.ATTENTION)  # as in a process that has applied nothing
    buffer.seek(0)
    loaded = torch.load(buffer, weights_only=False)
    for other in (twin, loaded):
        assert torch.equal(last(other, inputs), expected) and other.merges.n_out == other.merges.n_in - 9
        assert torch.equal(last(trunk, inputs), plain)
        assert torch.equal(last(hosts.remove(other), inputs), plain)


def test_saving_gives_the_plain_model(tmp_path):
    model = perturbed(dino())
    inputs = inputs_of(model)
    plain = last(model, inputs)
    hosts.apply(model, 3).save_pretrained(tmp_path)
    assert "vtm" not in (tmp_path / "config.json").read_text()
    assert torch.equal(last(T.Dinov2Model.from_pretrained(tmp_path).eval(), inputs), plain)


def test_what_a_pass_hands_out_on_request(trunk):
    """Also where transformers' own hooks, which note these outputs, were there before ours."""
    inputs = inputs_of(trunk)
    trunk.set_attn_implementation("eager")
    with torch.no_grad():
        n = trunk(**inputs, output_hidden_states=True).hidden_states[0].shape[1]
        out = hosts.apply(trunk, 3)(**inputs, output_hidden_states=True, output_attentions=True)
    assert [h.shape[1] for h in out.hidden_states] == [n, n - 3, n - 6, n]
    assert [a.shape[2:] for a in out.attentions] == [(n, n), (n - 3, n - 3), (n - 6, n - 6)]
    norm = {"SigLIP": "post_layernorm", "DINOv2": "layernorm", "ViViT": "layernorm"}.get(family_of(trunk))
    final = out.hidden_states[-1] if norm is None else getattr(trunk, norm)(out.hidden_states[-1])
    torch.testing.assert_close(final, out.last_hidden_state)


def test_gradients(trunk):
    """Along a random direction, the derivative is the difference quotient."""
    model = hosts.apply(trunk.double(), 4)
    x = inputs_of(model)["pixel_values"].double().requires_grad_()
    model(x).last_hidden_state.square().sum().backward()
    step = 1e-5 * torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    change = last(model, {"pixel_values": x + step}).square().sum()
    change = change - last(model, {"pixel_values": x - step}).square().sum()
    torch.testing.assert_close((x.grad * step).sum() * 2, change, rtol=1e-4, atol=0)


def test_training_mode_with_dropout():
    noisy = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.2}
    for model in (dino(drop_path_rate=0.5, **noisy), vivit(**noisy), videomae(**noisy)):
        hosts.apply(model.train(), 2)(**inputs_of(model)).last_hidden_state.sum().backward()
        assert model.merges.n_out == model.merges.n_in - 6


def test_low_precision(trunk):
    inputs = inputs_of(trunk)
    exact = last(hosts.apply(trunk, 2), inputs)
    half = copy.deepcopy(trunk).bfloat16()
    got = last(half, {"pixel_values": inputs["pixel_values"].bfloat16()}).float()
    assert F.cosine_similarity(got, exact, dim=-1).mean() > 0.9 and half.merges.size().dtype == torch.float32


def test_threads_share_a_model(trunk):
    hosts.apply(trunk, 3)
    batches = [inputs_of(trunk, 1 + i % 3, seed=i) for i in range(6)]
    expected = [(last(trunk, inputs), trunk.merges.group) for inputs in batches]

    def run(number):
        which = number % len(batches)
        return last(trunk, batches[which]), trunk.merges.group

    with ThreadPoolExecutor(4) as pool:
        for number, got in enumerate(pool.map(run, range(24))):
            assert all(map(torch.equal, got, expected[number % len(batches)]))


# ----------------------------------------------------------------------------------------------------------- refused


def test_masks_and_checkpointing_are_refused():
    for model in (dino(), vivit()):
        inputs = inputs_of(model)
        hosts.apply(model.eval(), 2)
        n = math.prod(TRUNKS[family_of(model)][1]) + 1
        mask = torch.ones(4, n)
        mask[:, -1] = 0
        with pytest.raises(ValueError, match="takes no attention_mask"):
            model(**inputs, attention_mask=mask)
        model.activation_checkpointing_enable()
        last(model, inputs)  # it does nothing outside of training
        with pytest.raises(ValueError, match="under gradient checkpointing"):
            model.train()(**inputs)
        model.activation_checkpointing_disable()
        model(**inputs)


def test_an_attention_function_without_a_mask_is_refused():
    model = dino().eval()
    hosts.apply(model, 2)
    model.config._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(ValueError, match="'flash_attention_2', which takes no log"):
        last(model, inputs_of(model))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"set_attn_implementation\(.sdpa.\)"):
            hosts.apply(model, 2)
        hosts.remove(model)
    hosts.apply(model, 2, proportional=False)


def llava():
    vision = T.CLIPVisionConfig(**IMAGE)
    text = T.Qwen2Config(**TEXT, num_key_value_heads=2)
    return T.LlavaForConditionalGeneration(T.LlavaConfig(vision_config=vision, text_config=text, image_token_index=49))


SWIN = {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1], "num_heads": [1], "window_size": 4}


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: T.SwinModel(T.SwinConfig(**SWIN)), "SwinModel"),
        (lambda: dino(T.Dinov2Backbone), "Dinov2Backbone"),
        (lambda: T.CLIPTextModel(T.CLIPTextConfig(**TEXT)), "CLIPTextModel"),
        (lambda: T.ViTModel(T.ViTConfig(**IMAGE)), "ViTModel"),
        (llava, "LlavaForConditionalGeneration"),
    ],
)
def test_others_are_refused_by_name(make, name):
    model = make()
    with pytest.raises(ValueError, match=f"the inside of {name}; of transformers it knows CLIPVisionModel") as caught:
        hosts.apply(model, 2)
    assert "\n" not in str(caught.value)
    assert hosts.remove(model) is model


def test_a_block_of_ones_own_is_refused():
    class Own(type(dino().encoder.layer[0])):
        def forward(self, x, *args, **kwargs):
            return super().forward(x, *args, **kwargs)

    model = dino()
    model.encoder.layer[1] = Own(model.config)
    with pytest.raises(ValueError, match="made of Own; merging needs transformers' own Dinov2Layer"):
        hosts.apply(model, 2)
    del model.encoder.layer[0].drop_path
    with pytest.raises(ValueError, match=f"is built in another way .* checked with {transformers_video.CHECKED}"):
        hosts.apply(model, 2)


def test_an_own_subclass_works():
    class Mine(T.Dinov2Model):
        pass

    model = perturbed(Mine(dino().config))
    last(hosts.apply(model, 2), inputs_of(dino()))
    assert model.merges.n_out == 17 - 6


# ---------------------------------------------------------------------------------------------------- a fresh process


@pytest.mark.parametrize("first", ["import transformers, timm", "import timm; import transformers"])
def test_transformers_loads_after_the_first_touch_of_hosts(first):
    code = (
        f"import vtm_lesson as vtm; vtm.hosts; {first}; import torch;"
        "from transformers import VideoMAEConfig, VideoMAEModel;"
        "config = VideoMAEConfig(num_hidden_layers=2, hidden_size=24, num_attention_heads=2, image_size=32);"
        "model = vtm.hosts.apply(VideoMAEModel(config), r=5).eval();"
        "model(torch.zeros(1, 16, 3, 32, 32)); print(model.merges)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "Merge(32 -> 22 tokens, batch 1)"


def test_hosts_alone_load_neither_library():
    code = (
        "import sys, vtm_lesson as vtm; vtm.hosts.supported();"
        "print(sorted({'timm', 'transformers', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


# -------------------------------------------------------------------------------------------------------- the table


def test_the_hosts_table_has_every_family():
    from vtm_lesson.measuring import bench_hosts

    table = bench_hosts.host_table(bench_hosts.QUICK, rounds=1, memory=False)
    assert list(dict.fromkeys(row["host"] for row in table["rows"])) == list(bench_hosts.HOSTS)
    assert len(table["rows"]) == 6 * len(bench_hosts.HOSTS) and table["left_out"] == []
    plain = {row["host"]: row["flops"] for row in table["rows"] if row["reducer"] == bench_hosts.PLAIN}
    assert all(row["flops"] < plain[row["host"]] for row in table["rows"] if row["reducer"] in ("tome", "drop"))
    assert "ViViT     change" in bench_hosts.text(table)
