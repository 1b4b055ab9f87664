"""Answers as learners write them: wrong ones, which a check refuses and names, and right ones that look different."""

import ast
import itertools
import math
import re
import statistics
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import assert_refused
from scipy.stats import sem
from scipy.stats import t as student

from vtm_lesson import Context, checks, match, region, uniform

SOURCES = sorted((Path(__file__).parents[2] / "notebooks" / "source").glob("[0-9A-Z]*_*.py"))
NAMES = [name for name in checks.__all__ if isinstance(getattr(checks, name), checks.Exercise)]


@pytest.fixture(autouse=True)
def _outside_grading(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)


# ---------------------------------------------------------------------------------------------------------------
# What several answers use. Each of these is right by default.
# ---------------------------------------------------------------------------------------------------------------


def halves(n):
    return torch.arange(0, n, 2), torch.arange(1, n, 2)


def cosines(keys, sources, targets):
    unit = keys / keys.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return unit[sources] @ unit[targets].T


def best(scores):
    value, place = scores.max(dim=1)
    return place, value


def tome(x, keys, r, unit=True, later=False, late_target=False, add="all", order="position"):
    keys = F.normalize(keys, dim=1) if unit else keys
    found = []
    for j in range(0, len(x), 2):
        scores = [float(keys[j] @ keys[i]) for i in range(1, len(x), 2)]
        i = max(range(len(scores)), key=lambda i: (scores[i], i if late_target else -i))
        found.append((scores[i], j, 2 * i + 1))
    found.sort(key=lambda pair: (-pair[0], -pair[1] if later else pair[1]))
    groups = {i: [i] for i in range(len(x))}
    for _, j, i in found[:r]:
        groups[i] = [i, j] if add == "last" else [*groups[i], j]
        del groups[j]
    left = sorted(groups)
    if order == "ToMe's":
        left = [j for _, j, _ in found[r:]] + [i for i in left if i % 2]
    return torch.stack([x[groups[i]].mean(0) for i in left])


def proportional(q, k, v, bonus, factor=1.0):
    return F.softmax(q @ k.T / math.sqrt(q.shape[1]) * factor + bonus, dim=1) @ v


