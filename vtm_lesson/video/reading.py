"""Reads a film: evenly spaced frames, and the motion vectors that its own codec stored (PyAV, FFmpeg).

H.264 and MPEG-4 describe most blocks of a frame as "like that block of the frame before, moved by so much".
VTM's motion-based merging takes these vectors as saliency (VTM eq. 6): they are there already, so nothing needs
to be estimated.
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right as bisect
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags2
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from einops import rearrange
from tqdm import tqdm

from .containers import VideoError, check, open_film, packets_of, survey_of

CELL = 4  # motion is given on cells of this many pixels of the resized frame
UNIT = 8  # no codec here stores vectors for blocks smaller than this


@dataclass
class Clip:
    """L frames taken evenly from a film, H x W pixels each, and what moved between them.

    Attributes
    ----------
    frames : array
        (L, H, W, 3) uint8, RGB.
    motion : array
        (L, ceil(H/4), ceil(W/4), 2) float32, x to the right, y down, in pixels, see `read`.
    magnitude : array
        (L, ceil(H/4), ceil(W/4)) float32, length of the way moved, in pixels.
    times : array
        (L,) float64, when each frame is shown, in seconds from the film's first frame.
    fps : float
        Frames per second of the film, averaged.
    duration : float
        Seconds of film.
    lost : float
        Share of the film that could not be decoded, 0 when all is well.
    codec : str
        FFmpeg's name for it, "h264" say.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> clip = vtm.read_video(vtm.films.sample("centred"), frames=4, size=64)
    >>> clip.frames.shape, clip.magnitude.shape
    ((4, 64, 64, 3), (4, 16, 16))
    """

    frames: np.ndarray
    motion: np.ndarray
    magnitude: np.ndarray
    times: np.ndarray
    fps: float
    duration: float
    lost: float
    codec: str

    def patches(self, p: int) -> tuple[np.ndarray, np.ndarray]:
        """Cut the frames into patches of p x p pixels: tokens on the (L, H/p, W/p) grid, and how far they moved.

        Parameters
        ----------
        p : int
            Pixels; it divides height and width.

        Returns
        -------
        pixels : array
            (L, H/p, W/p, 3*p*p) uint8, each patch ordered row, column, colour.
        motion : array
            (L, H/p, W/p) float32, the mean magnitude over the patch, in pixels of the resized frame.

        Raises
        ------
        ValueError
            For patches that do not fill a frame.

        Examples
        --------
        >>> import vtm_lesson as vtm
        >>> clip = vtm.read_video(vtm.films.sample("centred"), frames=4, size=64)
        >>> pixels, motion = clip.patches(8)
        >>> pixels.shape, motion.shape
        ((4, 8, 8, 192), (4, 8, 8))
        """
        down, across = self._onto_patches(p)
        pixels = rearrange(self.frames, "l (h p) (w q) c -> l h w (p q c)", p=p, q=p)
        motion = down @ self.magnitude @ across.T
        return pixels, motion.astype(np.float32)

    def vectors(self, p: int) -> np.ndarray:
        """The mean motion vector of each patch of p x p pixels: (L, H/p, W/p, 2) float32, in pixels, x and y.

        Parameters
        ----------
        p : int
            Pixels; it divides height and width.

        Returns
        -------
        array
            (L, H/p, W/p, 2) float32. To and fro cancel in it, as in `motion`; in `patches` they count.

        Raises
        ------
        ValueError
            For patches that do not fill a frame.

        Examples
        --------
        >>> import vtm_lesson as vtm
        >>> vtm.read_video(vtm.films.sample("handheld"), frames=4, size=64).vectors(8).shape
        (4, 8, 8, 2)
        """
        down, across = self._onto_patches(p)
        x, y = (down @ self.motion[..., axis] @ across.T for axis in (0, 1))
        return np.stack([x, y], -1).astype(np.float32)

    def _onto_patches(self, p: int) -> tuple[np.ndarray, np.ndarray]:
        """What takes motion on its cells to patches of p pixels: (H/p, rows of cells), (W/p, columns of cells)."""
        height, width = self.frames.shape[1:3]
        if not _whole(p) or height % p or width % p:
            raise ValueError(
                f"patches of {p} pixels do not fill a frame of {height} x {width}; "
                "read the film at a size that is a multiple of the patch."
            )
        cells = self.magnitude.shape
        down = overlap(np.arange(height // p + 1) * p, CELL, cells[1], height)
        return down, overlap(np.arange(width // p + 1) * p, CELL, cells[2], width)

    def __repr__(self) -> str:
        length, height, width, _ = self.frames.shape
        text = f"Clip({length} frames of {height} x {width} from {self.duration:.1f} s of {self.codec}"
        return text + (f", {self.lost:.0%} lost)" if self.lost else ")")


def read(
    path,
    frames: int | Callable[[float], int] = 60,
    size: int | tuple[int, int] | None = 224,
    progress: bool = True,
    motion: bool = True,
) -> Clip:
    """Read evenly spaced frames of a film, and its codec's motion vectors; `vtm.read_video` is the same.

    The film is streamed, first its packets, then its frames: memory holds the frames taken and no more.

    Parameters
    ----------
    path : str, Path or file object
        A file, or a seekable binary file object: mp4, mov, mkv, webm, avi, ts, mpg and the like, in any codec that
        FFmpeg decodes. Nothing but this file is opened: what only names films (a playlist, say) is refused.
    frames : int or callable, optional
        L. The film is cut into L equal stretches of time; the frame shown in the middle of each is taken. A film with
        fewer frames than that repeats some; nothing moves between a frame and its repetition. A function is given the
        film's duration in seconds, and says L.
    size : int, (int, int) or None, optional
        S: the short side becomes S pixels, then the central S x S is cut out. (height, width): the frame is scaled
        until it covers this, then the centre is cut out. Both make pixels square and undo a stored rotation. None: the
        pixels as they are in the file.
    progress : bool, optional
        Show a bar when reading takes more than 2 seconds.
    motion : bool, optional
        False: only the frames are wanted. Then the film is decoded only from the key frame before each of them, where
        its container allows that, which is many times as fast in a long film, and the frames are the same. motion and
        magnitude are NaN: nobody looked.

    Returns
    -------
    Clip
        The frames, their motion and their times.

    Raises
    ------
    VideoError
        For what is missing, empty, unreadable or no film.
    ValueError
        For frames or a size that are not whole numbers of 1 or more.

    Warns
    -----
    UserWarning
        For a damaged film. It gives what can be decoded, and `lost` says how much is missing; frames that cannot be
        decoded are replaced by the last good one before them. Also for a codec without vectors: its motion is zero.

    Notes
    -----
    The vectors are the saliency of VTM eq. 6. Motion is how far the picture's content moved since the previous frame
    taken (for the first: since the film began), in pixels of the resized frame, x to the right and y down. It adds up
    every frame in between, at fixed places of the picture: nothing is tracked. `motion` adds the vectors, `magnitude`
    adds their lengths, so to and fro cancels in the one and counts in the other.

    Only the vectors of P frames are used, as these reach back over all B frames since the I or P frame before; a B
    frame taken gets its share of that stretch. Key frames and blocks without a vector count as still. A codec may also
    refer to older frames; FFmpeg does not say so, and such a vector counts in full.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> vtm.read_video(vtm.films.sample("centred"), frames=4, size=64)
    Clip(4 frames of 64 x 64 from 3.0 s of h264)
    """
    if not callable(frames):
        _checked_length(frames)
    target = _target(size)
    name = check(path)
    try:
        survey = survey_of(path, name)
        length = _checked_length(frames(survey.duration) if callable(frames) else frames)
        taker = None if motion else _wanted_only(path, name, survey, length, target)
        if taker is None:
            taker = _Taker(survey, length, target, motion)
            _decode(path, name, survey, taker, progress)
        if not taker.seen:
            raise VideoError(f"{name} has a video track, but not one frame of it can be decoded.")
        taker.finish()
    except av.FFmpegError as error:
        raise VideoError(
            f"{name}: its frames cannot be scaled for size {size!r}; try another, or None (FFmpeg says: "
            f"{error.strerror or error})."
        ) from error
    lost = _lost(survey, taker, name)
    if motion and taker.seen > 1 and not taker.vectors:
        warnings.warn(
            f"{name}: no motion vectors come with this film (codec {survey.codec}), so its motion is zero "
            "everywhere; H.264 and MPEG-4 part 2 have them.",
            stacklevel=2,
        )
    sampled = taker.frames, taker.motion, taker.magnitude, taker.times
    return Clip(*sampled, survey.fps, survey.duration, lost, survey.codec)


def overlap(edges: np.ndarray, cell: float, cells: int, limit: float) -> np.ndarray:
    """Weights (len(edges) - 1, cells) that average cells of `cell` pixels over the intervals between edges.

    Cells lie side by side from 0; the last one ends at `limit`. Every row sums to 1. Intervals outside take
    the nearest cell.
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


