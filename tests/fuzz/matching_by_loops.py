"""Matching and averaging written down plainly in float64: what the fuzz tests of both kinds of kernels compare with."""

import math

import numpy as np
import torch

TOLERANCE = {torch.float64: 1e-12, torch.float32: 4e-6, torch.bfloat16: 4e-6, torch.float16: 4e-6}
DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
KINDS = ("normal", "axes", "twins", "one direction", "sparse")
SIZES = ("one", "huge", "tiny", "denormal", "mixed")


def keys_of(kind, size, dtype, shape, seed):
    """Keys (B, N, D) of that dtype. "axes": their cosines are -1, 0 or 1, exactly, however a product is added up."""
    batch, n, dim = shape
    chance = np.random.default_rng(seed)
    keys = chance.standard_normal(shape)
    if kind == "axes":
        keys = np.zeros(shape)
        place = chance.integers(0, dim + 1, (batch, n))  # one in dim + 1 is all zeros
        for b, i in np.ndindex(batch, n):
            if place[b, i] < dim:
                keys[b, i, place[b, i]] = chance.choice([-4.0, -1.0, 0.5, 2.0])
    elif kind == "twins":  # a few directions, at several lengths
        few = keys[:, : max(1, n // 5)]
        keys = few[:, chance.integers(0, few.shape[1], n)] * chance.choice([0.25, 1.0, 8.0], (1, n, 1))
    elif kind == "one direction":
        keys = keys[:, :1] + 1e-3 * keys
    elif kind == "sparse":
        keys *= chance.random(shape) < 0.3
    tops = {"float64": 300, "float32": 37, "bfloat16": 37, "float16": 4}[dtype]
    low = {"float64": -300, "float32": -37, "bfloat16": -37, "float16": -4}[dtype]
    below = {"float64": -307, "float32": -44, "bfloat16": -39, "float16": -6}[dtype]
    tens = {"one": 0, "huge": tops, "tiny": low, "denormal": below}.get(size, 0)
    if size == "mixed":
        tens = chance.integers(low, tops + 1, (batch, n, 1))
    keys = keys / np.maximum(1, np.abs(keys).max(-1, keepdims=True))
    with np.errstate(under="ignore"):
        keys = keys * 2.0 ** np.floor(np.log2(10.0) * np.asarray(tens, np.float64))
    return torch.from_numpy(keys).to(DTYPES[dtype])


def cosines_of(keys, b):
    """(N, N) float64: every cosine of one item; 0 with a key of zeros."""
    x = keys[b].double().numpy()
    x = x / np.where((top := np.abs(x).max(-1, keepdims=True)) > 0, top, 1)
    length = np.sqrt((x**2).sum(-1, keepdims=True))
    x = x / np.where(length > 0, length, 1)
    return np.array([[float(np.dot(one, other)) for other in x] for one in x])


def check_nearest(keys, targets, sources, best, similarity, exact):
    """best, similarity (B, S) are those of the nearest targets; exact: ties, too, go to the first."""
    near = TOLERANCE[keys.dtype]
    assert best.dtype == torch.int64 and best.shape == similarity.shape == sources.shape, "shapes or dtypes"
    for b in range(len(keys)):
        cosine = cosines_of(keys, b)
        for s, source in enumerate(sources[b].tolist()):
            scores = [cosine[source, target] for target in targets[b].tolist()]
            chosen = int(best[b, s])
            assert 0 <= chosen < len(scores), "a target that is none"
            assert scores[chosen] >= max(scores) - near, "a target that is not the nearest"
            assert abs(float(similarity[b, s]) - scores[chosen]) <= near, "another cosine"
            if exact:
                assert chosen == scores.index(max(scores)), "a tie that goes to a later target"


def check_merge(keys, targets, n_merge, merge, exact):
    """The merge puts the n_merge sources that are most similar to a target into their nearest ones."""
    batch, n, _ = keys.shape
    near = TOLERANCE[keys.dtype]
    assert (merge.n_in, merge.n_out) == (n, n - n_merge), "another number of tokens"
    for b in range(batch):
        cosine, own = cosines_of(keys, b), targets[b].tolist()
        group, keep = merge.group[b].tolist(), merge.keep[b].tolist()
        assert keep == sorted(set(keep)) and len(keep) == n - n_merge and set(own) <= set(keep), "a target went"
        assert [group[i] for i in keep] == list(range(len(keep))), "a group is not that of its survivor"
        gone = sorted(set(range(n)) - set(keep))
        best = {i: max(cosine[i, j] for j in own) for i in range(n) if i not in own}
        for i in gone:
            assert keep[group[i]] in own, "merged into no target"
            assert cosine[i, keep[group[i]]] >= best[i] - near, "merged into a target that is not the nearest"
        left = [best[i] for i in best if i not in gone]
        if gone and left:
            assert min(best[i] for i in gone) >= max(left) - near, "a source stayed that is nearer than one that went"
        if exact:
            first = {i: next(j for j in own if cosine[i, j] == best[i]) for i in best}
            assert gone == sorted(sorted(best, key=lambda i: (-best[i], i))[:n_merge]), "a tie in rank"
            assert all(keep[group[i]] == first[i] for i in gone), "a tie that goes to a later target"


def averages_of(x, group, n_out, weight, norm=False):
    """(M, C) float64: the mean of each group's tokens, each as much as its weight; plain where all weights are 0."""
    x = x.double().numpy()
    out = np.zeros((n_out, x.shape[1]))
    for m in range(n_out):
        own = [i for i, g in enumerate(group) if g == m]
        if not own:
            continue
        total = sum(weight[i] for i in own)
        for i in own:
            out[m] += x[i] * (weight[i] / total)
        if norm:
            longest = max((math.hypot(*x[i]) for i in own if weight[i] > 0), default=0.0)
            now = math.hypot(*out[m])
            out[m] = out[m] * (longest / now) if now > 1e-3 * longest else np.nan  # about 0: not compared
    return out
