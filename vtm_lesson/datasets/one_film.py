"""What is done with one film, and with no other: decoded, encoded, its motion brought onto the tokens.

It is the same on one machine and on a cluster (`extract`), and a film's tensors are the same bytes on both: a film is
never in one batch with another, and one thread of the processor encodes it, as sums over several threads may come out
different in their last digit. Several films are encoded beside each other instead.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..video.sampling import Settings, decode


class Encoder(Protocol):
    """What turns frames into tokens: a frozen module with `encode`, which several threads may call at once."""

    def encode(self, frames: np.ndarray) -> Tensor:
        """Frames (L, H, W, 3) uint8 -> tokens (L, h, w, C)."""

    def state_dict(self) -> dict[str, Tensor]:
        """Its weights, by name."""


@dataclass
class Made:
    """What became of a film: its tensors, or why there are none; and the seconds that it took."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    why: str = ""
    decoding: float = 0.0
    encoding: float = 0.0

    @property
    def bytes(self) -> int:
        """Of all tensors."""
        return sum(value.nbytes for value in self.tensors.values())


def encode(encoder: Encoder, decoded: dict[str, np.ndarray] | str, seconds: float, settings: Settings) -> Made:
    """What `decode` gave becomes tensors: tokens float16, motion and vectors float32; by windows, if there are some."""
    if isinstance(decoded, str):
        return Made(why=decoded, decoding=seconds)
    start = time.perf_counter()
    with torch.inference_mode():
        tensors = {"tokens": encoder.encode(decoded["frames"]).half()}
    tensors |= {name: torch.from_numpy(decoded[name]) for name in ("motion", "vectors") if name in decoded}
    if settings.window:
        tensors = {name: value.unflatten(0, (-1, settings.frames)) for name, value in tensors.items()}
    return Made(tensors, decoding=seconds, encoding=time.perf_counter() - start)


def extract(encoder: Encoder, path: str, settings: Settings) -> Made:
    """The whole way of one film, in this thread."""
    return encode(encoder, *decode(path, settings), settings)


Films = Generator[tuple[str, Made], None, None]  # as they are finished, by id


def on_gpu(encoder: Encoder) -> bool:
    """Whether it computes on a GPU: then films take turns."""
    return any(value.is_cuda for value in encoder.state_dict().values())


@contextlib.contextmanager
def alike() -> Iterator[None]:
    """What holds while films are encoded: one thread each, and no bars of the encoder's own."""
    before, bars = torch.get_num_threads(), os.environ.get("TQDM_DISABLE")
    torch.set_num_threads(1)
    os.environ["TQDM_DISABLE"] = "1"
    try:
        yield
    finally:
        torch.set_num_threads(before)
        if bars is None:
            del os.environ["TQDM_DISABLE"]
        else:
            os.environ["TQDM_DISABLE"] = bars
