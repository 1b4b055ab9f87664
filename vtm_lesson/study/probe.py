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
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import Tensor

from ..merging.merge import Merge
from ..merging.registry import choose
from ..merging.strategies import Context, Reducer, Saliency, is_ragged, reduce, signals
from ..network.attention import attention_stats
from ..network.block import VTMBlock
from ..network.tokens import Chunks, Tokens, reduce_alike
from ..training.loop import Items, schedule

ROUNDS = 2
STEP = 50  # videos merged at a time


@dataclass(frozen=True)
class Kept:
    """What is left of n videos.

    Attributes
    ----------
    features : Tensor
        (n, C): the mean of the tokens that are left.
    recall : Tensor
        (n,): the share of the actor's patches that were targets in the first round (1 without merging).
    share : Tensor
        (n,): how much of the final mean shows the actor.
    tokens : int
        How many were left of each video.
    """

    features: Tensor
    recall: Tensor
    share: Tensor
    tokens: int


@torch.no_grad()
def retain(
    items: Items,
    strategy: str | Callable | None = None,
    gamma: float = 6,
    r: float = 1.0,
    rounds: int = ROUNDS,
    seed: int = 0,
    actor: float = 0.1,
    reducer: str | Reducer | None = None,
    saliency: Saliency | None = None,
) -> Kept:
    """Merge every video `rounds` times on its own features, over all its frames, and average what is left.

    Parameters
    ----------
    items : Items
        tokens (n, L, H, W, C), motion and oracle (n, L, H, W), as `datasets.toy_films` gives them; vectors
        (n, L, H, W, 2), for what needs motion relative to the camera.
    strategy : str, function or None
        A partition by name, or your own. None or "none": no merging.
    gamma : float, optional
        The partition factor, 1 or more.
    r : float, optional
        R/|S|, the share of the sources that is merged.
    rounds : int, optional
        How often.
    seed : int, optional
        Of the targets that are sampled.
    actor : float, optional
        A patch is the actor's where oracle is at least this.
    reducer : str or function, optional
        In place of a partition: a reducer by name, or your own. One that asks for attention gets that of the tokens
        among themselves, with the tokens as queries and keys.
    saliency : Saliency, optional
        For what needs saliency.

    Returns
    -------
    Kept
        The averages, and how much of the actor is in them.

    Raises
    ------
    ValueError
        For a strategy that does not exist, or needs what the items do not have.

    Examples
    --------
    >>> import torch, vtm_lesson as vtm
    >>> from vtm_lesson.study.probe import retain
    >>> grid = torch.rand(4, 2, 6, 6)
    >>> items = vtm.Items(tokens=torch.randn(4, 2, 6, 6, 8), motion=grid, oracle=grid, label=torch.arange(4))
    >>> kept = retain(items, "motion", gamma=6)
    >>> kept.features.shape, kept.tokens  # of 72 tokens
    (torch.Size([4, 8]), 2)
    """
    chosen = choose(strategy, reducer)
    generator = torch.Generator().manual_seed(seed)
    features, recall, share = [], [], []
    left: list[int] = []
    for index in torch.arange(len(items)).split(STEP):
        batch = items[index].columns
        motion, oracle = batch["motion"].float(), batch["oracle"].float()
        state = Tokens.start(batch["tokens"].float(), motion, oracle, vectors=batch.get("vectors"))
        assert state.oracle is not None
        shown = state.oracle >= actor
        met = torch.ones_like(shown)
        for number in range(rounds):
            if chosen is None:
                break
            merge, targets = _merge_all(chosen, state, gamma, r, generator, saliency)
            if number == 0:
                met = torch.zeros_like(shown).scatter(1, targets, True)
            state = state.merged(merge)
        features.append(state.mean(state.x))
        recall.append((met & shown).sum(1) / shown.sum(1).clamp(min=1))
        assert state.oracle is not None
        share.append(state.mean(state.oracle[..., None])[..., 0])
        left += [state.x.shape[1]] * len(shown) if state.present is None else state.present.sum(1).tolist()
    return Kept(torch.cat(features), torch.cat(recall), torch.cat(share), round(sum(left) / len(left)))


def _merge_all(
    reducer: Reducer, state: Tokens, gamma: float, r: float, generator: torch.Generator, saliency: Saliency | None
) -> tuple[Merge, Tensor]:
    """One round over all frames at once: the Merge, and the targets (of a reducer without, what it keeps)."""
    known = {"keys": state.x, **state.known()}

    def context(pieces: dict[str, Any], frames: int) -> Context:
        made = Context(gamma=gamma, frames=frames, height=state.grid[1], width=state.grid[2], **pieces)
        made.generator, made.r = generator, r
        if saliency is not None:
            made.saliency = saliency.score(made.keys)
        if {"attention", "entropy"} & set(signals(reducer)):
            alone = made.keys[:, None]  # one head
            made.attention, made.entropy = attention_stats(alone, alone)
        return made

    if is_ragged(reducer):
        whole = Chunks((), state, state.grid[0])

        def some(video: Tensor, place: Tensor, frames: int) -> Context:
            pieces = {name: value[video, place] for name, value in known.items() if value is not None}
            return context(pieces, frames)

        return reduce_alike(reducer, state, whole, some)
    every = context(known, state.grid[0])
    merge = reduce(reducer, every)
    return merge, merge.keep if every.targets is None else every.targets


def linear_probe(features: Tensor, labels: Tensor, others: Tensor, strength: float = 1.0) -> Tensor:
    """Fit a logistic regression on features and labels, and say what it makes of others.

    Parameters
    ----------
    features : Tensor
        (n, C); channels are standardised, by these n, before the fit.
    labels : Tensor
        (n,) int64, of two classes or more.
    others : Tensor
        (m, C).
    strength : float, optional
        The inverse of the regularisation, scikit-learn's C.

    Returns
    -------
    Tensor
        (m,) int64.

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson.study.probe import linear_probe
    >>> features = torch.tensor([[0.0], [0.1], [0.9], [1.0]])
    >>> linear_probe(features, torch.tensor([0, 0, 1, 1]), torch.tensor([[0.2], [0.8]]))
    tensor([0, 1])
    """
    mean, std = features.mean(0), features.std(0).clamp(min=1e-6)
    reader = LogisticRegression(C=strength, max_iter=1000)
    # Its sums are small: a second thread is no help, and where the processor is busy, both wait for each other.
    with warnings.catch_warnings(), threadpool_limits(1):
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
        rates = schedule(optimizer, steps)
        # A loop of its own: `fit` ties chance to (seed, step), and would show the films in another order than stored
        # results were made with.
        for _ in range(epochs):
            for index in torch.randperm(len(items)).split(batch):
                x = tokens[index].float()
                pooled = ((gain * torch.tanh(x @ U + b)).softmax(1) * x).sum(1)
                loss = F.cross_entropy(head(pooled), labels[index])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                rates.step()
    return Saliency(U.detach(), b.detach(), temperature)


def from_block(block: VTMBlock, temperature: float = 6.0) -> Saliency:
    """The saliency that a network's block has learned through its auxiliary path (VTM eqs. 9 and 10)."""
    if block.aux is None:
        raise ValueError('this block learned no saliency; train a network with partition="learnable".')
    attention, first = block.attention, block.config.merge_first

    def keys(x: Tensor) -> Tensor:
        qkv = attention.qkv(attention.norm(x))
        return qkv.unflatten(-1, (3, attention.heads, -1))[..., 1, :, :].mean(-2)

    return Saliency(block.U.detach(), torch.zeros(1), temperature, None if first else keys)
