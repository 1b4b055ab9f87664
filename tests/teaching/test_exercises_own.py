"""The exercises of lesson 13: wrong answers as learners write them, right ones in another form, and what is asked."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import assert_refused
from helpers import random as normal

import vtm_lesson as vtm
from vtm_lesson import checks
from vtm_lesson.merging.reducers.energy import energy
from vtm_lesson.merging.strategies import Context, reduce
from vtm_lesson.study.own import tried


@pytest.fixture(autouse=True)
def _outside_grading(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)


def frame_by_frame(which):
    def answer(frames, height, width, n_targets):
        found = []
        for frame in which(frames, -(-n_targets // (height * width))):
            found += [frame * height * width + i for i in range(height * width)]
        return torch.tensor(found[:n_targets])

    return answer


def token_by_token(joins, first=0):
    def answer(changes, threshold):
        rows, group, count = [list(range(changes.shape[1]))], {}, changes.shape[1]
        for row in changes:
            group = dict(enumerate(rows[-1]))
            for place, change in enumerate(row.tolist()):
                if not joins(change, threshold):
                    group[place], count = count, count + 1
            rows.append([group[place] for place in range(changes.shape[1])])
        return torch.tensor(rows) + first

    return answer


def pairs(value, length=lambda key: float(key.norm()) or 1.0):
    def answer(keys, margin):
        unit = [key / length(key) for key in keys]
        return torch.tensor([sum(value(float(a @ b), margin) for b in unit) / len(unit) for a in unit])

    return answer


def as_given(c, m):
    return c if c >= m else np.exp(c - m) - 1


def one_pass(times, accuracies):
    """The usual way: sort by time, keep whoever is better than all before; equal rows go."""
    found, best = [], -1.0
    for i in np.lexsort((-np.array(accuracies), np.array(times))).tolist():
        if accuracies[i] > best:
            found, best = [*found, i], accuracies[i]
    return found


def unlike(context):
    return (context.keys - context.keys.mean(1, keepdim=True)).norm(dim=2)


WRONG = [
    # exercise, what is said (None: only the right result is shown), answer
    ("frame_targets", "follow each other", frame_by_frame(lambda frames, k: range(k))),
    ("frame_targets", "from the first to the last", frame_by_frame(lambda f, k: np.linspace(0, f - 1, k).astype(int))),
    ("frame_targets", "as floor does", frame_by_frame(lambda f, k: [round(i * f / k) for i in range(k)])),
    ("frame_targets", "as naive VTM does", lambda f, h, w, t: (torch.arange(t) * (f * h * w / t)).floor().long()),
    ("frame_targets", "the middle", frame_by_frame(lambda f, k: [int((i + 0.5) * f / k) for i in range(k)])),
    ("run_groups", "at exactly the threshold", token_by_token(lambda change, threshold: change <= threshold)),
    ("run_groups", "the wrong way round", token_by_token(lambda change, threshold: change >= threshold)),
    ("run_groups", "from 0", token_by_token(lambda change, threshold: change < threshold, first=1)),
    ("energy_score", "looks like a whole cluster", pairs(as_given, length=lambda key: 1.0)),
    ("energy_score", "not subtracted", pairs(lambda c, m: c if c >= m else np.exp(c - m))),
    ("energy_score", "negative, not 0", pairs(lambda c, m: c if c >= m else 0.0)),
    ("left_at", "exactly the threshold it stays", lambda b, t, n: torch.tensor([n + sum(v < t for v in r) for r in b])),
    ("left_at", "are left as well", lambda b, t, n: b.le(t).long().sum(-1)),
    ("left_at", "those that are merged", lambda b, t, n: (b > t).count_nonzero(dim=1)),
    ("pareto_front", "both stay", one_pass),
    ("pareto_front", "All rows are in your result", lambda t, a: sorted(range(len(t)), key=lambda i: t[i])),
    ("own_partition", "highest first", lambda c: torch.topk(c.motion, c.n_targets)[1]),
    ("own_partition", "round the budget down", lambda c: unlike(c).topk(int(c.n / c.gamma))[1].sort(1)[0]),
]


@pytest.mark.parametrize("name, said, answer", WRONG, ids=[f"{row[0]}-{i}" for i, row in enumerate(WRONG)])
def test_wrong_answers_are_refused_and_named(name, said, answer, capsys):
    assert_refused(getattr(checks, name), said, answer, capsys)


RIGHT = [
    ("frame_targets", lambda *a: frame_by_frame(lambda f, k: [i * f // k for i in range(k)])(*a).tolist()),
    ("run_groups", lambda c, t: token_by_token(lambda change, threshold: change < threshold)(c, t).numpy()),
    ("energy_score", pairs(as_given)),
    ("energy_score", lambda k, m: energy(k[None], m)[0] / 2**16),
    ("left_at", lambda b, t, n: [n + b.shape[1] - int((row > t).sum()) for row in b]),
    ("pareto_front", lambda t, a: np.array(checks.pareto_front.answer(t, a), dtype=np.int64)),
    ("own_partition", lambda context: context.draw(context.motion)),
    ("own_partition", lambda context: np.sort(np.argsort(-context.motion.numpy())[:, : context.n_targets])),
    ("own_partition", lambda c: [sorted(row.argsort()[: c.n_targets].tolist()) for row in c.saliency]),
]


@pytest.mark.parametrize("name, answer", RIGHT, ids=[f"{row[0]}-{i}" for i, row in enumerate(RIGHT)])
def test_right_answers_in_another_form_are_taken(name, answer, capsys):
    getattr(checks, name)(answer)
    out = capsys.readouterr().out
    assert out.startswith("✓"), out


# ------------------------------------------------------------------------------ the exercises are what the package has


def test_whole_frames_are_a_partition():
    keys = normal(1, 5 * 6, 4)
    context = Context(keys, 2.5, 5, 2, 3, torch.arange(30)[None], torch.ones(1, 30))
    merge = reduce(tried(checks.frame_targets.answer), context)
    assert merge.keep.tolist() == [[*range(6), *range(12, 18)]]  # of five frames the first and the third


def test_runs_are_those_of_the_reducer():
    keys = normal(1, 6 * 9, 4)
    context = Context(keys, 6, 6, 3, 3, torch.arange(54)[None], torch.ones(1, 54))
    merge = vtm.reducer("run_length", above=1.1, average=True)(context)
    changes = keys.view(6, 9, 4).diff(dim=0).abs().mean(-1) / keys.abs().mean()
    group = checks.run_groups.answer(changes, 1.1)
    assert 9 < merge.n_out < 54 and torch.equal(group.flatten(), merge.group[0])


def test_what_is_left_is_what_the_reducer_leaves():
    keys = normal(3, 30, 4)
    context = Context(keys, 5, 5, 2, 3, torch.arange(30).expand(3, -1), torch.ones(3, 30))
    left = vtm.reducer("threshold", above=0.7)(context).size().gt(0).sum(1)
    best = vtm.nearest(keys, vtm.uniform(30, 5))[1]
    assert len(set(left.tolist())) > 1 and torch.equal(checks.left_at.answer(best, 0.7, 6), left)


def test_the_lone_long_token_is_the_one_that_energy_protects():
    keys = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, -0.1], [0.0, 3.0]])
    assert checks.energy_score.answer(keys, 0.75).argmin() == 3
    assert (keys @ keys.T).mean(1).argmax() == 3


# ----------------------------------------------------------------------------------------------- your own partition


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda c: torch.arange(c.n_targets + 1), "you have 4 targets a film; the budget is context.n_targets"),
        (lambda c: torch.arange(c.n_targets) + c.n, "your targets lie between 12 and 14; a film has 12 tokens"),
        (lambda c: torch.arange(c.n_targets) - 1, "your targets lie between -1 and 1"),
        (lambda c: torch.zeros(c.n_targets, dtype=torch.int64), "token 0 is a target twice"),
        (lambda c: torch.arange(c.n_targets).flip(0), "out of order"),
        (lambda c: torch.arange(c.n_targets).expand(5, -1), "you have targets for 5 films; the batch has 1"),
        (lambda c: torch.arange(c.n) < c.n_targets, "that is a mask"),
        (lambda c: torch.arange(c.n_targets).double(), "whole numbers, (1, 3)"),
        (lambda c: c.position[:, : c.n_targets], "whatever patches of the video"),
    ],
)
def test_targets_that_no_partition_returns_are_told_why(answer, said, capsys):
    checks.own_partition(answer)
    out = capsys.readouterr().out
    assert out.startswith("✗ own_partition, ") and said in out, out


def first_film_only(context):
    return context.draw(context.motion)[0]


def across_films(context):
    return vtm.top(context.motion - context.motion.mean(0, keepdim=True), context.gamma)


COUNT = iter(range(10**9))


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda c: vtm.uniform(c.n, c.gamma), "its targets stayed the same; look at every film"),
        (lambda c: c.draw(torch.zeros_like(c.size)), "its targets stayed the same; look at every film"),
        (first_film_only, "its targets stayed the same; look at every film"),
        (across_films, "the targets of another one changed; films of a batch know nothing of each other"),
        (lambda c: c.draw(5 * c.oracle), "your targets change with context.oracle, which knows the actor"),
        (
            lambda c: vtm.sample(c.motion, c.gamma, generator=torch.Generator().manual_seed(next(COUNT))),
            "a second call with the same seed gave another result; draw with context.draw",
        ),
    ],
)
def test_what_is_demanded_over_several_calls_is_missed_one_by_one(answer, said, capsys):
    exercise = copy.copy(checks.own_partition)
    exercise.tries = 0
    exercise(answer)
    out = capsys.readouterr().out
    assert out.startswith("✗ own_partition, called several times: ") and said in out, out
    assert "Hint 1 of 3" in out, "it is an answer, and not right yet"


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda c: c.draw(c.motion / c.motion.amax(1, keepdim=True)), "in which nothing moves, gamma 6: your function"),
        (lambda c: c.draw(c.column / (c.width - 1) + c.motion), "what is left of 4 x 3 x 1"),
        (lambda c: torch.topk(c.keys.mul_(2).norm(dim=2), c.n_targets).indices.sort().values, "changed its input"),
    ],
)
def test_awkward_films_are_among_the_inputs(answer, said, capsys):
    checks.own_partition(answer)
    assert said in capsys.readouterr().out


def test_a_trial_is_copied_with_the_state_of_its_generator():
    for words, (context,) in checks.own_partition.cases():
        before = copy.deepcopy(context)
        first = context.draw(context.motion)
        assert context == before and repr(context) == words, "a draw is no change"
        assert torch.equal(before.draw(before.motion), first)
        before.keys[0, 0, 0] += 1
        assert context != before, "the copy has tensors of its own"


def test_a_demand_that_stops_is_told_and_a_grade_is_none(monkeypatch, capsys):
    def stops(function):
        raise RuntimeError("the second call fails")

    exercise = checks.Exercise("once", lambda n: n, lambda: [("one", (1,))], ("a", "b", "c"), demand=stops)
    exercise(lambda n: n)
    out = capsys.readouterr().out
    assert out.startswith("✗ once, called several times: your function stopped with RuntimeError: the second call"), out
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(AssertionError, match="called several times"):
        exercise(lambda n: n)


def test_what_is_not_right_on_its_inputs_is_not_asked_for_more(capsys):
    asked = []
    exercise = checks.Exercise("once", lambda n: n, lambda: [("one", (1,))], ("a", "b", "c"), demand=asked.append)
    exercise(lambda n: n + 1)
    assert not asked and "expected 1, got 2" in capsys.readouterr().out
    exercise(lambda n: n)
    assert len(asked) == 1 and capsys.readouterr().out.startswith("✓ once: right.")


def test_the_packages_partition_and_that_of_the_hint_do_all_that_is_demanded():
    for partition in (checks.own_partition.answer, lambda c: unlike(c).topk(c.n_targets).indices.sort().values):
        assert checks.own_partition.demand(partition) is None
        assert checks.own_partition.demand(lambda c, own=partition: own(c).numpy()) is None


def test_the_packages_partition_runs_where_nothing_moves_and_nothing_is_known():
    context = Context(
        F.normalize(normal(2, 16, 4), dim=2), 4, 1, 4, 4, torch.arange(16).expand(2, -1), torch.ones(2, 16)
    )
    assert reduce(tried(checks.own_partition.answer), context).n_out == 4
