"""What an exercise check is: the learner's function against the right one, on random and on awkward input.

The checks themselves stand in `lessons_*.py`, and are called through `vtm_lesson.checks`.
"""

from __future__ import annotations

import copy
import math
import numbers
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

Case = tuple[str, tuple]  # a few words that say what is special about it, and the arguments


@dataclass(repr=False)
class Exercise:
    """A check: call it with the learner's function.

    answer: the right function. cases: makes the inputs, the same ones each time. hints: three, from a nudge to nearly
    the answer. mistakes: (what to say, the wrong function) pairs; a learner's output that equals a mistake's on every
    case is told so. tolerance: how far numbers may lie apart.

    The right values are right in any form that `difference` can read. Whatever the function does, the check says so in
    words; only KeyboardInterrupt, by which the learner stops it, goes through.
    """

    name: str
    answer: Callable
    cases: Callable[[], Iterable[Case]]
    hints: Sequence[str]
    mistakes: Sequence[tuple[str, Callable]] = ()
    tolerance: float = 1e-4
    tries: int = field(default=0, repr=False)

    def __repr__(self) -> str:  # a dataclass's own would give the hints and the mistakes away
        return f"checks.{self.name}: call it with your function; checks.{self.name}.hint() shows a hint"

    def __call__(self, given: Callable) -> None:
        problem = self._problem(given)
        if problem is None:
            count = len(list(self.cases()))
            print(f"✓ {self.name}: right on all {count} inputs, the awkward ones included.")
            return
        if os.environ.get("NBGRADER_EXECUTION"):
            raise AssertionError(problem)
        print(problem)
        if not problem.startswith("…"):
            self.hint()

    def hint(self, step: int | None = None) -> None:
        """Print hint 1, 2 or 3; without a number, the next one."""
        if step is None:
            self.tries += 1
            step = min(self.tries, len(self.hints))
        if not 1 <= step <= len(self.hints):
            raise ValueError(f"{self.name} has hints 1 to {len(self.hints)}; {step} was asked for.")
        print(f"  Hint {step} of {len(self.hints)}: {self.hints[step - 1]}")

    def _problem(self, given: Callable) -> str | None:
        """What is wrong with the learner's function, in words; None if nothing is."""
        if not callable(given):
            return f"✗ {self.name}: give the function itself, without brackets; this is a {type(given).__name__}."
        for words, arguments in self.cases():
            own = copy.deepcopy(arguments)
            try:
                result = given(*own)
            except NotImplementedError:
                return f"… {self.name} is not solved yet. Fill in the function above and run both cells again."
            except _STOPS as error:  # whatever a learner's function may raise is news for the learner
                return f"✗ {self.name}, {words}: your function stopped with {_error_text(error)}"
            if difference(own, arguments) is not None:
                return f"✗ {self.name}, {words}: your function changed its input; work on a copy."
            expected = self.answer(*copy.deepcopy(arguments))
            what = difference(result, expected, self.tolerance)
            if what is not None:
                named = self._known_mistake(given)
                lines = [f"✗ {self.name}, {words}: {what}"]
                lines += [f"  {named}"] if named else []
                lines += _side_by_side(arguments, expected, result)
                return "\n".join(lines)
        return None

    def _known_mistake(self, given: Callable) -> str | None:
        """The words of the first mistake that gives what `given` gives on every case."""
        cases = [arguments for _, arguments in self.cases()]
        outcomes = [_outcome(given, arguments) for arguments in cases]
        for words, mistake in self.mistakes:
            pairs = zip(outcomes, cases, strict=True)
            if all(_same(outcome, _outcome(mistake, arguments), self.tolerance) for outcome, arguments in pairs):
                return words
        return None


# What a function may raise without stopping the notebook: all but KeyboardInterrupt, by which the learner stops it.
_STOPS = (Exception, SystemExit)


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
        return f"your result could not be compared with the right one: {_error_text(error)}."


def _difference(given: Any, expected: Any, tolerance: float) -> str | None:
    if given is None:
        return "the function returned nothing; does it end with return?"
    odd = _odd_kind(given) if isinstance(given, Tensor) else None
    if odd is not None:
        return f"expected an ordinary tensor, got a {odd} one."
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
    return None if equal else f"expected {expected!r}, got {_text(given)}."


