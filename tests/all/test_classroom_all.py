"""A class on nbgrader, all lessons: a perfect submission has all marks, a blank one none; what one takes is printed.

Of most lessons the exercises alone. With VTM_CLASSROOM=whole in the environment, whole notebooks, which takes longer.
"""

import json
import os
import sys
from pathlib import Path

import nbformat
import pytest

from vtm_lesson.teaching.contents import LESSONS

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from helpers import exercises_of

import build_lessons
import classroom as commands

NAMES = [path.stem for path in build_lessons.find_sources([], build_lessons.ROOT / "notebooks" / "source")]
MARKED = [name for name in NAMES if LESSONS.get(name, ("", ()))[1]]
# Their exercises use what cells between them define.
WHOLE = ("02_bipartite_matching", "03_tome_in_a_vit", "07_learnable", "12_real_datasets")
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="nbgrader has no Windows"),
    pytest.mark.filterwarnings("ignore:Object of type <Submitted"),  # nbgrader's own use of its database
]


@pytest.mark.parametrize("lesson", MARKED)
def test_all_marks_or_none(lesson, tmp_path, capsys):
    from nbgrader.api import Gradebook

    number = lesson.split("_")[0]
    assert commands.main(["make", number, "--folder", str(tmp_path)]) == 0
    blank = nbformat.read(tmp_path / "release" / lesson / f"{lesson}.ipynb", as_version=4)
    perfect = nbformat.read(tmp_path / "source" / lesson / f"{lesson}.ipynb", as_version=4)
    assert "HIDDEN" not in json.dumps(blank)
    for cell in perfect.cells:
        cell.source = "\n".join(line for line in cell.source.split("\n") if not build_lessons.MARKS.match(line))
    for student, nb in {"perfect": perfect, "blank": blank}.items():
        folder = tmp_path / "submitted" / student / lesson
        folder.mkdir(parents=True)
        whole = lesson in WHOLE or os.environ.get("VTM_CLASSROOM") == "whole"
        nbformat.write(nb if whole else exercises_of(nb), folder / f"{lesson}.ipynb")
    assert commands.main(["grade", number, "--folder", str(tmp_path)]) == 0
    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}") as book:
        of = book.find_assignment(lesson).max_score
        marks = {student: book.find_submission(lesson, student).score for student in ("perfect", "blank")}
    notes = {student: json.loads((tmp_path / "look" / lesson / f"{student}.json").read_text()) for student in marks}
    seconds = {student: note["seconds"] for student, note in notes.items()}
    with capsys.disabled():
        print(f"\n{lesson}: {of:g} marks; perfect {seconds['perfect']:.0f} s, blank {seconds['blank']:.0f} s")
    assert of > 0
    assert marks == {"perfect": of, "blank": 0}
