"""Gradients through the choice of targets: what learnable VTM can train with in place of its auxiliary path.

A choice is k tokens of N, drawn with p = softmax(scores), one after the other. As a *gate* z (B, N) it is 1 for targets
and 0 for all others. A gate between 0 and 1 counts as z tokens: log z is added to that token's score in attention, as
the log of a size is in ToMe's proportional attention, and z weighs it in averages. So the loss has a slope in z, and an
estimator says what slope z has in the scores:

    straight_through   targets are drawn; the slope is that of a relaxed top-k          gates are 1 at targets
    reinforce          targets are drawn; no gates: (loss - baseline) * log_probability
    annealed           gates between 0 and 1, harder and harder (`soft_top`)            training keeps all N tokens
    relaxed            gates between 0 and 1 (`relaxed_top`), and learned match keys    training keeps all N tokens
    perturbed          gates are means over noisy choices (`perturbed_top`)             training keeps all N tokens
    weighted           no gates: the average of a group is weighted by exp(setting * saliency)

At test time all of them choose and merge as the network always does. `BlockConfig(gradient=...)` picks one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# What each gradient has as its setting, where none is given. "auxiliary" has `guidance`.
SETTINGS = {
    "auxiliary": 1.0,
    "straight_through": 1.0,  # temperature of the relaxed top-k
    "annealed": 0.3,  # temperature at the end of training; it begins at WARM
    "relaxed": 1.0,  # temperature
    "perturbed": 1.0,  # standard deviation of the noise
    "reinforce": 4.0,  # draws of each film that are compared; whoever trains repeats films and adds the term
    "weighted": 3.0,  # how strongly saliency weighs
}
SOFT = ("annealed", "relaxed", "perturbed")
TEMPERATURE = 6.0  # p = softmax(TEMPERATURE * saliency), as partition "learnable" draws
WARM = 3.0
MATCHING = 0.1  # temperature of cosines in `soft_merge`; annealed with the root of the choice's, which gets ahead of it
SAMPLES = 64  # noisy choices in the mean of `perturbed_top`
TINY = 1e-6


def draw(scores: Tensor, k: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Draw k of N without replacement, and keep what is needed to differentiate.

    Parameters
    ----------
    scores : Tensor
        (B, N).
    k : int
        How many.
    generator : torch.Generator, optional
        Makes it repeatable.

    Returns
    -------
    order : Tensor
        (B, k) int64, in the order in which they were drawn.
    noisy : Tensor
        (B, N), scores with Gumbel noise: the k largest are those drawn.

    Notes
    -----
    The law of `partition.sample`, for the same generator the same draw.

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson.network.choosing import draw
    >>> draw(torch.tensor([[0.0, 40.0, 0.0, 80.0]]), 2)[0]
    tensor([[3, 1]])
    """
    noise = torch.empty_like(scores).exponential_(generator=generator).log_().neg_()
    noisy = scores + noise
    return noisy.detach().topk(k, dim=1).indices, noisy


def log_probability(scores: Tensor, order: Tensor) -> Tensor:
    """The log of the probability that exactly these were drawn, in this order: (B, N), (B, k) -> (B,).

    The first with softmax(scores), each next one with the softmax over those left (Plackett and Luce). Its gradient,
    times a loss that does not depend on the scores, is that of the expected loss, on average over draws (Williams,
    1992).

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson.network.choosing import log_probability
    >>> log_probability(torch.zeros(1, 4), torch.tensor([[2, 0]])).exp()  # 1/4 times 1/3
    tensor([0.0833])
    """
    left, total = scores, torch.zeros_like(scores[:, 0])
    for chosen in order.split(1, dim=1):
        total = total + left.log_softmax(1).gather(1, chosen)[:, 0]
        left = left.scatter(1, chosen, -torch.inf)
    return total


def relaxed_top(scores: Tensor, k: int, temperature: float) -> Tensor:
    """A top-k with slopes: the sum of k softmaxes, each on what those before it left. (B, N) -> (B, N), sum k.

    p_j = softmax(a_j / temperature), a_(j+1) = a_j + log(1 - p_j), from a_1 = scores (Xie and Ermon, 1901.10517, sec.
    3; DTEM chooses its edges so). A token far above all others is taken more than once where the temperature is not
    small: its gate is more than 1.

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson.network.choosing import relaxed_top
    >>> relaxed_top(torch.tensor([[3.0, 0.0, 2.0, 0.0]]), 2, 0.2).round(decimals=2)
    tensor([[1., 0., 1., 0.]])
    """
    total = torch.zeros_like(scores)
    for _ in range(k):
        p = (scores / temperature).softmax(1)
        total = total + p
        scores = scores + torch.log1p(-p.clamp(max=1 - TINY))
    return total


def soft_top(scores: Tensor, k: int, temperature: float) -> Tensor:
    """A top-k as a step made soft: sigmoid((scores - level) / temperature), with the level that makes the sum k.

    (B, N) -> (B, N). What optimal transport to two anchors gives (SOFT, NeurIPS 2020), in closed form. The level is
    found by halving; one step of Newton's method, which changes nothing there, gives it its slope.

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson.network.choosing import soft_top
    >>> soft_top(torch.tensor([[3.0, 0.0, 2.0, 0.0]]), 2, 1.0).round(decimals=2)
    tensor([[0.88, 0.27, 0.73, 0.27]])
    """
    wanted = min(k, scores.shape[1] - TINY)  # all of them would need a level without end
    with torch.no_grad():
        low, high = (edge(1, keepdim=True) for edge in (scores.amin, scores.amax))
        low, high = low - 20 * temperature, high + 20 * temperature
        for _ in range(50):
            level = (low + high) / 2
            over = torch.sigmoid((scores - level) / temperature).sum(1, keepdim=True) > wanted
            low, high = torch.where(over, level, low), torch.where(over, high, level)
    z = torch.sigmoid((scores - level) / temperature)
    slope = (z * (1 - z)).detach().sum(1, keepdim=True).clamp(min=TINY)
    level = level + (z.sum(1, keepdim=True) - wanted) * temperature / slope
    return torch.sigmoid((scores - level) / temperature)


