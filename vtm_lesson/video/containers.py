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


def packets_of(container, *tracks) -> Iterator[av.Packet]:
    """The packets of these tracks, or of all that were there when the film was opened.

    FFmpeg may find another track on the way, in a damaged film or one joined from two. At the end PyAV hands out an
    empty packet a track, and falls over those that it has not met; all others have gone by then.
    """
    with suppress(IndexError):
        yield from container.demux(*tracks)


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
        try:
            for packet in packets_of(container):
                if packet.size == 0 or packet.is_discard:
                    continue
                pts = packet.pts
                start = None if pts is None else float(pts * packet.time_base)
                length = float((packet.duration or 0) * packet.time_base)
                if start is not None:
                    begin, end = min(begin, start), max(end, start + length)
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
        if container.duration and math.isfinite(end):
            promised = container.duration / av.time_base
            gap = promised - (end - max(begin, 0.0))
            missing = gap if gap > max(0.25, 0.02 * promised) else 0.0
        codec, aspect = stream.codec_context.name, float(stream.sample_aspect_ratio or 1) or 1.0
    when = tuple(sorted(shown)) if timed else ()
    return Survey(codec, count, timed, first, duration, count / duration, aspect, missing, when, tuple(sorted(keys)))
