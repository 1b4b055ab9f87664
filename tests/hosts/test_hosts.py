"""One door to all hosts: who is taken and who is refused, and what a reducer may know of a host's attention."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vtm_lesson import hosts
from vtm_lesson.merging import Merge
from vtm_lesson.merging.registry import reducer

# isort: split
import timm
from timm.models import vision_transformer as vit
from timm.models.vision_transformer import VisionTransformer

ROOT = Path(__file__).resolve().parents[2]
PLAIN = {"img_size": 32, "patch_size": 8, "depth": 3, "embed_dim": 32, "num_heads": 2, "num_classes": 5}


def model(**kwargs):
    torch.manual_seed(0)
    return VisionTransformer(**PLAIN, **kwargs).eval()


def test_supported_is_a_table_of_families():
    rows = hosts.supported()
    assert [row["family"] for row in rows] == ["ViT", "CLIP", "SigLIP", "DINOv2", "VideoMAE", "ViViT"]
    assert {row["library"] for row in rows} == {"timm", "transformers"}
    assert all(row.keys() == rows[0].keys() and all(row.values()) for row in rows)
    for row in rows:  # the docstring's table names the same classes
        assert all(name in hosts.__doc__ for name in row["classes"].split(", "))


def test_others_are_refused_and_left_alone():
    swin = timm.create_model("swin_tiny_patch4_window7_224", embed_dim=8, depths=(1, 1), num_heads=(1, 1))
    for other in (swin, torch.nn.Linear(2, 2)):
        with pytest.raises(ValueError, match="is not a timm VisionTransformer"):
            hosts.apply(other, 2)
        assert hosts.remove(other) is other


def test_neither_library_is_loaded_before_it_is_needed():
    code = (
        "import sys, vtm_lesson as vtm; vtm.hosts.supported();"
        "print(sorted({'timm', 'transformers', 'torchvision'} & set(sys.modules)));"
        "import timm; model = timm.create_model('vit_tiny_patch16_224', depth=1); import torch;"
        "vtm.hosts.apply(model.eval(), 8)(torch.zeros(1, 3, 224, 224)); print(model.merges)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[]", "Merge(197 -> 189 tokens, batch 1)"], done.stderr


class Noting:
    """VTM's uniform matching, which notes what it was told."""

    def __init__(self, *signal):
        self.signal, self.seen = signal, []

    def __call__(self, context):
        self.seen.append(context)
        return reducer("uniform")(context)


@pytest.mark.parametrize("extra", [{}, {"qk_norm": True, "reg_tokens": 2}], ids=["plain", "qk_norm, registers"])
def test_a_reducer_that_asks_is_told_the_attention(extra, monkeypatch):
    """The same as from the scores that timm stores without fused attention."""
    host, noting, maps = model(**extra), Noting("attention", "entropy"), []
    for block in host.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda module, args, output: maps.append(output))
    hosts.apply(host, 3, reducer=noting)
    with torch.no_grad():
        host(torch.randn(2, 3, 32, 32))
    assert [context.depth for context in noting.seen] == [(0, 3), (1, 3), (2, 3)]
    for context, stored in zip(noting.seen, maps, strict=True):
        rows = stored.mean(1)
        torch.testing.assert_close(context.attention, rows.mean(1)[:, host.num_prefix_tokens :], rtol=1e-4, atol=1e-6)
        entropy = torch.special.entr(rows).sum(-1).neg()[:, host.num_prefix_tokens :]
        torch.testing.assert_close(context.entropy, entropy, rtol=1e-4, atol=1e-5)
    context = noting.seen[0]
    assert (context.frames, context.height, context.width) == (1, 4, 4)


def test_nothing_is_computed_that_nobody_asks_for(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("attention was looked at")

    monkeypatch.setattr(hosts.passes, "attention_stats", refuse)
    noting, host = Noting(), model()
    with torch.no_grad():
        hosts.apply(host, 3, reducer=noting)(torch.randn(1, 3, 32, 32))
        assert noting.seen[0].attention is None and noting.seen[0].entropy is None
        with pytest.raises(AssertionError, match="looked at"):
            hosts.apply(host, 3, reducer=Noting("entropy"))(torch.randn(1, 3, 32, 32))


class Ragged(Noting):
    """The tokens that receive clearly less than the others join the one that receives most."""

    ragged = True

    def __call__(self, context):
        self.seen.append(context)
        stays = context.attention >= 0.8 * context.attention.mean(1, keepdim=True)
        best = context.attention.argmax(1, keepdim=True)
        return Merge.of(torch.where(stays, torch.arange(context.n).expand_as(stays), best))


def test_padding_receives_no_attention_and_pays_none():
    """Images that keep different numbers: each is told what it is told alone."""
    host, noting = model().double(), Ragged("attention")
    with torch.no_grad():
        for parameter in host.parameters():  # as initialised, all tokens receive nearly the same
            parameter.add_(0.15 * torch.randn(parameter.shape))
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    hosts.apply(host, reducer=noting)
    with torch.no_grad():
        whole = host(images)
        assert host.merges.count is not None, "they keep equally many"
        for i in range(3):
            torch.testing.assert_close(host(images[i : i + 1]), whole[i : i + 1])


def test_a_partition_that_asks_is_told_too():
    def loudest(context):
        return context.attention.topk(4).indices.sort().values

    loudest.signal = "attention"
    host = hosts.apply(model(), 3, partition=loudest)
    with torch.no_grad():
        host(torch.randn(2, 3, 32, 32))
    assert host.merges.n_out == 17 - 9


@pytest.mark.parametrize("name", ["drop", "top"])
def test_what_a_host_cannot_know_is_said_at_once(name):
    host = model()
    with pytest.raises(ValueError, match=r"reducer needs motion, which a host model does not know"):
        hosts.apply(host, 3, reducer=reducer(name, signal="motion"))
    assert not hasattr(host, "merges")


@pytest.mark.skipif(not hasattr(vit, "DiffAttention"), reason="this timm has no differential attention")
def test_two_attentions_in_one_are_not_told_apart():
    host = model(attn_layer="diff", qk_norm=True)
    with pytest.raises(ValueError, match="asks for the attention itself, and DiffAttention has two"):
        hosts.apply(host, 3, reducer=Noting("entropy"))
    hosts.apply(host, 3, reducer=Noting())
