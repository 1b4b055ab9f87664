"""Who finds the object in footage that nobody here painted? Recall of masked objects, by strategy.

    python -m vtm_lesson compare --data FILMS --masks MASKS

Films are any that `video.read` reads. The masks of FILMS/name.mp4 lie in MASKS/name, one picture for each frame in the
order of their names, anything but black where the object is. A patch is the object's if at least a quarter of it is.
Nothing is trained here. The settings of motion are those that the study chose on painted films; those of relative
motion come from a trial on sequences of DAVIS-2016.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from .. import video
from ..datasets.lists import SUFFIXES, ListError
from ..measuring import clock
from ..merging.camera import relative_motion
from ..merging.partition import region
from ..merging.strategies import STRATEGIES, Context, Motion, Relative, Strategy
from .statistics import interval

OBJECT = 0.25  # a patch is the object's where it covers at least this share
WHO: dict[str, Strategy] = {
    "random": STRATEGIES["random"],
    "boundary": STRATEGIES["boundary"],
    "centre": STRATEGIES["centre"],
    "motion": Motion("standard", 2.0),
    "motion, raw": Motion("raw", 1.0),
    "relative": STRATEGIES["relative"],
    "relative, prior": Relative(prior=1.5),
    "oracle": STRATEGIES["oracle"],
}


def masked(films: str | Path, masks: str | Path) -> list[tuple[Path, list[Path]]]:
    """Films and their masks, by name.

    Parameters
    ----------
    films, masks : str or Path
        Folders, as above.

    Returns
    -------
    list of (Path, list of Path)
        A film, and its masks in order.

    Raises
    ------
    ListError
        Where there is no film with masks.
    """
    found = []
    for film in sorted(path for path in Path(films).glob("*") if path.suffix.lower() in SUFFIXES):
        own = sorted((Path(masks) / film.stem).glob("*.png"))
        if own:
            found.append((film, own))
    if not found:
        raise ListError(f"no film of {films} has masks in {masks}: MASKS/name/*.png belong to FILMS/name.mp4.")
    return found


def shown_share(masks: Sequence[Path], times: np.ndarray, fps: float, size: int, patch: int) -> Tensor:
    """How much of each patch the object covers: (L, size/patch, size/patch), cut out as `video.read` cuts frames."""
    rows = []
    for moment in times:
        number = min(max(round(float(moment) * fps), 0), len(masks) - 1)
        picture = Image.open(masks[number]).convert("L").point(lambda value: 255 * (value > 0))
        zoom = max(size / picture.height, size / picture.width)
        height, width = max(size, round(picture.height * zoom)), max(size, round(picture.width * zoom))
        inside = np.asarray(picture.resize((width, height), Image.Resampling.BOX), np.float32) / 255
        top, left = (height - size) // 2, (width - size) // 2
        cut = inside[top : top + size, left : left + size]
        rows.append(cut.reshape(size // patch, patch, size // patch, patch).mean((1, 3)))
    return torch.from_numpy(np.stack(rows))


def recall_of_objects(
    pairs: Sequence[tuple[Path, list[Path]]],
    gamma: float = 6,
    frames: int = 12,
    size: int = 224,
    patch: int = 16,
    draws: int = 10,
    progress: bool = True,
) -> dict:
    """Recall of the object's patches among the targets, of every strategy in WHO.

    Parameters
    ----------
    pairs : sequence of (Path, list of Path)
        As `masked` gives them.
    gamma : float, optional
        The partition factor; 1/gamma is chance.
    frames, size, patch : int, optional
        How films are read, and pixels of a side of a token.
    draws : int, optional
        How often targets are drawn; where a strategy draws nothing, its pattern is shifted instead.
    progress : bool, optional
        Show a bar.

    Returns
    -------
    dict
        "films": name -> strategy -> recall; "recall": strategy -> (mean, low, high) over films, 95%.
    """
    films: dict[str, dict[str, float]] = {}
    side = size // patch
    for path, masks in tqdm(pairs, desc="footage", unit="film", disable=not progress):
        clip = video.read(path, frames, size, progress=False)
        share = shown_share(masks, clip.times, clip.fps, size, patch).flatten()[None]
        known: dict[str, Any] = {
            "motion": torch.from_numpy(clip.patches(patch)[1]).flatten()[None],
            "relative": relative_motion(torch.from_numpy(clip.vectors(patch))).flatten()[None],
            "oracle": share,
        }
        object_ = share >= OBJECT
        n = share.shape[1]
        films[path.stem] = {}
        for name, strategy in WHO.items():
            met = 0.0
            for draw in range(draws):
                context = Context(
                    torch.zeros(1, n, 1), gamma, frames, side, side, torch.arange(n)[None], torch.ones(1, n),
                    generator=torch.Generator().manual_seed(draw), **known,
                )  # fmt: skip
                met += float(object_[0, _targets(name, strategy, context, draw)].sum() / object_.sum())
            films[path.stem][name] = met / draws
    return {
        "films": films,
        "recall": {name: interval([row[name] for row in films.values()]) for name in WHO},
        "settings": {"gamma": gamma, "frames": frames, "size": size, "patch": patch, "draws": draws, "object": OBJECT},
    }


def _targets(name: str, strategy: Strategy, context: Context, draw: int) -> Tensor:
    """(T,) targets. A pattern that draws nothing begins elsewhere each time, so that luck favours no place."""
    if name in ("centre", "boundary"):
        return region(context.frames, context.height, context.width, context.gamma, focus=name, offset=draw)
    return strategy(context)[0]


def main(films: Path, masks: Path, out: Path | None, gamma: float) -> int:
    """The part of `python -m vtm_lesson compare` that looks at masks."""
    try:
        pairs = masked(films, masks)
        found = recall_of_objects(pairs, gamma)
    except (ListError, video.VideoError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"Recall of the object's patches, {len(pairs)} films, gamma {gamma:g}, chance {1 / gamma:.2f}")
    for name, (mean, low, high) in found["recall"].items():
        print(f"  {name:16s} {mean:.2f}  ({low:.2f} to {high:.2f})")
    if out is not None:
        command = f"python -m vtm_lesson compare --data {films} --masks {masks} --gamma {gamma:g} --out JSON"
        clock.save(out, {"command": command, "machine": clock.environment(), **found})
        print(f"JSON    {out}")
    return 0
