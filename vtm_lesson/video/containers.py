"""Opens a film's container, and says in one sentence why it cannot."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import av

# FFmpeg opens these as if they were films: text files and single pictures.
NOT_FILMS = ("tty", "image2")


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
    """The film's name for messages; raises VideoError for what needs no opening to be refused."""
    if hasattr(path, "read"):
        return getattr(path, "name", None) or "the file object"
    path = Path(path)
    if path.is_dir():
        raise VideoError(f"{path} is a folder; give the path of a film inside it.")
    if not path.exists():
        raise VideoError(f"{path} does not exist; check the path.")
    if path.stat().st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes); it was probably never written to the end.")
    return str(path)


def open_film(path, name):
    """The open container and its video track."""
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


def survey_of(path, name) -> Survey:
    """Goes through the packets once, without decoding, and keeps none."""
    container, stream = open_film(path, name)
    with container:
        count = untimed = 0
        first, last, step = math.inf, -math.inf, 0.0  # shown first and last in the video track
        begin, end = math.inf, -math.inf  # of all tracks together
        try:
            for packet in container.demux():
                if packet.size == 0 or packet.is_discard:
                    continue
                start = None if packet.pts is None else float(packet.pts * packet.time_base)
                length = float((packet.duration or 0) * packet.time_base)
                if start is not None:
                    begin, end = min(begin, start), max(end, start + length)
                if packet.stream_index != stream.index:
                    continue
                count += 1
                if start is None:
                    untimed += 1
                    continue
                first = min(first, start)
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
    return Survey(codec, count, timed, first, duration, count / duration, aspect, missing)
