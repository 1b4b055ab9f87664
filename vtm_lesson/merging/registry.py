"""Every reducer by its name. A new reducer is one file in `reducers/`, and one line here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from .reducers.bipartite import Bipartite
from .strategies import STRATEGIES, Reducer, filled_by_name, resolve

# Name -> file in reducers/ and class in it, loaded when first used. The strategies' names are bipartite reducers.
REDUCERS = {
    "drop": "drop.Drop",
    "threshold": "threshold.Threshold",
}


def reducers() -> list[str]:
    """The names of all reducers, for `reducer=` and for `reducer(name)`.

    Returns
    -------
    list of str
        The bipartite ones, by their partition (those of VTM, and the controls), first; then the others.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> vtm.reducers()[:4]
    ['uniform', 'random', 'centre', 'boundary']
    >>> "drop" in vtm.reducers() and "threshold" in vtm.reducers()
    True
    """
    return [*STRATEGIES, *REDUCERS]


def reducer(name: str, **settings: Any) -> Reducer:
    """A reducer by its name, with settings of its own.

    Parameters
    ----------
    name : str
        One of `reducers()`.
    **settings
        The fields of that reducer: `above` of "threshold", `signal` of "drop".

    Returns
    -------
    callable
        `reducer(context) -> Merge`; what `VideoClassifier(reducer=...)`, `tome.apply`, the probe and the study take.

    Raises
    ------
    ValueError
        For a name that does not exist, and for settings that this reducer does not have.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> vtm.reducer("drop", signal="motion")
    Drop(signal='motion', temperature=None)
    """
    if name not in reducers():
        raise ValueError(f"reducer is {name!r}; names are {', '.join(reducers())}, or give a function of a Context.")
    if "partition" in settings:
        settings["partition"] = resolve(settings["partition"])
    make: Callable[..., Reducer] = Bipartite
    if name in STRATEGIES:
        settings = {"partition": STRATEGIES[name], **settings}
    else:
        file, _, kind = REDUCERS[name].partition(".")
        make = getattr(importlib.import_module(f"{__package__}.reducers.{file}"), kind)
    try:
        return make(**settings)
    except TypeError as error:
        raise ValueError(f"the reducer {name!r} does not take these settings: {error}.") from error


def choose(partition: str | Callable[..., Any] | None, reducer_: str | Reducer | None = None) -> Reducer | None:
    """The reducer behind the two ways to ask for one: `partition=`, the short form for bipartite, or `reducer=`."""
    if reducer_ is None:
        if isinstance(partition, str) and partition in REDUCERS:
            raise ValueError(
                f"partition is {partition!r}, which chooses no targets: it is a reducer, reducer={partition!r}."
            )
        strategy = resolve(partition)
        return None if strategy is None else Bipartite(strategy)
    if partition not in (None, "uniform"):  # the latter is the networks' default
        raise ValueError("partition and reducer were both given; a partition is the short form: give one of them.")
    if isinstance(reducer_, str):
        return reducer(reducer_)
    if not callable(reducer_):
        raise ValueError(f"reducer is {reducer_!r}; give a name, or a function that takes a Context, returns a Merge.")
    return filled_by_name(reducer_, "reducer")
