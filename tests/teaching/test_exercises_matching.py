"""The puzzles of lesson 02: wrong answers as learners write them, and right ones that look different."""

import numpy as np
import pytest
import torch

from vtm_lesson import checks, match


@pytest.fixture(autouse=True)
def _outside_grading(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)


def whole(numbers):
    return torch.tensor([*numbers], dtype=torch.int64)


def halves(n):
    return torch.arange(0, n, 2), torch.arange(1, n, 2)


def groups_by_loop(n, merged, into):
    goes = dict(zip(merged.tolist(), into.tolist(), strict=True))
    left = [i for i in range(n) if i not in goes]
    return [left.index(goes.get(i, i)) for i in range(n)]


def groups_without_a_second_look(n, merged, into):
    """The new number of the target as if nothing before it had gone."""
    group = torch.arange(n)
    stays = torch.ones(n, dtype=torch.bool)
    stays[merged] = False
    group[stays] = torch.arange(int(stays.sum()))
    group[merged] = into
    return group


def sizes_by_loop(group, size):
    total = [0.0] * (int(group.max()) + 1)
    for g, s in zip(group.tolist(), size.tolist(), strict=True):
        total[g] += s
    return total


def sizes_overwritten(group, size):
    total = torch.zeros(int(group.max()) + 1)
    total[group] += size
    return total


def step_from_pieces(x, keys, r, late=False):
    sources, targets = halves(len(x))
    best, similarity = checks.nearest_target.answer(keys, sources, targets)
    order = similarity.argsort(descending=True, stable=True)[:r]
    into = targets[best[order]] if not late else best[order]
    return checks.group_mean.answer(x, checks.partial_groups.answer(len(x), sources[order], into))


WRONG = [
    ("every_gamma_th", "range from the offset", "You begin at offset itself", lambda n, g, o: whole(range(o, n, g))),
    ("every_gamma_th", "no offset", "has no effect", lambda n, g, o: [i for i in range(n) if i % g == 0]),
    ("every_gamma_th", "to the left", "to the left", lambda n, g, o: [i for i in range(n) if (i + o) % g == 0]),
    ("every_gamma_th", "a mask", None, lambda n, g, o: (torch.arange(n) - o) % g == 0),
    ("full_groups", "positions", "asked is its number", lambda b, s, t: placed(s, t, t[b], t)),
    ("full_groups", "two heaps", "two heaps", lambda b, s, t: [*b.tolist(), *range(len(t))]),
    ("full_groups", "sources only", "for each source only", lambda b, s, t: b),
    ("full_groups", "counted from 1", None, lambda b, s, t: placed(s, t, b + 1, torch.arange(len(t)) + 1)),
    ("surviving_positions", "the merged ones", "that disappear", lambda n, m: whole(sorted(m.tolist()))),
    ("surviving_positions", "new numbers", "number the survivors anew", lambda n, m: range(n - len(m))),
    ("surviving_positions", "the mask", "That is the mask", lambda n, m: ~torch.isin(torch.arange(n), m)),
    ("surviving_positions", "a column", "first column", lambda n, m: (~torch.isin(torch.arange(n), m)).nonzero()),
    ("partial_groups", "old positions", "These are old positions", lambda n, m, i: torch.arange(n).index_copy(0, m, i)),
    ("partial_groups", "position of the target", "take its new number", groups_without_a_second_look),
    ("partial_groups", "survivors only", None, lambda n, m, i: torch.arange(n - len(m))),
    ("tome_step", "numbers, not positions", "takes positions", lambda x, k, r: step_from_pieces(x, k, r, late=True)),
    ("compose_groups", "the last one", "last merge alone", lambda groups: groups[-1]),
    ("compose_groups", "two", "after the second merge", lambda g: g[1][g[0]] if g[1:] else g[0]),
    ("compose_groups", "a sum", None, lambda groups: sum(g[: len(groups[-1])] for g in groups)),
    ("token_sizes", "the broken version itself", "only the last counts", sizes_overwritten),
    ("token_sizes", "counted", "You count tokens", lambda g, s: torch.bincount(g)),
    ("token_sizes", "for each token", "one number for each group", lambda g, s: torch.tensor(sizes_by_loop(g, s))[g]),
    ("time_order", "one argsort", "That is argsort", lambda a, b: torch.cat([a, b]).argsort()),
    ("time_order", "positions", "These are the old positions", lambda a, b: [*a.tolist(), *b.tolist()]),
    ("time_order", "counted from 1", "begin at 0", lambda a, b: torch.cat([a, b]).argsort().argsort() + 1),
    ("time_order", "only the targets", None, lambda a, b: b.argsort().argsort()),
    ("token_sizes", "the largest", None, lambda g, s: torch.zeros(int(g.max()) + 1).scatter_reduce(0, g, s, "amax")),
]  # fmt: skip

