"""What an exercise check is: the learner's function against the right one, on random and on awkward input.

The checks themselves stand in `lessons_*.py`, and are called through `vtm_lesson.checks`.
"""

from __future__ import annotations

import copy
import inspect
import math
import numbers
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .progress import record_solved

Case = tuple[str, tuple]  # a few words that say what is special about it, and the arguments


ROW = 24  # numbers that a message shows at most; `show` prints the rest


@dataclass
class Failure:
    """A case that the learner's function does not get right: what the check says, and what `show` prints.

    compared: whether there is a result to show; otherwise the function stopped, or changed its input.
    """

    words: str
    arguments: tuple
    expected: Any
    given: Any
    what: str
    compared: bool


@dataclass(repr=False)
class Exercise:
    """A check: call it with the learner's function.

    The right values are right in any form that `difference` can read. Whatever the function does, the check says so in
    words; only KeyboardInterrupt, by which the learner stops it, goes through. Of the cases that fail the smallest is
    shown. A wrong answer is followed by the next hint; a slip (a NameError, a result of another type, ...) costs none.

    Parameters
    ----------
    name : str
        That of `checks.NAME` and of the learner's function.
    answer : callable
        The right function.
    cases : callable
        Makes the inputs, the same ones each time: (a few words, the arguments) each.
    hints : sequence of str
        Three, from a nudge to nearly the answer.
    mistakes : sequence of (str, callable), optional
        What to say, and the wrong function. A learner's output that equals a mistake's on every case is told so.
    tolerance : float, optional
        How far numbers may lie apart.
    minutes : int, optional
        How long it takes.
    tries : int, optional
        Hints told so far; 0 again after success.

    Examples
    --------
    >>> from vtm_lesson import checks
    >>> double = checks.Exercise("double", lambda x: 2 * x, lambda: [("three", (3,))], ["Add.", "x + what?", "x + x"])
    >>> double(lambda x: x * x)
    ✗ double, three: expected 6, got 9.
         input: 3
      expected: 6
         yours: 9
      Hint 1 of 3: Add.
      checks.double.hint() shows the next one.
    >>> double(lambda x: x + x)
    ✓ double: right on all 1 inputs, the awkward ones included.
    """

    name: str
    answer: Callable
    cases: Callable[[], Iterable[Case]]
    hints: Sequence[str]
    mistakes: Sequence[tuple[str, Callable]] = ()
    tolerance: float = 1e-4
    minutes: int = 6
    tries: int = 0
    _failure: Failure | None = field(default=None, init=False)

    def __repr__(self) -> str:  # a dataclass's own would give the hints and the mistakes away
        return f"checks.{self.name}: call it with your function; checks.{self.name}.hint() shows a hint"

    def __call__(self, given: Callable) -> None:
        problem, answered = self._problem(given)
        grading = bool(os.environ.get("NBGRADER_EXECUTION"))
        if problem is None:
            count = len(list(self.cases()))
            print(f"✓ {self.name}: right on all {count} inputs, the awkward ones included.")
            self.tries = 0
            if not grading:
                record_solved(self.name)
        elif grading:
            raise AssertionError(problem)
        else:
            print(problem)
            if not problem.startswith("…"):
                self._help(answered)

    def hint(self, step: int | None = None) -> None:
        """Print hint 1, 2 or 3; without a number, the next one."""
        last = len(self.hints)
        if step is None:
            self.tries = min(self.tries, last) + 1
            step = self.tries
            if step > last:
                print(f"  You have seen all {last} hints; checks.{self.name}.hint(1) shows the first one again.")
                print("  The solved notebook of this lesson has an answer.")
                return
        if not 1 <= step <= last:
            raise ValueError(f"{self.name} has hints 1 to {last}; {step} was asked for.")
        print(f"  Hint {step} of {last}: {self.hints[step - 1]}")

    def show(self) -> None:
        """Print the last input that the learner's function did not get right in full, with both results."""
        failure = self._failure
        if failure is None:
            print(f"  {self.name} has nothing to show: no input has failed since it was right last.")
            return
        print(f"  {self.name}, {failure.words}: {failure.what}")
        names = list(inspect.signature(self.answer).parameters)
        if len(names) != len(failure.arguments):
            names = [f"input {i + 1}" for i in range(len(failure.arguments))]
        values = [*failure.arguments, failure.expected, failure.given]
        for name, value in zip([*names, "expected", "yours"], values, strict=True):
            print(f"  {name}: {_in_full(value)}")

    def _help(self, answered: bool) -> None:
        """After a wrong answer the next hint; after a slip, and beside a hint, how to see one."""
        last = len(self.hints)
        if answered and self.tries <= last:  # after the last hint, where else to look: once
            self.hint()
        if self.tries < last:
            print(f"  checks.{self.name}.hint() shows {'the next one' if self.tries else 'a hint'}.")

    def _problem(self, given: Callable) -> tuple[str | None, bool]:
        """What is wrong with the learner's function, in words, and whether it gave an answer; None if nothing is."""
        if not callable(given):
            kind = type(given).__name__
            return f"✗ {self.name}: give the function itself, without brackets; this is a {kind}.", False
        failures, results = [], []
        for words, arguments in self.cases():
            try:
                failure, result = self._tried(given, words, arguments)
            except NotImplementedError:
                return f"… {self.name} is not solved yet. Fill in the function above and run both cells again.", False
            failures += [failure] if failure else []
            results.append(result)
        # A wrong answer says more than an input on which the function stops, which may be an awkward one only.
        self._failure = min(failures, key=lambda f: (not f.compared, _count(f.arguments)), default=None)
        if self._failure is None:
            return None, True
        lines = [f"✗ {self.name}, {self._failure.words}: {self._failure.what}"]
        if not self._failure.compared:
            return lines[0], False
        named = self._known_mistake(results)
        lines += [f"  {named}"] if named else []
        lines += self._side_by_side(self._failure)
        return "\n".join(lines), named is not None or not isinstance(self._failure.what, OtherKind)

    def _tried(self, given: Callable, words: str, arguments: tuple) -> tuple[Failure | None, Any]:
        """What the function gives for one case, and how it fails, if it does. NotImplementedError goes through."""
        own, expected = copy.deepcopy(arguments), self.answer(*copy.deepcopy(arguments))
        result = None
        try:
            result = given(*own)
        except NotImplementedError:
            raise
        except _STOPS as error:  # whatever a learner's function may raise is news for the learner
            what = f"your function stopped with {_error_text(error)}"
            return Failure(words, arguments, expected, None, what, False), None
        if difference(own, arguments) is not None:
            what = "your function changed its input; work on a copy."
            return Failure(words, arguments, expected, result, what, False), result
        found = difference(result, expected, self.tolerance)
        if found is None:
            return None, result
        return Failure(words, arguments, expected, result, found, True), result

    def _known_mistake(self, results: Sequence[Any]) -> str | None:
        """The words of the first mistake that gives these results, one for every case."""
        cases = [arguments for _, arguments in self.cases()]
        for words, mistake in self.mistakes:
            pairs = zip(results, cases, strict=True)
            if all(_same(result, _outcome(mistake, arguments), self.tolerance) for result, arguments in pairs):
                return words
        return None

    def _side_by_side(self, failure: Failure) -> list[str]:
        """The input, what was expected and what was given, as text: a row of numbers in all, and the rest by shape."""
        whole_input = _count(failure.arguments) <= ROW
        room = ROW - _count(failure.arguments) if whole_input else ROW
        whole_results = _count(failure.expected) + _count(failure.given) <= room
        rows = [
            ("input", failure.arguments, whole_input),
            ("expected", failure.expected, whole_results),
            ("yours", failure.given, whole_results),
        ]
        lines = [f"  {name:>8}: {_text(value, ROW if whole else 1)}" for name, value, whole in rows]
        return lines if whole_input and whole_results else [*lines, f"  checks.{self.name}.show() shows all of it."]


