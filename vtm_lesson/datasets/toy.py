"""Films as tokens: (tokens, motion, label), made once and kept.

    items = toy_films(600, seed=1)           # Items: tokens (600, 12, 8, 8, C), motion, oracle, label, way
    fit(model, items[:400], items[400:])

Toy films go the way that real ones go: they are written as H.264 and read back, so that motion is the codec's own; a
frozen encoder turns every patch into a token. What was made is kept on disk in parts. A call that was stopped carries
on, and a larger call uses what a smaller one made.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .. import films, video
from ..training.checkpoints import FileError, read, write
from ..training.loop import Items

PACKAGE = Path(__file__).parents[1]
PART = 50  # films in one file
FORMAT = 2  # raise it with every change of this file after which parts hold other columns (2: vectors)
COLUMNS = ("tokens", "motion", "vectors", "oracle", "label", "way")


class Encoder(Protocol):
    """What turns films into tokens: a frozen module with `encode`. Its weights tell it from other encoders."""

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (B, L, H, W, 3) uint8 -> tokens (B, L, h, w, C)."""

    def state_dict(self) -> Mapping[str, Tensor]: ...


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
    encoder: Encoder | None = None,
    folder: str | Path | None = None,
    workers: int = 1,
    progress: bool = True,
) -> Items:
    """Make n toy films as tokens on a grid of L x H x W = frames x size/patch x size/patch, and keep them.

    Parameters
    ----------
    n : int
        Films, 1 or more. They are made in parts of 50.
    seed : int
        0 or more. Film i is the same whatever n is, and films of different seeds differ.
    ways : sequence of str, optional
        The ways of filming, which take turns.
    frames : int, optional
        L.
    size : int, optional
        Pixels of a side of the frame, a multiple of patch.
    patch : int, optional
        Pixels of a side of a token.
    noise : float, optional
        Standard deviation of what is added to every number of a token, the same each time (a film's noise belongs to
        the film).
    encoder : Encoder, optional
        A frozen module whose `encode` takes frames (B, L, H, W, 3) uint8 to tokens (B, L, h, w, C). Default: the
        course's own, patches of 8.
    folder : str or Path, optional
        Where parts are kept. Default: `cache_folder()`.
    workers : int, optional
        Processes that make films.
    progress : bool, optional
        Show a bar while films are made.

    Returns
    -------
    Items
        Its columns: tokens (n, L, H, W, C) float16, from the encoder; motion (n, L, H, W) float32, in pixels, the
        length of the codec's vectors, and vectors (n, L, H, W, 2) float32, themselves, x and y; oracle (n, L, H, W)
        float32, how much of each patch the actor covers; label (n,) int64, the gesture; way (n,) int64, the index into
        `films.WAYS`.

    Raises
    ------
    ValueError
        For n, seed, noise or workers out of range, and as `films.make`.
    FileError
        For a part that is damaged, and where the folder cannot be written; the message says which.

    Examples
    --------
    A folder of your own, so that nothing is left behind:

    >>> import tempfile, vtm_lesson as vtm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     items = vtm.toy_films(3, seed=0, frames=2, size=32, folder=folder, progress=False)
    >>> items.columns["tokens"].shape
    torch.Size([3, 2, 4, 4, 48])
    >>> [vtm.films.WAYS[way] for way in items.columns["way"]]
    ['centred', 'roaming', 'handheld']
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
    parts = [_part(path) for path in paths]
    columns = {name: torch.cat([part[name] for part in parts])[:n] for name in COLUMNS}
    if noise:
        generators = (torch.Generator().manual_seed(seed * 2**20 + i) for i in range(n))
        shape = columns["tokens"].shape[1:]
        for tokens, generator in zip(columns["tokens"], generators, strict=True):
            tokens += noise * torch.randn(shape, generator=generator)
    return Items(**columns)


def painted(
    numbers: Sequence[int],
    *,
    encoder: Encoder,
    ways: Sequence[str] = films.WAYS,
    shown: Sequence[tuple[int, int]] | None = None,
    progress: bool = True,
    **settings: Any,
) -> Items:
    """Paint films and turn them into tokens as they are: no codec between, so no motion, and nothing is kept on disk.

    Parameters
    ----------
    numbers : sequence of int
        The films' seeds.
    encoder : Encoder
        As in `toy_films`.
    ways : sequence of str, optional
        The ways of filming, which take turns.
    shown : sequence of (int, int), optional
        For each film, the frames in which its actor enters and leaves. Default: there all film long.
    progress : bool, optional
        Show a bar.
    **settings
        To `films.make`, for all films alike.

    Returns
    -------
    Items
        As of `toy_films`: tokens (n, L, H, W, C) and oracle (n, L, H, W) float16, label and way (n,) int64. motion is 0
        everywhere.

    Raises
    ------
    ValueError
        For no film at all, for another number of pairs than films, and as `films.make`.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> from vtm_lesson.datasets.toy import painted
    >>> items = painted([7, 8], encoder=vtm.load_encoder("patch"), frames=2, size=32, shown=[(0, 2), (1, 1)])
    >>> items.columns["tokens"].shape, (items.columns["oracle"] > 0).any((1, 2, 3)).tolist()
    (torch.Size([2, 2, 4, 4, 48]), [True, False])
    """
    if not len(numbers) or (shown is not None and len(shown) != len(numbers)):
        pairs = "" if shown is None else f" and {len(shown)} pairs in shown"
        raise ValueError(f"{len(numbers)} films{pairs} were given; give one film or more, and a pair for each.")
    rows: dict[str, list[Tensor]] = {name: [] for name in ("tokens", "oracle", "label", "way")}
    for i, number in enumerate(tqdm(numbers, "painting films", unit="film", delay=2, disable=not progress)):
        way = i % len(ways)
        film = films.make(number, ways[way], shown=None if shown is None else shown[i], **settings)
        rows["tokens"].append(encoder.encode(torch.from_numpy(film.frames)[None])[0].half())
        rows["oracle"].append(torch.from_numpy(film.share).half())
        rows["label"].append(torch.tensor(film.label))
        rows["way"].append(torch.tensor(films.WAYS.index(ways[way])))
    columns = {name: torch.stack(column) for name, column in rows.items()}
    return Items(**columns, motion=torch.zeros(()).expand(columns["oracle"].shape))


def _make_part(job: tuple[dict, int]) -> dict[str, np.ndarray]:
    """PART films from number `start` on. Runs in processes of its own, so everything comes as plain values."""
    what, start = job
    rows: dict[str, list] = {"frames": [], "motion": [], "vectors": [], "oracle": [], "label": [], "way": []}
    ways, settings = what["ways"], {name: what[name] for name in ("frames", "size", "patch")}
    for i in range(start, start + PART):
        film = films.make(what["seed"] * 2**20 + i, ways[i % len(ways)], **settings)
        file = io.BytesIO()
        films.write(file, film)
        clip = video.read(file, frames=what["frames"], size=None, progress=False)
        motion = clip.patches(film.patch)[1]
        values = (clip.frames, motion, clip.vectors(film.patch), film.share, film.label, films.WAYS.index(film.way))
        for column, value in zip(rows.values(), values, strict=True):
            column.append(value)
    return {name: np.stack(column) for name, column in rows.items()}


def _part(path: Path) -> dict[str, Tensor]:
    """A part from the disk; FileError where it is not what was written there."""
    again = "delete it, and its films are made again"
    part, _ = read(path, again)
    if set(part) != set(COLUMNS) or any(len(column) != PART for column in part.values()):
        raise FileError(f"{path} holds something else than {PART} films: {again}.")
    return part


def _in_order(function: Callable, jobs: list, workers: int) -> Iterator:
    """Results in the order of the jobs, from several processes where asked for."""
    if workers == 1:
        yield from map(function, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(function, jobs)


def _digest(what: dict, encoder: Encoder) -> str:
    """A name for these settings, this encoder and the code that makes films: what others made is not used again."""
    found = hashlib.sha256(json.dumps({"format": FORMAT, "code": code_of_films(), **what}).encode())
    for name, value in sorted(encoder.state_dict().items()):
        found.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return found.hexdigest()[:12]


@functools.cache
def code_of_films(package: Path = PACKAGE) -> str:
    """A digest of the code that decides frames: how films are painted, written and read, and how this file calls that.

    It is read as Python reads it, so that a comment, a docstring or another layout throws away nothing.
    """
    trees: list[ast.AST] = [ast.parse(file.read_bytes()) for file in sorted(sources(package, "films", "video"))]
    here = ast.parse((package / "datasets" / "toy.py").read_bytes())
    trees += [node for node in here.body if isinstance(node, ast.FunctionDef) and node.name == "_make_part"]
    found = hashlib.sha256()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, False):
                del node.body[0]
        found.update(ast.dump(tree).encode())
    return found.hexdigest()


def sources(package: Path, *floors: str) -> set[Path]:
    """The files of these floors of the package that its users import, and all that these import, through others too."""
    found: set[Path] = set()
    todo = [package / floor / "__init__.py" for floor in floors]
    while todo:
        file = todo.pop()
        if file in found:
            continue
        found.add(file)
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.level:
                home = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
                for place in (home, *(home / alias.name for alias in node.names)):
                    if place != package:  # which hands on everything
                        todo += [one for one in (place.with_suffix(".py"), place / "__init__.py") if one.is_file()]
    return found
