"""What a network will cost, before it is run: `predict` says FLOPs, time and memory of every block.

FLOPs follow from the shapes alone (see `ledger`). Time and memory need to know the machine, so two small networks
are run first, one without merging and one with it. Three numbers are fitted to the times of their blocks:

    seconds = fixed + FLOPs * pace + scores * toll          (scores: numbers in the attention matrices, if stored)
    bytes   = N * C * copies + scores * room                (or what matching needs, where that is more)

Lines through six points are good enough to choose a length of film or a gamma. How far off they are on a machine is
measured by `python -m vtm_lesson bench --part planner`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
from scipy.optimize import nnls
from tabulate import tabulate
from tqdm import tqdm

from ..merging.tiled import TILE
from ..network.ledger import BlockCount
from ..network.model import VideoClassifier, count
from ..network.tokens import Tokens
from .clock import MIB, interleaved, peak_cuda, peak_tensors


@dataclass(frozen=True)
class Prediction:
    """One block: what goes in and comes out, FLOPs, seconds, and the bytes of tensors that it makes, at its peak."""

    tokens_in: int
    tokens_out: int
    flops: int
    seconds: float
    bytes: float


@dataclass(frozen=True)
class Forecast:
    """All blocks of a network, for one video."""

    blocks: tuple[Prediction, ...]

    @property
    def flops(self) -> int:
        """FLOPs of all blocks."""
        return sum(block.flops for block in self.blocks)

    @property
    def seconds(self) -> float:
        """Time of all blocks."""
        return sum(block.seconds for block in self.blocks)

    @property
    def bytes(self) -> float:
        """The peak of the block that needs most."""
        return max(block.bytes for block in self.blocks)

    def __str__(self) -> str:
        rows = [
            (i, b.tokens_in, b.tokens_out, b.flops / 1e9, b.seconds, b.bytes / MIB)
            for i, b in enumerate(self.blocks, 1)
        ]
        names = ("block", "tokens in", "tokens out", "GFLOPs", "seconds", "MiB")
        table = tabulate(rows, names, intfmt=",", floatfmt=("", "", "", ",.2f", ".3f", ",.0f"))
        return f"{table}\nin all {self.flops / 1e9:,.2f} GFLOPs, {self.seconds:.3f} s"


@dataclass(frozen=True)
class Calibration:
    """What a machine costs: seconds per block, per FLOP, per stored score; bytes per number of tokens, per score."""

    fixed: float
    pace: float
    toll: float
    copies: float
    room: float


def predict(
    frames: int,
    grid: tuple[int, int],
    dim: int,
    chunks: tuple[int, ...] = (6, 30, 60),
    gamma: float = 6,
    r: float = 1.0,
    calibration: Calibration | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    **options,
) -> Forecast:
    """Predict FLOPs, seconds and bytes of every block, for one video of `frames` x grid tokens of `dim` channels.

    device, dtype: where the network would run, and in what; how good this is on CUDA was not yet measured. options:
    further arguments of `VideoClassifier`, in the paper's order and with fused or stored scores: otherwise other things
    fill the memory, and that is not predicted yet. Without a calibration the two small networks are run now, which
    takes a few seconds the first time.
    """
    if options.get("merge_at", "after_attention") != "after_attention":
        raise ValueError(
            f"merge_at is {options['merge_at']!r}; predict knows networks that merge after attention:"
            " run the others with forecast.block_costs."
        )
    if options.get("attention") == "merged":
        raise ValueError(
            "attention is 'merged'; predict knows 'fused' and 'stored': run the others with forecast.block_costs."
        )
    if calibration is None:
        calibration = calibrate(dim, options.get("attention", "fused"), torch.get_num_threads(), device, dtype)
    options = {"chunks": chunks, "blocks": len(chunks), "gamma": gamma, "r": r, **options}
    ledger = count({"dim": dim, **options}, frames, *grid)
    c, heads = calibration, options.get("heads", 1)
    blocks = []
    for block in ledger.blocks:
        work, scores, values = _features(block, options.get("attention", "fused"), heads)
        seconds = c.fixed + c.pace * work + c.toll * scores
        peak = max(c.copies * values + c.room * scores, _matching_bytes(block, heads, device, dtype))
        blocks.append(Prediction(block.tokens_in, block.tokens_out, block.total, seconds, peak))
    return Forecast(tuple(blocks))


# Predictions against measurements: networks and films that the calibration has not seen.
TRIALS = (
    ("no merging", {"frames": 60, "grid": (16, 16), "gamma": 1}),
    ("gamma 6, R = 0.8|S|", {"frames": 60, "grid": (16, 16), "gamma": 6, "r": 0.8}),
    ("gamma 10, R = |S|", {"frames": 60, "grid": (16, 16), "gamma": 10}),
    ("gamma 6, R = |S|, twice as long", {"frames": 120, "grid": (16, 16), "gamma": 6}),
    ("gamma 2, R = |S|, smaller grid", {"frames": 60, "grid": (10, 10), "gamma": 2}),
    ("no merging, scores stored, half as long", {"frames": 30, "grid": (16, 16), "gamma": 1, "attention": "stored"}),
)


def trials(
    dim: int = 1024,
    chunks: tuple[int, ...] = (6, 30, 60),
    chosen=TRIALS,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> dict:
    """Part 4 of the benchmark: for every block of every trial, what was predicted and what was then measured."""
    rows = []
    for name, options in tqdm(chosen, desc="planner", leave=False):
        calibrate.cache_clear()  # just before: on a machine with other work, its speed an hour ago says little
        predicted = predict(dim=dim, chunks=chunks, device=device, dtype=dtype, **options).blocks
        measured = block_costs(dim=dim, chunks=chunks, device=device, dtype=dtype, **options)
        for i, (expected, (_, seconds, peak)) in enumerate(zip(predicted, measured, strict=True), 1):
            rows.append({
                "trial": name, "block": i, "tokens": expected.tokens_in, "flops": expected.flops,
                "seconds": seconds, "predicted_seconds": expected.seconds,
                "bytes": peak, "predicted_bytes": expected.bytes,
            })  # fmt: skip
    return {
        "what": "seconds and peak bytes of every block, predicted from two small runs and measured",
        "dtype": str(dtype).removeprefix("torch."),
        "rows": rows,
        "totals": [_total(name, [row for row in rows if row["trial"] == name]) for name, _ in chosen],
    }


def _total(name: str, rows: list[dict]) -> dict:
    predicted, measured = (sum(row[key] for row in rows) for key in ("predicted_seconds", "seconds"))
    return {"trial": name, "seconds": measured, "predicted_seconds": predicted, "off_by": predicted / measured - 1}


def text(result: dict) -> str:
    """The planner's part as text: every block, and how far each network as a whole is off."""
    rows = [
        (r["trial"], r["block"], r["predicted_seconds"], r["seconds"], r["predicted_bytes"] / MIB, r["bytes"] / MIB)
        for r in result["rows"]
    ]
    names = ("trial", "block", "seconds\npredicted", "seconds\nmeasured", "MiB\npredicted", "MiB\nmeasured")
    blocks = tabulate(rows, names, floatfmt=("", "", ".3f", ".3f", ",.1f", ",.1f"))
    totals = [(t["trial"], f"{t['off_by']:+.0%}") for t in result["totals"]]
    return "\n\n".join([result["what"], blocks, tabulate(totals, ("trial", "off by"), colalign=("left", "right"))])


