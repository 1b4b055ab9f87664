"""Films as tokens: (tokens, motion, label), made once and kept.

    items = toy_films(600, seed=1)           # Items: tokens (600, 12, 8, 8, C), motion, oracle, label, way
    fit(model, items[:400], items[400:])

Toy films go the way that real ones go: they are written as H.264 and read back, so that motion is the codec's own; a
frozen encoder turns every patch into a token. What was made is kept on disk in parts. A call that was stopped carries
on, and a larger call uses what a smaller one made.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from tqdm import tqdm

from .. import films, video
from ..training.checkpoints import write
from ..training.loop import Items

PART = 50  # films in one file
# Raise it with every change of films, figures, sets, or of how films are read, after which a seed gives other numbers.
# Not a digest of their source: a comment would throw away hours of work.
FORMAT = 1
COLUMNS = ("tokens", "motion", "oracle", "label", "way")


def cache_folder() -> Path:
    """Where tokens are kept: the folder that VTM_LESSON_CACHE names, or ~/.cache/vtm_lesson."""
    return Path(os.environ.get("VTM_LESSON_CACHE") or Path.home() / ".cache" / "vtm_lesson")


def toy_films(
    n: int,
    seed: int,
    *,
    ways: Sequence[str] = films.WAYS,
    frames: int = 12,
    size: int = 64,
    patch: int = 8,
    noise: float = 0.0,
    encoder: nn.Module | None = None,
    folder: str | Path | None = None,
    workers: int = 1,
    progress: bool = True,
) -> Items:
    """n toy films, the ways taking turns, as tokens on a grid of L x H x W = frames x size/patch x size/patch.

    tokens (n, L, H, W, C) float16, from the encoder. motion (n, L, H, W) float32, in pixels, by the codec's vectors.
    oracle (n, L, H, W) float32, how much of each patch the actor covers. label (n,) the gesture, way (n,) the index
    into `films.WAYS`, both int64.

    Film i is the same whatever n is, and films of different seeds differ. noise: standard deviation of what is added
    to every number of a token, the same each time (a film's noise belongs to the film). encoder: a frozen module whose
    `encode` takes frames (B, L, H, W, 3) uint8 to tokens (B, L, h, w, C); default: the course's own, patches of 8.
    folder: where parts are kept; default `cache_folder()`. workers: processes that make films.
    """
    ways = (ways,) if isinstance(ways, str) else tuple(ways)
    if n < 1 or seed < 0 or noise < 0 or workers < 1:
        raise ValueError(f"n is {n}, seed {seed}, noise {noise}, workers {workers}; n, workers >= 1, the others >= 0.")
    if encoder is None:
        from ..encoders.frozen import load_encoder

        encoder = load_encoder("patch")
    what = {"seed": seed, "ways": ways, "frames": frames, "size": size, "patch": patch}
    home = Path(folder or cache_folder()) / f"toy-{seed}-{_digest(what, encoder)}"
    paths = [home / f"{start:06d}.safetensors" for start in range(0, n, PART)]
    missing = [k for k, path in enumerate(paths) if not path.exists()]
    if missing:
        jobs = [(what, k * PART) for k in missing]
        bar = tqdm(total=len(missing) * PART, desc="making films", unit="film", disable=not progress, leave=False)
        with bar:
            for k, made in zip(missing, _in_order(_make_part, jobs, min(workers, len(jobs))), strict=True):
                columns = {name: torch.from_numpy(value) for name, value in made.items()}
                columns["tokens"] = encoder.encode(columns.pop("frames")).half()
                write(paths[k], columns, {"what": json.dumps(what)})
                bar.update(PART)
    parts = [load_file(path) for path in paths]
    columns = {name: torch.cat([part[name] for part in parts])[:n] for name in COLUMNS}
    if noise:
        generators = (torch.Generator().manual_seed(seed * 2**20 + i) for i in range(n))
        shape = columns["tokens"].shape[1:]
        for tokens, generator in zip(columns["tokens"], generators, strict=True):
            tokens += noise * torch.randn(shape, generator=generator)
    return Items(**columns)


def _make_part(job: tuple[dict, int]) -> dict[str, np.ndarray]:
    """PART films from number `start` on. Runs in processes of its own, so everything comes as plain values."""
    what, start = job
    rows: dict[str, list] = {"frames": [], "motion": [], "oracle": [], "label": [], "way": []}
    ways, settings = what["ways"], {name: what[name] for name in ("frames", "size", "patch")}
    for i in range(start, start + PART):
        film = films.make(what["seed"] * 2**20 + i, ways[i % len(ways)], **settings)
        file = io.BytesIO()
        films.write(file, film)
        clip = video.read(file, frames=what["frames"], size=None, progress=False)
        motion = clip.patches(film.patch)[1]
        values = (clip.frames, motion, film.share, film.label, films.WAYS.index(film.way))
        for column, value in zip(rows.values(), values, strict=True):
            column.append(value)
    return {name: np.stack(column) for name, column in rows.items()}


def _in_order(function: Callable, jobs: list, workers: int) -> Iterator:
    """Results in the order of the jobs, from several processes where asked for."""
    if workers == 1:
        yield from map(function, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(function, jobs)


def _digest(what: dict, encoder: nn.Module) -> str:
    """A name for these settings, this encoder and this format: what another one made is not used again."""
    found = hashlib.sha256(json.dumps({"format": FORMAT, **what}).encode())
    for name, value in sorted(encoder.state_dict().items()):
        found.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return found.hexdigest()[:12]
