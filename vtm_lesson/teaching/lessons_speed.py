"""Exercise checks of lesson 09, speed and memory, and of appendix B, the matcher, the roofline and the kernel."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..measuring.roofline import amdahl as overall
from ..measuring.roofline import roofline as under_the_roof
from .exercise import Case, Exercise, random
from .slips import speed as slips


def _profile() -> tuple[int, int, str, int]:
    return 2, 3, "attention", 1


slowest_blocks = Exercise(
    "slowest_blocks",
    answer=_profile,
    cases=lambda: [("the ledger and the figure", ())],
    minutes=3,
    difficulty=1,
    importance=4,
    kind="read",
    hints=(
        "The first number is in the three lines with GFLOPs here and at the paper's size; the table below them is the "
        "network with merging. The other three are in the figure: look for long bars.",
        "Without merging compare the three upper bars. In the longest one, which pattern fills nearly all of it? With "
        "merging compare the three lower bars.",
        'By FLOPs it is block 2; by the clock block 3, in "attention". Which block is left with merging?',
    ),
    mistakes=slips.SLOWEST_BLOCKS,
)


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
    minutes=4,
    difficulty=2,
    importance=5,
    hints=(
        "A speed-up is a ratio of two times: all of it before, all of it after. Write down both.",
        "A step that took `s` seconds and runs `f` times as fast takes `s / f` seconds.",
        "`sum(seconds) / sum(s / f for s, f in zip(seconds, speedups))`",
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
        *slips.AMDAHL,
    ),
)


def _rounds(old: Sequence[float], new: Sequence[float], warmup: int) -> list[float]:
    return [a / b for a, b in zip(old[warmup:], new[warmup:], strict=True)]


def _median_speedup(old: Sequence[float], new: Sequence[float], warmup: int) -> float:
    return statistics.median(_rounds(old, new, warmup))


median_speedup = Exercise(
    "median_speedup",
    answer=_median_speedup,
    cases=lambda: [
        ("one round and no warm-up", ([3.0], [2.0], 0)),
        ("no warm-up, and rounds of unequal speed", ([1.0, 4.0, 3.0], [1.0, 2.0, 6.0], 0)),
        ("a slow first round", ([9.0, 2.0, 2.2, 2.1], [8.0, 0.5, 0.5, 0.6], 1)),
        ("a warm-up that hits one of the two only", ([1.0, 2.0, 3.0, 4.0], [40.0, 4.0, 4.0, 2.0], 1)),
        ("an even number of rounds", ([5.0, 2.0, 4.0, 9.0, 6.0], [9.0, 1.0, 1.0, 1.0, 2.0], 1)),
        ("two rounds of warm-up", ([9.0, 9.0, 6.0, 5.0, 7.0], [1.0, 2.0, 2.0, 4.0, 1.0], 2)),
        ("a disturbance in the last round", ([2.0, 2.0, 2.2, 2.1, 8.0], [1.0, 1.0, 1.2, 1.0, 1.0], 1)),
        ("another program at work in two rounds", ([1.0, 1.0, 3.0, 1.1, 3.2], [0.3, 0.2, 0.9, 0.2, 0.8], 0)),
        ("the new one is slower", ([1.0, 1.0, 2.0, 1.0], [1.0, 4.0, 4.0, 5.0], 1)),
    ],
    minutes=5,
    difficulty=2,
    importance=4,
    kind="mend",
    hints=(
        "What happened once must not decide: leave the warm-up out of both lists. And what hit a whole round hit both.",
        "Divide inside each round first, the old seconds by the new ones: one ratio a round. Which number does not "
        "mind that one of them is far off?",
        "`ratios = [a / b for a, b in zip(old[warmup:], new[warmup:])]`; the answer is `statistics.median(ratios)`.",
    ),
    mistakes=(
        ("That is the mean of the rounds' ratios; one disturbed round moves it. Take their median.",
         lambda o, n, w: statistics.mean(_rounds(o, n, w))),
        ("That is the ratio of two means; one slow round moves it. Divide inside the rounds, then take the median.",
         lambda o, n, w: sum(o[w:]) / sum(n[w:])),
        ("That is the broken version's number, warm-up and all.", lambda o, n, w: sum(o) / sum(n)),
        ("That is the ratio of two medians: they may come from different rounds. Divide inside the rounds first.",
         lambda o, n, w: statistics.median(o[w:]) / statistics.median(n[w:])),
        ("That is the ratio of two medians, and the warm-up is in them.",
         lambda o, n, w: statistics.median(o) / statistics.median(n)),
        ("Those are the two fastest runs, which may come from different rounds. Divide inside the rounds first.",
         lambda o, n, w: min(o[w:]) / min(n[w:])),
        ("You divide after sorting the seconds, so times of different rounds meet; sort the ratios only.",
         lambda o, n, w: statistics.median(_rounds(sorted(o[w:]), sorted(n[w:]), 0))),
        ("The warm-up is still in it: the first rounds pay for what is needed once.",
         lambda o, n, w: _median_speedup(o, n, 0)),
        ("The warm-up stands at the start of the lists; you left out the last rounds.",
         lambda o, n, w: _median_speedup(o[: len(o) - w], n[: len(n) - w], 0)),
        ("Leave out as many rounds as `warmup` says; you leave out one, always.",
         lambda o, n, w: _median_speedup(o, n, 1)),
        ("That is new over old; a speed-up divides the old time by the new one.",
         lambda o, n, w: _median_speedup(n, o, w)),
        ("With an even number of rounds the median lies half-way between the two in the middle.",
         lambda o, n, w: statistics.median_high(_rounds(o, n, w))),
        ("With an even number of rounds the median lies half-way between the two in the middle.",
         lambda o, n, w: statistics.median_low(_rounds(o, n, w))),
        ("That is the best round. The best one is luck, too.", lambda o, n, w: max(_rounds(o, n, w))),
        *slips.MEDIAN_SPEEDUP,
    ),
)  # fmt: skip


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
    minutes=6,
    difficulty=2,
    importance=3,
    hints=(
        "Draw the scores of one chunk: a square, queries downwards, keys to the right. Which part of how many such "
        "squares exists at one moment?",
        "A chunk has `chunk * chunk` scores, of which `rows` rows exist at a time. There are `n // chunk` chunks, of "
        "which `together` are worked on at a time. Neither can be more than there are.",
        "`4 * min(together, n // chunk) * min(rows, chunk) * chunk`",
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
        *slips.PEAK_SCORE_MEMORY,
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
    minutes=8,
    difficulty=3,
    importance=3,
    hints=(
        "Write down every matrix product of each way, with its three sizes. Do not forget those that make queries, "
        "keys and values.",
        "Usual: three of n x dim by dim x dim, one of n x dim by dim x n, one of n x n by n x dim. Swapped: M P has m "
        "rows, and the values are made from what it gives. Which products are left as they were?",
        "`usual = 6 * n * dim**2 + 4 * n**2 * dim`, and "
        "`swapped = (4 * n + 2 * m) * dim**2 + (2 * n**2 + 2 * m * n) * dim`",
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
        *slips.SWAPPED_FLOPS,
    ),
    tolerance=0,
)  # fmt: skip


Baseline = tuple[float, float]  # seconds and MiB


def _other_baseline(gain: float, saved: float, old: Baseline, new: Baseline) -> tuple[float, float]:
    seconds, memory = old[0] / gain, old[1] * (1 - saved)
    return new[0] / seconds, 1 - memory / new[1]


other_baseline = Exercise(
    "other_baseline",
    answer=_other_baseline,
    cases=lambda: [
        ("the example of the text", (4.0, 0.75, (8.0, 400.0), (4.0, 200.0))),
        ("the same baseline once more", (3.0, 0.5, (6.0, 100.0), (6.0, 100.0))),
        ("more memory than the new baseline takes", (5.0, 0.5, (10.0, 100.0), (5.0, 40.0))),
        ("a slower and larger baseline", (2.0, 0.2, (3.0, 50.0), (12.0, 500.0))),
        ("a network that saves no memory", (1.5, 0.0, (3.0, 80.0), (2.0, 60.0))),
        ("a network that takes more memory", (1.25, -0.5, (5.0, 10.0), (2.0, 20.0))),
        ("slower than the new baseline", (1.2, 0.1, (6.0, 30.0), (3.0, 30.0))),
    ],
    minutes=5,
    difficulty=2,
    importance=5,
    kind="compute",
    hints=(
        "The network itself does not change. How many seconds does it take, and how much memory?",
        "It takes `old[0] / gain` seconds, and of the old memory what is not saved, `1 - saved` of it. Compare both "
        "with the new baseline.",
        "The gain is `new[0] / (old[0] / gain)`. What is saved is `1 - old[1] * (1 - saved) / new[1]`.",
    ),
    mistakes=(
        ("The first number is right. `saved` is a share of the OLD baseline's memory: what is left of it is old[1] * "
         "(1 - saved), and that is what the new baseline is compared with.",
         lambda g, s, o, n: (_other_baseline(g, s, o, n)[0], s)),
        ("The first number is right. What is saved does not shrink like the memory: compute what is left first.",
         lambda g, s, o, n: (_other_baseline(g, s, o, n)[0], s * n[1] / o[1])),
        ("The first number is right. What is saved does not grow like the memory: compute what is left first.",
         lambda g, s, o, n: (_other_baseline(g, s, o, n)[0], s * o[1] / n[1])),
        ("The first number is right. The second one is the share that is left; what is saved is 1 minus it.",
         lambda g, s, o, n: (_other_baseline(g, s, o, n)[0], 1 - _other_baseline(g, s, o, n)[1])),
        ("The first number is right. What is saved may be below zero: then merging takes more than the new baseline.",
         lambda g, s, o, n: (_other_baseline(g, s, o, n)[0], max(0.0, _other_baseline(g, s, o, n)[1]))),
        ("You turned the baselines' seconds round: beside a faster baseline the gain is smaller.",
         lambda g, s, o, n: (g * o[0] / n[0], _other_baseline(g, s, o, n)[1])),
        ("You took the old baseline for the new one, and the new one for the old.",
         lambda g, s, o, n: _other_baseline(g, s, n, o)),
        ("The baseline has changed, so neither number stays.", lambda g, s, o, n: (g, s)),
        ("Return the gain first, then the share that is saved.",
         lambda g, s, o, n: _other_baseline(g, s, o, n)[::-1]),
        ("Give the share that is saved, 0.5 for a half, not percent.",
         lambda g, s, o, n: (_other_baseline(g, s, o, n)[0], 100 * _other_baseline(g, s, o, n)[1])),
        *slips.OTHER_BASELINE,
    ),
)  # fmt: skip


# ----------------------------------------------------------------------------------------------------- appendix B


def _candidates(rough: Tensor, bound: float) -> Tensor:
    return rough >= rough.max(dim=1, keepdim=True).values - 2 * bound


candidates = Exercise(
    "candidates",
    answer=_candidates,
    # Numbers that a computer holds exactly: whether one of them is as low as allowed must not depend on rounding.
    cases=lambda: [
        ("the example of the text", (torch.tensor([[0.5, 0.25, 0.125, 0.4375]]), 0.0625)),
        ("exactly twice the bound below the best", (torch.tensor([[0.25, 0.5, 0.0]]), 0.125)),
        ("a bound of zero, and a tie", (torch.tensor([[0.5, 0.25, 0.5]]), 0.0)),
        ("one target", (torch.tensor([[0.5], [-0.75]]), 0.125)),
        ("all below zero", (torch.tensor([[-0.75, -0.5, -0.9375], [-0.25, -1.0, -0.375]]), 0.125)),
        ("sources with very different cosines", (torch.tensor([[0.875, 0.75, 0.5], [0.125, 0.0, -0.5]]), 0.125)),
        ("a bound that leaves all of them", (torch.tensor([[0.5, -0.5], [0.25, 0.0]]), 0.5)),
        ("many", ((64 * random(5, 12, 30)).round() / 256, 0.0625)),
    ],
    minutes=7,
    difficulty=3,
    importance=3,
    hints=(
        "The best rough cosine may be too high by the bound. By how much may another one be too low?",
        "The true cosine of the best is at least its rough one minus the bound; that of another one at most its rough "
        "one plus the bound. It can win while the second number is not below the first. Row by row.",
        "`best = rough.max(dim=1, keepdim=True).values`; the answer is `rough >= best - 2 * bound`.",
    ),
    mistakes=(
        ("Both cosines may be off, the best one and the other: allow the bound twice.",
         lambda r, b: r >= r.max(dim=1, keepdim=True).values - b),
        ("A target that is just as low as allowed may still be as good as the best: take it, too.",
         lambda r, b: r > r.max(dim=1, keepdim=True).values - 2 * b),
        ("Every source has a best of its own: take the maximum of each row, not of all.",
         lambda r, b: r >= r.max() - 2 * b),
        ("Sources are rows and targets are columns; you took the maximum of each column.",
         lambda r, b: r >= r.max(dim=0).values - 2 * b),
        ("That is the best rough cosine alone. The true best may be another one.",
         lambda r, b: r >= r.max(dim=1, keepdim=True).values),
        ("You mark those that cannot win.", lambda r, b: ~_candidates(r, b)),
        ("The sign counts: a cosine of -0.9 is far from the best, not near it.",
         lambda r, b: r.abs() >= r.abs().max(dim=1, keepdim=True).values - 2 * b),
        ("A cosine far below the best is not saved by being near another one: compare with the best of the row.",
         lambda r, b: (r - r.mean(dim=1, keepdim=True)).abs() <= 2 * b),
        *slips.CANDIDATES,
    ),
)  # fmt: skip


def _tiled_argmax(tiles: list[Tensor]) -> Tensor:
    return torch.cat(tiles, dim=1).max(dim=1).indices


def _tile_by_tile(
    start: str = "width", low: float = -math.inf, later: bool = False, keep: bool = True
) -> Callable[[list[Tensor]], Tensor]:
    """A loop over tiles. start: how places are counted. low: the first best. later: of equal tiles the later wins."""

    def run(tiles: list[Tensor]) -> Tensor:
        best = torch.full((len(tiles[0]),), low)
        winner = torch.zeros(len(tiles[0]), dtype=torch.int64)
        starts = {"width": 0, "none": 0, "first": 0}
        for i, tile in enumerate(tiles):
            top, place = tile.max(dim=1)
            better = top >= best if later else top > best
            starts["first"] = i * tiles[0].shape[1]
            winner = torch.where(better, starts[start] + place, winner)
            best = torch.where(better, top, best) if keep else top
            starts["width"] += tile.shape[1]
        return winner

    return run


def _last(tiles: list[Tensor]) -> Tensor:
    scores = torch.cat(tiles, dim=1)
    return scores.shape[1] - 1 - scores.flip(1).max(dim=1).indices


def _ragged() -> list[Tensor]:
    """Scores with many ties, in tiles of unequal width."""
    return list((2 * random(8, 6, 20)).round().split([3, 8, 1, 6, 2], dim=1))


tiled_argmax = Exercise(
    "tiled_argmax",
    answer=_tiled_argmax,
    cases=lambda: [
        ("a tie in two tiles", ([torch.tensor([[0.5, 0.75]]), torch.tensor([[0.75, 0.25]])],)),
        ("a tie in one tile", ([torch.tensor([[0.5, 0.75, 0.75]]), torch.tensor([[0.25, 0.5, 0.0]])],)),
        ("all below zero", ([torch.tensor([[-0.5, -0.25]]), torch.tensor([[-0.75, -0.125]])],)),
        ("far below zero", ([torch.tensor([[-3.0, -4.0]]), torch.tensor([[-2.0, -5.0]])],)),
        ("very far below zero", ([torch.tensor([[-4e9]]), torch.tensor([[-2e9]])],)),
        ("one tile", ([torch.tensor([[0.25, 0.5], [0.5, 0.25]])],)),
        ("a narrow tile first", ([torch.tensor([[0.25]]), torch.tensor([[0.5, 0.125, 0.75]])],)),
        ("the best in the middle", ([torch.tensor([[0.0]]), torch.tensor([[0.75]]), torch.tensor([[0.5]])],)),
        ("all equal", ([torch.zeros(2, 2), torch.zeros(2, 2), torch.zeros(2, 1)],)),
        ("a source with no score at all", ([torch.full((1, 2), -math.inf), torch.full((1, 2), -math.inf)],)),
        ("tiles of unequal width", (_ragged(),)),
        ("many sources", (list(random(9, 40, 24).split(5, dim=1)),)),
    ],
    minutes=8,
    difficulty=3,
    importance=4,
    kind="mend",
    hints=(
        "Between two tiles remember two numbers for each source. With what must the first of them begin, so that any "
        "score beats it? And when may a new tile take the lead?",
        "Begin with minus infinity, as cosines may be below zero. Only a score that is greater, not one that is equal, "
        "takes the lead. A place inside a tile becomes a place in the row by adding the widths of all tiles before.",
        "For each tile: `top, place = tile.max(dim=1)`, `better = top > best`, "
        "`winner = torch.where(better, start + place, winner)`, "
        "`best = torch.where(better, top, best)`, `start += tile.shape[1]`.",
    ),
    mistakes=(
        ("Of equal scores the first target counts; yours is the one of the last tile: an equal score must not take the "
         "lead.", _tile_by_tile(later=True)),
        ("Of equal scores the first target counts; yours is the last of all.", _last),
        ("Scores may be below zero: begin with minus infinity, not with 0.", _tile_by_tile(low=0.0)),
        ("That is the broken version's answer: it begins with 0, and equal scores take the lead.",
         _tile_by_tile(low=0.0, later=True)),
        ("That is the place inside its tile; add the widths of all tiles before it.", _tile_by_tile("none")),
        ("Tiles need not be of one width: add up the widths of those before.", _tile_by_tile("first")),
        ("You compare each tile with the one before only: keep the best of all tiles so far.",
         _tile_by_tile(keep=False)),
        ("Those are the best scores. What is asked for is where they stand.",
         lambda tiles: torch.cat(tiles, dim=1).max(dim=1).values),
        ("That is the last tile's answer alone.",
         lambda tiles: sum(t.shape[1] for t in tiles[:-1]) + tiles[-1].max(dim=1).indices),
        ("That is the first tile's answer alone.", lambda tiles: tiles[0].max(dim=1).indices),
        ("You look for the smallest score.", lambda tiles: torch.cat(tiles, dim=1).min(dim=1).indices),
        *slips.TILED_ARGMAX,
    ),
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
    minutes=5,
    difficulty=2,
    importance=5,
    hints=(
        "Intensity first: how many FLOPs are made with each byte that is moved?",
        "`bandwidth` bytes come in each second. How many FLOPs can be made with them? And how many at the peak?",
        "`intensity = flops / moved`; return `intensity, min(peak, intensity * bandwidth)`.",
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
        *slips.ROOFLINE,
    ),
)  # fmt: skip