@lru_cache
def calibrate(
    dim: int, attention: str = "fused", threads: int = 2, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Calibration:
    """Run two small networks, one without merging and one with it, and fit the numbers of this machine to them."""
    grid, chunks = (16, 16), (4, 8, 16)
    rows, times, peaks = [], [], []
    for gamma in (1, 6):
        found = block_costs(16, grid, dim, chunks, device=device, dtype=dtype, gamma=gamma, attention=attention)
        for block, seconds, peak in found:
            rows.append(_features(block, attention))
            times.append(seconds)
            peaks.append(peak)
    work, scores, values = np.array(rows, dtype=float).T
    fixed, pace, toll = fitted([np.ones_like(work), work, scores], times)
    copies, room = fitted([values, scores], peaks)
    return Calibration(fixed, pace, toll, copies, room)


def block_costs(
    frames: int,
    grid: tuple[int, int],
    dim: int,
    chunks: tuple[int, ...],
    rounds: int = 3,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    **options,
) -> list[tuple[BlockCount, float, int]]:
    """Run a network block by block: for each, its ledger row, its seconds (the fastest round), and its peak bytes."""
    model = VideoClassifier(dim, chunks=chunks, blocks=len(chunks), **options).to(device, dtype).eval()
    state = Tokens.start(torch.randn(1, frames, *grid, dim).to(device, dtype))
    peak = peak_cuda if torch.device(device).type == "cuda" else peak_tensors
    found = []
    with torch.inference_mode():
        for block, row in zip(model.blocks, count(model, frames, *grid).blocks, strict=True):
            times = interleaved({"": partial(block, state)}, rounds, device=device)[""]
            found.append((row, min(times), peak(partial(block, state))))
            state = block(state)[0]
    return found


def _features(block: BlockCount, attention: str, heads: int = 1) -> tuple[float, float, float]:
    """What costs are lines of: FLOPs, stored scores, numbers in the tokens of one block."""
    scores = heads * block.flops["attention"] / (4 * block.width_in) if attention == "stored" else 0
    return block.total, scores, block.tokens_in * block.width_in


def _matching_bytes(block: BlockCount, heads: int, device: str = "cpu", dtype: torch.dtype = torch.float32) -> float:
    """What is there while tokens are matched: attention's output, keys (with one head the queries and values beside
    them, too), unit targets, a tile of unit sources and one of scores, and of every source the 64 scores among which
    its best is looked for, if there are many. The fused matcher of CUDA keeps scores in registers alone."""
    key_dim, tile = block.width_in // heads, TILE["cpu"]
    held = 3 * block.width_in if heads == 1 else key_dim
    sources = block.tokens_in - block.targets
    if torch.device(device).type == "cuda":
        return dtype.itemsize * block.tokens_in * (block.width_in + held) + 12 * sources
    scores = min(tile, block.flops["matching"] / (2 * key_dim)) + (64 * sources if block.targets >= 256 else 0)
    return 4 * (
        block.tokens_in * (block.width_in + held) + block.targets * key_dim + min(tile, sources * key_dim) + scores
    )


def fitted(columns: list[np.ndarray], values: Sequence[float]) -> list[float]:
    """Weights of zero or more that bring sum(weight * column) close to the values, in relative terms."""
    scale = np.array([column.max() or 1.0 for column in columns])
    matrix = np.stack(columns, axis=1) / scale / np.array(values)[:, None]
    weights, _ = nnls(matrix, np.ones(len(values)))
    return [float(weight) for weight in weights / scale]
