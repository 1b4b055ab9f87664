"""Answers to lesson 10's exercises as learners write them, where a check looks at more than the numbers."""

import numpy as np
import pytest
import torch

from vtm_lesson.teaching import lessons_gradients as lesson


@pytest.fixture(autouse=True)
def _nothing_is_recorded(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.setattr("vtm_lesson.teaching.exercise.record_solved", lambda *_: None)


def said(exercise, function, capsys):
    exercise(function)
    return capsys.readouterr().out


def chance_by_weights(scores, order):
    weights, chance = scores.exp().tolist(), 1.0
    for token in order.tolist():
        chance *= weights[token] / sum(weights)
        weights[token] = 0.0
    return chance


def others_by_loop(losses):
    rows = losses.numpy()
    return np.array([[row[i] - np.delete(row, i).mean() for i in range(len(row))] for row in rows])


def relaxed_by_product(scores, k, temperature):
    """Chances are multiplied by what is left, in place of adding its log to the scores."""
    left, total = torch.ones_like(scores), 0
    for _ in range(k):
        weights = (scores / temperature).exp() * left ** (1 / temperature)
        p = weights / weights.sum()
        total, left = total + p, left * (1 - p).clamp(min=1e-6)
    return total


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("ordered_chance", chance_by_weights),
        ("against_others", others_by_loop),
        ("relaxed_choice", relaxed_by_product),
        ("hard_and_soft", lambda hard, soft: soft + (hard - soft).detach()),
        ("gated_attention", lambda q, k, v, z: (lambda w: w / w.sum(1, keepdim=True) @ v)(
            (q @ k.T / q.shape[1] ** 0.5).exp() * z)),
        ("bias_and_noise", lambda found, exact: [
            np.linalg.norm(found.numpy().mean(0) - exact.numpy()) / np.linalg.norm(exact.numpy()),
            np.sqrt(found.numpy().var(0).sum()) / np.linalg.norm(exact.numpy())]),
    ],
)  # fmt: skip
def test_other_ways_to_write_it_are_right(name, function, capsys):
    assert said(getattr(lesson, name), function, capsys).startswith("✓")


def test_a_choice_without_a_slope_is_refused_in_words(capsys):
    cut = lambda scores, k, t: lesson.relaxed_choice.answer(scores.detach(), k, t)  # noqa: E731
    assert "no gradient gets back" in said(lesson.relaxed_choice, cut, capsys)


def test_a_slope_that_is_no_number_is_refused_in_words(capsys):
    def unclamped(scores, k, temperature):
        total = torch.zeros_like(scores)
        for _ in range(k):
            p = (scores / temperature).softmax(0)
            total, scores = total + p, scores + torch.log(1 - p)
        return total

    assert "becomes NaN" in said(lesson.relaxed_choice, unclamped, capsys)


@pytest.mark.parametrize(
    "function",
    [lambda hard, soft: hard + 2 * (soft - soft.detach()), lambda hard, soft: hard - soft + soft.detach()],
)
def test_the_lie_must_have_the_slope_of_soft(function, capsys):
    assert "backwards it must be `soft`" in said(lesson.hard_and_soft, function, capsys)


def test_draws_with_replacement_and_noise_about_the_truth_are_named(capsys):
    again = lambda scores, order: scores.softmax(0)[order].prod()  # noqa: E731
    assert "with replacement" in said(lesson.ordered_chance, again, capsys)
    error = lambda f, e: ((f.mean(0) - e).norm() / e.norm(), (f - e).square().sum(1).mean().sqrt() / e.norm())  # noqa: E731
    assert "from the exact gradient" in said(lesson.bias_and_noise, error, capsys)
