"""Denormal numbers, which saturated attention makes and a CPU handles very slowly: taken as 0 for a while."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def are_flushed() -> bool:
    """Whether this thread takes denormal numbers as 0. torch has no function that says so; arithmetic does."""
    return sys.float_info.min / 2 == 0  # half of the smallest normal number


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Take denormal numbers (float32: below 1.2e-38) as 0, and put the setting back at the end, whatever happens.

    A context, and a decorator. The setting belongs to the thread: torch's workers keep the one they were started with.
    Processors that cannot do so go on as they are.

    >>> smallest = torch.finfo(torch.float32).tiny
    >>> with flushed_denormals():
    ...     print(torch.tensor(smallest) / 2)
    tensor(0.)
    """
    before = are_flushed()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
