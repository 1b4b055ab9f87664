"""The paper's network without merging and with it, side by side: parts 2 and 3 of `python -m vtm_lesson bench`.

Ratios are given against two baselines: attention that stores its scores, the kind that the published figures are
against, and fused attention, which is what one would use today. Rows without "stored scores" or "merged scores" in
their name use fused attention; "merged scores" is `attention="merged"`, the same network in fewer FLOPs, and "merged
queries" `merge_at="queries"`, another one. Rows with "bfloat16" in their name are computed in it, beside the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor

from ..network.model import VideoClassifier, count
from ..network.streaming import by_chunks
from . import clock
from .clock import MIB, interleaved, peak_process, peak_resident, ratio, spread

PAPER = {"frames": 60, "grid": (16, 16), "dim": 1024, "chunks": (6, 30, 60)}
BASELINE, FUSED, HALF = "no merging, stored scores", "no merging", ", bfloat16"

# The rows: arguments of VideoClassifier.
_LEARNABLE = {"partition": "learnable"}
_MERGED = {"partition": "learnable", "attention": "merged"}
_FIRST = {"partition": "learnable", "merge_at": "before_attention"}
_QUERIES = {"partition": "learnable", "merge_at": "queries"}
NETWORKS: dict[str, dict[str, Any]] = {
    BASELINE: {"gamma": 1, "attention": "stored"},
    FUSED: {"gamma": 1},
    "naive, gamma 6, R = 0.8|S|": {"gamma": 6, "r": 0.8},
    "naive, gamma 6, R = |S|": {"gamma": 6},
    "naive, gamma 10, R = |S|": {"gamma": 10},
    "learnable, gamma 6, R = 0.8|S|": {"gamma": 6, "r": 0.8, **_LEARNABLE},
    "learnable, gamma 6, R = |S|": {"gamma": 6, **_LEARNABLE},
    "learnable, gamma 10, R = |S|": {"gamma": 10, **_LEARNABLE},
    "learnable, gamma 6, R = 0.8|S|, stored scores": {"gamma": 6, "r": 0.8, "attention": "stored", **_LEARNABLE},
    "learnable, gamma 10, R = |S|, stored scores": {"gamma": 10, "attention": "stored", **_LEARNABLE},
    "learnable, gamma 6, R = 0.8|S|, merged scores": {"gamma": 6, "r": 0.8, **_MERGED},
    "learnable, gamma 6, R = |S|, merged scores": {"gamma": 6, **_MERGED},
    "learnable, gamma 10, R = |S|, merged scores": {"gamma": 10, **_MERGED},
    "learnable, gamma 6, R = |S|, by chunks": {"gamma": 6, **_LEARNABLE},
    "learnable, gamma 10, R = |S|, merged scores, by chunks": {"gamma": 10, **_MERGED},
    "learnable, gamma 6, R = |S|, merging first": {"gamma": 6, **_FIRST},
    "learnable, gamma 6, R = |S|, merging first, by chunks": {"gamma": 6, **_FIRST},
    "learnable, gamma 6, R = 0.8|S|, merged queries": {"gamma": 6, "r": 0.8, **_QUERIES},
    "learnable, gamma 6, R = |S|, merged queries": {"gamma": 6, **_QUERIES},
    "learnable, gamma 10, R = |S|, merged queries": {"gamma": 10, **_QUERIES},
    "learnable, gamma 10, R = |S|, merged queries, by chunks": {"gamma": 10, **_QUERIES},
    f"no merging{HALF}": {"gamma": 1},
    f"learnable, gamma 6, R = |S|, merged queries{HALF}": {"gamma": 6, **_QUERIES},
    f"learnable, gamma 10, R = |S|, merged queries{HALF}": {"gamma": 10, **_QUERIES},
}
TRAINED = (
    *(BASELINE, FUSED, "naive, gamma 6, R = |S|", "learnable, gamma 6, R = |S|"),
    "learnable, gamma 6, R = |S|, merged queries",
)


def network_run(
    name: str,
    backward: bool = False,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    frames: int = 60,
    grid: Sequence[int] = (16, 16),
    dim: int = 1024,
    chunks: Sequence[int] = (6, 30, 60),
) -> tuple[Callable[[], object], VideoClassifier, Tensor]:
    """(run, model, tokens) of one row. run() is a forward pass for one video, or with `backward` a forward and backward
    pass in training mode, where a learnable network also runs its auxiliary path."""
    torch.manual_seed(0)
    dtype = torch.bfloat16 if name.endswith(HALF) else dtype
    model = VideoClassifier(dim, chunks=chunks, **NETWORKS[name]).to(device, dtype).train(backward)
    tokens = torch.randn(1, frames, *grid, dim).to(device, dtype)

    def forward() -> Tensor:
        with torch.inference_mode():
            return by_chunks(model, tokens) if name.endswith("by chunks") else model(tokens)

    def forward_and_backward() -> None:
        model(tokens).float().logsumexp(-1).sum().backward()
        model.zero_grad(set_to_none=True)

    return (forward_and_backward if backward else forward), model, tokens


def network_memory(name: str, backward: bool, dtype: str, threads: int, **size) -> dict:
    """For a process of its own: how many bytes the process grows in one run, beyond model and tokens."""
    torch.set_num_threads(threads)
    network_run(name, backward, dtype=getattr(torch, dtype), **_small(size))[0]()  # libraries load on first use
    run, _, tokens = network_run(name, backward, dtype=getattr(torch, dtype), **size)
    return {"bytes": peak_resident(run)[0], "tokens": tokens.numel() * tokens.element_size()}


def network_flops(name: str, backward: bool, **size) -> int:
    """FLOPs of one run, counted by torch, 2 per multiply-add. On the meta device: shapes only, nothing is computed."""
    from torch.utils.flop_counter import FlopCounterMode

    run = network_run(name, backward, "meta", **size)[0]
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def network(
    names: Sequence[str] = tuple(NETWORKS),
    rounds: int = 5,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    memory: bool = True,
    size: dict = PAPER,
    backward: bool = False,
) -> dict:
    """One video through the paper's network, one row for each name: forward in eval mode, or forward and backward."""
    names = [name for name in names if dtype != torch.bfloat16 or not name.endswith(HALF)]
    dtypes = {name: torch.bfloat16 if name.endswith(HALF) else dtype for name in names}
    ceilings = {kind: clock.ceilings(device, kind) for kind in dict.fromkeys(dtypes.values())}
    for name in names:  # libraries load on first use
        network_run(name, backward, device, dtype, **_small(size))[0]()
    made = {name: network_run(name, backward, device, dtype, **size) for name in names}
    warmup = 0 if torch.device(device).type == "cpu" else 2
    times = interleaved({name: run for name, (run, _, _) in made.items()}, rounds, warmup, device, "network")
    peaks = {name: _peak(name, made[name][0], backward, device, dtype, size) for name in names} if memory else {}
    rows = []
    for name, (_, model, tokens) in made.items():
        flops = network_flops(name, backward, **size)
        moved = sum(p.numel() * p.element_size() for p in (*model.parameters(), tokens))  # each read at least once
        row = {
            "name": name,
            "flops": flops,
            "tokens": count(model, size["frames"], *size["grid"]).tokens,
            "seconds": spread(times[name]),
            **clock.bounds(flops, moved, ceilings[dtypes[name]]),
        }
        if memory:
            row["peak_bytes"] = peaks[name]
        for key, against in (("stored", BASELINE), ("fused", FUSED)):
            if against in names:
                row[f"speedup_over_{key}"] = ratio(times, against, name)
                if memory:
                    row[f"memory_of_{key}"] = peaks[name] / peaks[against]
        rows.append(row)
    return {
        "what": "one video through the paper's network; ratios against no merging, with stored scores and fused",
        "pass": "forward and backward" if backward else "forward",
        "dtype": str(dtype).removeprefix("torch."),
        "size": size,
        **({"fused_attention": fused_kernels(size, device, dtype)} if torch.device(device).type == "cuda" else {}),
        "ceilings": ceilings[dtype],
        "rows": rows,
    }


