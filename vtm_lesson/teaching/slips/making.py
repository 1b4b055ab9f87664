"""Wrong answers that are the right one with a slip in one place: their texts are made from the right one's."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
import warnings
from collections.abc import Callable
from typing import Any

Mistake = tuple[str, Callable]


def slips(right: Callable, *rows: tuple[str, str, str]) -> list[Mistake]:
    """Mistakes of an exercise: what to say, and the right function with a piece of its text replaced.

    Parameters
    ----------
    right : callable
        A function with a name, right and written out as the hints have it.
    rows : (str, str, str)
        A piece of its text, as `ast.unparse` writes it, in which it occurs once; what to say to a learner who has
        something else there; and what else, one or more pieces with "; " between them.

    Returns
    -------
    list of (str, callable)
        One for each other piece. A text is compiled when it is first called.

    Examples
    --------
    >>> from vtm_lesson.teaching.slips.making import slips
    >>> def area(width: int, height: int) -> int:
    ...     return width * height
    >>> found = slips(area, ("width * height", "Multiply both sides.", "width + height; width"))
    >>> [(words, wrong(3, 5)) for words, wrong in found]
    [('Multiply both sides.', 8), ('Multiply both sides.', 3)]
    """
    return [(words, _with(right, piece, other)) for piece, words, others in rows for other in others.split("; ")]


def _with(right: Callable, piece: str, other: str) -> Callable:
    @functools.cache
    def made() -> Callable:
        text = ast.unparse(ast.parse(textwrap.dedent(inspect.getsource(right))))
        if text.count(piece) != 1:
            raise ValueError(f"{right.__name__} has {text.count(piece)} of {piece!r}; it must have one.")
        names = dict(right.__globals__)
        exec(compile(text.replace(piece, other), f"<slip of {right.__name__}>", "exec"), names)
        return names[right.__name__]

    def wrong(*arguments: Any) -> Any:
        with warnings.catch_warnings():  # the learner did not write this, and must not read what NumPy says of it
            warnings.simplefilter("ignore")
            return made()(*arguments)

    return wrong
