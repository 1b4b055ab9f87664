"""The right answers of lesson 10 written out, and what is said to a slip in one place of them."""

from __future__ import annotations

import torch
from torch import Tensor

from .making import slips


def _ordered_chance(scores: Tensor, order: Tensor) -> Tensor:
    left = scores.clone()
    chance = torch.ones(())
    for token in order:
        chance = chance * left.softmax(0)[token]
        left[token] = -torch.inf
    return chance


ORDERED_CHANCE = slips(
    _ordered_chance,
    (
        "chance * left.softmax(0)[token]",
        "The chance of several draws in a row is the product of the chances of each.",
        "chance + left.softmax(0)[token]; left.softmax(0)[token]; chance - left.softmax(0)[token]; chance / "
        "left.softmax(0)[token]; chance; token * left.softmax(0)[token]",
    ),
    (
        "torch.ones(())",
        "The product begins at 1, the chance of no draw at all.",
        "torch.zeros(()); torch.ones(()) * 2",
    ),
    (
        "return chance",
        "Return the product of the chances.",
        "return token; return left; return left.softmax(0)",
    ),
    (
        "left.softmax(0)[token]",
        "The chance of one draw is the softmax of the scores that are left, at the token that was drawn.",
        "left[token].sigmoid(); left.sigmoid()[token]; left.log_softmax(0)[token]; left.softmax(0).max(); "
        "left.exp()[token]; left[token]",
    ),
    (
        "-torch.inf",
        "A token that was drawn is gone: its score becomes minus infinity, so that its softmax is 0.",
        "torch.inf; 0.0; -1.0; 1.0",
    ),
)


def _against_others(losses: Tensor) -> Tensor:
    draws = losses.shape[1]
    others = (losses.sum(dim=1, keepdim=True) - losses) / (draws - 1)
    return losses - others


AGAINST_OTHERS = slips(
    _against_others,
    (
        "losses.shape[1]",
        "Draws of a film stand in a row: their number is losses.shape[1].",
        "losses.shape[0]; len(losses); losses.numel()",
    ),
    (
        "losses.sum(dim=1, keepdim=True) - losses",
        "The others of a draw are its row without itself: the row's sum less this loss.",
        "losses.sum(dim=1, keepdim=True) + losses; losses.sum(dim=0, keepdim=True) - losses; losses.sum() - losses; "
        "losses - losses.sum(dim=1, keepdim=True); losses.sum(dim=1, keepdim=True); losses; losses.mean(dim=1, "
        "keepdim=True) - losses; losses.sum(dim=1, keepdim=True) - draws",
    ),
    (
        "(losses.sum(dim=1, keepdim=True) - losses) / (draws - 1)",
        "The baseline is the mean of the others: their sum, divided by how many they are.",
        "(losses.sum(dim=1, keepdim=True) - losses) * (draws - 1); (draws - 1) / (losses.sum(dim=1, keepdim=True) - "
        "losses); losses.sum(dim=1, keepdim=True) - losses; draws - 1; (losses.sum(dim=1, keepdim=True) - losses) / 1; "
        "(losses.sum(dim=1, keepdim=True) - losses) / (losses - 1)",
    ),
    (
        "draws - 1",
        "There are draws - 1 others.",
        "draws + 1; draws; draws - 2",
    ),
    (
        "losses - others",
        "The baseline is taken from the loss: a draw that was worse than the others gets a number above 0.",
        "losses; losses / others; draws - others; losses - losses",
    ),
)


def _relaxed_choice(scores: Tensor, k: int, temperature: float) -> Tensor:
    total = torch.zeros_like(scores)
    for _ in range(k):
        p = (scores / temperature).softmax(0)
        total = total + p
        scores = scores + torch.log((1 - p).clamp(min=1e-6))
    return total


RELAXED_CHOICE = slips(
    _relaxed_choice,
    (
        "range(k)",
        "There are k rounds, one for each token to be chosen.",
        "range(k + 1); range(k - 1); range(len(scores))",
    ),
    (
        "(scores / temperature).softmax(0)",
        "Each round is a softmax of the scores divided by the temperature.",
        "(scores / temperature).sigmoid(); (-scores / temperature).softmax(0); scores / temperature; "
        "(temperature / scores).softmax(0); (scores / total).softmax(0)",
    ),
    (
        "total + p",
        "The result is the sum of the k softmaxes.",
        "p; total - p; total * p; _ + p; total + scores",
    ),
    (
        "return total",
        "Return the sum of the k softmaxes.",
        "return _; return scores",
    ),
    (
        "torch.log((1 - p).clamp(min=1e-06))",
        "What was chosen is left less of: add log(1 - p) to the scores.",
        "torch.log(p); torch.log(1 + p); -torch.log((1 - p).clamp(min=1e-06)); (1 - p); -p; torch.log((1 - "
        "total).clamp(min=1e-06)); torch.log2((1 - p).clamp(min=1e-06)); torch.log1p((1 - p).clamp(min=1e-06)); (1 - "
        "p).clamp(min=1e-06); torch.log((1 + p).clamp(min=1e-06)); torch.log(p.clamp(min=1e-06)); torch.log((2 - "
        "p).clamp(min=1e-06)); torch.log((1 - scores).clamp(min=1e-06))",
    ),
    (
        "scores + torch.log((1 - p).clamp(min=1e-06))",
        "log(1 - p) is added to the scores as they are, not divided by the temperature.",
        "torch.log((1 - p).clamp(min=1e-06)); k + torch.log((1 - p).clamp(min=1e-06)); scores / temperature +"
        " torch.log((1 - p).clamp(min=1e-06))",
    ),
)


