"""Every check accepts the right answer and tells each known mistake from the others."""

import ast
import importlib
import itertools
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import python

from vtm_lesson import checks, teaching

NAMES = [name for name in checks.__all__ if isinstance(getattr(checks, name), checks.Exercise)]
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
    for expected in ("1 of 3: a", "2 of 3: b", "3 of 3: c", "all 3 hints"):
        exercise(lambda n: n)
        assert expected in capsys.readouterr().out
    exercise(lambda n: n)
    assert "int" not in capsys.readouterr().out.replace("input", ""), "where else to look is said once"
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
    assert checks.difference(943718401, 943718400, 0) == "expected 943718400, got 943718401.", "all digits of a count"


@pytest.mark.parametrize(
    "given, expected",
    [
        (np.int64(3), 3),
        (np.uint8(3), 3),
        (np.float32(0.5), 0.5),
        (np.float16(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.array(3), 3),
        (np.array([3]), 3),
        (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
        (torch.tensor([[3]]), 3),
        (torch.tensor(3.0, requires_grad=True), 3),
        (Fraction(1, 2), 0.5),
        ((5, 3), [5, 3]),
        (torch.tensor([5, 3]), [5, 3]),
        (np.array([5, 3]), [5, 3]),
        ([np.int64(5), torch.tensor(3)], [5, 3]),
        (np.array([]), []),
        ([5, 3], (5, 3)),
        (torch.tensor([0.5, 3.0], requires_grad=True), (0.5, 3)),
        (np.array([0.5, 3.0]), (0.5, 3)),
        (np.arange(3)[::-1], torch.tensor([2, 1, 0])),
        (np.arange(3, dtype=np.int32), torch.arange(3)),
        (np.ones((2, 3), dtype=np.float64), torch.ones(2, 3)),
        (np.broadcast_to(np.float32(1), (2, 3)), torch.ones(2, 3)),
        (np.zeros((0, 3)), torch.zeros(0, 3)),
        ([[1.0, 2.0]], torch.tensor([[1.0, 2.0]])),
        ([np.int64(1), torch.tensor(2)], torch.tensor([1, 2])),
        (np.str_("first"), "first"),
    ],
)
def test_the_right_values_are_right_in_another_form(given, expected):
    assert checks.difference(given, expected) is None


@pytest.mark.parametrize(
    "given, expected, words",
    [
        (True, 1, "expected a number, got a bool."),
        (np.bool_(True), 1, "expected a number, got a bool."),
        (torch.tensor(True), 1, "expected a number, got a tensor of shape ()."),
        (np.int64(4), 3, "expected 3, got 4."),
        (np.array([3, 3]), 3, "expected a number, got an array of shape (2,)."),
        (1j, 1, "expected a number, got a complex."),
        ("3", 3, "expected a number, got a str."),
        ((5, 3, 1), [5, 3], "expected 2 results, got 3 results."),
        (torch.tensor([5, 4]), [5, 3], "result 2 of 2: expected 3, got 4."),
        (torch.ones(2, 2), [1, 1], "expected 2 results, got a tensor of shape (2, 2)."),
        (iter([5, 3]), [5, 3], "expected 2 results, got a list_iterator."),
        (53, [5, 3], "expected 2 results, got an int."),
        (np.ones(3), torch.arange(3), "expected whole numbers (torch.int64), got torch.float64."),
        (torch.tensor([False, True]), torch.arange(2), "expected numbers (torch.int64), got True and False"),
        (torch.ones(2) * 1j, torch.ones(2), "expected real numbers (torch.float32), got torch.complex64."),
        ([torch.ones(3), torch.ones(3)], torch.ones(2, 3), "got a list of 2 tensors; torch.stack makes one of them."),
        ([torch.ones(1), torch.ones(1)], torch.ones(2, 1), "got a list of 2 tensors; torch.stack makes one of them."),
        ([[1.0], [1.0, 2.0]], torch.ones(2, 2), "expected a tensor, got 2 results."),
        (np.array(["a", "b"]), torch.ones(2), "expected a tensor, got an array of shape (2,)."),
        (np.array(["a", "b"]), "a", "expected 'a', got array("),
    ],
)
def test_other_values_are_still_told(given, expected, words):
    assert words in checks.difference(given, expected)


class Unreadable:
    def __repr__(self):
        raise RuntimeError("no")

    __str__ = __eq__ = __bool__ = __len__ = __iter__ = __array__ = __repr__
    __hash__ = None


class UnreadableError(Exception):
    __str__ = __repr__ = Unreadable.__repr__


class Endless:
    def __repr__(self):
        return "x" * 5_000_000


class LeavingError(BaseException):
    def __str__(self):
        raise SystemExit(3)


class Leaving:
    def __getattribute__(self, name):
        raise SystemExit(name)


def stops(error):
    def answer(*_):
        raise error

    return answer


def endless_list():
    both = []
    both += [both, both]
    return both


ODD = {
    "SystemExit": (stops(SystemExit(0)), "stopped with SystemExit: 0"),
    "GeneratorExit": (stops(GeneratorExit()), "stopped with GeneratorExit"),
    "an exception of no usual kind": (stops(LeavingError("all")), "stopped with LeavingError"),
    "an object that leaves when it is looked at": (lambda *_: Leaving(), None),
    "an error without words": (stops(UnreadableError()), "stopped with UnreadableError"),
    "an error of many words": (stops(ValueError("x" * 5_000_000)), "stopped with ValueError: xxx"),
    "a number larger than any float": (lambda *_: 10**400, None),
    "a number of too many digits to print": (lambda *_: -(10**5000), None),
    "large numbers": (lambda *_: (10**400, 10**400), None),
    "large numbers in a list": (lambda *_: [10**400] * 4, None),
    "infinity": (lambda *_: float("inf"), None),
    "a meta tensor": (lambda *_: torch.ones(2, 3, device="meta"), "expected an ordinary tensor, got a meta one."),
    "a meta number": (lambda *_: torch.ones((), device="meta"), "got a meta one."),
    "a sparse tensor": (lambda *_: torch.eye(3).to_sparse(), "expected an ordinary tensor, got a sparse one."),
    "rows of a sparse tensor": (lambda *_: torch.eye(3).to_sparse_coo()[0], "got a sparse one."),
    "a nested tensor": (
        lambda *_: torch._nested_tensor_from_tensor_list([torch.ones(2), torch.ones(3)]),
        "expected an ordinary tensor, got a nested one.",
    ),
    "a quantized tensor": (
        lambda *_: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        "expected an ordinary tensor, got a quantized one.",
    ),
    "a pair of meta tensors": (lambda *_: (torch.ones(3, device="meta"), torch.ones(3, device="meta")), None),
    "an object that cannot be read": (lambda *_: Unreadable(), None),
    "objects that cannot be read": (lambda *_: (Unreadable(), Unreadable()), None),
    "a long object": (lambda *_: Endless(), None),
    "a list that holds itself": (lambda *_: endless_list(), None),
    "numbers that nobody has written down": (lambda *_: range(10**12), None),
    "lists of them": (lambda *_: [range(10**12), [range(10**18)]], None),
    "a generator": (lambda *_: itertools.count(), None),
    "an array of objects": (lambda *_: np.array([Unreadable(), None], dtype=object), None),
    "a date": (lambda *_: np.datetime64("2024-01-01"), None),
    "a function": (lambda *_: print, None),
}


@pytest.mark.filterwarnings("ignore:.*(nested|quantized) tensor:UserWarning")  # torch may change or drop these
@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_nothing_that_a_function_gives_stops_a_notebook(exercise, capsys):
    for kind, (answer, words) in ODD.items():
        exercise(answer)
        out = capsys.readouterr().out
        assert out.startswith(f"✗ {exercise.name}"), f"{kind}: {out[:500]}"
        assert len(out) < 8000, f"{kind}: {len(out)} characters are printed"
        if words is not None and not isinstance(exercise.answer(*next(iter(exercise.cases()))[1]), tuple):
            assert words in out, f"{kind}: {out[:500]}"


def test_a_learner_can_stop_a_check():
    with pytest.raises(KeyboardInterrupt):
        checks.alternate(stops(KeyboardInterrupt()))


def test_a_mistake_is_named_though_it_stops_with_systemexit_later(capsys):
    """Some cases are shown to the function a second time, to name its mistake."""
    calls = []

    def answer(n):
        calls.append(n)
        if len(calls) > 1:
            raise SystemExit
        return torch.arange(n)

    checks.alternate(answer)
    assert "expected 2 results" in capsys.readouterr().out and len(calls) > 1


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
    assert done.stdout.splitlines() == ["lessons_matching", "lessons_matching lessons_speed"]


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


def demo(**more):
    """n + 1 for one number, then for 3 and 30 numbers."""
    cases = [(f"{n} numbers", (torch.arange(float(n)),)) for n in (30, 3, 8)]
    return checks.Exercise("demo", lambda x: x + 1, lambda: cases, ("a", "b", "c"), **more)


def unknown_name(x):
    return unknown + x  # noqa: F821


def without_end(x):
    return without_end(x)


def in_place(x):
    return x.add_(1)


SLIPS = {
    "NameError": unknown_name,
    "RecursionError": without_end,
    "changed its input": in_place,
    "give the function itself": 3,
    "is not solved yet": stops(NotImplementedError()),
    "returned nothing": lambda x: None,
    "expected a tensor, got a str": lambda x: "text",
    "got a list of": lambda x: [x, x],
    "got True and False": lambda x: x > 1,
}


@pytest.mark.parametrize("words", SLIPS)
def test_a_slip_costs_no_hint(words, capsys):
    exercise = demo()
    exercise.tolerance = 0
    if words == "got True and False":
        exercise.answer = lambda x: (x + 1).long()
    for _ in range(4):
        exercise(SLIPS[words])
        out = capsys.readouterr().out
        assert words in out and "Hint" not in out
        assert ("checks.demo.hint() shows a hint." in out) == (not out.startswith("…"))
    exercise(lambda x: exercise.answer(x) + 1)
    out = capsys.readouterr().out
    assert "Hint 1 of 3: a" in out and "checks.demo.hint() shows the next one." in out


def test_the_hints_start_again_after_success(capsys):
    exercise = demo()
    for _ in range(2):
        exercise(lambda x: x)
    exercise(exercise.answer)
    exercise(lambda x: x)
    assert "Hint 1 of 3" in capsys.readouterr().out.splitlines()[-2]


def test_where_else_to_look_is_said_again_when_a_hint_is_asked_for(capsys):
    exercise = demo()
    for _ in range(5):
        exercise.hint()
    assert capsys.readouterr().out.count("The solved notebook of this lesson has an answer.") == 2
    exercise.hint(1)
    assert "Hint 1 of 3: a" in capsys.readouterr().out


def test_the_smallest_case_that_fails_is_shown(capsys):
    exercise = demo()
    exercise(lambda x: x)
    assert capsys.readouterr().out.startswith("✗ demo, 3 numbers: ")
    exercise(lambda x: x if len(x) > 3 else x + 1)
    assert capsys.readouterr().out.startswith("✗ demo, 8 numbers: ")
    exercise(lambda x: x if len(x) > 3 else 1 / 0)
    assert capsys.readouterr().out.startswith("✗ demo, 8 numbers: "), "a wrong answer before an input that stops it"


def numbers_in(lines):
    return sum(len(re.findall(r"-?[\d.]+", line.split(": ")[1])) for line in lines if "shape" not in line)


@pytest.mark.parametrize("exercise, words, wrong", MISTAKES, ids=lambda x: getattr(x, "name", ""))
def test_a_message_holds_a_row_of_numbers_at_most(exercise, words, wrong, capsys):
    exercise(wrong)
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if re.match(r" +(input|expected|yours): ", line)]
    assert len(rows) == (1 if exercise.kind == "read" else 3) and numbers_in(rows) <= 24, out  # a reading is not told
    hidden = any(re.search(r"of shape|\d numbers", row) for row in rows)
    assert hidden == (f"checks.{exercise.name}.show() shows all of it." in out), out


def test_show_prints_the_case_that_failed_in_full(capsys):
    exercise = demo()
    exercise.show()
    assert "nothing to show" in capsys.readouterr().out
    exercise(lambda x: x if len(x) > 8 else x + 1)
    assert "tensor of shape (30,)" in capsys.readouterr().out
    exercise.show()
    out = capsys.readouterr().out
    assert all(f"{word}: tensor of shape (30,)" in out for word in ("x", "expected", "yours")) and "..." not in out
    assert out.count("29.") == 3 and "30." in out
    exercise(exercise.answer)
    capsys.readouterr()
    exercise.show()
    assert "nothing to show" in capsys.readouterr().out


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_show_prints_whatever_was_given(exercise, capsys):
    for answer in (lambda *_: Unreadable(), lambda *_: Endless(), lambda *_: endless_list(), stops(ValueError("no"))):
        exercise(answer)
        exercise.show()
        assert len(capsys.readouterr().out) < 100_000


def test_a_list_of_tensors_is_told_what_joins_it():
    one = torch.ones(2, 3)
    assert "a list of 2 tensors; torch.stack makes" in checks.difference([one[0], one[1]], one)
    assert "a tuple of 2 tensors; torch.cat makes" in checks.difference((one[:1], one[1:]), one)
    assert checks.difference([one, one], one).endswith("got a list of 2 tensors.")


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_infinity_is_like_itself_so_that_a_mistake_that_gives_it_is_named(value):
    assert checks.difference(np.float32(value), value) is None
    assert checks.difference(1.0, value) is not None and checks.difference(-value, 1.0) is not None
    if value == value:
        assert checks.difference(-value, value) is not None


# ------------------------------------------------------------------------------------- reading, and many right answers


def reading(**more):
    return checks.Exercise(
        "reading", lambda: (98, 6), lambda: [("the figure", ())], ["Look.", "Left.", "Bars."], kind="read", **more
    )


def test_what_is_read_off_wrongly_is_not_given_away(capsys):
    check = reading()
    check(lambda: (98, 7))
    check.show()
    out = capsys.readouterr().out
    assert "result 2 of 2 is not what is there; look again." in out and "98 | 7" in out
    assert "6" not in out.replace("98 | 7", "") and "expected" not in out and "input" not in out


def test_what_is_read_off_right_passes_and_a_thing_of_another_kind_is_no_reading(capsys):
    check = reading()
    check(lambda: [98, 6])
    assert capsys.readouterr().out == "✓ reading: right.\n"
    check(lambda: 98)
    assert "expected 2 results, got" in capsys.readouterr().out


def test_a_mistake_in_reading_is_named(capsys):
    reading(mistakes=[("You read the other axis.", lambda: (6, 98))])(lambda: (6, 98))
    assert "You read the other axis." in capsys.readouterr().out


def even(result, n):
    return None if int(result) % 2 == 0 and result > n else f"{result} is not an even number above {n}."


def designing():
    cases = [("three", (3,)), ("none", (0,))]
    return checks.Exercise(
        "designing", lambda n: n + 2 - n % 2, lambda: cases, ["Above."] * 3, kind="design", judge=even
    )


@pytest.mark.parametrize(
    "right", [lambda n: 2 * n + 2, lambda n: 1000, lambda n: np.int64(8), lambda n: torch.tensor(4)]
)
def test_of_many_right_answers_each_passes(right, capsys):
    designing()(right)
    assert capsys.readouterr().out.startswith("✓ designing: right on all 2 inputs")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda n: n + 1 + n % 2 - 1, "is not an even number above"),
        (lambda n: 2 * n - 2, "-2 is not an even number above 0."),
        (lambda n: None, "returned nothing"),
        (lambda n: "four", "expected a number, got a str"),
        (lambda n: [4], "expected a number, got 1 results"),
    ],
)
def test_a_judge_says_what_is_wrong(wrong, words, capsys):
    designing()(wrong)
    assert words in capsys.readouterr().out


def test_a_judge_cannot_change_what_is_shown(capsys):
    def greedy(result, n):
        result.clear()
        return "It is empty."

    checks.Exercise("designing", lambda n: [n], lambda: [("one", (1,))], ["a", "b", "c"], judge=greedy)(
        lambda n: [5, 6]
    )
    assert "yours: 5 | 6" in capsys.readouterr().out
