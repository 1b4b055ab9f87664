"""Answers to the newer exercises of lessons 00 and 01 as learners write them: wrong ones, and right ones."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import assert_refused

from vtm_lesson import checks


@pytest.fixture(autouse=True)
def _outside_grading(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)


# ---------------------------------------------------------------------------------------------------------------
# Written out here, so that nothing of the package judges itself. Each of these is right by default.
# ---------------------------------------------------------------------------------------------------------------


def at(row=5, column=7, frame=20, first=0):
    return row + first, column + first, frame * 196 + row * 14 + column


def means(x, group):
    return torch.stack([x[group == g].mean(0) for g in range(int(group.max()) + 1)])


def error(x, group, which, root=math.sqrt, square=lambda d: d * d, choose=lambda d, w: d[w]):
    apart = choose(means(x, group)[group] - x, which)
    return root(float(square(apart).mean()))


def attend(q, k, v, divide=None, axis=-1):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divide is None else divide(q, k, v))
    weights = scores.exp() if axis is None else scores.softmax(axis)
    return weights @ v


def bill(n, dim):
    return n * dim * (2 * n + 4 * dim)


def gain(n, dim, gamma, left=lambda n, gamma: math.ceil(n / gamma), cost=bill):
    return cost(n, dim) / cost(left(n, gamma), dim)


def one_by_one(q, k, v):
    """Query by query, for any number of dimensions before the last two."""
    rows = [attend(q[..., i : i + 1, :], k, v) for i in range(q.shape[-2])]
    return torch.cat(rows, dim=-2)


# ---------------------------------------------------------------------------------------------------------------
# Wrong answers: exercise, what is wrong, a piece of the mistake that must be named (None: none fits), the function
# ---------------------------------------------------------------------------------------------------------------

WRONG = [
    ("token_position", "everything from 1", "count from 1", lambda: (6, 8, 21 * 196 + 6 * 14 + 8)),
    ("token_position", "row and column from 1", "rows and columns from 1", lambda: at(first=1)),
    ("token_position", "column first", "swapped", lambda: at(7, 5)),
    ("token_position", "the other hand", "other hand", lambda: at(5, 10)),
    ("token_position", "within the frame", "in its own frame", lambda: (5, 7, 77)),
    ("token_position", "19 frames before", "not 19", lambda: at(frame=19)),
    ("token_position", "column by column", "row by row", lambda: (5, 7, 3920 + 7 * 14 + 5)),
    ("token_position", "one row off", "One square beside it", lambda: at(6, 7)),
    ("token_position", "no rows", "The place is right", lambda: (5, 7, 20 * 196 + 7)),
    ("token_position", "rows of 13", None, lambda: (5, 7, 3920 + 5 * 13 + 7)),
    ("token_position", "elsewhere", None, lambda: at(1, 1)),
    ("unmerge", "as the first try", "in the order of the groups", lambda y, g: y.repeat_interleave(g.bincount(), 0)),
    ("unmerge", "a row for each group", "one for each token", lambda y, g: y.clone()),
    ("unmerge", "divided", "all of the average", lambda y, g: y[g] / g.bincount()[g][:, None]),
    ("unmerge", "sums", "which is the sum", lambda y, g: y[g] * g.bincount()[g][:, None]),
    ("unmerge", "over and over", "repeat the whole list", lambda y, g: y.repeat(len(g), 1)[: len(g)]),
    ("unmerge", "groups sorted first", "in the order of the groups", lambda y, g: y[g.sort().values]),
    ("unmerge", "rounded", "rounded to whole numbers", lambda y, g: y[g].long()),
    ("unmerge", "zeros", "not those of the tokens' groups", lambda y, g: torch.zeros(len(g), y.shape[1])),
    ("merging_error", "no root", "root is missing", lambda x, g, w: error(x, g, w, root=float)),
    ("merging_error", "mean distance", "mean distance", lambda x, g, w: error(x, g, w, root=float, square=torch.abs)),
    ("merging_error", "all tokens", "all tokens", lambda x, g, w: error(x, g, w, choose=lambda d, w: d)),
    ("merging_error", "the others", "not chosen", lambda x, g, w: error(x, g, ~w) if (~w).any() else math.nan),
    (
        "merging_error",
        "over all tokens",
        "over the chosen ones only",
        lambda x, g, w: error(x, g, w, choose=lambda d, w: d * w[:, None]),
    ),
    ("merging_error", "signs", "cancel out", lambda x, g, w: error(x, g, w, root=float, square=lambda d: d)),
    (
        "merging_error",
        "chosen before merging",
        "made of all tokens",
        lambda x, g, w: error(x[w], g[w].unique(return_inverse=True)[1], w[w]),
    ),
    ("stored_attention", "no root", "root of D is missing", lambda *a: attend(*a, divide=lambda q, k, v: 1)),
    ("stored_attention", "wrong axis", "still runs along the wrong axis", lambda *a: attend(*a, axis=-2)),
    ("stored_attention", "both", "both places", lambda *a: attend(*a, lambda q, k, v: 1, -2)),
    ("stored_attention", "D", "by D;", lambda *a: attend(*a, lambda q, k, v: q.shape[-1])),
    ("stored_attention", "root of N", "number of queries", lambda *a: attend(*a, lambda q, k, v: q.shape[-2] ** 0.5)),
    ("stored_attention", "values' D", "values' length", lambda *a: attend(*a, lambda q, k, v: v.shape[-1] ** 0.5)),
    ("stored_attention", "axis 1", "every query's weights", lambda *a: attend(*a, axis=1)),
    ("stored_attention", "not normalised", None, lambda *a: attend(*a, axis=None)),
    ("merging_gain", "tokens", "not linear", lambda n, d, g: g),
    ("merging_gain", "pairs", "pairs of tokens", lambda n, d, g: gain(n, d, g, cost=lambda n, d: n * n)),
    ("merging_gain", "rounded down", "round n / gamma up", lambda n, d, g: gain(n, d, g, lambda n, g: max(1, n // g))),
    ("merging_gain", "not rounded", "Tokens are whole", lambda n, d, g: gain(n, d, g, lambda n, g: n / g)),
    ("merging_gain", "turned round", "turned round", lambda n, d, g: 1 / gain(n, d, g)),
    ("merging_gain", "share saved", "share that is saved", lambda n, d, g: 1 - 1 / gain(n, d, g)),
    ("merging_gain", "no projections", "pairs of tokens", lambda n, d, g: gain(n, d, g, cost=lambda n, d: n * n * d)),
    (
        "merging_gain",
        "three projections",
        None,
        lambda n, d, g: gain(n, d, g, cost=lambda n, d: n * d * (2 * n + 3 * d)),
    ),
]


@pytest.mark.parametrize(
    "name, says, answer", [pytest.param(row[0], *row[2:], id=f"{row[0]}: {row[1]}") for row in WRONG]
)
def test_a_wrong_answer_is_refused_and_its_mistake_named(name, says, answer, capsys):
    assert_refused(getattr(checks, name), says, answer, capsys)


# ---------------------------------------------------------------------------------------------------------------
# Right answers: exercise, what is different about it, the function
# ---------------------------------------------------------------------------------------------------------------

RIGHT = [
    ("token_position", "list", lambda: [5, 7, 20 * 196 + 77]),
    ("token_position", "array", lambda: np.array([5, 7, np.ravel_multi_index((20, 5, 7), (60, 14, 14))])),
    ("unmerge", "index_select", lambda y, g: y.index_select(0, g)),
    ("unmerge", "a product with ones and zeros", lambda y, g: F.one_hot(g, len(y)).float() @ y),
    ("unmerge", "list of lists", lambda y, g: [y[i].tolist() for i in g]),
    ("merging_error", "by hand", error),
    ("merging_error", "a norm", lambda x, g, w: (means(x, g)[g] - x)[w].norm() / (w.sum() * x.shape[1]).sqrt()),
    ("merging_error", "F.mse_loss", lambda x, g, w: math.sqrt(F.mse_loss(means(x, g)[g][w], x[w]))),
    ("stored_attention", "PyTorch's own", F.scaled_dot_product_attention),
    ("stored_attention", "query by query", one_by_one),
    (
        "stored_attention",
        "einsum, keys divided",
        lambda q, k, v: torch.einsum("...nm,...me->...ne", (q @ (k / k.shape[-1] ** 0.5).mT).softmax(-1), v),
    ),
    ("merging_gain", "numpy.float64", lambda n, d, g: np.float64(gain(n, d, g))),
    ("merging_gain", "whole numbers", lambda n, d, g: gain(n, d, g, lambda n, g: -(-n // g))),
]


@pytest.mark.parametrize("name, answer", [pytest.param(row[0], row[2], id=f"{row[0]}: {row[1]}") for row in RIGHT])
def test_a_right_answer_written_differently_passes(name, answer, capsys):
    getattr(checks, name)(answer)
    out = capsys.readouterr().out
    assert out.startswith("✓"), out


def test_the_first_tries_of_the_lessons_do_not_pass(capsys):
    """What a lesson shows as broken is broken: each as the lesson's source has it."""

    def hurried(q, k, v):
        return (q @ k.transpose(-2, -1)).softmax(dim=-2) @ v

    x = torch.tensor([[1.0, 0], [0, 1], [1, 1]])
    assert not torch.allclose(hurried(x, x, x)[0], torch.tensor([0.80, 0.60]), atol=0.05)
    assert torch.allclose(checks.stored_attention.answer(x, x, x)[0], torch.tensor([0.80, 0.60]), atol=0.005)
    checks.stored_attention(hurried)
    checks.unmerge(lambda y, group: y.repeat_interleave(torch.bincount(group), dim=0))
    assert capsys.readouterr().out.count("✗") == 2


def test_what_lesson_01_says_of_the_gain():
    """Below the pairs, above the tokens; beside the pairs for the whole film, near the tokens for six frames."""
    answer = checks.merging_gain.answer
    assert 2 < answer(1536, 1024, 2) < 3 < answer(15360, 1024, 2) < 4
    assert round(answer(15360, 1024, 6), 1) == 22.7
