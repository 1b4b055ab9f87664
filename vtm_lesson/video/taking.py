"""Takes evenly spaced frames from a film that goes by once, and adds up the motion between them.

`reading` takes a whole film at once in this way, `streaming` piece by piece: the frames and their motion are the same.
"""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags2
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from tqdm import tqdm

from .clip import CELL, overlap
from .containers import open_film, packets_of

DECODED = ("avi",)  # containers that know only when frames are decoded; B frames are shown in another order
UNIT = 8  # no codec here stores vectors for blocks smaller than this


def each_image(path, name, survey, taker, progress) -> Iterator[av.VideoFrame]:
    """Every frame of the film, decoded one after the other; the taker is told of what is broken."""
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
            order = Order() if container.format.name in DECODED else None
            while True:
                try:
                    packet = next(packets)
                except StopIteration:
                    break
                except av.FFmpegError:
                    taker.broken += 1
                    break
                if order is not None:
                    order.note(packet)
                try:
                    images = packet.decode()
                except av.FFmpegError:
                    taker.broken += 1
                    continue
                for image in images:
                    if order is not None:
                        order.mend(image)
                    yield image
                    if bar is not None:
                        bar.update()


class Order:
    """When frames are shown, for a container that says only when they are decoded.

    A decoder gives frames in the order in which they are shown, with the times of their packets. The first frame is
    shown at the earliest of these times, the next at the next one. A key frame has all frames decoded before it behind
    it: what is left of their times belongs to frames that were lost.
    """

    def __init__(self) -> None:
        self.times: list[int] = []  # of packets whose frame has not come

    def note(self, packet: av.Packet) -> None:
        """A packet goes into the decoder."""
        if packet.size and packet.pts is not None:
            heappush(self.times, packet.pts)

    def mend(self, image: av.VideoFrame) -> None:
        """Give a frame that comes out of it the time at which it is shown."""
        if image.pts is None:
            return
        while image.key_frame and self.times and self.times[0] < image.pts:
            heappop(self.times)
        if self.times:
            image.pts = heappop(self.times)


@dataclass(frozen=True)
class Turn:
    """What shows a frame upright: rows and columns change places, then left and right do, then top and bottom."""

    exchange: bool = False
    mirrored: bool = False
    upended: bool = False

    def of(self, values: np.ndarray) -> np.ndarray:
        """Values (L, H, W, ...) so turned."""
        if self.exchange:
            values = values.swapaxes(1, 2)
        return values[:, :: -1 if self.upended else 1, :: -1 if self.mirrored else 1]


def turn_of(image: av.VideoFrame) -> Turn:
    """How a frame is shown, by the display matrix that the film stores with it.

    The matrix takes the place (x, y) of a pixel to (a x + c y, b x + d y), where it is shown. Turns are by quarters, as
    films have them; a matrix that takes the frame to a line or a point turns nothing.
    """
    stored: Any = image.side_data.get("DISPLAYMATRIX")
    if stored is None:
        return Turn()
    a, b, _, c, d = (int(value) for value in np.frombuffer(stored, np.int32)[:5])
    if a * d == b * c:
        return Turn()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Turn(False, a < 0, d < 0)
    return Turn(True, c < 0, b < 0)


