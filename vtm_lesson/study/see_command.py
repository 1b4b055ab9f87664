"""See a film of your own merged: it and what is left of it, side by side, as an mp4, a WebP and a page that play.

    python -m vtm_lesson see holiday.mp4 --gamma 6 --partition motion
    python -m vtm_lesson see holiday.mp4 --reducer frames --frames 120 --out pictures
    python -m vtm_lesson see holiday.mp4 --partition my_file.py:my_partition

Nothing is learned here: a token is a patch of 16 x 16 pixels, and its key is those pixels less the film's average patch
(lesson 00). Motion is what the film's codec stored (lesson 06). Nothing is overwritten, and nothing leaves the machine.
"""

from __future__ import annotations

import argparse
import html
import math
import shlex
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from .. import plots, video
from ..merging.camera import relative_motion
from ..merging.merge import Merge
from ..merging.partition import Grid, n_targets, uniform
from ..merging.registry import REDUCERS, choose
from ..merging.strategies import SIGNALS, STRATEGIES, Context, Reducer, reduce, signals
from ..video import Clip
from ..video.containers import check
from . import own

PATCH = 16  # pixels of a side of a token
LARGE = 100_000  # tokens; more of them take minutes and gigabytes
LIMIT = 2_000_000  # bytes of each file
KNOWN = ("motion", "relative", "pixels", "chance")  # what a film alone can tell, beside the keys
INSTEAD = "which a film alone does not have: take --partition motion, or relative (motion less the camera's)"


def staggered(n: int, gamma: float) -> torch.Tensor:
    """Lesson 00's targets: one token of every gamma, not always the same one of them."""
    return uniform(n, gamma, staggered=True)


PARTITIONS = {"staggered": staggered, **STRATEGIES}


def usable(names: Sequence[str]) -> list[str]:
    """Those of the names that a film alone is enough for."""
    return [name for name in names if name == "staggered" or not _lacking(choose(None, name))]


def chosen(partition: str | None, reducer: str | None) -> tuple[str, Reducer]:
    """What merges, and how it is called; partition and reducer: a name or FILE.py:NAME each, or None.

    Raises
    ------
    ValueError
        For both at once, a name that does not exist, and what needs more than a film.
    """
    if partition and reducer:
        raise ValueError("--partition and --reducer were both given; a partition is the short form: give one of them.")
    kind, name = ("reducer", reducer) if reducer else ("partition", partition or "staggered")
    names = [*PARTITIONS] if kind == "partition" else [*STRATEGIES, *REDUCERS]
    if ".py:" in name:
        return own.load(name)
    if name not in names:
        hint = f" {name!r} is a reducer: --reducer {name}." if name in REDUCERS else ""
        raise ValueError(f"there is no {kind} {name!r}; there are {', '.join(names)}, or FILE.py:NAME.{hint}")
    merger = choose(staggered) if name == "staggered" else choose(None, name)
    lacking = _lacking(merger)
    if lacking:
        what = SIGNALS[lacking[0]].split(":")[0]
        raise ValueError(f"{kind} {name!r} needs {what}, {INSTEAD}. Usable here: {', '.join(usable(names))}.")
    assert merger is not None
    return name, merger


def _lacking(merger: Reducer | None) -> list[str]:
    return [signal for signal in signals(merger) if signal not in KNOWN]


