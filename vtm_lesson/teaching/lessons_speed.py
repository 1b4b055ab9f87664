"""Exercise checks of lesson 09: speed and memory."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..measuring.roofline import amdahl as overall
from ..measuring.roofline import roofline as under_the_roof
from . import slips_speed
from .exercise import Case, Exercise


def _amdahl_cases() -> list[Case]:
    return [
        ("the toy of the text", ([6.0, 3.0, 1.0], [3.0, 1.0, 1.0])),
        ("shares that add up to 1", ([0.95, 0.05], [1.0, 20.0])),
        ("a step that all but disappears", ([4.0, 1.0], [1e9, 1.0])),
        ("a step that becomes slower", ([1.0, 3.0], [0.5, 6.0])),
        ("one step", ([2.0], [4.0])),
        ("nothing gained", ([3.0, 5.0, 1.0], [1.0, 1.0, 1.0])),
    ]


amdahl = Exercise(
    "amdahl",
    answer=overall,
    cases=_amdahl_cases,
    hints=(
        "A speed-up is a ratio of two times: all of it before, all of it after. Write down both.",
        "A step that took s seconds and runs f times as fast takes s / f seconds.",
        "sum(seconds) / sum(s / f for s, f in zip(seconds, speedups))",
    ),
    mistakes=(
        (
            "That is the mean of the speed-ups, weighted by time. Times add up; speed-ups do not.",
            lambda s, f: sum(a * b for a, b in zip(s, f, strict=True)) / sum(s),
        ),
        ("That is the mean of the speed-ups. A step counts by the time it takes.", lambda s, f: sum(f) / len(f)),
        ("Speed-ups of different steps do not multiply; each acts on its own step only.", lambda s, f: math.prod(f)),
        ("That is the share of the time that is left; turn it round.", lambda s, f: 1 / overall(s, f)),
        (
            "Those are the seconds afterwards; a speed-up divides the seconds before by them.",
            lambda s, f: sum(a / b for a, b in zip(s, f, strict=True)),
        ),
        (
            "You take the seconds for shares of 1; divide the sum of all seconds, whatever it is.",
            lambda s, f: 1 / sum(a / b for a, b in zip(s, f, strict=True)),
        ),
        *slips_speed.AMDAHL,
    ),
)


def _scores(n: int, chunk: int, together: int, rows: int) -> int:
    return 4 * min(together, n // chunk) * min(rows, chunk) * chunk


def _scores_with(count: Callable[[int, int, int, int], int]) -> Callable[[int, int, int, int], int]:
    return lambda n, chunk, together, rows: 4 * count(n, chunk, together, rows)


peak_score_memory = Exercise(
    "peak_score_memory",
    answer=_scores,
    cases=lambda: [
        ("six tokens in chunks of three, one chunk at a time", (6, 3, 1, 3)),
        ("the paper's block 1, all chunks at once", (15360, 1536, 10, 1536)),
        ("the paper's block 1, one chunk at a time", (15360, 1536, 1, 1536)),
        ("the paper's block 3", (15360, 15360, 1, 15360)),
        ("the paper's block 3 in tiles", (15360, 15360, 1, 64)),
        ("tiles in four chunks at a time", (1200, 100, 4, 10)),
        ("tiles larger than a chunk", (1200, 100, 2, 1000)),
        ("more room than there are chunks", (1200, 300, 16, 300)),
        ("tiles, and more room than there are chunks", (1200, 300, 16, 10)),
    ],
    hints=(
        "Draw the scores of one chunk: a square. Which part of how many such squares exists at one moment?",
        "A chunk has chunk x chunk scores, of which `rows` rows exist at a time. There are n // chunk chunks, of which "
        "`together` are worked on at a time. Neither can be more than there are.",
        "4 * min(together, n // chunk) * min(rows, chunk) * chunk",
    ),
    mistakes=(
        ("A query meets the keys of its own chunk only: a row has `chunk` scores, not n.",
         _scores_with(lambda n, c, t, r: min(t, n // c) * min(r, c) * n)),
        ("That is the number of scores; each takes 4 bytes.", lambda n, c, t, r: _scores(n, c, t, r) // 4),
        ("A tile cannot have more rows than the chunk has tokens.",
         _scores_with(lambda n, c, t, r: min(t, n // c) * r * c)),
        ("No more chunks can be worked on than the video has.", _scores_with(lambda n, c, t, r: t * min(r, c) * c)),
        ("You cap both together at n rows; cap each by itself: `together` at n // chunk, `rows` at chunk.",
         _scores_with(lambda n, c, t, r: min(t * r, n) * c)),
        ("A tile has `rows` queries, but all keys of the chunk: it is no square.",
         _scores_with(lambda n, c, t, r: min(t, n // c) * min(r, c) ** 2)),
        ("That is all that is ever made. At one moment only `together` chunks are worked on.",
         _scores_with(lambda n, c, t, r: n // c * min(r, c) * c)),
        ("Tokens of different chunks never meet: there are no n x n scores.", _scores_with(lambda n, c, t, r: n * n)),
        ("Scores that are done with are thrown away: count `rows` rows at a time.",
         _scores_with(lambda n, c, t, r: min(t, n // c) * c * c)),
        *slips_speed.PEAK_SCORE_MEMORY,
    ),
    tolerance=0,
)  # fmt: skip


def _both_ways(
    queries: str = "n", scores: str = "n", rows: str = "m", values: str = "m", each: int = 2
) -> Callable[[int, int, int], tuple[int, int]]:
    """FLOPs of one chunk (n, m, dim), usual and swapped. The words say how many rows a product of the latter has."""

    def flops(n: int, m: int, dim: int) -> tuple[int, int]:
        many = {"n": n, "m": m}
        usual = each * (3 * n * dim * dim + 2 * n * n * dim)
        swapped = (many[queries] + n + many[values]) * dim * dim + (many[scores] + many[rows]) * n * dim
        return usual, each * swapped

    return flops


swapped_flops = Exercise(
    "swapped_flops",
    answer=_both_ways(),
    cases=lambda: [
        ("four tokens of three channels, two are left", (4, 2, 3)),
        ("a chunk of this lesson", (384, 64, 256)),
        ("a chunk of the paper's block 1 at gamma 10", (1536, 154, 1024)),
        ("nothing is merged", (100, 100, 16)),
        ("everything becomes one token", (50, 1, 8)),
        ("a long chunk of narrow tokens", (5000, 500, 4)),
    ],
    hints=(
        "A product of an a x b and a b x c matrix takes 2abc FLOPs. Write down every product of each way, with its "
        "three sizes. Do not forget those that make queries, keys and values.",
        "Usual: three of n x dim by dim x dim, one of n x dim by dim x n, one of n x n by n x dim. Swapped: M P has m "
        "rows, and the values are made from what it gives. Which products are left as they were?",
        "usual = 6 * n * dim**2 + 4 * n**2 * dim; swapped = (4 * n + 2 * m) * dim**2 + (2 * n**2 + 2 * m * n) * dim",
    ),
    mistakes=(
        ("Every multiplication has its addition: 2 FLOPs, as everywhere in this course.", _both_ways(each=1)),
        ("Scores cannot be saved: the softmax has to see all n rows of Q K^T before M averages them.",
         _both_ways(scores="m")),
        ("Every token asks: there are n queries, since P has n rows before it is averaged.", _both_ways(queries="m")),
        ("Neither queries nor scores can be saved: P has n rows before M averages them.",
         _both_ways(queries="m", scores="m")),
        ("Only what comes after M shrinks. Queries, keys and scores are made for all n tokens: P is needed whole.",
         lambda n, m, dim: (_both_ways()(n, m, dim)[0], 6 * m * dim * dim + 4 * m * n * dim)),
        ("With one head the values wait, too: x is averaged by M P first, and W meets m rows.", _both_ways(values="n")),
        ("M P has m rows, so its product with the tokens has m rows, not n.", _both_ways(rows="n")),
        ("Return the usual way first, then the swapped one.", lambda n, m, dim: _both_ways()(n, m, dim)[::-1]),
        ("Queries, keys and values are three products in the usual way.",
         lambda n, m, dim: (2 * n * dim * dim + 4 * n * n * dim, _both_ways()(n, m, dim)[1])),
        *slips_speed.SWAPPED_FLOPS,
    ),
    tolerance=0,
)  # fmt: skip


roofline = Exercise(
    "roofline",
    answer=under_the_roof,
    cases=lambda: [
        ("the sum of the text", (1e4, 1.2e5, 30e9, 10e9)),
        ("the product of the text", (2e6, 1.2e5, 30e9, 10e9)),
        ("exactly at the ridge", (6e6, 2e6, 30e9, 10e9)),
        ("another machine, just left of its ridge", (5e8, 1e8, 90e9, 15e9)),
        ("much computing on few bytes", (1e12, 1e6, 60e12, 2e12)),
    ],
    hints=(
        "Intensity first: how many FLOPs are made with each byte that is moved?",
        "If bytes come in at `bandwidth`, how many FLOPs a second is that? The machine may compute fewer.",
        "intensity = flops / moved; return intensity, min(peak, intensity * bandwidth)",
    ),
    mistakes=(
        ("The lower ceiling counts, not the higher one.", lambda f, m, p, b: (f / m, max(p, f / m * b))),
        ("Intensity is FLOPs for each byte, not bytes for each FLOP.", lambda f, m, p, b: (m / f, min(p, m / f * b))),
        ("No machine computes faster than its peak, however many bytes come in.",
         lambda f, m, p, b: (f / m, f / m * b)),
        ("Bytes have to come in before they can be worked on: bandwidth is a ceiling, too.",
         lambda f, m, p, b: (f / m, p)),
        ("Count bytes, not numbers: `moved` is in bytes already.",
         lambda f, m, p, b: (4 * f / m, min(p, 4 * f / m * b))),
        ("Give the FLOPs in a second that can be reached, not the seconds.",
         lambda f, m, p, b: (f / m, f / min(p, f / m * b))),
        *slips_speed.ROOFLINE,
    ),
)  # fmt: skip
