"""A reader's own idea: a partition or a reducer from a file, tried out before it enters a study.

    name, mine = load("my_file.py:newest")       # a function of the Context, or of some of its fields
    mine(context)                                # a Merge, whichever of the two it was

What goes wrong inside the function is told in terms of the interface: what it was given, what it returned, what
belongs there. `trials` are the inputs that it is tried on: awkward sizes, a batch, tokens that are no full grid.
"""

from __future__ import annotations

import importlib.util
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..merging.merge import Merge
from ..merging.registry import choose
from ..merging.strategies import Context, Reducer, filled_by_name, reduce


class OwnError(ValueError):
    """A file or a function that cannot enter a study; the message says what is wrong, and what belongs there."""


def load(where: str) -> tuple[str, Reducer]:
    """A function from a file as a reducer, after it was tried out.

    Parameters
    ----------
    where : str
        "path/to/file.py:function".

    Returns
    -------
    name : str
        The function's name.
    reducer : callable
        `reducer(context) -> Merge`; of a partition, the bipartite one.

    Raises
    ------
    OwnError
        Where there is no such file or function, the file does not run, or the function does not do what a partition
        or a reducer has to.
    """
    path, _, name = where.rpartition(":")
    if not path or not name.isidentifier():
        raise OwnError(f"{where!r} names no function: give the file and the function, my_file.py:my_partition.")
    found = getattr(_module(Path(path)), name, None)
    if not callable(found):
        raise OwnError(f"{path} has no function named {name}.")
    return name, tried(found, name)


