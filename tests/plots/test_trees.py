"""Trees of chunks and time lines draw what they are given, and say it."""

import pytest

from vtm_lesson import plots


def test_a_tree_says_what_waits_at_each_level():
    alt = plots.chunk_tree(3, 3, 7, ["6 s", "18 s", "54 s"]).alt
    assert "Level 1 (6 s): 6 merged on, 1 waits, 2 to come" in alt
    assert "Level 2 (18 s): 0 merged on, 2 wait, 1 to come" in alt and "Level 3 (54 s): 0 merged on, 0 wait, 1" in alt


@pytest.mark.parametrize("wrong", [(1, 3, 0, 3), (3, 5, 0, 5), (2, 2, 3, 2), (2, 2, 1, 1), (6, 3, 0, 3)])
def test_a_tree_out_of_range_is_refused(wrong):
    ratio, levels, seen, captions = wrong
    with pytest.raises(ValueError, match="2 to 6"):
        plots.chunk_tree(ratio, levels, seen, ["level"] * captions)


def test_a_time_line_counts_the_marked_seconds():
    assert "chance: 2 of 4 tokens" in plots.timeline({"chance": [0.0, 10, 11, 12]}, 60, (10, 12)).alt
    assert "chance: 1 tokens" in plots.timeline({"chance": [5.0]}, 60).alt


@pytest.mark.parametrize("kept", [{}, {"late": [61.0]}, {"early": [-1.0]}, {"flat": [[1.0]]}])
def test_a_time_line_refuses_what_is_not_in_the_film(kept):
    with pytest.raises(ValueError, match="one name or more"):
        plots.timeline(kept, 60)
