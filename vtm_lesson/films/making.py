"""Procedural films whose actor, camera and label are known: the world of the course.

A film shows a small figure, the actor, in one fixed hue. It makes one of eight gestures all film long, and that
gesture is the label. Figures of four other hues, the props, make gestures too, so nothing but the actor tells
the label. Nothing ever hides the actor. Three ways of filming decide what gives it away:

    centred    the actor stays in the middle, the camera is still, some props walk along the border
    roaming    the actor wanders over a set on which nothing else moves, the camera is still
    handheld   the camera goes along with the actor: the set moves through the frame, the actor keeps its
               place in the frame, and that place is never the middle

`make` can also paint more props or fewer, a larger or smaller actor, and an actor who is there for a part of the film.

The same seed gives the same bytes on every machine. For that, only arithmetic that IEEE 754 rounds in one way
is used (no library sine, no power, no float sum), and the random stream is read through `random` alone.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from einops import rearrange
from tqdm import tqdm

from .. import video
from ..paths import data_path
from .cast import ACTOR_HUE, GESTURES, PHASES, PROP_HUES, sprite
from .scenery import paint, turn_sin

WAYS = ("centred", "roaming", "handheld")
STATURE = 0.27  # height of a figure as a share of the frame's shorter side
PACE = 0.036  # how far a walker or the camera gets in one frame, same unit
ACTOR_SHARE = 0.1  # a patch belongs to the actor when the actor covers at least this much of it


@dataclass
class Film:
    """One film and everything that is known about it. L frames of H x W pixels, patches of p x p pixels.

    Attributes
    ----------
    frames : array
        (L, H, W, 3) uint8, RGB.
    label : int
        Index into GESTURES; `gesture` is the name.
    actor : array
        (L, H/p, W/p) bool: the actor covers at least ACTOR_SHARE of the patch.
    share : array
        (L, H/p, W/p) float32 in [0, 1]: how much of the patch the actor covers.
    camera : array
        (L, 2) int64: x and y of the frame's upper left corner on the set, in pixels.
    way : str
        One of WAYS.
    seed : int
        What it was made from.
    patch : int
        p.
    fps : int
        Frames a second when it is written.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> film = vtm.films.make(7, "centred", frames=6, size=64)
    >>> film
    Film(centred, kick, 6 frames of 64 x 64, seed 7)
    >>> film.frames.shape, film.actor.shape
    ((6, 64, 64, 3), (6, 8, 8))
    """

    frames: np.ndarray
    label: int
    actor: np.ndarray
    share: np.ndarray
    camera: np.ndarray
    way: str
    seed: int
    patch: int
    fps: int = 12

    @property
    def gesture(self) -> str:
        return GESTURES[self.label]

    def patches(self) -> tuple[np.ndarray, np.ndarray]:
        """Cut the frames into tokens, as `video.Clip.patches` does.

        Returns
        -------
        pixels : array
            (L, H/p, W/p, 3*p*p) uint8.
        motion : array
            (L, H/p, W/p) float32, pixels a frame. It is the codec's own: the film is written as H.264 in memory and
            read back.

        Examples
        --------
        >>> import vtm_lesson as vtm
        >>> pixels, motion = vtm.films.make(7, "centred", frames=6, size=64).patches()
        >>> pixels.shape, motion.shape
        ((6, 8, 8, 192), (6, 8, 8))
        """
        pixels = rearrange(self.frames, "l (h p) (w q) c -> l h w (p q c)", p=self.patch, q=self.patch)
        return pixels, codec_motion(self)

    def __repr__(self) -> str:
        length, height, width, _ = self.frames.shape
        return f"Film({self.way}, {self.gesture}, {length} frames of {height} x {width}, seed {self.seed})"


def make(
    seed, way="roaming", frames=24, size=96, patch=8, label=None, fps=12, grain=3, pace=1.0,
    stature=1.0, props=4, shown=None,
) -> Film:  # fmt: skip
    """Make one film.

    Parameters
    ----------
    seed : int
        0 or more; same seed and settings, same film.
    way : str, optional
        One of WAYS: "centred", "roaming" or "handheld".
    frames : int, optional
        L, any number from 1.
    size : int or (int, int), optional
        Pixels, a number for square frames or (height, width); each a multiple of patch, at least 32.
    patch : int, optional
        p, pixels of a side of a token.
    label : int or str, optional
        The actor's gesture, 0 to 7 or a name from GESTURES; drawn from the seed when None.
    fps : int, optional
        Frames a second when it is written.
    grain : int, optional
        Film grain, at most this many levels of 255 up or down, 0 to 8; new in every frame.
    pace : float, optional
        How fast walkers and camera move; 1 is about 3.6 percent of the shorter side in a frame.
    stature : float, optional
        The actor's height as a multiple of the usual one, 0.5 to 2. Props keep theirs.
    props : int, optional
        Props on one frame's area of the set (that of handheld films is four frames large): 0, 1, 4, 9 or 16.
    shown : (int, int), optional
        The actor is there from the first of these frames up to, and not in, the second; equal numbers: never. Whatever
        it says, all else in the film stays the same. Default: all film long.

    Returns
    -------
    Film
        Its frames, its label, where the actor is, and where the camera.

    Raises
    ------
    ValueError
        For settings out of range.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> vtm.films.make(7, "centred", frames=6, size=64)
    Film(centred, kick, 6 frames of 64 x 64, seed 7)
    """
    height, width, label = _settings(seed, way, frames, size, patch, label, grain, pace)
    enters, leaves = _presence(frames, stature, props, shown)
    rng = np.random.Generator(np.random.PCG64([int(seed), WAYS.index(way)]))
    small = min(height, width)
    drawn = int(rng.random() * len(GESTURES))
    label = drawn if label is None else label
    step = PACE * small * pace
    roll = (2 * height, 2 * width) if way == "handheld" else (height, width)
    world = paint(rng, roll[0], roll[1], small, (height, width))
    cast = _props(rng, way, frames, height, width, roll, step, props)
    camera, actor = _lead(rng, way, frames, height, width, step, stature)
    actor.label, actor.hue = label, ACTOR_HUE
    cast = [*sorted(cast, key=lambda f: f.place[0, 1]), actor]

    still = [f for f in cast if f.still]
    for figure in still:
        _stamp(world, figure, 0, 0, 0, small)
    out = np.empty((frames, height, width, 3), np.uint8)
    cover = np.zeros((frames, height, width), np.uint8)
    noise = _grain(rng, height, width, grain)
    shifts = (rng.random((frames, 2)) * 16).astype(np.int64)
    for t in range(frames):
        x, y = camera[t]
        out[t] = world[y : y + height, x : x + width]
        for figure in cast:
            if not figure.still and (figure is not actor or enters <= t < leaves):
                _stamp(out[t], figure, t, x, y, small, cover[t] if figure is actor else None)
        if grain:
            i, j = shifts[t]
            out[t] += noise[i : i + height, j : j + width]
    blocks = cover.reshape(frames, height // patch, patch, width // patch, patch)
    share = (blocks.sum((2, 4), dtype=np.int64) / (255 * patch * patch)).astype(np.float32)
    return Film(out, label, share >= ACTOR_SHARE, share, camera, way, int(seed), patch, fps)


@dataclass
class Batch:
    """n films of one length and size, stacked: what training wants."""

    frames: np.ndarray  # (n, L, H, W, 3) uint8
    label: np.ndarray  # (n,) int64
    actor: np.ndarray  # (n, L, H/p, W/p) bool
    share: np.ndarray  # (n, L, H/p, W/p) float32
    way: np.ndarray  # (n,) int64, index into WAYS
    motion: np.ndarray | None  # (n, L, H/p, W/p) float32, pixels a frame, when asked for

    def __len__(self) -> int:
        return len(self.label)


def batch(n, seed, ways=WAYS, motion=False, progress=True, **settings) -> Batch:
    """Makes n films, the ways taking turns; `settings` go to make.

    motion  also write each film as H.264 in memory and read what the codec says; the slower part by far.

    Film i has seed `seed * 2**20 + i`: batches of different seeds share no film.
    """
    ways = (ways,) if isinstance(ways, str) else tuple(ways)
    if n < 1 or not ways:
        raise ValueError(f"a batch of {n} films with ways {ways} is empty; ask for one film or more.")
    made, motions = [], []
    for i in tqdm(range(n), "Making films", unit="film", delay=2, disable=not progress):
        film = make(seed * 2**20 + i, ways[i % len(ways)], **settings)
        made.append(film)
        if motion:
            motions.append(codec_motion(film))
    return Batch(
        frames=np.stack([film.frames for film in made]),
        label=np.array([film.label for film in made]),
        actor=np.stack([film.actor for film in made]),
        share=np.stack([film.share for film in made]),
        way=np.array([WAYS.index(film.way) for film in made]),
        motion=np.stack(motions) if motion else None,
    )


# ------------------------------------------------------------------------------------------- written as H.264


def write(path, film, fps=None, crf=20):
    """Write a film as H.264 in an mp4 file.

    Parameters
    ----------
    path : str, Path or file object
        Where to; a file object is binary and seekable.
    film : Film or array
        Or frames, (L, H, W, 3) uint8, RGB. Height and width must be even.
    fps : int, optional
        Frames a second. Default: the film's own, or 12.
    crf : int, optional
        x264's constant rate factor, from 0 (best) to 51.

    Raises
    ------
    ValueError
        For frames of another shape or dtype, none at all, or an odd height or width.

    Notes
    -----
    One key frame, no B frames, one reference frame: then every stored vector tells the motion since the frame before.

    Examples
    --------
    >>> import io, vtm_lesson as vtm
    >>> file = io.BytesIO()
    >>> vtm.films.write(file, vtm.films.make(7, "centred", frames=6, size=64))
    >>> vtm.read_video(file, frames=6, size=None)
    Clip(6 frames of 64 x 64 from 0.5 s of h264)
    """
    frames = film.frames if isinstance(film, Film) else np.asarray(film)
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(f"frames are {frames.dtype} {frames.shape}; give (L, H, W, 3) uint8, L at least 1.")
    if frames.shape[1] % 2 or frames.shape[2] % 2:
        size = f"{frames.shape[1]} x {frames.shape[2]}"
        raise ValueError(f"frames of {size} cannot be written; H.264 here needs an even height and width.")
    fps = int(fps or getattr(film, "fps", 12))
    path = str(path) if isinstance(path, Path) else path
    with av.open(path, "w", format="mp4") as container:
        options = {"crf": str(crf), "bf": "0", "refs": "1", "partitions": "all"}
        # x264's macroblock tree gives, about once in 300 small films, other bytes for the same frames.
        options |= {"sc_threshold": "0", "threads": "1", "x264-params": "mbtree=0"}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.gop_size = max(2, len(frames) + 1)
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def codec_motion(film: Film) -> np.ndarray:
    """How far each patch moved since the frame before by the codec's vectors, (L, H/p, W/p) float32, in pixels."""
    memory = io.BytesIO()
    write(memory, film)
    clip = video.read(memory, frames=len(film.frames), size=None, progress=False)
    return clip.patches(film.patch)[1]


