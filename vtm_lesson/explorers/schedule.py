"""The schedule explorer: chunk lengths, gamma, R and widths of each block, and what the network then costs."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import plots
from ..measuring.forecast import fitted
from ..network.ledger import Ledger
from ..network.model import count
from ..paths import data_path
from ..plots.style import Picture
from .page import Explorer

BLOCKS = 4  # at most
CHUNKS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 16, 20, 24, 30, 32, 40, 48, 60, 64, 80, 96, 120, 240)  # frames
GAMMAS = (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 20, 50)
SHARES = tuple(i / 20 for i in range(21))
FRAMES = (4, 8, 12, 16, 24, 30, 32, 45, 48, 60, 64, 90, 96, 120, 180, 240)
PATCHES = (4, 9, 16, 25, 36, 49, 64, 100, 144, 196, 256, 324, 576)
WIDTHS = (8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)  # channels
STORED = (
    "bench_network_machine_A_run_1",
    "bench_network_machine_B_run_1",
    "bench_network_machine_B_run_2",
    "bench_network",
)


def design_schedule(
    frames: int = 60,
    grid: tuple[int, int] = (16, 16),
    dim: int = 1024,
    chunks: Sequence[int] = (6, 30, 60),
    gamma: float | Sequence[float] = 6,
    r: float | Sequence[float] = 1.0,
    widths: Sequence[int] | None = None,
    classes: int = 10,
) -> Explorer:
    """Set every block's chunk length, gamma, R/|S| and width, and read tokens, FLOPs and scores beside no merging.

    Parameters
    ----------
    frames : int, optional
        Of the film that it begins with.
    grid : (int, int), optional
        Rows and columns of patches of a frame.
    dim : int, optional
        Channels of the encoder's tokens.
    chunks : sequence of int, optional
        L_i in frames, one for each of up to 4 blocks.
    gamma, r : float or sequence of float, optional
        The partition factor and R/|S|, one number or one for each block.
    widths : sequence of int, optional
        Channels after each block; default: halved each time.
    classes : int, optional
        Of the head.

    Returns
    -------
    Explorer
        Its page counts as `vtm.count` does. It predicts a time only for blocks like those that the stored benchmark
        has measured, and says whose time it is.

    Raises
    ------
    ValueError
        For more than 4 blocks, and for what `vtm.count` refuses.

    Examples
    --------
    >>> from vtm_lesson.explorers import schedule
    >>> shown = schedule.design_schedule(frames=8, grid=(4, 4), dim=32, chunks=(2, 4, 8), gamma=4)
    >>> print(shown.still.alt[-66:])
    no merging: 128, 128, 128, 128; the schedule: 128, 32, 8, 2. 3.05 times fewer FLOPs.
    """
    blocks = len(chunks)
    if not 1 <= blocks <= BLOCKS:
        raise ValueError(f"chunks has {blocks} lengths; the explorer draws 1 to {BLOCKS} blocks, one length for each.")
    gammas, shares = (
        [float(value)] * blocks if isinstance(value, (int, float)) else list(value) for value in (gamma, r)
    )
    after = [dim // 2 ** (i + 1) for i in range(blocks)] if widths is None else list(widths)
    options = {"dim": dim, "blocks": blocks, "chunks": tuple(chunks), "r": shares, "widths": after, "classes": classes}
    ledger = count({**options, "gamma": gammas}, frames, *grid)
    plain = count({**options, "gamma": 1}, frames, *grid)
    listed = zip(chunks, gammas, shares, after, strict=True)
    given = [{"chunk": c, "gamma": g, "r": share, "width": w} for c, g, share, w in listed]
    more = [
        {"chunk": max(chunks), "gamma": gammas[-1], "r": shares[-1], "width": max(1, after[-1] // 2 ** (i + 1))}
        for i in range(BLOCKS - blocks)
    ]
    data = {
        "frames": frames, "patches": grid[0] * grid[1], "dim": dim, "classes": classes, "count": blocks,
        "blocks": given + more,
        "choices": {
            "frames": _with(FRAMES, [frames]), "patches": _with(PATCHES, [grid[0] * grid[1]]),
            "chunk": _with(CHUNKS, chunks), "gamma": _with(GAMMAS, gammas), "r": _with(SHARES, shares),
            "width": _with(WIDTHS, [block["width"] for block in given + more]), "dim": _with(WIDTHS, [dim]),
        },
        "time": measured_pace(),
    }  # fmt: skip
    words = (
        "Give each block its chunk length, gamma, R/|S| and width. Which block costs most, and which change takes most"
        " away? The bars are tokens; what is filled stays."
    )
    return Explorer("schedule", "A schedule for the blocks", words, data, _still(ledger, plain))


@functools.cache
def measured_pace() -> dict[str, Any]:
    """Seconds of a block as a line of its FLOPs, through what the stored benchmark measured, and how far off it is.

    Returns
    -------
    dict
        seconds = fixed + FLOPs * pace, for fused attention in float32 on the machine named; within `widths` (channels
        before the block), and up to `most` FLOPs, tokens and tokens of a chunk. low, high: how far whole networks that
        were measured at other times and on other machines are from it, as shares.

    Examples
    --------
    >>> from vtm_lesson.explorers import schedule
    >>> pace = schedule.measured_pace()
    >>> pace["widths"], -0.25 < pace["low"] < pace["high"] < 0.25
    ([1024, 512, 256], True)
    """
    planner = json.loads((data_path("results") / "bench_planner.json").read_text())
    rows = [row for row in planner["rows"] if "stored" not in row["trial"]]
    flops = np.array([row["flops"] for row in rows], dtype=float)
    fixed, pace = fitted([np.ones_like(flops), flops], [row["seconds"] for row in rows])
    off = []
    for name in STORED:
        for row in json.loads((data_path("results") / f"{name}.json").read_text())["rows"]:
            if row["name"] == "no merging" or (row["name"].startswith("naive") and row["name"].count(",") == 2):
                off.append((3 * fixed + pace * row["flops"]) / row["seconds"]["median"] - 1)
    machine = planner["machine"]
    tokens = max(row["tokens"] for row in rows)
    # Of forecast.TRIALS: the paper's widths; block 3 is one chunk, the longest where nothing was merged before it.
    chunk = max(row["tokens"] for row in rows if row["block"] == 3)
    return {
        "fixed": fixed, "pace": pace, "low": min(off), "high": max(off), "networks": len(off), "blocks": len(rows),
        "machine": f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}, {machine['date']}",
        "widths": [1024, 512, 256], "least": float(flops.min()),
        "most": {"flops": float(flops.max()), "tokens": tokens, "chunk": chunk},
    }  # fmt: skip


def _with(values: Sequence[float], more: Sequence[float]) -> list[float]:
    return sorted({*values, *(int(value) if value == int(value) else value for value in more)})


def _still(ledger: Ledger, plain: Ledger) -> Picture:
    """Tokens after each block, with the schedule and without merging."""
    fig = plots.ledger({"no merging": plain.tokens, "the schedule": ledger.tokens})
    fewer = plain.flops / ledger.flops
    fig.alt += f" {fewer:.2f} times fewer FLOPs."
    return fig
