"""Does every check refuse what is wrong? Each lesson's own solution is changed in one place at a time, and tried.

    python tools/mutation_audit.py                     all exercises: a table, then what a person should look at
    python tools/mutation_audit.py tome_step above     these
    python tools/mutation_audit.py --short             three changed answers of each, the same ones every time
    python tools/mutation_audit.py above --list        every changed answer, and what became of it

A changed answer (a mutant) is one of these:

    stopped    it fails, takes too long, or gives a thing of another kind: no answer, so not in the share of named ones
    named      refused, and the message says which mistake it is
    refused    refused, with the input and the two results only
    equal      the check takes it, and so it should: EQUAL below says why
    survivor   the check takes it, and EQUAL has nothing about it: an input is missing. The audit then fails.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import io
import math
import os
import random
import re
import statistics
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.nn.functional as F
from scipy.stats import t as student
from tabulate import tabulate

try:
    import resource
except ImportError:  # there is none on Windows
    resource = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the package need not be installed

from vtm_lesson import checks, match, uniform  # noqa: E402
from vtm_lesson.teaching.exercise import OtherKind  # noqa: E402

SOURCES = ROOT / "notebooks" / "source"
NAMES = [name for name in checks.__all__ if isinstance(getattr(checks, name), checks.Exercise)]
SAMPLE = 3  # mutants of an exercise in the short form
STEPS = 200_000  # lines that one call of a mutant may run
ROOM = 2 << 30  # bytes that a mutant may take beyond what the process has
COPY = "your function changed its input; work on a copy."  # a mistake that every check names by itself
INPUTS = 200  # random inputs on which a mutant that passed is compared with the answer


# ---------------------------------------------------------------------------------------------------------------
# Mutants that pass because they are right: exercise, the changed line, why
# ---------------------------------------------------------------------------------------------------------------

EQUAL: list[tuple[str, str, str]] = [
    ("nearest_target", "unit = F.normalize(keys)", "dim 1 is what F.normalize takes by default"),
    ("nearest_target", "unit = F.normalize(keys, dim=-1)", "the tensor has two axes, so the last one is dim 1"),
    ("nearest_target", "best = scores.argmax(dim=-1)", "the tensor has two axes, so the last one is dim 1"),
    (
        "nearest_target",
        "return (best, scores.gather(1, best[:, None])[:, -1])",
        "gather gives one column, the first and the last",
    ),
    ("proportional_attention", "scores = q @ k.T / k.shape[1] ** 0.5 + size.log()", "a key is as long as a query"),
    (
        "proportional_attention",
        "return scores.softmax(dim=-1) @ v",
        "the tensor has two axes, so the last one is dim 1",
    ),
    ("above", "return (similarity > threshold).sum(dim=1).min()", "a tensor of one number is taken for the number"),
    (
        "above",
        "return int((similarity > threshold).sum(dim=-1).min())",
        "the tensor has two axes, so the last one is dim 1",
    ),
    ("checkerboard", "return ((t + y - x) % 2 == 1).flatten().nonzero()[:, 0]", "x and -x are both even or both odd"),
    ("checkerboard", "return ((t - y + x) % 2 == 1).flatten().nonzero()[:, 0]", "y and -y are both even or both odd"),
    (
        "checkerboard",
        "return ((t + y + x) % 2 == 1).flatten().nonzero()[:, -1]",
        "of one axis nonzero gives one column",
    ),
    (
        "tokens_after",
        "number = frames / length",
        "a chunk's length divides the frames; a float of the same value is right",
    ),
    (
        "tokens_after",
        "inside = n / number",
        "all chunks keep equally many tokens, so the next number of chunks divides n",
    ),
    ("merge_in_chunks", "n = keys.shape[1] // chunks", "there are as many keys as tokens"),
    (
        "merge_in_chunks",
        "return merge(x.reshape(-1, n, x.shape[2])).reshape(keys.shape[0], -1, x.shape[2])",
        "keys and x are of the same films",
    ),
    ("pooled_weight", "final = groups[-1].max() + 1", "torch.full takes a tensor of one number for the number"),
    (
        "centre_targets",
        "top, left = (rows // 2, (width - columns) // 2)",
        "the height is even, so height - rows is rows",
    ),
    (
        "centre_targets",
        "top, left = ((height - rows) // 2, columns // 2)",
        "the width is even, so width - columns is columns",
    ),
    (
        "centre_targets",
        "centre[:, top:top - rows, left:left + columns] = True",
        "top - rows counts from the end: it is top - rows + height, and the height is 2 rows",
    ),
    (
        "centre_targets",
        "centre[:, top:top + rows, left:left - columns] = True",
        "left - columns counts from the end: it is left - columns + width, and the width is 2 columns",
    ),
    ("centre_targets", "positions = mask.flatten().nonzero()[:, -1]", "of one axis nonzero gives one column"),
    (
        "centre_targets",
        "return positions[[i * len(positions) / k for i in range(k)]]",
        "torch cuts an index after the point, as // does",
    ),
    (
        "block_motion",
        "(height, width), best = (block.shape, (float('inf'), 1, 0))",
        "any shift's cost is less than infinite, and one lies inside",
    ),
    (
        "block_motion",
        "(height, width), best = (block.shape, (float('inf'), -1, 0))",
        "any shift's cost is less than infinite, and one lies inside",
    ),
    (
        "block_motion",
        "(height, width), best = (block.shape, (float('inf'), 0, 1))",
        "any shift's cost is less than infinite, and one lies inside",
    ),
    (
        "block_motion",
        "(height, width), best = (block.shape, (float('inf'), 0, -1))",
        "any shift's cost is less than infinite, and one lies inside",
    ),
    (
        "block_motion",
        "cost = (previous[y:y + height, x:x + width] - block).abs().mean().item()",
        "all parts have equally many pixels: the least mean is the least sum",
    ),
    (
        "block_motion",
        "cost = (block - previous[y:y + height, x:x + width]).abs().sum().item()",
        "the absolute difference is the same either way",
    ),
    (
        "motion_probability",
        "return (temperature * score).softmax(-1).view_as(motion)",
        "of one axis the last is the first",
    ),
    ("without_camera", "return (camera[:, None, None] - vectors).norm(dim=-1)", "a vector turned round is as long"),
    ("saliency", "return torch.tanh(keys @ U)[:, -1]", "U has one column, the first and the last"),
    ("guided_attention", "scores = (q @ k.T + s) / k.shape[1] ** 0.5", "a key is as long as a query"),
    ("guided_attention", "return scores.softmax(dim=-1) @ v", "the tensor has two axes, so the last one is dim 1"),
    ("gradient_of_saliency", "root = k.shape[1] ** 0.5", "a key is as long as a query"),
    (
        "gradient_of_saliency",
        "weights = ((q @ k.T + s) / root).softmax(dim=-1)",
        "the tensor has two axes, so the last one is dim 1",
    ),
    (
        "gradient_of_saliency",
        "towards = g @ v.T - (g * y).sum(dim=-1, keepdim=True)",
        "the tensor has two axes, so the last one is dim 1",
    ),
    (
        "peak_score_memory",
        "chunks = min(together, n / chunk)",
        "a chunk's length divides n; a float of the same value is right",
    ),
    (
        "tome_step",
        "sources, targets = (torch.arange(0, len(keys), 2), torch.arange(1, len(x), 2))",
        "there are as many keys as tokens",
    ),
    (
        "tome_step",
        "sources, targets = (torch.arange(0, len(x), 2), torch.arange(1, len(keys), 2))",
        "there are as many keys as tokens",
    ),
    ("tome_step", "unit = F.normalize(keys)", "dim 1 is what F.normalize takes by default"),
    ("tome_step", "unit = F.normalize(keys, dim=-1)", "the tensor has two axes, so the last one is dim 1"),
    (
        "tome_step",
        "similarity, best = (unit[sources] @ unit[targets].T).max(dim=-1)",
        "the tensor has two axes, so the last one is dim 1",
    ),
    (
        "tome_step",
        "merged = similarity.argsort(descending=True)[:r]",
        "PyTorch's sort on a CPU keeps the order of equals, asked or not; it promises so only if asked",
    ),
    (
        "tome_step",
        "merged = similarity.argsort(descending=True, stable=False)[:r]",
        "PyTorch's sort on a CPU keeps the order of equals, asked or not; it promises so only if asked",
    ),
    ("tome_step", "total, count = (x.clone(), torch.ones(len(keys)))", "there are as many keys as tokens"),
    (
        "tome_step",
        "count.index_add_(-1, targets[best[merged]], torch.ones(r))",
        "count has one axis, the first and the last",
    ),
    ("tome_step", "stays = torch.ones(len(keys), dtype=torch.bool)", "there are as many keys as tokens"),
]


# ---------------------------------------------------------------------------------------------------------------
# Making mutants
# ---------------------------------------------------------------------------------------------------------------

OPERATORS: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
TURNED: dict[type, type] = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE}
COMMUTE = (ast.Add, ast.Mult)
FUNCTIONS = {
    "sum": ("mean",),
    "mean": ("sum", "median"),
    "median": ("mean",),
    "max": ("min",),
    "min": ("max",),
    "argmax": ("argmin",),
    "floor": ("ceil", "round"),
    "ceil": ("floor", "round"),
    "round": ("floor", "ceil"),
    "stdev": ("pstdev", "variance"),
    "log": ("log2", "log1p"),
    "zeros": ("ones",),
    "ones": ("zeros",),
    "tanh": ("sigmoid",),
}
DROPPED = {
    *("normalize", "clamp", "abs", "sort", "flatten", "log", "tanh", "softmax", "reversed", "floor", "ceil", "round"),
    *("isqrt", "int", "norm", "clone", "min", "max"),
}
AXES = (0, 1, -1)
FLOATS = {0.975: (0.95, 0.995), 0.5: (2.0, 1.0), 1e-6: (0.1,)}


@dataclass(frozen=True)
class Mutant:
    """A changed answer: the line that was changed, as it is now, and the whole code."""

    exercise: str
    line: str
    code: str


def solutions() -> dict[str, str]:
    """The code of every exercise's solution, from the lessons' sources."""
    found = {}
    for path in sorted(SOURCES.glob("[0-9A-Z]*.py")):
        for cell in re.split(r"^# %%.*$", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
            if "### BEGIN SOLUTION" in cell:
                code = "\n".join(line for line in cell.splitlines() if not line.startswith("#"))
                names = [part.name for part in ast.parse(code).body if isinstance(part, ast.FunctionDef)]
                if names[0] in NAMES:
                    found[names[0]] = code
    return {name: found[name] for name in NAMES}


def mutants(name: str, code: str) -> list[Mutant]:
    """Every way to change the code in one place, each once."""
    tree = ast.parse(code)
    function = next(part for part in tree.body if isinstance(part, ast.FunctionDef))
    if ast.get_docstring(function):
        del function.body[0]
    seen, found = {ast.unparse(tree)}, []
    for statement, owner, field, index, node in list(_places(function)):
        for new in _changes(node, owner, function):
            _put(owner, field, index, new)
            changed = ast.unparse(ast.fix_missing_locations(tree))
            if isinstance(node, ast.stmt):
                line = f"without: {ast.unparse(node).splitlines()[0]}"
            else:
                line = ast.unparse(statement).splitlines()[0]
            _put(owner, field, index, node)
            if changed not in seen:
                seen.add(changed)
                found.append(Mutant(name, line, changed))
    return found


def _places(function: ast.FunctionDef) -> Iterator[tuple[ast.stmt, ast.AST, str, int | None, ast.AST]]:
    """Every part of the body: the statement it is in, what holds it, under which field and number, and itself."""

    def walk(statement: ast.stmt, owner: ast.AST) -> Iterator[tuple[ast.stmt, ast.AST, str, int | None, ast.AST]]:
        for field, value in ast.iter_fields(owner):
            if isinstance(owner, ast.FunctionDef) and field != "body":
                continue
            parts = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
            for index, node in parts:
                if isinstance(node, ast.AST):
                    inside = node if isinstance(node, ast.stmt) else statement
                    yield inside, owner, field, index, node
                    yield from walk(inside, node)

    return walk(function, function)


def _put(owner: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(owner, field, node)
    else:
        getattr(owner, field)[index] = node


def _changes(node: ast.AST, owner: ast.AST, function: ast.FunctionDef) -> Iterator[ast.AST]:
    """What may stand in the place of a part."""
    if isinstance(node, ast.stmt):
        yield from _without(node, function)
    elif isinstance(node, ast.BinOp):
        yield from _other_sums(node)
    elif isinstance(node, ast.Compare):
        yield from _other_comparisons(node)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(OPERATORS[type(node.op)](), node.values)
        yield from node.values
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
        yield node.operand
    elif isinstance(node, ast.Constant):
        yield from map(ast.Constant, _other_constants(node.value, owner))
    elif isinstance(node, ast.Call):
        yield from _other_calls(node)
    elif isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load) and len(node.elts) == 2:
        yield ast.Tuple(node.elts[::-1], ast.Load())
    elif isinstance(node, ast.Slice):
        for bound in ("lower", "upper"):
            for beside in _beside(getattr(node, bound)):
                yield ast.Slice(**{"lower": node.lower, "upper": node.upper, "step": node.step, bound: beside})
    elif isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse, ast.IfExp(node.test, node.orelse, node.body))
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield from _other_variables(node, function)


def _without(node: ast.stmt, function: ast.FunctionDef) -> Iterator[ast.stmt]:
    """Nothing in place of a statement; but what first gives a variable its value stays, as a name without one stops."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Name, ast.Tuple)):
        new = {part.id for part in ast.walk(node.targets[0]) if isinstance(part, ast.Name)}
        if not new <= set(_variables(function, node.lineno)):
            return
    if not isinstance(node, (ast.Return, ast.FunctionDef)):
        yield ast.Pass()


