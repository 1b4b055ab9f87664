"""Queries merged before attention: by hand, against the paper's order where the two must agree, and what it refuses."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import vtm_lesson as vtm
from vtm_lesson.network import BlockConfig, Tokens, VTMBlock, attention, by_chunks, count

GRID = (5, 3, 3)


def films(batch=2, grid=GRID, dim=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, *grid, dim, generator=generator, dtype=torch.float64)


def block(seed=0, **options):
    torch.manual_seed(seed)
    options = {"dim": 16, "chunk": 2, "gamma": 4, "merge_at": "queries"} | options
    return VTMBlock(BlockConfig(**options)).double().eval()


def by_hand(made, tokens, trace, weight, saliency=None, attention=None):
    """One group after the other: the average of its normed tokens makes one query, for all tokens of its chunk."""
    attention = attention or made.attention
    heads, chunk = attention.heads, tokens.position // 9 // made.config.chunk
    normed = attention.norm(tokens.x)
    to_q, to_k, to_v = attention.qkv.weight.chunk(3)
    rows = []
    for film in range(len(normed)):
        for group in range(trace.merge.n_out):
            mine = (trace.merge.group[film] == group).nonzero()[:, 0]
            share = weight[film, mine] / weight[film, mine].sum()
            here = chunk[film] == chunk[film, mine[0]]
            query = to_q @ (share @ normed[film, mine])
            keys, values = normed[film, here] @ to_k.T, normed[film, here] @ to_v.T
            parts = []
            for q, k, v in zip(query.chunk(heads), keys.chunk(heads, 1), values.chunk(heads, 1), strict=True):
                scores = k @ q if saliency is None else k @ q + attention.guidance * saliency[film, here]
                parts.append((scores / math.sqrt(len(q))).softmax(0) @ v)
            rows.append(torch.cat(parts) + (share @ tokens.x[film, mine] if attention.residual else 0))
    return torch.stack(rows).view(len(normed), trace.merge.n_out, -1)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("options", [{}, {"residual": True, "r": 0.6}, {"attention": "stored", "average": "size"}])
def test_a_group_has_one_query(heads, options):
    made = block(heads=heads, **options)
    tokens = Tokens.start(films())
    tokens.size = 1 + torch.rand(tokens.size.shape, generator=torch.Generator().manual_seed(1))
    out, trace = made(tokens)
    assert trace.merge.n_out < trace.merge.n_in
    weight = tokens.size.double() if made.config.average == "size" else torch.ones_like(tokens.size).double()
    want = F.gelu(made.linear(by_hand(made, tokens, trace, weight)))
    torch.testing.assert_close(out.x, want, rtol=1e-6, atol=1e-7)  # sizes are float32
    assert torch.equal(out.size, trace.merge.size(tokens.size))


@pytest.mark.parametrize("aux", ["add", "heads"])
def test_the_auxiliary_path_merges_its_queries_too(aux):
    made = block(partition="learnable", aux=aux, guidance=3.0, residual=True).train()
    with torch.no_grad():
        made.U.normal_()
    tokens = Tokens.start(films())
    out, trace = made(tokens)
    ones = torch.ones_like(tokens.size).double()
    guided = by_hand(made, tokens, trace, ones, trace.saliency, made.aux)
    torch.testing.assert_close(out.aux, F.gelu(made.linear(guided)))
    main = by_hand(made, tokens, trace, ones)
    torch.testing.assert_close(out.x, F.gelu(made.linear(main + guided if aux == "add" else main)))
    out.aux.sum().backward()
    assert made.U.grad.abs().max() > 0


def test_tokens_that_are_alike_have_one_query_anyway():
    """Nine patches that stand still for two frames: with every second token a target, each of the others has its like
    among them, of which it is the average; so the query of their mean is the query of both."""
    still = films(grid=(1, 3, 3)).repeat(1, 2, 1, 1, 1)
    logits = []
    for place in ("queries", "after_attention"):
        torch.manual_seed(0)
        net = vtm.VideoClassifier(16, blocks=1, chunks=(2,), gamma=2, merge_at=place, residual=True).double().eval()
        found, trace = net(still, trace=True)
        assert torch.equal(trace.merge.size(), torch.tensor([[2.0] * 9] * 2))
        logits.append(found)
    torch.testing.assert_close(*logits)
    moving = films(grid=(2, 3, 3))
    assert not torch.allclose(*(block(gamma=2, chunk=2, merge_at=place)(Tokens.start(moving))[0].x.mean(1)
                                for place in ("queries", "after_attention")))  # fmt: skip


def test_where_nothing_merges_it_is_the_paper_s_block():
    for options in ({"gamma": 1}, {"r": 0}, {"r": 0.01}):
        x = Tokens.start(films())
        torch.testing.assert_close(block(**options)(x)[0].x, block(merge_at="after_attention", **options)(x)[0].x)


def test_weights_of_another_order_fit():
    net = vtm.VideoClassifier(16, chunks=(1, 2, 5), partition="learnable", gamma=3)
    again = vtm.VideoClassifier(**net.config | {"merge_at": "queries"})
    again.load_state_dict(net.state_dict())
    assert again.each_block[0].config.merge_at == "queries"


def test_a_layer_around_the_projection_is_used():
    made, tokens = block(), Tokens.start(films())
    plain = made(tokens)[0].x

    class Doubled(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            q, k, v = self.inner(x).chunk(3, -1)
            return torch.cat([q, k, 2 * v], -1)

    made.attention.qkv = Doubled(made.attention.qkv)
    doubled = made(tokens)[0].x
    assert not torch.allclose(doubled, plain)
    made.linear.weight.data /= 2
    torch.testing.assert_close(made(tokens)[0].x, plain)


@pytest.mark.parametrize("tile", [1, 100, 500, 1 << 20])  # fused; chunks one by one; two at a time; all
def test_scores_of_some_chunks_at_a_time(tile, monkeypatch):
    made, tokens = block(heads=2, partition="learnable"), Tokens.start(films())  # 5 frames: the last chunk is shorter
    monkeypatch.setitem(attention.TILE, "cpu", tile)
    with torch.inference_mode():
        made.config = replace(made.config, test_targets="top")
        want = made(tokens)[0].x
        monkeypatch.setitem(attention.TILE, "cpu", 1)
        torch.testing.assert_close(made(tokens)[0].x, want)


def test_flops_at_the_papers_size_by_hand():
    options = {"dim": 1024, "gamma": 10, "merge_at": "queries"}
    first = count(options, 60, 16, 16).blocks[0].flops
    left = 1540  # ten chunks of 1,536 tokens leave 154 each
    assert first["queries, keys, values"] == 2 * 1024 * 1024 * 3 * left  # keys of groups alone
    assert first["matching"] == 10 * 2 * 154 * 1024 * (2 * 1024 + 1536)
    assert first["attention"] == 10 * 4 * 1536 * 154 * 1024
    ranked = count(options | {"r": 0.8}, 60, 16, 16).blocks[0].flops  # whoever is ranked needs a key
    some = 10 * (1536 - math.floor(0.8 * 1382))
    assert ranked["queries, keys, values"] == 2 * 1024 * 1024 * (15360 + 2 * some)
    assert ranked["matching"] == 10 * 2 * 154 * 1382 * 1024
    heads = count(options | {"heads": 8}, 60, 16, 16).blocks[0].flops
    assert heads["queries, keys, values"] == 2 * 1024 * 1024 * (2 * 15360 + left)
    assert heads["attention"] == first["attention"]
    learns = count(options | {"partition": "learnable"}, 60, 16, 16, training=True).blocks[0].flops
    assert learns["auxiliary path"] == first["queries, keys, values"] + first["attention"] + first["linear"]


@pytest.mark.parametrize("partition", ["uniform", "motion", "learnable", "centre"])
@pytest.mark.parametrize("training", [True, False])
def test_without_keys_it_is_the_same_network(partition, training, monkeypatch):
    x = films(grid=(6, 4, 4), dim=16)
    motion = torch.rand(2, 6, 4, 4, generator=torch.Generator().manual_seed(1))
    found, grads, made = [], [], []
    original = attention.ChunkAttention.keys
    monkeypatch.setattr(attention.ChunkAttention, "keys", lambda self, x: made.append(1) or original(self, x))
    for keyless in (True, False):
        monkeypatch.setattr(VTMBlock, "_needs_no_keys", keyless)
        monkeypatch.setattr(attention.ChunkAttention, "can_do_without_keys", keyless)
        torch.manual_seed(0)
        net = vtm.VideoClassifier(16, chunks=(2, 2, 6), gamma=4, partition=partition, merge_at="queries", residual=True)
        for each in net.each_block:
            if each.aux is not None:
                torch.nn.init.normal_(each.U)
        net = net.double().train(training)
        found.append(net(x, motion, generator=torch.Generator().manual_seed(2)))
        found[-1].sum().backward()
        grads.append([p.grad for p in net.parameters()])
        assert bool(made) != keyless
    torch.testing.assert_close(*found)
    torch.testing.assert_close(*grads)


def test_it_makes_keys_where_they_are_needed(monkeypatch):
    made = []
    original = attention.ChunkAttention.keys
    monkeypatch.setattr(attention.ChunkAttention, "keys", lambda self, x: made.append(1) or original(self, x))

    def by_key(keys, n_targets):
        return keys[..., 0].topk(n_targets).indices.sort(1).values

    def newest(n, n_targets):
        return torch.arange(n - n_targets, n)

    tokens = Tokens.start(films())
    asks = {"ranked": {"r": 0.9}, "heads": {"heads": 2}, "looked at": {"partition": by_key}, "many": {"gamma": 2},
            "another reducer": {"reducer": "drop"}}  # fmt: skip
    for options in asks.values():
        block(**options)(tokens)
        assert made.pop() and not made
    block(partition=newest)(tokens)
    assert not made


def test_low_precision():
    made, x = block(dim=32, gamma=6, chunk=5), films(dim=32)
    merge = made(Tokens.start(x))[1].merge
    want = None
    for dtype, off in ((torch.float64, 0), (torch.float32, 1e-6), (torch.bfloat16, 2e-2)):
        part, tokens = made.attention.to(dtype), Tokens.start(x.to(dtype))
        chunks = made._chunks(made.plan(tokens.segments), tokens)
        normed, keys = part.norm_and_keys(tokens.x)
        main = tokens.merged(merge, x=merge(normed))
        after = made._chunks_after(made.plan(tokens.segments), main, chunks)
        got = part.queried(main.x, main.x, normed, keys, (chunks, after))
        assert got.dtype == dtype
        want = got.double() if want is None else want
        assert ((got.double() - want).norm() / want.norm()).item() <= off


def test_by_chunks_needs_a_fraction_of_the_memory():
    net = vtm.VideoClassifier(64, chunks=(2, 4, 16), gamma=4, merge_at="queries").eval()
    tokens = torch.randn(1, 16, 8, 8, 64)
    with torch.inference_mode():
        whole = vtm.measuring.peak_tensors(lambda: net(tokens))
    assert vtm.measuring.peak_tensors(lambda: by_chunks(net, tokens)) < whole / 2


@pytest.mark.parametrize("options", [{"match_within": "video"}, {"attention": "merged"}])
def test_what_it_cannot_do_is_named(options):
    with pytest.raises(ValueError, match="merge_at"):
        block(**options)


def test_where_a_reducer_merges_nothing_queries_are_made_of_normed_tokens_all_the_same():
    """Of one video such a merge is the identity, of which nothing needs to be averaged; the queries need layer norm."""
    net = vtm.VideoClassifier(
        8, 1, (2,), merge_at="queries", reducer=vtm.merging.registry.reducer("threshold", above=1.0)
    ).eval()
    plain = vtm.VideoClassifier(8, 1, (2,), partition=None).eval()
    plain.load_state_dict(net.state_dict())
    x = 5 + torch.randn(1, 2, 2, 2, 8)
    torch.testing.assert_close(net(x), plain(x))
