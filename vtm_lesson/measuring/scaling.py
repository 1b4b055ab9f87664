"""How cost grows with the number of tokens: times from a thousand to a quarter of a million, and fitted exponents.

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
from .clock import interleaved, spread

SIZES = tuple(2**k for k in range(10, 19))  # 1,024 to 262,144
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
