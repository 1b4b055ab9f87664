"""The right answers of lesson 09 and appendix B written out, and what is said to a slip in one place of them."""

from __future__ import annotations

import statistics

import torch
from torch import Tensor

from .making import slips


def _slowest_blocks() -> tuple[int, int, str, int]:
    return 2, 3, "attention", 1


SLOWEST_BLOCKS = slips(
    _slowest_blocks,
    (
        "(2, 3, 'attention', 1)",
        "The first number is the block with the most FLOPs: the ledger prints 3.27, 4.22 and 3.88 GFLOPs. Blocks count "
        "from 1.",
        "(3, 3, 'attention', 1); (1, 3, 'attention', 1); (0, 3, 'attention', 1); (4, 3, 'attention', 1); (1.0, 3, "
        "'attention', 1); (-2, 3, 'attention', 1)",
    ),
    (
        "(2, 3, 'attention', 1)",
        "The second number is the block with the longest of the three upper bars, by the clock and not by FLOPs.",
        "(2, 2, 'attention', 1); (2, 1, 'attention', 1); (2, 4, 'attention', 1); (2, 6, 'attention', 1); (2, 1.5, "
        "'attention', 1); (2, -3, 'attention', 1)",
    ),
    (
        "(2, 3, 'attention', 1)",
        "Look at the patterns: nearly all of the longest bar is one part, and its name stands in the legend.",
        "(2, 3, 'QKV', 1); (2, 3, 'merging', 1); (2, 3, 'linear', 1); (2, 3, 'rest', 1)",
    ),
    (
        "(2, 3, 'attention', 1)",
        "The last number is about the network with merging: compare the three lower bars.",
        "(2, 3, 'attention', 2); (2, 3, 'attention', 3); (2, 3, 'attention', 0); (2, 3, 'attention', 0.5); (2, 3, "
        "'attention', -1)",
    ),
    (
        "(2, 3, 'attention', 1)",
        "Blocks are counted from 1, as in the figure.",
        "(1, 2, 'attention', 0)",
    ),
    (
        "(2, 3, 'attention', 1)",
        "You turned the first two round: first the block with the most FLOPs, then the one that takes the most time.",
        "(3, 2, 'attention', 1)",
    ),
)


def _amdahl(seconds: list[float], speedups: list[float]) -> float:
    left = sum(s / f for s, f in zip(seconds, speedups, strict=True))
    return sum(seconds) / left


AMDAHL = slips(
    _amdahl,
    (
        "sum((s / f for s, f in zip(seconds, speedups, strict=True)))",
        "Both times are sums over all steps; one of yours is a mean.",
        "sum((s / f for s, f in zip(seconds, speedups, strict=True))) / len(seconds)",
    ),
    (
        "s / f for s, f in zip(seconds, speedups, strict=True)",
        "Afterwards a step takes its seconds divided by its speed-up; you combine them in another way.",
        "s * f for s, f in zip(seconds, speedups, strict=True); f / s for s, f in zip(seconds, speedups, "
        "strict=True); s for s, f in zip(seconds, speedups, strict=True); f for s, f in zip(seconds, speedups, "
        "strict=True); s / f for s, f in zip(speedups, speedups, strict=True)",
    ),
    (
        "sum(seconds) / left",
        "The speed-up is the seconds before, added up, divided by the seconds after.",
        "sum(seconds) * left; sum(seconds); sum(speedups) / left",
    ),
    (
        "sum(seconds) / left",
        "Both times are sums over all steps; one of yours is a mean.",
        "sum(seconds) / len(seconds) / left",
    ),
)