def _checked_length(frames) -> int:
    if not _whole(frames):
        raise ValueError(f"frames is {frames!r}; give a whole number, 1 or more.")
    return int(frames)


def _target(size):
    if size is None:
        return None
    sides = list(size) if np.iterable(size) else [size, size]
    if len(sides) != 2 or not all(map(_whole, sides)):
        raise ValueError(f"size is {size!r}; give a number of pixels, (height, width), or None.")
    return int(sides[0]), int(sides[1])


def _whole(value) -> bool:
    """Whether this is a whole number of 1 or more."""
    try:
        return int(value) == value and value >= 1
    except (TypeError, ValueError, OverflowError):
        return False


# ------------------------------------------------------------------------------------------------- decoding


def _decode(path, name, survey, taker, progress):
    container, stream = open_film(path, name)
    with container:
        if taker.with_motion:
            stream.codec_context.flags2 |= Flags2.export_mvs
        # Threads share out the slices of a frame. Several frames at once would be faster by a quarter, but then FFmpeg
        # gives other vectors from one reading to the next.
        stream.thread_type = "SLICE" if taker.with_motion else "AUTO"
        title = f"Reading {Path(name).name}"
        shown = tqdm(total=survey.count, desc=title, unit="frame", delay=2) if progress else nullcontext()
        with shown as bar:
            packets = packets_of(container, stream)
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
                    if bar is not None:
                        bar.update()