def context_of(clip: Clip, gamma: float, seed: int = 0) -> tuple[Context, Grid]:
    """What a reducer may know of a film: keys (1, N, 768) from pixels, motion, and the grid (L, H/16, W/16).

    Parameters
    ----------
    clip : Clip
        As `video.read` gives it; its sides are multiples of 16.
    gamma : float
        The partition factor.
    seed : int, optional
        For what draws at random.

    Returns
    -------
    context : Context
        Of one film.
    grid : (int, int, int)
        Frames, rows, columns.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> from vtm_lesson.study.see_command import context_of
    >>> context, grid = context_of(vtm.read_video(vtm.films.sample("centred"), frames=4, size=64), gamma=6)
    >>> grid, context.n_targets
    ((4, 4, 4), 11)
    """
    pixels, moved = clip.patches(PATCH)
    length, rows, columns = pixels.shape[:3]
    n = length * rows * columns
    keys = torch.from_numpy(pixels.reshape(1, n, -1)) / 255
    context = Context(
        keys - keys.mean(dim=1, keepdim=True), gamma, length, rows, columns, torch.arange(n)[None], torch.ones(1, n)
    )
    context.pixels = keys
    context.motion = torch.from_numpy(moved).reshape(1, n)
    context.relative = relative_motion(torch.from_numpy(clip.vectors(PATCH))).reshape(1, n)
    context.generator = torch.Generator().manual_seed(seed)
    return context, (length, rows, columns)


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python -m vtm_lesson see`."""
    args = _arguments(argv)
    try:
        paths = _see(args)
    except ValueError as error:  # VideoError and OwnError are of this kind
        print(f"see: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"see: {error.filename or args.out} cannot be written ({error.strerror or error}).", file=sys.stderr)
        return 2
    for path in paths:
        print(f"{path.stat().st_size / 1000:7,.0f} kB  {path}")
    return 0


def _see(args: argparse.Namespace) -> list[Path]:
    name, merger = chosen(args.partition, args.reducer)
    _check_numbers(args)
    if args.out.exists() and not args.out.is_dir():
        raise ValueError(f"--out {args.out} is a file; give a folder.")
    check(args.film)
    print(cost((args.frames, args.size // PATCH, args.size // PATCH), args.gamma), flush=True)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        clip = video.read(args.film, frames=args.frames, size=args.size)
    for warning in told:
        print(f"Note: {warning.message}")
    context, grid = context_of(clip, args.gamma, args.seed)
    stages = tqdm(total=3, desc="merging", unit="step", delay=2)
    merge = reduce(merger, context)
    pace = len(clip.frames) / clip.duration if clip.duration else 0.0
    pace = min(pace, 25.0) if pace >= 4 else 8.0  # a long film goes by faster than it was
    stages.update()
    stages.set_description("mp4", refresh=False)
    shown = plots.player(clip.frames, merge, grid, fps=pace, limit=LIMIT)
    stages.update()
    stages.set_description("WebP", refresh=False)
    picture = shown.webp(LIMIT)
    stages.update()
    stages.close()
    print(shown.alt)
    page = _page(Path(args.film).name, shown, _words(clip, merge, name, args), _command(name, args))
    stem = f"{Path(args.film).stem[:100]}_{name}_gamma{args.gamma:g}"
    return _write(args.out, stem, {".mp4": shown.mp4, ".webp": picture, ".html": page.encode()})


def _check_numbers(args: argparse.Namespace) -> None:
    if not 1 <= args.gamma < float("inf"):
        raise ValueError(f"--gamma {args.gamma:g}: one token in gamma is a target; give 1 or more, 6 say.")
    if args.size < PATCH or args.size % PATCH:
        near = max(PATCH, round(args.size / PATCH) * PATCH)
        raise ValueError(f"--size {args.size}: tokens are {PATCH} x {PATCH} pixels, so give a multiple: {near} say.")
    if args.frames < 1:
        raise ValueError(f"--frames {args.frames}: give 1 or more, 60 say.")
    n = args.frames * (args.size // PATCH) ** 2
    if n > LARGE:
        raise ValueError(
            f"{args.frames} frames of {args.size} x {args.size} pixels are {n:,} tokens, and {LARGE:,} is the most"
            " here: give fewer or smaller frames."
        )


def cost(grid: Grid, gamma: float) -> str:
    """What merging a film costs, in a sentence: tokens, pairs, and about how long on this machine."""
    n = math.prod(grid)
    targets = n_targets(n, gamma)
    pairs = targets * (n - targets)
    some, start = torch.ones(512, 3 * PATCH**2), 0.0
    for _ in range(2):  # the first time warms up
        start = time.perf_counter()
        some @ some.T
    # Twice the products' time, as the largest has to be found among them; decoding and encoding go by the frame.
    seconds = 2 * (time.perf_counter() - start) * pairs / len(some) ** 2 + 0.05 * grid[0]
    about = "a second" if seconds < 1.5 else f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"
    return (
        f"{grid[0]} frames of {grid[1]} x {grid[2]} patches: {n:,} tokens, at gamma {gamma:g} {targets:,} targets."
        f" To compare {pairs:,} pairs, and to read and write the films, takes about {about}."
    )


def _words(clip: Clip, merge: Merge, name: str, args: argparse.Namespace) -> list[str]:
    """What a page says below the film."""
    kind = "reducer" if args.reducer else "partition"
    lines = [
        f"{len(clip.frames)} frames, taken evenly from {clip.duration:.1f} seconds of film ({clip.codec}).",
        f"{merge.n_in:,} patches of {PATCH} x {PATCH} pixels; {kind} {name}, gamma {args.gamma:g}, seed {args.seed}.",
        "On the right every patch shows the average picture of its group. Nothing was learned.",
    ]
    if np.isfinite(clip.magnitude).all() and clip.magnitude.any():
        lines.append(f"The codec's motion: {clip.magnitude.mean():.1f} pixels from frame to frame, on average.")
    return lines


def _command(name: str, args: argparse.Namespace) -> str:
    """What makes this film again; names of files without their folders, as a page may go to others."""
    given = f"{Path(args.film).name}", "--gamma", f"{args.gamma:g}", f"--{'reducer' if args.reducer else 'partition'}"
    name = Path(args.reducer or args.partition or name).name
    options = "--frames", str(args.frames), "--size", str(args.size), "--seed", str(args.seed)
    return shlex.join(["python", "-m", "vtm_lesson", "see", *given, name, *options])


def _page(film: str, shown: plots.Player, lines: Sequence[str], command: str) -> str:
    title = html.escape(f"{film}, merged")
    words = "\n".join(f"<p>{html.escape(line)}</p>" for line in lines)
    style = "body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style} video {{ width: 100%; height: auto }} code {{ overflow-wrap: anywhere }}</style>
</head>
<body>
<h1>{title}</h1>
{shown.html}
{words}
<p>Made by <code>{html.escape(command)}</code></p>
</body>
</html>
"""


def _write(folder: Path, stem: str, files: dict[str, bytes]) -> list[Path]:
    """Write the files under the first name that none of them has yet: STEM, STEM_2, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        name = stem + (f"_{number}" if number > 1 else "")
        paths = [folder / (name + suffix) for suffix in files]
        if not any(path.exists() for path in paths):
            break
        number += 1
    for path, data in zip(paths, files.values(), strict=True):
        with path.open("xb") as file:
            file.write(data)
    return paths


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    about = __doc__.split("\n\n")[0]
    parser = argparse.ArgumentParser(prog="python -m vtm_lesson see", description=about)
    parser.add_argument("film", help="a film: mp4, mov, mkv, webm, avi and the like")
    parser.add_argument("--gamma", type=float, default=6, help="one token in gamma is a target (6)")
    partitions = ", ".join(usable([*PARTITIONS]))
    parser.add_argument(
        "--partition", help=f"who chooses the targets: {partitions}, or FILE.py:NAME (staggered, as in lesson 00)"
    )
    parser.add_argument("--reducer", help=f"in place of a partition: {', '.join(usable([*REDUCERS]))}, or FILE.py:NAME")
    parser.add_argument("--frames", type=int, default=60, help="taken evenly from the film (60)")
    parser.add_argument("--size", type=int, default=224, help="pixels of a side of a frame, a multiple of 16 (224)")
    parser.add_argument("--seed", type=int, default=0, help="for what is drawn at random (0)")
    parser.add_argument("--out", type=Path, default=Path(), help="a folder for the files (this one)")
    return parser.parse_args(argv)
