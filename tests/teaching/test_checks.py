"""Every check accepts the right answer and tells each known mistake from the others."""

import ast
import importlib
from pathlib import Path

import pytest
import torch
from helpers import python

from vtm_lesson import checks, teaching

NAMES = [name for name in checks.__all__ if name not in ("Exercise", "difference")]
EXERCISES = [getattr(checks, name) for name in NAMES]
MISTAKES = [(e, words, wrong) for e in EXERCISES for words, wrong in e.mistakes]


@pytest.fixture(autouse=True)
def _outside_grading(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_right_answer_passes(exercise, capsys):
    exercise(exercise.answer)
    assert capsys.readouterr().out.startswith("✓")


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_every_exercise_has_three_hints_and_knows_mistakes(exercise):
    assert len(exercise.hints) == 3
    assert len(exercise.mistakes) >= 2
    assert getattr(checks, exercise.name) is exercise, "the name printed must be the name called"


@pytest.mark.parametrize("exercise, words, wrong", MISTAKES, ids=lambda x: getattr(x, "name", ""))
def test_mistake_is_caught_and_named(exercise, words, wrong, capsys):
    exercise(wrong)
    out = capsys.readouterr().out
    assert out.startswith("✗"), "a wrong answer passed"
    assert words in out, f"the mistake was not told apart: {out}"


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_unsolved_wrong_kind_and_raising_answers(exercise, capsys):
    def unsolved(*_):
        raise NotImplementedError

    def raises(*_):
        raise RuntimeError("oops")

    for answer, start, holds in [
        (unsolved, "…", "not solved yet"),
        (raises, "✗", "oops"),
        (lambda *_: None, "✗", "returned nothing"),
        (lambda *_: "text", "✗", exercise.name),
        ("text", "✗", "give the function itself"),
    ]:
        exercise(answer)
        out = capsys.readouterr().out
        assert out.startswith(start) and holds in out, out


def test_grading_raises(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    checks.alternate(checks.alternate.answer)
    with pytest.raises(AssertionError):
        checks.alternate(lambda n: (torch.arange(n), torch.arange(n)))

    def unsolved(n):
        raise NotImplementedError

    with pytest.raises(AssertionError, match="not solved"):
        checks.alternate(unsolved)


def test_hints_come_one_after_another(capsys):
    exercise = checks.Exercise("demo", lambda n: n + 1, lambda: [("one", (1,))], ("a", "b", "c"))
    for expected in ("1 of 3: a", "2 of 3: b", "3 of 3: c", "3 of 3: c"):
        exercise(lambda n: n)
        assert expected in capsys.readouterr().out
    with pytest.raises(ValueError, match="1 to 3"):
        exercise.hint(4)


def test_an_answer_that_changes_its_input_is_told(capsys):
    def in_place(q, k, v, size):
        expected = checks.proportional_attention.answer(q, k, v, size)
        q.zero_()
        return expected

    checks.proportional_attention(in_place)
    assert "changed its input" in capsys.readouterr().out


def test_difference_in_words():
    one = torch.ones(2, 2)
    assert checks.difference(one, one) is None
    assert "shape" in checks.difference(one[0], one)
    assert "NaN" in checks.difference(one * float("nan"), one)
    assert "whole numbers" in checks.difference(one, one.long())
    assert "[1, 1]" in checks.difference(torch.tensor([[1.0, 1], [1, 2]]), one)
    assert "2 results" in checks.difference(one, (one, one))
    assert checks.difference(1.00001, 1.0) is None and "got 2" in checks.difference(2, 1.0)
    assert checks.difference(torch.tensor(3), 3) is None


LOADED = """
import sys
from vtm_lesson import checks
def files():
    return {name.split(".")[-1] for name in sys.modules if name.startswith("vtm_lesson.teaching.lessons_")}
assert not files(), files()
assert "nearest_target" in dir(checks) and not files(), files()
checks.nearest_target
print(*sorted(files()))
from vtm_lesson.checks import amdahl
print(*sorted(files()))
"""


def test_a_check_loads_no_other_lessons_file():
    done = python("-c", LOADED)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["lessons_basics", "lessons_basics lessons_speed"]


def test_every_exercise_of_the_lessons_is_handed_on():
    written = {}
    for path in Path(teaching.__file__).parent.glob("lessons_*.py"):
        module = importlib.import_module(f"{teaching.__name__}.{path.stem}")
        written |= {name: value for name, value in vars(module).items() if isinstance(value, checks.Exercise)}
    assert sorted(NAMES) == sorted(written), "checks.py hands on what the lessons_*.py have, and nothing else"
    assert all(getattr(checks, name) is value for name, value in written.items())


def test_the_stub_says_the_same_as_the_module():
    stub = ast.parse(Path(checks.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    found = {alias.asname: (node.module, alias.name) for node in imports for alias in node.names}
    assert sorted(found) == sorted(checks.__all__), "checks.pyi has the names of checks.py"
    for name, (file, inner) in found.items():
        assert getattr(importlib.import_module(f"vtm_lesson.{file}"), inner) is getattr(checks, name)


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(AttributeError, match=r"nearest_targets.*nearest_target,"):
        _ = checks.nearest_targets


def test_showing_a_check_gives_nothing_away():
    shown = repr(checks.alternate)
    assert "checks.alternate.hint()" in shown and checks.alternate.hints[0] not in shown and len(shown) < 120
