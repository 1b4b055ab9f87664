"""Levels that only merge: the budget, the map back to the film, and what a kept token says of itself."""

import pytest
import torch

from vtm_lesson.merging.hierarchy import most_held
from vtm_lesson.merging.strategies import Saliency
from vtm_lesson.network import Live, MergeLevel, Tokens, merging_levels


def film(frames=50, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(1, frames, 4, 4, 8, generator=generator)
    oracle = torch.zeros(1, frames, 4, 4)
    oracle[:, 20:23, 1:3, 2] = 1.0  # three frames, two patches each
    return tokens, oracle


def pushed(levels, tokens, step=1, trace=True, **known):
    live = Live(levels, torch.Generator().manual_seed(0), trace)
    for start in range(0, tokens.shape[1], step):
        cut = slice(start, start + step)
        live.push(tokens[:, cut], **{name: value[:, cut] for name, value in known.items()})
    return live


@pytest.mark.parametrize("partition", ["uniform", "random", "oracle"])
@pytest.mark.parametrize("step", [1, 7, 50])
def test_the_budget_is_kept_however_the_frames_arrive(partition, step):
    tokens, oracle = film()
    live = pushed(merging_levels(partition, 50, keep=8, first=2, ratio=3), tokens, step, oracle=oracle)
    left = live.kept()
    assert left.x.shape == (1, 8, 8) and left.size.sum() == 50 * 16
    assert live.most_held <= most_held(8, len(live.levels), 3, 2 * 16)
    assert left.position.diff().min() > 0 and left.position.max() < 50 * 16


def test_fewer_tokens_than_the_budget_are_left_alone():
    tokens, _ = film(1)
    left = pushed(merging_levels("uniform", 50, keep=20, first=2, ratio=3), tokens).kept()
    torch.testing.assert_close(left.x, tokens.flatten(1, 3))


def test_the_merge_leads_every_patch_to_its_token_and_averages_over_patches():
    tokens, _ = film()
    live = pushed(merging_levels("uniform", 50, keep=8, first=2, ratio=3), tokens)
    merge, left = live.merge(), live.kept()
    assert (merge.n_in, merge.n_out) == (800, 8)
    assert torch.equal(merge.keep, left.position)
    torch.testing.assert_close(merge.size(), left.size)
    torch.testing.assert_close(merge(tokens.flatten(1, 3)), left.x, atol=1e-5, rtol=1e-4)


def test_every_level_matches_within_its_chunk_only():
    tokens, _ = film(12)
    levels = merging_levels("uniform", 4, keep=4, first=2, ratio=2)  # two levels, of 2 and 4 frames
    merge = pushed(levels, tokens).merge()
    frame = merge.keep // 16
    assert torch.equal(torch.arange(192) // 64, frame.gather(1, merge.group)[0] // 4)


def test_what_is_asked_on_the_way_changes_nothing():
    tokens, _ = film()
    levels = merging_levels("random", 50, keep=8, first=2, ratio=3)
    asked, alone = Live(levels, torch.Generator().manual_seed(3)), Live(levels, torch.Generator().manual_seed(3))
    for frame in tokens.split(1, 1):
        asked.push(frame)
        alone.push(frame)
        assert asked.kept().x.shape[1] <= 8
    torch.testing.assert_close(asked.kept().x, alone.kept().x)
    assert torch.equal(asked.kept().position, asked.kept().position)


def test_the_oracle_finds_all_of_the_actor_and_uniform_targets_next_to_nothing():
    tokens, oracle = film()
    actor = oracle.flatten().nonzero()[:, 0]
    found = {}
    for name in ("oracle", "uniform"):
        live = pushed(merging_levels(name, 50, keep=8, first=2, ratio=3), tokens, oracle=oracle)
        found[name] = int(torch.isin(actor, live.kept().position[0]).sum())
    assert found["oracle"] == 6 and found["uniform"] <= 1


def test_a_kept_token_says_what_its_own_patch_says_or_the_mean_of_its_group():
    tokens, oracle = film()
    own, mean = (
        pushed(merging_levels("oracle", 50, keep=8, first=2, ratio=3, signal=signal), tokens, oracle=oracle).kept()
        for signal in ("own", "mean")
    )
    torch.testing.assert_close(own.oracle, oracle.flatten()[own.position])
    assert own.oracle.sum() == 6 and 0 < mean.oracle.max() < 1
    torch.testing.assert_close((mean.oracle * mean.size).sum(), oracle.sum())


def test_saliency_is_looked_at_once_on_the_films_own_tokens():
    tokens, _ = film()
    held = Saliency(torch.ones(8, 1) / 4, torch.zeros(1))
    levels = merging_levels("learnable", 50, keep=8, first=2, ratio=3, saliency=held)
    left = pushed(levels, tokens).kept()
    score = held.score(tokens.flatten(1, 3))
    torch.testing.assert_close(left.saliency, score.gather(1, left.position))
    # The highest of the film are among the highest of every chunk that they are in.
    assert torch.isin(score[0].topk(8).indices, left.position[0]).all()


def test_motion_goes_along():
    tokens, oracle = film()
    left = pushed(merging_levels("motion", 50, keep=8, first=2, ratio=3), tokens, motion=oracle).kept()
    assert left.motion.sum() == 6


def test_sizes_or_plain_averages():
    x = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [0.0, 1.0]]])
    tokens = Tokens(x, (1, 1, 3), ((1, 3),), torch.arange(3)[None], torch.tensor([[1.0, 3.0, 1.0]]))
    by_size, _ = MergeLevel("uniform", 1, 2)(tokens)
    plain, _ = MergeLevel("uniform", 1, 2, average="plain")(tokens)
    assert by_size.x[0, 1, 1] == 1.75 and plain.x[0, 1, 1] == 1.5


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"keep": 0}, "both are 1 or more"),
        ({"chunk": 0}, "both are 1 or more"),
        ({"average": "sum"}, "average is 'sum'"),
        ({"signal": "max"}, "signal is 'max'"),
        ({"partition": None}, "needs one of them"),
    ],
)
def test_wrong_settings_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        MergeLevel(**{"partition": "uniform", "chunk": 2, "keep": 4, **wrong})
