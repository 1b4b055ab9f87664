"""Reads a film: evenly spaced frames, and the motion vectors that its own codec stored (PyAV, FFmpeg).

H.264 and MPEG-4 describe most blocks of a frame as "like that block of the frame before, moved by so much". VTM's
motion-based merging takes these vectors as saliency (VTM sec. 3.3, eq. 6): they are there already, nothing needs
to be estimated.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags2
from av.video.frame import PictureType
from tqdm.auto import tqdm

CELL = 4  # motion is given on cells of this many pixels of the resized frame
UNIT = 8  # no codec here stores vectors for blocks smaller than this
# FFmpeg opens these as if they were films: text files and single pictures.
NOT_FILMS = ("tty", "image2", "txt")


class VideoError(ValueError):
    """The file cannot be read as a film; the message says why in one sentence."""


@dataclass
class Clip:
    """L frames taken evenly from a film, H x W pixels each, and what moved between them."""

    frames: np.ndarray  # (L, H, W, 3) uint8, RGB
    motion: np.ndarray  # (L, ceil(H/4), ceil(W/4), 2) float32: x to the right, y down, in pixels, see read
    magnitude: np.ndarray  # (L, ceil(H/4), ceil(W/4)) float32: length of the way moved, in pixels
    times: np.ndarray  # (L,) float64: when each frame is shown, in seconds from the film's first frame
    fps: float  # frames per second of the film, averaged
    duration: float  # seconds of film
    lost: float  # share of the film that could not be decoded, 0 when all is well
    codec: str

    def patches(self, p: int) -> tuple[np.ndarray, np.ndarray]:
        """Tokens on the (L, H/p, W/p) grid: their pixels and how far they moved.

        Returns pixels (L, H/p, W/p, 3*p*p) uint8, each ordered row, column, colour, and motion (L, H/p, W/p)
        float32, the mean magnitude over the patch in pixels of the resized frame.
        """
        length, height, width, _ = self.frames.shape
        if int(p) != p or p < 1 or height % p or width % p:
            raise ValueError(
                f"patches of {p} pixels do not fill a frame of {height} x {width}; "
                "read the film at a size that is a multiple of the patch."
            )
        rows, columns = height // p, width // p
        pixels = self.frames.reshape(length, rows, p, columns, p, 3).transpose(0, 1, 3, 2, 4, 5)
        cells = self.magnitude.shape
        down = overlap(np.arange(rows + 1) * p, CELL, cells[1], height)
        across = overlap(np.arange(columns + 1) * p, CELL, cells[2], width)
        motion = down @ self.magnitude @ across.T
        return pixels.reshape(length, rows, columns, 3 * p * p), motion.astype(np.float32)

    def __repr__(self) -> str:
        length, height, width, _ = self.frames.shape
        text = f"Clip({length} frames of {height} x {width} from {self.duration:.1f} s of {self.codec}"
        return text + (f", {self.lost:.0%} lost)" if self.lost else ")")


def read(path, frames: int = 60, size: int | tuple[int, int] | None = 224, progress: bool = True) -> Clip:
    """Reads `frames` evenly spaced frames of a film, and its codec's motion vectors.

    path    a file, or a seekable binary file object, in any container and codec that FFmpeg decodes.
    frames  L. The film is cut into L equal stretches of time; the frame shown in the middle of each is taken.
            A film with fewer frames than that repeats some; nothing moves between a frame and its repetition.
    size    S: the short side becomes S, then the central S x S is cut out. (height, width): the frame is scaled
            until it covers this, then the centre is cut out. None: the film's own pixels. Pixels that are not
            square are made so and a stored rotation is undone, except that None leaves pixels as they are.

    Motion is how far the picture's content moved since the previous frame taken (for the first: since the film
    began), in pixels of the resized frame, x to the right and y down. It adds up every frame in between, at fixed
    places of the picture: nothing is tracked. `motion` adds the vectors, `magnitude` adds their lengths, so to and
    fro cancels in the one and counts in the other. Only vectors into the past are used. A vector is divided by the
    number of frames it spans, counted from the last frame that is not a B frame. Key frames and blocks without a
    vector count as still. A codec without vectors gives zeros and a warning.

    The film is streamed, first its packets, then its frames: memory holds the frames taken and no more.

    Raises VideoError for what is missing, empty or no film. A damaged film gives what can be decoded, a warning,
    and `lost`.
    """
    if int(frames) != frames or frames < 1:
        raise ValueError(f"frames is {frames!r}; give a whole number, 1 or more.")
    target = _target(size)
    name = _check(path)
    try:
        survey = _survey(path, name)
        taker = _Taker(survey, int(frames), target)
        _decode(path, name, survey, taker, progress)
    except av.FFmpegError as error:
        raise VideoError(f"{name} cannot be read as a film: {error.strerror or error}.") from error
    if not taker.seen:
        raise VideoError(f"{name} has a video track, but not one frame of it can be decoded.")
    taker.finish()
    lost = _lost(survey, taker, name)
    if taker.seen > 1 and not taker.vectors:
        warnings.warn(
            f"{name}: no motion vectors come with this film (codec {survey.codec}), so its motion is zero "
            "everywhere; H.264 and MPEG-4 part 2 have them.",
            stacklevel=2,
        )
    return Clip(
        taker.frames, taker.motion, taker.magnitude, taker.times, survey.fps, survey.duration, lost, survey.codec
    )


def overlap(edges: np.ndarray, cell: float, cells: int, limit: float) -> np.ndarray:
    """Weights (len(edges) - 1, cells) that average cells of `cell` pixels over the intervals between edges.

    Cells lie side by side from 0; the last one ends at `limit`. Every row sums to 1. Intervals outside take the
    nearest cell.
    """
    edges = np.clip(np.asarray(edges, np.float64), 0, limit)
    low, high = edges[:-1, None], edges[1:, None]
    start = np.arange(cells) * cell
    end = np.minimum(start + cell, limit)
    share = np.clip(np.minimum(high, end) - np.maximum(low, start), 0, None)
    empty = share.sum(1) <= 0
    if empty.any():
        nearest = np.clip((low[empty, 0] / cell).astype(int), 0, cells - 1)
        share[empty, nearest] = 1
    return share / share.sum(1, keepdims=True)


# -------------------------------------------------------------------------------------------------- opening


def _target(size):
    if size is None:
        return None
    height, width = (size, size) if np.ndim(size) == 0 else size
    if int(height) != height or int(width) != width or min(height, width) < 1:
        raise ValueError(f"size is {size!r}; give a number of pixels, (height, width), or None.")
    return int(height), int(width)


def _check(path) -> str:
    if hasattr(path, "read"):
        return getattr(path, "name", None) or "the file object"
    path = Path(path)
    if path.is_dir():
        raise VideoError(f"{path} is a folder; give the path of a film inside it.")
    if not path.exists():
        raise VideoError(f"{path} does not exist; check the path.")
    if path.stat().st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes); it was probably never written or downloaded to the end.")
    return str(path)


def _open(path, name):
    if hasattr(path, "read"):
        path.seek(0)
        container = av.open(path)
    else:
        # The prefix keeps FFmpeg from taking a colon in the name for a protocol.
        container = av.open("file:" + os.fspath(path), metadata_errors="replace")
    kind = container.format.name
    tracks = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if kind in NOT_FILMS or kind.endswith("_pipe"):
        container.close()
        raise VideoError(f"{name} is not a film: it reads as {container.format.long_name}.")
    if not tracks:
        container.close()
        raise VideoError(f"{name} has no video track; it may be a sound file.")
    return container, tracks[0]


@dataclass
class _Survey:
    """What the packets say before anything is decoded."""

    codec: str
    count: int  # packets of the video track
    timed: bool  # every packet says when it is shown
    first: float  # seconds
    duration: float  # seconds of the video track
    fps: float
    aspect: float  # width of a pixel over its height
    missing: float  # seconds that the header promises and the file does not have


def _survey(path, name) -> _Survey:
    container, stream = _open(path, name)
    with container:
        count, untimed, first, last, step, end, begin = 0, 0, None, None, 0.0, None, None
        try:
            for packet in container.demux():
                if packet.size == 0 or packet.is_discard:
                    continue
                start = None if packet.pts is None else float(packet.pts * packet.time_base)
                length = float((packet.duration or 0) * packet.time_base)
                if start is not None:
                    begin = start if begin is None else min(begin, start)
                    end = start + length if end is None else max(end, start + length)
                if packet.stream_index != stream.index:
                    continue
                count += 1
                if start is None:
                    untimed += 1
                    continue
                first = start if first is None else min(first, start)
                if last is None or start >= last:
                    last, step = start, length
        except av.FFmpegError:
            pass  # What lies behind the damage is out of reach; the gap shows below.
        if not count:
            raise VideoError(f"{name} has a video track, but not one frame of it is in the file.")
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        timed = untimed == 0 and (count == 1 or last > first)
        if timed:
            step = step or ((last - first) / (count - 1) if count > 1 else 1 / rate)
            first, duration = first, last - first + step
        else:
            first, duration = 0.0, count / rate
        missing = 0.0
        if container.duration and end is not None:
            promised = container.duration / av.time_base
            gap = promised - (end - max(begin, 0.0))
            missing = gap if gap > max(0.25, 0.02 * promised) else 0.0
        codec, aspect = stream.codec_context.name, float(stream.sample_aspect_ratio or 1) or 1.0
    return _Survey(codec, count, timed, first, duration, count / duration, aspect, missing)


# ------------------------------------------------------------------------------------------------- decoding


def _decode(path, name, survey, taker, progress):
    container, stream = _open(path, name)
    with container:
        stream.codec_context.flags2 |= Flags2.export_mvs
        stream.thread_type = "AUTO"
        bar = tqdm(total=survey.count, desc=f"Reading {Path(name).name}", unit="frame", delay=2, disable=not progress)
        with bar:
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets)
                except StopIteration:
                    break
                except av.FFmpegError:
                    taker.broken += 1
                    break
                try:
                    images = packet.decode()
                except av.FFmpegError:
                    taker.broken += 1
                    continue
                for image in images:
                    taker.add(image)
                    bar.update()


class _Taker:
    """Takes the frames wanted as the film goes by, and adds up the motion between them."""

    def __init__(self, survey, wanted, target):
        self.survey, self.wanted, self.target = survey, wanted, target
        self.moments = survey.first + (np.arange(wanted) + 0.5) * survey.duration / wanted
        self.taken = self.seen = self.broken = self.corrupt = 0
        self.vectors = False
        self.held = None
        self.reference = 0  # number of the last frame that was not a B frame
        self.frames = None

    def add(self, image):
        n = self.seen
        if self.survey.timed and image.pts is not None:
            moment = float(image.pts * image.time_base)
        else:
            moment = n * self.survey.duration / self.survey.count
        while self.held is not None and self.taken < self.wanted and self.moments[self.taken] < moment:
            self._take()
        self._move(image, n)
        self.held, self.moment = image, moment
        self.seen += 1
        self.corrupt += bool(image.is_corrupt)

    def finish(self):
        while self.taken < self.wanted:
            self._take()
        if self.turns:
            self.frames = np.ascontiguousarray(np.rot90(self.frames, self.turns, (1, 2)))
            self.magnitude = np.ascontiguousarray(np.rot90(self.magnitude, self.turns, (1, 2)))
            self.motion = np.rot90(self.motion, self.turns, (1, 2)).copy()
            for _ in range(self.turns):
                self.motion = np.stack([self.motion[..., 1], -self.motion[..., 0]], -1)

    def _move(self, image, n):
        grid = (-(-image.height // UNIT), -(-image.width // UNIT))
        if self.held is None or grid != self.net.shape[:2]:
            self.net, self.way = np.zeros((*grid, 2), np.float32), np.zeros(grid, np.float32)
        data = image.side_data.get("MOTION_VECTORS")
        span = max(1, n - self.reference)
        if image.pict_type != PictureType.B:
            self.reference = n
        if data is None:
            return
        self.vectors = True
        v = data.to_ndarray()
        v = v[(v["source"] < 0) & (v["motion_scale"] > 0)]
        # A vector points from a block to where it came from; the content moved the other way.
        move = -np.stack([v["motion_x"], v["motion_y"]], 1).astype(np.float32)
        move /= v["motion_scale"][:, None].astype(np.float32) * span
        step = np.zeros_like(self.net)
        for w, h in {(int(w), int(h)) for w, h in zip(*np.unique(np.stack([v["w"], v["h"]]), axis=1), strict=True)}:
            chosen = (v["w"] == w) & (v["h"] == h)
            left = (v["dst_x"][chosen].astype(np.int64) - w // 2) // UNIT
            top = (v["dst_y"][chosen].astype(np.int64) - h // 2) // UNIT
            for i in range(max(1, h // UNIT)):
                for j in range(max(1, w // UNIT)):
                    y, x = top + i, left + j
                    inside = (y >= 0) & (y < grid[0]) & (x >= 0) & (x < grid[1])
                    step[y[inside], x[inside]] = move[chosen][inside]
        self.net += step
        self.way += np.sqrt(step[..., 0] ** 2 + step[..., 1] ** 2)

    def _take(self):
        image, k = self.held, self.taken
        plan = _plan(image, self.target, self.survey.aspect)
        if self.frames is None:
            self.turns = plan.turns
            self.frames = np.empty((self.wanted, *plan.shape, 3), np.uint8)
            cells = (-(-plan.shape[0] // CELL), -(-plan.shape[1] // CELL))
            self.motion = np.zeros((self.wanted, *cells, 2), np.float32)
            self.magnitude = np.zeros((self.wanted, *cells), np.float32)
            self.times = np.zeros(self.wanted)
        height, width = self.frames.shape[1:3]
        if plan.shape != (height, width):
            plan = _plan(image, (height, width), self.survey.aspect)  # The film changed its size on the way; keep the first one.
        picture = image.to_ndarray(format="rgb24", width=plan.scaled[1], height=plan.scaled[0], interpolation="AREA")
        top, left = plan.corner
        self.frames[k] = picture[top : top + height, left : left + width]
        zoom = plan.scaled[0] / image.height, plan.scaled[1] / image.width
        down, across = (
            overlap(
                np.minimum(np.arange(n + 1) * CELL, limit) / z + start / z, UNIT, self.net.shape[axis], total
            ).astype(np.float32)
            for axis, (n, limit, z, start, total) in enumerate(
                (
                    (self.motion.shape[1], height, zoom[0], top, image.height),
                    (self.motion.shape[2], width, zoom[1], left, image.width),
                )
            )
        )
        for axis, z in ((0, zoom[1]), (1, zoom[0])):
            self.motion[k, ..., axis] = down @ self.net[..., axis] @ across.T * z
        self.magnitude[k] = down @ self.way @ across.T * ((zoom[0] * zoom[1]) ** 0.5)
        self.times[k] = self.moment - self.survey.first
        self.taken += 1
        self.net[:] = 0
        self.way[:] = 0


@dataclass
class _Plan:
    scaled: tuple[int, int]  # height and width after scaling
    corner: tuple[int, int]  # where the cut begins
    shape: tuple[int, int]  # height and width of the cut, before the rotation is undone
    turns: int  # quarter turns anticlockwise that show the frame upright


def _plan(image, target, aspect) -> _Plan:
    turns = round(image.rotation / 90) % 4
    height, width = image.height, image.width
    if target is None:
        return _Plan((height, width), (0, 0), (height, width), 0)
    shape = target[::-1] if turns % 2 else target
    zoom = max(shape[0] / height, shape[1] / (width * aspect))
    scaled = max(shape[0], round(height * zoom)), max(shape[1], round(width * aspect * zoom))
    corner = (scaled[0] - shape[0]) // 2, (scaled[1] - shape[1]) // 2
    return _Plan(scaled, corner, shape, turns)


def _lost(survey, taker, name) -> float:
    if not (survey.missing or taker.broken or taker.corrupt):
        return 0.0
    promised = survey.count + survey.missing * survey.fps
    good = min(taker.seen, survey.count) - taker.corrupt
    lost = float(np.clip(1 - good / promised, 0, 1))
    if lost:
        warnings.warn(
            f"{name} is damaged: about {lost:.0%} of its {promised / survey.fps:.1f} s could not be decoded; "
            "the frames are taken from the rest.",
            stacklevel=3,
        )
    return lost
