"""Match and merge against a straightforward version, side by side: part 1 of `python -m vtm_lesson bench`."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor

from .. import video
from ..merging.matching import match, match_plain, nearest
from ..merging.partition import uniform
from ..paths import data_path
from . import clock
from .clock import MIB, interleaved, peak_process, peak_resident, ratio, spread

# (tokens N, channels C): one chunk of block 1 of the paper's network; many small tokens; all tokens of the paper's
# video at the width of block 3; and a size between, with a number of tokens that neither gamma divides.
SHAPES = ((1536, 1024), (3840, 64), (15360, 256), (11025, 768))
GAMMAS = (2.0, 6.0)
# Keys of the table are random. How many targets are near-equal changes the work of the screening matcher, so two films
# stand beside it: the camera of one stands still, the other's is held by hand.
FILMS = ("data/films/centred.mp4", "data/films/handheld.mp4")
# A GPU has room for a film four times as long, too.
CUDA_SHAPES = (*SHAPES, (61_440, 256))
LARGE = 10_000  # tokens from which the bare product is worth comparing with: below, fixed costs of a call show


def stored_scores(
    keys: Tensor, x: Tensor, size: Tensor, targets: Tensor, n_merge: int | None = None
) -> tuple[Tensor, Tensor]:
    """Match and size-weighted merge as one writes it down: all scores stored, argmax, sort, gather, scatter.

    keys (B, N, D), x (B, N, C), size (B, N, 1), targets (T,). Returns the merged tokens, unmerged sources first, in
    the order of their similarity, and their sizes. The baseline of the table: nothing in it is slow on purpose.
    """
    is_source = torch.ones(keys.shape[1], dtype=torch.bool, device=keys.device)
    is_source[targets] = False
    sources = is_source.nonzero()[:, 0]
    n_merge = len(sources) if n_merge is None else n_merge

    unit = keys / keys.norm(dim=-1, keepdim=True)
    scores = unit[:, sources] @ unit[:, targets].transpose(1, 2)
    similarity, best = scores.max(dim=-1)
    rank = similarity.argsort(dim=-1, descending=True)[..., None]
    merged, alone = rank[:, :n_merge], rank[:, n_merge:]
    into = best[..., None].gather(1, merged)

    def add_up(values: Tensor) -> Tensor:
        channels = values.shape[-1]
        source, target = values[:, sources], values[:, targets]
        moved = source.gather(1, merged.expand(-1, -1, channels))
        target = target.scatter_reduce(1, into.expand(-1, -1, channels), moved, reduce="sum")
        return torch.cat([source.gather(1, alone.expand(-1, -1, channels)), target], dim=1)

    total = add_up(size)
    return add_up(x * size) / total, total


def film_keys(path: str | Path, frames: int = 60) -> Tensor:
    """(1, N, 768): the 16 x 16 patches of a film's frames as vectors, less their mean."""
    pixels, _ = video.read(data_path(str(path).removeprefix("data/")), frames=frames, size=224).patches(16)
    keys = torch.from_numpy(pixels).float().flatten(0, 2)[None]
    return keys - keys.mean(1, keepdim=True)


def operator_runs(
    n: int,
    dim: int,
    gamma: float,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    keys: Tensor | None = None,
) -> dict[str, Callable[[], object]]:
    """The versions of one row, as functions without arguments: ours, plain, stored, and the bare matrix product.

    plain: `match_plain`, the package's version for reading. Random keys (1, n, dim), or those given.
    """
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(1, n, dim, generator=generator) if keys is None else keys
    x = torch.randn(1, n, dim, generator=generator).to(device, dtype)
    keys = keys.to(device, dtype)
    size = torch.randint(1, 5, (1, n, 1), generator=generator).to(device, dtype)
    targets = uniform(n, gamma).to(device)
    t = len(targets)
    sources = torch.randn(n - t, dim, generator=generator).to(device, dtype)
    columns = torch.randn(t, dim, generator=generator).to(device, dtype).T

    def ours() -> tuple[Tensor, Tensor]:
        merge = match(keys, targets)
        return merge(x, weight=size), merge.size(size[..., 0])

    def plain() -> tuple[Tensor, Tensor]:
        merge = match_plain(keys, targets)
        return merge(x, weight=size), merge.size(size[..., 0])

    return {
        "ours": ours,
        "plain": plain,
        "stored": lambda: stored_scores(keys, x, size, targets),
        "product": lambda: sources @ columns,
    }


