"""What bounds a speed-up: the steps that stay as they are (Amdahl's law), and the machine (the roofline).

A machine has two ceilings: how much it computes in a second, and how much it moves between memory and processor. Which
of them a piece of work meets depends on its intensity, the FLOPs it makes with every byte that it moves (Williams,
Waterman and Patterson, 2009).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .scaling import timed_calls

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


def workloads(n: int = 2048, dim: int = 64, gamma: float = 6, many: int = 65_536) -> dict[str, Work]:
    """The steps of a block on n tokens of dim channels, one head, float32.

    Intensities of layer norm and merging do not depend on the number of tokens. They run on `many`, so that more is
    moved than small caches hold; but results stay below 32 MiB, above which every call would get fresh pages from the
    system, and pay for them.
    """
    few, lots = timed_calls(n, dim, gamma), timed_calls(many, dim, gamma)
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
