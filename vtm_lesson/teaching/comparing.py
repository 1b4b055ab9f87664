"""Whether a learner's result is the right one, and both as text that a person can read."""

from __future__ import annotations

import copy
import math
import numbers
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROW = 24  # numbers that a message shows at most; `checks.NAME.show` prints the rest

# What a function may raise, or an object when it is looked at, without stopping the notebook: everything. Before it
# stands `except KeyboardInterrupt: raise`, as the learner stops a function by that.
STOPS = (BaseException,)


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
    except KeyboardInterrupt:
        raise
    except STOPS as error:  # a result may be an object that fails when it is looked at
        return OtherKind(f"your result could not be compared with the right one: {error_text(error)}.")


def _difference(given: Any, expected: Any, tolerance: float) -> str | None:
    if given is None:
        return OtherKind("the function returned nothing; does it end with return?")
    odd = odd_kind(given) if isinstance(given, Tensor) else None
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
    except KeyboardInterrupt:
        raise
    except STOPS:  # many numbers at once, say
        equal = False
    if equal:
        return None
    words = f"expected {expected!r}, got {as_text(given)}."
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
    if expected.dtype == torch.bool and given.dtype != torch.bool:
        return OtherKind(f"expected True and False ({expected.dtype}), got numbers ({given.dtype}).")
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


def odd_kind(x: Tensor) -> str | None:
    """What kind of tensor x is if its numbers cannot be read as they are; None for an ordinary one."""
    kinds = {"nested": x.is_nested, "quantized": x.is_quantized, "meta": x.is_meta, "sparse": x.layout != torch.strided}
    return next((word for word, is_so in kinds.items() if is_so), None)


def _ordinary(x: Any) -> Tensor:
    """A tensor, an array, or a list of numbers, as a tensor in the processor's own memory, without a gradient."""
    if isinstance(x, Tensor):
        return x.detach().cpu()
    if isinstance(x, (np.ndarray, np.generic)):
        return torch.from_numpy(np.array(x, order="C"))  # a copy: torch takes no array that is turned round
    if is_endless(x):
        raise ValueError("too long to be looked at")
    return torch.as_tensor(x)


def is_endless(x: Any, depth: int = 20) -> bool:
    """Whether x is, or holds, what makes its numbers only when asked for them, and too many: range(10**12), say.

    So is a list that holds itself, and whatever else is deeper than `depth`.
    """
    if isinstance(x, (tuple, list)):
        return depth == 0 or any(is_endless(part, depth - 1) for part in x)
    return hasattr(x, "__len__") and not isinstance(x, (Tensor, np.ndarray, str)) and len(x) > 1_000_000


def in_form(given: Any, expected: Any, arguments: Sequence[Any]) -> Any:
    """A right result in the form that the package's function gives it: what is a list there becomes a tensor here.

    expected: a result of the package's function, of these arguments or of others. A tensor with a gradient keeps it.
    Whole numbers and True and False take the expected dtype, other numbers that of the first argument that has them.
    """
    if isinstance(expected, (tuple, list)):
        parts = given.tolist() if isinstance(given, (Tensor, np.ndarray)) else given
        return type(expected)(in_form(g, e, arguments) for g, e in zip(parts, expected, strict=False))
    if isinstance(expected, Tensor):
        tensor = given if isinstance(given, Tensor) else _ordinary(given)
        if not expected.is_floating_point():
            return tensor.to(expected.dtype)
        floats = (a.dtype for a in arguments if isinstance(a, Tensor) and a.is_floating_point())
        return tensor.to(next(floats, torch.float32))
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        number = given.item() if isinstance(given, (Tensor, np.ndarray, np.generic)) else given
        return int(number) if isinstance(expected, int) else float(number)
    return given


def has_form(given: Any, expected: Any) -> bool:
    """Whether a right result is of the types that the package's function gives, in all its parts."""
    if isinstance(expected, (tuple, list)):
        return isinstance(given, (tuple, list)) and all(map(has_form, given, expected))
    if isinstance(expected, Tensor):
        return isinstance(given, Tensor) and given.dtype == expected.dtype
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        return type(given) in (int, float)
    return True


def outcome(function: Callable, arguments: tuple) -> Any:
    """What a function gives; None if it fails."""
    try:
        return function(*copy.deepcopy(arguments))
    except KeyboardInterrupt:
        raise
    except STOPS:
        return None


def same(one: Any, other: Any, tolerance: float) -> bool:
    return one is other is None or (other is not None and difference(one, other, tolerance) is None)


def _kind(x: Any) -> str:
    if isinstance(x, (Tensor, np.ndarray)):
        return f"{'a tensor' if isinstance(x, Tensor) else 'an array'} of shape {tuple(x.shape)}"
    if isinstance(x, (tuple, list)):
        return f"{len(x)} results"
    name = type(x).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def count_of(x: Any) -> float:
    """How many numbers a person would have to read."""
    try:
        return _numbers_in(x)
    except KeyboardInterrupt:
        raise
    except STOPS:  # a list that holds itself, say
        return math.inf


def _numbers_in(x: Any) -> float:
    if isinstance(x, Tensor) and x.is_nested:  # whose shape is no numbers
        return math.inf
    if isinstance(x, (Tensor, np.ndarray)):
        return math.prod(x.shape)
    return sum(map(_numbers_in, x)) if isinstance(x, (tuple, list)) else int(not isinstance(x, str))


def as_text(x: Any, most: int = ROW) -> str:
    """A value to be read by people: rounded, cut where it is long, and without a failure whatever it is."""
    try:
        return _cut(_all_of(x, most))
    except KeyboardInterrupt:
        raise
    except STOPS:
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


def in_full(x: Any) -> str:
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
            return "\n  ".join(in_full(part) for part in x)
        return _cut(_all_of(x, sys.maxsize), 20_000)
    except KeyboardInterrupt:
        raise
    except STOPS:
        return f"a {type(x).__name__} that cannot be shown"


def _number_text(x: Any) -> str:
    if isinstance(x, int):  # in full, as 6 digits hide that a count is one too many
        return str(x) if abs(x) < 10**18 else "a whole number of more than 18 digits"
    return f"{float(x):.6g}"


def error_text(error: BaseException) -> str:
    try:
        return _cut(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        raise
    except STOPS:
        return type(error).__name__


def _cut(text: str, most: int = 1000) -> str:
    return text if len(text) <= most else f"{text[:most]} … ({len(text):,} characters)"
