"""What is solved and guessed is kept in the learner's folder, whoever writes beside it and whatever goes wrong."""

import doctest
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import ROOT

from vtm_lesson import checks
from vtm_lesson.teaching import contents, progress


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """A session of its own, outside of every learner's folder."""
    monkeypatch.setattr(progress, "_session", {})
    monkeypatch.setattr(progress, "_told", set())
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.delenv("VTM_WORK", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A learner's folder, and this session in it."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / ".vtm-work.json").write_text("{}")
    monkeypatch.chdir(folder)
    return folder


def stored(folder):
    return json.loads((folder / progress.FILE).read_text(encoding="utf-8"))


def another(code, cwd, **more):
    """A notebook beside this one."""
    start = "from vtm_lesson.teaching import progress\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", start + code], cwd=cwd, env=environment, text=True, **more)


def number(lesson):
    """How many exercises a lesson has."""
    return next(len(names) for name, (_, names) in contents.LESSONS.items() if name.startswith(lesson))


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# ------------------------------------------------------------------------------------------ where it goes


def test_nothing_is_stored_outside_of_a_learners_folder(tmp_path, capsys):
    checks.alternate(checks.alternate.answer)
    checks.predict("00-ratio", 3)
    assert files(tmp_path) == []
    capsys.readouterr()
    checks.progress()
    out = capsys.readouterr().out
    assert re.search(rf"02 bipartite matching .*1 of {number('02')} ", out), "in this session it counts"
    assert "stored only in the course's work folder" in out


def test_a_check_that_passes_is_stored_and_says_what_it_always_said(work, capsys):
    checks.alternate(checks.alternate.answer)
    assert capsys.readouterr().out == "✓ alternate: right on all 5 inputs, the awkward ones included.\n"
    assert list(stored(work)["solved"]) == ["alternate"]
    checks.above(lambda *_: None)
    assert list(stored(work)["solved"]) == ["alternate"], "a wrong answer is not solved"


def test_the_nearest_marked_folder_upwards_counts(work, monkeypatch):
    (work / "deep" / "deeper").mkdir(parents=True)
    monkeypatch.chdir(work / "deep" / "deeper")
    monkeypatch.setenv("VTM_WORK", str(work.parent))
    progress.record_solved("above")
    assert "above" in stored(work)["solved"] and not (work.parent / progress.FILE).exists()


def test_a_folder_named_work_counts_beside_the_package_only(tmp_path, monkeypatch):
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    progress.record_solved("above")
    assert files(folder) == []
    monkeypatch.setattr(progress, "PACKAGE", tmp_path / "vtm_lesson")
    progress.record_solved("alternate")
    assert sorted(stored(folder)["solved"]) == ["above", "alternate"], "what waited is stored with it"


def test_vtm_work_names_the_folder_and_the_package_is_never_it(tmp_path, monkeypatch):
    (tmp_path / "named").mkdir()
    monkeypatch.setenv("VTM_WORK", str(tmp_path / "named"))
    progress.record_solved("above")
    assert "above" in stored(tmp_path / "named")["solved"]
    monkeypatch.setenv("VTM_WORK", str(progress.PACKAGE / "teaching"))
    progress.record_solved("alternate")
    assert not list(progress.PACKAGE.rglob(f"{progress.FILE}*"))


