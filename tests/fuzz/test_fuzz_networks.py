"""Networks of random settings: they train, they count what they compute, and chunk by chunk they say the same."""

import math

import pytest
import torch
from fuzzing import SEEDS, fuzz
from hypothesis import strategies as st

import vtm_lesson as vtm
from vtm_lesson.merging.strategies import is_ragged, signals
from vtm_lesson.network import Live
from vtm_lesson.network.model import count

CHANCE = ("random", "oracle", "cells", "drop")  # what draws even where the tokens of highest score are asked for
BLOCKS = st.lists(
    st.fixed_dictionaries({"times": st.integers(1, 3), "gamma": st.floats(1, 9), "r": st.floats(0, 1)}),
    min_size=1,
    max_size=3,
)


def network_of(blocks, first, dim, options, **more):
    """A network of these blocks; each one's chunk is so many times that of the one before."""
    chunks, length = [], first
    for block in blocks:
        length *= block["times"] if chunks else 1
        chunks.append(length)
    gamma, r = ([block[name] for block in blocks] for name in ("gamma", "r"))
    widths = [max(options.get("heads", 1), dim // 2 ** (i + 1)) for i in range(len(blocks))]
    widths = [width - width % options.get("heads", 1) for width in widths]
    partition = None if options["reducer"] is None else "uniform"
    network = vtm.VideoClassifier(dim, len(blocks), chunks, 3, partition, gamma, r, widths, **options, **more)
    for parameter in network.parameters():  # zeros at the start would hide what they are multiplied with
        torch.nn.init.normal_(parameter, std=0.4)
    return network


def video_of(shape, seed, dtype=torch.float32):
    """Tokens, motion, oracle, vectors and pixels of videos (B, L, H, W, C)."""
    chance = torch.Generator().manual_seed(seed)

    def some(*last):
        return torch.randn(*shape[:4], *last, generator=chance).to(dtype)

    return some(shape[4]), some().abs(), (some() > 1).to(dtype), some(2), some(5)


OPTIONS = {
    "reducer": st.sampled_from([None, *vtm.reducers()]),
    "heads": st.sampled_from([1, 1, 2]),
    "attention": st.sampled_from(["fused", "stored", "merged"]),
    "merge_at": st.sampled_from(["after_attention", "before_attention", "queries"]),
    "match_within": st.sampled_from(["chunk", "chunk", "video"]),
    "average": st.sampled_from(["plain", "size", "motion"]),
    "residual": st.booleans(),
    "aux": st.sampled_from(["add", "heads"]),
    "saliency": st.sampled_from([None, None, True]),
}


def allowed(options):
    """The same options, those replaced that are documented not to go together."""
    options = dict(options)
    if options["merge_at"] == "queries":
        options["match_within"] = "chunk"
    if options["attention"] == "merged":
        options |= {"heads": 1, "merge_at": "after_attention", "match_within": "chunk"}
    return options


@fuzz(
    cases=50,
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 4), st.integers(1, 4)),
    blocks=BLOCKS,
    first=st.integers(1, 4),
    dim=st.sampled_from([2, 6, 8]),
    options=st.fixed_dictionaries(OPTIONS),
    pooling=st.sampled_from(["mean", "size", "motion"]),
    position=st.sampled_from(["none", "sincos"]),
    seed=SEEDS,
)
def test_a_network_trains_and_counts_its_tokens(shape, blocks, first, dim, options, pooling, position, seed):
    torch.manual_seed(seed)
    dim = max(dim, 6) if position == "sincos" else dim
    options = allowed(options)
    network = network_of(blocks, first, dim, options, pooling=pooling, position=position)
    x, motion, oracle, vectors, pixels = video_of((*shape, dim), seed)
    given = {"motion": motion, "oracle": oracle, "vectors": vectors, "pixels": pixels}

    x.requires_grad_()
    out = network(x, **given, generator=torch.Generator().manual_seed(seed))
    assert out.shape == (shape[0], 3) and out.isfinite().all(), "training gives no finite numbers"
    out.square().sum().backward()
    assert x.grad.isfinite().all(), "a gradient that is no number, of the tokens"
    grads = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    assert all(grad.isfinite().all() for grad in grads.values()), "a gradient that is no number, of a parameter"
    assert "head.weight" in grads, "the head has no gradient"

    network.eval()
    with torch.inference_mode():
        logits, trace = network(x, **given, trace=True, generator=torch.Generator().manual_seed(seed))
        again = network(x, **given, generator=torch.Generator().manual_seed(seed))
    assert logits.isfinite().all() and torch.equal(logits, again), "no finite numbers, or others the second time"
    n = math.prod(shape[1:])
    merge, ragged = trace.merge, is_ragged(network.each_block[0].config.chosen_reducer())
    assert merge.n_in == n and merge.group.shape == (shape[0], n)
    size = merge.size()
    lost = torch.zeros(shape[0]) if merge.dropped is None else merge.dropped.sum(1).float()
    assert torch.equal(size.sum(1) + lost, torch.full((shape[0],), float(n))), "tokens went without a word"
    torch.testing.assert_close(trace.weight().sum(1), torch.ones(shape[0]), msg="patches do not count 1 in all")

    ledger, told = count(network, *shape[1:]), count(network, *shape[1:], trace=trace)
    left = (size > 0).sum(1)
    assert ledger.tokens[0] == told.tokens[0] == n and ledger.at_most == ragged
    if ragged:
        assert int(left.max()) <= ledger.tokens[-1], "more tokens are left than the ledger's most"
        assert abs(float(left.float().mean()) - told.tokens[-1]) <= 1, "the ledger was told, and counts others"
    else:
        assert left.tolist() == [ledger.tokens[-1]] * shape[0], "the ledger counts others"
        assert [block.merge.n_out for block in trace.blocks] == list(ledger.tokens[1:]), "in some block"


