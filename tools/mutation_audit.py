"""Does every check refuse what is wrong? Each lesson's own solution is changed in one place at a time, and tried.

    python tools/mutation_audit.py                     all exercises: a table, then what a person should look at
    python tools/mutation_audit.py tome_step above     these
    python tools/mutation_audit.py --short             three changed answers of each, the same ones every time
    python tools/mutation_audit.py above --list        every changed answer, and what became of it

A changed answer (a mutant) is one of these:

    stopped    it fails, takes too long, or gives a thing of another kind: no answer, so not in the share of named ones
    named      refused, and the message says which mistake it is
    refused    refused, with the input and the two results only
    equal      the check takes it, and so it should: EQUAL in audit_tables says why, or it is another design
    survivor   the check takes it, and EQUAL has nothing about it: an input is missing. The audit then fails.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import io
import itertools
import math
import os
import random
import re
import statistics
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
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

from audit_tables import EQUAL, RANDOM  # noqa: E402
from vtm_lesson import Context, checks, match, uniform  # noqa: E402
from vtm_lesson.teaching.comparing import OtherKind  # noqa: E402

SOURCES = ROOT / "notebooks" / "source"
NAMES = [name for name in checks.__all__ if isinstance(getattr(checks, name), checks.Exercise)]
SAMPLE = 3  # mutants of an exercise in the short form
STEPS = 200_000  # lines that one call of a mutant may run
ROOM = 2 << 30  # bytes that a mutant may take beyond what the process has
COPY = "your function changed its input; work on a copy."  # a mistake that every check names by itself
ANOTHER = "another right answer of many; on random inputs its judge finds nothing, either"
INPUTS = 200  # random inputs on which a mutant that passed is compared with the answer


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
    return {name: found[name] for name in NAMES if name in found}


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
        if not function.args.args and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
            yield from map(ast.Constant, (2 * node.value, node.value / 2, -node.value))  # read off wrongly
    elif isinstance(node, ast.Call):
        yield from _other_calls(node)
    elif isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load):
        for i in range(len(node.elts) - 1):  # two neighbours change places
            yield ast.Tuple([*node.elts[:i], node.elts[i + 1], node.elts[i], *node.elts[i + 2 :]], ast.Load())
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
# Trying them
# ---------------------------------------------------------------------------------------------------------------


class TooLongError(Exception):
    """A mutant ran more lines than it may."""


def compiled(mutant: Mutant) -> Callable:
    """The mutant as a function that stops after STEPS lines."""
    names: dict[str, Any] = {
        "torch": torch, "F": F, "itertools": itertools, "math": math, "statistics": statistics, "student": student
    }  # fmt: skip
    names |= {"Context": Context, "match": match, "uniform": uniform}
    # A solution may build on the exercises before it.
    names |= {name: getattr(checks, name).answer for name in NAMES if name != mutant.exercise}
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
            if words is None and exercise.judge is not None and not _is_no_answer(exercise, function, text):
                words = text.splitlines()[0]  # a judge says by itself which demand is not met
            kind = "named" if words else "stopped" if _is_no_answer(exercise, function, text) else "refused"
            return Outcome(mutant, kind, words or text)
        where = _differs(exercise, function)
    reason = next((why for name, line, why in EQUAL if (name, line) == (mutant.exercise, mutant.line)), None)
    if reason is None and exercise.demand is not None:  # its judge and its demand are all that is asked of an answer
        reason = ANOTHER
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
    """Whether it stops on the input that the check shows, or gives things of another kind whenever it is wrong.

    A function that is right on every input, and does not what is demanded over several calls, has answered.
    """
    if text.startswith("…") or "your function stopped with" in text.splitlines()[0]:
        return True
    right = True
    for _, arguments in exercise.cases():
        try:
            result = function(*copy.deepcopy(arguments))
        except Exception:
            right = False
            continue
        what = exercise.wrong(result, arguments, exercise.answer(*copy.deepcopy(arguments)))
        if what is not None and not isinstance(what, OtherKind):
            return False
        right = right and what is None
    return not right


def _differs(exercise: checks.Exercise, function: Callable) -> str | None:
    """A random input on which the function is not the answer; None if there is none."""
    dice = random.Random(exercise.name)
    for _ in range(INPUTS):
        arguments = RANDOM[exercise.name](dice)
        expected = exercise.answer(*copy.deepcopy(arguments))
        try:
            what = exercise.wrong(function(*copy.deepcopy(arguments)), arguments, expected)
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
        lacking = [name for name in names if name not in code]
        if lacking:
            raise ValueError(f"no lesson's source has a solution of {', '.join(lacking)}.")
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