def _hard_and_soft(hard: Tensor, soft: Tensor) -> Tensor:
    return hard + soft - soft.detach()


HARD_AND_SOFT = slips(
    _hard_and_soft,
    (
        "hard + soft - soft.detach()",
        "Forwards the result is exactly `hard`: what you add to it must be 0.",
        "soft - soft.detach(); (hard + soft) / 2; hard + soft + soft.detach(); soft.detach() - (hard + soft);"
        " hard - soft - soft.detach(); hard - soft.detach(); hard + hard - soft.detach()",
    ),
)


def _gated_attention(q: Tensor, k: Tensor, v: Tensor, z: Tensor) -> Tensor:
    scores = q @ k.T / q.shape[1] ** 0.5 + z.log()
    return scores.softmax(dim=1) @ v


GATED_ATTENTION = slips(
    _gated_attention,
    (
        "q @ k.T / q.shape[1] ** 0.5 + z.log()",
        "A token that counts as z tokens gets log z on its score.",
        "q @ k.T / q.shape[1] ** 0.5 - z.log(); q @ k.T / q.shape[1] ** 0.5 * z.log(); q @ k.T / q.shape[1] "
        "** 0.5 * z; q @ k.T / q.shape[1] ** 0.5 + z.exp()",
    ),
    (
        "q @ k.T / q.shape[1] ** 0.5",
        "The score itself is q k^T over the root of C, the length of a query.",
        "q @ k.T; q @ k.T * q.shape[1] ** 0.5; q @ k.T / q.shape[0] ** 0.5; q @ k.T / q.shape[1]; q @ k.T / v.shape[1] "
        "** 0.5; k @ q.T / q.shape[1] ** 0.5; q.shape[1] ** 0.5 / (q @ k.T); k.T @ q / q.shape[1] ** 0.5; k.T / "
        "q.shape[1] ** 0.5; k @ k.T / q.shape[1] ** 0.5; q @ k.T / (q.shape[1] * 0.5); q @ k.T / 0.5 ** q.shape[1]; "
        "q @ k.T / 0.5; q @ k.T / q.shape[1] ** 2.0",
    ),
    (
        "z.log()",
        "It is the natural log of z: exp undoes it, and the weight is multiplied by z.",
        "z.log2(); z.log1p(); z.log10(); q.log()",
    ),
    (
        "scores.softmax(dim=1) @ v",
        "The result is the weights, a softmax over each row of scores, times v.",
        "scores.softmax(dim=0) @ v; scores @ v; scores.softmax(dim=1) @ (z[:, None] * v); scores.softmax(dim=1) * z @ "
        "v; scores.softmax(dim=1); v; scores.softmax(dim=1) @ z",
    ),
)


def _bias_and_noise(found: Tensor, exact: Tensor) -> tuple[Tensor, Tensor]:
    mean = found.mean(dim=0)
    length = exact.norm()
    bias = (mean - exact).norm()
    noise = (found - mean).square().sum(dim=1).mean().sqrt()
    return bias / length, noise / length


BIAS_AND_NOISE = slips(
    _bias_and_noise,
    (
        "found.mean(dim=0)",
        "The mean is over the estimates: one vector of C numbers.",
        "found.mean(); found.mean(dim=1, keepdim=True); found.sum(dim=0); found[0]; found.median(dim=0).values; "
        "exact.mean(dim=0); found.mean(dim=1); found.mean(dim=-1)",
    ),
    (
        "exact.norm()",
        "Both are measured in lengths of the exact gradient.",
        "mean.norm(); exact.abs().sum(); exact.norm() ** 2; found.norm(); exact",
    ),
    (
        "(mean - exact).norm()",
        "The bias is the length of the difference between mean and exact gradient.",
        "mean.norm() - exact.norm(); (mean + exact).norm(); (mean - exact).abs().sum(); (mean - exact).square().sum(); "
        "(mean - exact).abs().mean(); (mean.norm() - exact.norm()).abs(); (found - exact).norm(); "
        "mean - exact; mean.norm(); exact.norm() * 1; (length - exact).norm(); (mean - mean).norm()",
    ),
    (
        "(found - mean).square().sum(dim=1).mean().sqrt()",
        "The noise: squared distance of each estimate from the mean, their mean, its root.",
        "(found - mean).square().sum(dim=1).mean(); (found - mean).square().mean().sqrt(); (found - "
        "mean).square().sum().sqrt(); (found - mean).norm(dim=1).mean(); "
        "found.square().sum(dim=1).mean().sqrt(); (found - mean).abs().sum(dim=1).mean(); (found - "
        "mean).square().sum(dim=1).median().sqrt(); (found + mean).square().sum(dim=1).mean().sqrt(); (found "
        "- length).square().sum(dim=1).mean().sqrt(); (found - mean).square().sum(dim=0).mean().sqrt()",
    ),
    (
        "(bias / length, noise / length)",
        "The bias comes first, then the noise, both over the exact gradient's length.",
        "(bias / length, noise); (bias, noise / length); (bias * length, noise * length); (bias * length, "
        "noise / length); (length / bias, noise / length); (length, noise / length); (noise / length, noise /"
        " length); (bias / bias, noise / length); (bias / length, noise * length); (bias / length, length / "
        "noise); (bias / length, length); (bias / length, found / length); (bias / length, noise / bias)",
    ),
)