def _sequence_difference(given: Any, expected: Sequence, tolerance: float) -> str | None:
    parts = given
    if isinstance(given, (Tensor, np.ndarray)) and given.ndim == 1:
        parts = _ordinary(given).tolist()
    if not isinstance(parts, (tuple, list)) or len(parts) != len(expected):
        return f"expected {len(expected)} results, got {_kind(given)}."
    for i, (g, e) in enumerate(zip(parts, expected, strict=True)):
        what = _difference(g, e, tolerance)
        if what is not None:
            return f"result {i + 1} of {len(expected)}: {what}"
    return None


def _number_difference(given: Any, expected: float, tolerance: float) -> str | None:
    number: Any = given
    if isinstance(given, (Tensor, np.ndarray, np.generic)):
        number = given.item() if math.prod(given.shape) == 1 else None
    is_number = isinstance(number, numbers.Real) and not isinstance(number, bool)
    if not is_number:
        return f"expected a number, got {_kind(given)}."
    try:
        close = bool(abs(number - expected) <= tolerance * max(1.0, abs(expected)))
    except OverflowError:  # a whole number larger than any float
        close = False
    return None if close else f"expected {_number_text(expected)}, got {_number_text(number)}."


def _tensor_difference(given: Any, expected: Tensor, tolerance: float) -> str | None:
    if isinstance(given, (tuple, list)) and any(isinstance(g, (Tensor, np.ndarray)) and g.ndim > 0 for g in given):
        return f"expected one tensor, got {len(given)}; torch.stack or torch.cat makes one of them."
    try:
        given = _ordinary(given)
    except Exception:  # words, rows of unequal length, None among the numbers, ...
        return f"expected a tensor, got {_kind(given)}."
    if given.shape != expected.shape:
        return f"expected shape {tuple(expected.shape)}, got {tuple(given.shape)}."
    if given.dtype == torch.bool and expected.dtype != torch.bool:
        return f"expected numbers ({expected.dtype}), got True and False ({given.dtype})."
    if given.is_complex():
        return f"expected real numbers ({expected.dtype}), got {given.dtype}."
    if given.is_floating_point() and bool(given.isnan().any()) and not bool(expected.isnan().any()):
        return f"{int(given.isnan().sum())} of your numbers are NaN."
    if not expected.is_floating_point() and given.is_floating_point():
        return f"expected whole numbers ({expected.dtype}), got {given.dtype}."
    wrong = ~torch.isclose(given.double(), expected.double(), rtol=tolerance, atol=tolerance, equal_nan=True)
    if bool(wrong.any()):
        first = tuple(int(i) for i in wrong.nonzero()[0])
        place = f" at {list(first)}" if first else ""
        return (
            f"{int(wrong.sum())} of {wrong.numel()} numbers differ; the first{place}: "
            f"expected {_number_text(expected[first].item())}, got {_number_text(given[first].item())}."
        )
    return None


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


def _side_by_side(arguments: tuple, expected: Any, given: Any) -> list[str]:
    """The input, what was expected and what was given, as text, where they are small enough to read."""
    rows = [("input", arguments), ("expected", expected), ("yours", given)]
    texts = [(name, _text(value)) for name, value in rows]
    return [f"  {name:>8}: {text}" for name, text in texts if text]


def _text(x: Any) -> str:
    """A value to be read by people: rounded, cut where it is long, and without a failure whatever it is."""
    try:
        return _cut(_all_of(x))
    except Exception:
        return f"a {type(x).__name__} that cannot be shown"


def _all_of(x: Any) -> str:
    if isinstance(x, Tensor):
        if x.numel() > 24:
            return f"tensor of shape {tuple(x.shape)}"
        return str((x.double() * 1e4).round().div(1e4).tolist() if x.is_floating_point() else x.tolist())
    if isinstance(x, (tuple, list)):
        return " | ".join(_all_of(part) for part in x)
    return _number_text(x) if isinstance(x, (int, float)) and not isinstance(x, bool) else repr(x)


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