def _module(path: Path) -> types.ModuleType:
    if not path.is_file():
        raise OwnError(f"{path} is not there.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise OwnError(f"{path} is no Python file: its name ends in .py.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a file may call exit()
        raise OwnError(f"{path} does not run: {_said(error, path)}.") from error
    return module


def tried(function: Callable[..., Any], name: str = "") -> Reducer:
    """A partition or a reducer as a reducer, if it holds on all `trials`.

    Parameters
    ----------
    function : callable
        Of the Context, or of some of its fields: returns targets, or a Merge.
    name : str, optional
        What messages call it; by default the function's own name.

    Returns
    -------
    callable
        `reducer(context) -> Merge`.

    Raises
    ------
    OwnError
        With the first trial that does not go well.

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson.study.own import OwnError, tried
    >>> def newest(n, n_targets):
    ...     return torch.arange(n - n_targets, n)
    >>> tried(newest).__class__.__name__
    'Bipartite'
    >>> def all_of_them(n):
    ...     return torch.arange(n)
    >>> try:
    ...     tried(all_of_them)
    ... except OwnError as error:
    ...     print(str(error)[:71])
    all_of_them, tried on 12 tokens of 1 film (3 frames of 2 x 2), gamma 4:
    """
    name = name or getattr(function, "__name__", type(function).__name__)
    try:
        filled = filled_by_name(function, "own")
    except (ValueError, TypeError) as error:
        raise OwnError(f"{name}: {error}") from None
    reducer: Reducer | None = None
    for words, make in trials():
        where = f"{name}, tried on {words}"
        if reducer is None:
            reducer = _as_reducer(function, filled, make(), where)
        context, fresh = make(), make()
        try:
            merge = reduce(reducer, context)
            again = reduce(reducer, make())
            merge(fresh.keys)  # it says what is wrong with weights
        except KeyboardInterrupt:
            raise
        except ValueError as error:
            raise OwnError(f"{where}: {_text(error)}") from None
        except BaseException as error:
            raise OwnError(f"{where}: it stops with {_said(error)}.") from error
        for known, value in vars(fresh).items():
            if isinstance(value, Tensor) and not torch.equal(value, getattr(context, known)):
                raise OwnError(f"{where}: it changed its input, {known}; work on a copy.")
        _is_in_order(merge, where)
        if not torch.equal(merge.group, again.group):
            raise OwnError(
                f"{where}: a second call with the same seed gave another result; draw with context.draw, or with"
                " generator=context.generator."
            )
    assert reducer is not None
    return reducer


def _as_reducer(function: Callable[..., Any], filled: Callable[..., Any], context: Context, where: str) -> Reducer:
    """By what it returns: a Merge is a reducer's, anything else a partition's."""
    try:
        result = filled(context)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise OwnError(f"{where}: it stops with {_said(error)}.") from error
    if not isinstance(result, Merge | Tensor):
        raise OwnError(
            f"{where}: it returned {type(result).__name__}; a partition returns the positions of the targets, a tensor"
            f" ({context.n_targets},) or (B, {context.n_targets}); a reducer returns a Merge."
        )
    chosen = choose(None, function) if isinstance(result, Merge) else choose(function)
    assert chosen is not None
    return chosen


def _is_in_order(merge: Merge, where: str) -> None:
    """OwnError for outputs that continue no token of their own group, or are out of temporal order."""
    inside = (merge.keep >= 0) & (merge.keep < merge.n_in)
    own = inside & (merge.group.gather(1, merge.keep.clamp(0, merge.n_in - 1)) == torch.arange(merge.n_out))
    if not bool((own if merge.present is None else own | ~merge.present).all()):
        raise OwnError(
            f"{where}: keep names tokens that are not in the groups that they stand for; `Merge.of` makes it."
        )
    keep = merge.keep if merge.present is None else merge.keep.masked_fill(~merge.present, merge.n_in).sort(1).values
    if bool((merge.keep.diff(dim=1) < 0).any()) or bool((keep.diff(dim=1) < 0).any()):
        raise OwnError(f"{where}: the tokens that are left are out of order; keep ascends, as time does.")


def trials() -> Iterator[tuple[str, Callable[[], Context]]]:
    """What own functions are tried on: a few words, and what makes the Context, the same one each time."""
    for batch, grid, gamma, part in (
        (1, (3, 2, 2), 4.0, None),
        (2, (4, 4, 4), 6.0, None),
        (2, (3, 5, 3), 7.5, None),
        (1, (1, 1, 2), 2.0, None),
        (2, (4, 4, 4), 3.0, 21),
    ):
        frames, height, width = grid
        n = frames * height * width if part is None else part
        size = (
            f"{frames} frames of {height} x {width}"
            if part is None
            else f"what is left of {frames} x {height} x {width}"
        )
        words = f"{n} tokens of {batch} film{'s' * (batch > 1)} ({size}), gamma {gamma:g}"

        def make(batch: int = batch, grid: tuple[int, int, int] = grid, gamma: float = gamma, n: int = n) -> Context:
            chance = torch.Generator().manual_seed(0)
            whole = grid[0] * grid[1] * grid[2]
            position = torch.stack([torch.randperm(whole, generator=chance)[:n].sort().values for _ in range(batch)])
            score = torch.rand(4, batch, n, generator=chance)
            keys = torch.randn(batch, n, 8, generator=chance)
            context = Context(keys, gamma, *grid, position, torch.ones(batch, n), score[0], score[1])
            context.saliency, context.relative = score[2], score[3]
            context.generator = torch.Generator().manual_seed(1)
            return context

        yield words, make


def _said(error: BaseException, path: Path | None = None) -> str:
    """An exception in one piece of a sentence, with the line of the reader's file that it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if path is None or Path(frame.filename).resolve() == path.resolve()]
    package = str(Path(__file__).resolve().parents[1])
    own = [frame for frame in own if not frame.filename.startswith(package) and "torch" not in frame.filename]
    if isinstance(error, SyntaxError) and error.lineno:
        return f"SyntaxError: {error.msg} (line {error.lineno})"
    line = f" (line {own[-1].lineno}: {own[-1].line})" if own and own[-1].line else ""
    return f"{type(error).__name__}: {_text(error).splitlines()[0] if _text(error) else 'no message'}{line}"


def _text(error: BaseException) -> str:
    """Its words, of many the first; none where it cannot say them."""
    try:
        text = str(error)
        return text if len(text) <= 1000 else f"{text[:1000]} ..."
    except KeyboardInterrupt:
        raise
    except BaseException:
        return ""
