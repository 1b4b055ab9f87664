"""Who finds the object in footage that nobody here painted? Recall of masked objects, by strategy.

    python -m vtm_lesson compare --data FILMS --masks MASKS

Films are any that `video.read` reads. The masks of FILMS/name.mp4 lie in MASKS/name, one picture for each frame in the
order of their names, anything but black where the object is. A patch is the object's if at least a quarter of it is.
Nothing is chosen here. Settings of motion and of learned saliency are what a study chose on painted films; those of
relative motion come from a trial on sequences of DAVIS-2016, and the decoder's are the same.

With an encoder (--encoder NAME --weights PATH) two kinds of saliency can be tried beside the strategies:

    --saliency FOLDER   learned by pooling from the labels of other clips, whose features `vtm.features` wrote there
    --decoder PATH      a decoder that was trained on masks, on tokens of the same encoder: not learned from labels
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor
from tqdm import tqdm

from .. import video
from ..datasets.lists import SUFFIXES, ListError
from ..datasets.store import INDEX
from ..encoders.base import FrameEncoder
from ..measuring import clock
from ..merging.camera import relative_motion
from ..merging.partition import region
from ..merging.strategies import STRATEGIES, Context, Motion, Relative, Saliency, Strategy, standardise
from .saliencies import Learning, decoder, learn
from .statistics import interval

Score = Callable[[Tensor], Tensor]  # tokens (1, N, C) of frames h x w -> score (1, N), temperature included
OBJECT = 0.25  # a patch is the object's where it covers at least this share
SEEDS = 5  # saliencies that are learned from a folder of features; draws take turns
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


def learned(folder: str | Path, seeds: int = SEEDS, how: Learning | None = None) -> list[Saliency]:
    """Saliencies that were learned by pooling from other, labelled clips, one a seed.

    Parameters
    ----------
    folder : str or Path
        Features as `vtm.features` writes them, of films in a folder a class: their labels are the names of those.
    seeds : int, optional
        How many.
    how : Learning, optional
        As `saliencies.learn` takes it. Default: temperature and gain as the study chose them on painted films.

    Returns
    -------
    list of Saliency
        For tokens of the encoder that the features were made with.

    Raises
    ------
    ListError
        Where the folder holds no features, or those of a single class.
    """
    index = Path(folder) / INDEX
    if not index.is_file():
        raise ListError(f"{index} is not there: --saliency takes a folder that `python -m vtm_lesson features` wrote.")
    tokens, names = [], []
    for line in map(json.loads, index.read_text().splitlines()):
        with safe_open(index.parent / line["shard"], "pt") as shard:
            tokens += [shard.get_tensor(f"{film}/tokens") for film in line["films"]]
        names += [film.split("/")[0] for film in line["films"]]
    classes = sorted(set(names))
    if len(classes) < 2:
        raise ListError(f"{folder} has clips of one class only, {classes}: saliency is learned from what differs.")
    labels = torch.tensor([classes.index(name) for name in names])
    whole = torch.stack(tokens)
    return [learn(whole, labels, seed, how or Learning()) for seed in tqdm(range(seeds), "learning saliency", delay=2)]


def scores_of(folders: Sequence[str | Path] = (), path: str | Path | None = None) -> dict[str, list[Score]]:
    """The rows that need tokens, by name: saliency learned from each of these folders, and a decoder's."""
    found: dict[str, list[Score]] = {}
    for folder in folders:
        found[f"learned on {Path(folder).name}"] = [_pooled(saliency) for saliency in learned(folder)]
    if path is not None:
        found["decoder"] = [_decoded(decoder(path))]
    return found


def _pooled(saliency: Saliency) -> Score:
    return lambda tokens: saliency.temperature * saliency.score(tokens.flatten(0, 2)[None])


def _decoded(head: torch.nn.Module, temperature: float = 2.0) -> Score:
    @torch.no_grad()
    def score(tokens: Tensor) -> Tensor:
        return temperature * standardise(head(tokens).flatten()[None])

    return score


