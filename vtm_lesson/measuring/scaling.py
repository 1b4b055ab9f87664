"""How cost grows with the number of tokens, from a thousand to a million, and fitted exponents.

`growth` times attention beside matching and merging. `scale` goes to a million tokens with time and memory of match, of
merge and of a whole network that runs chunk by chunk, and works out from them what a second machine would be good for.

cost = a * N^p is a straight line on logarithmic axes, and its slope is p: 1 for what looks at every token once, 2 for
what compares every token with every other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import linregress
from tabulate import tabulate
from torch import Tensor
from tqdm import tqdm

from ..merging.matching import match
from ..merging.merge import Merge
from ..merging.partition import uniform
from ..network import VideoClassifier, by_chunks
from .clock import MIB, interleaved, peak_process, peak_resident, seconds, spread, words

SIZES = tuple(2**k for k in range(10, 19))  # 1,024 to 262,144
SCALE = tuple(2**k for k in range(10, 21))  # 1,024 to 1,048,576
FRAMES = (60, 120, 240, 480, 960, 1920, 4080)  # whole chunks of the last block; the most are 1,044,480 tokens
GRID, CHUNKS = (16, 16), (6, 30, 60)  # of the paper's network
PIECE = 1024  # tokens of a chunk, where matching stays within chunks: four frames
WHOLE, CHUNKED, MERGING, NETWORK = "matching, all with all", "matching within chunks", "merging", "network by chunks"
LINE = 125e6  # bytes a second that a gigabit line carries at best
FITTED_FROM = 4096  # below, the fixed cost of a call bends the line


def timed_calls(
    n: int, dim: int = 64, gamma: float = 6, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> dict[str, Callable[[], Tensor | Merge]]:
    """What is timed at n tokens of `dim` channels, one head: functions without arguments."""
    x = torch.randn(1, n, dim, device=device).to(dtype)
    targets = uniform(n, gamma).to(device)
    # Any assignment will do to time merging: here every source goes to a target at random.
    group = torch.randint(len(targets), (1, n), device=device)
    group[0, targets] = torch.arange(len(targets), device=device)
    keep = targets[None]

    def stored() -> Tensor:
        return (x @ x.transpose(1, 2) / math.sqrt(dim)).softmax(-1) @ x

    return {
        "attention, scores stored": stored,
        "attention, fused": lambda: F.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None]),
        "matching": lambda: match(x, targets),
        "merging": lambda: Merge(group, keep)(x),
    }


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """The slope p of log seconds over log N by least squares, and its standard error."""
    if len(sizes) < 3:
        raise ValueError(f"{len(sizes)} sizes were given; a slope with its error needs three or more.")
    line = linregress(np.log(sizes), np.log(seconds))
    return float(line.slope), float(line.stderr)


def growth(
    sizes: Sequence[int] = SIZES,
    dim: int = 64,
    gamma: float = 6,
    limit: float = 15.0,
    room: float = 3e9,
    rounds: int = 3,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> dict:
    """Part 3 of the benchmark: seconds at each size, and the exponents.

    A size is left out where one call would take longer than `limit` seconds, judged by the size before it, or where
    stored scores would fill more than `room` bytes.
    """
    points: dict[str, list[dict]] = {}
    for n in tqdm(sizes, desc="growth", leave=False):
        for name, run in timed_calls(n, dim, gamma, device, dtype).items():
            done = points.setdefault(name, [])
            power = 1 if name == "merging" else 2
            expected = done[-1]["seconds"]["median"] * (n / done[-1]["tokens"]) ** power if done else 0
            if expected > limit or ("stored" in name and 2 * n * n * dtype.itemsize > room):
                continue
            times = interleaved({name: run}, rounds if expected < limit / 10 else 1, 1 if expected < 1 else 0, device)
            done.append({"tokens": n, "seconds": spread(times[name])})
    fits = {}
    for name, done in points.items():
        used = [point for point in done if point["tokens"] >= FITTED_FROM] or done
        if len(used) >= 3:
            p, error = exponent([d["tokens"] for d in used], [d["seconds"]["median"] for d in used])
            fits[name] = {"exponent": p, "standard_error": error, "from": used[0]["tokens"], "to": used[-1]["tokens"]}
    return {
        "what": f"seconds of one call on N tokens of {dim} channels, one head; matching and merging at gamma {gamma:g}",
        "dtype": str(dtype).removeprefix("torch."),
        "points": points,
        "exponents": fits,
    }


def text(result: dict) -> str:
    """The part on growth as text: the seconds at each size, and the exponents with their standard errors."""
    sizes: dict[int, dict[str, float]] = {}
    for name, points in result["points"].items():
        for point in points:
            sizes.setdefault(point["tokens"], {})[name] = point["seconds"]["median"]
    seconds = tabulate([{"tokens": n, **row} for n, row in sorted(sizes.items())], "keys", intfmt=",", floatfmt=".4f")
    fits = [
        (name, fit["exponent"], fit["standard_error"], fit["from"], fit["to"])
        for name, fit in result["exponents"].items()
    ]
    names = ("seconds = a * N^p", "p", "+-", "from tokens", "to tokens")
    tables = [seconds, tabulate(fits, names, intfmt=",", floatfmt=".2f")] if fits else [seconds]
    return "\n\n".join([result["what"], *tables])


def scale(
    sizes: Sequence[int] = SCALE,
    frames: Sequence[int] = FRAMES,
    dim: int = 64,
    gamma: float = 10,
    rounds: int = 3,
) -> dict:
    """Seconds and bytes of match, merge and the paper's network by chunks at each size, each in a process of its own.

    sizes: tokens of one match and merge. frames: lengths of the films of the network, 256 tokens a frame; it reads them
    chunk by chunk. dim: channels, of the network as well. rounds: of a call that takes below a second; others run once.
    """
    cases = [(name, n) for name in (WHOLE, CHUNKED, MERGING) for n in sizes]
    cases += [(NETWORK, length * math.prod(GRID)) for length in frames]
    most = 1e-10 * dim / 64 * 10 / gamma * max(sizes) ** 2
    print(f"up to {max(sizes):,} tokens at once: the largest match takes about {max(1, most):.0f} s on two cores.")
    points: dict[str, list[dict]] = {}
    for name, n in tqdm(cases, desc="scale", leave=False):
        found = peak_process(
            scale_point, name=name, n=n, dim=dim, gamma=gamma, rounds=rounds, threads=torch.get_num_threads()
        )
        points.setdefault(name, []).append(
            {"tokens": n, "seconds": spread(found["seconds"]), "bytes": found["bytes"], "left": found["left"]}
        )
    fits = {
        name: {"seconds": _fit(done, lambda d: d["seconds"]["median"]), "bytes": _fit(done, lambda d: d["bytes"], MIB)}
        for name, done in points.items()
    }
    return {
        "what": f"one call on N tokens of {dim} channels, gamma {gamma:g}; chunks of {PIECE:,} tokens;"
        f" the network has chunks of {CHUNKS} frames of {math.prod(GRID)} tokens",
        "dtype": "float32",
        "points": points,
        "exponents": fits,
        "second_machine": [_second_machine(name, done[-1], dim, gamma) for name, done in points.items()],
    }


def scale_point(name: str, n: int, dim: int, gamma: float, rounds: int, threads: int) -> dict:
    """For a process of its own: seconds of each round, bytes that it grows in the first, and tokens that are left."""
    torch.set_num_threads(threads)
    with torch.inference_mode():
        # Libraries load on first use. This call is small: what it fills and frees would hide what the next one needs.
        _scale_call(name, 4 * CHUNKS[-1], dim, gamma, (2, 2))()
        run = _scale_call(name, n, dim, gamma)
        elapsed: list[float] = []
        grown, left = peak_resident(lambda: _timed(run, elapsed))
        while len(elapsed) < rounds and elapsed[-1] < 1:
            _timed(run, elapsed)
    return {"seconds": elapsed, "bytes": grown, "left": left}


def _timed(run: Callable[[], int], elapsed: list[float]) -> int:
    left: list[int] = []
    elapsed.append(seconds(lambda: left.append(run())))
    return left[0]


def _scale_call(name: str, n: int, dim: int, gamma: float, grid: tuple[int, int] | None = None) -> Callable[[], int]:
    """One call of `scale`, which gives the number of tokens that are left. grid: of the network's frames."""
    grid = GRID if grid is None else grid
    torch.manual_seed(0)
    if name == NETWORK:
        net = VideoClassifier(dim, blocks=len(CHUNKS), chunks=CHUNKS, gamma=gamma).eval()
        film, frames = torch.randn(1, CHUNKS[0], *grid, dim), n // math.prod(grid)
        left = CHUNKS[0] * math.prod(grid)  # tokens of one chunk, in each block; R = |S|, so its targets stay
        for chunk, after in zip(CHUNKS, (*CHUNKS[1:], frames), strict=True):
            left = len(uniform(left, gamma)) * max(1, after // chunk)

        def network() -> int:
            # The same few frames again and again: what they show changes little in what they cost.
            by_chunks(net, lambda first, last: film[:, : last - first], frames=frames)
            return left

        return network
    x = torch.randn(1, n, dim)
    if name == WHOLE:
        return lambda: match(x, uniform(n, gamma)).n_out
    if name == CHUNKED:
        chunked = x.view(-1, min(n, PIECE), dim)
        return lambda: len(chunked) * match(chunked, uniform(chunked.shape[1], gamma)).n_out
    targets = uniform(n, gamma)
    group = torch.randint(len(targets), (1, n))
    group[0, targets] = torch.arange(len(targets))
    return lambda: Merge(group, targets[None])(x).shape[1]


def _fit(done: Sequence[dict], value: Callable[[dict], float], least: float = 0) -> dict | None:
    """The exponent with its standard error over the sizes from FITTED_FROM where there is more than `least`; None: too
    few. A process grows page by page, so what is below a MiB says little."""
    used = [point for point in done if point["tokens"] >= FITTED_FROM and value(point) > least]
    if len(used) < 3:
        return None
    p, error = exponent([d["tokens"] for d in used], [value(d) for d in used])
    return {"exponent": p, "standard_error": error, "from": used[0]["tokens"], "to": used[-1]["tokens"]}


def _second_machine(name: str, point: dict, dim: int, gamma: float) -> dict:
    """What half of the work on another machine would save at best, and how fast a line it takes for that.

    Half of the tokens go there, for matching all with all also the targets; the tokens that are left, or the numbers of
    targets, come back. It helps where that takes less than half of the seconds measured here.
    """
    n, taken, whole = point["tokens"], point["seconds"]["median"], name == WHOLE
    sent = n // 2 * dim * 4 + (math.ceil(n / gamma) * dim * 4 if whole else 0)
    back = n // 2 * 8 if name in (WHOLE, CHUNKED) else point["left"] // 2 * dim * 4
    return {
        "name": name, "tokens": n, "seconds": taken, "saved_at_best": taken / 2, "sent_bytes": sent,
        "back_bytes": back, "line_needed": (sent + back) / (taken / 2),
    }  # fmt: skip


def scale_text(result: dict) -> str:
    """The part up to a million tokens as text: seconds and MiB, exponents, and what a second machine needs."""
    rows = [
        {
            "": name, "tokens": point["tokens"], "left": point["left"], "seconds": words(point["seconds"], 4),
            "MiB": f"{point['bytes'] / MIB:,.1f}",
        }
        for name, done in result["points"].items() for point in done
    ]  # fmt: skip
    tables = [tabulate(rows, "keys", intfmt=",", disable_numparse=[3, 4], colalign=("left", *["right"] * 4))]
    fits = [
        (name, of, f"{fit['exponent']:.2f}", f"{fit['standard_error']:.2f}", fit["from"], fit["to"])
        for name, both in result["exponents"].items() for of, fit in both.items() if fit is not None
    ]  # fmt: skip
    names = ("a * N^p", "of", "p", "+-", "from tokens", "to tokens")
    tables += [tabulate(fits, names, intfmt=",")] if fits else []
    there = [
        (
            row["name"], row["tokens"], f"{row['seconds']:.3g}", f"{row['saved_at_best']:.3g}",
            f"{row['sent_bytes'] / 1e6:,.1f}", f"{row['line_needed'] / 1e6:,.0f}",
            "yes" if row["line_needed"] < LINE else "no",
        )
        for row in result["second_machine"]
    ]  # fmt: skip
    heads = ("half on a second machine", "tokens", "s here", "saves at best", "MB sent", "needs MB/s", "gigabit line")
    tables.append(tabulate(there, heads, intfmt=",", disable_numparse=[2, 3, 4, 5], colalign=("left", *["right"] * 6)))
    return "\n\n".join([result["what"], *tables])
