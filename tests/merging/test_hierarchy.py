"""Chunks of chunks: their lengths, what waits at most, and merges side by side."""

import pytest
import torch

from vtm_lesson.merging import Merge, match
from vtm_lesson.merging.hierarchy import chunk_lengths, most_held, side_by_side
from vtm_lesson.partition import uniform


@pytest.mark.parametrize(
    ("frames", "first", "ratio", "lengths"),
    [
        (3600, 6, 6, (6, 36, 216, 1296, 7776)),
        (6, 6, 6, (6,)),
        (7, 6, 2, (6, 12)),
        (1, 4, 3, (4,)),
        (64, 1, 4, (1, 4, 16, 64)),
    ],
)
def test_each_level_holds_as_many_chunks_as_the_ratio_until_one_holds_all(frames, first, ratio, lengths):
    assert chunk_lengths(frames, first, ratio) == lengths


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"first": 0}, {"ratio": 1}])
def test_lengths_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="1 or more, 2 or more"):
        chunk_lengths(**{"frames": 10, **wrong})


def test_most_held_by_hand():
    # Level 1: 12 tokens that are about to be merged. Levels 2 and 3: two of three parts each, of 4 tokens.
    assert most_held(keep=4, levels=3, ratio=3, chunk_tokens=12) == 12 + 2 * 2 * 4


@pytest.mark.parametrize("kind", ["plain", "dropped", "weight", "norm"])
def test_merges_side_by_side_give_what_each_gives(kind):
    torch.manual_seed(0)
    x = torch.randn(2, 21, 5)
    parts = list(x.split([9, 1, 11], 1))
    merges = [match(part, uniform(part.shape[1], 4)) for part in parts]
    if kind == "dropped":
        merges[2] = Merge(merges[2].group, merges[2].keep, torch.rand(2, 11) < 0.3)
    if kind == "weight":
        merges[0] = Merge(merges[0].group, merges[0].keep, weight=torch.rand(2, 9))
    if kind == "norm":
        merges = [Merge(merge.group, merge.keep, norm=True) for merge in merges]
    both = side_by_side(merges)
    expected = torch.cat([merge(part) for merge, part in zip(merges, parts, strict=True)], 1)
    torch.testing.assert_close(both(x), expected)
    torch.testing.assert_close(both.size(), torch.cat([merge.size() for merge in merges], 1))
    assert both.keep.diff(dim=1).min() > 0 and both.keep[0, -1] > 10, "positions are those of all tokens"


def test_a_merge_alone_stays_what_it_is_and_padding_is_refused():
    merge = match(torch.randn(1, 6, 2), uniform(6, 2))
    assert side_by_side([merge]) is merge
    ragged = Merge.of(torch.tensor([[0, 0, 2], [0, 1, 2]]))
    for wrong in ([], [merge, ragged]):
        with pytest.raises(ValueError, match="without"):
            side_by_side(wrong)