RIGHT = [
    ("every_gamma_th", lambda n, g, o: [i for i in range(n) if (i - o) % g == 0]),
    ("every_gamma_th", lambda n, g, o: np.arange(o % g, n, g)),
    ("full_groups", lambda b, s, t: placed(s, t, b, torch.arange(len(t)))),
    ("full_groups", lambda b, s, t: torch.cat([b, torch.arange(len(t))])[torch.cat([s, t]).argsort()]),
    ("surviving_positions", lambda n, m: [i for i in range(n) if i not in m.tolist()]),
    ("surviving_positions", lambda n, m: torch.arange(n)[~torch.isin(torch.arange(n), m)]),
    ("partial_groups", groups_by_loop),
    ("partial_groups", lambda n, m, i: torch.unique(torch.arange(n).index_copy(0, m, i), return_inverse=True)[1]),
    ("tome_step", step_from_pieces),
    ("tome_step", lambda x, k, r: match(k[None], halves(len(x))[1], r)(x[None])[0]),
    ("compose_groups", lambda groups: [follow(i, groups) for i in range(len(groups[0]))]),
    ("time_order", lambda a, b: [sorted([*a.tolist(), *b.tolist()]).index(i) for i in [*a.tolist(), *b.tolist()]]),
    ("time_order", lambda a, b: torch.cat([a, b]).argsort().argsort()),
    ("token_sizes", sizes_by_loop),
    ("token_sizes", lambda g, s: torch.bincount(g, weights=s)),
]


def placed(sources, targets, of_sources, of_targets):
    numbers = torch.zeros(len(sources) + len(targets), dtype=torch.int64)
    numbers[sources], numbers[targets] = of_sources, of_targets
    return numbers


def follow(token, groups):
    for group in groups:
        token = int(group[token])
    return token


@pytest.mark.parametrize(("name", "what", "told", "answer"), WRONG, ids=[f"{row[0]}: {row[1]}" for row in WRONG])
def test_wrong_answers_are_refused_and_the_usual_ones_named(name, what, told, answer, capsys):
    exercise = getattr(checks, name)
    exercise(answer)
    said = capsys.readouterr().out
    assert said.startswith("✗"), said
    if told is None:
        assert not any(words in said for words, _ in exercise.mistakes), said
    else:
        assert told in said


@pytest.mark.parametrize(("name", "answer"), RIGHT)
def test_right_answers_in_another_form_are_taken(name, answer, capsys, monkeypatch):
    monkeypatch.setattr("vtm_lesson.teaching.exercise.record_solved", lambda *_: None)
    getattr(checks, name)(answer)
    assert capsys.readouterr().out.startswith("✓")


def test_the_answers_are_what_the_package_gives():
    keys = torch.randn(1, 12, 4, generator=torch.Generator().manual_seed(0))
    merge = match(keys, torch.arange(1, 12, 2), 3)
    gone = torch.tensor([i for i in range(12) if i not in merge.keep[0].tolist()])
    group = merge.group[0]
    assert checks.surviving_positions.answer(12, gone).tolist() == merge.keep[0].tolist()
    assert checks.partial_groups.answer(12, gone, merge.into[0, gone]).tolist() == group.tolist()
    assert checks.token_sizes.answer(group, torch.ones(12)).tolist() == merge.size()[0].tolist()
    second = match(merge(keys), torch.arange(0, 9, 3))
    assert checks.compose_groups.answer([group, second.group[0]]).tolist() == merge.then(second).group[0].tolist()
    heaps = torch.cat([left := torch.tensor([8, 2]), targets := torch.tensor([1, 3, 5])])
    in_time = torch.empty(5, dtype=torch.int64)
    in_time[checks.time_order.answer(left, targets)] = heaps
    assert in_time.tolist() == [1, 2, 3, 5, 8]
