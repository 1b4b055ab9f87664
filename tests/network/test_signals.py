"""What a network tells its reducers beside the keys, only where they ask; and every reducer in it, and in the probe."""

import math

import pytest
import torch

import vtm_lesson as vtm
from vtm_lesson.merging import Merge, match
from vtm_lesson.merging.partition import uniform
from vtm_lesson.merging.registry import reducer, reducers
from vtm_lesson.network import Tokens, VideoClassifier, by_chunks, count
from vtm_lesson.network.attention import TILE, ChunkAttention, attention_stats
from vtm_lesson.network.block import VTMBlock
from vtm_lesson.network.config import BlockConfig
from vtm_lesson.network.tokens import Chunks
from vtm_lesson.study.probe import retain

GRID = (4, 3, 3)


def films(batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(batch, *GRID, generator=generator)
    x = torch.randn(batch, *GRID, 24, generator=generator)
    vectors = torch.randn(batch, *GRID, 2, generator=generator)
    pixels = torch.rand(batch, *GRID, 5, generator=generator)
    return x, {"motion": values, "oracle": values, "vectors": vectors, "pixels": pixels}


def network(what, **options):
    torch.manual_seed(0)
    options = {"dim": 24, "blocks": 2, "chunks": (2, 4), "classes": 3, "gamma": 4, "reducer": what} | options
    return VideoClassifier(**options).eval()


class Spy:
    """A reducer that drops nothing, and keeps what it was told."""

    def __init__(self, *wanted, ragged=False, norm=False):
        self.signal, self.ragged, self.norm, self.seen = wanted, ragged, norm, []

    def __call__(self, context):
        self.seen.append(context)
        merge = match(context.keys, uniform(context.n, context.gamma), context.n_merge)
        return Merge(merge.group, merge.keep, weight=torch.rand(merge.group.shape), norm=self.norm)


# ------------------------------------------------------------------------------------------ what attention looks at


@pytest.mark.parametrize("tile", [1, 40, 1 << 20])
@pytest.mark.parametrize("padded", [False, True])
def test_attention_stats_are_those_of_the_whole_map(tile, padded, monkeypatch):
    monkeypatch.setitem(TILE, "cpu", tile)
    q, k = torch.randn(2, 3, 2, 7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bias = (
        torch.tensor([[0.0, 1, 2, 0, 0, 3, 0], [0.0, 0, 1, 1, 0, -torch.inf, -torch.inf], [0.0] * 7])
        if padded
        else None
    )
    for scale in (None, 0.3):
        received, entropy = attention_stats(q, k, bias=bias, scale=scale)
        for item in range(3):
            n = 7 if bias is None else int((bias[item] > -torch.inf).sum())
            scores = q[item] @ k[item].transpose(1, 2) * (0.5 if scale is None else scale)
            scores = scores[:, :n, :n] + (0 if bias is None else bias[item, :n])
            A = scores.softmax(-1).mean(0)
            torch.testing.assert_close(received[item, :n], A.mean(0))
            torch.testing.assert_close(entropy[item, :n], (A * A.log()).sum(1))
            assert (received[item, n:] == 0).all()


def test_entropy_of_a_sharp_look_is_zero_and_no_nan():
    q = 1000 * torch.eye(4)[None, None]
    received, entropy = attention_stats(q, q)
    assert torch.equal(entropy, torch.zeros(1, 4)) and received.tolist() == [[0.25] * 4]
    torch.testing.assert_close(attention_stats(q, 0 * q)[1], torch.full((1, 4), -math.log(4)))


@pytest.mark.parametrize("place", ["after_attention", "before_attention", "queries"])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("heads", [1, 2])
def test_a_block_tells_what_its_attention_looks_at(place, ragged, heads):
    spy = Spy("attention", "entropy", "depth", ragged=ragged)
    x, given = films()
    net = network(spy, merge_at=place, heads=heads)
    net(x, **given)
    first = spy.seen[0]
    attention = net.blocks[0].attention
    flat = x.reshape(4, 18, 24)  # two chunks of two frames in each of two films
    q, k, _ = attention.qkv(attention.norm(flat)).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    A = (q @ k.mT / math.sqrt(24 // heads)).softmax(-1).mean(1)
    torch.testing.assert_close(first.attention, A.mean(1).detach())
    torch.testing.assert_close(first.entropy, (A * A.log()).sum(-1).detach())
    assert [c.depth for c in spy.seen] == [(0, 2), (1, 2)]
    assert not first.attention.requires_grad and first.pixels is None


def test_nobody_computes_what_nobody_asked_for(monkeypatch):
    def never(*_):
        raise AssertionError("the map was computed")

    monkeypatch.setattr(ChunkAttention, "_stats", never)
    x, given = films()
    spy = Spy()
    network(spy)(x, **given)
    assert spy.seen[0].attention is None and spy.seen[0].entropy is None
    with pytest.raises(AssertionError):
        network(Spy("entropy"))(x, **given)


def test_stats_of_shorter_chunks_leave_padding_out():
    torch.manual_seed(0)
    x, _ = films()
    tokens = Tokens.start(x)
    present = torch.ones(2, 36, dtype=torch.bool)
    present[1, 30:] = False
    tokens.present = present
    attention = ChunkAttention(24, 2, 0.0, "fused", False)
    stats = attention.stats(attention.norm_and_keys(tokens.x), Chunks((), tokens, 4))
    alone = Tokens.start(x[1:, :, :, :])
    cut = Tokens(alone.x[:, :30], GRID, (), alone.position[:, :30], alone.size[:, :30])
    short = attention.stats(attention.norm_and_keys(cut.x), Chunks((), cut, 4))
    for name in ("attention", "entropy"):
        torch.testing.assert_close(stats[name][1, :30], short[name][0])


def test_pixels_are_those_of_the_patch_that_a_token_continues():
    spy = Spy("pixels")
    x, given = films()
    network(spy)(x, **given)
    flat = given["pixels"].flatten(1, 3)
    for c in spy.seen:
        video = torch.arange(2).repeat_interleave(len(c.position) // 2)
        assert torch.equal(c.pixels, flat[video[:, None], c.position])
    with pytest.raises(ValueError, match="pixels have shape"):
        network(spy)(x, pixels=given["pixels"][:, :2])
    with pytest.raises(ValueError, match="comparing pixels needs pixels: give the network pixels"):
        network(reducer("run_length", on="pixels"))(x)


def test_arguments_of_a_function_ask_for_signals():
    def sharpest(entropy, n_keep):
        keeps = torch.zeros_like(entropy, dtype=torch.bool).scatter(1, entropy.topk(n_keep).indices, True)
        into = torch.where(keeps, torch.arange(keeps.shape[1]), keeps.byte().argmax(1, keepdim=True))
        return Merge.of(into, ~keeps, n_keep)

    def loudest(attention, n_targets):
        return attention.topk(n_targets).indices.sort(1).values

    x, _ = films()
    assert network(sharpest)(x).shape == (2, 3)
    assert network(None, partition=loudest)(x).shape == (2, 3)


# -------------------------------------------------------------------------------------------- weights, lengths, cost


@pytest.mark.parametrize("ragged", [False, True])
def test_weights_and_lengths_reach_the_tokens(ragged):
    torch.manual_seed(0)
    spy = Spy(ragged=ragged, norm=True)
    block = VTMBlock(BlockConfig(24, chunk=2, gamma=4, reducer=spy)).eval()
    x, given = films()
    tokens = Tokens.start(x, given["motion"])
    main, trace = block(tokens)
    merge = trace.merge
    assert merge.norm and merge.weight is not None and merge.weight.std() > 0.1
    y, _ = block.attention(tokens.x, block._chunks(block.plan(tokens.segments), tokens))
    torch.testing.assert_close(main.x, torch.nn.functional.gelu(block.linear(merge(y))))
    torch.testing.assert_close(main.motion, merge.mean(tokens.motion[..., None])[..., 0])
    assert not torch.allclose(merge(y), merge.mean(y))


def test_lengths_under_averaged_scores():
    x, _ = films()
    with torch.inference_mode():
        for norm in (True, False):
            outs = []
            for kind in ("merged", "fused"):
                torch.manual_seed(1)
                net, spy = network(None, partition=None), Spy(norm=norm)
                again = network(spy, attention=kind)
                again.load_state_dict(net.state_dict())
                torch.manual_seed(2)
                outs.append(again(x))
            torch.testing.assert_close(*outs, atol=1e-5, rtol=1e-4)


def test_the_weight_of_a_patch_in_the_mean_knows_weights():
    x, _ = films()
    net = network(Spy("attention"))
    _, trace = net(x, trace=True)
    weight = trace.weight()
    torch.testing.assert_close(weight.sum(1), torch.ones(2))
    last = torch.full((2, trace.blocks[-1].merge.n_out), 1 / trace.blocks[-1].merge.n_out)
    for block in reversed(trace.blocks):
        last = last.gather(1, block.merge.group) * block.merge.share()
    torch.testing.assert_close(weight, last)


def test_the_ledger_counts_signals_and_memory():
    plain, looking = (count(network(what), *GRID) for what in ("change", "top"))
    first, second = looking.blocks
    assert first.flops["signals"] == 2 * 2 * 18 * 18 * 24  # two chunks of 18 tokens
    assert second.flops["signals"] == 2 * 10 * 10 * 12  # of each of them 5 are left
    assert "signals" not in plain.blocks[0].flops
    assert plain.blocks[0].flops["matching"] == 2 * 2 * 18 * 24
    assert plain.memory == plain.blocks[0].memory == 2 * 8 * 18 * 24
    first_at = count(network("top", merge_at="before_attention"), *GRID).blocks[0]
    assert first_at.flops["signals"] == first.flops["signals"] + 4 * 36 * 24 * 24
    queries_at = count(network("top", merge_at="queries"), *GRID).blocks[0]
    assert queries_at.flops["signals"] == first.flops["signals"] + 2 * 36 * 24 * 24


# ------------------------------------------------------------------------------------------------------ every reducer


@pytest.mark.parametrize("name", reducers())
@pytest.mark.parametrize("place", ["after_attention", "before_attention", "queries"])
def test_a_step_of_training_with_every_reducer(name, place):
    net, (x, given) = network(name, merge_at=place).train(), films(3)
    loss = torch.nn.functional.cross_entropy(net(x, **given), torch.arange(3))
    loss.backward()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    before = [p.clone() for p in net.parameters()]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    net.eval()
    logits, trace = net(x, **given, trace=True)
    assert logits.isfinite().all()
    torch.testing.assert_close(trace.weight().sum(1), torch.ones(3))
    assert count(net, *GRID, trace=trace).flops > 0


@pytest.mark.parametrize("name", [name for name in reducers() if name != "learnable"])
def test_the_probe_with_every_reducer(name):
    x, given = films(6)
    items = vtm.Items(tokens=x, motion=given["motion"], oracle=given["oracle"], vectors=given["vectors"],
                      label=torch.arange(6))  # fmt: skip
    kept = retain(items, None, gamma=3, reducer=name)
    assert kept.features.shape == (6, 24) and kept.features.isfinite().all()
    assert 0 < kept.tokens <= 36 and (kept.recall <= 1).all()


@pytest.mark.parametrize(
    "name", [name for name in reducers() if name not in ("random", "motion", "relative", "oracle", "drop")]
)
def test_every_reducer_chunk_by_chunk(name):
    net, (x, _) = network(name, test_targets="top").double(), films()
    x = x.double()  # so that no cosine lies on a threshold but for rounding
    with torch.inference_mode():
        torch.testing.assert_close(by_chunks(net, x), net(x))
