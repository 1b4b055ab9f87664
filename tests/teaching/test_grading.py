"""The exercises in an editor: the file of functions, and the marks that pytest gives are those of the checks."""

import os
import re
import shutil

import pytest
from helpers import python

import mutation_audit as audit
from vtm_lesson import checks
from vtm_lesson.teaching import grading, judging
from vtm_lesson.teaching.contents import LESSONS

CODE = audit.solutions()
TASKS = grading.tasks()
PLUGIN = ("-p", grading.PLUGIN, "-p", "no:cacheprovider", "--noconftest", "-o", "addopts=")
ROW = re.compile(r"^(\w+) +(\w+) +(\d+) of (\d+) *(.*)$", re.MULTILINE)


def file_of(folder, codes, extra=""):
    """A file of answers, with the imports of the stubs."""
    path = folder / grading.FILE
    path.write_text("\n".join([grading.HEAD, *grading.imports(TASKS), extra, *codes]), encoding="utf-8")
    return path


def graded(folder, *names):
    """`python -m vtm_lesson grade`: exit code, what it says, and the table as {exercise: (marks, of, words)}."""
    done = python("-m", "vtm_lesson", "grade", "--folder", folder, *names)
    assert not done.stderr, done.stderr
    rows = {name: (int(marks), int(of), words) for _, name, marks, of, words in ROW.findall(done.stdout)}
    return done.returncode, done.stdout, rows


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A learner's folder as it is made, and what the first marking says."""
    folder = tmp_path_factory.mktemp("fresh")
    return folder, graded(folder)


def test_every_exercise_has_a_stub_with_the_marks_of_its_check_cell():
    assert list(TASKS) == [name for _, names in LESSONS.values() for name in names]
    for lesson, (_, names) in LESSONS.items():
        source = (audit.SOURCES / f"{lesson}.py").read_text(encoding="utf-8")
        for name in names:
            (marks,) = re.findall(rf'"points": (\d+)[^\n]*\nchecks\.{name}\({name}\)', source)
            assert TASKS[name].points == int(marks)


@pytest.mark.parametrize("name", TASKS)
def test_a_stub_has_the_words_and_the_signature_of_the_lesson_and_no_solution(name):
    task = TASKS[name]
    assert re.search("Your turn|Puzzle", task.words.splitlines()[0])
    assert all(line.startswith("#") for line in task.words.splitlines())
    assert CODE[name].strip().splitlines()[0] in task.stub and "SOLUTION" not in task.stub
    assert 'raise NotImplementedError("exercise not solved yet")' in task.stub


def test_all_stubs_fail_kindly(fresh):
    code, said, rows = fresh[1]
    assert code == 1 and "is new: 85 functions" in said
    assert rows == {name: (0, task.points, "not solved yet") for name, task in TASKS.items()}
    assert "Traceback" not in said and "✗" not in said and "Error" not in said


def test_all_solutions_get_all_marks(tmp_path):
    file_of(tmp_path, CODE.values())
    code, said, rows = graded(tmp_path)
    assert rows == {name: (task.points, task.points, "") for name, task in TASKS.items()}, said
    assert code == 0 and f"{sum(task.points for task in TASKS.values())} of" in said


def test_only_what_is_asked_for_counts(tmp_path):
    file_of(tmp_path, [CODE["above"], "def alternate(n):\n    return None\n"])
    code, _, rows = graded(tmp_path, "above")
    assert code == 0 and rows == {"above": (2, 2, "")}
    code, said, rows = graded(tmp_path, "03", "alternate")
    assert code == 1 and list(rows) == ["alternate", *LESSONS["03_tome_in_a_vit"][1]]
    assert "✗ alternate" in said and "new at its end: tokens_left, merge_by_size" in said
    assert rows["alternate"][2] and rows["tokens_left"] == (0, 2, "not solved yet")


def test_an_unknown_name_is_said_in_one_sentence(tmp_path, capsys):
    assert grading.main(["--folder", str(tmp_path), "99"]) == 2
    assert capsys.readouterr().err.startswith("grade: 99 has no exercise; give a lesson, such as 02")


def test_the_message_is_the_checks_and_what_was_printed_is_shown(tmp_path):
    wrong = "def alternate(n):\n    print('looked at', n)\n    return torch.arange(1, n, 2), torch.arange(0, n, 2)\n"
    file_of(tmp_path, [wrong])
    _, said, rows = graded(tmp_path, "alternate")
    names = {"torch": audit.torch}
    exec(wrong, names)
    text = judging.judged(checks.alternate, names["alternate"])
    assert text in said and "    looked at 6" in said
    assert "swapped" in text and rows["alternate"][2].removesuffix(" …") in text