def perturbed_top(scores: Tensor, k: int, sigma: float, generator: torch.Generator | None = None) -> Tensor:
    """The mean of the top-k over normal noise, and its slope by the noise itself: (B, N) -> (B, N), sum k.

    z_j = mean [j in top-k(scores + sigma Z)], dz_j / dscores_e = mean [j in top-k] Z_e / sigma (Berthet et al., 2020;
    Cordonnier et al., CVPR 2021), over `SAMPLES` draws of Z.

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson.network.choosing import perturbed_top
    >>> perturbed_top(torch.tensor([[9.0, 0.0, 9.0, 0.0]]), 2, 1.0)
    tensor([[1., 0., 1., 0.]])
    """
    noise = torch.randn(SAMPLES, *scores.shape, generator=generator, dtype=scores.dtype, device=scores.device)
    found = (scores.detach() + sigma * noise).topk(k, dim=2).indices
    hit = torch.zeros_like(noise).scatter_(2, found, 1.0)
    slope = (hit * ((noise * scores).sum(2, keepdim=True) / sigma)).mean(0)
    return hit.mean(0) + slope - slope.detach()


def straight_through(
    scores: Tensor, k: int, temperature: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Draw targets; forwards their gates are 1, backwards they are those of `relaxed_top` on the noisy scores.

    (B, N) -> targets (B, k) int64, ascending, and gates (B, k) (Bengio et al., 1308.3432; with Gumbel noise and k of N,
    1901.10517).

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson.network.choosing import straight_through
    >>> straight_through(torch.tensor([[0.0, 40.0, 0.0, 80.0]]), 2, 1.0)
    (tensor([[1, 3]]), tensor([[1., 1.]]))
    """
    order, noisy = draw(scores, k, generator)
    targets = order.sort(dim=1).values
    soft = relaxed_top(noisy, k, temperature).gather(1, targets)
    return targets, 1 + (soft - soft.detach())


def drawn(
    name: str, scores: Tensor, k: int, setting: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """A draw of "straight_through" or "reinforce": targets and gates (B, k), and its log-probability (B,), else 0."""
    if name == "straight_through":
        targets, gates = straight_through(scores, k, setting, generator)
        return targets, gates, scores.new_zeros(len(scores))
    order, _ = draw(scores.detach(), k, generator)
    return order.sort(dim=1).values, scores.new_ones(order.shape), log_probability(scores, order)


def soft_gates(
    name: str, scores: Tensor, k: int, setting: float, progress: float = 0.0, generator: torch.Generator | None = None
) -> tuple[Tensor, float]:
    """The gates (B, N) of one of `SOFT`, and the temperature of cosines that `soft_merge` takes with them.

    setting: as in `SETTINGS`. progress: the share of training that is over, for "annealed".
    """
    if name == "annealed":
        temperature = WARM * (setting / WARM) ** progress
        return soft_top(scores, k, temperature), MATCHING * temperature**0.5
    if name == "perturbed":
        return perturbed_top(scores, k, setting, generator), MATCHING
    return relaxed_top(scores, k, setting), MATCHING


def soft_merge(x: Tensor, keys: Tensor, gates: Tensor, temperature: float, before: Tensor | None = None) -> Tensor:
    """Merge by gates: each token keeps its gate's share of itself, and gives the rest to tokens with similar keys.

    Parameters
    ----------
    x : Tensor
        (B, N, C).
    keys : Tensor
        (B, N, D).
    gates : Tensor
        (B, N), from 0 to 1.
    temperature : float
        Token i gives to token j in proportion to gates_j exp(cos(keys_i, keys_j) / temperature); nothing to itself.
    before : Tensor, optional
        (B, N), how many tokens each counted as until now; None: one each.

    Returns
    -------
    Tensor
        (B, N, C), averages of what each token kept and was given. With gates of 0 and 1 and a temperature near 0, those
        of gate 1 are the merged tokens of VTM eq. 4.

    Notes
    -----
    As in training with DTEM (NeurIPS 2024), where sources and targets are fixed, and gates are the sources'.
    """
    unit = F.normalize(keys, dim=-1)
    least = torch.finfo(gates.dtype).tiny
    log_gates = gates.clamp(min=least).log().masked_fill(gates <= least, -1e9)  # -inf would have no gradient but NaN
    scores = unit @ unit.transpose(1, 2) / temperature + log_gates[:, None]
    itself = torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
    rest = (1 - gates if before is None else before - gates).clamp(min=0)
    gives = scores.masked_fill(itself, -1e9).softmax(2) * rest[..., None]
    mass = (gates + gives.sum(1)).clamp(min=TINY**2)[..., None]
    return (gates[..., None] * x + gives.transpose(1, 2) @ x) / mass


def presence(gate: Tensor | None, width: int) -> Tensor | None:
    """Gates (B, N) as what eq. 10's attention takes for a saliency, so that log(gate) is what is added to a score.

    width: D, the channels of a head: eq. 10 divides by its root.
    """
    return None if gate is None else gate.clamp(min=TINY).log() * width**0.5