# What a function may raise without stopping the notebook: all but KeyboardInterrupt, by which the learner stops it.
_STOPS = (Exception, SystemExit)


class OtherKind(str):
    """The words of a difference where the result is of another kind, or there is none: no wrong answer, but a slip."""


def difference(given: Any, expected: Any, tolerance: float = 1e-4) -> str | None:
    """Say in words how a result differs from the expected one.

    The values count, not the form in which they come: where a number is expected, NumPy's numbers and arrays and
    tensors of one number will do; where a tensor is expected, an array or a list of numbers; where a list or several
    numbers are expected, a tuple, a list, or a tensor or array of one dimension. A bool is not taken for a number.

    Parameters
    ----------
    given : object
        The result of a learner's function: anything.
    expected : Tensor, float, int, str, or a tuple or list of these
        The right result.
    tolerance : float, optional
        How far numbers may lie apart: times the expected number, and at least times 1. For tensors, times 1 plus it.

    Returns
    -------
    str or None
        The first difference, or None if there is none.

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson import checks
    >>> checks.difference([0.5, 2.0], (0.5, 1.0))
    'result 2 of 2: expected 1, got 2.'
    >>> print(checks.difference(torch.tensor([0.5, 1.0]), (0.5, 1.0)))
    None
    """
    try:
        return _difference(given, expected, tolerance)
    except Exception as error:  # a result may be an object that fails when it is looked at
        return OtherKind(f"your result could not be compared with the right one: {_error_text(error)}.")