def _wanted_only(path, name, survey, count, target):
    """A `_Taker` that has taken its frames and decoded little else; None where in doubt.

    What is decoded: from the key frame before each wanted frame on, and there only frames that others refer to. In
    doubt is whatever does not go by the book: a container that does not say when its frames are shown, or that cannot
    be entered at a key frame; damage; a wanted frame that does not come. The film is then read from the start.
    """
    taker = _Taker(survey, count, target, with_motion=False)
    if len(set(survey.shown)) < survey.count or survey.missing:
        return None
    container, stream = open_film(path, name)
    with container:
        if container.format.name == "avi":  # it knows when frames are decoded only, and B frames are shown otherwise
            return None
        times = [float(pts * stream.time_base) for pts in survey.shown]
        wanted = [survey.shown[max(bisect(times, moment) - 1, 0)] for moment in taker.moments]
        entries = [bisect(survey.keys, pts) - 1 for pts in wanted]
        if entries[0] < 0:
            return None
        found: dict[int, av.VideoFrame] = {}
        stream.thread_type = "AUTO"
        try:
            for entry in sorted(set(entries)):
                own = {pts for pts, e in zip(wanted, entries, strict=True) if e == entry}
                container.seek(survey.keys[entry], stream=stream)
                for image in _images_of(container, stream, own):
                    if image.is_corrupt or image.time_base != stream.time_base:
                        return None
                    found[image.pts] = image
                    if own <= found.keys():
                        break
                else:
                    return None
                for pts in (pts for pts, e in zip(wanted, entries, strict=True) if e == entry):
                    taker.moment = float(pts * stream.time_base)
                    taker.take(found[pts])
                found.clear()
        except av.FFmpegError:
            return None
    taker.seen = survey.count
    return taker