# The films in data/films, by name: way, frames, size, seed.
SHIPPED = {
    "square": ("roaming", 60, 224, 13),
    "centred": ("centred", 36, 128, 7),
    "roaming": ("roaming", 36, 128, 5),
    "handheld": ("handheld", 36, 128, 6),
}


def ship(folder) -> list[Path]:
    """Writes the sample films of the course into a folder; the same command remakes data/films."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, (way, frames, size, seed) in SHIPPED.items():
        paths.append(folder / f"{name}.mp4")
        write(paths[-1], make(seed, way, frames=frames, size=size, grain=2))
    return paths


def sample(name: str = "square") -> Path:
    """Find a film that is shipped with the course.

    Parameters
    ----------
    name : str, optional
        One of SHIPPED: "square", "centred", "roaming" or "handheld".

    Returns
    -------
    Path
        An mp4 file in data/films.

    Raises
    ------
    ValueError
        For another name.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> vtm.films.sample("centred").name
    'centred.mp4'
    """
    if name not in SHIPPED:
        raise ValueError(f"there is no sample film {name!r}; there are {', '.join(SHIPPED)}.")
    return data_path(f"films/{name}.mp4")


def _settings(seed, way, frames, size, patch, label, grain, pace):
    if way not in WAYS:
        raise ValueError(f"way is {way!r}; it must be one of {', '.join(WAYS)}.")
    if int(seed) != seed or seed < 0:
        raise ValueError(f"seed is {seed!r}; give a whole number, 0 or more.")
    if int(frames) != frames or frames < 1:
        raise ValueError(f"frames is {frames!r}; give a whole number, 1 or more.")
    height, width = (size, size) if np.ndim(size) == 0 else size
    if patch < 1 or height < 32 or width < 32 or height % patch or width % patch:
        raise ValueError(
            f"size {height} x {width} with patch {patch} does not work; "
            "give a height and width of at least 32 that are multiples of patch."
        )
    if isinstance(label, str):
        if label not in GESTURES:
            raise ValueError(f"label is {label!r}; the gestures are {', '.join(GESTURES)}.")
        label = GESTURES.index(label)
    if label is not None and not 0 <= label < len(GESTURES):
        raise ValueError(f"label is {label}; give 0 to {len(GESTURES) - 1}, or None to have it drawn.")
    if not 0 <= grain <= 8 or pace < 0:
        raise ValueError(f"grain is {grain} and pace is {pace}; grain goes from 0 to 8, pace from 0 up.")
    return int(height), int(width), None if label is None else int(label)


def _presence(frames, stature, props, shown):
    """The frames in which the actor enters and leaves, once the settings of actor and props are allowed."""
    if not 0.5 <= stature <= 2:
        raise ValueError(f"stature is {stature}; the actor's height goes from 0.5 to 2 times the usual one.")
    if props not in (0, 1, 4, 9, 16):
        raise ValueError(f"props is {props!r}; they stand in a square on each frame's area: give 0, 1, 4, 9 or 16.")
    enters, leaves = (0, frames) if shown is None else shown
    if not 0 <= enters <= leaves <= frames:
        raise ValueError(f"shown is {shown!r}; give two frames in order, from 0 to the film's {frames}.")
    return enters, leaves


# ---------------------------------------------------------------------------------------- who stands where


@dataclass
class _Figure:
    place: np.ndarray  # (L, 2) x, y of the point between the feet, on the set
    phase: np.ndarray  # (L,) turns
    label: int = 0
    hue: tuple = ACTOR_HUE
    walks: bool = False
    still: bool = False
    mirror: bool = False
    scale: float = 1.0
    height: int = field(default=0)


def _fold(x, low, high):
    """Reflects a path back into [low, high] at both ends."""
    span = max(high - low, 1e-9)
    x = (x - low) / (2 * span)
    x = (x - np.floor(x)) * 2
    return low + span * np.minimum(x, 2 - x)


def _wander(rng, frames, step, low, high):
    """A walk at constant speed whose heading drifts, reflected at the edges: (L, 2)."""
    start = low + rng.random(2) * (high - low)
    heading, bend, beat = rng.random(3).tolist()
    t = np.arange(frames, dtype=np.float64)
    angle = heading + 0.12 * turn_sin(bend + t * (0.01 + 0.02 * beat))
    move = np.stack([turn_sin(angle + 0.25), turn_sin(angle)], 1) * step
    move[0] = 0
    path = start + np.cumsum(move, 0)
    return np.stack([_fold(path[:, k], low[k], high[k]) for k in (0, 1)], 1)


def _phase(rng, frames):
    start, tempo = rng.random(2).tolist()
    return start + np.arange(frames) * (0.09 + 0.05 * tempo)


def _room(height, width, small):
    """Where feet may stand so that the whole figure is in the frame: lowest and highest x, y."""
    tall = STATURE * small
    low = np.array([0.42 * tall, 1.12 * tall])
    return low, np.array([width - 0.42 * tall, height - 0.1 * tall])


def _lead(rng, way, frames, height, width, step, stature):
    small = min(height, width)
    tall = STATURE * small * stature
    low, high = _room(height, width, small * stature)
    camera = np.zeros((frames, 2), np.int64)
    phase, mirror = _phase(rng, frames), rng.random() < 0.5
    if way == "roaming":
        place = _wander(rng, frames, step, low, high)
    elif way == "centred":
        middle = np.array([width / 2, height / 2 + tall / 2])
        sway = rng.random(4)
        t = np.arange(frames)
        spread = 0.05 * np.array([width, height]) * (2 * sway[:2] - 1)
        drift = [0.012 * small * turn_sin(sway[2 + k] + t * 0.04) for k in (0, 1)]
        place = middle + spread + np.stack(drift, 1)
    else:
        # The body's centre lies outside the middle half of the frame in at least one direction.
        side, along = rng.random(2).tolist()
        place = low + rng.random(2) * (high - low)
        edge = int(side * 4)
        axis, far = edge % 2, edge // 2
        band = 0.08 * along * (high - low)
        place[axis] = (high - band if far else low + band)[axis]
        walk = _wander(rng, frames, step, np.zeros(2), np.array([width, height], np.float64))
        shake = (rng.random((frames, 2)) - 0.5) * 0.02 * small
        camera = np.floor(np.clip(walk + shake, 0, [width, height])).astype(np.int64)
        sway = rng.random(2)
        t = np.arange(frames)
        drift = [0.006 * small * turn_sin(sway[k] + t * 0.05) for k in (0, 1)]
        place = place + np.stack(drift, 1) + camera
    return camera, _Figure(place, phase, walks=way != "centred", mirror=mirror, height=max(8, round(tall)))


def _props(rng, way, frames, height, width, roll, step, props):
    small = min(height, width)
    tall = STATURE * small
    cast = []
    across = math.isqrt(props) * (2 if way == "handheld" else 1)
    first = int(rng.random() * 4)
    low, high = _room(roll[0], roll[1], small)
    for k in range(across * across):
        luck = rng.random(8).tolist()
        phase = _phase(rng, frames)
        row, column = divmod(k, across)
        cell = (high - low) / across
        place = low + cell * (np.array([column, row]) + 0.1 + 0.8 * np.array(luck[:2]))
        figure = _Figure(np.repeat(place[None], frames, 0), phase)
        figure.still = way == "roaming"
        if way == "centred":
            # Along the border: feet on a rectangle close to the frame's edge; three of four walk.
            figure.walks = k % 4 < 3
            speed = step * (0.7 + 0.5 * luck[6]) * (1 if luck[7] < 0.5 else -1) * figure.walks
            figure.place = _border(luck[0] / 4 + k / 4, speed, frames, low, high)
        figure.label = int(luck[2] * len(GESTURES))
        figure.hue = PROP_HUES[(k + k // 4 + first) % 4]
        figure.mirror = luck[4] < 0.5
        figure.scale = 0.9 + 0.1 * int(luck[5] * 3)
        figure.height = max(8, round(tall * figure.scale))
        cast.append(figure)
    return cast


def _border(start, speed, frames, low, high):
    span = high - low
    around = 2 * (span[0] + span[1])
    s = start * around + np.arange(frames) * speed
    s = s - np.floor(s / around) * around
    x = np.clip(s, 0, span[0]) - np.clip(s - span[0] - span[1], 0, span[0])
    y = np.clip(s - span[0], 0, span[1]) - np.clip(s - 2 * span[0] - span[1], 0, span[1])
    return low + np.stack([x, y], 1)


# ------------------------------------------------------------------------------------------------ drawing


def _grain(rng, height, width, amount):
    """Noise a little larger than the frame, as wrapping uint8; every frame takes another cut of it."""
    noise = rng.random((2, height + 16, width + 16), dtype=np.float32)
    level = np.floor((noise[0] + noise[1]) * (amount + 0.5)).astype(np.int16) - int(amount)
    level = np.clip(level, -int(amount), int(amount))
    return np.repeat(level.astype(np.uint8)[..., None], 3, 2)


def _stamp(picture, figure, t, x0, y0, small, cover=None):
    tall = figure.height or max(8, round(STATURE * small))
    step = int(figure.phase[t] * PHASES) % PHASES
    ink, inverse, body, foot = sprite(figure.label, step, tall, figure.hue, figure.walks, figure.mirror)
    h, w = body.shape
    x = int(figure.place[t, 0] + 0.5) - int(x0) - w // 2
    y = int(figure.place[t, 1] + 0.5) - int(y0) - foot
    top, left = max(0, -y), max(0, -x)
    bottom, right = min(h, picture.shape[0] - y), min(w, picture.shape[1] - x)
    if top >= bottom or left >= right:
        return
    cut = (slice(top, bottom), slice(left, right))
    spot = picture[y + top : y + bottom, x + left : x + right]
    # Weights sum to 256 and the ink is rounded down, so the sum never exceeds 255.
    spot[:] = ((spot * inverse[cut] + np.uint16(128)) >> np.uint16(8)) + ink[cut]
    if cover is not None:
        cover[y + top : y + bottom, x + left : x + right] = body[cut]
