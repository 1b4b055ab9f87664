"""The tiles of the fused CUDA matcher, each timed: the piece "kernels" of `python -m vtm_lesson bench --all`.

Without a GPU, Triton's interpreter runs the same code on a small case: a rehearsal, whose seconds mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from tabulate import tabulate

from ..merging.partition import uniform
from ..merging.tiled import nearest_tiled, others
from . import clock
from .clock import in_process, interleaved, spread

SHAPES = ((1536, 1024, 6.0), (15_360, 256, 2.0), (15_360, 256, 6.0), (11_025, 768, 6.0), (61_440, 256, 6.0))
REHEARSED = ((96, 16, 6.0),)


def kernels(n: int, dim: int, gamma: float, device: str, dtype: str, rounds: int = 9) -> dict:
    """All configurations on one shape, in a process of its own: tuning starts anew, and a crash ends nothing else."""
    arguments = {"n": n, "dim": dim, "gamma": gamma, "device": device, "dtype": dtype, "rounds": rounds}
    return in_process(kernel_times, arguments, {} if device == "cuda" else {"TRITON_INTERPRET": "1"})


def kernel_times(n: int, dim: int, gamma: float, device: str, dtype: str, rounds: int) -> dict:
    """Seconds of the fused matcher with each of its configurations, as tuned, in tiles, and of the bare product."""
    from ..merging import fast_cuda

    kind = getattr(torch, dtype)
    keys = torch.randn(1, n, dim, generator=torch.Generator().manual_seed(0)).to(device, kind)
    targets = uniform(n, gamma).to(device)[None]
    sources = others(targets, n)
    a, b = keys[0, sources[0]], keys[0, targets[0]].T.contiguous()
    runs: dict[str, Callable[[], object]] = {
        "as tuned": lambda: fast_cuda.nearest_fused(keys, targets, sources),
        "in tiles": lambda: nearest_tiled(keys, targets, sources),
        "product": lambda: a @ b,
    }
    failed, expected = {}, nearest_tiled(keys.double(), targets, sources)
    for config in fast_cuda.CONFIGS:
        name = ", ".join(f"{key} {value}" for key, value in config.all_kwargs().items())
        try:  # a GPU with less shared memory refuses some
            _, similarity = fast_cuda.launch(keys, targets, sources, config)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        wrong = (similarity.double() - expected[1]).abs().max().item()
        if wrong > 1e-5:
            raise RuntimeError(f"with {name}, cosines are off by {wrong:.1e}")
        runs[name] = partial(fast_cuda.launch, keys, targets, sources, config)
    _, similarity = fast_cuda.nearest_fused(keys, targets, sources)
    wrong = (similarity.double() - expected[1]).abs().max().item()
    if wrong > 1e-5:
        raise RuntimeError(f"as tuned, cosines are off by {wrong:.1e}: {failed}")
    times = interleaved(runs, rounds, 2, device)
    ceiling = clock.ceilings(device, kind)
    count, moved = targets.shape[1], keys.numel() * kind.itemsize + 12 * sources.shape[1]
    return {
        "what": "the fused matcher alone, tile by tile; product: sources @ targets, its scores stored",
        "dtype": dtype, "tokens": n, "channels": dim, "gamma": gamma, "ceilings": ceiling,
        **clock.bounds(2 * count * sources.shape[1] * dim, moved, ceiling),
        "seconds": {name: spread(values) for name, values in times.items()},
        "failed": failed,
    }  # fmt: skip


def text(result: dict) -> str:
    """The table for the terminal."""
    bounds = [
        (f"bound: {name}", result[f"{key}_bound_seconds"]) for name, key in (("FLOPs", "flop"), ("memory", "memory"))
    ]
    rows = [(name, f"{1e3 * value['median']:.3f}") for name, value in result["seconds"].items()]
    rows += [(name, f"{1e3 * value:.3f}") for name, value in bounds]
    rows += list(result["failed"].items())
    shape = f"{result['tokens']:,} x {result['channels']:,}, gamma {result['gamma']:g}, {result['dtype']}"
    return tabulate(rows, (shape, "ms"), colalign=("left", "right"), disable_numparse=True)
