"""What bounds a speed-up: the steps that stay as they are (Amdahl's law), and the machine (the roofline).

A machine has two ceilings: how much it computes in a second, and how much it moves between memory and processor. Which
of them a piece of work meets depends on its intensity, the FLOPs it makes with every byte that it moves (Williams,
Waterman and Patterson, 2009).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from .growth import works as by_size
from .look import BLACK, COLOURS, GREY, MARKERS, WIDTH, looks, number

FLOAT = 4  # bytes of a float32


def amdahl(seconds: Sequence[float], speedups: Sequence[float]) -> float:
    """How many times as fast the whole becomes when the step that took seconds[i] runs speedups[i] times as fast."""
    if len(seconds) != len(speedups) or not len(seconds):
        raise ValueError(f"{len(seconds)} times, {len(speedups)} speed-ups were given; every step needs one of each.")
    return sum(seconds) / sum(s / f for s, f in zip(seconds, speedups, strict=True))


def roofline(flops: float, moved: float, peak: float, bandwidth: float) -> tuple[float, float]:
    """(FLOPs per byte, the FLOP/s that can be reached): the lower of peak and intensity * bandwidth.

    flops and moved: FLOPs and bytes of the work. peak in FLOP/s, bandwidth in bytes/s: the machine's ceilings.
    """
    intensity = flops / moved
    return intensity, min(peak, intensity * bandwidth)


@dataclass(frozen=True)
class Work:
    """A piece of work: the call, its FLOPs, and the bytes that it has to move: inputs read once, results written once.

    A result that one step stores and the next reads counts for both.
    """

    run: Callable[[], object]
    flops: float
    moved: float


def works(n: int = 2048, dim: int = 64, gamma: float = 6, many: int = 65_536) -> dict[str, Work]:
    """The steps of a block on n tokens of dim channels, one head, float32.

    Intensities of layer norm and merging do not depend on the number of tokens. They run on `many`, so that more is
    moved than small caches hold; but results stay below 32 MiB, above which every call would get fresh pages from the
    system, and pay for them.
    """
    few, lots = by_size(n, dim, gamma), by_size(many, dim, gamma)
    x, crowd, matrix, scores = torch.randn(n, dim), torch.randn(many, dim), torch.randn(dim, 3 * dim), torch.randn(n, n)
    t = -(-n // gamma)
    tokens, matrices = FLOAT * n * dim, FLOAT * n * n

    def softmax() -> Tensor:
        return scores.softmax(-1)

    # Softmax: maximum, difference, exponential, sum, quotient. Layer norm: two sums, a difference, a square, a scale
    # for the deviation, and the learned scale and shift: about 8. Exponentials and roots count as one. Stored scores:
    # the product is written, read and written for the division by sqrt(D), again for the softmax, and read for the sum.
    return {
        "merging": Work(lots["merging"], many * dim, FLOAT * many * dim * (1 + 1 / gamma) + 8 * many),
        "softmax of stored scores": Work(softmax, 5 * n * n, 2 * matrices),
        "layer norm": Work(lambda: F.layer_norm(crowd, (dim,)), 8 * many * dim, 2 * FLOAT * many * dim),
        "Q, K, V": Work(lambda: x @ matrix, 6 * n * dim * dim, 4 * tokens + FLOAT * 3 * dim * dim),
        "attention, scores stored": Work(few["attention, scores stored"], 4 * n * n * dim, 6 * matrices + 4 * tokens),
        "matching": Work(few["matching"], 2 * t * (n - t) * dim, tokens + 12 * (n - t)),
        "attention, fused": Work(few["attention, fused"], 4 * n * n * dim, 4 * tokens),
    }


@looks
def picture(reached: Mapping[str, tuple[float, float]], peak: float, bandwidth: float, title: str = "") -> Figure:
    """The roofline: what the machine allows at each intensity, and where pieces of work stand under it.

    reached: name -> (FLOPs per byte, FLOP/s measured). peak in FLOP/s, bandwidth in bytes/s.
    """
    if not reached or len(reached) > len(COLOURS):
        raise ValueError(f"{len(reached)} pieces of work were given; the picture shows 1 to {len(COLOURS)}.")
    fig = Figure(figsize=(WIDTH, 3.7), layout="constrained")
    ax = fig.add_subplot()
    ridge = peak / bandwidth
    low = min(ridge, *(i for i, _ in reached.values())) / 3
    high = max(ridge, *(i for i, _ in reached.values())) * 3
    ax.plot([low, ridge, high], [low * bandwidth, peak, peak], color=BLACK, linewidth=2, zorder=2)
    ax.axvline(ridge, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    told = []
    for (name, (intensity, speed)), colour, marker in zip(reached.items(), COLOURS, MARKERS, strict=False):
        ax.plot(intensity, speed, marker, color=colour, markersize=9, markeredgecolor="white", label=name, zorder=3)
        share = speed / min(peak, intensity * bandwidth)
        told.append(f"{name} at {number(intensity)} FLOPs per byte reaches {number(speed / 1e9)} GFLOP/s, {share:.0%}")
    ax.set(xscale="log", yscale="log", xlim=(low, high), title=title)
    bottom = min(low * bandwidth, *(speed for _, speed in reached.values())) / 2
    ax.set_ylim(bottom, max(peak, *(speed for _, speed in reached.values())) * 3)
    ax.set(xlabel="FLOPs for every byte moved", ylabel="GFLOP/s")
    for axis, unit in ((ax.xaxis, 1), (ax.yaxis, 1e9)):
        axis.set_major_formatter(lambda value, _, unit=unit: number(value / unit))
    name_roof = {"textcoords": "offset points", "color": GREY}
    ax.annotate(f"all it can compute: {number(peak / 1e9)} GFLOP/s", (high, peak), (-4, 5), ha="right", **name_roof)
    ax.annotate(f"ridge: {number(ridge)}", (ridge, bottom), (4, 5), **name_roof)
    ax.annotate(f"all it can move:\n{number(bandwidth / 1e9)} GB/s", (low, peak), (6, 0), va="center", **name_roof)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, labelspacing=0.9)
    fig.alt = (
        f"{title.rstrip('.') + '. ' if title else ''}Roofline, both axes logarithmic. The roof rises with"
        f" {number(bandwidth / 1e9)} GB/s up to {number(ridge)} FLOPs per byte, then is flat at"
        f" {number(peak / 1e9)} GFLOP/s. " + "; ".join(told) + " of its roof."
    )
    return fig
