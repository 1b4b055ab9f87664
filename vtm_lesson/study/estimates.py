"""A choice that is small enough to try all of it: the exact gradient of U_s, and what every estimator makes of it.

8 tokens, 3 of them targets: 56 sets, each with a probability and a loss. Their sum is the expected loss, and autograd
has its gradient. The estimators of `network.choosing` know one draw, or gates between 0 and 1. What is between choice
and loss is what a network does: match and merge, attend, average, read with a linear head.

    toy = Toy.make(0)
    exact = toy.exact()                                   # (C,)
    found = toy.estimates("straight_through", 1.0, 1000)  # (1000, C)
    quality(found, exact)                                 # bias, noise, direction
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, permutations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..merging.matching import match
from ..network import choosing

N, K = 8, 3


@dataclass(frozen=True)
class Toy:
    """One film of a few tokens, and a network without weights to learn but for U_s.

    Parameters
    ----------
    x : Tensor
        (N, C), the tokens, which are their own keys. Token 0 is the one that knows the answer.
    head : Tensor
        (C, classes).
    label : Tensor
        () int64.
    U : Tensor
        (C,), where the gradient is taken.
    k : int, optional
        How many targets.
    temperature : float, optional
        p = softmax(temperature * tanh(x U)).
    """

    x: Tensor
    head: Tensor
    label: Tensor
    U: Tensor
    k: int = K
    temperature: float = choosing.TEMPERATURE

    @classmethod
    def make(cls, seed: int, channels: int = 4, classes: int = 4, n: int = N) -> Toy:
        """A toy of that seed: noise, but for token 0, which is twice as long, and whose own class is the label."""
        g = torch.Generator().manual_seed(seed)
        x, head, U = (torch.randn(*shape, generator=g) for shape in ((n, channels), (channels, classes), (channels,)))
        x[0] = 2 * channels**0.5 * F.normalize(x[0], dim=0)
        return cls(x, head, (x[0] @ head).argmax(), 0.3 * U)

    def scores(self, U: Tensor) -> Tensor:
        """(B, C) -> (B, N): the logits of the choice, of B copies of the film."""
        return self.temperature * self.saliency(U)

    def saliency(self, U: Tensor) -> Tensor:
        """(B, C) -> (B, N), VTM eq. 9."""
        return torch.tanh(U @ self.x.T)

    def loss(self, targets: Tensor, gates: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """The loss when these are the targets: (B, k) -> (B,). gates (B, k), weight (B, N): as in a network's block."""
        x = self.x.expand(len(targets), -1, -1)
        return self._read(match(x, targets)(x, weight), gates)

    def soft_loss(self, gates: Tensor, cosines: float) -> Tensor:
        """The loss when all tokens go on, each with a gate: (B, N) -> (B,)."""
        x = self.x.expand(len(gates), -1, -1)
        return self._read(choosing.soft_merge(x, x, gates, cosines), gates)

    def auxiliary_loss(self, U: Tensor, targets: Tensor, guidance: float) -> Tensor:
        """The loss of eq. 10's path alone, merged with the groups of these targets."""
        x = self.x.expand(len(targets), -1, -1)
        guided = x + self._attend(x, guidance * self.saliency(U) / x.shape[2] ** 0.5)
        return self._classify(match(x, targets)(guided).mean(1))

    def sets(self) -> Tensor:
        """(sets, k) int64: every choice there is."""
        return torch.tensor(list(combinations(range(len(self.x)), self.k)))

    def chances(self, U: Tensor) -> Tensor:
        """(C,) -> (sets,): the probability of every set, over all orders in which its tokens may be drawn."""
        orders = torch.tensor([list(permutations(one.tolist())) for one in self.sets()])  # (sets, orders, k)
        flat = orders.flatten(0, 1)
        scores = self.scores(U[None]).expand(len(flat), -1)
        return choosing.log_probability(scores, flat).exp().view(orders.shape[:2]).sum(1)

    def expected(self, U: Tensor, weigh: float = 0.0) -> Tensor:
        """The expected loss, exactly. weigh: of averages weighted by exp(weigh * saliency)."""
        sets = self.sets()
        weight = (weigh * self.saliency(U[None])).exp().expand(len(sets), -1) if weigh else None
        return self.chances(U) @ self.loss(sets, weight=weight)

    def exact(self, weigh: float = 0.0) -> Tensor:
        """The gradient of the expected loss with respect to U: (C,)."""
        U = self.U.clone().requires_grad_()
        (found,) = torch.autograd.grad(self.expected(U, weigh), U)
        return found

    def estimates(self, gradient: str, setting: float, count: int, seed: int = 0, progress: float = 1.0) -> Tensor:
        """What an estimator of that name says, `count` times: (count, C).

        setting: as in `choosing.SETTINGS`; of "auxiliary" the guidance. One estimate of "reinforce" is the mean over
        its draws, each with the mean loss of the others as its baseline.
        """
        draws = int(setting) if gradient == "reinforce" else 1
        copies = count * draws
        generator = torch.Generator().manual_seed(seed)
        U = self.U.repeat(copies, 1).requires_grad_()
        scores = self.scores(U)
        if gradient in choosing.SOFT:
            gates, cosines = choosing.soft_gates(gradient, scores, self.k, setting, progress, generator)
            loss = self.soft_loss(gates, cosines)
        elif gradient == "straight_through":
            loss = self.loss(*choosing.straight_through(scores, self.k, setting, generator))
        else:
            order, _ = choosing.draw(scores.detach(), self.k, generator)
            targets = order.sort(dim=1).values
            if gradient == "auxiliary":
                loss = self.auxiliary_loss(U, targets, setting)
            elif gradient == "weighted":
                loss = self.loss(targets, weight=(setting * self.saliency(U)).exp())
            else:
                loss = leave_one_out(self.loss(targets), draws) * choosing.log_probability(scores, order)
        (found,) = torch.autograd.grad(loss.sum(), U)
        return found.view(count, -1, found.shape[1]).mean(1)

    def _read(self, x: Tensor, gates: Tensor | None) -> Tensor:
        """Attention with gates, an average with gates, the head: (B, M, C) -> (B,)."""
        if gates is None:
            return self._classify((x + self._attend(x)).mean(1))
        y = x + self._attend(x, gates.clamp(min=choosing.TINY).log())
        return self._classify((gates[..., None] * y).sum(1) / gates.sum(1, keepdim=True))

    def _attend(self, x: Tensor, bonus: Tensor | None = None) -> Tensor:
        scores = x @ x.transpose(1, 2) / x.shape[2] ** 0.5
        return (scores if bonus is None else scores + bonus[:, None]).softmax(2) @ x

    def _classify(self, pooled: Tensor) -> Tensor:
        return F.cross_entropy(pooled @ self.head, self.label.expand(len(pooled)), reduction="none")


