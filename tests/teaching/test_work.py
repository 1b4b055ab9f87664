"""The learner's own folder: nothing of theirs is lost, whatever the course does and whenever the copying stops."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import build_lessons
from vtm_lesson import paths
from vtm_lesson.teaching import work
from vtm_lesson.teaching.contents import LESSONS

ROOT = Path(__file__).resolve().parents[2]
STUB = f"def f(x):\n    {build_lessons.STUB.splitlines()[1]}"


# ------------------------------------------------------------------------------------------------------ a small course


def cell(kind: str, source: str, name: str = "", solution: bool = False) -> dict:
    made = {"cell_type": kind, "id": name or f"c{work.digest(source)}", "metadata": {}, "source": source}
    if kind == "code":
        made |= {"execution_count": None, "outputs": []}
    if name:
        made["metadata"]["nbgrader"] = {"grade_id": name, "solution": solution, "grade": not solution}
    return made


def lesson(name: str, exercises: dict[str, str], words: str = "Merge.", solved: bool = False) -> dict:
    """A lesson as the builder makes it; exercises: name -> code as it is handed out."""
    other = f"exercises/{name}.ipynb" if solved else f"../{name}.ipynb"
    cells = [
        cell("markdown", f"# {name}\n\nThe [other kind]({other}), [next](01_next.ipynb)."),
        cell("markdown", words),
    ]
    for exercise, stub in exercises.items():
        cells += [
            cell("code", stub, exercise, solution=True),
            cell("code", f"check('{exercise}')", f"{exercise}-check"),
        ]
    nb = {"cells": cells, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}
    nb["metadata"]["vtm_lesson"] = {"whole": work.whole_digest(nb)}
    return nb


class Course:
    """A checkout with lessons in it, and the folder of its learner."""

    def __init__(self, top: Path):
        self.notebooks, self.work = top / "notebooks", top / "work"
        (self.notebooks / "exercises").mkdir(parents=True)

    def ship(self, name: str, exercises: dict[str, str], words: str = "Merge.") -> None:
        for folder, solved in (("exercises", False), ("", True)):
            nb = lesson(name, exercises, words, solved)
            (self.notebooks / folder / f"{name}.ipynb").write_bytes(work.written(nb))

    def drop(self, name: str) -> None:
        for folder in ("exercises", ""):
            (self.notebooks / folder / f"{name}.ipynb").unlink()

    def update(self) -> list[str]:
        said: list[str] = []
        work.update(self.work, self.notebooks, said.append)
        return said

    def nb(self, name: str) -> dict:
        found = work.parse((self.work / name).read_bytes())
        assert found is not None, name
        return found

    def edit(self, name: str, change) -> bytes:
        """What a learner does in JupyterLab, which then saves; returns the bytes of their file."""
        nb = self.nb(name)
        change(nb)
        (self.work / name).write_bytes(work.written(nb))
        return (self.work / name).read_bytes()

    def answer(self, name: str, exercise: str, code: str) -> bytes:
        return self.edit(name, lambda nb: work.exercise_cells(nb)[exercise].update(source=code))

    def files(self) -> dict[str, bytes]:
        """All of the learner's notebooks, by name."""
        return {p.relative_to(self.work).as_posix(): p.read_bytes() for p in self.work.rglob("*.ipynb")}


@pytest.fixture
def course(tmp_path: Path) -> Course:
    made = Course(tmp_path)
    made.ship("00_start", {"mean": STUB})
    made.ship("01_next", {"cost": STUB, "frames": STUB})
    return made


def source(nb: dict, exercise: str) -> str:
    return work.exercise_cells(nb)[exercise]["source"]


# ---------------------------------------------------------------------------------------------------- the first copies


def test_the_first_start_copies_both_editions_under_names_that_a_tab_tells_apart(course):
    (said,) = course.update()
    assert str(course.work) in said
    lessons = {"00_start.ipynb", "01_next.ipynb", "solved/00_solved_start.ipynb", "solved/01_solved_next.ipynb"}
    assert set(course.files()) == lessons
    before = course.files()
    assert course.update() == [] and course.files() == before, "the second start has nothing to do"


