"""Answers to lesson 07's exercises as learners write them, where a check looks at more than the numbers."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vtm_lesson import checks


@pytest.fixture(autouse=True)
def _nothing_is_recorded(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.setattr("vtm_lesson.teaching.exercise.record_solved", lambda *_: None)


def nearest(keys, targets, unit=True):
    keys = F.normalize(keys, dim=1) if unit else keys
    return (keys @ keys[targets].T).argmax(1)


def numbered(keys, targets):
    """A loop over the tokens."""
    found = nearest(keys, targets).tolist()
    order = targets.tolist()
    return [order.index(j) if j in order else found[j] for j in range(len(keys))]


def shifted(keys, targets):
    """A target is like itself by more than 1."""
    scores = F.normalize(keys, dim=1) @ F.normalize(keys[targets], dim=1).T
    scores[targets, torch.arange(len(targets))] = 2.0
    return scores.argmax(1)


def attention(q, k, v, s):
    return ((q @ k.T + s) / q.shape[1] ** 0.5).softmax(1) @ v


def means(x, group):
    return torch.stack([x[group == i].mean(0) for i in range(int(group.max()) + 1)])


def block(
    x, x_aux, main, aux, U, gamma, noise, training, s_cut=False, mean=means, plain=None, temperature=6.0, own=False
):
    q, k, v = (x @ weights for weights in main)
    s = torch.tanh(k @ U).flatten()
    s = s.detach() if s_cut else s
    targets = (temperature * s + noise).topk(math.ceil(len(x) / gamma)).indices.sort().values
    group = torch.tensor(numbered(k, targets))
    y = mean(attention(q, k, v, s if plain is None else plain), group)
    if not training:
        return y
    q, k, v = (x_aux @ weights for weights in aux)
    s = torch.tanh(k @ U).flatten() if own else s
    return y, mean(attention(q, k, v, s), group)


def right(*arguments, **changed):
    return block(*arguments, plain=0.0, **changed)


def by_matrix(x, group):
    """A matrix of shares, a row for each group."""
    member = F.one_hot(group).T.to(x.dtype)
    return member / member.sum(1, keepdim=True) @ x


def through_numpy(x, group):
    return torch.tensor(np.stack([x.numpy()[group == i].mean(0) for i in range(int(group.max()) + 1)]))


def through_floats(x, group):
    return torch.tensor([[x[group == i, c].mean().item() for c in range(x.shape[1])] for i in range(group.max() + 1)])


def out_of_torch(q, k, v, s):
    return torch.tensor(attention(q, k, v, s).tolist())


def dotted(keys, targets):
    group = nearest(keys, targets, unit=False)
    group[targets] = torch.arange(len(targets))
    return group


WRONG = [
    ("group_numbers", "the broken version", "its own stays empty", nearest),
    ("group_numbers", "dot products", "long keys win", dotted),
    ("group_numbers", "positions", "positions among the tokens", lambda k, t: t[torch.tensor(numbered(k, t))]),
    ("group_numbers", "sources only", "sources only", lambda k, t: np.delete(numbered(k, t), t)),
    ("guided_attention", "lists on the way", "no gradient", out_of_torch),
    ("vtm_block", "s in both paths", "plain (s = 0)", block),
    ("vtm_block", "no temperature", "without a temperature", lambda *a: right(*a, temperature=1.0)),
    ("vtm_block", "the auxiliary path's own s", "s of the main path's keys", lambda *a: right(*a, own=True)),
    ("vtm_block", "s is cut off", "a gradient gets back to 2 of 3", lambda *a: right(*a, s_cut=True)),
    ("vtm_block", "means by NumPy", "numpy()", lambda *a: right(*a, mean=through_numpy)),
    ("vtm_block", "means by floats", "no gradient gets back to", lambda *a: right(*a, mean=through_floats)),
    ("vtm_block", "both outputs at a test", "At a test", lambda *a: right(*a[:-1], True)),
    ("vtm_block", "lists", "torch.stack", lambda *a: as_rows(right(*a))),
]


def as_rows(result):
    return [list(y) for y in result] if isinstance(result, tuple) else list(result)


@pytest.mark.parametrize(
    "name, words, answer", [pytest.param(row[0], *row[2:], id=f"{row[0]}: {row[1]}") for row in WRONG]
)
def test_a_wrong_answer_is_refused_and_named(name, words, answer, capsys):
    getattr(checks, name)(answer)
    out = capsys.readouterr().out
    assert out.startswith("✗"), out
    assert words in out, out


RIGHT = [
    ("group_numbers", "a loop, a list", numbered),
    ("group_numbers", "above 1", shifted),
    ("group_numbers", "NumPy", lambda k, t: np.array(numbered(k, t))),
    (
        "guided_attention",
        "einsum",
        lambda q, k, v, s: torch.einsum("ij,je->ie", attention(q, k, torch.eye(len(k)), s), v),
    ),
    ("vtm_block", "each part by itself", right),
    ("vtm_block", "means by a matrix", lambda *a: right(*a, mean=by_matrix)),
    ("vtm_block", "a list of two", lambda *a: list(right(*a)) if a[-1] else right(*a)),
]


@pytest.mark.parametrize("name, answer", [pytest.param(row[0], row[2], id=f"{row[0]}: {row[1]}") for row in RIGHT])
def test_a_right_answer_written_differently_passes(name, answer, capsys):
    getattr(checks, name)(answer)
    out = capsys.readouterr().out
    assert out.startswith("✓"), out


def test_the_gradient_is_looked_at_where_something_is_learned_only():
    """A tensor that is not learned asks for nothing."""
    tensors = [torch.randn(5, 3, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    s = torch.zeros(5)
    expected = attention(*tensors, s)
    check = checks.guided_attention
    assert check.wrong(expected.clone(), (*tensors, s), expected) is None
    learned = attention(*tensors, s.clone().requires_grad_())
    assert check.wrong(expected, (*tensors, s), learned) is not None
    assert check.wrong(learned, (*tensors, s), learned) is None