def test_a_solved_notebook_and_grading_count_for_nobody(work, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    checks.alternate(checks.alternate.answer)
    monkeypatch.delenv("NBGRADER_EXECUTION")
    monkeypatch.setenv("VTM_WORK", str(work))
    (work / "solved").mkdir()
    for folder in (work / "solved", ROOT / "notebooks"):
        monkeypatch.chdir(folder)
        checks.alternate(checks.alternate.answer)
    assert not (work / progress.FILE).exists()


# ------------------------------------------------------------------------------------------ what it survives


def test_what_a_later_version_wrote_is_kept(work, capsys):
    record = {"solved": {"renamed": {"on": "2020-01-01", "stars": 3}}, "certificate": [1, 2]}
    (work / progress.FILE).write_text(json.dumps(record))
    checks.alternate(checks.alternate.answer)
    after = stored(work)
    assert after["solved"].pop("alternate") and after == record
    checks.progress()
    assert "not in this version of the course: renamed." in capsys.readouterr().out


@pytest.mark.parametrize(
    "damage", [b"", b'{"solved": {"above"', b"[1]", b'{"solved": [1]}', b"\xff\xfe", b"[" * 100_000]
)
@pytest.mark.parametrize("use", [lambda: progress.record_solved("alternate"), checks.progress], ids=["write", "read"])
def test_a_damaged_file_is_kept_under_another_name(damage, use, work, capsys):
    (work / progress.FILE).write_bytes(damage)
    (work / f"{progress.FILE}.damaged1").write_text("older")
    use()
    said = [line for line in capsys.readouterr().out.splitlines() if "damaged" in line]
    assert len(said) == 1 and ".damaged2" in said[0]
    assert (work / f"{progress.FILE}.damaged2").read_bytes() == damage
    assert (work / f"{progress.FILE}.damaged1").read_text() == "older"
    progress.record_solved("alternate")
    assert list(stored(work)["solved"]) == ["alternate"]


KILLED = """
import json, os
def dump(record, file, **_):
    file.write('{"solved": {"tome_')
    file.flush()
    os._exit(9)
progress.json.dump = dump
progress.record_solved("tome_step")
"""


def test_a_notebook_killed_while_it_writes_leaves_the_file_whole(work):
    progress.record_solved("above")
    before = (work / progress.FILE).read_bytes()
    assert another(KILLED, work).wait() == 9
    assert (work / progress.FILE).read_bytes() == before
    assert (work / f"{progress.FILE}.part").exists(), "it was killed in the middle"
    progress.record_solved("alternate")
    assert sorted(stored(work)["solved"]) == ["above", "alternate"]
    assert not (work / f"{progress.FILE}.part").exists()


WRITES = """
print("ready", flush=True)
input()
for i in range(40):
    progress.record_solved(f"{name}{i}")
"""


def test_notebooks_that_write_at_once_lose_nothing(work):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    both = [another(f"name = {name!r}\n{WRITES}", work, **pipes) for name in "ab"]
    for one in both:
        one.stdout.readline()
    for one in both:
        one.stdin.write("go\n")
        one.stdin.flush()
    assert [one.communicate() and one.returncode for one in both] == [0, 0]
    assert len(stored(work)["solved"]) == 80


HOLDS = "with progress._locked(progress._folder()):\n    print('held', flush=True); input()"


def test_a_lock_that_is_not_given_back_stops_nobody(work, monkeypatch, capsys):
    monkeypatch.setattr(progress, "PATIENCE", 0.1)
    with another(HOLDS, work, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        checks.alternate(checks.alternate.answer)
        progress.record_solved("above")
        out = capsys.readouterr().out
        assert out.startswith("✓ alternate") and out.count("could not be stored (another notebook") == 1
        holder.kill()
    progress.record_solved("amdahl")
    assert sorted(stored(work)["solved"]) == ["above", "alternate", "amdahl"], "what waited is stored with it"


def test_a_folder_that_takes_no_file_is_told_once(work, capsys):
    (work / progress.LOCK).mkdir()  # as who is root may write into any folder
    for _ in range(2):
        checks.alternate(checks.alternate.answer)
        checks.above(checks.above.answer)
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("✓")]) == 4
    assert len(lines) == 5 and "could not be stored" in lines[1]
    checks.progress()
    assert f" 1 of {number('02')} " in capsys.readouterr().out, "it goes on without storing"


def test_a_folder_that_is_not_there_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VTM_WORK", str(tmp_path / "nowhere"))
    progress.record_solved("above")
    assert "could not be stored" in capsys.readouterr().out and files(tmp_path) == []


# ------------------------------------------------------------------------------------------ what is shown


def test_every_exercise_of_the_course_is_counted_once():
    counted = [name for _, names in contents.LESSONS.values() for name in names]
    exercises = [name for name in checks.__all__ if isinstance(getattr(checks, name), checks.Exercise)]
    assert sorted(counted) == sorted(exercises)
    for lesson, (_, names) in contents.LESSONS.items():
        source = (ROOT / "notebooks" / "source" / f"{lesson}.py").read_text(encoding="utf-8")
        called = re.findall(r"^checks\.(\w+)\(", source, flags=re.MULTILINE)
        assert [name for name in called if name in exercises] == list(names), f"{lesson} has them in this order"


