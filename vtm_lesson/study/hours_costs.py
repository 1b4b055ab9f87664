"""What hours of film cost: time and memory of decode, encode, merge and networks; and whether pieces equal the whole.

The films are those of `hours`, whose settings they take; longer ones than an hour go round and round.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import films, video
from ..encoders import load_encoder
from ..measuring import clock
from ..merging.hierarchy import chunk_lengths
from ..merging.matching import match
from ..merging.partition import uniform
from ..network.levels import merging_levels
from ..network.model import VideoClassifier
from ..network.streaming import Live
from .hours import DIM, HOUR, NETWORKS, PARTS, PATCH, WHOLE, Hours, film


def loop(path: str, settings: dict[str, Any], seconds: int) -> dict:
    """Write the film that is timed. An hour is painted; longer ones go round and round."""
    made = film(Hours.of(settings), min(seconds, HOUR), "handheld", 0)
    part = Path(path).with_suffix(".part")
    with part.open("wb") as file:
        films.write(file, replace(made, frames=made.frames[np.arange(seconds) % len(made.frames)]))
    part.replace(path)
    return {"bytes": Path(path).stat().st_size}


def timed_film(study: Hours, folder: Path, seconds: int) -> Path:
    """The film that is timed, made where it is missing."""
    path = folder / "films" / f"{seconds}.mp4"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        if seconds <= HOUR:
            loop(str(path), asdict(study), seconds)
        else:  # its pixels fill half a gigabyte, which this process need not keep
            clock.peak_process(loop, path=str(path), settings=asdict(study), seconds=seconds)
    return path


def networks(seconds: int, study: Hours) -> dict[str, VideoClassifier]:
    """Two networks with random weights: one whose last chunk is the whole film, and one of chunks of chunks.

    Both have as many channels in every block as the tokens. The second has a block more where the film is six times as
    long, and no block of it ever meets more tokens in one chunk than the first block does.
    """
    lengths = chunk_lengths(seconds, study.first, study.ratio)
    step = study.first * study.ratio
    whole = (study.first, step, max(1, math.ceil(seconds / step)) * step)
    made = {}
    for name, chunks in zip(NETWORKS, (whole, lengths), strict=True):
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            gamma = float(study.ratio)
            made[name] = VideoClassifier(
                DIM, len(chunks), chunks, gamma=gamma, widths=[DIM] * len(chunks), residual=True
            ).eval()
    return made


# ----------------------------------------------------------------------------------------------------------------- time


def time_point(path: str, settings: dict[str, Any], seconds: int, threads: int) -> dict:
    """Seconds of decode, encode, merge, and of the networks, over one film."""
    study = Hours.of(settings)
    torch.set_num_threads(threads)
    encoder = load_encoder("patch")
    live: dict[str, Live] = {"merge": Live(merging_levels("motion", seconds, study.keep, study.first, study.ratio),
                                           trace=True)}  # fmt: skip
    live |= {name: Live(net) for name, net in networks(seconds, study).items()}
    _warm(study, encoder)
    spent: dict[str, list[float]] = {name: [] for name in (*PARTS, *NETWORKS)}
    kept: list[Tensor] = []
    for clip, taken in _clocked(video.stream(path, seconds, None, piece=study.piece, progress=False)):
        spent["decode"].append(taken)
        started = time.perf_counter()
        x = encoder.encode(clip.frames)[None]
        spent["encode"].append(time.perf_counter() - started)
        motion = torch.from_numpy(clip.patches(PATCH)[1])[None]
        for name, one in live.items():
            started = time.perf_counter()
            one.push(x, motion if name == "merge" else None)
            spent[name].append(time.perf_counter() - started)
        if seconds <= study.whole:
            kept.append(x)
    values: dict[str, Any] = {}
    for name, one in live.items():
        started = time.perf_counter()
        left = one.kept().x.shape[1] if name == "merge" else one.logits().shape[1]
        values[f"{name}, at the end"] = time.perf_counter() - started
        spent[name][-1] += values[f"{name}, at the end"]
        if name == "merge":
            values |= {"kept": left, "most_held": one.most_held, "map_bytes": one.merge().group.nbytes}
    if kept:
        x = torch.cat(kept, 1).flatten(1, 3)
        kept.clear()
        values[WHOLE] = clock.seconds(lambda: match(x, uniform(x.shape[1], study.ratio)))
    totals = {name: sum(times) for name, times in spent.items()}
    return values | totals | {"a piece": {name: clock.spread(times) for name, times in spent.items()}}


def _warm(study: Hours, encoder: Any) -> None:
    """Libraries load on first use, outside of what is timed."""
    some = np.zeros((study.first, study.size, study.size, 3), np.uint8)
    x = encoder.encode(some)[None]
    ones = torch.ones(x.shape[:-1])
    Live(merging_levels("motion", study.first, 8, study.first, study.ratio), trace=True).push(x, ones)
    for net in networks(study.first, study).values():
        Live(net).push(x)


def _clocked(source: Iterator[Any]) -> Iterator[tuple[Any, float]]:
    """What comes, and how long one waited for it."""
    while True:
        started = time.perf_counter()
        try:
            value = next(source)
        except StopIteration:
            return
        yield value, time.perf_counter() - started


def time_rows(records: Sequence[Mapping]) -> list[dict]:
    """One row a length: the spread over rounds of each part's seconds, and of all parts together."""
    rows = []
    known = [record for record in records if record["part"] == "time"]
    for seconds in sorted({record["seconds"] for record in known}):
        same = [record for record in known if record["seconds"] == seconds]
        row: dict[str, Any] = {"seconds": seconds, "rounds": len(same)}
        for name in (*PARTS, *NETWORKS, WHOLE):
            values = [record[name] for record in same if name in record]
            if values:
                row[name] = clock.spread(values)
        row["all"] = clock.spread([sum(record[name] for name in PARTS) for record in same])
        row |= {name: same[0][name] for name in ("kept", "most_held", "map_bytes")}
        rows.append(row)
    return rows