def _peak_score_memory(n: int, chunk: int, together: int, rows: int) -> int:
    chunks = min(together, n // chunk)
    queries = min(rows, chunk)
    return 4 * chunks * queries * chunk


PEAK_SCORE_MEMORY = slips(
    _peak_score_memory,
    (
        "min(together, n // chunk)",
        "As many chunks are worked on as `together` says, or as there are, n // chunk, where that is less.",
        "max(together, n // chunk); min(rows, n // chunk); min(together, chunk // n); min(together, chunk // chunk)",
    ),
    (
        "min(rows, chunk)",
        "Of each chunk `rows` queries ask at a time, or all of them where the chunk is smaller.",
        "max(rows, chunk); min(chunks, chunk); min(rows, together)",
    ),
    (
        "4 * chunks * queries * chunk",
        "Four numbers are multiplied: 4 bytes, chunks at a time, queries at a time, and the keys of a chunk.",
        "4 * chunks * queries + chunk; 4 * chunks * queries; chunk; (4 * chunks + queries) * chunk; 4 * chunks * "
        "chunk; queries * chunk; (4 + chunks) * queries * chunk; 5 * chunks * queries * chunk; 3 * chunks * queries "
        "* chunk; 4 * queries * queries * chunk; 4 * chunks * n * chunk; 4 * chunks * queries * together",
    ),
)


def _swapped_flops(n: int, m: int, dim: int) -> tuple[int, int]:
    queries_or_keys = 2 * n * dim * dim
    scores = 2 * n * n * dim
    usual = 3 * queries_or_keys + scores + 2 * n * n * dim
    swapped = 2 * queries_or_keys + scores + 2 * m * n * dim + 2 * m * dim * dim
    return usual, swapped


SWAPPED_FLOPS = slips(
    _swapped_flops,
    (
        "queries_or_keys = 2 * n * dim * dim",
        "Queries, keys and values are products of n x dim by dim x dim: three sizes are multiplied, and 2 FLOPs each.",
        "queries_or_keys = 2 * n * dim + dim; queries_or_keys = 2 * n * dim; queries_or_keys = dim; queries_or_keys "
        "= (2 * n + dim) * dim; queries_or_keys = dim * dim; queries_or_keys = (2 + n) * dim * dim; queries_or_keys "
        "= 2 * dim * dim; queries_or_keys = n * dim * dim; queries_or_keys = 3 * n * dim * dim; queries_or_keys = 2 "
        "* m * dim * dim; queries_or_keys = 2 * n * n * dim",
    ),
    (
        "scores = 2 * n * n * dim",
        "The scores are a product of n x dim by dim x n: three sizes are multiplied, and 2 FLOPs each, in both ways.",
        "scores = 2 * n * n + dim; scores = 2 * n * n; scores = dim; scores = (2 * n + n) * dim; scores = 2 * n * "
        "dim; scores = n * dim; scores = (2 + n) * n * dim; scores = n * n * dim; scores = 3 * n * n * dim; scores = "
        "2 * m * n * dim; scores = 2 * n * n * queries_or_keys",
    ),
    (
        "usual = 3 * queries_or_keys + scores + 2 * n * n * dim",
        "The usual way is five products, added up: queries, keys and values, the scores, and weights times values. "
        "One of yours is missing, there too often, or of other sizes.",
        "usual = 3 * queries_or_keys + scores - 2 * n * n * dim; usual = 3 * queries_or_keys + scores; usual = 2 * n "
        "* n * dim; usual = scores + 2 * n * n * dim; usual = 3 + queries_or_keys + scores + 2 * n * n * dim; usual "
        "= 3 + scores + 2 * n * n * dim; usual = 4 * queries_or_keys + scores + 2 * n * n * dim; usual = 2 * "
        "queries_or_keys + scores + 2 * n * n * dim; usual = 3 * scores + scores + 2 * n * n * dim; usual = 3 * "
        "queries_or_keys + n + 2 * n * n * dim; usual = 3 * queries_or_keys + scores + 2 * n * n; usual = 3 * "
        "queries_or_keys + scores + dim; usual = 3 * queries_or_keys + scores + 2 * n * dim; usual = 3 * "
        "queries_or_keys + scores + n * dim; usual = 3 * queries_or_keys + scores + n * n * dim; usual = 3 * "
        "queries_or_keys + scores + 3 * n * n * dim; usual = 3 * queries_or_keys + scores + 2 * m * n * dim; usual = "
        "3 * queries_or_keys + scores + 2 * n * n * queries_or_keys",
    ),
    (
        "+ scores + 2 * n * n * dim",
        "The usual way ends with weights times values, n x n by n x dim; yours has other sizes, or another factor.",
        "+ scores + (2 * n * n + dim); + scores + (2 * n + n) * dim; + scores + (2 + n) * n * dim",
    ),
    (
        "swapped = 2 * queries_or_keys + scores + 2 * m * n * dim + 2 * m * dim * dim",
        "The swapped way is five products, added up: queries and keys, the scores, M P times the tokens, and the "
        "values of what is left. One of yours is missing, there too often, or of other sizes.",
        "swapped = 2 * queries_or_keys + scores + 2 * m * n * dim - 2 * m * dim * dim; swapped = 2 * queries_or_keys "
        "+ scores + 2 * m * n * dim; swapped = 2 * m * dim * dim; swapped = 2 * queries_or_keys + scores - 2 * m * n "
        "* dim + 2 * m * dim * dim; swapped = 2 * queries_or_keys + scores + 2 * m * dim * dim; swapped = 2 * m * n "
        "* dim + 2 * m * dim * dim; swapped = 2 * queries_or_keys - scores + 2 * m * n * dim + 2 * m * dim * dim; "
        "swapped = 2 * queries_or_keys + 2 * m * n * dim + 2 * m * dim * dim; swapped = scores + 2 * m * n * dim + 2 "
        "* m * dim * dim; swapped = 2 + queries_or_keys + scores + 2 * m * n * dim + 2 * m * dim * dim; swapped = 2 "
        "+ scores + 2 * m * n * dim + 2 * m * dim * dim; swapped = queries_or_keys + scores + 2 * m * n * dim + 2 * "
        "m * dim * dim; swapped = 3 * queries_or_keys + scores + 2 * m * n * dim + 2 * m * dim * dim; swapped = 2 * "
        "scores + scores + 2 * m * n * dim + 2 * m * dim * dim; swapped = 2 * queries_or_keys + usual + 2 * m * n * "
        "dim + 2 * m * dim * dim",
    ),
    (
        "2 * m * n * dim",
        "M P times the tokens is a product of m x n by n x dim: three sizes are multiplied, and 2 FLOPs each.",
        "(2 * m * n + dim); 2 * m * n; dim; (2 * m + n) * dim; 2 * m * dim; n * dim; (2 + m) * n * dim; 2 * n * dim; "
        "m * n * dim; 3 * m * n * dim; 2 * dim * n * dim; 2 * m * m * dim; 2 * m * n * queries_or_keys",
    ),
    (
        "2 * m * dim * dim",
        "The values come last, from what M P gives: m x dim by dim x dim. Three sizes are multiplied, and 2 FLOPs "
        "each.",
        "(2 * m * dim + dim); 2 * m * dim; dim; (2 * m + dim) * dim; dim * dim; (2 + m) * dim * dim; 2 * dim * dim; "
        "m * dim * dim; 3 * m * dim * dim; 2 * dim * dim * dim; 2 * m * queries_or_keys * dim",
    ),
    (
        "return (usual, swapped)",
        "Return two numbers: the usual way, then the swapped one.",
        "return (swapped, swapped); return (usual, n)",
    ),
)


def _roofline(flops: float, moved: float, peak: float, bandwidth: float) -> tuple[float, float]:
    intensity = flops / moved
    return intensity, min(peak, intensity * bandwidth)


ROOFLINE = slips(
    _roofline,
    (
        "flops / moved",
        "Intensity is the FLOPs divided by the bytes that are moved.",
        "flops * moved; flops; moved; moved / moved; flops / peak",
    ),
    (
        "(intensity, min(peak, intensity * bandwidth))",
        "Return the intensity first, then the FLOPs in a second.",
        "(min(peak, intensity * bandwidth), intensity)",
    ),
    (
        "(intensity, min(peak, intensity * bandwidth))",
        "The first number is the intensity, FLOPs for each byte.",
        "(flops, min(peak, intensity * bandwidth))",
    ),
    (
        "min(peak, intensity * bandwidth)",
        "Bytes come in at `bandwidth`, each with `intensity` FLOPs: their product is one ceiling, the peak the other.",
        "min(bandwidth, intensity * bandwidth); min(peak, intensity + bandwidth); min(peak, intensity); min(peak, "
        "intensity * intensity)",
    ),
)


def _median_speedup(old: list[float], new: list[float], warmup: int) -> float:
    ratios = [a / b for a, b in zip(old[warmup:], new[warmup:], strict=True)]
    return statistics.median(ratios)


MEDIAN_SPEEDUP = slips(
    _median_speedup,
    (
        "a / b for a, b in zip(old[warmup:], new[warmup:], strict=True)",
        "In each round that counts divide the old seconds by the new ones; you combine them in another way.",
        "a * b for a, b in zip(old[warmup:], new[warmup:], strict=True); a for a, b in zip(old[warmup:], new[warmup:], "
        "strict=True); b for a, b in zip(old[warmup:], new[warmup:], strict=True); a - b for a, b in zip(old[warmup:], "
        "new[warmup:], strict=True); a / b for a, b in zip(new[warmup:], new[warmup:], strict=True)",
    ),
    (
        "zip(old[warmup:], new[warmup:], strict=True)",
        "Leave the warm-up out of both lists, so that each round meets itself.",
        "zip(old, new[warmup:]); zip(old[warmup:], new)",
    ),
)


def _other_baseline(
    gain: float, saved: float, old: tuple[float, float], new: tuple[float, float]
) -> tuple[float, float]:
    seconds = old[0] / gain
    memory = old[1] * (1 - saved)
    return new[0] / seconds, 1 - memory / new[1]


_SECONDS = "The second number is right. The network takes old[0] / gain seconds; the gain is new[0] divided by that."
_LEFT = "The first number is right. Of the old MiB, old[1], the share 1 - saved is left; yours is another amount."
_SHARE = "The first number is right. What is saved is 1 minus the share that is left, memory / new[1]."


OTHER_BASELINE = slips(
    _other_baseline,
    (
        "seconds = old[0] / gain",
        _SECONDS,
        "seconds = old[0] * gain; seconds = gain / old[0]; seconds = old[0]; seconds = gain; seconds = new[0] / gain; "
        "seconds = old[1] / gain; seconds = old[0] / saved; seconds = old[0] - gain",
    ),
    (
        "new[0] / seconds",
        _SECONDS,
        "new[0] * seconds; seconds / new[0]; new[0]; seconds; new[1] / seconds; new[0] / memory; new[0] - seconds",
    ),
    (
        "memory = old[1] * (1 - saved)",
        _LEFT,
        "memory = old[1] + (1 - saved); memory = old[1]; memory = 1 - saved; memory = old[0] * (1 - saved); memory = "
        "old[1] * (1 + saved); memory = old[1] * (saved - 1); memory = old[1] * saved; memory = old[1] * (2 - saved); "
        "memory = -old[1] * saved; memory = old[1] - saved",
    ),
    (
        "1 - memory / new[1]",
        _SHARE,
        "memory / new[1] - 1; 1; 2 - memory / new[1]; -memory / new[1]; 1 - memory * new[1]; 1 - "
        "new[1] / memory; 1 - memory; 1 - new[1]; 1 - gain / new[1]; 1 - memory / new[0]; new[1] - memory",
    ),
)


def _candidates(rough: Tensor, bound: float) -> Tensor:
    best = rough.max(dim=1, keepdim=True).values
    return rough >= best - 2 * bound


_STAYS = "A target stays while its rough cosine is at least the best of its row minus twice the bound."


CANDIDATES = slips(
    _candidates,
    (
        "rough.max(dim=1, keepdim=True).values",
        "Rows and their maxima do not meet: keep the maxima a column (keepdim=True), so that each stays in its row.",
        "rough.max(dim=1).values",
    ),
    (
        "rough.max(dim=1, keepdim=True).values",
        _STAYS,
        "rough.min(dim=1, keepdim=True).values; rough; 0.0; 1.0",
    ),
    (
        "rough >= best - 2 * bound",
        _STAYS,
        "rough <= best - 2 * bound; best <= bound + 2 * bound; rough >= best + 2 * bound; rough >= 2 * bound - best; "
        "rough >= 2 * bound; rough >= best - (2 + bound); rough >= best - 2; rough >= best - 3 * bound; rough >= best "
        "- 2 * best; rough <= best + 2 * bound; rough >= best - bound / 2; rough >= best - 4 * bound",
    ),
)


def _tiled_argmax(tiles: list[Tensor]) -> Tensor:
    best = torch.full((len(tiles[0]),), -torch.inf)
    winner = torch.zeros(len(tiles[0]), dtype=torch.int64)
    start = 0
    for tile in tiles:
        top, place = tile.max(dim=1)
        better = top > best
        winner = torch.where(better, start + place, winner)
        best = torch.where(better, top, best)
        start += tile.shape[1]
    return winner


_PLACE = "A target's number is its place in the tile plus the widths of all tiles before it."


TILED_ARGMAX = slips(
    _tiled_argmax,
    (
        "-torch.inf)",
        "No target but the first ever wins: begin with minus infinity, and keep the number of whoever takes the lead.",
        "torch.inf)",
    ),
    (
        "-torch.inf)",
        "Scores may be as low as they like: begin with minus infinity, which any of them beats.",
        "-1.0); -100.0); -10000.0); -1000000000.0)",
    ),
    (
        "torch.zeros(",
        "Where no score takes the lead the answer is 0: begin with winner 0.",
        "torch.ones(; -torch.ones(",
    ),
    ("start = 0", _PLACE, "start = 1; start = -1"),
    ("start + place", _PLACE, "start - place; start; start * place; place + tile.shape[1]"),
    ("start += tile.shape[1]", _PLACE, "start += tile.shape[0]; start += 1; start += len(tile) * tile.shape[1]"),
    ("better, start + place, winner", _PLACE, "better, start + place, start"),
    (
        "tile.max(dim=1)",
        "Take the highest score of each row of a tile; yours is the lowest.",
        "tile.min(dim=1)",
    ),
    (
        "better = top > best",
        "A tile takes the lead where its highest score is greater than the best so far; you compare other things.",
        "better = place > best; better = top > winner; better = top != best",
    ),
    (
        "        best = torch.where(better, top, best)\n",
        "Keep the best score of all tiles so far, to compare the next tile with.",
        "        pass\n;         best = torch.where(better, place, best)\n;         best = torch.where(better, top, "
        "winner)\n",
    ),
)
