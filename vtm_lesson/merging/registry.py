"""Every reducer by its name. A new reducer is one file in `reducers/`, and one line here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from .reducers.bipartite import Bipartite
from .strategies import STRATEGIES, Reducer, filled_by_name, is_ragged, resolve, signals

# Name -> file in reducers/ and class in it, loaded when first used. The strategies' names are bipartite reducers.
REDUCERS = {
    "drop": "drop.Drop",
    "top": "top.Top",
    "frames": "frames.Frames",
    "threshold": "threshold.Threshold",
    "run_length": "run_length.RunLength",
    "change": "change.Change",
    "window": "window.Window",
    "quadtree": "quadtree.Quadtree",
    "anchor_frames": "anchor_frames.AnchorFrames",
    "cells": "cells.Cells",
    "energy": "energy.Energy",
    "norm_preserving": "norm_preserving.NormPreserving",
    "sharpness": "sharpness.Sharpness",
    "time_space": "time_space.TimeSpace",
    "decoupled": "decoupled.Decoupled",
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


# Where the bipartite ones' partitions come from.
PARTITIONS = {
    "uniform": "VTM (2410.23782, NeurIPS 2024), eqs. 1 and 2",
    "random": "control",
    "centre": "VTM (2410.23782, NeurIPS 2024), sec. 3.3",
    "boundary": "VTM (2410.23782, NeurIPS 2024), sec. 3.3",
    "motion": "VTM (2410.23782, NeurIPS 2024), eq. 6",
    "relative": "course: motion less the camera's",
    "learnable": "VTM (2410.23782, NeurIPS 2024), eqs. 9 and 10",
    "oracle": "control: knows the actor",
}


def describe() -> list[dict[str, str]]:
    """What every reducer says about itself, with its default settings.

    Returns
    -------
    list of dict
        One for each of `reducers()`, with the keys name, source (paper and year), signal (what it needs beside the
        keys, or ""), count ("fixed": n - R tokens stay; "ragged": it differs from item to item) and cost: FLOPs of
        choosing, for n tokens, T targets, D channels of keys.

    Examples
    --------
    >>> from vtm_lesson.merging.registry import describe
    >>> next(row for row in describe() if row["name"] == "change")["cost"]
    '2 n D'
    """
    rows = []
    for name in reducers():
        what = reducer(name)
        source = PARTITIONS.get(name, getattr(what, "source", ""))
        signal = ", ".join(asked for asked in signals(what) if asked != "chance")
        count, cost = "ragged" if is_ragged(what) else "fixed", getattr(what, "cost", "")
        rows.append({"name": name, "source": source, "signal": signal, "count": count, "cost": cost})
    return rows


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
