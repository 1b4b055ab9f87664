"""Video tokens on their way into a language model: groups are averaged, survivors keep order and positions."""

import pytest
import torch

from vtm_lesson import hosts, reducers
from vtm_lesson.merging import Merge
from vtm_lesson.merging.registry import reducer
from vtm_lesson.merging.strategies import is_ragged, signals

GRID = (4, 3, 3)
BY_NAME = [name for name in reducers() if set(signals(reducer(name))) <= {"depth", "chance"}]
NAMES = [name for name in BY_NAME if name not in ("motion", "relative", "learnable", "oracle")]


@pytest.fixture
def film():
    return torch.randn(2, 36, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NAMES)
def test_every_reducer_that_needs_nothing_else_fits_here(film, name):
    features, positions, merge = hosts.reduce_video_tokens(film, GRID, name, gamma=3.0)
    assert features.shape == (2, merge.n_out, 8) and torch.equal(features, merge(film))
    assert is_ragged(reducer(name)) or merge.n_out == 12
    assert torch.equal(positions, merge.keep)
    assert (positions.diff(dim=1) > 0).all() or merge.count is not None


def test_one_film_is_a_batch_of_one(film):
    single = hosts.reduce_video_tokens(film[1], GRID, "uniform")
    both = hosts.reduce_video_tokens(film, GRID, "uniform")
    assert torch.equal(single.features, both.features[1]) and torch.equal(single.positions, both.positions[1])
    assert single.positions.tolist() == list(range(0, 36, 4))


def test_the_reducer_sees_grid_keys_and_signals(film):
    seen = []

    def look(context):
        seen.append(context)
        return reducer("drop", signal="motion")(context)

    motion = torch.randn(2, *GRID)
    merge = hosts.reduce_video_tokens(film, GRID, look, gamma=4, keys=film[..., :3], motion=motion).merge
    (context,) = seen
    assert (context.frames, context.height, context.width) == GRID and context.keys.shape == (2, 36, 3)
    assert torch.equal(context.motion, motion.flatten(1)) and context.frame[0].tolist() == [i // 9 for i in range(36)]
    assert merge.n_out == context.n_keep == 9


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grid": (4, 3, 2)}, "grid"),
        ({"features": torch.zeros(36)}, "shape"),
        ({"reducer": "luck"}, "reducer is 'luck'"),
        ({"heat": 1}, "nothing named heat"),
        ({"reducer": "motion"}, "motion"),
    ],
)
def test_what_does_not_fit_is_named(film, change, words):
    with pytest.raises(ValueError, match=words):
        hosts.reduce_video_tokens(**{"features": film, "grid": GRID, "reducer": "drop", **change})


# ------------------------------------------------------------------------------------------------------------ shorten


def sequence(film, gaps=(3, 10, 30)):
    """The film's tokens in a longer sequence, text between them."""
    is_video = torch.ones(2, 36 + len(gaps), dtype=torch.bool)
    is_video[:, list(gaps)] = False
    embeds = torch.randn(2, is_video.shape[1], 8, generator=torch.Generator().manual_seed(1))
    return embeds.masked_scatter(is_video[..., None], film), is_video


def test_text_stays_and_groups_are_averaged_where_they_survive(film):
    embeds, is_video = sequence(film)
    merge = hosts.reduce_video_tokens(film, GRID, "uniform", gamma=3).merge
    positions = torch.stack([torch.arange(39) * k for k in (1, 10, 100)])[:, None].expand(3, 2, 39)
    short = hosts.shorten(embeds, is_video, merge, position_ids=positions)
    y = merge(film)
    for b in range(2):
        rows = iter(y[b])
        places = is_video[b].nonzero()[:, 0][merge.keep[b]].tolist()
        expected = [(i, next(rows) if i in places else embeds[b, i]) for i in range(39) if i in [3, 10, 30, *places]]
        assert short.keep[b].tolist() == [i for i, _ in expected]
        assert torch.equal(short.inputs_embeds[b], torch.stack([row for _, row in expected]))
        assert torch.equal(short.position_ids[1, b], 10 * short.keep[b])
    assert short.attention_mask.all() and short.next_position.tolist() == [3801, 3801]


def test_padding_stays_padding(film):
    embeds, is_video = sequence(film, gaps=(0, 37, 38))
    mask = torch.ones(2, 39, dtype=torch.long)
    mask[1, 38] = 0
    merge = hosts.reduce_video_tokens(film, GRID, "drop").merge
    short = hosts.shorten(embeds, is_video, merge, attention_mask=mask)
    assert short.attention_mask.tolist() == [[1] * 12, [1] * 11 + [0]]
    assert short.next_position.tolist() == [39, 38]


def test_items_that_keep_different_numbers(film):
    embeds, is_video = sequence(film)
    into = torch.arange(36).repeat(2, 1)
    into[0, 5:30], into[1, 34] = 4, 35
    short = hosts.shorten(embeds, is_video, Merge.of(into))
    assert short.attention_mask.sum(1).tolist() == [14, 38] and short.inputs_embeds.shape[1] == 38
    torch.testing.assert_close(short.inputs_embeds[0, short.keep[0].tolist().index(5)], film[0, 4:30].mean(0))
    assert short.keep[0, 13] == 38 and torch.equal(short.inputs_embeds[0, 13], embeds[0, 38])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"video_mask": torch.zeros(2, 39, dtype=torch.bool)}, r"marks \[0, 0\] tokens"),
        ({"video_mask": torch.zeros(2, 36, dtype=torch.bool)}, "video_mask has shape"),
        ({"position_ids": torch.zeros(3, 1, 39)}, r"position_ids has shape .* needs \(3, 2, 39\)"),
        ({"attention_mask": torch.zeros(2, 12)}, "attention_mask has shape"),
        ({"merge": Merge.identity(1, 36)}, "mark exactly those"),
    ],
)
def test_what_does_not_fit_the_sequence_is_named(film, change, words):
    embeds, is_video = sequence(film)
    given = {"inputs_embeds": embeds, "video_mask": is_video, "merge": Merge.identity(2, 36), **change}
    with pytest.raises(ValueError, match=words):
        hosts.shorten(**given)
