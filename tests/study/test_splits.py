"""What belongs together is never on both sides, and the interval knows how many groups there are."""

import numpy as np
import pytest
import torch

from vtm_lesson.datasets.lists import Entry, ListError
from vtm_lesson.study.splits import Grouped, bootstrap, folds, grouped, neighbours

# Three sessions of one day, two classes by turns in each.
MOMENTS = ("100000", "100130", "100300", "100500", "110000", "110200", "110500", "110800", "120000", "120100")
ENTRIES = [Entry(f"pose{i % 2}/VID20250127{moment}.mp4", i % 2) for i, moment in enumerate(MOMENTS)]
LABELS = np.array([entry.label for entry in ENTRIES])


def test_sessions_come_from_the_dates_in_the_names():
    found = grouped(ENTRIES, gap=10)
    assert found.by == "time" and found.splits == ("time", "group", "random")
    assert found.group.tolist() == [0] * 4 + [1] * 4 + [2] * 2
    assert grouped(ENTRIES, gap=2.5).group.max() == 4
    assert grouped([ENTRIES[3], ENTRIES[0], ENTRIES[1]]).order.tolist() == [2, 0, 1]


def test_other_forms_of_dates_and_what_is_none():
    for stem in ("2025-01-27 10.00.00", "PXL_20250127_100000123", "2025_01_27-10-00-00"):
        assert grouped([Entry(f"a/{stem}.mp4", 0), Entry("b/20250127100100.mp4", 1)]).by == "time"
    assert grouped([Entry("a/20251327100000.mp4", 0), Entry("b/1.mp4", 1)]).by == "number"  # no 13th month
    assert grouped([Entry("a/one.mp4", 0), Entry("b/two.mp4", 1)]).splits == ("random",)


def test_groups_of_a_table_and_of_a_pattern():
    rows = [Entry("p1_a", 0, group="p1"), Entry("p2_a", 1, group="p2"), Entry("p1_b", 1, group="p1")]
    assert grouped(rows).group.tolist() == [0, 1, 0]
    assert grouped([Entry(row.id, row.label) for row in rows], pattern=r"^(p\d)").group.tolist() == [0, 1, 0]
    with pytest.raises(ListError, match="1 clips have no group, c the first"):
        grouped([*rows, Entry("c", 0)])
    with pytest.raises(ListError, match="give one with a bracket"):
        grouped(rows, pattern="p")


@pytest.mark.parametrize("kind", ["time", "group"])
def test_no_session_is_on_both_sides(kind):
    known = grouped(ENTRIES)
    made = folds(kind, LABELS, known, k=3)
    assert sorted(np.concatenate([test for _, test in made]).tolist()) == list(range(10))
    for train, test in made:
        assert not set(known.group[train]) & set(known.group[test])
        assert sorted([*train, *test]) == list(range(10))


def test_time_cuts_between_sessions_where_shares_are_most_equal():
    known = grouped(ENTRIES)
    assert [len(test) for _, test in folds("time", LABELS, known, k=2)] == [4, 6]
    uneven = Grouped("time", np.array([0, 1, 1, 1, 1, 2, 2]), np.arange(7))
    assert [len(test) for _, test in folds("time", LABELS[:7], uneven, k=2)] == [5, 2]  # 5 is nearer to half than 1
    assert [len(test) for _, test in folds("time", LABELS, known, k=9)] == [4, 4, 2]  # no more than there are sessions


def test_random_splits_part_what_was_recorded_together():
    known = grouped(ENTRIES)
    made = folds("random", LABELS, known, k=2, seed=0)
    assert any(set(known.group[train]) & set(known.group[test]) for train, test in made)
    other = folds("random", LABELS, known, k=2, seed=1)
    assert [test.tolist() for _, test in made] != [test.tolist() for _, test in other]


def test_number_keeps_neighbours_of_a_class_together():
    entries = [Entry(f"{name}/{name}{number:03d}.mp4", k) for k, name in enumerate("ab") for number in (9, 2, 30, 11)]
    known, labels = grouped(entries), np.repeat([0, 1], 4)
    assert known.by == "number" and known.group.tolist() == [0] * 4 + [1] * 4  # a guess: four of a class
    tests = [test.tolist() for _, test in folds("number", labels, known, k=2)]
    assert tests == [[0, 1, 4, 5], [2, 3, 6, 7]]  # 2 and 9, then 11 and 30


def test_what_cannot_be_split_is_told():
    alone = Grouped("group", np.zeros(4, int), np.arange(4))
    with pytest.raises(ValueError, match="all 4 clips are of one group"):
        folds("group", np.array([0, 1, 0, 1]), alone)
    apart = Grouped("time", np.array([0, 0, 1, 1]), np.arange(4))
    with pytest.raises(ValueError, match="missing in the training of a fold by time"):
        folds("time", np.array([0, 0, 1, 1]), apart, k=2)
    with pytest.raises(ValueError, match="'day' is none of them"):
        folds("day", LABELS, apart)


def test_intervals_are_of_groups_not_of_clips():
    """Forty clips in four sessions that are all right or all wrong are four trials, not forty."""
    right = np.repeat([1.0, 1.0, 0.0, 1.0], 10)
    mean, low, high = bootstrap(right, np.repeat(np.arange(4), 10))
    assert mean == 0.75 and high - low > 0.7
    mean, low, high = bootstrap(right, np.arange(40))
    assert mean == 0.75 and high - low < 0.3
    assert bootstrap(right, np.arange(40), right) == (0.0, 0.0, 0.0)


def test_do_clips_of_one_group_look_alike():
    generator = torch.Generator().manual_seed(0)
    group = np.repeat(np.arange(6), 5)
    sessions = torch.randn(6, 20, generator=generator)
    noise = torch.randn(30, 20, generator=generator)
    known = Grouped("group", group, np.arange(30))
    found = neighbours(sessions[group] + 0.1 * noise, np.arange(30) % 5, known)
    assert found["together"] == 1.0 and found["chance"] == pytest.approx(4 / 29, abs=1e-4)
    assert found["label_inside"] == 0.0  # every label is once in each group
    assert neighbours(noise, np.arange(30) % 5, known)["together"] < 0.5
