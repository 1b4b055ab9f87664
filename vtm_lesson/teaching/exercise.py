"""What an exercise check is: the learner's function against the right one, on random and on awkward input.

The checks themselves stand in `lessons_*.py`, and are called through `vtm_lesson.checks`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Case = tuple[str, tuple]  # a few words that say what is special about it, and the arguments


@dataclass(repr=False)
class Exercise:
    """A check: call it with the learner's function.

    answer: the right function. cases: makes the inputs, the same ones each time. hints: three, from a nudge to nearly
    the answer. mistakes: (what to say, the wrong function) pairs; a learner's output that equals a mistake's on every
    case is told so. tolerance: how far numbers may lie apart.
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
            except Exception as error:  # whatever a learner's function may raise is news for the learner
                return f"✗ {self.name}, {words}: your function stopped with {type(error).__name__}: {error}"
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
        for words, mistake in self.mistakes:
            if all(_same_outcome(given, mistake, arguments, self.tolerance) for _, arguments in self.cases()):
                return words
        return None


def difference(given: Any, expected: Any, tolerance: float = 1e-4) -> str | None:
    """How `given` differs from `expected`, in words; None if it does not. Tensors, numbers, tuples of them."""
    if given is None:
        return "the function returned nothing; does it end with return?"
    if isinstance(expected, tuple):
        if not isinstance(given, (tuple, list)) or len(given) != len(expected):
            return f"expected {len(expected)} results, got {_kind(given)}."
        for i, (g, e) in enumerate(zip(given, expected, strict=True)):
            what = difference(g, e, tolerance)
            if what is not None:
                return f"result {i + 1} of {len(expected)}: {what}"
        return None
    if isinstance(expected, Tensor):
        return _tensor_difference(given, expected, tolerance)
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        if isinstance(given, Tensor) and given.numel() == 1:
            given = given.item()
        if not isinstance(given, (int, float)):
            return f"expected a number, got {_kind(given)}."
        if not abs(given - expected) <= tolerance * max(1.0, abs(expected)):
            return f"expected {expected:.6g}, got {given:.6g}."
        return None
    try:
        equal = bool(given == expected)
    except Exception:
        equal = False
    return None if equal else f"expected {expected!r}, got {given!r}."


def _tensor_difference(given: Any, expected: Tensor, tolerance: float) -> str | None:
    if not isinstance(given, Tensor):
        try:
            given = torch.as_tensor(given)
        except Exception:
            return f"expected a tensor, got {_kind(given)}."
    if given.shape != expected.shape:
        return f"expected shape {tuple(expected.shape)}, got {tuple(given.shape)}."
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
            f"expected {expected[first].item():.6g}, got {given[first].item():.6g}."
        )
    return None


def _same_outcome(given: Callable, mistake: Callable, arguments: tuple, tolerance: float) -> bool:
    """Whether two functions give the same result, or both fail, on the same input."""
    outcomes = []
    for function in (given, mistake):
        try:
            outcomes.append(function(*copy.deepcopy(arguments)))
        except Exception:
            outcomes.append(None)
    return (outcomes[0] is None) == (outcomes[1] is None) and (
        outcomes[0] is None or difference(outcomes[0], outcomes[1], tolerance) is None
    )


def _kind(x: Any) -> str:
    if isinstance(x, Tensor):
        return f"a tensor of shape {tuple(x.shape)}"
    if isinstance(x, (tuple, list)):
        return f"{len(x)} results"
    return f"a {type(x).__name__}"


def _side_by_side(arguments: tuple, expected: Any, given: Any) -> list[str]:
    """The input, what was expected and what was given, as text, where they are small enough to read."""
    rows = [("input", arguments), ("expected", expected), ("yours", given)]
    texts = [(name, _text(value)) for name, value in rows]
    return [f"  {name:>8}: {text}" for name, text in texts if text]


def _text(x: Any) -> str:
    if isinstance(x, Tensor):
        if x.numel() > 24:
            return f"tensor of shape {tuple(x.shape)}"
        return str((x.double() * 1e4).round().div(1e4).tolist() if x.is_floating_point() else x.tolist())
    if isinstance(x, (tuple, list)):
        return " | ".join(_text(part) for part in x)
    return f"{x:.6g}" if isinstance(x, float) else repr(x)


def generator(seed: int) -> torch.Generator:
    """A generator for inputs that are the same each time."""
    return torch.Generator().manual_seed(seed)


def random(seed: int, *shape: int) -> Tensor:
    """Normal numbers of that shape, the same each time."""
    return torch.randn(*shape, generator=generator(seed))