def test_links_go_on_working(course):
    course.update()
    for name in course.files():
        text = course.nb(name)["cells"][0]["source"]
        found = re.findall(r"\]\(([^)]+)\)", text)
        assert len(found) == 2 and all((course.work / name).parent.joinpath(link).is_file() for link in found)
    first, solved = (
        course.nb(name)["cells"][0]["source"] for name in ("00_start.ipynb", "solved/00_solved_start.ipynb")
    )
    assert "(solved/00_solved_start.ipynb), [next](01_next.ipynb)" in first
    assert "(../00_start.ipynb), [next](01_solved_next.ipynb)" in solved


def test_a_link_that_leads_out_is_kept_where_it_can_be_followed_and_is_words_elsewhere(course, tmp_path):
    (tmp_path / "README.md").touch()
    links = "[00_start.ipynb](00_start.ipynb) [table](../README.md#here) <img src='00_start.ipynb'>"
    links += " [r](https://r.example/) [up](#top)"
    nb = {"cells": [cell("markdown", links)], "metadata": {}}
    at = {course.notebooks / "00_start.ipynb": course.work / "solved" / "00_solved_start.ipynb"}
    args = (course.notebooks / "09_x.ipynb", course.work / "09_x.ipynb", at)
    inside = work.relinked(nb, *args, root=tmp_path)["cells"][0]["source"]
    assert inside == links.replace("00_start", "solved/00_solved_start"), "also where the link's words are its path"
    outside = work.relinked(nb, *args, root=course.work)["cells"][0]["source"]
    assert outside == inside.replace("[table](../README.md#here)", "table")


# --------------------------------------------------------------------------- the course moves on under a learner


def test_a_scripted_learner_loses_nothing(course):
    """Solves, writes, runs; then the course changes, renames and moves exercises, adds a lesson and takes one away."""
    course.ship("02_third", {"third": STUB})
    course.ship("03_last", {"last": STUB})
    course.update()
    theirs = {"02_third.ipynb": course.answer("02_third.ipynb", "third", "def f(x):\n    return 3")}
    theirs["00_start.ipynb"] = course.answer("00_start.ipynb", "mean", "def f(x):\n    return x.mean()")

    def work_through(nb):
        work.exercise_cells(nb)["cost"]["source"] = "def f(x):\n    return 4 * x"
        work.exercise_cells(nb)["frames"]["source"] = "def f(x):\n    return 2"
        nb["cells"][1]["source"] += "\n\n*My guess:* twelve"
        nb["cells"].append(cell("code", "mine = 1"))
        nb["cells"][-1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "mine\n"}]

    theirs["01_next.ipynb"] = course.edit("01_next.ipynb", work_through)
    theirs["my own.ipynb"] = theirs["01_next.ipynb"]
    (course.work / "my own.ipynb").write_bytes(theirs["my own.ipynb"])
    (course.work / "02_third-Copy1.ipynb").write_bytes(b"half a notebook {")
    theirs["02_third-Copy1.ipynb"] = b"half a notebook {"

    course.ship("00_start", {"mean": STUB}, "Merge, and look.")  # a changed lesson
    course.ship("01_next", {"cost": STUB, "fits": STUB}, "Count.")  # a renamed exercise
    course.drop("02_third")  # a renamed lesson
    course.ship("02_three", {"third": STUB})
    course.drop("03_last")  # a lesson removed
    course.ship("04_new", {"new": STUB, "frames": STUB})  # a new lesson, with an exercise that stood in another one
    said = course.update()

    for name, data in theirs.items():
        assert (course.work / name).read_bytes() == data, name
    assert (course.work / "03_last.ipynb").is_file() and (course.work / "solved/02_solved_third.ipynb").is_file()
    new = course.nb("01_next.new.ipynb")
    assert source(new, "cost") == "def f(x):\n    return 4 * x" and source(new, "fits") == STUB
    assert new["cells"][1]["source"] == "Count."
    assert source(course.nb("00_start.new.ipynb"), "mean") == "def f(x):\n    return x.mean()"
    assert source(course.nb("02_three.ipynb"), "third") == "def f(x):\n    return 3", "a new name costs no answer"
    assert source(course.nb("04_new.ipynb"), "frames") == "def f(x):\n    return 2", "nor does another lesson"
    assert source(course.nb("04_new.ipynb"), "new") == STUB
    lines = {line.split(":")[0].split(" ")[0]: line for line in said}
    assert len(lines) == len(said), "one line a file"
    assert "exercises fits" in lines["01_next.ipynb"] and "01_next.new.ipynb" in lines["01_next.ipynb"]
    assert "Your answers are in it: cost." in lines["01_next.ipynb"] and "went: frames." in lines["01_next.ipynb"]
    assert {"02_third.ipynb", "03_last.ipynb", "02_three.ipynb", "04_new.ipynb", "00_start.ipynb"} <= set(lines)
    before = course.files()
    assert course.update() == [] and course.files() == before