def test_a_file_that_stops_costs_only_what_comes_after(tmp_path):
    file_of(tmp_path, [CODE["alternate"], "nowhere\n", CODE["above"]])
    _, said, rows = graded(tmp_path, "alternate", "above")
    assert rows["alternate"][:2] == (1, 1) and rows["above"][0] == 0
    assert "solutions.py stopped, line" in said and "nowhere" in said and "Traceback" not in said
    (tmp_path / grading.FILE).write_text("def above(\n", encoding="utf-8")
    assert "is no Python, line 1" in graded(tmp_path, "above")[1]


def test_warnings_of_an_answer_are_no_failure(tmp_path):
    warned = CODE["alternate"].replace("### BEGIN SOLUTION", "import warnings; warnings.warn('old')")
    file_of(tmp_path, [warned])
    assert python("-W", "error", "-m", "pytest", *PLUGIN, f"{tmp_path / grading.FILE}::alternate").returncode == 0


def test_nothing_is_recorded_as_solved(tmp_path, monkeypatch):
    def recorded(*_):
        raise RuntimeError("recorded")

    monkeypatch.setattr("vtm_lesson.teaching.exercise.record_solved", recorded)
    assert judging.judged(checks.above, checks.above.answer) is None
    assert judging.GRADING not in os.environ


# ---------------------------------------------------------------------- the same judge as the audit of the checks has


@pytest.mark.parametrize("name", TASKS)
def test_wrong_answers_of_the_audit_get_the_checks_own_words(name):
    """The audit shows that the checks refuse what is wrong; here it is seen that this way leads to the same judge."""
    for mutant in audit.sample(audit.mutants(name, CODE[name])):
        function, outcome = audit.compiled(mutant), audit.tried(mutant)
        with audit.quiet():
            found, _ = judging.verdict(name, {name: function})
        assert (found.kind == "right") == (outcome.kind == "equal"), mutant.line
        if outcome.kind in ("named", "refused"):
            assert outcome.words in found.text
            assert found.words in found.text


# --------------------------------------------------------------------------------------------- nothing is overwritten


def test_a_learners_file_stays_as_it_is(fresh):
    folder, _ = fresh
    before = (folder / grading.FILE).read_bytes()
    assert grading.update(folder) == []
    (folder / grading.FILE).write_bytes(before + b"\n# mine\n")
    assert grading.update(folder) == [] and (folder / grading.FILE).read_bytes() == before + b"\n# mine\n"
    assert [path.name for path in folder.iterdir()] == [grading.FILE]


def test_a_new_exercise_comes_at_the_end_and_a_changed_one_beside(fresh, tmp_path, monkeypatch):
    shutil.copy(fresh[0] / grading.FILE, tmp_path)
    path = tmp_path / grading.FILE
    without = path.read_text(encoding="utf-8").replace(TASKS["above"].text(), "")
    path.write_text(without, encoding="utf-8")
    changed = {**TASKS, "alternate": TASKS["alternate"]._replace(words="# Puzzle 1: other words")}
    monkeypatch.setattr(grading, "tasks", lambda: changed)
    said = grading.update(tmp_path)
    now = path.read_text(encoding="utf-8")
    assert now.startswith(without.rstrip()) and now.endswith(TASKS["above"].text())
    assert said[0] == "solutions.py: new at its end: above." and "changed alternate" in said[1]
    assert (tmp_path / grading.CHANGED).read_text(encoding="utf-8") == changed["alternate"].text()
    assert grading.update(tmp_path) == [], "said once"


def test_a_file_that_is_not_whole_is_left_alone(tmp_path):
    path = tmp_path / grading.FILE
    path.write_text("def above(\n", encoding="utf-8")
    assert grading.update(tmp_path) == [] and path.read_text(encoding="utf-8") == "def above(\n"


def test_make_grade_is_this_command():
    rule = re.search(
        r"^grade: env .*\n\t@\$\(VENV\)/python tools/grade\.py",
        audit.ROOT.joinpath("Makefile").read_text("utf-8"),
        re.M,
    )
    assert rule is not None
    assert "solutions.py" in python("tools/grade.py", "--help").stdout
