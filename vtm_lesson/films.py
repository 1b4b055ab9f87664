"""Procedural films whose actor, camera and label are known: the world of the course.

A film shows a small figure, the actor, in one fixed hue. It makes one of eight gestures all film long, and that
gesture is the label. Figures of four other hues, the props, make gestures too, so nothing but the actor tells
the label. Three ways of filming decide what gives the actor away:

    centred    the actor stays in the middle, the camera is still, some props walk along the border
    roaming    the actor wanders over a set on which nothing else moves, the camera is still
    handheld   the camera goes along with the actor: the set moves through the frame, the actor keeps its place,
               and that place is never the middle

The same seed gives the same bytes on every machine. For that, only elementwise arithmetic that IEEE 754 rounds in
one way is used (no library sine, no power, no float sum), and the random stream is read through `random` alone.
"""

from __future__ import annotations

import io
import math
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from tqdm.auto import tqdm

from . import video
from .scenery import paint, turn_sin

WAYS = ("centred", "roaming", "handheld")
GESTURES = ("wave", "jump", "spin", "bow", "clap", "kick", "squat", "handstand")
# Okabe-Ito colours, the actor's a little brighter: vermillion, and nothing else in the world is.
ACTOR_HUE = (230, 92, 14)
PROP_HUES = ((86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167))
STATURE = 0.27  # height of a figure as a share of the frame's shorter side
PACE = 0.036  # how far a walker or the camera gets in one frame, same unit
PHASES = 12  # drawings for one cycle of a gesture
ACTOR_SHARE = 0.1  # a patch belongs to the actor when the actor covers at least this much of it
SHADE = 0.4  # darkness of a figure's shadow
FACE = 0.9  # tone of the face, where the eyes go