def test_a_file_with_nothing_of_the_learners_in_it_is_renewed(course):
    course.update()

    def saved_by_jupyterlab(nb):
        nb["metadata"]["kernelspec"] = {"display_name": "Python 3", "name": "python3"}
        nb["metadata"]["language_info"] = {"name": "python", "version": "3.11.7", "pygments_lexer": "ipython3"}

    course.edit("00_start.ipynb", saved_by_jupyterlab)
    lines = json.dumps(course.nb("00_start.ipynb"))  # another layout, other spaces
    (course.work / "00_start.ipynb").write_text(lines)
    course.ship("00_start", {"mean": STUB}, "Merge, and look.")
    said = course.update()
    assert course.nb("00_start.ipynb")["cells"][1]["source"] == "Merge, and look."
    assert course.nb("solved/00_solved_start.ipynb")["cells"][1]["source"] == "Merge, and look."
    assert not list(course.work.rglob("*.new*")) and len(said) == 2 and "renewed" in said[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda nb: nb["cells"][1].update(source="Merge. Why?"),
        lambda nb: nb["cells"][2].update(execution_count=1),
        lambda nb: nb["cells"][2]["outputs"].append({"output_type": "stream", "name": "stdout", "text": "1"}),
        lambda nb: nb["cells"][1]["metadata"].update(tags=["mine"]),
        lambda nb: nb["cells"][1].update(attachments={"a.png": {"image/png": "aGk="}}),
        lambda nb: nb["metadata"].update(title="mine"),
        lambda nb: nb["cells"].pop(),
    ],
    ids=["text", "run", "output", "tag", "picture", "title", "deleted"],
)
def test_the_smallest_trace_of_a_learner_keeps_a_file(course, change):
    course.update()
    theirs = course.edit("00_start.ipynb", change)
    course.ship("00_start", {"mean": STUB}, "Merge, and look.")
    course.update()
    assert (course.work / "00_start.ipynb").read_bytes() == theirs
    assert course.nb("00_start.new.ipynb")["cells"][1]["source"] == "Merge, and look."


def test_new_results_of_a_lesson_reach_only_a_copy_that_nobody_touched(course):
    course.update()
    theirs = course.edit("solved/01_solved_next.ipynb", lambda nb: nb["cells"].append(cell("code", "mine")))
    for name in ("00_start", "01_next"):
        path = course.notebooks / f"{name}.ipynb"
        nb = work.parse(path.read_bytes())
        nb["cells"][2]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "0.5 s\n"}]
        nb["metadata"]["vtm_lesson"] = {"whole": work.whole_digest(nb)}
        path.write_bytes(work.written(nb))
    assert course.update() == []
    assert course.nb("solved/00_solved_start.ipynb")["cells"][2]["outputs"]
    assert (course.work / "solved/01_solved_next.ipynb").read_bytes() == theirs
    assert not list(course.work.rglob("*.new*"))