def operator_memory(version: str, n: int, dim: int, gamma: float, dtype: str, threads: int) -> dict:
    """For a process of its own: how many bytes the process grows in one call, results included."""
    torch.set_num_threads(threads)
    operator_runs(64, dim, gamma, dtype=getattr(torch, dtype))[version]()  # libraries load on first use
    run = operator_runs(n, dim, gamma, dtype=getattr(torch, dtype))[version]
    return {"bytes": peak_resident(run)[0]}


def match_memory(n: int, dim: int, gamma: float, threads: int) -> dict:
    """For a process of its own: bytes that match() alone takes on top of the keys, and its seconds."""
    torch.set_num_threads(threads)
    keys = torch.randn(1, n, dim)
    match(keys[:, :64], uniform(64, gamma))
    elapsed, targets = [], uniform(n, gamma)
    grown, _ = peak_resident(lambda: elapsed.append(clock.seconds(lambda: match(keys, targets))))
    return {"bytes": grown, "seconds": elapsed[0]}


def operator(
    shapes: Sequence[tuple[int, int]] = SHAPES,
    gammas: Sequence[float] = GAMMAS,
    rounds: int = 9,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    memory: bool = True,
    huge: int = 262_144,
    films: Sequence[str] = FILMS,
    versions: Sequence[str] = ("ours", "stored", "product"),
) -> dict:
    """Match plus size-weighted merge at R = |S|, one row for each shape and gamma, then one for each film.

    huge: tokens of one long match, whose memory is given. versions: which of `operator_runs` take part.
    """
    ceiling = clock.ceilings(device, dtype)
    # From here on glibc keeps what is freed, as in a process that has run a network; else the first versions would
    # pay the kernel for pages that the later ones find ready.
    torch.empty(7 * MIB).fill_(0)
    rows, on_films = [], []
    for n, dim in shapes:
        for gamma in gammas:
            # Short runs get more rounds: they cost little, and their ratios scatter more.
            runs, turns = operator_runs(n, dim, gamma, device, dtype), rounds * (3 if n < LARGE else 1)
            runs = {version: runs[version] for version in versions}
            rows.append(_row(runs, n, dim, gamma, turns, device, dtype, ceiling))
            rows[-1]["bfloat16_keys"] = bfloat16_error(n, dim, gamma, device)
            if memory:
                kept = [version for version in versions if version != "product"]
                rows[-1]["bytes"] = {v: _peak(v, runs[v], n, dim, gamma, device, dtype) for v in kept}
    for film in films:
        keys = film_keys(film)
        n, dim = keys.shape[1:]
        runs = operator_runs(n, dim, 6.0, device, dtype, keys)
        runs = {version: runs[version] for version in versions}
        on_films.append({"film": film, **_row(runs, n, dim, 6.0, rounds, device, dtype, ceiling)})
    ratios = [row["ours_over_stored"]["median"] for row in rows or on_films]
    result = {
        "what": "match + size-weighted merge at R = |S|, batch 1; ours against stored scores and the bare product",
        "dtype": str(dtype).removeprefix("torch."),
        "ceilings": ceiling,
        "rows": rows,
        "films": on_films,
        "geometric_mean": statistics.geometric_mean(ratios),
        "worst": max(ratios),
    }
    if memory and huge and torch.device(device).type == "cpu":
        case = {"n": huge, "dim": 64, "gamma": 6.0}
        found = peak_process(match_memory, threads=torch.get_num_threads(), **case)
        result["huge"] = {"tokens": huge, "channels": 64, "gamma": 6.0, **found}
    return result