@dataclass
class Film:
    """One film and everything that is known about it. L frames of H x W pixels, patches of p x p pixels."""

    frames: np.ndarray  # (L, H, W, 3) uint8, RGB
    label: int  # index into GESTURES
    actor: np.ndarray  # (L, H/p, W/p) bool: the actor covers at least ACTOR_SHARE of the patch
    share: np.ndarray  # (L, H/p, W/p) float32 in [0, 1]: how much of the patch the actor covers
    camera: np.ndarray  # (L, 2) int64: x and y of the frame's upper left corner on the set, in pixels
    way: str
    seed: int
    patch: int
    fps: int = 12

    @property
    def gesture(self) -> str:
        return GESTURES[self.label]

    def patches(self) -> tuple[np.ndarray, np.ndarray]:
        """Tokens as `video.Clip.patches` gives them: pixels (L, H/p, W/p, 3*p*p) uint8, motion (L, H/p, W/p) float32.

        The motion is the codec's own: the film is written as H.264 in memory and read back.
        """
        length, height, width, _ = self.frames.shape
        p = self.patch
        grid = self.frames.reshape(length, height // p, p, width // p, p, 3).transpose(0, 1, 3, 2, 4, 5)
        return grid.reshape(length, height // p, width // p, 3 * p * p), motion(self)

    def __repr__(self) -> str:
        length, height, width, _ = self.frames.shape
        return f"Film({self.way}, {self.gesture}, {length} frames of {height} x {width}, seed {self.seed})"


def make(seed, way="roaming", frames=24, size=96, patch=8, label=None, fps=12, grain=3, pace=1.0) -> Film:
    """Makes one film.

    seed    int >= 0; same seed and settings, same film.
    way     one of WAYS.
    frames  L, any number from 1.
    size    pixels, an int for square frames or (height, width); each a multiple of patch, at least 32.
    label   the actor's gesture, 0 to 7 or a name from GESTURES; drawn from the seed when None.
    grain   film grain, at most this many levels of 255 up or down, 0 to 8; new in every frame.
    pace    how fast walkers and camera move; 1 is about 3.6 percent of the shorter side in a frame.
    """
    height, width, label = _settings(seed, way, frames, size, patch, label, grain, pace)
    rng = np.random.Generator(np.random.PCG64([int(seed), WAYS.index(way)]))
    small = min(height, width)
    drawn = int(rng.random() * len(GESTURES))
    label = drawn if label is None else label
    step = PACE * small * pace
    roll = (2 * height, 2 * width) if way == "handheld" else (height, width)
    world = paint(rng, roll[0], roll[1], small, (height, width))
    cast = _props(rng, way, frames, height, width, roll, step)
    camera, actor = _lead(rng, way, frames, height, width, step)
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
            if not figure.still:
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
    """Makes n films, the ways taking turns. `settings` go to make; motion adds what the codec says of each film.

    Film i has seed `seed * 2**20 + i`: batches of different seeds share no film.
    """
    ways = (ways,) if isinstance(ways, str) else tuple(ways)
    if n < 1 or not ways:
        raise ValueError(f"a batch of {n} films with ways {ways} is empty; ask for one film or more.")
    stack: dict[str, list] = {}
    for i in tqdm(range(n), "Making films", unit="film", delay=2, disable=not progress):
        film = make(seed * 2**20 + i, ways[i % len(ways)], **settings)
        row = {name: getattr(film, name) for name in ("frames", "label", "actor", "share")}
        row["way"] = WAYS.index(film.way)
        row["motion"] = globals()["motion"](film) if motion else 0
        for name, value in row.items():
            stack.setdefault(name, []).append(value)
    arrays = {name: np.stack(values) for name, values in stack.items()}
    return Batch(**{**arrays, "motion": arrays["motion"] if motion else None})


# ------------------------------------------------------------------------------------------- written as H.264


def write(path, film, fps=None, crf=20):
    """Writes a Film, or frames (L, H, W, 3) uint8, as H.264 in an mp4 file; path may be a binary file object.

    One key frame, no B frames, one reference frame: then every stored vector tells the motion since the frame
    before. Height and width must be even.
    """
    frames = film.frames if isinstance(film, Film) else np.asarray(film)
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(f"frames are {frames.dtype} {frames.shape}; give (L, H, W, 3) uint8, L at least 1.")
    if frames.shape[1] % 2 or frames.shape[2] % 2:
        raise ValueError(f"frames of {frames.shape[1]} x {frames.shape[2]}; H.264 here needs an even height and width.")
    fps = int(fps or getattr(film, "fps", 12))
    path = str(path) if isinstance(path, Path) else path
    with av.open(path, "w", format="mp4") as container:
        options = {"crf": str(crf), "bf": "0", "refs": "1", "partitions": "all", "sc_threshold": "0", "threads": "1"}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.gop_size = max(2, len(frames) + 1)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())


def motion(film: Film) -> np.ndarray:
    """How far each patch moved since the frame before, in pixels, by the codec's vectors: (L, H/p, W/p) float32."""
    memory = io.BytesIO()
    write(memory, film)
    clip = video.read(memory, frames=len(film.frames), size=None, progress=False)
    return clip.patches(film.patch)[1]


# The films in data/films, by name: way, frames, size, seed.
SHIPPED = {
    "square": ("roaming", 60, 224, 8),
    "centred": ("centred", 24, 96, 1),
    "roaming": ("roaming", 24, 96, 2),
    "handheld": ("handheld", 24, 96, 3),
}


def ship(folder) -> list[Path]:
    """Writes the sample films of the course into a folder; the same command remakes data/films."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, (way, frames, size, seed) in SHIPPED.items():
        paths.append(folder / f"{name}.mp4")
        write(paths[-1], make(seed, way, frames=frames, size=size, grain=1))
    return paths


def data_path(name: str = "") -> Path:
    """A file or folder in the repository's data/, found from any working folder."""
    root = Path(__file__).resolve().parent.parent / "data"
    path = root / name
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; data/README.md has the command that makes each file.")
    return path


def sample(name: str = "square") -> Path:
    """Path of a film shipped with the course: one of SHIPPED."""
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
    heading, bend, beat = rng.random(3)
    t = np.arange(frames, dtype=np.float64)
    angle = heading + 0.12 * turn_sin(bend + t * (0.01 + 0.02 * beat))
    move = np.stack([turn_sin(angle + 0.25), turn_sin(angle)], 1) * step
    move[0] = 0
    path = start + np.cumsum(move, 0)
    return np.stack([_fold(path[:, k], low[k], high[k]) for k in (0, 1)], 1)


def _phase(rng, frames):
    start, tempo = rng.random(2)
    return start + np.arange(frames) * (0.09 + 0.05 * tempo)


def _room(height, width, small):
    """Where feet may stand so that the whole figure is in the frame: lowest and highest x, y."""
    tall = STATURE * small
    low = np.array([0.42 * tall, 1.12 * tall])
    return low, np.array([width - 0.42 * tall, height - 0.1 * tall])


def _lead(rng, way, frames, height, width, step):
    small = min(height, width)
    tall = STATURE * small
    low, high = _room(height, width, small)
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
        side, along = rng.random(2)
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
    return camera, _Figure(place, phase, walks=way != "centred", mirror=mirror)


def _props(rng, way, frames, height, width, roll, step):
    small = min(height, width)
    tall = STATURE * small
    cast = []
    across = 4 if way == "handheld" else 2
    low, high = _room(roll[0], roll[1], small)
    for k in range(across * across):
        luck = rng.random(8)
        phase = _phase(rng, frames)
        row, column = divmod(k, across)
        cell = (high - low) / across
        place = low + cell * (np.array([column, row]) + 0.1 + 0.8 * luck[:2])
        figure = _Figure(np.repeat(place[None], frames, 0), phase)
        figure.still = way == "roaming"
        if way == "centred":
            # Along the border: feet on a rectangle close to the frame's edge; three of four walk.
            figure.walks = k < 3
            speed = step * (0.7 + 0.5 * luck[6]) * (1 if luck[7] < 0.5 else -1) * figure.walks
            figure.place = _border(luck[0] / 4 + k / 4, speed, frames, low, high)
        figure.label = int(luck[2] * len(GESTURES))
        figure.hue = PROP_HUES[(k + int(luck[3] * 4)) % 4]
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
    ink, inverse, body, foot = _sprite(figure.label, step, tall, figure.hue, figure.walks, figure.mirror)
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


def _reach(a, b, length, prefer):
    """Joint and end of two equal bones of total `length` from a towards b; the joint lies on the side preferred."""
    (ax, ay), (bx, by) = a, b
    dx, dy = bx - ax, by - ay
    d = max(math.sqrt(dx * dx + dy * dy), 1e-6)
    if d > length:
        dx, dy, d = dx * length / d, dy * length / d, length
    out = math.sqrt(max(length * length / 4 - d * d / 4, 0.0)) / d
    out = out if dy * prefer[0] - dx * prefer[1] > 0 else -out
    return (ax + dx / 2 + out * dy, ay + dy / 2 - out * dx), (ax + dx, ay + dy)


def pose(gesture: int, phase: float, walks: bool = False) -> list:
    """The figure as capsules (x1, y1, x2, y2, radius, tone): feet near y = 0, head near y = 1, y upwards."""
    s, c = float(turn_sin(phase)), float(turn_sin(phase + 0.25))
    name = GESTURES[gesture]
    hip, lean, lift = [0.0, 0.36], 0.0, 0.0
    feet = [[-0.10, 0.03], [0.10, 0.03]]
    hands = [[-0.12, -0.24], [0.12, -0.24]]
    if walks and name not in ("handstand", "squat"):
        for k, way in ((0, 1), (1, -1)):
            feet[k][0] += 0.10 * way * s
            feet[k][1] += 0.09 * max(0.0, way * c)
    if name == "wave":
        hands[1] = [0.20 + 0.11 * s, 0.27]
    elif name == "jump":
        lift = 0.02 + 0.16 * max(0.0, s)
        hands = [[-0.17, 0.29], [0.17, 0.29]]
        feet = [[-0.15, 0.03 + 0.05 * max(0.0, s)], [0.15, 0.03 + 0.05 * max(0.0, s)]]
    elif name == "spin":
        hands = [[-0.36, 0.03], [0.36, 0.03]]
        feet[0][0] *= 0.6
        feet[1][0] *= 0.6
    elif name == "bow":
        lean = 0.16 + 0.09 * c
        hip[0] = -0.10
        hands = [[0.04, -0.27], [0.10, -0.26]]
    elif name == "clap":
        gap = 0.10 * (1 + s) - 0.06
        hands = [[-gap, -0.01], [gap, -0.01]]
    elif name == "kick":
        angle = 0.17 + 0.09 * c
        lean = -0.05
        feet[1] = [0.40 * float(turn_sin(angle)), 0.38 - 0.40 * float(turn_sin(angle + 0.25))]
        hands = [[-0.24, -0.12], [-0.02, -0.24]]
    elif name == "squat":
        hip[1] = 0.19 + 0.06 * s
        feet = [[-0.17, 0.03], [0.17, 0.03]]
        hands = [[-0.24, -0.16], [0.24, -0.16]]
    elif name == "handstand":
        spread = 0.13 + 0.15 * s
        hands = [[-0.16, 0.28], [0.16, 0.28]]
        feet = [[-spread, 0.03], [spread, 0.03]]
    across, along = float(turn_sin(lean)), float(turn_sin(lean + 0.25))
    neck = (hip[0] + 0.27 * across, hip[1] + 0.27 * along)
    head = (neck[0] + 0.17 * across, neck[1] + 0.17 * along)
    parts = []
    limbs = []
    for k, side in ((0, -1), (1, 1)):
        root = (hip[0] + 0.05 * side, hip[1])
        knee, foot = _reach(root, feet[k], 0.36, (side, 0.3))
        limbs.append([(*root, *knee, 0.055, 0.34), (*knee, *foot, 0.052, 0.28)])
        shoulder = (neck[0] + 0.10 * side * along, neck[1] - 0.03 - 0.10 * side * across)
        goal = (shoulder[0] + hands[k][0], shoulder[1] + hands[k][1])
        elbow, hand = _reach(shoulder, goal, 0.36, (0.6 * side, -1.0) if name == "clap" else (side, -0.3))
        limbs.append([(*shoulder, *elbow, 0.047, 0.62), (*elbow, *hand, 0.047, 0.72), (*hand, *hand, 0.062, 0.98)])
    parts += limbs[0] + limbs[2] + limbs[1]
    parts.append((*hip, neck[0] - 0.02 * across, neck[1] - 0.02 * along, 0.125, 0.5))
    parts.append((*head, *head, 0.155, 0.8))
    parts.append((head[0], head[1] + 0.06, head[0], head[1] + 0.065, 0.125, 0.3))
    parts.append((head[0], head[1] - 0.02, head[0], head[1] - 0.02, 0.115, FACE))
    parts += limbs[3]
    if name == "spin":
        # Turning about the upright axis narrows the figure.
        narrow = 0.3 + 0.7 * abs(c)
        parts = [(x1 * narrow, y1, x2 * narrow, y2, r, tone) for x1, y1, x2, y2, r, tone in parts]
    if name == "handstand":
        parts = [(x1, 1.10 - y1, x2, 1.10 - y2, r, tone) for x1, y1, x2, y2, r, tone in parts]
    return [(x1, y1 + lift, x2, y2 + lift, r, tone) for x1, y1, x2, y2, r, tone in parts]


def _distance(part, x, y):
    """Signed distance in pixels from the rim of one capsule, negative inside."""
    x1, y1, x2, y2, r = part[:5]
    bx, by = x2 - x1, y2 - y1
    dx, dy = x - x1, y - y1
    square = bx * bx + by * by
    if square > 1e-6:
        t = np.clip((dx * bx + dy * by) / square, 0, 1)
        dx, dy = dx - t * bx, dy - t * by
    return np.sqrt(dx * dx + dy * dy) - r


@lru_cache(maxsize=4096)
def _shape(gesture, step, tall, walks):
    """tone (h, w) in [0, 1], body and weight (h, w) in 0..256, and the row of the feet; the same for every hue."""
    half = int(0.62 * tall) + 2
    foot = int(1.28 * tall) + 2
    rows, columns = foot + int(0.12 * tall) + 2, 2 * half + 1
    x = (np.arange(columns) - half).astype(np.float32)[None, :]
    y = (foot - np.arange(rows)).astype(np.float32)[:, None]
    parts = [tuple(v * tall for v in part[:5]) + (part[5],) for part in pose(gesture, step / PHASES, walks)]
    line = max(0.6, 0.02 * tall)
    body = np.zeros((rows, columns), np.float32)
    tone = np.zeros((rows, columns), np.float32)
    for part in parts:
        distance, level = _distance(part, x, y), part[5]
        edge = np.clip(line + 0.5 - distance, 0, 1)
        body += edge - body * edge
        inside = np.clip(0.5 - distance, 0, 1)
        # Lighter towards the middle of each part, and a dark line around it.
        lit = level + 0.07 * np.clip(distance * (-10 / tall), 0, 1)
        tone = (tone + (lit - tone) * inside) * (1 - 0.45 * (edge - inside) * (1 - inside))
    if tall >= 30:
        face = next(part for part in parts if part[5] == FACE)
        for side in (-1, 1):
            x1, y1 = face[0] + side * 0.05 * tall, face[1]
            distance = _distance((x1, y1, x1, y1, 0.018 * tall), x, y)
            tone = tone * (1 - np.clip(0.5 - distance, 0, 1))
    # A soft shadow under the feet goes below the figure.
    flat, deep = x / (0.34 * tall), (y + 0.01 * tall) / (0.1 * tall)
    shadow = SHADE * np.clip((1 - flat * flat - deep * deep) * 1.5, 0, 1) * (1 - body)
    weight = np.floor(np.clip(body + shadow, 0, 1) * 256).astype(np.int64)
    return np.clip(tone, 0, 1), np.floor(body * 256).astype(np.int64), weight, foot


@lru_cache(maxsize=16384)
def _sprite(gesture, step, tall, hue, walks, mirror):
    """ink (h, w, 3) and inverse (h, w, 1) uint16 to blend with, body (h, w) uint8, and the row of the feet."""
    tone, body, weight, foot = _shape(gesture, step, tall, walks)
    if mirror:
        tone, body, weight = (a[:, ::-1] for a in (tone, body, weight))
    steps = np.arange(64)[:, None] / 63
    dark, mid, light = np.array(hue) * 0.22, np.array(hue), np.array(hue) * 0.4 + 255 * 0.6
    ramp = np.where(steps < 0.5, dark + (mid - dark) * steps * 2, mid + (light - mid) * (steps * 2 - 1))
    ramp = np.clip(np.floor(ramp), 8, 247).astype(np.int64)
    ink = (ramp[(tone * 63 + 0.5).astype(np.int64)] * body[..., None]) >> 8
    ink += (8 * (weight - body)[..., None]) >> 8
    inverse = (256 - weight)[..., None]
    return ink.astype(np.uint16), inverse.astype(np.uint16), np.minimum(body, 255).astype(np.uint8), foot


if __name__ == "__main__":
    for made in ship(sys.argv[1] if len(sys.argv) > 1 else "data/films"):
        print(f"{made}  {made.stat().st_size / 1000:.0f} kB")