def test_answers_never_go_into_the_solved_lesson(course):
    course.update()
    course.answer("00_start.ipynb", "mean", "def f(x):\n    return 'mine'")
    course.ship("00_start", {"mean": STUB}, "Merge, and look.")
    course.update()
    assert source(course.nb("solved/00_solved_start.ipynb"), "mean") == STUB
    course.answer("solved/00_solved_start.ipynb", "mean", "def f(x):\n    return 'tried'")
    course.ship("00_start", {"mean": STUB}, "Merge, and think.")
    course.update()
    assert source(course.nb("solved/00_solved_start.new.ipynb"), "mean") == STUB
    assert source(course.nb("00_start.new.ipynb"), "mean") == "def f(x):\n    return 'mine'"


def test_the_new_file_is_renewed_until_the_learner_works_in_it(course):
    course.update()
    first = course.answer("01_next.ipynb", "cost", "def f(x):\n    return 1")
    for words in ("Two.", "Three."):
        course.ship("01_next", {"cost": STUB, "frames": STUB}, words)
        course.update()
    assert not (course.work / "01_next.new2.ipynb").exists()
    second = course.answer("01_next.new.ipynb", "frames", "def f(x):\n    return 2")
    course.ship("01_next", {"cost": STUB, "frames": STUB}, "Four.")
    course.update()
    assert (course.work / "01_next.ipynb").read_bytes() == first
    assert (course.work / "01_next.new.ipynb").read_bytes() == second
    newest = course.nb("01_next.new2.ipynb")
    assert newest["cells"][1]["source"] == "Four."
    assert (source(newest, "cost"), source(newest, "frames")) == ("def f(x):\n    return 1", "def f(x):\n    return 2")


def test_an_answer_that_was_carried_over_outlives_its_old_file_and_its_exercise(course):
    course.update()
    course.answer("01_next.ipynb", "cost", "def f(x):\n    return 1")
    course.ship("01_next", {"cost": STUB, "frames": STUB}, "Two.")
    course.update()
    (course.work / "01_next.ipynb").unlink()
    (course.work / "01_next.new.ipynb").rename(course.work / "01_next.ipynb")
    kept = (course.work / "01_next.ipynb").read_bytes()
    assert course.update() == [] and (course.work / "01_next.ipynb").read_bytes() == kept
    course.ship("01_next", {"price": STUB, "frames": STUB}, "Three.")  # and their answer has no place in the new one
    course.update()
    assert (course.work / "01_next.ipynb").read_bytes() == kept
    course.ship("01_next", {"cost": STUB, "frames": STUB}, "Four.")
    course.update()
    assert source(course.nb("01_next.new.ipynb"), "cost") == "def f(x):\n    return 1"


def test_of_two_answers_the_one_in_the_newer_file_is_carried_over(course):
    course.update()
    course.answer("00_start.ipynb", "mean", "def f(x):\n    return 1")
    course.ship("00_start", {"mean": STUB}, "Two.")
    course.update()
    course.answer("00_start.new.ipynb", "mean", f"def f(x):\n    y = 2  # half of it\n    {STUB.splitlines()[1]}")
    course.ship("00_start", {"mean": STUB}, "Three.")
    course.update()
    assert "half of it" in source(course.nb("00_start.new2.ipynb"), "mean")
    (course.work / "00_start.ipynb").unlink()
    course.update()
    assert "half of it" in source(course.nb("00_start.ipynb"), "mean"), "links lead to this name, so it is there again"


def ask(course: Course, name: str, question: str, words: str) -> None:
    """A lesson in which something is to be guessed, in words and in code."""
    nb = lesson(name, {"mean": STUB}, words)
    in_words = cell("markdown", f"{question}\n\n*My guess:*")
    in_words["metadata"]["tags"] = ["prediction"]
    nb["cells"] += [in_words, cell("code", f'checks.predict("{question}", ...)')]
    del nb["metadata"]["vtm_lesson"]
    nb["metadata"]["vtm_lesson"] = {"whole": work.whole_digest(nb)}
    (course.notebooks / "exercises" / f"{name}.ipynb").write_bytes(work.written(nb))