# --------------------------------------------------------------------------------------------------------------- memory


def memory_point(path: str, settings: dict[str, Any], seconds: int, name: str, threads: int) -> dict:
    """For a process of its own: the most memory that it and its children held, and what grew."""
    study = Hours.of(settings)
    torch.set_num_threads(threads)
    encoder = load_encoder("patch")
    _warm(study, encoder)
    before = resident()
    run = _at_once if name == "all at once" else _piece_by_piece
    grown, held = clock.peak_resident(lambda: run(path, study, seconds, name, encoder))
    return {"start": before, "grown": grown, "peak": before + grown, "children": children(), "held_bytes": held}


def _piece_by_piece(path: str, study: Hours, seconds: int, name: str, encoder: Any) -> int:
    """Bytes that the levels and their map hold at the end."""
    live = Live(merging_levels("motion", seconds, study.keep, study.first, study.ratio), trace=True)
    for clip in video.stream(path, seconds, None, piece=study.piece, progress=False):
        if name == "decode":
            continue
        x = encoder.encode(clip.frames)[None]
        if name != "decode, encode":
            live.push(x, torch.from_numpy(clip.patches(PATCH)[1])[None])
    if not live.frames:
        return 0
    return live.merge().group.nbytes + live.held * 4 * (DIM + 3)


def _at_once(path: str, study: Hours, seconds: int, _: str, encoder: Any) -> int:
    """Bytes of all frames and tokens together."""
    clip = video.read(path, seconds, None, progress=False)
    x = encoder.encode(clip.frames)[None].flatten(1, 3)
    match(x, uniform(x.shape[1], x.shape[1] / study.keep))
    return clip.frames.nbytes + clip.motion.nbytes + x.nbytes


def resident() -> int:
    """Bytes of this process that lie in main memory now; 0 where the system does not say (other than Linux)."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def children() -> int:
    """The most bytes that one of this process's children held; 0 where there were none."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def memory_rows(records: Sequence[Mapping]) -> list[dict]:
    """One row a length: the record of each of MEMORY's names."""
    known = [record for record in records if record["part"] == "memory"]
    return [
        {"seconds": seconds} | {r["name"]: r for r in known if r["seconds"] == seconds}
        for seconds in sorted({record["seconds"] for record in known})
    ]


# ---------------------------------------------------------------------------------------------------------------- equal


def equal_point(path: str, settings: dict[str, Any], seconds: int) -> dict:
    """What comes piece by piece against what comes at once.

    frames, motion: whether `stream` gives what `read` gives, number for number. logits: the largest difference, as a
    share of the largest logit. merge: the largest difference of a kept token from the mean of the film's tokens that
    the map says. chosen: the share of the kept tokens that are among the film's highest scores.
    """
    study = Hours.of(settings)
    whole = video.read(path, seconds, None, progress=False)
    clips = list(video.stream(path, seconds, None, piece=study.piece, progress=False))
    x = load_encoder("patch").encode(whole.frames)[None]
    motion = torch.from_numpy(whole.patches(PATCH)[1])[None]
    net = networks(seconds, study)[NETWORKS[1]]
    lives = Live(net), Live(merging_levels("motion", seconds, study.keep, study.first, study.ratio), trace=True)
    for start in range(0, seconds, 7):
        for live in lives:
            live.push(x[:, start : start + 7], motion[:, start : start + 7])
    with torch.inference_mode():
        logits = net(x)
    flat, left = x.flatten(1, 3), lives[1].kept()
    best = motion.flatten().argsort(descending=True, stable=True)[: study.keep]
    return {
        "frames": bool((np.concatenate([clip.frames for clip in clips]) == whole.frames).all()),
        "motion": bool((np.concatenate([clip.motion for clip in clips]) == whole.motion).all()),
        "logits": float((lives[0].logits() - logits).abs().max() / logits.abs().max()),
        "merge": float((lives[1].merge()(flat) - left.x).abs().max()),
        "chosen": float(torch.isin(best, left.position[0]).double().mean()),
    }
