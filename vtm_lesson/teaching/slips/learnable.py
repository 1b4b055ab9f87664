"""The right answers of lesson 07 written out, and what is said to a slip in one place of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...merging.matching import nearest
from .making import slips


def _saliency(keys: Tensor, U: Tensor) -> Tensor:
    return torch.tanh(keys @ U)[:, 0]


SALIENCY = slips(
    _saliency,
    (
        "keys @ U",
        "A token's score is the product of its key with U: all D numbers of the key count.",
        "keys; U",
    ),
    (
        "torch.tanh(keys @ U)[:, 0]",
        "Take the first column, [:, 0]: one number for each token. You take the first row.",
        "torch.tanh(keys @ U)[0, :]",
    ),
)


def _guided_attention(q: Tensor, k: Tensor, v: Tensor, s: Tensor) -> Tensor:
    scores = (q @ k.T + s) / q.shape[1] ** 0.5
    return scores.softmax(dim=1) @ v


GUIDED_ATTENTION = slips(
    _guided_attention,
    (
        "(q @ k.T + s) / q.shape[1] ** 0.5",
        "The sum is divided by the square root of C, not multiplied by it or turned round.",
        "(q @ k.T + s) * q.shape[1] ** 0.5; q.shape[1] ** 0.5 / (q @ k.T + s)",
    ),
    (
        "q @ k.T + s",
        "s is added to the scores, not taken away.",
        "q @ k.T - s",
    ),
    (
        "q @ k.T",
        "A score is the product of a query with a key: a row for each query, a column for each key.",
        "k.T @ q; k.T; k @ k.T",
    ),
    (
        "q.shape[1] ** 0.5",
        "Divide by the square root of C, the length of a query: q.shape[1] ** 0.5.",
        "(q.shape[1] * 0.5); 0.5 ** q.shape[1]; 0.5; q.shape[0] ** 0.5; q.shape[1] ** 2.0",
    ),
    (
        "scores.softmax(dim=1) @ v",
        "The result is the weights, a softmax over each row of scores, times v.",
        "scores.softmax(dim=1); v; scores @ v; scores.softmax(dim=1) @ s",
    ),
)


def _gradient_of_saliency(q: Tensor, k: Tensor, v: Tensor, s: Tensor, g: Tensor) -> Tensor:
    root = q.shape[1] ** 0.5
    weights = ((q @ k.T + s) / root).softmax(dim=1)
    y = weights @ v
    towards = g @ v.T - (g * y).sum(dim=1, keepdim=True)  # g_i . (v_j - y_i)
    return (weights * towards).sum(dim=0) / root


GRADIENT_OF_SALIENCY = slips(
    _gradient_of_saliency,
    (
        "q.shape[1] ** 0.5",
        "The root is that of C, the length of a query: q.shape[1] ** 0.5.",
        "q.shape[1] * 0.5; 0.5 ** q.shape[1]; q.shape[1]; 0.5; q.shape[0] ** 0.5; q.shape[1] ** 2.0",
    ),
    (
        "((q @ k.T + s) / root).softmax(dim=1)",
        "The weights are those of eq. 10, softmax((q k^T + s) / sqrt(C)) over each row; yours are others.",
        "(q @ k.T + s) / root; ((q @ k.T + s) * root).softmax(dim=1); (root / (q @ k.T + s)).softmax(dim=1); (q @ "
        "k.T + s).softmax(dim=1); ((q @ k.T - s) / root).softmax(dim=1); (q @ k.T / root).softmax(dim=1); ((k @ k.T "
        "+ s) / root).softmax(dim=1); ((q @ k.T + g) / root).softmax(dim=1); ((q @ k.T + s) / q).softmax(dim=1); ((q "
        "@ k.T + s) / root).softmax(dim=0)",
    ),
    (
        "weights @ v",
        "y is eq. 10's output: the weights times v.",
        "weights; v; weights @ s",
    ),
    (
        "g @ v.T - (g * y).sum(dim=1, keepdim=True)",
        "v_j - y_i: y is taken away, not added.",
        "g @ v.T + (g * y).sum(dim=1, keepdim=True)",
    ),
    (
        "g @ v.T - (g * y).sum(dim=1, keepdim=True)",
        "The pull of token j on output i is g_i . v_j less g_i . y_i; a part of yours is missing or another.",
        "(g * y).sum(dim=1, keepdim=True); v.T @ g - (g * y).sum(dim=1, keepdim=True); g - (g * y).sum(dim=1, "
        "keepdim=True); v.T - (g * y).sum(dim=1, keepdim=True)",
    ),
    (
        "(g * y).sum(dim=1, keepdim=True)",
        "What is taken away is g_i . y_i, the sum over the E numbers of output i, as a column: one number for each "
        "row.",
        "(g * y).mean(dim=1, keepdim=True); (g * y).sum(dim=1); (g + y).sum(dim=1, keepdim=True); g.sum(dim=1, "
        "keepdim=True); y.sum(dim=1, keepdim=True); (root * y).sum(dim=1, keepdim=True); (g * q).sum(dim=1, "
        "keepdim=True); (g * y).sum(dim=0, keepdim=True)",
    ),
    (
        "(weights * towards).sum(dim=0) / root",
        "The gradient is the sum over the outputs i of weight times pull, divided by sqrt(C); one of the parts is "
        "missing or another.",
        "(weights * towards).sum(dim=0) * root; root / (weights * towards).sum(dim=0); root; (weights * "
        "towards).sum() / root; (weights + towards).sum(dim=0) / root; weights.sum(dim=0) / root; towards.sum(dim=0) "
        "/ root; (y * towards).sum(dim=0) / root; (weights * q).sum(dim=0) / root; (weights * towards).sum(dim=0) / "
        "weights",
    ),
)


def _drawn_targets(s: Tensor, count: int, temperature: float, noise: Tensor) -> Tensor:
    return (temperature * s + noise).topk(count).indices.sort().values


DRAWN_TARGETS = slips(
    _drawn_targets,
    (
        "temperature * s + noise",
        "The noise is added to temperature times s; you combine the three in another way.",
        "temperature * s - noise; noise * s + noise",
    ),
    (
        "(temperature * s + noise)",
        "These are the tokens that the noise likes best: the saliency is not used.",
        "noise",
    ),
)


def nearest_target(keys: Tensor, sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    best, similarity = nearest(keys[None], targets[None], sources[None])
    return best[0], similarity[0]


def _group_numbers(keys: Tensor, targets: Tensor) -> Tensor:
    group = nearest_target(keys, torch.arange(len(keys)), targets)[0]
    group[targets] = torch.arange(len(targets))
    return group


GROUP_NUMBERS = slips(
    _group_numbers,
    (
        "torch.arange(len(targets))",
        "The targets are numbered from 0 on, in their order.",
        "torch.arange(len(targets)).flip(0); torch.arange(len(targets)) + 1; targets; torch.arange(len(targets) - 1)",
    ),
    (
        "nearest_target(keys, torch.arange(len(keys)), targets)[0]",
        "Every token looks for its nearest among the targets: give all positions for the sources, and the targets.",
        "nearest_target(keys, torch.arange(len(keys) - 1), targets)[0]; "
        "nearest_target(keys, torch.arange(len(targets)), targets)[0]; "
        "nearest_target(keys, torch.arange(len(keys)), torch.arange(len(keys)))[0]",
    ),
    (
        "return group",
        "The result is the group numbers, (N,).",
        "return keys; return targets",
    ),
)


def group_mean(x: Tensor, group: Tensor) -> Tensor:
    return torch.stack([x[group == i].mean(0) for i in range(int(group.max()) + 1)])


def _vtm_block(
    x: Tensor, x_aux: Tensor, main: Tensor, aux: Tensor, U: Tensor, gamma: float, noise: Tensor, training: bool
) -> Tensor | tuple[Tensor, Tensor]:
    q, k, v = x @ main
    s = _saliency(k, U)
    targets = _drawn_targets(s.detach(), math.ceil(len(x) / gamma), 6.0, noise)
    group = _group_numbers(k.detach(), targets)
    y = group_mean(_guided_attention(q, k, v, torch.zeros(len(x))), group)
    if not training:
        return y
    q, k, v = x_aux @ aux
    return y, group_mean(_guided_attention(q, k, v, s), group)


VTM_BLOCK = slips(
    _vtm_block,
    (
        "x @ main",
        "The main path's queries, keys and values are x @ main.",
        "x_aux @ main; x @ aux",
    ),
    (
        "math.ceil(len(x) / gamma)",
        "The number of targets is N / gamma, rounded up.",
        "math.floor(len(x) / gamma); round(len(x) / gamma); math.ceil(gamma / len(x)); math.ceil(gamma)",
    ),
    (
        "6.0, noise",
        "The draw adds the noise that it is given, once.",
        "6.0, s; 6.0, 0 * noise; 6.0, -noise",
    ),
    (
        "y = group_mean(_guided_attention(q, k, v, torch.zeros(len(x))), group)",
        "In the main path attention is plain: queries q, keys k, values v, and s = 0 for every token.",
        "y = group_mean(_guided_attention(k, k, v, torch.zeros(len(x))), group); "
        "y = group_mean(_guided_attention(q, v, v, torch.zeros(len(x))), group); "
        "y = group_mean(_guided_attention(q, k, x, torch.zeros(len(x))), group)",
    ),
    (
        "q, k, v = x_aux @ aux",
        "The auxiliary path has queries, keys and values of its own, x_aux @ aux.",
        "pass; q, k, v = x_aux @ main",
    ),
    (
        "not training",
        "In training give both outputs, at a test the main path's alone; yours is the other way round.",
        "training",
    ),
    (
        "if not training:\n        return y",
        "At a test the main path's output alone is given.",
        "",
    ),
    (
        "(y, group_mean(_guided_attention(q, k, v, s), group))",
        "In training give two results: first the main path's output, then the auxiliary path's, both merged.",
        "(group_mean(_guided_attention(q, k, v, s), group), y); (q, group_mean(_guided_attention(q, k, v, s), group)); "
        "(y, _guided_attention(q, k, v, s)); y; (y, y)",
    ),
    (
        "_guided_attention(q, k, v, s)",
        "The auxiliary path's attention is eq. 10 with its own q, k and v, and the s of the main path's keys.",
        "_guided_attention(k, k, v, s); _guided_attention(q, v, v, s); _guided_attention(q, k, x, s); "
        "_guided_attention(q, k, v, targets); _guided_attention(q, k, v, _saliency(k, U)); "
        "_guided_attention(q, k, x_aux, s)",
    ),
)