def recall_of_objects(
    pairs: Sequence[tuple[Path, list[Path]]],
    gamma: float = 6,
    frames: int = 12,
    size: int = 224,
    patch: int = 16,
    draws: int = 10,
    progress: bool = True,
    encoder: FrameEncoder | None = None,
    scores: Mapping[str, Sequence[Score]] | None = None,
) -> dict:
    """Recall of the object's patches among the targets, of every strategy in WHO, and by scores of tokens.

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
    encoder : FrameEncoder, optional
        For scores: gives as many tokens a frame as there are patches, whatever their size in its own frames.
    scores : mapping, optional
        More rows, as `scores_of` gives them: name -> functions of tokens (L, h, w, C), which the draws take in turn.

    Returns
    -------
    dict
        "films": name -> strategy -> recall; "recall": strategy -> (mean, low, high) over films, 95%.

    Raises
    ------
    ListError
        Where the encoder's grid is another.
    """
    films: dict[str, dict[str, float]] = {}
    side, scores = size // patch, scores or {}
    names = [*(name for name in WHO if name != "oracle"), *scores, "oracle"]
    for path, masks in tqdm(pairs, desc="footage", unit="film", disable=not progress):
        clip = video.read(path, frames, size, progress=False)
        share = shown_share(masks, clip.times, clip.fps, size, patch).flatten()[None]
        known: dict[str, Any] = {
            "motion": torch.from_numpy(clip.patches(patch)[1]).flatten()[None],
            "relative": relative_motion(torch.from_numpy(clip.vectors(patch))).flatten()[None],
            "oracle": share,
        }
        seen = _scores(clip.frames, side, encoder, scores)
        object_ = share >= OBJECT
        n = share.shape[1]
        films[path.stem] = {}
        for name in names:
            met = 0.0
            for draw in range(draws):
                context = Context(
                    torch.zeros(1, n, 1), gamma, frames, side, side, torch.arange(n)[None], torch.ones(1, n),
                    generator=torch.Generator().manual_seed(draw), **known,
                )  # fmt: skip
                if name in seen:
                    targets = context.draw(seen[name][draw % len(seen[name])])[0]
                else:
                    targets = _targets(name, WHO[name], context, draw)
                met += float(object_[0, targets].sum() / object_.sum())
            films[path.stem][name] = met / draws
    return {
        "films": films,
        "recall": {name: interval([row[name] for row in films.values()]) for name in names},
        "settings": {"gamma": gamma, "frames": frames, "size": size, "patch": patch, "draws": draws, "object": OBJECT},
    }


def _scores(
    frames: np.ndarray, side: int, encoder: FrameEncoder | None, scores: Mapping[str, Sequence[Score]]
) -> dict[str, list[Tensor]]:
    """Every score of a film's tokens, by row."""
    if not scores:
        return {}
    if encoder is None:
        raise ListError("saliency of tokens needs an encoder: the one that it was learned with.")
    tokens = encoder.encode(frames)
    if tuple(tokens.shape[1:3]) != (side, side):
        raise ListError(
            f"the encoder gives {tokens.shape[1]} x {tokens.shape[2]} tokens a frame, masks are counted on {side} x"
            f" {side} patches: give --encoder-size {side * encoder.patch}."
        )
    return {name: [score(tokens) for score in each] for name, each in scores.items()}


def _targets(name: str, strategy: Strategy, context: Context, draw: int) -> Tensor:
    """(T,) targets. A pattern that draws nothing begins elsewhere each time, so that luck favours no place."""
    if name in ("centre", "boundary"):
        return region(context.frames, context.height, context.width, context.gamma, focus=name, offset=draw)
    return strategy(context)[0]


def main(
    films: Path,
    masks: Path,
    out: Path | None,
    gamma: float,
    encoder: Callable[[], FrameEncoder] | None = None,
    folders: Sequence[Path] = (),
    path: Path | None = None,
    command: str = "",
) -> int:
    """The part of `python -m vtm_lesson compare` that looks at masks."""
    try:
        pairs = masked(films, masks)
        ready = encoder() if encoder and (folders or path) else None  # before the long steps
        found = recall_of_objects(pairs, gamma, encoder=ready, scores=scores_of(folders, path))
    except (ValueError, RuntimeError, ImportError) as error:  # a list's, a film's or an encoder's: all say what to do
        print(error, file=sys.stderr)
        return 2
    print(f"Recall of the object's patches, {len(pairs)} films, gamma {gamma:g}, chance {1 / gamma:.2f}")
    width = max(16, *map(len, found["recall"]))
    for name, (mean, low, high) in found["recall"].items():
        print(f"  {name:{width}s} {mean:.2f}  ({low:.2f} to {high:.2f})")
    if out is not None:
        clock.save(out, {"command": command, "machine": clock.environment(), **found})
        print(f"JSON    {out}")
    return 0