def bfloat16_error(n: int, dim: int, gamma: float, device: str = "cpu") -> dict[str, float]:
    """What keys rounded to bfloat16 change: the share of sources with the same target, and the mean cosine lost."""
    keys = torch.randn(1, n, dim, generator=torch.Generator().manual_seed(0)).to(device)
    targets = uniform(n, gamma, device=device)
    best, highest = nearest(keys, targets)
    rounded, _ = nearest(keys.bfloat16(), targets)
    unit = torch.nn.functional.normalize(keys[0], dim=-1)
    is_source = torch.ones(n, dtype=torch.bool, device=device).index_fill(0, targets, False)
    cosine = (unit[is_source] * unit[targets[rounded[0]]]).sum(1)
    return {
        "same_targets": (rounded == best).float().mean().item(),
        "cosine_lost": (highest[0] - cosine).mean().item(),
    }


def _row(runs, n: int, dim: int, gamma: float, turns: int, device: str, dtype: torch.dtype, ceiling: dict) -> dict:
    times = interleaved(runs, turns, 2, device, label=f"{n} x {dim}, gamma {gamma:g}")
    t = len(uniform(n, gamma))
    flops = 2 * (n - t) * t * dim
    moved = (2 * n + t) * dim * dtype.itemsize  # keys and tokens read, results written
    return {
        "tokens": n,
        "channels": dim,
        "gamma": gamma,
        "targets": t,
        "flops": flops,
        "seconds": {name: spread(values) for name, values in times.items()},
        **{f"ours_over_{name}": ratio(times, "ours", name) for name in runs if name != "ours"},
        **clock.bounds(flops, moved, ceiling),
    }


def _peak(version: str, run: Callable, n: int, dim: int, gamma: float, device: str, dtype: torch.dtype) -> int:
    if torch.device(device).type == "cuda":
        return clock.peak_cuda(run)
    case = {"n": n, "dim": dim, "gamma": gamma, "dtype": str(dtype).removeprefix("torch.")}
    threads = torch.get_num_threads()
    return peak_process(operator_memory, version=version, threads=threads, **case)["bytes"]


def text(result: dict) -> str:
    """The table for the terminal."""
    lines = [
        f"match + size-weighted merge, {result['dtype']}; ratios: median (quartiles) over rounds",
        "bound: of a product in this dtype at the measured ceilings; screening in bfloat16 can be below it, and on CUDA"
        " the float32 kernel, which uses tensor cores where product and ceilings do not: judge it in bfloat16",
    ]
    rows = []
    for r in result["rows"] + result["films"]:
        row = {"N": f"{r['tokens']:,}", "C": f"{r['channels']:,}", "gamma": f"{r['gamma']:g}"}
        row |= {f"{name}\nms": f"{1e3 * seconds['median']:,.2f}" for name, seconds in r["seconds"].items()}
        row["bound\nms"] = f"{1e3 * r['bound_seconds']:,.2f}"
        others = [name for name in r["seconds"] if name != "ours"]
        row |= {f"ours /\n{name}": clock.words(r[f"ours_over_{name}"]) for name in others}
        row |= {f"{name}\nMiB": f"{filled / MIB:,.1f}" for name, filled in r.get("bytes", {}).items()}
        row |= {"keys": Path(r["film"]).stem if "film" in r else "random"}
        rows.append(row)
    lines.append(tabulate(rows, "keys", stralign="right", disable_numparse=True))
    if not result["rows"]:
        return "\n".join(lines)
    same = [row["bfloat16_keys"]["same_targets"] for row in result["rows"]]
    lost = max(row["bfloat16_keys"]["cosine_lost"] for row in result["rows"])
    lines.append(
        f"keys in bfloat16: {min(same):.1%} to {max(same):.1%} same targets, at most {lost:.1e} of cosine lost"
    )
    lines.append(f"ours/stored: geometric mean {result['geometric_mean']:.2f}, worst {result['worst']:.2f}")
    if "huge" in result:
        h = result["huge"]
        lines.append(
            f"{h['tokens']:,} tokens of {h['channels']} channels matched in {h['seconds']:.1f} s"
            f" with {h['bytes'] / MIB:.0f} MiB of temporaries"
        )
    return "\n".join(lines)