def guess(nb: dict) -> None:
    nb["cells"][-2]["source"] += " twelve"
    nb["cells"][-1]["source"] = nb["cells"][-1]["source"].replace("...", "12")


def test_guesses_are_carried_over_where_the_question_is_still_there(course):
    ask(course, "00_start", "How many?", "Merge.")
    course.update()
    theirs = course.edit("00_start.ipynb", guess)
    ask(course, "00_start", "How many?", "Merge, and look.")
    (line,) = course.update()
    new = course.nb("00_start.new.ipynb")
    assert new["cells"][-2]["source"].endswith("*My guess:* twelve") and "12)" in new["cells"][-1]["source"]
    assert "Your guesses are in it: 2." in line and "exercises" not in line
    assert (course.work / "00_start.ipynb").read_bytes() == theirs
    assert course.update() == []


def test_a_guess_is_not_put_under_another_question(course):
    ask(course, "00_start", "How many?", "Merge.")
    course.update()
    course.edit("00_start.ipynb", guess)
    ask(course, "00_start", "How much?", "Merge.")
    (line,) = course.update()
    new = course.nb("00_start.new.ipynb")
    assert new["cells"][-2]["source"].endswith("*My guess:*") and "..." in new["cells"][-1]["source"]
    assert "the question changed: 2 of your guesses" in line


def test_a_stub_that_the_course_rewrote_is_no_answer(course):
    course.update()
    course.edit("00_start.ipynb", lambda nb: nb["cells"].append(cell("code", "mine")))
    better = STUB.replace("f(x)", "f(x, axis)")
    course.ship("00_start", {"mean": better})
    (line, _) = course.update()
    assert source(course.nb("00_start.new.ipynb"), "mean") == better and "exercises mean" in line


def test_what_the_learner_put_away_does_not_come_back(course):
    course.update()
    course.answer("00_start.ipynb", "mean", "def f(x):\n    return 0")
    course.ship("00_start", {"mean": STUB}, "Merge, and look.")
    course.update()
    (course.work / "00_start.new.ipynb").unlink()
    assert course.update() == [] and not (course.work / "00_start.new.ipynb").exists()
    (course.work / "01_next.ipynb").unlink()  # but a lesson is there to be begun again
    assert course.update() == ["01_next.ipynb: new here."] and source(course.nb("01_next.ipynb"), "cost") == STUB


def test_work_in_the_courses_own_notebook_goes_along_and_stays_theirs(course):
    """As before there was a folder of their own: solved in notebooks/exercises, the rebuilt lesson beside it."""
    path = course.notebooks / "exercises" / "00_start.ipynb"
    nb = work.parse(path.read_bytes())
    work.exercise_cells(nb)["mean"]["source"] = "def f(x):\n    return 'old'"
    path.write_bytes(work.written(nb))
    course.update()
    assert source(course.nb("00_start.ipynb"), "mean") == "def f(x):\n    return 'old'"
    assert course.update() == [], "and what they write there later asks nothing"
    theirs = (course.work / "00_start.ipynb").read_bytes()
    built = lesson("00_start", {"mean": STUB}, "Merge, and look.")
    path.with_suffix(".new.ipynb").write_bytes(work.written(built))
    course.update()
    assert (course.work / "00_start.ipynb").read_bytes() == theirs
    assert source(course.nb("00_start.new.ipynb"), "mean") == "def f(x):\n    return 'old'"


@pytest.mark.parametrize("damaged", [b"", b"[]", b"{", b'{"seen": 3}'])
def test_a_damaged_record_costs_nothing(course, damaged):
    course.update()
    theirs = course.answer("00_start.ipynb", "mean", "def f(x):\n    return 0")
    before = course.files()
    (course.work / work.STATE).write_bytes(damaged)
    assert course.update() == [] and course.files() == before and theirs in before.values()
    assert json.loads((course.work / work.STATE).read_bytes())["seen"]


