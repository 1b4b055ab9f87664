"""A class on nbgrader: two lessons handed out, marked and exported; what hostile submissions cost, and whom."""

import csv
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
import torch
from helpers import can_unshare, exercises_of, in_a_kernel, isolates

from vtm_lesson import checks
from vtm_lesson.teaching.classroom import cells, jail, look
from vtm_lesson.teaching.classroom.marking import CALL, Remote, fault, seed_of
from vtm_lesson.teaching.contents import LESSONS

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import build_lessons
import classroom as commands

SHORT, LONG = "C_the_papers_tables", "02_bipartite_matching"
ISOLATED = isolates()
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="nbgrader has no Windows"),
    pytest.mark.filterwarnings("ignore:Object of type <Submitted"),  # nbgrader's own use of its database
]


# ------------------------------------------------------------------------------------------------------------- the jail

OTHER_USER = ("--user", "--map-user=1500", "--map-group=1500")
AS_A_USER = """
import json, subprocess, sys
from pathlib import Path
from vtm_lesson.teaching.classroom.jail import Jail

course, port = Path(sys.argv[1]), sys.argv[2]
jail = Jail(course, [Path(sys.prefix), Path(sys.base_prefix)], 8 << 30, 64 << 20, 100, 64)
(jail.folder / "work" / "mine.txt").write_text("mine")
code = (course / "probe.py").read_text()
command = jail.command([sys.executable, "-c", code, str(course), str(Path.home()), port])
process = subprocess.Popen(command, cwd=jail.folder / "work", env=jail.environment(), stdout=subprocess.PIPE)
said, _ = process.communicate(timeout=60)
print(json.dumps({"said": json.loads(said), "code": process.returncode, "isolated": jail.isolated()}))
jail.close()
"""
PROBE = """
import ctypes, json, os, socket, subprocess, sys

course, home, port = sys.argv[1:]
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(986)"], start_new_session=True)
said = {"mine": open("mine.txt").read(), "seen": os.listdir("/run")}
with open(os.environ["HOME"] + "/large", "wb") as file:
    file.write(bytes(3_000_000))
for place in (course, home + "/.bashrc", f"/proc/{os.getppid()}/root{course}"):
    said["seen"] += [place] * os.path.exists(place)
said["processes"] = sum(name.isdigit() for name in os.listdir("/proc"))
said["uncovered"] = ctypes.CDLL(None).umount2(b"/tmp", 2) == 0
try:
    socket.create_connection(("127.0.0.1", int(port)), 2)
    said["seen"].append("a network")
except OSError:
    pass
print(json.dumps(said), flush=True)
os._exit(7)
"""


@pytest.mark.skipif(
    not can_unshare(*OTHER_USER, "--net", "--mount", "--ipc", "--pid", "--fork", "--mount-proc"),
    reason="needs Linux, and a user who may make namespaces",
)
def test_a_user_who_is_not_root_keeps_a_submission_from_the_rest(tmp_path):
    (tmp_path / "gradebook.db").touch()
    (tmp_path / "probe.py").write_text(PROBE)
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = subprocess.run(
            ["unshare", *OTHER_USER, sys.executable, "-c", AS_A_USER, str(tmp_path), str(server.getsockname()[1])],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(build_lessons.ROOT)},
        )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["said"] == {"mine": "mine", "seen": [], "processes": 2, "uncovered": False}
    assert told["code"] == 7
    assert told["isolated"] == ["no network", "other folders hidden", "other processes hidden", "limits"]
    assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if b"time.sleep(986)" in _bytes(p)]


@pytest.mark.skipif(not ISOLATED, reason="needs Linux, and root or a user who may make namespaces")
def test_what_is_hidden_may_lie_in_what_is_shown_and_the_other_way_round(tmp_path, monkeypatch):
    for name in ("lib", "lib/course", "lib/temporary"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "inside").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "lib" / "temporary"))
    packages = [Path(sys.prefix), Path(sys.base_prefix), tmp_path / "lib"]
    made = jail.Jail(tmp_path / "lib" / "course", packages, 8 << 30, 1 << 20, 100, 64)
    (made.folder / "work" / "mine").touch()
    code = "import json, os, sys; print(json.dumps([sorted(os.listdir(path)) for path in sys.argv[1:]]))"
    asked = [str(tmp_path / name) for name in (".", "lib", "lib/course", "lib/temporary")]
    command = made.command([sys.executable, "-c", code, *asked, "."])
    done = subprocess.run(command, cwd=made.folder / "work", env=made.environment(), capture_output=True, text=True)
    made.close()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["lib"], ["course", "inside", "temporary"], [], [made.folder.name], ["mine"]]


