"""Answers to the exercises of lesson 11 as learners write them."""

import math

import numpy as np
import pytest
import torch
from helpers import assert_refused

from vtm_lesson import checks


@pytest.fixture(autouse=True)
def _outside_grading(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)


def counts(frames, first, ratio, up=math.ceil):
    found = [up(frames / first)]
    while found[-1] > 1:
        found.append(up(found[-1] / ratio))
    return found


WRONG = [
    ("level_chunks", "rounds down", "round up at every level", lambda *given: counts(*given, up=math.floor)),
    ("level_chunks", "levels only", "how many levels there are", lambda *given: len(counts(*given))),
    ("tokens_waiting", "all parts", "parts can wait, not", lambda k, n, r, c: c + (n - 1) * r * k),
    ("tokens_waiting", "no chunk", "has not been counted", lambda k, n, r, c: (n - 1) * (r - 1) * k),
    ("film_map", "no shift", "shift each chunk's numbers", lambda chunks, above: above[torch.cat(chunks)]),
    ("keep_best", "by score", "in another order", lambda s, p, n, f, k: tuple(
        part[torch.cat([s, n]).argsort(descending=True, stable=True)[:k]]
        for part in (torch.cat([s, n]), torch.cat([p, torch.arange(f, f + len(n))])))),
    ("found_again", "precision", "share of the KEPT", lambda p, a: (
        float(a.flatten()[p].float().mean()), checks.found_again.answer(p, a)[1])),
]  # fmt: skip


@pytest.mark.parametrize("name, says, answer", [pytest.param(r[0], *r[2:], id=f"{r[0]}: {r[1]}") for r in WRONG])
def test_a_wrong_answer_is_refused_and_its_mistake_named(name, says, answer, capsys):
    assert_refused(getattr(checks, name), says, answer, capsys)


RIGHT = [
    ("level_chunks", "ceil", counts),
    ("tokens_waiting", "level by level", lambda k, n, r, c: c + sum(k * (r - 1) for _ in range(n - 1))),
    ("film_map", "lists", lambda chunks, above: [
        int(above[int(g) + sum(int(c.max()) + 1 for c in chunks[:i])]) for i, part in enumerate(chunks) for g in part]),
    ("found_again", "NumPy", lambda p, a: (
        np.isin(np.flatnonzero(a.numpy()), p.numpy()).mean(),
        len({int(x) // a[0].numel() for x in p if a.flatten()[x]}) / int(a.flatten(1).any(1).sum()))),
]  # fmt: skip


@pytest.mark.parametrize("name, answer", [pytest.param(r[0], r[2], id=f"{r[0]}: {r[1]}") for r in RIGHT])
def test_a_right_answer_in_another_form_is_accepted(name, answer, capsys):
    getattr(checks, name)(answer)
    assert capsys.readouterr().out.startswith(f"✓ {name}: right")