@pytest.mark.parametrize("nonsense", [b"", b"{", b"3", b'{"cells": 3}', b'{"cells": [3], "metadata": {}}', b"\xff\xfe"])
def test_a_file_that_is_no_notebook_is_the_learners(course, nonsense):
    course.update()
    (course.work / "00_start.ipynb").write_bytes(nonsense)
    course.ship("00_start", {"mean": STUB}, "Merge, and look.")
    course.update()
    assert (course.work / "00_start.ipynb").read_bytes() == nonsense
    assert course.nb("00_start.new.ipynb")["cells"][1]["source"] == "Merge, and look."


# ----------------------------------------------------------------------------------- stopped, and all at once


class Killed(BaseException):
    """As a process that is killed: nothing after it happens."""


def moved_on(course: Course) -> dict[str, bytes]:
    """A course that changed under a learner, whose files are returned."""
    course.update()
    theirs = {"00_start.ipynb": course.answer("00_start.ipynb", "mean", "def f(x):\n    return 0")}
    course.ship("00_start", {"mean": STUB}, "Merge, and look.")
    course.ship("01_next", {"cost": STUB, "frames": STUB}, "Two.")
    course.ship("02_third", {"third": STUB})
    return theirs


def assert_whole(course: Course, theirs: dict[str, bytes]) -> None:
    for name, data in course.files().items():
        assert work.parse(data) is not None, f"{name} is half a notebook"
    for name, data in theirs.items():
        assert (course.work / name).read_bytes() == data, name


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_killed_at_any_step_of_any_file_it_leaves_whole_notebooks_and_goes_on(tmp_path, monkeypatch, step):
    undisturbed = Course(tmp_path / "undisturbed")
    undisturbed.ship("00_start", {"mean": STUB})
    undisturbed.ship("01_next", {"cost": STUB, "frames": STUB})
    moved_on(undisturbed)
    undisturbed.update()
    home = {"open": Path, "fsync": os, "replace": Path}[step]
    real, stops = getattr(home, step), 0
    for number in range(100):
        course = Course(tmp_path / f"killed {number}")
        course.ship("00_start", {"mean": STUB})
        course.ship("01_next", {"cost": STUB, "frames": STUB})
        theirs, left = moved_on(course), number

        def dying(*args, **how):
            nonlocal left
            if step == "open" and args[1:] != ("xb",):
                return real(*args, **how)
            left -= 1
            if left < 0:
                raise Killed
            return real(*args, **how)

        monkeypatch.setattr(home, step, dying)
        try:
            course.update()
        except Killed:
            stops += 1
        else:
            break
        finally:
            monkeypatch.setattr(home, step, real)
        assert_whole(course, theirs)
        course.update()
        assert_whole(course, theirs)
        assert set(course.files()) == set(undisturbed.files())
    assert stops == 7, "six notebooks and the record"


