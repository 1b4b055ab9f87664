"""Lesson 03's newer exercises: answers as learners write them, wrong ones and right ones that look different."""

import itertools

import numpy as np
import pytest
import torch

from vtm_lesson import checks


@pytest.fixture(autouse=True)
def _outside_grading(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)


def told(exercise, answer, capsys):
    exercise(answer)
    return capsys.readouterr().out


# ----------------------------------------------------------------------------------------------------- merge_by_size


def by_groups(x, size, groups, average="weighted", new="sum"):
    """Group after group; right by default."""
    tokens, sizes = [], []
    for row in groups:
        s = size[row] if average == "weighted" else torch.ones(int(row.sum()))
        tokens.append((x[row] * s[:, None]).sum(0) / (len(s) if average == "count" else s.sum()))
        sizes.append({"sum": size[row].sum(), "count": row.sum().float(), "max": size[row].max()}[new])
    return torch.stack(tokens), torch.stack(sizes)


def sized_and_divided_by_count(x, size, groups):
    weights = groups * size
    return weights @ x / groups.sum(1, keepdim=True), weights.sum(1)


def only_sums(x, size, groups):
    weights = groups.float() * size
    return weights @ x, weights.sum(1)


def sizes_first(x, size, groups):
    tokens, sizes = by_groups(x, size, groups)
    return sizes, tokens


def with_numpy(x, size, groups):
    rows = [row.numpy().nonzero()[0] for row in groups]
    values, sizes = x.numpy(), size.numpy()
    tokens = [np.average(values[row], axis=0, weights=sizes[row]) for row in rows]
    return np.stack(tokens), [float(sizes[row].sum()) for row in rows]


def with_einsum(x, size, groups):
    shares = torch.einsum("mn,n->mn", groups.to(x.dtype), size)
    sizes = shares.sum(-1)
    return torch.einsum("mn,nc->mc", shares / sizes.unsqueeze(1), x), sizes


# ------------------------------------------------------------------------------------------------- vit_multiply_adds


def block_by_block(n, prefix, amounts, channels, attention="in", mlp="out", hidden=4, twice=1):
    """Every product of matrices by itself; right by default."""
    total = 0
    for r in amounts:
        left = n - min(r, (n - prefix) // 2)
        tokens = {"in": n, "out": left}
        a, m = tokens[attention], tokens[mlp]
        scores, weighted_sum, projections = a * a * channels, a * a * channels, 4 * a * channels * channels
        total += twice * (scores + weighted_sum + projections + 2 * m * channels * hidden * channels)
        n = left
    return total


def one_line(n, prefix, amounts, channels):
    left = [n]
    for r in amounts:
        left.append(left[-1] - min(r, (left[-1] - prefix) // 2))
    pairs = itertools.pairwise(left)
    return sum(2 * n * n * channels + 4 * n * channels**2 + 8 * m * channels**2 for n, m in pairs)


# --------------------------------------------------------- exercise, what is wrong, a piece of what is said, the answer

WRONG = [
    ("merge_by_size", "tokens counted", "still the broken version",
     lambda x, s, g: by_groups(x, s, g, average="plain", new="count")),
    ("merge_by_size", "plain average", "The sizes are right, the average is not",
     lambda x, s, g: by_groups(x, s, g, average="plain")),
    ("merge_by_size", "sizes count tokens", "The average is right, the new size is not",
     lambda x, s, g: by_groups(x, s, g, new="count")),
    ("merge_by_size", "largest size", "not the largest of them", lambda x, s, g: by_groups(x, s, g, new="max")),
    ("merge_by_size", "divided by the count", "You divide by the number of tokens", sized_and_divided_by_count),
    ("merge_by_size", "sums", "divide by the new size", only_sums),
    ("merge_by_size", "the other order", "First the tokens, then the sizes", sizes_first),
    ("vit_multiply_adds", "attention after merging", "Attention still has all tokens",
     lambda *a: block_by_block(*a, attention="out")),
    ("vit_multiply_adds", "MLP before merging", "it has only the tokens that are left",
     lambda *a: block_by_block(*a, mlp="in")),
    ("vit_multiply_adds", "merging before attention, MLP on all", "it is attention that has all tokens",
     lambda *a: block_by_block(*a, attention="out", mlp="in")),
    ("vit_multiply_adds", "narrow MLP", "four times as wide", lambda *a: block_by_block(*a, hidden=1)),
    ("vit_multiply_adds", "no MLP", "The MLP is missing", lambda *a: block_by_block(*a, hidden=0)),
    ("vit_multiply_adds", "FLOPs", "one such pair counts once", lambda *a: block_by_block(*a, twice=2)),
    ("vit_multiply_adds", "nothing merged", "Nothing is merged here",
     lambda n, p, a, c: block_by_block(n, 0, [0] * len(a), c)),
    ("vit_multiply_adds", "n tokens into every block", "Every block starts from what the block before it left",
     lambda n, p, a, c: sum(block_by_block(n, p, [r], c) for r in a)),
]  # fmt: skip

RIGHT = [
    ("merge_by_size", "group after group", by_groups),
    ("merge_by_size", "NumPy", with_numpy),
    ("merge_by_size", "einsum", with_einsum),
    ("vit_multiply_adds", "product by product", block_by_block),
    ("vit_multiply_adds", "one sum", one_line),
    ("vit_multiply_adds", "NumPy's number", lambda *a: np.int64(one_line(*a))),
]


@pytest.mark.parametrize(("name", "what", "words", "answer"), WRONG, ids=[f"{row[0]}: {row[1]}" for row in WRONG])
def test_a_wrong_answer_is_refused_and_named(name, what, words, answer, capsys):
    said = told(getattr(checks, name), answer, capsys)
    assert said.startswith("✗") and words in said


@pytest.mark.parametrize(("name", "what", "answer"), RIGHT, ids=[f"{row[0]}: {row[1]}" for row in RIGHT])
def test_a_right_answer_may_look_different(name, what, answer, capsys):
    assert told(getattr(checks, name), answer, capsys).startswith("✓")


def test_the_smallest_failing_merge_is_one_to_read(capsys):
    said = told(checks.merge_by_size, lambda x, s, g: by_groups(x, s, g, average="plain", new="count"), capsys)
    assert "a token of three patches meets one of one" in said and "checks.merge_by_size.show()" not in said
