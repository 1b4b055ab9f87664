"""The minutes that lessons and README state are those that are counted."""

import json

import pytest

import build_lessons
import lesson_times
from vtm_lesson.teaching.contents import LESSONS

PAGE = (build_lessons.ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rows():
    return lesson_times.table()


@pytest.mark.parametrize("name", LESSONS)
def test_the_lesson_and_the_readme_say_the_minutes_that_are_counted(rows, name):
    assert lesson_times.stated(name) == rows[name]["minutes"] == lesson_times.in_readme(name, PAGE)


def test_minutes_come_from_words_code_figures_guesses_exercises_and_the_run():
    nothing = dict.fromkeys(("words", "lines", "figures", "predictions", "exercises"), 0)
    one = {"words": 2000, "lines": 150, "figures": 20, "predictions": 10, "exercises": 10}
    assert [lesson_times.minutes({**nothing, name: value}, 0) for name, value in one.items()] == [10] * 5
    assert lesson_times.minutes(nothing, 600) == 10 and lesson_times.minutes(one, 600) == 60


def test_hints_and_solutions_are_not_counted():
    nb = build_lessons.read_source(build_lessons.find_sources(["02"], build_lessons.ROOT / "notebooks" / "source")[0])
    hints = sum(len(cell.source.split()) for cell in nb.cells if "hint" in cell.metadata.get("tags", []))
    every = sum(len(cell.source.split()) for cell in nb.cells if cell.cell_type == "markdown")
    assert hints > 100
    name = "02_bipartite_matching"
    work = build_lessons.load(build_lessons.ROOT / "notebooks" / "exercises" / f"{name}.ipynb")
    printed = lesson_times.counted(name)["words"]
    assert work is not None and 0 < printed < every


def test_writing_puts_the_minutes_where_they_are_looked_for(monkeypatch, tmp_path):
    (tmp_path / "notebooks" / "source").mkdir(parents=True)
    source = tmp_path / "notebooks" / "source" / "00_one.py"
    source.write_text("# # 00 One\n#\n# **Time** 5 minutes · 7 minutes\n")
    (tmp_path / "README.md").write_text(
        "| 00 | [One](notebooks/00_one.ipynb) | Why? | 5 min |\n| 01 | [T](x) | ? | 5 min |\n"
    )
    monkeypatch.setattr(lesson_times, "ROOT", tmp_path)
    monkeypatch.setattr(lesson_times, "NOTEBOOKS", tmp_path / "notebooks")
    lesson_times.write({"00_one": {"minutes": 35}})
    assert lesson_times.stated("00_one") == 35 and "7 minutes" in source.read_text()
    page = (tmp_path / "README.md").read_text()
    assert lesson_times.in_readme("00_one", page) == 35 and page.count("5 min") == 2


def test_some_lessons_are_measured_and_the_others_keep_their_seconds(tmp_path, monkeypatch):
    stored = tmp_path / "run_seconds.json"
    stored.write_text(json.dumps({"seconds": dict.fromkeys(lesson_times.LESSONS, 5.0)}))
    monkeypatch.setattr(lesson_times, "STORED", stored)
    run = []
    monkeypatch.setattr(lesson_times.build_lessons, "execute", lambda _, name, folder: run.append(name))
    lesson_times.measure(["A", "05"])
    seconds = json.loads(stored.read_text())["seconds"]
    assert run == ["05_region_concentrated", "A_attention_in_pictures"] and list(seconds) == list(lesson_times.LESSONS)
    assert {name for name, value in seconds.items() if value != 5.0} == set(run)
    with pytest.raises(SystemExit, match="no lesson is called 77"):
        lesson_times.measure(["77"])
