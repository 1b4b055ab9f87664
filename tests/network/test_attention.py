"""Attention that averages its scores before they meet the values is the same network, in fewer FLOPs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vtm_lesson import checks, measuring
from vtm_lesson.merging.strategies import STRATEGIES
from vtm_lesson.network import attention, by_chunks
from vtm_lesson.network import model as M
from vtm_lesson.network.tokens import Chunks


def pair(partition="uniform", **options):
    """The same network with fused and with merged attention, in float64."""
    options = {"dim": 24, "chunks": (2, 4, 8), "classes": 5, "gamma": 3, "partition": partition} | options
    torch.manual_seed(0)
    fused = M.VideoClassifier(**options).double().eval()
    merged = M.VideoClassifier(**options, attention="merged").double().eval()
    merged.load_state_dict(fused.state_dict())
    return fused, merged


def film(batch=2, frames=7, height=4, width=6, dim=24):
    g = torch.Generator().manual_seed(1)
    x = torch.randn(batch, frames, height, width, dim, generator=g, dtype=torch.float64)
    motion = 3 * torch.rand(batch, frames, height, width, generator=g)
    return x, motion, (motion > 2).float()


@torch.inference_mode()
def both(nets, *inputs, **more):
    return [net(*inputs, generator=torch.Generator().manual_seed(2), **more) for net in nets]


def peak(net, x, tile=None):
    """Bytes of tensors made in one run."""
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        if tile:
            patch.setitem(attention.TILE, "cpu", tile)
        return measuring.peak_tensors(lambda: net(x))


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"r": 0.6},
        {"residual": True, "average": "size"},
        {"average": "motion", "pooling": "motion", "residual": True},
        {"gamma": (4, 1, 2), "r": (1, 1, 0.5)},
    ],
)
@pytest.mark.parametrize("tile", [None, 300, 3000])  # whole chunks; a few rows at a time; whole chunks, few together
def test_same_network(name, options, tile, monkeypatch):
    if tile:
        monkeypatch.setitem(attention.TILE, "cpu", tile)
    x, motion, oracle = film()
    vectors = torch.randn(*motion.shape, 2, generator=torch.Generator().manual_seed(3))
    fused, merged = both(pair(name, **options), x, motion, oracle, vectors=vectors, trace=True)
    torch.testing.assert_close(merged[0], fused[0], rtol=1e-9, atol=1e-12)
    for got, want in zip(merged[1].blocks, fused[1].blocks, strict=True):
        assert torch.equal(got.merge.group, want.merge.group) and torch.equal(got.position, want.position)
        torch.testing.assert_close(got.size, want.size)


@settings(max_examples=40, deadline=None)
@given(
    frames=st.integers(1, 9), side=st.integers(1, 4), gamma=st.floats(1, 9), r=st.floats(0, 1),
    batch=st.integers(1, 3), tile=st.integers(1, 4000),
)  # fmt: skip
def test_same_network_whatever_the_shape(frames, side, gamma, r, batch, tile):
    nets = pair(dim=16, gamma=gamma, r=r, chunks=(1, 3, 9))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(attention.TILE, "cpu", tile)
        fused, merged = both(nets, film(batch, frames, side, side, 16)[0])
    torch.testing.assert_close(merged, fused, rtol=1e-9, atol=1e-12)


def test_training_is_the_fused_networks_with_its_dropout():
    x, motion, oracle = film()
    logits, grads = [], []
    for net in pair("learnable", dropout=0.3):
        torch.manual_seed(3)
        logits.append(net.train()(x, motion, oracle, generator=torch.Generator().manual_seed(2)))
        logits[-1].sum().backward()
        grads.append([p.grad for p in net.parameters()])
    torch.testing.assert_close(logits[1], logits[0], rtol=0, atol=0)
    assert all(g is not None for g in grads[1])
    torch.testing.assert_close(grads[1], grads[0], rtol=0, atol=0)


def test_it_runs_for_inference_and_where_tokens_are_merged_and_nowhere_else(monkeypatch):
    ran = []
    original = attention.ChunkAttention.merged
    spy = lambda self, x, *rest: ran.append(x.shape[1]) or original(self, x, *rest)  # noqa: E731
    monkeypatch.setattr(attention.ChunkAttention, "merged", spy)
    x, _, _ = film()
    _, net = pair(gamma=(3, 1, 2))
    tokens = x.clone().requires_grad_()
    net(tokens).sum().backward()  # with autograd every tile of scores would be kept
    assert tokens.grad.isfinite().all() and ran == []
    with torch.no_grad():
        net.train()(x)
        assert ran == []
        net.eval()(x)
        assert ran == [7 * 24, 7 * 24 // 3]  # blocks 1 and 3; block 2 merges nothing
        net.blocks[0].attention.dropout.train()  # dropout at test time, for an estimate of doubt
        net.blocks[2].attention.qkv = torch.nn.Sequential(net.blocks[2].attention.qkv)  # a layer put around it
        net(x)
        assert len(ran) == 2


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.bfloat16, 4e-2), (torch.float16, 5e-3), (torch.float32, 1e-5)])
def test_low_precision_is_as_good_as_stored(dtype, allowed):
    """The groups are given, and scores go up to 50, where a softmax is steep."""
    x = film(frames=8, height=8, width=8)[0].flatten(1, 3)
    start = M.Tokens.start(x, grid=(8, 8, 8))
    block = pair(blocks=1, chunks=(4,), gamma=6)[1].blocks[0]
    merge = block(start)[1].merge
    plain = attention.ChunkAttention(24, 1, 0.0, "stored", False).double().eval()
    plain.load_state_dict(block.attention.state_dict())
    with torch.no_grad():
        for part in (plain, block.attention):
            part.qkv.weight[:48] *= 6
        chunks = Chunks(block.plan(start.segments).attend, start)
        want = merge(plain(x, chunks)[0])
        off = {}
        for name, part in (("stored", plain.to(dtype)), ("merged", block.attention.to(dtype))):
            if name == "stored":
                got = merge(part(x.to(dtype), chunks)[0])
            else:
                got = part.merged(*part.norm_and_keys(x.to(dtype)), chunks, merge, None)
            assert got.dtype == dtype
            off[name] = ((got.double() - want).norm() / want.norm()).item()
    assert off["merged"] < allowed and off["merged"] < 1.3 * off["stored"] + torch.finfo(dtype).eps


def test_chunk_by_chunk():
    x, _, _ = film()
    fused, merged = pair()
    torch.testing.assert_close(by_chunks(merged, x), fused(x).detach(), rtol=1e-9, atol=1e-12)


def test_scores_never_exist_in_full():
    """One chunk of 2,304 tokens has 20 MiB of float32 scores; "merged" makes a tile of them, and averages."""
    x, peaks = torch.randn(1, 9, 16, 16, 32), {}
    for kind in ("merged", "stored"):
        net = M.VideoClassifier(32, blocks=1, chunks=(9,), gamma=16, attention=kind).eval()
        peaks[kind] = peak(net, x, tile=1 << 17)
    scores = 4 * (9 * 256) ** 2
    assert peaks["stored"] > 2 * scores
    assert peaks["merged"] < scores / 5


def test_many_small_chunks_go_a_tile_at_a_time():
    """64 chunks of 256 tokens have 16 MiB of float32 scores, 256 KiB each."""
    x = torch.randn(8, 8, 16, 16, 8)
    net = M.VideoClassifier(8, blocks=1, chunks=(1,), gamma=16, attention="merged").eval()
    few, all_at_once = peak(net, x, tile=1 << 17), peak(net, x, tile=1 << 30)
    assert all_at_once > 2 * 2**24  # the product and its softmax
    assert few < all_at_once / 8


def test_flops_at_the_papers_size_by_hand():
    block = M.count({"dim": 1024, "gamma": 10, "attention": "merged"}, 60, 16, 16).blocks[0].flops
    kept = 1540  # ten chunks of 1,536 tokens leave 154 each
    assert block["queries, keys, values"] == 2 * 15360 * 1024 * 2048 + 2 * kept * 1024 * 1024
    assert block["attention"] == 10 * 2 * 1536 * 1024 * (1536 + 154)
    usual = M.count({"dim": 1024, "gamma": 10}, 60, 16, 16).blocks[0].flops
    by_hand = [10 * flops for flops in checks.swapped_flops.answer(1536, 154, 1024)]  # what lesson 09 asks for
    assert by_hand == [part["queries, keys, values"] + part["attention"] for part in (usual, block)]
    training = M.count({"dim": 1024, "gamma": 10, "attention": "merged"}, 60, 16, 16, training=True)
    assert training == M.count({"dim": 1024, "gamma": 10}, 60, 16, 16, training=True)


@pytest.mark.parametrize("options", [{"merge_at": "before_attention"}, {"match_within": "video"}, {"heads": 2}])
def test_what_it_cannot_do_is_named(options):
    with pytest.raises(ValueError, match="attention is 'merged' with"):
        pair(**options)