def _images_of(container, stream, wanted):
    """Decode from here on, and give the frames that are wanted, by when they are shown."""
    for packet in packets_of(container, stream):
        # Of a frame that no other refers to nothing is lost if it is not decoded.
        stream.codec_context.skip_frame = "DEFAULT" if packet.pts in wanted or packet.pts is None else "NONREF"
        for image in packet.decode():
            if image.pts in wanted:
                yield image


class _Taker:
    """Takes the frames wanted as the film goes by, and adds up the motion between them."""

    # The last frame seen, and when it is shown, in seconds.
    held: av.VideoFrame | None
    moment: float
    # The motion since the last frame taken, and its length, on the codec's grid, which the first frame seen says.
    net: np.ndarray
    way: np.ndarray
    # What a `Clip` is made of; the first frame taken says its size, and its quarter turns.
    frames: np.ndarray
    motion: np.ndarray
    magnitude: np.ndarray
    times: np.ndarray
    turns: int

    def __init__(self, survey, wanted, target, with_motion=True):
        self.survey, self.wanted, self.target, self.with_motion = survey, wanted, target, with_motion
        self.moments = survey.first + (np.arange(wanted) + 0.5) * survey.duration / wanted
        self.taken = self.seen = self.broken = self.corrupt = 0
        self.vectors = False
        self.scaler = VideoReformatter()
        self.held = None
        self.reference = 0  # number of the last frame that was not a B frame
        self.pending: list[tuple[int, _Plan, int]] = []  # B frames taken since: which, how, how many frames after it

    def add(self, image):
        n = self.seen
        if self.survey.timed and image.pts is not None:
            moment = float(image.pts * image.time_base)
        else:
            moment = n * self.survey.duration / self.survey.count
        while self.held is not None and self.taken < self.wanted and self.moments[self.taken] < moment:
            self.take(self.held)
        if self.with_motion:
            self._move(image, n)
        self.held, self.moment = image, moment
        self.seen += 1
        self.corrupt += bool(image.is_corrupt)

    def finish(self):
        while self.held is not None and self.taken < self.wanted:
            self.take(self.held)
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
            self.pending.clear()
        data = image.side_data.get("MOTION_VECTORS")
        self.vectors |= data is not None
        if image.pict_type == PictureType.B:
            return
        span, self.reference = max(1, n - self.reference), n
        step = self._step(data.to_ndarray(), grid) if data is not None else np.zeros((*grid, 2), np.float32)
        length = np.sqrt(step[..., 0] ** 2 + step[..., 1] ** 2)
        # B frames taken since the last P frame get their share of what this one says of the whole stretch.
        before = 0
        for k, plan, at in self.pending:
            self._put(k, plan, step, length, (at - before) / span)
            before = at
        self.pending.clear()
        self.net += step * ((span - before) / span)
        self.way += length * ((span - before) / span)

    def _step(self, v, grid):
        """How far each unit of the frame moved by the codec's vectors: (rows, columns, 2) float32, pixels."""
        v = v[(v["source"] < 0) & (v["motion_scale"] > 0)]
        # A vector points from a block to where it came from; the content moved the other way.
        move = -np.stack([v["motion_x"], v["motion_y"]], 1).astype(np.float32)
        move /= v["motion_scale"][:, None].astype(np.float32)
        step = np.zeros((*grid, 2), np.float32)
        top = (v["dst_y"].astype(np.int64) - v["h"] // 2) // UNIT
        left = (v["dst_x"].astype(np.int64) - v["w"] // 2) // UNIT
        tall, wide = np.maximum(v["h"] // UNIT, 1), np.maximum(v["w"] // UNIT, 1)
        for i in range(int(tall.max(initial=0))):
            for j in range(int(wide.max(initial=0))):
                y, x = top + i, left + j
                inside = (tall > i) & (wide > j) & (y >= 0) & (y < grid[0]) & (x >= 0) & (x < grid[1])
                step[y[inside], x[inside]] = move[inside]
        return step

    def take(self, image: av.VideoFrame) -> None:
        """Take this frame, shown at `moment`, as the next one wanted."""
        k = self.taken
        plan = _plan(image, self.target, self.survey.aspect)
        if k == 0:
            self.turns = plan.turns
            self.frames = np.empty((self.wanted, *plan.shape, 3), np.uint8)
            cells = (-(-plan.shape[0] // CELL), -(-plan.shape[1] // CELL))
            unknown = 0.0 if self.with_motion else math.nan
            self.motion = np.full((self.wanted, *cells, 2), unknown, np.float32)
            self.magnitude = np.full((self.wanted, *cells), unknown, np.float32)
            self.times = np.zeros(self.wanted)
        height, width = self.frames.shape[1:3]
        if plan.shape != (height, width):
            # The film changed its size on the way; the first size stays.
            plan = _plan(image, (height, width), self.survey.aspect)
        rgb = self.scaler.reformat(image, plan.scaled[1], plan.scaled[0], "rgb24", interpolation="AREA")
        picture = rgb.to_ndarray()
        top, left = plan.corner
        self.frames[k] = picture[top : top + height, left : left + width]
        self.times[k] = self.moment - self.survey.first
        self.taken += 1
        if not self.with_motion:
            return
        self._put(k, plan, self.net, self.way)
        self.net[:] = 0
        self.way[:] = 0
        number = self.seen - 1
        if number > self.reference:
            self.pending.append((k, plan, number - self.reference))

    def _put(self, k, plan, net, way, share=1.0):
        """Adds motion on the codec's grid to that of frame k, on the cells of the resized and cut frame."""
        zoom = plan.scaled[0] / plan.source[0], plan.scaled[1] / plan.source[1]
        grid, cells = net.shape, self.magnitude.shape
        down = _onto(cells[1], plan.shape[0], plan.corner[0], zoom[0], grid[0], plan.source[0])
        across = _onto(cells[2], plan.shape[1], plan.corner[1], zoom[1], grid[1], plan.source[1])
        for axis, z in ((0, zoom[1]), (1, zoom[0])):
            self.motion[k, ..., axis] += down @ net[..., axis] @ across.T * (z * share)
        self.magnitude[k] += down @ way @ across.T * (math.sqrt(zoom[0] * zoom[1]) * share)


@lru_cache(maxsize=64)
def _onto(cells, pixels, start, zoom, units, total):
    """Weights (cells, units) from the codec's grid to the cells of the resized, cut frame along one side."""
    edges = (np.minimum(np.arange(cells + 1) * CELL, pixels) + start) / zoom
    return overlap(edges, UNIT, units, total).astype(np.float32)


@dataclass
class _Plan:
    source: tuple[int, int]  # height and width as decoded
    scaled: tuple[int, int]  # height and width after scaling
    corner: tuple[int, int]  # where the cut begins
    shape: tuple[int, int]  # height and width of the cut, before the rotation is undone
    turns: int  # quarter turns anticlockwise that show the frame upright


def _plan(image, target, aspect) -> _Plan:
    turns = round(image.rotation / 90) % 4
    height, width = image.height, image.width
    if target is None:
        return _Plan((height, width), (height, width), (0, 0), (height, width), 0)
    shape = target[::-1] if turns % 2 else target
    zoom = max(shape[0] / height, shape[1] / (width * aspect))
    scaled = max(shape[0], round(height * zoom)), max(shape[1], round(width * aspect * zoom))
    corner = (scaled[0] - shape[0]) // 2, (scaled[1] - shape[1]) // 2
    return _Plan((height, width), scaled, corner, shape, turns)


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
