"""Opens a film's container, and says in one sentence why it cannot."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av

from . import formats

CLOCKS = ("mpegts", "mpeg")  # formats whose clock may come round in the middle: then they begin before 0
ENDS = ("matroska,webm", "asf", "nut", "wtv")  # formats whose header says when the film ends


class VideoError(ValueError):
    """The file cannot be read as a film; the message says why in one sentence.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> try:
    ...     vtm.read_video("no_such_film.mp4")
    ... except vtm.VideoError as error:
    ...     print(error)
    no_such_film.mp4 does not exist; check the path.
    """


def check(path) -> str:
    """The film's name for messages; raises VideoError for what needs no FFmpeg to be refused."""
    if hasattr(path, "read"):
        return _check_object(path)
    if not isinstance(path, (str, os.PathLike)):
        raise VideoError(f"a film is given as a path or a binary file object, not as {type(path).__name__}.")
    path = Path(path)
    name = str(path) if len(str(path)) <= 300 else f"{str(path)[:50]}...{str(path)[-50:]}"
    try:
        if path.is_dir():
            raise VideoError(f"{name} is a folder; give the path of a film inside it.")
        if not path.exists():
            raise VideoError(f"{name} does not exist; check the path.")
        if path.stat().st_size == 0:
            raise VideoError(f"{name} is empty (0 bytes); it was probably never written to the end.")
        _head(path)
    except OSError as error:
        raise VideoError(f"{name} cannot be opened ({error.strerror}); check the path and who may read it.") from error
    return name


def _check_object(file) -> str:
    name = getattr(file, "name", None)
    name = name if isinstance(name, str) else "the file object"  # a temporary file may have a number for a name
    try:
        head = _head(file)
    except (AttributeError, OSError, ValueError) as error:
        raise VideoError(f"{name} cannot be read ({error}); give a file object that is open and can seek.") from error
    if not isinstance(head, bytes):
        raise VideoError(f'{name} gives {type(head).__name__}, not bytes; open it with mode "rb".')
    if not head:
        raise VideoError(f"{name} is empty (0 bytes); it was probably never written to the end.")
    return name


def _head(path) -> bytes:
    """The first bytes of a film given as path or file object."""
    if hasattr(path, "read"):
        path.seek(0)
        return path.read(formats.HEAD)
    with Path(path).open("rb") as file:
        return file.read(formats.HEAD)


def open_film(path, name):
    """The open container and its video track. Whatever the file says, FFmpeg opens nothing besides it: formats.py."""
    head = _head(path)
    if kind := formats.picture(head):
        raise VideoError(f"{name} cannot be read: it is not a film but {kind}.")
    if hasattr(path, "read"):
        path.seek(0)
        source, protocols = path, ""
    else:
        # The prefix keeps FFmpeg from taking a colon in the name for a protocol.
        source, protocols = "file:" + os.fspath(path), "file"
    try:
        container = av.open(source, "r", container_options=formats.options(protocols), metadata_errors="replace")
    except av.FFmpegError as error:
        kind = formats.other(head)
        if kind:
            why = f"it is not a film but {kind}"
        elif isinstance(error, av.ArgumentError):  # what FFmpeg says of a format that is not on the list
            why = "it is no film, damaged, or in a format that is not read here; convert it to mp4"
        else:
            why = f"it is no film, damaged or cut short (FFmpeg says: {error.strerror or error})"
        raise VideoError(f"{name} cannot be read: {why}.") from error
    tracks = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if tracks and tracks[0].codec_context:
        return container, tracks[0]
    container.close()
    if not tracks:
        raise VideoError(f"{name} has no video track; it may be a sound file.")
    raise VideoError(f"{name} has a video track of an unknown codec; it is damaged, or convert it to H.264 in mp4.")


def packets_of(container, *tracks, joints: Joints | None = None) -> Iterator[av.Packet]:
    """The packets of these tracks, or of all that were there when the film was opened; `Joints` mends their times.

    FFmpeg may find another track on the way, in a damaged film or one joined from two. At the end PyAV hands out an
    empty packet a track, and falls over those that it has not met; all others have gone by then.
    """
    joints = joints or Joints()
    with suppress(IndexError):
        for packet in container.demux(*tracks):
            joints.mend(packet)
            yield packet