def fused_kernels(size: dict, device: str, dtype: torch.dtype) -> dict[str, str]:
    """Which of PyTorch's kernels may serve as fused attention in each block: flash ends at 256 channels a head."""
    from torch.backends import cuda

    found = {}
    for width, frames in zip((size["dim"], size["dim"] // 2, size["dim"] // 4), size["chunks"], strict=False):
        x = torch.empty(1, 1, frames * size["grid"][0] * size["grid"][1], width, device=device, dtype=dtype)
        asked = cuda.SDPAParams(x, x, x, None, 0.0, False, False)
        kinds = {"flash": cuda.can_use_flash_attention, "memory-efficient": cuda.can_use_efficient_attention}
        allowed = [name for name, allows in kinds.items() if allows(asked)]
        found[f"{width} channels"] = " or ".join(allowed) or "none: scores are stored"
    return found


def training(names: Sequence[str] = TRAINED, rounds: int = 5, **options) -> dict:
    """The same, forward and backward in training mode."""
    return network(names, rounds, backward=True, **options)


# Rows for which starting many small kernels may count: after block 1 there are few tokens.
GRAPHED = (FUSED, "learnable, gamma 6, R = |S|", "learnable, gamma 10, R = |S|, merged scores")


def graphs(
    names: Sequence[str] = GRAPHED,
    rounds: int = 5,
    device: str = "cuda",
    dtype: torch.dtype = torch.float32,
    size: dict = PAPER,
) -> dict:
    """Forward passes started kernel by kernel, and the same recorded once as a CUDA graph and started together."""
    runs: dict[str, Callable[[], Any]] = {}
    for name in names:
        run: Callable[[], Any] = network_run(name, False, device, dtype, **size)[0]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # as PyTorch's notes on CUDA graphs ask: warm up beside the main stream
            for _ in range(3):
                run()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = run()
        graph.replay()
        expected = run()
        if name == FUSED and not torch.allclose(logits.float(), expected.float(), atol=0.05):  # it draws nothing
            raise RuntimeError(f"the recorded graph of {name!r} gives other logits than the network.")
        runs |= {name: run, f"{name}, graph": graph.replay}
    times = interleaved(runs, rounds, 2, device, "graphs")
    rows = []
    for name, values in times.items():
        row = {"name": name, "seconds": spread(values)}
        if name.endswith(", graph"):
            row["speedup_over_no_graph"] = ratio(times, name.removesuffix(", graph"), name)
        rows.append(row)
    return {
        "what": "the paper's network, forward, as it is and recorded as a CUDA graph",
        "pass": "forward", "dtype": str(dtype).removeprefix("torch."), "size": size, "rows": rows,
    }  # fmt: skip


def _small(size: dict) -> dict:
    return {"frames": 2, "grid": (2, 2), "dim": size["dim"], "chunks": (1, 2, 2)}


def _peak(name: str, run: Callable[[], object], backward: bool, device: str, dtype: torch.dtype, size: dict) -> int:
    if torch.device(device).type == "cuda":
        return clock.peak_cuda(run)
    options = {"dtype": str(dtype).removeprefix("torch."), "threads": torch.get_num_threads(), **size}
    return peak_process(network_memory, name=name, backward=backward, **options)["bytes"]


def text(result: dict) -> str:
    """The table for the terminal."""
    lines = [
        f"{result['pass']}, {result['size']}, {result['dtype']}",
        "MiB: how far the process grows (CUDA: the allocator's peak); then speed and memory against no merging, with"
        " stored scores and with fused",
    ]
    if "fused_attention" in result:
        lines.append(f"kernels that may serve as fused attention: {result['fused_attention']}")
    quick = all(r["seconds"]["median"] < 1 for r in result["rows"])
    unit, scale = ("ms", 1e3) if quick else ("seconds", 1)
    rows = []
    for r in result["rows"]:
        row = {
            "network": r["name"],
            unit: f"{scale * r['seconds']['median']:,.2f}",
        }
        if "flops" in r:
            row["GFLOPs"] = f"{r['flops'] / 1e9:,.1f}"
        # What moving the bytes takes at least is next to nothing here: it gets a column only where one can see it.
        most = max((scale * row.get("memory_bound_seconds", 0) for row in result["rows"]), default=0)
        shown = ("flop", "memory") if most >= 0.005 else ("flop",)
        bounds = [key for key in shown if f"{key}_bound_seconds" in r]
        row |= {f"{key}\nbound": f"{scale * r[f'{key}_bound_seconds']:,.2f}" for key in bounds}
        if "peak_bytes" in r:
            row["MiB"] = f"{r['peak_bytes'] / MIB:,.0f}"
        for key in ("stored", "fused", "no_graph"):
            if f"speedup_over_{key}" in r:
                faster = r[f"speedup_over_{key}"]
                row[f"speed\n/ {key.replace('_', ' ')}"] = f"x{clock.words(faster, 1 if faster['median'] >= 10 else 2)}"
            if f"memory_of_{key}" in r:
                row[f"memory\n/ {key}"] = f"{r[f'memory_of_{key}'] - 1:+.0%}"
        rows.append(row)
    table = tabulate(rows, "keys", colglobalalign="right", colalign=("left",), disable_numparse=True)
    return "\n".join([*lines, table])
