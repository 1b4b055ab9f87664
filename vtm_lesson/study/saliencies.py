"""Saliency for footage: learned from the labels of a few clips, or by somebody else.

    held = learn(tokens, labels, seed=0, how=Learning(components=16, frames=0.5, decay=0.1))   # a Saliency
    shown = decoded(tokens, "decoder.safetensors")                                             # (n, L, h, w)

Some 60 clips are few for a saliency of 384 numbers: it can learn what the sessions look like. Three remedies can be
tried, all of them settings of `Learning`: fewer numbers, a part of the frames at each step, and weight decay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm

from ..merging.strategies import Saliency
from ..training.loop import schedule

SOME = 8  # every eighth token is enough for means and principal components
EVERY = 4  # a step sees every fourth token of a frame, from another start each time: a fourth of the time


@dataclass(frozen=True)
class Learning:
    """How saliency is learned from labels by pooling.

    Attributes
    ----------
    components : int, optional
        s looks at so many principal components of the tokens; None: at all channels.
    frames : float
        The share of a clip's frames that a step sees.
    decay : float
        AdamW's weight decay of U; that of the head is 0.01.
    temperature : float
        Of the draws afterwards, p = softmax(temperature * s).
    gain : float
        Of pooling while learning, softmax(gain * s).
    steps, batch, lr
        Of AdamW; the rate follows a cosine down to 0.
    """

    components: int | None = None
    frames: float = 1.0
    decay: float = 0.01
    temperature: float = 6.0
    gain: float = 3.0
    steps: int = 150
    batch: int = 16
    lr: float = 1e-2


def learn(tokens: Tensor, labels: Tensor, seed: int, how: Learning = Learning()) -> Saliency:
    """Learn s = tanh(x U + b): pool tokens with softmax(gain * s), tell the label from the pool with a linear head.

    Parameters
    ----------
    tokens : Tensor
        (n, L, h, w, C), float16 will do.
    labels : Tensor
        (n,) int64.
    seed : int
        Of the head's start, the order of the clips, and the frames.
    how : Learning, optional
        All else.

    Returns
    -------
    Saliency
        For tokens as they were given: the standardisation that it was learned with is part of its U and b.

    Notes
    -----
    VTM eq. 10's attention with the query-key term left out; as `probe.learn_saliency`, for sets of few clips.

    Examples
    --------
    >>> import torch
    >>> tokens, labels = torch.randn(8, 4, 3, 3, 6), torch.arange(8) % 2
    >>> saliency = learn(tokens, labels, seed=0, how=Learning(components=2, steps=3, batch=4))
    >>> saliency.U.shape, saliency.score(tokens.flatten(1, 3)).shape
    (torch.Size([6, 1]), torch.Size([8, 36]))
    """
    mean, axes = basis(tokens, how.components)
    x, shift, turn = tokens, mean, axes
    if how.components is not None:  # few numbers a token from here on
        x, shift, turn = tokens.float() @ axes, mean @ axes, torch.eye(axes.shape[1])
    n, length = tokens.shape[:2]
    shown = max(1, round(how.frames * length))
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        head = nn.Linear(turn.shape[1], int(labels.max()) + 1)
        U, b = torch.zeros(turn.shape[1], 1, requires_grad=True), torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.AdamW(
            [{"params": [U], "weight_decay": how.decay}, {"params": [b, *head.parameters()], "weight_decay": 0.01}],
            lr=how.lr,
        )
        rates = schedule(optimizer, how.steps)
        order = torch.empty(0, dtype=torch.long)
        for _ in range(how.steps):
            if len(order) < min(how.batch, n):
                order = torch.cat([order, torch.randperm(n)])
            index, order = order[: how.batch], order[how.batch :]
            first = int(torch.randint(EVERY, ()))
            seen = x.flatten(2, 3)[:, :, first::EVERY][index]
            if shown < length:
                seen = seen[:, torch.randperm(length)[:shown]]
            seen = seen.flatten(1, 2).float()
            # What is learned applies to standardised tokens. They are never made: both maps are linear.
            score = torch.tanh(seen @ (turn @ U) + (b - shift @ turn @ U))
            pooled = (how.gain * score).softmax(1).transpose(1, 2) @ seen
            loss = F.cross_entropy(head((pooled[:, 0] - shift) @ turn), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
    own = axes @ U.detach()
    return Saliency(own, b.detach() - mean @ own, how.temperature)


def basis(tokens: Tensor, components: int | None = None) -> tuple[Tensor, Tensor]:
    """A mean (C,) and axes (C, K), for z = (x - mean) @ axes: tokens (..., C) standardised channel by channel.

    With components, z are the first K principal components of the standardised tokens; without, K = C. No label is
    looked at.
    """
    some = tokens.flatten(0, -2)[::SOME].float()
    mean, scale = some.mean(0), some.std(0).clamp(min=1e-6)
    if components is None:
        return mean, torch.diag(1 / scale)
    some = (some - mean) / scale
    _, axes = torch.linalg.eigh(some.T @ some)
    return mean, (axes.flip(1)[:, :components] / scale[:, None]).contiguous()


class Decoder(nn.Module):
    """A trained head that turns patch tokens into a map of "where is the object": doublings, then one channel.

    Transposed convolutions 4 x 4 with stride 2 (upconv1, upconv2, ...), each with batch norm (bn1, ...) and ReLU, and a
    1 x 1 convolution (final_conv).
    """

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.doublings = len(widths) - 1
        for i, (before, after) in enumerate(pairwise(widths), 1):
            self.add_module(f"upconv{i}", nn.ConvTranspose2d(before, after, 4, 2, 1))
            self.add_module(f"bn{i}", nn.BatchNorm2d(after))
        self.final_conv = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, h, w, C) -> logits (B, h, w), means over the pixels of each patch."""
        y = tokens.permute(0, 3, 1, 2)
        for i in range(1, self.doublings + 1):
            y = F.relu(self.get_submodule(f"bn{i}")(self.get_submodule(f"upconv{i}")(y)))
        return F.adaptive_avg_pool2d(self.final_conv(y), (tokens.shape[1], tokens.shape[2]))[:, 0]


def decoder(path: str | Path) -> Decoder:
    """A `Decoder` from a .safetensors file, in eval mode; ValueError where the file holds something else."""
    try:
        weights = {name: value.float() for name, value in load_file(path).items()}
        steps = sum(name.startswith("upconv") and name.endswith("weight") for name in weights)
        shapes = [weights[f"upconv{i}.weight"].shape for i in range(1, steps + 1)]
        made = Decoder([shapes[0][0], *(shape[1] for shape in shapes)])
        made.load_state_dict({f"bn{i}.num_batches_tracked": torch.tensor(0) for i in range(1, steps + 1)} | weights)
    except (OSError, SafetensorError, KeyError, IndexError, RuntimeError) as error:
        said = str(error).splitlines()[0]
        raise ValueError(f"{path} is no saliency decoder ({said}): give a .safetensors of upconv1, bn1, ...") from None
    return made.eval()


@torch.no_grad()
def decoded(tokens: Tensor, path: str | Path, progress: bool = True) -> Tensor:
    """Tokens (n, L, h, w, C) to a trained decoder's map, logits (n, L, h, w) float32."""
    head = decoder(path)
    clips = tqdm(tokens, "saliency decoder", unit="clip", disable=not progress, delay=2, leave=False)
    return torch.stack([head(clip.float()) for clip in clips])
