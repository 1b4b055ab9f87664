"""Attention, one query at a time: scores, softmax and weighted sum, with the numbers written in.

Each drawing returns a `Picture` with a text alternative in `fig.alt`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from . import strips
from .diagrams import FAINT, PALE, SAND, arrow, canvas, note
from .style import BLACK, BLUE, GREEN, ORANGE, Picture, styled

MINT = "#e6f4ee"
ROW = 0.36  # inches a token
CELL = {1: 0.42, 2: 0.42, 3: 0.35}  # inches a number, where a head has so many


@styled
def attention_steps(
    queries, keys, values, query: int = 0, heads: int = 1, names: Sequence[str] | None = None, title: str = ""
) -> Picture:
    """What attention does for one token: its query meets all keys, softmax makes weights, the values are averaged.

    Parameters
    ----------
    queries, keys, values : array
        (N, C) each, N from 1 to 6 tokens.
    query : int, optional
        The token whose query is followed.
    heads : int, optional
        Into how many pieces the C numbers are cut; each piece attends by itself, 1 to 3 numbers a head.
    names : sequence of str, optional
        Of the tokens; by default their numbers.
    title : str, optional
        Above the picture.

    Returns
    -------
    Picture
        With all scores, weights and the output in words.

    Raises
    ------
    ValueError
        For arrays of other shapes, a query that is none of the tokens, or heads that do not divide C.

    Notes
    -----
    softmax(q K^T / sqrt(D)) V, D = C / heads: VTM eq. 8 with the root inside the softmax.

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson import plots
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> for words in plots.attention_steps(x, x, x, names=["a", "b"]).alt.split(". "):
    ...     print(words)
    Attention for the query of a, (1, 0)
    Key of a (1, 0): score 0.71, weight 0.67, value (1, 0)
    Key of b (0, 1): score 0, weight 0.33, value (0, 1)
    Output (0.67, 0.33).
    """
    q, k, v = (strips.array(x).astype(float) for x in (queries, keys, values))
    alike = q.ndim == 2 and q.shape == k.shape == v.shape and 1 <= len(q) <= 6
    if not alike or not np.isfinite([q, k, v]).all():
        raise ValueError(
            f"queries, keys and values have shapes {q.shape}, {k.shape} and {v.shape}; give finite numbers, (N, C) "
            "each, of 1 to 6 tokens."
        )
    n, c = q.shape
    if not 0 <= query < n:
        raise ValueError(f"query is {query}; it is the number of one of the {n} tokens, 0 to {n - 1}.")
    if heads < 1 or c % heads or c // heads > 3 or heads > 4:
        raise ValueError(f"{heads} heads for {c} numbers a token; give 1 to 4 heads, with 1 to 3 numbers for each.")
    called = [str(i) for i in range(n)] if names is None else [str(name) for name in names]
    if len(called) != n:
        raise ValueError(f"names has {len(called)} entries for {n} tokens; give one for each.")
    d = c // heads
    tall = ROW * n + 0.5
    fig, ax = canvas(tall * heads + (0.75 if heads > 1 else 0.1), title)
    top, told, outputs = ax.get_ylim()[1], [], []
    for head in range(heads):
        cut = slice(head * d, head * d + d)
        scores = k[:, cut] @ q[query, cut] / d**0.5
        weights = np.exp(scores - scores.max())
        weights /= weights.sum()
        output = weights @ v[:, cut]
        outputs.append(output)
        which = f"head {head + 1}" if heads > 1 else ""
        _draw_head(ax, top - tall * head, which, q[query, cut], k[:, cut], v[:, cut], scores, weights, called, query)
        rows = [
            f"Key of {name} {_vector(k[i, cut])}: score {_two(scores[i])}, weight {weights[i]:.2f}, "
            f"value {_vector(v[i, cut])}"
            for i, name in enumerate(called)
        ]
        of = f"{which[0].upper()}{which[1:]}: attention" if which else "Attention"
        told += [f"{of} for the query of {called[query]}, {_vector(q[query, cut])}", *rows, f"Output {_vector(output)}"]
    whole = np.concatenate(outputs)
    if heads > 1:
        cell, y = min(CELL[d], 4.5 / c), 0.32
        left = min(_columns(d)["output"], 8.1 - cell * c)
        _cells(ax, left, y, whole, "white", BLACK, cell)
        note(ax, (left - 0.15, y), "the outputs of the heads, side by side:", colour=BLACK, ha="right", fontsize=8.5)
        told.append(f"Side by side the outputs are {_vector(whole)}")
    fig.alt = (f"{title.rstrip('.')}. " if title else "") + ". ".join(told) + "."
    return fig


def _columns(d: int) -> dict[str, float]:
    """Where each column begins, in inches, for heads of d numbers."""
    wide = CELL[d] * d
    free = 8.1 - 4 * wide - 2.95  # between the columns
    gap = free / 5
    starts, x = {}, 0.1
    named = 0.35 + wide  # with a token's name before it
    widths = {"query": wide, "keys": named, "scores": 0.55, "weights": 1.5, "values": named, "output": wide}
    for name, width in widths.items():
        starts[name], x = x, x + width + gap
    return starts


def _draw_head(
    ax: Axes,
    top: float,
    which: str,
    q: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray,
    names: Sequence[str],
    query: int,
) -> None:
    """The scores, the weights and the sum of one head, below a line of headings at `top`."""
    at, d = _columns(len(q)), len(q)
    wide = CELL[d] * d
    heads = {
        "query": (at["query"], f"query of {names[query]}"),
        "keys": (at["keys"] + 0.35 + wide / 2, "keys"),
        "scores": (at["scores"] + 0.27, f"score:\nq · k / √{d}" if d > 1 else "score:\nq · k"),
        "weights": (at["weights"] + 0.3, "softmax:\nweight"),
        "values": (at["values"] + 0.35 + wide / 2, "values"),
        "output": (at["output"] + wide / 2, "sum: output"),
    }
    for x, words in heads.values():
        ax.text(x, top - 0.2, words, ha="center" if x > at["query"] else "left", va="center", fontsize=8.5)
    if which:
        ax.text(at["query"], top - 0.36, which, va="center", fontsize=8.5, weight="bold")
    rows = [top - 0.38 - ROW * (i + 0.5) for i in range(len(names))]
    middle = sum(rows) / len(rows)
    _cells(ax, at["query"], middle, q, SAND, ORANGE, CELL[d])
    for name, y, key, value, score, weight in zip(names, rows, keys, values, scores, weights, strict=True):
        for column, vector, fill, edge in (("keys", key, PALE, BLUE), ("values", value, MINT, GREEN)):
            ax.text(at[column] + 0.28, y, name, ha="right", va="center", fontsize=8.5, color=FAINT)
            _cells(ax, at[column] + 0.35, y, vector, fill, edge, CELL[d])
        arrow(ax, (at["query"] + wide + 0.04, middle), (at["keys"] + 0.04, y), colour=ORANGE, head=False, width=1)
        arrow(ax, (at["keys"] + 0.4 + wide, y), (at["scores"] + 0.02, y), width=1)
        ax.text(at["scores"] + 0.27, y, _two(score), ha="center", va="center", fontsize=9)
        arrow(ax, (at["scores"] + 0.52, y), (at["weights"] - 0.03, y), width=1)
        ax.add_patch(Rectangle((at["weights"], y - 0.09), weight, 0.18, facecolor=BLUE, zorder=2))
        ax.text(at["weights"] + weight + 0.06, y, f"{weight:.2f}", va="center", fontsize=9)
        ax.text(at["values"] - 0.02, y, "\N{MULTIPLICATION SIGN}", ha="center", va="center", fontsize=10)
        start, end = (at["values"] + 0.37 + wide, y), (at["output"] - 0.04, middle)
        arrow(ax, start, end, colour=GREEN, width=0.6 + 4 * weight, head=False)
    _cells(ax, at["output"], middle, weights @ values, "white", BLACK, CELL[d])


def _cells(ax: Axes, left: float, y: float, vector: np.ndarray, fill: str, edge: str, cell: float) -> None:
    for i, value in enumerate(vector):
        corner = (left + cell * i, y - 0.14)
        ax.add_patch(Rectangle(corner, cell, 0.28, facecolor=fill, edgecolor=edge, linewidth=1.2, zorder=2))
        size = 8.5 if len(_two(value)) < 5 or cell > 0.4 else 7.5
        ax.text(left + cell * (i + 0.5), y, _two(value), ha="center", va="center", fontsize=size, zorder=3)


def _two(value: float) -> str:
    """Two digits after the point, and none where they are zeros."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def _vector(values: np.ndarray) -> str:
    return f"({', '.join(map(_two, values))})"