def _other_sums(node: ast.BinOp) -> Iterator[ast.AST]:
    kind = type(node.op)
    if kind in OPERATORS:
        yield ast.BinOp(node.left, OPERATORS[kind](), node.right)
    if kind not in COMMUTE:
        yield ast.BinOp(node.right, node.op, node.left)
    yield from (node.left, node.right)


def _other_comparisons(node: ast.Compare) -> Iterator[ast.AST]:
    for i, operator in enumerate(node.ops):
        for table in (OPERATORS, TURNED):
            if type(operator) in table:
                others = [*node.ops]
                others[i] = table[type(operator)]()
                yield ast.Compare(node.left, others, node.comparators)


def _other_constants(value: object, owner: ast.AST) -> Iterable[object]:
    if isinstance(value, bool):
        return () if getattr(owner, "arg", "") == "strict" else (not value,)
    if isinstance(value, float):
        return FLOATS.get(value, ())
    if isinstance(value, int):
        if getattr(owner, "arg", "") == "dim":
            return [axis for axis in AXES if axis != value]
        return value + 1, value - 1
    return {"ij": ("xy",), "inf": ("-inf",)}.get(str(value), ())


def _other_calls(node: ast.Call) -> Iterator[ast.AST]:
    function, name = node.func, getattr(node.func, "attr", getattr(node.func, "id", ""))
    method = isinstance(function, ast.Attribute) and not (
        isinstance(function.value, ast.Name) and function.value.id in ("torch", "math", "F", "statistics", "student")
    )
    for other in FUNCTIONS.get(name, ()):
        if isinstance(function, ast.Attribute):
            home = "builtins" if (other, ast.unparse(function.value)) == ("round", "math") else None
            new: ast.expr = ast.Name(other, ast.Load()) if home else ast.Attribute(function.value, other, ast.Load())
            yield ast.Call(new, node.args, node.keywords)
        elif hasattr(math, other) or other in ("max", "min"):
            text = other if other in ("max", "min") else f"math.{other}"
            yield ast.Call(ast.parse(text, mode="eval").body, node.args, node.keywords)
        elif name == "sum":
            yield ast.Call(ast.parse("statistics.mean", mode="eval").body, node.args, node.keywords)
    if name in DROPPED:
        yield from [function.value] if method and isinstance(function, ast.Attribute) else node.args
    if name == "topk":
        yield ast.Call(function, node.args, [*node.keywords, ast.keyword("largest", ast.Constant(False))])
    if len(node.args) == 2 and name not in ("min", "max"):
        yield ast.Call(function, node.args[::-1], node.keywords)
    for i, word in enumerate(node.keywords):
        if word.arg in ("stable", "descending", "keepdim", "dim"):
            yield ast.Call(function, node.args, node.keywords[:i] + node.keywords[i + 1 :])
    if name in ("range", "arange"):
        for i in range(len(node.args)):
            for beside in _beside(node.args[i]):
                yield ast.Call(function, [*node.args[:i], beside, *node.args[i + 1 :]], node.keywords)