def _difference(given: Any, expected: Any, tolerance: float) -> str | None:
    if given is None:
        return OtherKind("the function returned nothing; does it end with return?")
    odd = _odd_kind(given) if isinstance(given, Tensor) else None
    if odd is not None:
        return OtherKind(f"expected an ordinary tensor, got a {odd} one.")
    if isinstance(expected, (tuple, list)):
        return _sequence_difference(given, expected, tolerance)
    if isinstance(expected, Tensor):
        return _tensor_difference(given, expected, tolerance)
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        return _number_difference(given, expected, tolerance)
    try:
        equal = bool(given == expected)
    except Exception:  # many numbers at once, say
        equal = False
    if equal:
        return None
    words = f"expected {expected!r}, got {_text(given)}."
    return words if isinstance(given, type(expected)) else OtherKind(words)


def _sequence_difference(given: Any, expected: Sequence, tolerance: float) -> str | None:
    parts = given
    if isinstance(given, (Tensor, np.ndarray)) and given.ndim == 1:
        parts = _ordinary(given).tolist()
    if not isinstance(parts, (tuple, list)):
        return OtherKind(f"expected {len(expected)} results, got {_kind(given)}.")
    if len(parts) != len(expected):
        return f"expected {len(expected)} results, got {_kind(given)}."
    for i, (g, e) in enumerate(zip(parts, expected, strict=True)):
        what = _difference(g, e, tolerance)
        if what is not None:
            return type(what)(f"result {i + 1} of {len(expected)}: {what}")
    return None


def _number_difference(given: Any, expected: float, tolerance: float) -> str | None:
    number: Any = given
    if isinstance(given, (Tensor, np.ndarray, np.generic)):
        number = given.item() if math.prod(given.shape) == 1 else None
    is_number = isinstance(number, numbers.Real) and not isinstance(number, bool)
    if not is_number:
        return OtherKind(f"expected a number, got {_kind(given)}.")
    try:
        close = bool(abs(number - expected) <= tolerance * max(1.0, abs(expected)))
        if not math.isfinite(expected):  # a mistake may give that, and be recognised by it
            close = str(float(number)) == str(float(expected))
    except OverflowError:  # a whole number larger than any float
        close = False
    return None if close else f"expected {_number_text(expected)}, got {_number_text(number)}."


def _tensor_difference(given: Any, expected: Tensor, tolerance: float) -> str | None:
    if isinstance(given, (tuple, list)) and any(isinstance(g, (Tensor, np.ndarray)) and g.ndim > 0 for g in given):
        kind = f"a {'list' if isinstance(given, list) else 'tuple'} of {len(given)} tensors"
        return OtherKind(f"expected one tensor, got {kind}{_how_to_join(given, expected)}.")
    try:
        given = _ordinary(given)
    except Exception:  # words, rows of unequal length, None among the numbers, ...
        return OtherKind(f"expected a tensor, got {_kind(given)}.")
    if given.shape != expected.shape:
        return f"expected shape {tuple(expected.shape)}, got {tuple(given.shape)}."
    if given.dtype == torch.bool and expected.dtype != torch.bool:
        return OtherKind(f"expected numbers ({expected.dtype}), got True and False ({given.dtype}).")
    if given.is_complex():
        return OtherKind(f"expected real numbers ({expected.dtype}), got {given.dtype}.")
    if given.is_floating_point() and bool(given.isnan().any()) and not bool(expected.isnan().any()):
        return f"{int(given.isnan().sum())} of your numbers are NaN."
    if not expected.is_floating_point() and given.is_floating_point():
        return OtherKind(f"expected whole numbers ({expected.dtype}), got {given.dtype}.")
    wrong = ~torch.isclose(given.double(), expected.double(), rtol=tolerance, atol=tolerance, equal_nan=True)
    if bool(wrong.any()):
        first = tuple(int(i) for i in wrong.nonzero()[0])
        place = f" at {list(first)}" if first else ""
        return (
            f"{int(wrong.sum())} of {wrong.numel()} numbers differ; the first{place}: "
            f"expected {_number_text(expected[first].item())}, got {_number_text(given[first].item())}."
        )
    return None


def _how_to_join(parts: Sequence[Any], expected: Tensor) -> str:
    """What makes one tensor of the right shape of these, in words; "" where nothing does."""
    for join in (torch.stack, torch.cat):
        try:
            if join([_ordinary(part) for part in parts]).shape == expected.shape:
                return f"; torch.{join.__name__} makes one of them"
        except Exception:  # their shapes do not fit
            continue
    return ""


