"""Every wrong answer of the mutation audit, judged as the pytest form and as nbgrader's form of the exercises do.

A check refuses it in the notebook, so both have to.
"""

import pytest
import torch
from helpers import in_a_kernel

import mutation_audit as audit
from vtm_lesson import checks
from vtm_lesson.teaching import judging
from vtm_lesson.teaching.classroom.marking import fault

CODE = audit.solutions()


@pytest.mark.parametrize("name", audit.NAMES)
def test_every_mutant_is_refused_or_known_to_be_equal(name):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the tensors are tiny
    try:
        taken, marked = [], []
        exercise = getattr(checks, name)
        for mutant in audit.mutants(name, CODE[name]):
            with audit.quiet():
                function = audit.compiled(mutant)
                found, _ = judging.verdict(name, {name: function})
                marked += [mutant.line] if fault(exercise, in_a_kernel(function), "anna") is None else []
            taken += [mutant.line] if found.kind == "right" else []
            assert (found.kind == "right") == (found.words == "") == (found.text == ""), mutant.line
    finally:
        torch.set_num_threads(threads)
    equal = {line for of, line, _ in audit.EQUAL if of == name}
    many = exercise.demand is not None  # other right answers; tests/all/test_all_mutants.py tries those
    assert many or set(taken) == equal, set(taken) ^ equal
    assert set(marked) <= set(taken), f"marks for what the check refuses: {set(marked) - set(taken)}"
    assert equal <= set(marked) or many, f"no marks for what is equal: {equal - set(marked)}"
