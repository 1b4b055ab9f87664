"""The retention probe: what does a strategy keep? No network is trained, only a linear reader.

    kept = retain(items, "motion", gamma=6)              # merge frozen features twice, then average what is left
    linear_probe(kept.features[:400], labels[:400], kept.features[400:])  # a logistic regression on the averages

Averages over all tokens drown a small actor. Merging changes how much each patch counts in the plain average of the
tokens that are left: a target that few sources match keeps its voice. So the probe shows, without any luck of
training, whether a partition gives the actor more of the average than its area.

It also holds the simplest way to learn saliency: `learn_saliency` trains s = tanh(x U + b) by nothing but pooling
with softmax(s) into a linear head, eq. 10's attention with the query-key term left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from ..merging.matching import match
from ..merging.strategies import Context, pick, resolve
from ..network.ledger import n_merged
from ..network.tokens import Tokens
from ..training.loop import Items

ROUNDS = 2
STEP = 50  # videos merged at a time


@dataclass(frozen=True)
class Kept:
    """What is left of n videos. features (n, C): the mean of the tokens that are left. recall (n,): the share of the
    actor's patches that were targets in the first round (1 without merging). share (n,): how much of the final mean
    shows the actor. tokens: how many were left."""

    features: Tensor
    recall: Tensor
    share: Tensor
    tokens: int


@dataclass(frozen=True)
class Saliency:
    """s = tanh(k U + b) (VTM eq. 9, with an offset), learned elsewhere and frozen; a partition strategy.

    keys: what gives the keys of a token, None for the token itself (k = x).
    """

    U: Tensor
    b: Tensor
    temperature: float = 6.0
    keys: Callable[[Tensor], Tensor] | None = None

    def score(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N), in (-1, 1)."""
        with torch.no_grad():
            return torch.tanh((x if self.keys is None else self.keys(x)) @ self.U + self.b)[..., 0]

    def __call__(self, context: Context) -> Tensor:
        return context.draw(self.score(context.keys), self.temperature)


@torch.no_grad()
def retain(
    items: Items,
    strategy: str | Callable | None,
    gamma: float = 6,
    r: float = 1.0,
    rounds: int = ROUNDS,
    seed: int = 0,
    actor: float = 0.1,
) -> Kept:
    """Merge every video `rounds` times on its own features, over all its frames, and average what is left.

    items: tokens (n, L, H, W, C), motion, oracle, as `datasets.toy_films` gives them. A patch is the actor's where
    oracle is at least `actor`. `None` or "none": no merging.
    """
    chosen = resolve(strategy)
    generator = torch.Generator().manual_seed(seed)
    features, recall, share, left = [], [], [], 0
    for index in torch.arange(len(items)).split(STEP):
        batch = items[index].columns
        state = Tokens.start(batch["tokens"].float(), batch["motion"].float(), batch["oracle"].float())
        shown = state.oracle >= actor
        met = torch.ones_like(shown)
        for number in range(rounds if chosen is not None else 0):
            context = Context(
                state.x, gamma, *state.grid, state.position, state.size, state.motion, state.oracle, generator=generator
            )
            targets = pick(chosen, context)
            if number == 0:
                met = torch.zeros_like(shown).scatter(1, targets, True)
            state = state.merged(match(state.x, targets, n_merged(state.x.shape[1], gamma, r)))
        features.append(state.x.mean(1))
        recall.append((met & shown).sum(1) / shown.sum(1).clamp(min=1))
        share.append(state.oracle.mean(1))
        left = state.x.shape[1]
    return Kept(torch.cat(features), torch.cat(recall), torch.cat(share), left)


def linear_probe(features: Tensor, labels: Tensor, others: Tensor, strength: float = 1.0) -> Tensor:
    """Fit a logistic regression on features (n, C) and labels (n,), and say what it makes of others: (m,) int64."""
    mean, std = features.mean(0), features.std(0).clamp(min=1e-6)
    reader = LogisticRegression(C=strength, max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        reader.fit(((features - mean) / std).numpy(), labels.numpy())
    return torch.from_numpy(np.asarray(reader.predict(((others - mean) / std).numpy())))


def learn_saliency(
    items: Items,
    seed: int,
    *,
    epochs: int = 8,
    lr: float = 1e-2,
    batch: int = 32,
    gain: float = 1.0,
    temperature: float = 6.0,
) -> Saliency:
    """Learn s = tanh(x U + b) from labels alone: pool tokens with softmax(gain * s), read them with a linear head.

    U and b start at zero. gain and temperature go beyond the paper, where both are 1: the first sharpens pooling while
    training, the second sampling afterwards.
    """
    tokens, labels = items.columns["tokens"], items.columns["label"]
    tokens = tokens.reshape(len(items), -1, tokens.shape[-1])
    classes = int(labels.max()) + 1
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        head = torch.nn.Linear(tokens.shape[-1], classes)
        U, b = torch.zeros(tokens.shape[-1], 1, requires_grad=True), torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.AdamW([U, b, *head.parameters()], lr=lr, weight_decay=0.01)
        steps = epochs * -(-len(items) // batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(epochs):
            for index in torch.randperm(len(items)).split(batch):
                x = tokens[index].float()
                pooled = ((gain * torch.tanh(x @ U + b)).softmax(1) * x).sum(1)
                loss = F.cross_entropy(head(pooled), labels[index])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return Saliency(U.detach(), b.detach(), temperature)


def from_block(block: torch.nn.Module, temperature: float = 6.0) -> Saliency:
    """The saliency that a network's block has learned through its auxiliary path (VTM eqs. 9 and 10)."""
    if block.aux is None:
        raise ValueError('this block learned no saliency; train a network with partition="learnable".')
    attention, first = block.attention, block.merge_first

    def keys(x: Tensor) -> Tensor:
        qkv = attention.qkv(attention.norm(x))
        return qkv.unflatten(-1, (3, attention.heads, -1))[..., 1, :, :].mean(-2)

    return Saliency(block.U.detach(), torch.zeros(1), temperature, None if first else keys)


def standardise(score: Tensor) -> Tensor:
    """(B, n): mean 0 and standard deviation 1 within each row; rows that are all alike become 0."""
    score = score - score.mean(1, keepdim=True)
    return score / score.std(1, keepdim=True).clamp(min=1e-6)


@dataclass(frozen=True)
class Motion:
    """Motion as a strategy with settings (VTM eq. 6): p = softmax(temperature * v).

    scale: "raw", pixels a frame, as in the paper; "max", divided by the largest of the tokens; "standard", their mean
    subtracted and divided by their standard deviation, so that one temperature fits fast and slow films.
    """

    scale: str = "raw"
    temperature: float = 1.0

    def __call__(self, context: Context) -> Tensor:
        if context.motion is None:
            raise ValueError("this strategy needs motion: give the network motion=(B, L, H, W) magnitudes.")
        v = context.motion
        if self.scale == "max":
            v = v / v.amax(1, keepdim=True).clamp(min=1e-6)
        elif self.scale == "standard":
            v = standardise(v)
        elif self.scale != "raw":
            raise ValueError(f'scale is {self.scale!r}; it is "raw", "max" or "standard".')
        return context.draw(v, self.temperature)