@fuzz(
    cases=40,
    shape=st.tuples(st.integers(1, 2), st.integers(1, 14), st.integers(1, 3), st.integers(1, 4)),
    blocks=BLOCKS,
    first=st.integers(1, 4),
    options=st.fixed_dictionaries({**OPTIONS, "reducer": st.sampled_from([None, *vtm.reducers()])}),
    pooling=st.sampled_from(["mean", "size", "motion"]),
    cuts=st.lists(st.integers(1, 5), max_size=4),
    seed=SEEDS,
)
def test_chunk_by_chunk_is_one_pass(shape, blocks, first, options, pooling, cuts, seed):
    """In float64, so that no tie is decided by rounding. Frames arrive in pieces of any length."""
    torch.manual_seed(seed)
    reducer = None if options["reducer"] in CHANCE else options["reducer"]
    options = allowed({**options, "reducer": reducer, "match_within": "chunk"})
    network = network_of(blocks, first, 8, options, pooling=pooling, test_targets="top").double().eval()
    x, motion, oracle, vectors, _ = video_of((*shape, 8), seed, torch.float64)
    with torch.inference_mode():
        logits, trace = network(x, motion=motion, oracle=oracle, vectors=vectors, trace=True)
    ragged = is_ragged(network.each_block[0].config.chosen_reducer())
    follows = shape[0] == 1 or not ragged
    if not follows:
        with pytest.raises(ValueError, match="give one video at a time, or leave trace out"):
            Live(network, trace=True).push(x)
    live = Live(network, trace=follows)
    pieces, at = [], 0
    while at < shape[1]:
        pieces.append(slice(at, at + (cuts[len(pieces) % len(cuts)] if cuts else shape[1])))
        at = pieces[-1].stop
    for piece in pieces:
        live.push(x[:, piece], motion[:, piece], oracle[:, piece], vectors[:, piece])
        if seed % 2:
            live.logits()  # asking on the way changes nothing
    torch.testing.assert_close(live.logits(), logits, rtol=1e-8, atol=1e-8, msg="other logits than in one pass")
    if follows:
        whole, parts = trace.merge, live.merge()
        assert torch.equal(whole.into, parts.into), "tokens end up elsewhere than in one pass"
        assert torch.equal(whole.size().sum(1), parts.size().sum(1))
    asked = {name for block in network.each_block for name in signals(block.config.chosen_reducer())}
    if not network.needs_motion and not asked & {"motion", "relative"}:
        torch.testing.assert_close(vtm.by_chunks(network, x), logits, rtol=1e-8, atol=1e-8, msg="by_chunks differs")
        read = lambda a, b: x[:, a:b]  # noqa: E731
        torch.testing.assert_close(vtm.by_chunks(network, read, shape[1]), logits, rtol=1e-8, atol=1e-8)