def _beside(node: ast.expr | None) -> Iterator[ast.expr]:
    """One more and one less; numbers are changed elsewhere."""
    if node is not None and not isinstance(node, (ast.Constant, ast.UnaryOp)):
        yield ast.BinOp(node, ast.Add(), ast.Constant(1))
        yield ast.BinOp(node, ast.Sub(), ast.Constant(1))


def _variables(function: ast.FunctionDef, line: int) -> dict[str, None]:
    """The variables that have a value before that line, in the order in which they get it."""
    names = {argument.arg: None for argument in function.args.args}
    for part in ast.walk(function):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store) and part.lineno < line:
            names[part.id] = None
    return names


def _other_variables(node: ast.Name, function: ast.FunctionDef) -> Iterator[ast.AST]:
    """The next variable in scope: one of them is enough to see whether a check cares."""
    names = list(_variables(function, node.lineno))
    if node.id in names and len(names) > 1:
        yield ast.Name(names[(names.index(node.id) + 1) % len(names)], ast.Load())


# ---------------------------------------------------------------------------------------------------------------
# Random inputs that an exercise's text allows
# ---------------------------------------------------------------------------------------------------------------


def _normal(dice: random.Random, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(dice.randrange(1 << 30)))


def _grouped(dice: random.Random, n: int, m: int) -> torch.Tensor:
    """n numbers from 0 to m - 1, all in use."""
    numbers = [*range(m), *(dice.randrange(m) for _ in range(n - m))]
    dice.shuffle(numbers)
    return torch.tensor(numbers)


