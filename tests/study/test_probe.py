"""The retention probe: merging frozen tokens, what it keeps, and saliency learned by pooling."""

import pytest
import torch
from helpers import Colours
from torch import nn

from vtm_lesson.datasets import toy_films
from vtm_lesson.merging import match_plain
from vtm_lesson.merging.strategies import Context, Motion
from vtm_lesson.network.model import VideoClassifier
from vtm_lesson.partition import uniform
from vtm_lesson.study.experiment import forward
from vtm_lesson.study.probe import from_block, learn_saliency, linear_probe, retain
from vtm_lesson.training import Items

SMALL = {"frames": 4, "size": 32, "progress": False}


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    return toy_films(30, 3, encoder=Colours(), folder=tmp_path_factory.mktemp("tokens"), **SMALL)


def planted(n=240, seed=0):
    """Videos of 2 x 4 x 4 tokens. Channel 0 marks one actor token, whose channels 1-4 say the label; the others'
    channels 1-4 say something else, as props do."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(4, (n,), generator=generator)
    said = torch.randint(4, (n, 32), generator=generator)
    actor = torch.randint(32, (n,), generator=generator)
    said[torch.arange(n), actor] = label
    tokens = torch.zeros(n, 32, 6)
    tokens[..., 1:5] = nn.functional.one_hot(said, 4).float()
    tokens[torch.arange(n), actor, 0] = 2.0
    tokens += 0.1 * torch.randn(tokens.shape, generator=generator)
    oracle = nn.functional.one_hot(actor, 32).float().view(n, 2, 4, 4)
    return Items(
        tokens=tokens.view(n, 2, 4, 4, 6), motion=oracle * 2, oracle=oracle, label=label, way=torch.zeros(n).long()
    )


def test_retaining_is_merging_twice_and_averaging(items):
    some = items[:3]
    kept = retain(some, "uniform", gamma=4)
    x = some.columns["tokens"].float().flatten(1, 3)
    for n in (64, 16):
        assert x.shape[1] == n
        x = match_plain(x, uniform(n, 4))(x)
    torch.testing.assert_close(kept.features, x.mean(1))
    assert kept.tokens == 4
    torch.testing.assert_close(
        retain(some, None).features, some.columns["tokens"].float().flatten(1, 3).mean(1), rtol=1e-3, atol=1e-3
    )
    assert retain(some, "uniform", gamma=4, r=0.5).tokens == 64 - 24 - 15  # R = 24 of 48 sources, then 15 of 30


def test_recall_counts_the_actors_patches():
    data = planted()
    assert float(retain(data, "oracle").recall.mean()) == 1
    assert float(retain(data, "random", gamma=4, seed=1).recall.mean()) == pytest.approx(1 / 4, abs=0.1)
    first = uniform(32, 4)
    shown = data.columns["oracle"].flatten(1).argmax(1)
    wanted = torch.isin(shown, first).float()
    assert torch.equal(retain(data, "uniform", gamma=4).recall, wanted)


def test_reading_tells_what_is_linear():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 5, generator=generator)
    labels = (x @ torch.randn(5, 3, generator=generator)).argmax(1)
    assert float((linear_probe(x[:300], labels[:300], x[300:]) == labels[300:]).float().mean()) > 0.9


def test_saliency_is_learned_by_pooling_and_carries_over():
    saliency = learn_saliency(planted(400), seed=0, epochs=20, lr=3e-2)
    others = planted(200, seed=9)
    score = saliency.score(others.columns["tokens"].flatten(1, 3))
    actor = others.columns["oracle"].flatten(1) > 0
    assert float(score[actor].mean() - score[~actor].mean()) > 0.5
    recall = {name: float(retain(others, s, gamma=4).recall.mean()) for name, s in (("it", saliency), ("by", "random"))}
    assert recall["it"] > 2 * recall["by"]
    again = learn_saliency(planted(400), seed=0, epochs=20, lr=3e-2)
    assert torch.equal(saliency.U, again.U)


@pytest.mark.parametrize("place", ["before_attention", "after_attention"])
def test_a_blocks_saliency_is_that_of_its_network(items, place):
    torch.manual_seed(0)
    model = VideoClassifier(6, chunks=(1, 2, 4), widths=6, classes=8, partition="learnable", merge_at=place).eval()
    for block in model.blocks:
        nn.init.normal_(block.U)
    batch = {name: column.float() for name, column in items[:4].columns.items()}
    trace = forward(model, batch, trace=True)[1]
    found = from_block(model.blocks[0]).score(batch["tokens"].flatten(1, 3))
    torch.testing.assert_close(found, trace.blocks[0].saliency)
    with pytest.raises(ValueError, match="learned no saliency"):
        from_block(VideoClassifier(6, chunks=(1, 2, 4), widths=6).blocks[0])


def test_scales_of_motion():
    motion = torch.rand(2, 64)
    keys, size, position = torch.randn(2, 64, 3), torch.ones(2, 64), torch.arange(64).expand(2, 64)

    def drawn(strategy, factor):
        generator = torch.Generator().manual_seed(0)
        context = Context(keys, 4, 1, 8, 8, position, size, motion * factor, generator=generator)
        return strategy(context)

    for scale in ("max", "standard"):
        assert torch.equal(drawn(Motion(scale, 3), 1), drawn(Motion(scale, 3), 7))
    assert not torch.equal(drawn(Motion("raw", 3), 1), drawn(Motion("raw", 3), 7))
    assert torch.equal(drawn(Motion("raw", 2000), 1), motion.topk(16).indices.sort(1).values)
    with pytest.raises(ValueError, match="scale"):
        drawn(Motion("fast"), 1)


@pytest.mark.parametrize("name", ["drop", "threshold"])
def test_any_reducer_can_be_probed(name):
    data = planted(60)
    kept = retain(data, None, gamma=4, reducer=name)
    assert kept.features.shape == (60, 6) and kept.features.isfinite().all()
    if name == "drop":
        assert kept.tokens == 2 and 0.1 < float(kept.recall.mean()) < 0.4
        tokens = data.columns["tokens"].flatten(1, 3)
        some = (kept.features[:, None] * 2 - tokens).unsqueeze(2).sub(tokens[:, None]).abs().amax(-1)
        assert (some.flatten(1).amin(1) < 1e-5).all(), "the mean of two of its own tokens"
    else:
        assert 2 <= kept.tokens <= 32
        alone = retain(data[:1], None, gamma=4, reducer=name)
        torch.testing.assert_close(kept.features[:1], alone.features)
