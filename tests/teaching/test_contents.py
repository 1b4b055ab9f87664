"""What every exercise says of itself, and that there are enough of each kind."""

from collections import Counter

import pytest

from vtm_lesson import checks
from vtm_lesson.teaching.contents import LESSONS
from vtm_lesson.teaching.exercise import KINDS

NAMES = [name for _, names in LESSONS.values() for name in names]
EARLIER = 29  # exercises of the first edition


@pytest.mark.parametrize("name", NAMES)
def test_an_exercise_says_how_long_hard_and_important_it_is(name):
    exercise = getattr(checks, name)
    assert 1 <= exercise.minutes <= 15 and 1 <= exercise.difficulty <= 5 and 1 <= exercise.importance <= 5
    assert exercise.kind in KINDS and exercise.name == name


def test_a_lesson_has_four_exercises_or_more():
    few = {lesson: len(names) for lesson, (_, names) in LESSONS.items() if lesson[0].isdigit() and len(names) < 4}
    assert not few


def test_twenty_more_than_before_and_of_every_kind():
    kinds = Counter(getattr(checks, name).kind for name in NAMES)
    assert len(NAMES) >= EARLIER + 20 and len(set(NAMES)) == len(NAMES)
    assert set(kinds) == set(KINDS) and all(kinds[kind] >= 2 for kind in KINDS), kinds


@pytest.mark.parametrize("name", NAMES)
def test_hints_are_three_and_can_be_read_in_a_notebook_and_as_plain_text(name):
    hints = getattr(checks, name).hints
    assert len(hints) == 3
    for hint in hints:
        assert "$" not in hint and "</" not in hint, hint
        assert hint.count("`") % 2 == 0, hint
        outside = "".join(hint.split("`")[::2])
        assert "_" not in outside and "*" not in outside, f"{name}: code stands in backticks: {hint}"


def test_an_exercise_that_is_read_off_takes_no_arguments():
    for name in NAMES:
        exercise = getattr(checks, name)
        if exercise.kind == "read":
            assert [arguments for _, arguments in exercise.cases()] == [()], name
        if exercise.kind == "design":
            assert exercise.judge is not None, name
            for _, arguments in exercise.cases():
                assert exercise.judge(exercise.answer(*arguments), *arguments) is None, name
