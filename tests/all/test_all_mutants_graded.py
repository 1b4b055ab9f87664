"""Every wrong answer of the mutation audit, judged as the pytest form of the exercises does: refused there, too."""

import pytest
import torch

import mutation_audit as audit
from vtm_lesson import checks
from vtm_lesson.teaching import judging

CODE = audit.solutions()


@pytest.mark.parametrize("name", audit.NAMES)
def test_every_mutant_is_refused_or_known_to_be_equal(name):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the tensors are tiny
    try:
        taken = []
        for mutant in audit.mutants(name, CODE[name]):
            with audit.quiet():
                found, _ = judging.verdict(name, {name: audit.compiled(mutant)})
            taken += [mutant.line] if found.kind == "right" else []
            assert (found.kind == "right") == (found.words == "") == (found.text == ""), mutant.line
    finally:
        torch.set_num_threads(threads)
    equal = {line for of, line, _ in audit.EQUAL if of == name}
    many = getattr(checks, name).demand is not None  # other right answers; tests/all/test_all_mutants.py tries those
    assert many or set(taken) == equal, set(taken) ^ equal