def leave_one_out(losses: Tensor, draws: int) -> Tensor:
    """Each loss less the mean of the others of its film: (films * draws,), a film's draws one after the other.

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson.study.estimates import leave_one_out
    >>> leave_one_out(torch.tensor([1.0, 2.0, 6.0]), 3).tolist()
    [-3.0, -1.5, 4.5]
    """
    if draws < 2:
        raise ValueError(f"draws is {draws}; with 2 or more of a film, each has others to be compared with.")
    of_film = losses.detach().view(-1, draws)
    others = (of_film.sum(1, keepdim=True) - of_film) / (draws - 1)
    return (of_film - others).flatten()


def quality(found: Tensor, exact: Tensor) -> dict[str, float]:
    """How good estimates (count, C) of a gradient (C,) are.

    bias: the length of (their mean - exact); noise: the root of their mean squared distance from their mean; both over
    the length of the exact one. direction: the cosine between their mean and the exact one, which a larger or smaller
    step would not change. downhill: the share of single estimates that point to its side.
    """
    mean, length = found.mean(0), exact.norm()
    return {
        "bias": float((mean - exact).norm() / length),
        "noise": float((found - mean).square().sum(1).mean().sqrt() / length),
        "direction": float(F.cosine_similarity(mean, exact, dim=0)),
        "downhill": float((found @ exact > 0).float().mean()),
    }
