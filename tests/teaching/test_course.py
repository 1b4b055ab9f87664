"""The map of the course: all lessons of the table are on it, others are still to come, and nothing leaves its box."""

import re
from pathlib import Path

import pytest

from vtm_lesson import checks
from vtm_lesson.teaching import contents, course

SOURCES = Path(__file__).resolve().parents[2] / "notebooks" / "source"
WRITTEN = [lesson.split("_")[0] for lesson in contents.LESSONS]
PLANNED = [number for lessons in contents.PARTS.values() for number in lessons] + list(contents.APPENDICES)


def test_every_lesson_has_its_place_on_the_map():
    assert set(WRITTEN) <= set(PLANNED) and len(set(PLANNED)) == len(PLANNED)
    numbers = [number for number in PLANNED if number.isdigit()]
    assert numbers == [f"{i:02}" for i in range(len(numbers))]


def test_a_lesson_that_is_written_is_no_longer_to_come(monkeypatch):
    missing = [number for number in PLANNED if number not in WRITTEN]
    said = re.findall(r"(\w+) [^.,:]*? \(to come\)", checks.course_map("00").alt)
    assert said == missing
    monkeypatch.setattr(course, "LESSONS", dict.fromkeys(PLANNED, ("", ())))
    assert "to come" not in checks.course_map("13").alt


@pytest.mark.parametrize("here", WRITTEN)
def test_every_name_fits_its_box_filled_or_not(here):
    fig = checks.course_map(here)
    fig.draw_without_rendering()
    ax = fig.axes[0]
    boxes = [box.get_window_extent() for box in ax.patches if hasattr(box, "get_boxstyle")]
    named = [text for text in ax.texts if re.match(r"(\d\d\n|[A-Z] )", text.get_text())]
    assert len(named) == len(PLANNED)
    for text in named:
        room = text.get_window_extent()
        assert any(b.x0 <= room.x0 and room.x1 <= b.x1 and b.y0 <= room.y0 and room.y1 <= b.y1 for b in boxes), text
    assert fig.alt.endswith(".") and f"You are at {here}," in fig.alt


def test_outside_of_the_lessons_nobody_is_anywhere():
    fig = checks.course_map()
    assert "You are" not in fig.alt and "you are here" not in [text.get_text() for text in fig.axes[0].texts]


@pytest.mark.parametrize("here", ["99", "", "Z"])
def test_where_nobody_can_be(here):
    with pytest.raises(ValueError, match="here is one of 00"):
        checks.course_map(here)


@pytest.mark.parametrize("lesson", contents.LESSONS)
def test_every_lesson_shows_the_map_on_its_first_screen(lesson):
    cells = (SOURCES / f"{lesson}.py").read_text(encoding="utf-8").split("\n# %%")
    assert cells[1].strip().splitlines()[-1] == f'plots.show(checks.course_map("{lesson.split("_")[0]}"))'