def left(n, prefix, amounts, half=lambda m: m // 2):
    counts = []
    for r in amounts:
        n -= min(r, half(n - prefix))
        counts.append(n)
    return counts


def ledger(frames, per_frame, chunks, gamma, r, whole=math.floor, targets=math.ceil):
    n, counts = frames * per_frame, []
    for length in chunks:
        inside = n * length // frames
        n = frames // length * (inside - whole(r * (inside - targets(inside / gamma))))
        counts.append(n)
    return counts


def chunk_by_chunk(x, keys, chunks, gamma):
    parts = zip(x.chunk(chunks, dim=1), keys.chunk(chunks, dim=1), strict=True)
    return torch.cat([match(k, uniform(k.shape[1], gamma))(part) for part, k in parts], dim=1)


def evenly(places, k):
    return [places[i * len(places) // k] for i in range(k)]


def centre(frames, height, width, gamma, whole=math.ceil, half=round, spread=evenly):
    rows, columns = height // 2, width // 2
    top, beside = (height - rows) // 2, (width - columns) // 2
    inside, outside = [], []
    for position in range(frames * height * width):
        y, x = position // width % height, position % width
        (inside if top <= y < top + rows and beside <= x < beside + columns else outside).append(position)
    count = whole(frames * height * width / gamma)
    return sorted(spread(inside, half(count / 2)) + spread(outside, count - half(count / 2)))


def moved(cost=lambda found, block: (found - block).abs().sum(), part=None, reach=None, key=None):
    def inside(previous, y, x, height, width):
        found = previous[max(y, 0) : y + height, max(x, 0) : x + width] if y > -height and x > -width else previous[:0]
        return found if found.shape == (height, width) else None

    def answer(previous, block, row, column, own):
        span = range(-own, own + 1) if reach is None else range(-reach, reach + 1)
        found = []
        for dx in span:
            for dy in span:
                place = (part or inside)(previous, row - dy, column - dx, *block.shape)
                if place is not None:
                    found.append((float(cost(place, block)), dx, dy))
        return min(found, key=key or (lambda f: f[0]))[1:]

    return answer


def clamped(previous, y, x, height, width):
    y, x = np.clip((y, x), 0, (previous.shape[0] - height, previous.shape[1] - width))
    return previous[y : y + height, x : x + width]


def rolled(previous, y, x, height, width):
    return torch.roll(previous, (-y, -x), (0, 1))[:height, :width]


def padded(previous, y, x, height, width, value=0.0):
    return F.pad(previous, (20, 20, 20, 20), value=value)[y + 20 : y + 20 + height, x + 20 : x + 20 + width]


def pattern(part):
    return F.normalize((part - part.mean()).flatten(), dim=0)


def softmax(score):
    return score.flatten().softmax(0).view_as(score)


def middle(vectors):
    return vectors.flatten(1, 2).median(dim=1).values[:, None, None]


def guided(q, k, v, s):
    return F.softmax((q @ k.T + s) / math.sqrt(q.shape[1]), dim=1) @ v


def pulls(q, k, v, s, g):
    """What every output adds to the gradient of every s: sum over dim 0."""
    weights = ((q @ k.T + s) / q.shape[1] ** 0.5).softmax(1)
    return weights * (g @ v.T - (g * (weights @ v)).sum(1, keepdim=True)) / q.shape[1] ** 0.5


def by_autograd(q, k, v, s, g):
    s = s.clone().requires_grad_()
    return torch.autograd.grad((guided(q, k, v, s) * g).sum(), s)[0]


def interval(values, level=0.975, factor=None, spread=statistics.stdev, root=True, degrees=-1):
    n = len(values)
    factor = student.ppf(level, n + degrees) if factor is None else factor
    half = factor * spread(values) / (math.sqrt(n) if root else 1)
    return statistics.mean(values) - half, statistics.mean(values) + half


def differences(one, other):
    return [a - b for a, b in zip(one, other, strict=True)]


def verdict(low, high):
    return "first" if low > 0 else "second" if high < 0 else "not told apart"


def paired(rule):
    """A `told_apart` by (low, high) of the differences."""
    return lambda one, other: verdict(*rule(differences(one, other)))


def less_one(values):
    """A deviation that makes the error stdev / sqrt(n - 1)."""
    return statistics.stdev(values) * math.sqrt(len(values) / (len(values) - 1))


def of_logarithms(one, other):
    return verdict(*interval([math.log(a / b) for a, b in zip(one, other, strict=True)]))


def welch(one, other):
    error = math.sqrt((statistics.variance(one) + statistics.variance(other)) / len(one))
    half = student.ppf(0.975, 2 * len(one) - 2) * error
    between = statistics.mean(one) - statistics.mean(other)
    return verdict(between - half, between + half)


def usual(n, dim):
    return 6 * n * dim**2 + 4 * n**2 * dim


# ---------------------------------------------------------------------------------------------------------------
# Wrong answers: exercise, what is wrong, words by which the message names it (None: it does not), the function
# ---------------------------------------------------------------------------------------------------------------

WRONG = [
    ("group_mean", "sum", "the sum", lambda x, g: torch.zeros(int(g.max()) + 1, x.shape[1]).index_add(0, g, x)),
    ("group_mean", "mean of all tokens", None, lambda x, g: x.mean(0).expand(int(g.max()) + 1, -1)),
    ("group_mean", "maximum", None, lambda x, g: torch.stack([x[g == i].amax(0) for i in range(g.max() + 1)])),
    (
        "group_mean",
        "in order of appearance",
        None,
        lambda x, g: torch.stack([x[g == i].mean(0) for i in g.unique_consecutive()]),
    ),
    ("tokens_in_film", "patches rounded up", "no patch", lambda f, s, p: f * (-(-s // p)) ** 2),
    ("tokens_in_film", "patches rounded", "nearly a patch", lambda f, s, p: f * round(s / p) ** 2),
    ("tokens_in_film", "areas", "divide areas", lambda f, s, p: f * (s * s // p**2)),
    ("tokens_in_film", "areas of all frames", "divide areas", lambda f, s, p: f * s * s // p**2),
    ("tokens_in_film", "parts of patches", "whole", lambda f, s, p: f * (s / p) ** 2),
    ("tokens_in_film", "a class token for each frame", None, lambda f, s, p: f * ((s // p) ** 2 + 1)),
    ("attention_cost", "three projections", "four proj", lambda n, d: (2 * n * n * d + 3 * n * d * d, 4 * n * n)),
    (
        "attention_cost",
        "FLOPs",
        "one product, added to a sum, is one multiply-add",
        lambda n, d: (4 * n * n * d + 8 * n * d * d, 4 * n * n),
    ),
    ("attention_cost", "float16", None, lambda n, d: (2 * n * n * d + 4 * n * d * d, 2 * n * n)),
    ("frames_that_fit", "float32", "seven digits", lambda b, p: int(np.sqrt(np.float32(b / 4))) // p),
    ("frames_that_fit", "tokens rounded", None, lambda b, p: round((b / 4) ** 0.5) // p),
    ("frames_that_fit", "frames by themselves", "all frames attend to each other", lambda b, p: b // 4 // p**2),
    ("frames_that_fit", "one frame at least", None, lambda b, p: max(1, math.isqrt(b // 4) // p)),
    ("alternate", "the last source is lost", "lost when n is odd", lambda n: (halves(n - n % 2)[0], halves(n)[1])),
    ("alternate", "counted from 1", None, lambda n: (torch.arange(1, n + 1, 2), torch.arange(2, n + 1, 2))),
    ("alternate", "masks", None, lambda n: (torch.arange(n) % 2 == 0, torch.arange(n) % 2 == 1)),
    (
        "nearest_target",
        "long keys win, and the token's number",
        "Two things at once: long keys win",
        lambda k, s, t: (t[best(k[s] @ k[t].T)[0]], best(k[s] @ k[t].T)[1]),
    ),
    ("nearest_target", "distance", "smallest distance", lambda k, s, t: best(-torch.cdist(k[s], k[t]))),
    ("nearest_target", "distance, positive", "smallest distance", lambda k, s, t: torch.cdist(k[s], k[t]).min(1)[::-1]),
    (
        "nearest_target",
        "cosine of the one at the smallest distance",
        "smallest distance",
        lambda k, s, t: (b := torch.cdist(k[s], k[t]).argmin(1), F.cosine_similarity(k[s], k[t[b]])),
    ),
    ("nearest_target", "dot products", "plain dot products", lambda k, s, t: best(k[s] @ k[t].T)),
    (
        "nearest_target",
        "among all keys",
        "nearest to itself",
        lambda k, s, t: best(cosines(k, s, torch.arange(len(k)))),
    ),
    ("nearest_target", "absolute cosine", None, lambda k, s, t: best(cosines(k, s, t).abs())),
    (
        "nearest_target",
        "the last of equal ones",
        None,
        lambda k, s, t: (len(t) - 1 - best(cosines(k, s, t.flip(0)))[0], best(cosines(k, s, t))[1]),
    ),
    ("tome_step", "overwritten", "keeps the last", lambda x, k, r: tome(x, k, r, add="last")),
    ("tome_step", "ToMe's own order", "ToMe's own code", lambda x, k, r: tome(x, k, r, order="ToMe's")),
    ("tome_step", "matched on x", "You matched on x", lambda x, k, r: tome(x, x, r)),
    ("tome_step", "dot products", "plain dot products", lambda x, k, r: tome(x, k, r, unit=False)),
    ("tome_step", "ties to the later source", "the later ones", lambda x, k, r: tome(x, k, r, later=True)),
    ("tome_step", "ties to the later target", None, lambda x, k, r: tome(x, k, r, late_target=True)),
    ("tome_step", "keys are merged", "merged the keys", lambda x, k, r: tome(k, k, r)),
    ("tome_step", "all sources", None, lambda x, k, r: tome(x, k, len(x))),
    ("tome_step", "the last token is no target", None, lambda x, k, r: torch.cat([tome(x[:-1], k[:-1], r), x[-1:]])),
    ("proportional_attention", "times size", "multiplied by size. W", lambda q, k, v, s: proportional(q, k, v, 0, s)),
    ("proportional_attention", "log10", "base 10", lambda q, k, v, s: proportional(q, k, v, s.log10())),
    ("proportional_attention", "log2", "base 2", lambda q, k, v, s: proportional(q, k, v, s.log2())),
    ("proportional_attention", "log1p", "not of 1 + size", lambda q, k, v, s: proportional(q, k, v, s.log1p())),
    ("proportional_attention", "divided", "not taken away", lambda q, k, v, s: proportional(q, k, v, -s.log())),
    (
        "proportional_attention",
        "each query",
        "along the queries",
        lambda q, k, v, s: proportional(q, k, v, s.log()[: len(q), None]),
    ),
    ("tokens_left", "half rounded", "round()", lambda n, p, a: left(n, p, a, lambda m: round(m / 2))),
    ("tokens_left", "half rounded up", "without a partner", lambda n, p, a: left(n, p, a, lambda m: -(-m // 2))),
    ("tokens_left", "half of all", "protected ones", lambda n, p, a: left(n, 0, a)),
    ("tokens_left", "the start, too", "what comes into the first block", lambda n, p, a: [n, *left(n, p, a)]),
    (
        "tokens_left",
        "half of a part of a token",
        "your limit is another",
        lambda n, p, a: left(n, p, a, lambda m: m / 2),
    ),
    ("above", "the threshold, too", "is not above it", lambda s, t: int((s >= t).sum(1).min())),
    ("above", "absolute similarity", None, lambda s, t: int((s.abs() > t).sum(1).min())),
    ("above", "whether", None, lambda s, t: bool((s > t).any())),
    (
        "checkerboard",
        "without time",
        "one frame later",
        lambda f, h, w: torch.cat([i * h * w + checks.checkerboard.answer(1, h, w) for i in range(f)]),
    ),
    ("checkerboard", "every other token", "row-by-row", lambda f, h, w: torch.arange(1, f * h * w, 2)),
    (
        "checkerboard",
        "odd frames",
        "each of them once",
        lambda f, h, w: torch.arange(f * h * w).view(f, -1)[1::2].flatten(),
    ),
    ("checkerboard", "a mask", None, lambda f, h, w: torch.arange(f * h * w) % 2 == 1),
    ("tokens_after", "R rounded", "R is rounded down", lambda *a: ledger(*a, whole=round)),
    ("tokens_after", "R rounded up", "R is rounded down", lambda *a: ledger(*a, whole=math.ceil)),
    ("tokens_after", "targets rounded down", "rounded down", lambda *a: ledger(*a, targets=math.floor)),
    ("tokens_after", "the last block only", None, lambda *a: ledger(*a)[-1]),
    ("merge_in_chunks", "int(gamma)", "whole number", lambda x, k, c, g: chunk_by_chunk(x, k, c, int(g))),
    ("merge_in_chunks", "gamma rounded up", None, lambda x, k, c, g: chunk_by_chunk(x, k, c, math.ceil(g))),
    ("merge_in_chunks", "the films are lost", "one long film", lambda *a: chunk_by_chunk(*a).reshape(1, -1, 4)),
    ("merge_in_chunks", "no axis of films", "axis of the films", lambda *a: chunk_by_chunk(*a).flatten(0, 1)),
    ("merge_in_chunks", "whole video", "over the whole video", lambda x, k, c, g: chunk_by_chunk(x, k, 1, g)),
    ("merge_in_chunks", "the first film only", None, lambda x, k, c, g: chunk_by_chunk(x[:1], k[:1], c, g)),
    ("pooled_weight", "the first merge", "Only the first", lambda groups: checks.pooled_weight.answer(groups[:1])),
    ("pooled_weight", "sizes", None, lambda groups: torch.bincount(groups[0])[groups[0]] / len(groups[0])),
    ("pooled_weight", "equal", "All patches weigh", lambda groups: torch.ones(len(groups[0])) / len(groups[0])),
    ("centre_targets", "N / gamma rounded", "round the number of targets to", lambda *a: centre(*a, whole=round)),
    ("centre_targets", "N // gamma", "round the number of targets down", lambda *a: centre(*a, whole=int)),
    ("centre_targets", "half rounded up", "as round does", lambda *a: centre(*a, half=math.ceil)),
    ("centre_targets", "half rounded down", "as round does", lambda *a: centre(*a, half=math.floor)),
    ("centre_targets", "the first k", None, lambda *a: centre(*a, spread=lambda places, k: places[:k])),
    (
        "centre_targets",
        "steps of m // k",
        None,
        lambda *a: centre(*a, spread=lambda places, k: places[:: len(places) // k][:k]),
    ),
    (
        "centre_targets",
        "rounded steps",
        None,
        lambda *a: centre(*a, spread=lambda p, k: [p[min(round(i * len(p) / k), len(p) - 1)] for i in range(k)]),
    ),
    ("centre_targets", "boundary", "dense at the boundary", lambda *a: region(*a, focus="boundary")),
    ("expected_coverage", "chance", "That is chance", lambda f, g, focus: 1 / g),
    ("expected_coverage", "all of the centre", None, lambda f, g, focus: min(1.0, 2 * f / g)),
    (
        "expected_coverage",
        "boundary is the rest",
        "5/3",
        lambda f, g, focus: checks.expected_coverage.answer(1 - f if focus == "boundary" else f, g, "centre"),
    ),
    ("block_motion", "one pixel", "one pixel only", moved(lambda p, b: (p - b)[0, 0].abs())),
    ("block_motion", "the last pixel", None, moved(lambda p, b: (p - b)[-1, -1].abs())),
    ("block_motion", "first row", "first row", moved(lambda p, b: (p - b)[0].abs().sum())),
    ("block_motion", "first column", None, moved(lambda p, b: (p - b)[:, 0].abs().sum())),
    ("block_motion", "largest error", "largest difference", moved(lambda p, b: (p - b).abs().max())),
    ("block_motion", "squared error", "squares", moved(lambda p, b: (p - b).square().mean())),
    ("block_motion", "median error", None, moved(lambda p, b: (p - b).abs().median())),
    ("block_motion", "no abs", "signs", moved(lambda p, b: (p - b).sum().abs())),
    ("block_motion", "no abs at all", "darkest place", moved(lambda p, b: (p - b).sum())),
    ("block_motion", "pixels that differ", None, moved(lambda p, b: (p != b).sum())),
    ("block_motion", "products", "multiply the pixels", moved(lambda p, b: -(p * b).sum())),
    ("block_motion", "cosine", None, moved(lambda p, b: -F.cosine_similarity(p.flatten(), b.flatten(), dim=0))),
    ("block_motion", "correlation", "patterns", moved(lambda p, b: -pattern(p) @ pattern(b))),
    ("block_motion", "reach is not used", "not used", lambda p, b, y, x, _: moved()(p, b, y, x, max(p.shape))),
    ("block_motion", "reach 7", "not used", moved(reach=7)),
    ("block_motion", "reach 3", None, moved(reach=3)),
    (
        "block_motion",
        "one less than reach",
        "ends before reach",
        lambda p, b, y, x, reach: moved(key=lambda f: (max(f[1:]) == reach, f[0]))(p, b, y, x, reach),
    ),
    ("block_motion", "clamped", "back to its edge", moved(part=clamped)),
    ("block_motion", "torch.roll", "on the other", moved(part=rolled)),
    ("block_motion", "zeros outside", "with zeros", moved(part=padded)),
    (
        "block_motion",
        "what is inside of the frame",
        None,
        moved(lambda p, b: (p - b).abs().nanmean().nan_to_num(nan=1e9), part=lambda *a: padded(*a, value=math.nan)),
    ),
    ("block_motion", "ties to the last", "the last", moved(key=lambda f: (f[0], -f[1], -f[2]))),
    ("block_motion", "ties to the smallest dy", None, moved(key=lambda f: (f[0], f[2], f[1]))),
    ("block_motion", "rounded costs", None, moved(lambda p, b: (p - b).abs().sum().round())),
    ("block_motion", "ties to the shortest", "the shortest", moved(key=lambda f: (f[0], f[1] ** 2 + f[2] ** 2))),
    ("block_motion", "(dy, dx)", "columns first", lambda *a: moved()(*a)[::-1]),
    ("motion_probability", "clamp(min=0.5)", "a little", lambda m, t: softmax(t * m / m.mean().clamp(min=0.5))),
    ("motion_probability", "mean + 1", None, lambda m, t: softmax(t * m / (m.mean() + 1))),
    ("motion_probability", "by the maximum", None, lambda m, t: softmax(t * m / m.max().clamp(min=1e-6))),
    ("motion_probability", "standardised", None, lambda m, t: softmax(t * (m - m.mean()) / m.std().clamp(min=1e-6))),
    ("without_camera", "mean", "subtracted the mean", lambda v: (v - v.mean((1, 2), keepdim=True)).norm(dim=-1)),
    (
        "without_camera",
        "one median for x and y",
        None,
        lambda v: (v - v.flatten(1).median(1).values[:, None, None, None]).norm(dim=-1),
    ),
    ("without_camera", "squared", None, lambda v: (v - middle(v)).square().sum(-1)),
    ("without_camera", "sum of both", None, lambda v: (v - middle(v)).abs().sum(-1)),
    ("saliency", "tanh of the keys", None, lambda k, U: (k.tanh() @ U)[:, 0]),
    ("saliency", "divided by sqrt(D)", None, lambda k, U: torch.tanh(k @ U / k.shape[1] ** 0.5)[:, 0]),
    ("saliency", "a column", "a column", lambda k, U: torch.tanh(k @ U)),
    ("guided_attention", "s times scores", "multiplied by s; in", lambda q, k, v, s: proportional(q, k, v, 0, s)),
    ("guided_attention", "along the queries", "along the queries", lambda q, k, v, s: guided(q, k, v, s[:, None])),
    (
        "guided_attention",
        "root of E",
        "those of a value",
        lambda q, k, v, s: F.softmax((q @ k.T + s) / v.shape[1] ** 0.5, dim=1) @ v,
    ),
    ("guided_attention", "s is taken away", "not taken away", lambda q, k, v, s: guided(q, k, v, -s)),
    ("gradient_of_saliency", "wrong axis", "tokens j, which", lambda *a: pulls(*a).sum(1)),
    ("gradient_of_saliency", "mean", "mean over the outputs", lambda *a: pulls(*a).mean(0)),
    (
        "gradient_of_saliency",
        "root of E",
        None,
        lambda q, k, v, s, g: pulls(q, k, v, s, g).sum(0) * (q.shape[1] / v.shape[1]) ** 0.5,
    ),
    ("gradient_of_saliency", "the first output", None, lambda *a: pulls(*a)[0]),
    ("gradient_of_saliency", "a step downhill", "sign", lambda *a: -by_autograd(*a)),
    (
        "drawn_targets",
        "louder noise",
        "multiply the noise",
        lambda s, n, t, e: (s + t * e).topk(n).indices.sort().values,
    ),
    (
        "drawn_targets",
        "noise taken away",
        "The noise is added",
        lambda s, n, t, e: (t * s - e).topk(n).indices.sort().values,
    ),
    ("drawn_targets", "not sorted", "sort them", lambda s, n, t, e: (t * s + e).argsort(descending=True)[:n]),
    ("drawn_targets", "a mask", None, lambda s, n, t, e: (t * s + e) >= (t * s + e).topk(n).values[-1]),
    ("mean_interval", "z = 1.96", "1.96", lambda v: interval(v, factor=1.96)),
    ("mean_interval", "constant 2.776", "belongs to five runs", lambda v: interval(v, factor=2.776)),
    ("mean_interval", "n degrees of freedom", "one run more", lambda v: interval(v, degrees=0)),
    ("mean_interval", "99%", "covers 99%", lambda v: interval(v, 0.995)),
    ("told_apart", "same sign on every seed", "on every seed", paired(lambda d: (min(d), max(d)))),
    ("told_apart", "median's sign", "median difference", paired(lambda d: [statistics.median(d)] * 2)),
    ("told_apart", "medians", None, lambda a, b: verdict(*[statistics.median(a) - statistics.median(b)] * 2)),
    (
        "told_apart",
        "majority vote",
        "how many seeds",
        paired(lambda d: [sum(x > 0 for x in d) - sum(x < 0 for x in d)] * 2),
    ),
    ("told_apart", "z = 1.96", "1.96", paired(lambda d: interval(d, factor=1.96))),
    ("told_apart", "one standard error", "one standard error", paired(lambda d: interval(d, factor=1))),
    ("told_apart", "90% interval", "covers 90%", paired(lambda d: interval(d, 0.95))),
    ("told_apart", "99% interval", "covers 99%", paired(lambda d: interval(d, 0.995))),
    ("told_apart", "no root of n", "single differences", paired(lambda d: interval(d, root=False))),
    ("told_apart", "population deviation", "n below", paired(lambda d: interval(d, spread=statistics.pstdev))),
    ("told_apart", "constant 2.776", "belongs to five seeds", paired(lambda d: interval(d, factor=2.776))),
    ("told_apart", "n degrees of freedom", "one seed more", paired(lambda d: interval(d, degrees=0))),
    (
        "told_apart",
        "range",
        None,
        paired(lambda d: (statistics.mean(d) - (max(d) - min(d)), statistics.mean(d) + max(d) - min(d))),
    ),
    (
        "told_apart",
        "half of the range",
        None,
        paired(lambda d: (statistics.mean(d) - (max(d) - min(d)) / 2, statistics.mean(d) + (max(d) - min(d)) / 2)),
    ),
    ("told_apart", "sorted", "sort the results", lambda a, b: checks.told_apart.answer(sorted(a), sorted(b))),
    ("told_apart", "root of n - 1", "n - 1 below", paired(lambda d: interval(d, spread=less_one))),
    (
        "told_apart",
        "n - 2 degrees",
        "one less than the seeds",
        paired(lambda d: interval(d, degrees=-2 if len(d) > 2 else -1)),
    ),
    ("told_apart", "ratios", None, of_logarithms),
    ("told_apart", "two samples", None, welch),
    ("told_apart", "always", "never, or always", lambda a, b: "not told apart"),
    ("amdahl", "harmonic mean", None, lambda s, f: statistics.harmonic_mean(f)),
    ("amdahl", "the first step only", None, lambda s, f: sum(s) / (s[0] / f[0] + sum(s[1:]))),
    ("amdahl", "product", "do not multiply", lambda s, f: math.prod(f)),
    ("peak_score_memory", "capped at n", "cap each by itself", lambda n, c, t, r: 4 * min(t * r, n) * c),
    (
        "peak_score_memory",
        "chunks not capped in tiles",
        None,
        lambda n, c, t, r: 4 * (t if r < c else min(t, n // c)) * min(r, c) * c,
    ),
    ("peak_score_memory", "float16", None, lambda n, c, t, r: 2 * min(t, n // c) * min(r, c) * c),
    (
        "swapped_flops",
        "multiply-adds",
        "2 FLOPs",
        lambda n, m, d: (usual(n, d) // 2, (2 * n + m) * d * d + (n * n + m * n) * d),
    ),
    (
        "swapped_flops",
        "no W",
        "five products",
        lambda n, m, d: (usual(n, d), 4 * n * d * d + 2 * n * n * d + 2 * m * n * d),
    ),
    ("roofline", "the lower of the two numbers", "one ceiling", lambda f, m, p, b: (f / m, min(p, b))),
    ("roofline", "the ridge", None, lambda f, m, p, b: (p / b, min(p, f / m * b))),
]


@pytest.mark.parametrize(
    "name, says, answer", [pytest.param(row[0], *row[2:], id=f"{row[0]}: {row[1]}") for row in WRONG]
)
def test_a_wrong_answer_is_refused_and_its_mistake_named(name, says, answer, capsys):
    assert_refused(getattr(checks, name), says, answer, capsys)


# ---------------------------------------------------------------------------------------------------------------
# Right answers: exercise, what is different about it, the function
# ---------------------------------------------------------------------------------------------------------------


def add_at(x, group):
    total, count = np.zeros((int(group.max()) + 1, x.shape[1])), np.zeros(int(group.max()) + 1)
    np.add.at(total, group.numpy(), x.numpy())
    np.add.at(count, group.numpy(), 1)
    return total / count[:, None]


def counted_up(budget, per_frame):
    """Doubles and halves: nobody wants to wait for a loop over every frame."""
    low, high = 0, 2**32
    while high - low > 1:
        mean = (low + high) // 2
        low, high = (mean, high) if 4 * (mean * per_frame) ** 2 <= budget else (low, mean)
    return low


def one_by_one(keys, sources, targets):
    found = [[F.cosine_similarity(keys[s], keys[t], dim=0) for t in targets] for s in sources]
    places = [max(range(len(row)), key=lambda i: (round(float(row[i]), 6), -i)) for row in found]
    return torch.tensor(places), torch.stack([row[i] for row, i in zip(found, places, strict=True)])


def copies(q, k, v, size):
    """As many equal tokens as the size says."""
    k, v = (part.repeat_interleave(size.long(), dim=0) for part in (k, v))
    return F.scaled_dot_product_attention(q[None], k[None], v[None])[0]


def shared(groups):
    """The mean as a product of matrices."""
    row = torch.ones(1, int(groups[-1].max()) + 1, dtype=torch.float64) / (int(groups[-1].max()) + 1)
    for group in reversed(groups):
        one_hot = F.one_hot(group).double()
        row = row @ (one_hot / one_hot.sum(0)).T
    return row[0]


def unfolded(previous, block, row, column, reach):
    """No loop, and the answer as a tensor."""
    height, width = block.shape
    parts = previous.unfold(0, height, 1).unfold(1, width, 1)
    cost = (parts - block).abs().sum((2, 3))
    y, x = torch.meshgrid(torch.arange(cost.shape[0]), torch.arange(cost.shape[1]), indexing="ij")
    cost = torch.where(((row - y).abs() <= reach) & ((column - x).abs() <= reach), cost, math.inf)
    place = int(cost.T.flip(0, 1).argmin())  # the smallest dx is the place farthest to the right, then farthest down
    x, y = cost.shape[1] - 1 - place // cost.shape[0], cost.shape[0] - 1 - place % cost.shape[0]
    return torch.tensor([column - x, row - y])


def careful_softmax(motion, temperature):
    if not motion.any():
        return np.full(motion.shape, 1 / motion.numel())
    score = temperature * motion.double().numpy() / motion.double().numpy().mean()
    parts = np.exp(score - score.max())
    return parts / parts.sum()


def by_steps(q, k, v, s, g):
    """Numerical derivatives."""
    q, k, v, s, g = (part.double() for part in (q, k, v, s, g))
    steps = torch.eye(len(s), dtype=torch.float64) * 1e-5
    return torch.stack([((guided(q, k, v, s + e) - guided(q, k, v, s - e)) * g).sum() / 2e-5 for e in steps])


def by_numpy(one, other):
    d = np.subtract(one, other)
    half = student.ppf(0.975, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d))
    return np.array(["not told apart", "first", "second"])[int(np.sign(d.mean())) if abs(d.mean()) > half else 0]


RIGHT = [
    ("group_mean", "loop", lambda x, g: torch.stack([x[g == i].mean(0) for i in range(g.max() + 1)])),
    ("group_mean", "NumPy", add_at),
    ("group_mean", "nested lists", lambda x, g: [x[g == i].mean(0).tolist() for i in range(g.max() + 1)]),
    ("tokens_in_film", "numpy.int64", lambda f, s, p: np.int64(f) * (s // p) ** 2),
    ("tokens_in_film", "tensor of no dimension", lambda f, s, p: torch.tensor(f * (s // p) ** 2)),
    ("tokens_in_film", "array of no dimension", lambda f, s, p: np.array(f * (s // p) ** 2)),
    ("tokens_in_film", "by range", lambda f, s, p: f * len(range(p, s + 1, p)) ** 2),
    ("attention_cost", "array", lambda n, d: np.array([2 * n * n * d + 4 * n * d * d, 4 * n * n])),
    ("attention_cost", "list of numpy.int64", lambda n, d: [np.int64(2 * n * d * (n + 2 * d)), np.int64(4 * n * n)]),
    ("frames_that_fit", "bisection", counted_up),
    ("frames_that_fit", "float64", lambda b, p: np.int64(math.floor((b / 4) ** 0.5 / p))),
    ("alternate", "lists", lambda n: (list(range(0, n, 2)), list(range(1, n, 2)))),
    ("alternate", "NumPy", lambda n: [np.arange(n)[::2], np.arange(n)[1::2]]),
    ("alternate", "turned round", lambda n: (np.arange(n - 1, -1, -1)[::-1][::2], np.arange(n)[1::2])),
    ("nearest_target", "loops", one_by_one),
    ("nearest_target", "float64", lambda k, s, t: best(cosines(k.double(), s, t))),
    ("tome_step", "loops", tome),
    ("tome_step", "float64", lambda x, k, r: tome(x.double(), k.double(), r)),
    ("proportional_attention", "copies", copies),
    (
        "proportional_attention",
        "NumPy",
        lambda q, k, v, s: proportional(q, k, v, torch.tensor(np.log(s.numpy()))).numpy(),
    ),
    ("tokens_left", "tuple", lambda n, p, a: tuple(left(n, p, a))),
    ("tokens_left", "tensor", lambda n, p, a: torch.tensor(left(n, p, a))),
    ("tokens_left", "array", lambda n, p, a: np.array(left(n, p, a))),
    ("tokens_left", "numpy.int64", lambda n, p, a: [np.int64(count) for count in left(n, p, a)]),
    ("tokens_left", "0-d tensors", lambda n, p, a: [torch.tensor(count) for count in left(n, p, a)]),
    ("above", "numpy.int64", lambda s, t: np.min([np.sum(row.numpy() > t) for row in s])),
    ("above", "tensor", lambda s, t: (s > t).sum(1).amin()),
    ("checkerboard", "loop", lambda f, h, w: [i for i in range(f * h * w) if (i // (h * w) + i // w % h + i % w) % 2]),
    ("checkerboard", "NumPy", lambda f, h, w: np.flatnonzero(np.indices((f, h, w)).sum(0) % 2)),
    ("tokens_after", "list", ledger),
    ("tokens_after", "array", lambda *a: np.array(ledger(*a))),
    ("merge_in_chunks", "loop", chunk_by_chunk),
    (
        "merge_in_chunks",
        "unflatten",
        lambda x, k, c, g: (
            match(k.unflatten(1, (c, -1)).flatten(0, 1), uniform(x.shape[1] // c, g))(
                x.unflatten(1, (c, -1)).flatten(0, 1)
            )
            .unflatten(0, (len(x), c))
            .flatten(1, 2)
        ),
    ),
    ("pooled_weight", "matrices", shared),
    ("centre_targets", "list", centre),
    ("centre_targets", "array of int32", lambda *a: np.array(centre(*a), dtype=np.int32)),
    ("centre_targets", "the package", region),
    ("expected_coverage", "numpy.float32", lambda *a: np.float32(checks.expected_coverage.answer(*a))),
    (
        "expected_coverage",
        "Fraction",
        lambda f, g, focus: (
            Fraction(f).limit_denominator(100) * (Fraction(4, 3) if focus == "centre" else Fraction(-4, 5)) / g
            + Fraction(2, 3) / g
            if focus == "centre"
            else Fraction(6, 5) / g - Fraction(f).limit_denominator(100) * Fraction(4, 5) / g
        ),
    ),
    ("block_motion", "loops", moved()),
    ("block_motion", "mean error", moved(lambda p, b: (p - b).abs().double().mean())),
    ("block_motion", "unfold", unfolded),
    (
        "block_motion",
        "NumPy",
        lambda *a: [np.int64(v) for v in moved(lambda p, b: np.abs(p.numpy() - b.numpy()).sum())(*a)],
    ),
    ("motion_probability", "NumPy, an if", careful_softmax),
    ("motion_probability", "mean + 1e-6", lambda m, t: softmax(t * m / (m.mean() + 1e-6))),
    (
        "without_camera",
        "numpy.median",
        lambda v: np.linalg.norm(v.numpy() - np.median(v.numpy(), axis=(1, 2), keepdims=True), axis=-1),
    ),
    ("without_camera", "hypot", lambda v: torch.hypot(*(v - middle(v)).unbind(-1))),
    ("saliency", "NumPy", lambda k, U: np.tanh(k.numpy() @ U.numpy()).ravel()),
    ("saliency", "loop", lambda k, U: [math.tanh(sum(a * b for a, b in zip(row, U[:, 0], strict=True))) for row in k]),
    ("guided_attention", "float64", lambda q, k, v, s: guided(q.double(), k.double(), v.double(), s.double())),
    (
        "guided_attention",
        "a fused product",
        lambda q, k, v, s: F.scaled_dot_product_attention(
            q, k, v, attn_mask=(s / q.shape[1] ** 0.5).expand(len(q), -1)
        ),
    ),
    ("gradient_of_saliency", "autograd", by_autograd),
    ("gradient_of_saliency", "steps", by_steps),
    ("drawn_targets", "NumPy", lambda s, n, t, e: np.sort(np.argsort(-(t * s + e).numpy())[:n])),
    ("drawn_targets", "list", lambda s, n, t, e: sorted(sorted(range(len(s)), key=lambda i: -(t * s[i] + e[i]))[:n])),
    ("mean_interval", "SciPy", lambda v: student.interval(0.95, len(v) - 1, np.mean(v), max(sem(v), 1e-12))),
    (
        "mean_interval",
        "array",
        lambda v: np.mean(v) + np.array([-1, 1]) * student.ppf(0.975, len(v) - 1) * np.std(v, ddof=1) / len(v) ** 0.5,
    ),
    ("mean_interval", "float32", lambda v: torch.tensor(interval(v))),
    ("told_apart", "NumPy", by_numpy),
    ("told_apart", "SciPy", paired(lambda d: student.interval(0.95, len(d) - 1, np.mean(d), max(sem(d), 1e-12)))),
    ("amdahl", "NumPy", lambda s, f: np.sum(s) / np.sum(np.divide(s, f))),
    ("amdahl", "torch", lambda s, f: sum(s) / (torch.tensor(s) / torch.tensor(f)).sum()),
    ("peak_score_memory", "NumPy", lambda n, c, t, r: np.int64(4) * np.minimum(t, n // c) * np.minimum(r, c) * c),
    (
        "swapped_flops",
        "a sum over products",
        lambda n, m, d: [
            2 * sum(a * b * c for a, b, c in products)
            for products in (
                [(n, d, d)] * 3 + [(n, d, n), (n, n, d)],
                [(n, d, d)] * 2 + [(n, d, n), (m, n, d), (m, d, d)],
            )
        ],
    ),
    ("roofline", "NumPy", lambda f, m, p, b: np.array([f / m, np.minimum(p, f / m * b)])),
]


@pytest.mark.parametrize("name, answer", [pytest.param(row[0], row[2], id=f"{row[0]}: {row[1]}") for row in RIGHT])
def test_a_right_answer_written_differently_passes(name, answer, capsys):
    getattr(checks, name)(answer)
    out = capsys.readouterr().out
    assert out.startswith("✓"), out


@pytest.mark.parametrize("table", [WRONG, RIGHT], ids=["wrong", "right"])
def test_every_exercise_is_in_the_table(table):
    others = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_exercises_*.py"))
    lacking = [name for name in NAMES if name not in {row[0] for row in table}]
    assert not [name for name in lacking if f'"{name}"' not in others and f"checks.{name}(" not in others]
    assert {row[0] for row in table} <= set(NAMES)


def solutions():
    """[(name, code)] of every function in the lessons' sources that has a solution."""
    found = []
    for path in SOURCES:
        for cell in re.split(r"^# %%.*$", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
            if "### BEGIN SOLUTION" in cell:
                code = "\n".join(line for line in cell.splitlines() if not line.startswith("#"))
                names = [part.name for part in ast.parse(code).body if isinstance(part, ast.FunctionDef)]
                found.append((names[0], code))
    return found


@pytest.mark.parametrize("name, code", solutions(), ids=lambda x: x if x in NAMES else "")
def test_the_lessons_own_solution_passes(name, code, capsys):
    names = {"torch": torch, "F": F, "itertools": itertools, "math": math, "statistics": statistics, "student": student}
    names |= {"Context": Context, "match": match, "uniform": uniform}
    names |= {other: getattr(checks, other).answer for other in NAMES}  # a solution may build on those before it
    exec(compile(code, name, "exec"), names)
    getattr(checks, name)(names[name])
    out = capsys.readouterr().out
    assert out.startswith("✓"), out


def test_every_exercise_has_a_solution():
    assert sorted(name for name, _ in solutions()) == sorted(NAMES)