def test_homes_and_temporary_folders_are_on_the_list(tmp_path, monkeypatch):
    for name in ("HOME", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(tempfile, "tempdir", None)
    found = jail.Jail(tmp_path, [], 1, 1, 1, 1)
    found.close()
    assert str(tmp_path / "HOME") in found.wish["personal"] and "/run" in found.wish["personal"]
    assert {str(tmp_path), str(tmp_path / "TMPDIR"), "/tmp"} <= set(found.wish["hidden"])


@pytest.mark.parametrize(
    "allowed, said",
    [((), []), ((jail.NEW_NETWORK | jail.NEW_USER,), ["no network"])],
    ids=["no namespaces", "a network of its own"],
)
def test_what_the_system_refuses_is_not_said_to_be_taken(allowed, said, monkeypatch):
    asked = []

    def call(name, flags):
        asked.append(name)
        if flags not in allowed:
            raise OSError(1, "refused")

    monkeypatch.setattr(jail, "_call", call)
    assert jail.enter_as_user([], []) == said
    assert asked == ["unshare", "unshare"]


def test_namespaces_without_rights_in_them_stop_no_submission(monkeypatch):
    def call(name, *_):
        if name != "unshare":
            raise OSError(1, "refused")

    def refused(*_):
        raise PermissionError(1, "refused")

    monkeypatch.setattr(jail, "_call", call)
    monkeypatch.setattr(jail, "_go_on_as_child", lambda: None)
    monkeypatch.setattr(Path, "write_text", refused)
    assert jail.enter_as_user([], []) == ["no network"]


# ---------------------------------------------------------------------------------------------- marks, without nbgrader


def test_each_student_has_other_inputs_and_right_answers_are_right_on_them():
    assert seed_of("anna") != seed_of("bert")
    varied = 0
    for _, names in LESSONS.values():
        for name in names:
            exercise = getattr(checks, name)
            for student in ("anna", "bert"):
                assert exercise.variant(seed_of(student)).problem(exercise.answer) is None, (name, student)
            seen, own = list(exercise.cases()), list(exercise.variant(seed_of("anna")).cases())
            assert [words for words, _ in seen] == [words for words, _ in own]
            varied += any(checks.difference(a, b) is not None for (_, a), (_, b) in zip(seen, own, strict=True))
    assert varied >= 38


@pytest.mark.parametrize("name", [name for _, names in LESSONS.values() for name in names])
def test_right_answers_travel(name):
    exercise = getattr(checks, name)
    assert fault(exercise, in_a_kernel(exercise.answer), "anna") is None


def test_what_was_learned_by_heart_earns_nothing_and_the_other_inputs_are_not_told():
    exercise = checks.group_mean
    by_heart = {str(args): exercise.answer(*args) for _, args in exercise.cases()}
    found = fault(exercise, in_a_kernel(lambda *args: by_heart.get(str(args), torch.zeros(1))), "anna")
    assert found == "✗ group_mean: right on the inputs that its check shows, wrong on others of the same kind."


class Equal:
    __eq__ = lambda self, other: True  # noqa: E731
    __hash__ = None


def test_changing_the_input_is_wrong_even_with_the_right_result():
    found = fault(checks.group_mean, in_a_kernel(lambda x, g: (checks.group_mean.answer(x, g), x.zero_())[0]), "anna")
    assert "it changed its input" in found


@pytest.mark.parametrize(
    "function",
    [lambda x, g: Equal(), lambda x, g: None, lambda x, g: x.zero_(), lambda x, g: exit(), lambda x: x, 7],
)
def test_a_strange_result_is_wrong(function):
    assert fault(checks.group_mean, in_a_kernel(function), "anna") is not None


def test_what_comes_from_a_kernel_is_never_run_here(tmp_path):
    import base64
    import io

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    out = io.BytesIO()
    torch.save({"result": Evil()}, out)
    remote = Remote("f", lambda code, expression: repr(base64.b64encode(out.getvalue()).decode()))
    assert "stopped" in fault(checks.group_mean, remote, "anna")
    assert not (tmp_path / "made").exists()


def test_without_the_jail_a_marks_cell_judges_too(monkeypatch):
    monkeypatch.setenv("VTM_STUDENT", "anna")
    cells.marks("group_mean", lambda x, g: checks.group_mean.answer(x, g))
    with pytest.raises(AssertionError, match="group_mean"):
        cells.marks("group_mean", lambda x, g: x)
    assert "__call_for_marks" in CALL


def test_the_command_of_the_package_is_that_of_the_repository(tmp_path, monkeypatch, capfd):
    assert cells.main(["look", "--help"]) == 0
    assert "the course's folder" in capfd.readouterr().out
    monkeypatch.setattr(cells, "PACKAGE", tmp_path / "vtm_lesson")
    assert cells.main(["make"]) == 2
    assert "which only the repository has" in capfd.readouterr().err


# ------------------------------------------------------------------------------------------------ the walk, by nbgrader


class Course:
    def __init__(self, folder: Path):
        self.folder = folder

    def read(self, kind: str, lesson: str):
        return nbformat.read(self.folder / kind / lesson / f"{lesson}.ipynb", as_version=4)

    def hand_in(self, student: str, lesson: str, nb) -> None:
        folder = self.folder / "submitted" / student / lesson
        folder.mkdir(parents=True)
        nbformat.write(exercises_of(nb), folder / f"{lesson}.ipynb")

    def solved(self, lesson: str, **changed: str):
        """The release version with all answers in it, those of some exercises `changed`."""
        nb = deepcopy(self.read("release", lesson))
        for cell, source in zip(nb.cells, self.read("source", lesson).cells, strict=True):
            if source.metadata.get("nbgrader", {}).get("solution"):
                lines = source.source.split("\n")
                cell.source = "\n".join(line for line in lines if not build_lessons.MARKS.match(line))
                name = re.search(r"^def (\w+)", source.source, re.MULTILINE)[1]
                if name in changed:
                    cell.source = changed.pop(name).replace("RIGHT", cell.source)
        assert not changed, f"no such exercises: {list(changed)}"
        return nb

    def marks(self) -> dict[tuple[str, str], tuple[float, float]]:
        code, said = commands.nbgrader(self.folder, "export")
        assert code == 0, said
        with (self.folder / "grades.csv").open() as file:
            rows = list(csv.DictReader(file))
        return {(r["student_id"], r["assignment"]): (float(r["score"]), float(r["max_score"])) for r in rows}

    def earned(self, student: str, lesson: str) -> dict[str, bool]:
        """Exercise -> whether it earned its marks."""
        nb = nbformat.read(self.folder / "autograded" / student / lesson / f"{lesson}.ipynb", as_version=4)
        marked = [c for c in nb.cells if c.metadata.get("nbgrader", {}).get("grade")]
        return {cells.MARKS.search(c.source)[1]: all(out.output_type != "error" for out in c.outputs) for c in marked}


def hostile(folder: Path, port: int) -> dict[str, str]:
    """Exercise of lesson 02 -> what a hostile submission has in its place; RIGHT stands for the right function."""
    return {
        "alternate": "def alternate(n):\n    while True:\n        pass",
        "every_gamma_th": "for _ in range(200):\n    print('x' * 50_000)\nRIGHT",
        "full_groups": "import subprocess\nfor _ in range(5):\n"
        "    subprocess.Popen(['sleep', '987'], start_new_session=True)\nRIGHT",
        "surviving_positions": "from vtm_lesson.teaching.exercise import Exercise\n"
        "checks.surviving_positions = lambda f: None\nExercise.__call__ = Exercise.problem = lambda self, f: None\n"
        "Exercise.variant = lambda self, seed: self\nget_ipython().showtraceback = lambda *a, **k: None\n"
        "class Equal:\n    def __eq__(self, other): return True\n"
        "def surviving_positions(*a): return Equal()",
        "partial_groups": f"import socket\nRIGHT\n_right = partial_groups\ndef partial_groups(*a):\n"
        f"    socket.create_connection(('127.0.0.1', {port}), timeout=2).close()\n    return _right(*a)",
        "nearest_target": f"import shutil\nshutil.rmtree({str(folder)!r}, ignore_errors=True)\n"
        "shutil.rmtree('.', ignore_errors=True)\nRIGHT",
        "tome_step": "def tome_step(:",
        "compose_groups": f"import os\nif os.path.exists({str(folder / 'gradebook.db')!r}): os._exit(1)\nRIGHT",
        "time_order": "def time_order(*a):\n    return bytearray(10**12)",
    }


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class") / "course"
    assert commands.main(["make", "C", "02", "--folder", str(folder)]) == 0
    course = Course(folder)
    config = folder / "nbgrader_config.py"
    config.write_text(
        config.read_text().replace("timeout = 300", "timeout = 15").replace("seconds = 60", "seconds = 5")
    )
    course.hand_in("perfect", SHORT, course.solved(SHORT))
    course.hand_in("blank", SHORT, course.read("release", SHORT))
    with socket.create_server(("127.0.0.1", 0)) as server:
        nb = course.solved(LONG, **(hostile(folder, server.getsockname()[1]) if ISOLATED else {}))
        by = {c.metadata.nbgrader.grade_id: c for c in nb.cells if "nbgrader" in c.metadata}
        by["token-sizes"].source = "def token_sizes(*a): return 0"
        by["token-sizes-check-marks"].source = "pass"
        nb.cells.remove(by["proportional-check-marks"])
        course.hand_in("hostile", LONG, nb)
        course.hand_in("crash", LONG, course.solved(LONG, every_gamma_th="import os\nos._exit(3)"))
        (folder / "submitted" / "nothing" / LONG).mkdir(parents=True)
        (folder / "submitted" / "broken" / LONG).mkdir(parents=True)
        (folder / "submitted" / "broken" / LONG / f"{LONG}.ipynb").write_text('{"cells": [')
        assert commands.main(["grade", "C", "02", "--folder", str(folder)]) == 0
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()  # nobody called
    return course


def test_the_release_versions_hold_no_solution_and_no_hidden_test(course):
    for lesson in (SHORT, LONG):
        source, release = course.read("source", lesson), course.read("release", lesson)
        text = "\n".join(cell.source for cell in release.cells)
        assert "HIDDEN" not in text and "classroom" not in text and "BEGIN SOLUTION" not in text
        for cell in source.cells:
            if "### BEGIN SOLUTION" in cell.source:
                answer = cell.source.partition("### BEGIN SOLUTION\n")[2].partition("### END SOLUTION")[0].strip()
                assert answer not in text
        points = [c.metadata.nbgrader.points for c in source.cells if c.metadata.get("nbgrader", {}).get("grade")]
        assert len(points) == len(LESSONS[lesson][1])
        assert all(points)


def test_the_perfect_submission_has_all_marks_and_the_blank_one_none(course):
    marks = course.marks()
    got, of = marks["perfect", SHORT]
    assert got == of > 0
    assert marks["blank", SHORT] == (0, of)
    assert (course.folder.stat().st_mode & 0o777) == 0o700


@pytest.mark.skipif(not ISOLATED, reason="needs Linux, and root or a user who may make namespaces")
def test_what_is_hostile_costs_its_own_marks_only(course):
    earned = course.earned("hostile", LONG)
    lost = {name for name, won in earned.items() if not won}
    assert lost == {"alternate", "surviving_positions", "partial_groups", "tome_step", "token_sizes", "time_order"}
    assert len(earned) == 11
    sleeping = [p for p in Path("/proc").glob("[0-9]*/cmdline") if b"sleep\x00987" in _bytes(p)]
    assert sleeping == []


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_the_list_names_those_that_need_a_look(course, capsys):
    rows = {row.student: row for row in look.look(course.folder, LONG)}
    assert "no 02_bipartite_matching.ipynb" in rows["nothing"].why
    assert "the notebook cannot be read" in rows["broken"].why
    assert rows["broken"].marks is None or rows["broken"].marks == 0
    assert "the kernel died" in rows["crash"].why
    assert rows["crash"].marks == 1  # what came before
    why = "; ".join(rows["hostile"].why)
    assert "cells missing: proportional-check-marks" in why
    assert "locked cells changed (put back): token-sizes-check-marks" in why
    if ISOLATED:
        for words in ("tome-step is no Python", "alternate gave no result in time", "more output than is kept"):
            assert words in why
    assert rows["perfect"].why == ("nothing handed in",)  # of this lesson
    assert [row.why for row in look.look(course.folder, SHORT) if row.student in ("perfect", "blank")] == [
        (),
        (),
    ]
    assert commands.main(["look", "02", "--folder", str(course.folder)]) == 0
    assert "crash (1 of 19): the kernel died" in capsys.readouterr().out
    with (course.folder / "look" / f"{LONG}.csv").open() as file:
        assert {row["student"] for row in csv.DictReader(file)} == {
            "nothing",
            "broken",
            "crash",
            "hostile",
            "perfect",
            "blank",
        }


def test_feedback_shows_no_hidden_test(course):
    code, said = commands.nbgrader(course.folder, "generate_feedback", SHORT)
    assert code == 0, said
    page = (course.folder / "feedback" / "blank" / SHORT / f"{SHORT}.html").read_text()
    assert "is not solved yet" in page
    assert "HIDDEN" not in page and "cells.marks" not in page and "classroom</span>" not in page