def _tokens(dice: random.Random) -> tuple:
    n = dice.randint(4, 20)
    r = dice.randint(0, n // 2)
    keys = _normal(dice, n, dice.randint(2, 5))
    if dice.random() < 0.3:  # with ties
        keys = torch.eye(3)[torch.tensor([dice.randrange(3) for _ in range(n)])]
    return _normal(dice, n, 3), keys, r


def _sides(dice: random.Random) -> tuple:
    n = dice.randint(3, 20)
    places = list(range(n))
    dice.shuffle(places)
    cut = dice.randint(1, n - 1)
    keys = _normal(dice, n, dice.randint(2, 5))
    if dice.random() < 0.3:
        keys = keys.round()
    return keys, torch.tensor(sorted(places[:cut])), torch.tensor(sorted(places[cut:]))


def _heads(dice: random.Random, queries: bool = False) -> tuple:
    k, c = dice.randint(2, 8), dice.randint(2, 6)
    q = dice.randint(1, 8) if queries else k
    return _normal(dice, q, c), _normal(dice, k, c), _normal(dice, k, dice.randint(1, 5))


def _film(dice: random.Random) -> tuple:
    """frames, tokens a frame and chunks, each a divisor of the frames and at most as long as the next."""
    frames = dice.choice((12, 24, 60))
    chunks: list[int] = []
    for length in sorted(dice.choice([c for c in range(1, frames + 1) if frames % c == 0]) for _ in range(3)):
        if not chunks or length % chunks[-1] == 0:
            chunks.append(length)
    return frames, dice.randint(4, 40), tuple(chunks), dice.randint(2, 9), dice.choice((0.0, 0.25, 0.5, 0.8, 1.0))


def _merges(dice: random.Random) -> tuple:
    sizes = [dice.randint(12, 30), dice.randint(6, 11), dice.randint(2, 5)][: dice.randint(2, 3)]
    return (tuple(_grouped(dice, n, m) for n, m in pairwise(sizes)),)


def _moving(dice: random.Random) -> tuple:
    rows, columns, height, width = dice.randint(8, 12), dice.randint(8, 14), dice.randint(2, 4), dice.randint(2, 4)
    previous = _normal(dice, rows, columns).mul(20).round()
    y, x = dice.randint(0, rows - height), dice.randint(0, columns - width)
    block = previous[y : y + height, x : x + width] + _normal(dice, height, width).mul(5).round()
    row = min(max(y + dice.randint(-3, 3), 0), rows - height)
    column = min(max(x + dice.randint(-3, 3), 0), columns - width)
    return previous, block, row, column, dice.randint(1, 4)


def _pair(dice: random.Random) -> tuple:
    n = dice.randint(2, 12)
    gain, noise = dice.uniform(-0.1, 0.1), dice.uniform(0.001, 0.1)
    one = [dice.uniform(0.4, 0.9) for _ in range(n)]
    return [v + gain + dice.gauss(0, noise) for v in one], one


def _steps(dice: random.Random) -> tuple:
    n = dice.randint(1, 6)
    return [dice.uniform(0.1, 9) for _ in range(n)], [dice.uniform(0.5, 9) for _ in range(n)]


def _drawing(dice: random.Random) -> tuple:
    n = dice.randint(4, 30)
    s, noise = _normal(dice, n).tanh(), _normal(dice, n)
    return s, dice.randint(1, n - 1), dice.choice((1.0, 2.0, 5.0)), noise


RANDOM: dict[str, Callable[[random.Random], tuple]] = {
    "group_mean": lambda d: (_normal(d, n := d.randint(4, 20), d.randint(1, 4)), _grouped(d, n, d.randint(1, 4))),
    "tokens_in_film": lambda d: (d.randint(1, 64), d.randint(32, 256), d.randint(1, 32)),
    "attention_cost": lambda d: (d.randint(1, 500), d.randint(1, 500)),
    "frames_that_fit": lambda d: (d.randint(0, 2 ** d.randint(4, 40)), d.randint(1, 400)),
    "alternate": lambda d: (d.randint(2, 60),),
    "nearest_target": _sides,
    "tome_step": _tokens,
    "proportional_attention": lambda d: (*(h := _heads(d, queries=True)), _normal(d, len(h[1])).abs().mul(3).ceil()),
    "tokens_left": lambda d: (
        d.randint(20, 300),
        d.randint(0, 5),
        [d.randint(0, 40) for _ in range(d.randint(1, 12))],
    ),
    "above": lambda d: (_normal(d, d.randint(1, 5), d.randint(2, 20)).tanh(), d.uniform(-0.9, 0.9)),
    "checkerboard": lambda d: (d.randint(1, 5), d.randint(1, 6), d.randint(1, 6)),
    "tokens_after": _film,
    "merge_in_chunks": lambda d: (
        _normal(d, b := d.randint(1, 3), (c := d.randint(1, 4)) * (n := d.randint(4, 12)), 3),
        _normal(d, b, c * n, d.randint(2, 5)),
        c,
        d.choice((2, 2.5, 3, 4)),
    ),
    "pooled_weight": _merges,
    "centre_targets": lambda d: (
        d.randint(1, 6),
        2 * d.randint(2, 7),
        2 * d.randint(2, 7),
        d.choice((2, 2.5, 3, 5, 8)),
    ),
    "expected_coverage": lambda d: (d.random(), d.uniform(2, 12), d.choice(("centre", "boundary"))),
    "block_motion": _moving,
    "motion_probability": lambda d: (
        _normal(d, d.randint(1, 4), d.randint(2, 5), d.randint(2, 5)).abs() * 10 ** d.uniform(-2, 2),
        d.uniform(0.5, 4),
    ),
    "without_camera": lambda d: (_normal(d, d.randint(1, 4), d.randint(2, 5), d.randint(2, 5), 2) * 3,),
    "saliency": lambda d: (_normal(d, d.randint(1, 9), c := d.randint(1, 5)), _normal(d, c, 1)),
    "guided_attention": lambda d: (*(h := _heads(d)), _normal(d, len(h[1])).tanh()),
    "gradient_of_saliency": lambda d: (*(h := _heads(d)), _normal(d, len(h[1])).tanh(), _normal(d, *h[2].shape)),
    "drawn_targets": _drawing,
    "mean_interval": lambda d: ([d.uniform(0.2, 0.9) for _ in range(d.randint(2, 12))],),
    "told_apart": _pair,
    "amdahl": _steps,
    "peak_score_memory": lambda d: (
        (c := d.randint(1, 50)) * (k := d.randint(1, 12)),
        c,
        d.randint(1, k + 3),
        d.randint(1, c + 10),
    ),
    "swapped_flops": lambda d: ((n := d.randint(2, 400)), d.randint(1, n), d.randint(1, 300)),
    "roofline": lambda d: tuple(10 ** d.uniform(low, low + 3) for low in (4, 3, 8, 7)),
}


# ---------------------------------------------------------------------------------------------------------------
# Trying them
# ---------------------------------------------------------------------------------------------------------------


class TooLongError(Exception):
    """A mutant ran more lines than it may."""


def compiled(mutant: Mutant) -> Callable:
    """The mutant as a function that stops after STEPS lines."""
    names: dict[str, Any] = {"torch": torch, "F": F, "math": math, "statistics": statistics, "student": student}
    names |= {"match": match, "uniform": uniform}
    file = f"<mutant of {mutant.exercise}>"
    exec(compile(mutant.code, file, "exec"), names)
    function = names[mutant.exercise]

    def guarded(*arguments: Any) -> Any:
        left = STEPS

        def count(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if frame.f_code.co_filename != file:
                return None
            left -= 1
            if left < 0:
                raise TooLongError(f"more than {STEPS:,} lines")
            return count

        before = sys.gettrace()
        sys.settrace(count)
        try:
            return function(*arguments)
        finally:
            sys.settrace(before)

    return guarded


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Nothing printed, no warnings, and no more memory than ROOM beyond what there is."""
    said = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(said), _little_memory():
        warnings.simplefilter("ignore")
        yield said


@contextlib.contextmanager
def _little_memory() -> Iterator[None]:
    pages = Path("/proc/self/statm")
    if resource is None or not pages.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = int(pages.read_text().split()[0]) * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant, and what the check said, or where it differs."""

    mutant: Mutant
    kind: str
    words: str = ""


def tried(mutant: Mutant) -> Outcome:
    """Put a mutant through its check."""
    exercise = copy.copy(getattr(checks, mutant.exercise))  # a copy: it counts hints, and knows the last failure
    function = compiled(mutant)
    with quiet():
        text = _said(exercise, function)
        if text is not None:
            words = next((words for words in (*(words for words, _ in exercise.mistakes), COPY) if words in text), None)
            kind = "named" if words else "stopped" if _is_no_answer(exercise, function, text) else "refused"
            return Outcome(mutant, kind, words or text)
        where = _differs(exercise, function)
    reason = next((why for name, line, why in EQUAL if (name, line) == (mutant.exercise, mutant.line)), None)
    if reason is not None and where is None:
        return Outcome(mutant, "equal", reason)
    return Outcome(mutant, "survivor", where or "equal on all random inputs; write the reason into EQUAL")


def _said(exercise: checks.Exercise, function: Callable) -> str | None:
    """What the check says of a function; None if it takes it. As in grading, so that nothing is recorded as solved."""
    before = os.environ.get("NBGRADER_EXECUTION")
    os.environ["NBGRADER_EXECUTION"] = "autograde"
    try:
        exercise(function)
    except AssertionError as error:
        return str(error)
    finally:
        if before is None:
            del os.environ["NBGRADER_EXECUTION"]
        else:
            os.environ["NBGRADER_EXECUTION"] = before
    return None


def _is_no_answer(exercise: checks.Exercise, function: Callable, text: str) -> bool:
    """Whether it stops on the input that the check shows, or gives things of another kind whenever it is wrong."""
    if text.startswith("…") or "your function stopped with" in text.splitlines()[0]:
        return True
    for _, arguments in exercise.cases():
        try:
            result = function(*copy.deepcopy(arguments))
        except Exception:
            continue
        what = checks.difference(result, exercise.answer(*copy.deepcopy(arguments)), exercise.tolerance)
        if what is not None and not isinstance(what, OtherKind):
            return False
    return True


def _differs(exercise: checks.Exercise, function: Callable) -> str | None:
    """A random input on which the function is not the answer; None if there is none."""
    dice = random.Random(exercise.name)
    for _ in range(INPUTS):
        arguments = RANDOM[exercise.name](dice)
        expected = exercise.answer(*copy.deepcopy(arguments))
        try:
            what = checks.difference(function(*copy.deepcopy(arguments)), expected, exercise.tolerance)
        except Exception as error:
            what = f"stopped with {type(error).__name__}"
        if what is not None:
            return f"{what} Input: {_input(arguments)}"
    return None


def _input(arguments: tuple) -> str:
    return " ".join(" ".join(str(a.tolist() if isinstance(a, torch.Tensor) else a).split()) for a in arguments)[:300]


def sample(found: Sequence[Mutant], count: int = SAMPLE) -> list[Mutant]:
    """The same few mutants every time."""
    return random.Random(found[0].exercise).sample(list(found), min(count, len(found)))


def audit(names: Iterable[str] = NAMES, short: bool = False) -> list[Outcome]:
    """Try the mutants of these exercises; short: a few of each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the tensors are tiny
    try:
        code = solutions()
        found = {name: mutants(name, code[name]) for name in names}
        return [tried(m) for name in names for m in (sample(found[name]) if short else found[name])]
    finally:
        torch.set_num_threads(threads)


# ---------------------------------------------------------------------------------------------------------------
# The report
# ---------------------------------------------------------------------------------------------------------------


def share(outcomes: Iterable[Outcome]) -> str:
    """Of the refused ones that are answers, how many are named."""
    kinds = [outcome.kind for outcome in outcomes]
    named, refused = kinds.count("named"), kinds.count("refused")
    return f"{named / (named + refused):.0%}" if named + refused else "-"


def table(outcomes: Sequence[Outcome]) -> str:
    """A row an exercise, and one for all of them."""
    kinds = ("stopped", "named", "refused", "equal", "survivor")
    rows = []
    for name in [*dict.fromkeys(outcome.mutant.exercise for outcome in outcomes), None]:
        own = [outcome for outcome in outcomes if name in (None, outcome.mutant.exercise)]
        found = [outcome.kind for outcome in own]
        rows.append([name or "all", len(own), *(found.count(kind) for kind in kinds), share(own)])
    return tabulate(rows, ["exercise", "mutants", *kinds, "named, of answers"], colalign=("left", *["right"] * 7))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="exercises; all of them by default")
    parser.add_argument("--short", action="store_true", help=f"{SAMPLE} mutants of each")
    parser.add_argument("--list", action="store_true", help="every mutant and what became of it")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"no exercise is called {unknown[0]}; there are {', '.join(NAMES)}")
    outcomes = audit(options.names or NAMES, options.short)
    print(table(outcomes))
    for kind in ("stopped", "named", "refused", "equal", "survivor") if options.list else ("equal", "survivor"):
        for outcome in outcomes:
            if outcome.kind == kind:
                first = outcome.words.splitlines()[0]
                print(f"\n{kind}: {outcome.mutant.exercise}: {outcome.mutant.line}\n    {first}")
    return int(any(outcome.kind == "survivor" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