SLOW = """
import os, sys
from pathlib import Path
from vtm_lesson.teaching import work

left, real = int(sys.argv[3]), os.fsync

def fsync(number):
    global left
    left -= 1
    if left < 0:
        print("half", flush=True)
        sys.stdin.read()  # until it is killed
    real(number)

os.fsync = fsync
work.update(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("number", [0, 3])
def test_a_process_that_is_killed_while_it_copies(course, number):
    theirs = moved_on(course)
    command = [sys.executable, "-c", SLOW, course.work, course.notebooks, str(number)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*map(str, command)], cwd=ROOT, **pipes) as process:
        assert process.stdout.readline() == b"half\n"
        process.kill()
    (half,) = course.work.rglob("*.part")
    assert_whole(course, theirs)
    course.update()
    assert_whole(course, theirs)
    assert half.exists(), "perhaps another lab is at work on it"
    os.utime(half, (0, 0))
    course.update()
    assert not half.exists()


@pytest.mark.parametrize("name", ["01_next.ipynb", "00_start.new.ipynb", "02_third.ipynb"])
def test_what_is_saved_while_the_copying_runs_is_kept(course, monkeypatch, name):
    """A second lab, or the learner in one: a file appears, or changes, after it was looked at."""
    moved_on(course)
    nb, real, saves = lesson("x", {"cost": "mine"}), os.fsync, []
    nb["cells"].append(cell("code", "mine = 1"))
    saved = work.written(nb)

    def meanwhile(number):
        if not saves and list(course.work.glob(f".{name.removesuffix('.ipynb')}.*.part")):
            saves.append((course.work / name).write_bytes(saved))
        real(number)

    monkeypatch.setattr(os, "fsync", meanwhile)
    course.update()
    assert saves and (course.work / name).read_bytes() == saved
    stem = name.partition(".")[0]
    brought = {course.nb(path.name)["cells"][1]["source"] for path in course.work.glob(f"{stem}.new*")}
    words = work.parse((course.notebooks / "exercises" / f"{stem}.ipynb").read_bytes())["cells"][1]["source"]
    assert words in brought, "and the changed lesson comes beside it"


def test_two_at_once_leave_what_one_does(course):
    theirs = moved_on(course)
    code = "import sys, pathlib, vtm_lesson.teaching.work as work; work.update(*map(pathlib.Path, sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(course.work), str(course.notebooks)]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert_whole(course, theirs)
    assert course.update() == [] and not list(course.work.rglob("*.part"))
    assert len(list(course.work.rglob("*.new*"))) == 1


def test_a_full_disk_changes_nothing_and_leaves_nothing(course, monkeypatch):
    theirs = moved_on(course)
    before = course.files()

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        course.update()
    assert course.files() == before and theirs.items() <= before.items() and not list(course.work.rglob("*.part"))


def test_the_courses_own_folder_is_no_learners_folder(course):
    before = sorted(course.notebooks.rglob("*"))
    for folder in (course.notebooks, course.notebooks / "exercises", course.notebooks / "mine"):
        with pytest.raises(ValueError, match="name another folder"):
            work.update(folder, course.notebooks)
    assert sorted(course.notebooks.rglob("*")) == before


# --------------------------------------------------------------------------------------------------- the real lessons


def test_the_real_lessons_are_copied_solved_and_carried_over(tmp_path):
    work.update(tmp_path / "work", say=lambda line: None)
    course = work.places(paths.notebooks_path())
    assert {f"{path.stem}.ipynb" for path in (ROOT / "notebooks/source").glob("*.py")} <= set(course.values())
    names = []
    for path, place in course.items():
        copy = work.parse((tmp_path / "work" / place).read_bytes())
        built = work.shipped(path)
        if built is None:  # a learner's work: it went along
            continue
        assert len(copy["cells"]) == len(built["cells"]) and work.is_untouched(copy)
        for text in (cell["source"] for cell in copy["cells"] if cell["cell_type"] == "markdown"):
            for link in re.findall(r"\]\(([^)#]+\.ipynb)\)", text):
                assert (tmp_path / "work" / place).parent.joinpath(link).is_file(), f"{place}: {link}"
        if "/" not in place:
            found = work.exercise_cells(copy)
            assert bool(found) == bool(LESSONS[path.stem][1]) and not work.answers(copy)  # appendix A has none
            assert all(work.UNSOLVED in cell["source"] for cell in found.values() if cell["cell_type"] == "code")
            names += found
    assert len(names) == len(set(names)), "an answer is carried over by the name of its exercise"


@pytest.mark.parametrize("path", [*work.places(paths.notebooks_path())], ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_both_who_ask_whether_a_file_is_as_it_was_built_agree(path):
    """The builder reads with nbformat, which is not there in every installation."""
    assert work.whole_digest(work.parse(path.read_bytes())) == build_lessons.whole_digest(build_lessons.load(path))


def test_the_learners_folder_is_found(monkeypatch, tmp_path):
    monkeypatch.delenv(paths.WORK, raising=False)
    assert paths.work_path() == ROOT / "work"
    monkeypatch.setattr(paths, "is_checkout", lambda: False)
    monkeypatch.chdir(tmp_path)
    assert paths.work_path() == tmp_path / "vtm-lessons"
    monkeypatch.setenv(paths.WORK, str(tmp_path / "mine"))
    assert paths.work_path() == tmp_path / "mine"
