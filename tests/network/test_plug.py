"""Reducers that do not match, through the network: padded and masked, trained, traced, counted, drawn, in parts."""

import copy
import pickle

import pytest
import torch

from vtm_lesson import plots
from vtm_lesson.merging import Merge
from vtm_lesson.merging.partition import uniform
from vtm_lesson.merging.registry import reducer
from vtm_lesson.network import BlockConfig, Tokens, VideoClassifier, VTMBlock, by_chunks, count

GRID = (8, 4, 4)
# Keys of random networks are not alike: a low threshold merges some in every chunk, and never the same number.
REDUCERS = {
    "drop": "drop",
    "drop by motion": reducer("drop", signal="motion"),
    "threshold": reducer("threshold", above=0.3),
}
PLACES = ("after_attention", "before_attention", "queries")


def network(what, seed=0, **options):
    torch.manual_seed(seed)
    options = {"dim": 24, "chunks": (2, 4, 8), "classes": 5, "gamma": 4, "reducer": what} | options
    return VideoClassifier(**options).eval()


def films(batch=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, *GRID, 24, generator=generator)
    x += 2 * torch.arange(batch).view(-1, 1, 1, 1, 1)  # videos differ in how alike their tokens are
    return x, torch.rand(batch, *GRID, generator=generator)


@pytest.mark.parametrize("place", PLACES)
def test_padding_changes_nothing(place):
    net, (x, motion) = network(REDUCERS["threshold"], merge_at=place).double(), films()
    x = x.double()  # so that no cosine lies on the threshold but for rounding
    logits, trace = net(x, motion, trace=True)
    assert len(set(trace.merge.count.tolist())) > 1, "the videos keep different numbers: something is padded"
    for i in range(len(x)):
        alone, single = net(x[i : i + 1], motion[i : i + 1], trace=True)
        torch.testing.assert_close(logits[i : i + 1], alone)
        kept = int(trace.merge.count[i])
        assert single.merge.n_out == kept
        assert torch.equal(single.merge.group[0], trace.merge.group[i])
        assert torch.equal(single.merge.keep[0], trace.merge.keep[i, :kept])
        torch.testing.assert_close(single.weight()[0], trace.weight()[i])


@pytest.mark.parametrize("name", REDUCERS)
@pytest.mark.parametrize("place", PLACES)
def test_traces_add_up(name, place):
    net, (x, motion) = network(REDUCERS[name], merge_at=place, pooling="size"), films()
    _, trace = net(x, motion, trace=True)
    n = x[0, ..., 0].numel()
    lost = torch.zeros(3) if trace.merge.dropped is None else trace.merge.dropped.sum(1)
    assert torch.equal(trace.merge.size().sum(1), n - lost)
    last = trace.blocks[-1]
    assert torch.equal(last.size, trace.merge.size())
    torch.testing.assert_close(trace.weight().sum(1), torch.ones(3))
    if trace.merge.dropped is not None:
        assert (trace.weight()[trace.merge.dropped] == 0).all()
    before, there = torch.arange(n).expand(3, -1), torch.ones(3, n, dtype=torch.bool)
    for block, length in zip(trace.blocks, (2, 4, 8), strict=True):  # matched in chunks: nobody leaves its own
        chunk = before // 16 // length
        assert torch.equal(chunk.gather(1, block.merge.into)[there], chunk[there])
        before = block.position
        there = torch.ones_like(before, dtype=torch.bool) if block.merge.present is None else block.merge.present


def test_a_threshold_knows_its_targets():
    net, (x, motion) = network(REDUCERS["threshold"]), films()
    _, trace = net(x, motion, trace=True)
    first = trace.blocks[0]
    assert first.targets.tolist() == [torch.arange(0, 128, 4).tolist()] * 3, "every fourth of each chunk of 32"
    assert first.tokens_out > 32, "it keeps more than its targets"


