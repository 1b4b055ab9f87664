"""The right answers of lesson 09 written out, and what is said to a slip in one place of them."""

from __future__ import annotations

from .slips import slips


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
