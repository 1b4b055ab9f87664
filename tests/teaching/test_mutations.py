"""The short form of the mutation audit: of every exercise a few wrong answers, made from the right one.

All of them are tried in tests/all/test_all_mutants.py.
"""

import copy
import random

import pytest

import mutation_audit as audit
from vtm_lesson import checks

CODE = audit.solutions()
FOUND = {name: audit.mutants(name, CODE[name]) for name in audit.NAMES}


@pytest.mark.parametrize("name", audit.NAMES)
def test_a_few_mutants_are_refused(name):
    left = [outcome for outcome in audit.audit([name], short=True) if outcome.kind == "survivor"]
    assert not left, [(outcome.mutant.line, outcome.words) for outcome in left]


def test_every_exercise_has_ten_mutants_or_more():
    assert all(len(found) >= 10 for found in FOUND.values()), {name: len(found) for name, found in FOUND.items()}


@pytest.mark.parametrize("name", audit.NAMES)
def test_the_random_inputs_are_such_that_the_solution_is_right_on_them(name):
    exercise, dice = getattr(checks, name), random.Random(name)
    solution = audit.compiled(audit.Mutant(name, "", CODE[name]))
    for _ in range(25):
        arguments = audit.RANDOM[name](dice)
        expected = exercise.answer(*copy.deepcopy(arguments))
        assert exercise.wrong(solution(*copy.deepcopy(arguments)), arguments, expected) is None, arguments


def test_the_table_of_equal_ones_has_no_mutant_that_is_not_made():
    lines = {(name, mutant.line) for name, found in FOUND.items() for mutant in found}
    assert not [(name, line) for name, line, _ in audit.EQUAL if (name, line) not in lines]


def test_an_input_that_is_missing_is_found(monkeypatch):
    """With one image only, the largest of its counts is the least."""
    exercise, one_image = copy.copy(checks.above), list(checks.above.cases())[:1]
    monkeypatch.setattr(exercise, "cases", lambda: one_image)
    monkeypatch.setattr(checks, "above", exercise)
    kinds = {outcome.mutant.line: outcome for outcome in audit.audit(["above"])}
    outcome = kinds["return int((similarity > threshold).sum(dim=1).max())"]
    assert outcome.kind == "survivor" and "Input" in outcome.words


def test_a_mutant_that_never_ends_is_stopped():
    endless = audit.Mutant("alternate", "", "def alternate(n):\n    while True:\n        n += 1")
    assert audit.tried(endless).kind == "stopped"


def test_a_mutant_that_takes_all_memory_is_stopped():
    code = "def alternate(n):\n    return torch.zeros(1 << 38), torch.zeros(1)"
    assert audit.tried(audit.Mutant("alternate", "", code)).kind == "stopped"


def test_the_audit_records_nothing_as_solved(monkeypatch):
    def recorded(name):
        raise RuntimeError(f"{name} was recorded")

    monkeypatch.setattr("vtm_lesson.teaching.exercise.record_solved", recorded)
    assert audit.tried(audit.Mutant("alternate", "", CODE["alternate"])).kind == "survivor"  # right, and not in EQUAL