def test_blocks_after_one_that_kept_as_many_in_every_video():
    """Nothing is padded then, and still no later block's plan knows how many tokens there are."""
    torch.manual_seed(0)
    first = VTMBlock(BlockConfig(24, chunk=2, reducer=REDUCERS["threshold"])).eval()
    for options in ({}, {"merge_at": "before_attention"}, {"match_within": "video"}, {"attention": "merged"},
                    {"merge_at": "queries"}):  # fmt: skip
        then = VTMBlock(BlockConfig(12, chunk=4, gamma=3, **options)).eval()
        x, _ = films()
        with torch.inference_mode():
            together, _ = then(first(Tokens.start(x))[0])
            for i in range(3):
                alone, note = then(first(Tokens.start(x[i : i + 1]))[0])
                assert alone.present is None and note.merge.n_out == alone.x.shape[1]
                mine = together.x[i] if together.present is None else together.x[i][together.present[i]]
                torch.testing.assert_close(mine, alone.x[0], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("name", REDUCERS)
@pytest.mark.parametrize("aux", ["add", "heads"])
def test_networks_with_any_reducer_learn(name, aux):
    net, (x, motion) = network(REDUCERS[name], saliency=True, aux=aux).train(), films(12)
    label = torch.arange(12) // 4
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(net(x, motion), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_drop_in_a_network_is_the_network_on_the_tokens_that_stay():
    net, (x, motion) = network(REDUCERS["drop by motion"], blocks=1, chunks=(8,), test_targets="top"), films(1)
    logits, trace = net(x, motion, trace=True)
    assert trace.merge.keep[0].tolist() == motion.flatten().topk(32).indices.sort().values.tolist()
    bare = network(None, blocks=1, chunks=(8,), partition=None)
    bare.load_state_dict(net.state_dict())
    tokens, _ = bare.blocks[0](Tokens.start(x))
    torch.testing.assert_close(logits, bare.head(tokens.x[:, trace.merge.keep[0]].mean(1)))


@pytest.mark.parametrize("residual", [False, True])
def test_scores_averaged_over_groups_leave_out_what_is_dropped(residual):
    what = reducer("drop", signal="motion")
    fused, merged = (
        network(what, test_targets="top", attention=kind, residual=residual) for kind in ("fused", "merged")
    )
    x, motion = films()
    with torch.inference_mode():
        torch.testing.assert_close(merged(x, motion), fused(x, motion), atol=1e-6, rtol=1e-5)


def test_flops_of_a_reducer_are_its_own():
    dropped, matched = (count(network(what), *GRID) for what in ("drop", "uniform"))
    assert dropped.tokens == matched.tokens
    for a, b in zip(dropped.blocks, matched.blocks, strict=True):
        assert a.flops["matching"] == 0 < b.flops["matching"]
        assert a.flops | {"matching": 0} == b.flops | {"matching": 0}


def test_a_reducer_without_a_fixed_number_is_counted_at_most_or_as_seen():
    net, (x, motion) = network(REDUCERS["threshold"]), films()
    most = count(net, *GRID)
    assert most.at_most and most.tokens == (128,) * 4 and "at most" in str(most)
    trace = net(x, motion, trace=True)[1]
    seen = count(net, *GRID, trace=trace)
    assert not seen.at_most and seen.flops < most.flops
    for row, block in zip(seen.blocks, trace.blocks, strict=True):
        kept = block.merge.count.float().mean() if block.merge.count is not None else block.merge.n_out
        assert abs(row.tokens_out - float(kept)) <= row.chunks  # chunks are rounded one by one


@pytest.mark.parametrize("name", ["drop by motion", "threshold"])
def test_by_chunks_as_in_one_pass(name):
    what = REDUCERS[name] if name == "threshold" else reducer("drop", signal="saliency")
    net, (x, _) = network(what, test_targets="top"), films()
    for block in net.blocks:
        if block.aux is not None:
            torch.nn.init.normal_(block.U)
    with torch.inference_mode():
        torch.testing.assert_close(by_chunks(net, x), net(x), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("name", REDUCERS)
def test_what_a_reducer_did_can_be_drawn(name):
    net, (x, motion) = network(REDUCERS[name]), films(1)
    _, trace = net(x, motion, trace=True)
    frames = torch.rand(8, 32, 32, 3).numpy()
    fig = plots.groups(frames, trace.merge, GRID, paint="patch")
    assert f"{trace.merge.n_out} groups" in fig.alt
    assert ("dropped and faded" in fig.alt) is (trace.merge.dropped is not None)
    plots.png(plots.targets(frames, trace.blocks[0].target_patches[0], GRID))


def test_a_threshold_before_a_block_without_merging_and_over_the_whole_video():
    (x, motion), what = films(), REDUCERS["threshold"]
    whole = network(what, match_within="video", merge_at="before_attention")
    logits, trace = whole(x, motion, trace=True)
    for i in range(3):
        torch.testing.assert_close(logits[i : i + 1], whole(x[i : i + 1], motion[i : i + 1]), atol=2e-6, rtol=1e-5)
    assert trace.merge.count is not None


def test_a_function_of_ones_own_is_a_reducer():
    def halves(context):
        n = context.n
        into = torch.arange(n).expand(len(context.keys), n) // 2 * 2
        return Merge.of(into)

    halves.ragged = True
    net, (x, motion) = network(halves), films()
    assert net(x, motion, trace=True)[1].merge.n_out == 16
    halves.ragged = False
    with pytest.raises(ValueError, match="the budget is 8 tokens left of 32"):
        network(halves)(x, motion)


@pytest.mark.parametrize("what", [*REDUCERS.values(), "uniform", "motion"])
def test_networks_can_be_copied_and_pickled(what):
    net, (x, motion) = network(what, test_targets="top"), films()
    torch.manual_seed(1)
    expected = net(x, motion)
    for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), network(what, test_targets="top", r=1.0)):
        torch.manual_seed(1)
        assert torch.equal(again(x, motion), expected)
    assert pickle.loads(pickle.dumps(network(None, partition=uniform))).config["partition"] is uniform


def test_a_config_says_what_is_wrong():
    assert BlockConfig(24).width == 12 and BlockConfig(24, reducer="learnable").learns_saliency()
    assert BlockConfig(24, reducer=reducer("drop", signal="saliency")).learns_saliency()
    for options, words in (
        ({"attention": "flash"}, "attention is 'flash'"),
        ({"chunk": 0}, "a number of frames"),
        ({"gamma": 0.5}, "gamma is 0.5"),
        ({"r": 2}, "from 0 to 1"),
        ({"heads": 5}, "heads must divide dim"),
        ({"heads": "2"}, "heads is '2'; it is a whole number"),
        ({"out": 1.5}, "out is 1.5; it is a whole number"),
        ({"gamma": "a"}, "gamma is 'a'; it is a number"),
        ({"temperature": True}, "temperature is True; it is a number"),
        ({"reducer": "luck"}, "reducer is 'luck'"),
    ):
        with pytest.raises(ValueError, match=words):
            BlockConfig(24, **options).chosen_reducer()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dim": "a"}, "dim is 'a'; it is a whole number"),
        ({"blocks": 2.0}, "blocks is 2.0; it is a whole number"),
        ({"chunks": (2, "4")}, "chunks is '4'; it is a number"),
        ({"gamma": "ab"}, "gamma is 'ab'; give a number, or one for each of the 2 blocks"),
        ({"r": None}, "r is None; give a number"),
        ({"widths": (8, 2.5)}, "out is 2.5; it is a whole number"),
    ],
    ids=str,
)
def test_a_network_says_which_argument_is_no_number(arguments, words):
    with pytest.raises(ValueError, match=words):
        VideoClassifier(**{"dim": 16, "blocks": 2, "chunks": (2, 4), "classes": 3} | arguments)


@pytest.mark.parametrize(
    ("grid", "words"),
    [((1.5, 4, 4), "frames is 1.5; it is a whole number"), ((8, 0, 4), "the grid is 8 frames of 0 x 4 tokens")],
    ids=str,
)
def test_a_count_says_what_a_grid_is(grid, words):
    with pytest.raises(ValueError, match=words):
        count({"dim": 16, "blocks": 2, "chunks": (2, 4)}, *grid)