def test_progress_draws_every_lesson_with_the_minutes_left(work, monkeypatch, capsys):
    lessons = {
        "00_start_here": ("lessons_basics", ("group_mean",)),
        "02_bipartite_matching": (
            "lessons_matching",
            ("alternate", "nearest_target", "tome_step", "proportional_attention"),
        ),
        "03_tome_in_a_vit": ("lessons_networks", ("tokens_left", "above")),
        "A_attention_in_pictures": ("", ()),  # nothing to solve, so nothing to show
    }
    monkeypatch.setattr(progress, "LESSONS", lessons)
    every = [name for _, names in lessons.values() for name in names]
    for minutes, name in enumerate(every, 2):
        monkeypatch.setattr(getattr(checks, name), "minutes", minutes)
    for name in ("alternate", "nearest_target", "proportional_attention", "group_mean"):
        progress.record_solved(name)
    checks.progress()
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"00 start here +██████████  1 of 1", lines[1])
    assert re.fullmatch(r"02 bipartite matching +███████░░░  3 of 4 +5 min", lines[2])
    assert re.fullmatch(r"03 ToMe in a ViT +░░░░░░░░░░  0 of 2 +15 min", lines[3])
    assert re.fullmatch(r"all lessons +█████░+  4 of 7 +20 min", lines[4]) and len(lines) == 5
    assert len({line.find(" of ") for line in lines[1:]}) == 1, "one below the other"


def test_a_guess_is_stored_and_shown_beside_the_result(work, monkeypatch, capsys):
    checks.predict("00-ratio", 3)
    checks.predict("07-who", "the actor")
    monkeypatch.setattr(progress, "_session", {})  # a session later
    checks.replay("00-ratio", torch.tensor(6.4))
    checks.predictions("00")
    assert capsys.readouterr().out.splitlines() == [
        "Your guess for 00-ratio: 3.",
        "Your guess for 07-who: the actor.",
        "00-ratio: your guess was 3, the result is 6.4.",
        "question  your guess  result",
        "00-ratio  3           6.4",
    ]
    checks.predict("00-ratio", 5)
    assert "5 (it was 3)" in capsys.readouterr().out
    assert stored(work)["predictions"]["00-ratio"]["guess"] == 5


def test_no_guess_yet_is_no_guess(work, capsys):
    checks.predict("00-ratio", ...)
    checks.replay("00-ratio", 2)
    checks.predictions()
    assert capsys.readouterr().out.splitlines() == [
        "No guess for 00-ratio yet: write it in place of the dots.",
        "00-ratio: you made no guess, the result is 2.",
        'No guess is recorded here yet; checks.predict("00-ratio", 3) records one.',
    ]
    assert files(work) == [".vtm-work.json"]


@pytest.mark.parametrize("guess", [np.float32(0.5), np.array([1, 2]), torch.ones(2), (1, "two"), True, "ten % ✓"])
def test_a_guess_may_have_any_plain_form(guess, work):
    checks.predict("q", guess)
    assert "guess" in stored(work)["predictions"]["q"]


@pytest.mark.parametrize(
    "guess", [print, object(), 1j, {1, 2}, torch.ones(2, device="meta"), 10**5000], ids=lambda x: type(x).__name__
)
def test_another_guess_is_refused_in_one_sentence(guess, work):
    with pytest.raises(TypeError, match=r"^Give a number, a text, or a list of these; this is a \w+\.$"):
        checks.predict("q", guess)
    with pytest.raises(TypeError, match=r'^The question is a name such as "00-ratio"; 3 was given\.$'):
        checks.predict(3, guess)
    assert files(work) == [".vtm-work.json"]


@pytest.mark.parametrize("name", ["progress", "predict", "predictions", "replay", "Exercise"])
def test_the_example_is_true(name, monkeypatch):
    found = doctest.DocTestFinder(exclude_empty=True).find(getattr(checks, name), name, module=False, globs={})
    assert any(test.examples for test in found)
    said: list[str] = []
    for test in found:
        doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not said, "".join(said)