@dataclass
class Piece:
    """Frames that follow each other, as the fields of a `Clip` hold them, and how they move."""

    frames: np.ndarray
    motion: np.ndarray
    magnitude: np.ndarray
    times: np.ndarray

    @staticmethod
    def empty(count: int, shape: tuple[int, int], with_motion: bool) -> Piece:
        """Room for so many frames of this height and width. Without motion, motion is NaN."""
        cells = (-(-shape[0] // CELL), -(-shape[1] // CELL))
        unknown = 0.0 if with_motion else math.nan
        return Piece(
            np.empty((count, *shape, 3), np.uint8),
            np.full((count, *cells, 2), unknown, np.float32),
            np.full((count, *cells), unknown, np.float32),
            np.zeros(count),
        )

    def first(self, count: int) -> Piece:
        """The first so many frames."""
        if count == len(self.times):
            return self
        return Piece(self.frames[:count], self.motion[:count], self.magnitude[:count], self.times[:count])

    def upright(self, turn: Turn) -> Piece:
        """The same, turned and mirrored."""
        if turn == Turn():
            return self
        frames, motion, magnitude = map(turn.of, (self.frames, self.motion, self.magnitude))
        if turn.exchange:
            motion = motion[..., ::-1]
        if turn.mirrored or turn.upended:
            motion = motion * np.array([-1 if turn.mirrored else 1, -1 if turn.upended else 1], np.float32)
        frames, motion, magnitude = map(np.ascontiguousarray, (frames, motion, magnitude))
        return Piece(frames, motion, magnitude, self.times)


class Taker:
    """Takes the frames wanted as the film goes by, and adds up the motion between them, piece by piece.

    A piece is done once all its frames are taken and no later frame can add to their motion, as P frames do to the
    B frames before them.
    """

    # The last frame seen, and when it is shown, in seconds.
    held: av.VideoFrame | None
    moment: float
    # The motion since the last frame taken, and its length, on the codec's grid, which the first frame seen says.
    net: np.ndarray
    way: np.ndarray
    # Height and width of a frame taken, before it is turned upright, and how it is: the first one says them.
    shape: tuple[int, int]
    turn: Turn

    def __init__(self, survey, wanted, target, with_motion=True, piece=None):
        """wanted: how many frames of the whole film; None: one every survey.duration seconds, without an end.
        piece: frames in one piece; None: all of them."""
        self.survey, self.wanted, self.target, self.with_motion = survey, wanted, target, with_motion
        self.room = wanted if piece is None else piece
        self.taken = self.seen = self.broken = self.corrupt = self.given = 0
        self.step = survey.duration / survey.count  # seconds that the last frame seen is shown, as far as is known
        self.vectors = False
        self.latest = -math.inf  # when the last frame taken is shown
        self.scaler = VideoReformatter()
        self.held = None
        self.reference = 0  # number of the last frame that was not a B frame
        self.pending: list[tuple[int, Plan, int]] = []  # B frames taken since: which, how, how many frames after it
        self.pieces: deque[Piece] = deque()  # those not given away yet; the first begins with frame `given`

    def wanted_at(self, k: int) -> float:
        """When frame k is wanted, in seconds: in the middle of its stretch of time."""
        return self.survey.first + (k + 0.5) * self.survey.duration / (self.wanted or 1)

    def add(self, image):
        n = self.seen
        if self.survey.timed and image.pts is not None:
            moment = float(image.pts * image.time_base)
        else:
            moment = n * self.survey.duration / self.survey.count
        while self.held is not None and self._lacks_one() and self.wanted_at(self.taken) < moment:
            self.take(self.held)
        if self.with_motion:
            self._move(image, n)
        if self.held is not None and moment > self.moment:
            self.step = moment - self.moment
        self.held, self.moment = image, moment
        self.seen += 1
        self.corrupt += bool(image.is_corrupt)

    def done(self) -> Iterator[Piece]:
        """The pieces that are done, in order, but for the film's last; they are given away."""
        while self.taken - self.given >= self.room and (self.wanted is None or self.given + self.room < self.wanted):
            if any(k < self.given + self.room for k, *_ in self.pending):
                return
            self.given += self.room
            yield self.pieces.popleft().upright(self.turn)

    def finish(self) -> list[Piece]:
        """The pieces that are left at the end of the film; the last one may be shorter."""
        while self.held is not None and self._lacks_one():
            if self.wanted is None and self.wanted_at(self.taken) >= self.moment + self.step:
                break
            self.take(self.held)
        left = []
        for piece in self.pieces:
            left.append(piece.first(min(self.room, self.taken - self.given)).upright(self.turn))
            self.given += self.room
        self.pieces.clear()
        return left

    def _lacks_one(self) -> bool:
        return self.wanted is None or self.taken < self.wanted

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
        plan = plan_of(image, self.target, self.survey.aspect)
        if self.taken == 0:
            self.shape, self.turn = plan.shape, plan.turn
        if self.taken % self.room == 0:
            self.pieces.append(Piece.empty(self.room, self.shape, self.with_motion))
        if plan.shape != self.shape:
            # The film changed its size on the way; the first size stays.
            plan = plan_of(image, self.shape, self.survey.aspect)
        rgb = self.scaler.reformat(image, plan.scaled[1], plan.scaled[0], "rgb24", interpolation="AREA")
        picture = rgb.to_ndarray()
        (top, left), (height, width) = plan.corner, self.shape
        piece, k = self._place(self.taken)
        piece.frames[k] = picture[top : top + height, left : left + width]
        # A damaged film may give its frames out of order; time goes on all the same.
        self.latest = max(self.latest, self.moment)
        piece.times[k] = self.latest - self.survey.first
        self.taken += 1
        if not self.with_motion:
            return
        self._put(self.taken - 1, plan, self.net, self.way)
        self.net[:] = 0
        self.way[:] = 0
        after = self.seen - 1 - self.reference
        # Taken twice, it has its share already.
        if after > 0 and (not self.pending or self.pending[-1][2] != after):
            self.pending.append((self.taken - 1, plan, after))

    def _place(self, k: int) -> tuple[Piece, int]:
        """The piece that holds frame k, and which of its frames that is."""
        number, inside = divmod(k - self.given, self.room)
        return self.pieces[number], inside

    def _put(self, k, plan, net, way, share=1.0):
        """Adds motion on the codec's grid to that of frame k, on the cells of the resized and cut frame."""
        zoom = plan.scaled[0] / plan.source[0], plan.scaled[1] / plan.source[1]
        piece, k = self._place(k)
        grid, cells = net.shape, piece.magnitude.shape
        down = _onto(cells[1], plan.shape[0], plan.corner[0], zoom[0], grid[0], plan.source[0])
        across = _onto(cells[2], plan.shape[1], plan.corner[1], zoom[1], grid[1], plan.source[1])
        for axis, z in ((0, zoom[1]), (1, zoom[0])):
            piece.motion[k, ..., axis] += down @ net[..., axis] @ across.T * (z * share)
        piece.magnitude[k] += down @ way @ across.T * (math.sqrt(zoom[0] * zoom[1]) * share)


@lru_cache(maxsize=64)
def _onto(cells, pixels, start, zoom, units, total):
    """Weights (cells, units) from the codec's grid to the cells of the resized, cut frame along one side."""
    edges = (np.minimum(np.arange(cells + 1) * CELL, pixels) + start) / zoom
    return overlap(edges, UNIT, units, total).astype(np.float32)


@dataclass
class Plan:
    source: tuple[int, int]  # height and width as decoded
    scaled: tuple[int, int]  # height and width after scaling
    corner: tuple[int, int]  # where the cut begins
    shape: tuple[int, int]  # height and width of the cut, before it is turned upright
    turn: Turn


def plan_of(image, target, aspect) -> Plan:
    height, width = image.height, image.width
    if target is None:
        return Plan((height, width), (height, width), (0, 0), (height, width), Turn())
    turn = turn_of(image)
    shape = target[::-1] if turn.exchange else target
    zoom = max(shape[0] / height, shape[1] / (width * aspect))
    scaled = max(shape[0], round(height * zoom)), max(shape[1], round(width * aspect * zoom))
    corner = (scaled[0] - shape[0]) // 2, (scaled[1] - shape[1]) // 2
    return Plan((height, width), scaled, corner, shape, turn)


def lost_of(survey, taker, name) -> float:
    """The share of the film that could not be decoded; a warning where there is some."""
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