def _odd_kind(x: Tensor) -> str | None:
    """What kind of tensor x is if its numbers cannot be read as they are; None for an ordinary one."""
    kinds = {"nested": x.is_nested, "quantized": x.is_quantized, "meta": x.is_meta, "sparse": x.layout != torch.strided}
    return next((word for word, is_so in kinds.items() if is_so), None)


def _ordinary(x: Any) -> Tensor:
    """A tensor, an array, or a list of numbers, as a tensor in the processor's own memory, without a gradient."""
    if isinstance(x, Tensor):
        return x.detach().cpu()
    if isinstance(x, (np.ndarray, np.generic)):
        return torch.from_numpy(np.array(x, order="C"))  # a copy: torch takes no array that is turned round
    return torch.as_tensor(x)


def _outcome(function: Callable, arguments: tuple) -> Any:
    """What a function gives; None if it fails."""
    try:
        return function(*copy.deepcopy(arguments))
    except _STOPS:
        return None


def _same(one: Any, other: Any, tolerance: float) -> bool:
    return one is other is None or (other is not None and difference(one, other, tolerance) is None)


def _kind(x: Any) -> str:
    if isinstance(x, (Tensor, np.ndarray)):
        return f"{'a tensor' if isinstance(x, Tensor) else 'an array'} of shape {tuple(x.shape)}"
    if isinstance(x, (tuple, list)):
        return f"{len(x)} results"
    name = type(x).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _count(x: Any) -> float:
    """How many numbers a person would have to read."""
    try:
        return _numbers_in(x)
    except Exception:  # a list that holds itself, say
        return math.inf


def _numbers_in(x: Any) -> int:
    if isinstance(x, (Tensor, np.ndarray)):
        return math.prod(x.shape)
    return sum(map(_numbers_in, x)) if isinstance(x, (tuple, list)) else int(not isinstance(x, str))


def _text(x: Any, most: int = ROW) -> str:
    """A value to be read by people: rounded, cut where it is long, and without a failure whatever it is."""
    try:
        return _cut(_all_of(x, most))
    except Exception:
        return f"a {type(x).__name__} that cannot be shown"


def _all_of(x: Any, most: int) -> str:
    """The value as text; tensors, arrays and lists of more than `most` numbers by their shape."""
    if isinstance(x, (Tensor, np.ndarray)) and math.prod(x.shape) > most:
        return f"{'tensor' if isinstance(x, Tensor) else 'array'} of shape {tuple(x.shape)}"
    if isinstance(x, Tensor):
        return str((x.double() * 1e4).round().div(1e4).tolist() if x.is_floating_point() else x.tolist())
    if isinstance(x, (tuple, list)):
        if len(x) > most and all(isinstance(part, (numbers.Number, str)) for part in x):
            return f"{len(x)} numbers" if all(isinstance(part, numbers.Number) for part in x) else f"{len(x)} texts"
        return " | ".join(_all_of(part, most) for part in x)
    return _number_text(x) if isinstance(x, (int, float)) and not isinstance(x, bool) else repr(x)


def _in_full(x: Any) -> str:
    """A value with all of its numbers, a tensor's rows below one another."""
    try:
        if isinstance(x, (Tensor, np.ndarray)):
            numbers_of_x = _ordinary(x)
            array = (numbers_of_x.double() if numbers_of_x.is_floating_point() else numbers_of_x).numpy()
            rows = np.array2string(
                array, max_line_width=110, precision=4, suppress_small=True, threshold=sys.maxsize, separator=", "
            )
            return _cut(f"{_kind(x).split(' ', 1)[1]}\n{textwrap.indent(rows, '    ')}", 20_000)
        if isinstance(x, (tuple, list)) and any(isinstance(part, (Tensor, np.ndarray)) for part in x):
            return "\n  ".join(_in_full(part) for part in x)
        return _cut(_all_of(x, sys.maxsize), 20_000)
    except Exception:
        return f"a {type(x).__name__} that cannot be shown"


def _number_text(x: Any) -> str:
    if isinstance(x, int):  # in full, as 6 digits hide that a count is one too many
        return str(x) if abs(x) < 10**18 else "a whole number of more than 18 digits"
    return f"{float(x):.6g}"


def _error_text(error: BaseException) -> str:
    try:
        return _cut(f"{type(error).__name__}: {error}")
    except Exception:
        return type(error).__name__


def _cut(text: str, most: int = 1000) -> str:
    return text if len(text) <= most else f"{text[:most]} … ({len(text):,} characters)"


def generator(seed: int) -> torch.Generator:
    """A generator for inputs that are the same each time."""
    return torch.Generator().manual_seed(seed)


def random(seed: int, *shape: int) -> Tensor:
    """Normal numbers of that shape, the same each time."""
    return torch.randn(*shape, generator=generator(seed))