class Joints:
    """Puts the second of two films in one file behind the first: their times both begin at the same place.

    Transport streams, and some other kinds, can be joined by writing one behind the other; the times of the second part
    then begin again. A key frame that is shown before a frame of an earlier packet can only be such a beginning: what
    follows it is moved, to be shown right after what went before. FFmpeg takes a part that begins much earlier for a
    clock that has come round (33 bits, 26.5 hours), and sets it hours later: such a step is taken for a joint as well.
    """

    BACK, ON = 0.1, 12 * 3600  # seconds

    def __init__(self) -> None:
        self.found = 0
        # Of each video track, in its own unit: when the last frame so far is shown, when it ends, and how far the
        # present part was moved. Where frames are not even, an end may lie behind the next frame.
        self.shown: dict[int, int] = {}
        self.end: dict[int, int] = {}
        self.shift: dict[int, int] = {}

    def mend(self, packet: av.Packet) -> None:
        """Move the packet's times, where it belongs to a later part."""
        if packet.pts is None or packet.time_base is None or packet.stream.type != "video":
            return
        track, shift = packet.stream_index, self.shift.get(packet.stream_index, 0)
        if packet.is_keyframe and track in self.shown:
            step = float((packet.pts + shift - self.shown[track]) * packet.time_base)
            if step < -self.BACK or step > self.ON:
                self.found += 1
                shift = self.shift[track] = self.end[track] - packet.pts
        if shift:
            packet.pts += shift
            if packet.dts is not None:
                packet.dts += shift
        if packet.pts >= self.shown.get(track, packet.pts):
            self.shown[track], self.end[track] = packet.pts, packet.pts + (packet.duration or 0)


@dataclass
class Survey:
    """What the packets say before anything is decoded."""

    codec: str
    count: int  # packets of the video track
    timed: bool  # every packet says when it is shown
    first: float  # seconds
    duration: float  # seconds of the video track
    fps: float
    aspect: float  # width of a pixel over its height
    missing: float  # seconds that the header promises and the file does not have
    shown: tuple[int, ...]  # when each frame is shown, in the track's own unit, ascending; empty where not all say so
    keys: tuple[int, ...]  # the same for those that can be decoded without any other
    joints: int = 0  # where another film begins in the same file


def survey_of(path, name, moments: bool = True) -> Survey:
    """Goes through the packets once, without decoding, and keeps none.

    moments: note when each frame is shown. Without, `shown` and `keys` are empty, and memory does not depend on the
    film's length.
    """
    container, stream = open_film(path, name)
    with container:
        count = untimed = 0
        first, last, step = math.inf, -math.inf, 0.0  # shown first and last in the video track
        begin, end = math.inf, -math.inf  # of all tracks together
        shown: list[int] = []
        keys: list[int] = []
        joints = Joints()
        by_decoding = container.format.name == "flv"  # its header counts from when the first frame is decoded
        try:
            for packet in packets_of(container, joints=joints):
                if packet.size == 0 or packet.is_discard:
                    continue
                pts = packet.pts
                start = None if pts is None else float(pts * packet.time_base)
                length = float((packet.duration or 0) * packet.time_base)
                if start is not None:
                    begin, end = min(begin, start), max(end, start + length)
                    if by_decoding and packet.dts is not None:
                        begin = min(begin, float(packet.dts * packet.time_base))
                if packet.stream_index != stream.index:
                    continue
                count += 1
                if pts is None or start is None:
                    untimed += 1
                    continue
                first = min(first, start)
                if moments:
                    shown.append(pts)
                    if packet.is_keyframe:
                        keys.append(pts)
                if start >= last:
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
        if container.duration and math.isfinite(end) and not joints.found:  # else it is the length of one part
            if container.format.name not in CLOCKS:  # what is shown before 0 is left out of the length
                begin = max(begin, 0.0)
            promised = container.duration / av.time_base
            if container.format.name in ENDS:  # wherever the film begins
                promised -= begin
            gap = promised - (end - begin)
            missing = gap if gap > max(0.25, 0.02 * promised) else 0.0
        codec, aspect = stream.codec_context.name, float(stream.sample_aspect_ratio or 1) or 1.0
    when = tuple(sorted(shown)) if timed else ()
    rate = count / duration
    return Survey(codec, count, timed, first, duration, rate, aspect, missing, when, tuple(sorted(keys)), joints.found)
