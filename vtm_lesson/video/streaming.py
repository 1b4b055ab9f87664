"""A film piece by piece, in memory that does not grow with its length; and frames that arrive one by one.

    for clip in video.stream("long.mp4", rate=1):        # one frame a second, 60 in a piece
        tokens = encoder.encode(clip.frames)

It takes the frames that `read` takes, and their motion, and gives them away as soon as no later frame can change them.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import av
import numpy as np

from .clip import Clip, whole
from .containers import Survey, VideoError, check, survey_of
from .reading import checked_length, checked_target
from .taking import Piece, Taker, each_image, lost_of


def stream(
    source,
    frames: int | Callable[[float], int] | None = None,
    size: int | tuple[int, int] | None = 224,
    *,
    rate: float = 1.0,
    piece: int = 60,
    progress: bool = True,
    motion: bool = True,
) -> Iterator[Clip]:
    """Read a film piece by piece: the frames, motion and times that `read` gives, a `Clip` for every few of them.

    Memory holds a piece or two, however long the film is. A live source goes the same way.

    Parameters
    ----------
    source : str, Path, file object or iterable
        A film, as `read` takes it. Or frames as they arrive, one after the other: (H, W, 3) uint8 arrays, or PyAV's
        `av.VideoFrame`, which say when they are shown, and what moved where their decoder was asked to export it.
    frames : int or callable, optional
        L of the whole film, as in `read`; for a film only. Default: `rate` a second.
    size : int, (int, int) or None, optional
        As in `read`.
    rate : float, optional
        Frames to take a second. Arrays are taken all, and count as arriving at this rate.
    piece : int, optional
        Frames in a piece; the last one may have fewer.
    progress : bool, optional
        Show a bar, for a film.
    motion : bool, optional
        False: only the frames are wanted. motion and magnitude are NaN.

    Yields
    ------
    Clip
        Its `times` go on from piece to piece. Of a film, fps and duration are those of the whole; of a live source,
        those of what has arrived so far. `lost` is known at the end: 0 in all pieces but the last.

    Raises
    ------
    VideoError
        As `read`, before the first piece.
    ValueError
        For frames, size, rate or piece out of range; for frames= with a live source, and for what is no frame there.

    Warns
    -----
    UserWarning
        As `read`, after the last piece.

    Notes
    -----
    The packets are gone through once before, to know how long the film is. A piece waits for the next P frame where it
    ends on a B frame, whose motion that one tells.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> for clip in vtm.video.stream(vtm.films.sample("centred"), frames=10, size=64, piece=4):
    ...     print(clip, clip.times[0].round(2))
    Clip(4 frames of 64 x 64 from 3.0 s of h264) 0.08
    Clip(4 frames of 64 x 64 from 3.0 s of h264) 1.33
    Clip(2 frames of 64 x 64 from 3.0 s of h264) 2.5

    From a camera, or anything else that gives frames:

    >>> import numpy as np
    >>> camera = (np.full((48, 64, 3), 40 * t, np.uint8) for t in range(5))
    >>> [len(clip.frames) for clip in vtm.video.stream(camera, size=32, rate=25, piece=2, motion=False)]
    [2, 2, 1]
    """
    target = checked_target(size)
    if not whole(piece):
        raise ValueError(f"piece is {piece!r}; give the frames of a piece, a whole number, 1 or more.")
    if not (isinstance(rate, (int, float)) and math.isfinite(rate) and rate > 0):
        raise ValueError(f"rate is {rate!r}; give the frames to take a second, more than 0.")
    if not isinstance(source, (str, os.PathLike)) and not hasattr(source, "read") and isinstance(source, Iterable):
        if frames is not None:
            raise ValueError("frames is for films; of a live source nobody knows the length: give rate.")
        return _live(iter(source), target, float(rate), int(piece), motion)
    if frames is not None and not callable(frames):
        checked_length(frames)
    name = check(source)
    survey = survey_of(source, name, moments=False)
    if frames is None:
        length = max(1, round(survey.duration * rate))
    else:
        length = checked_length(frames(survey.duration) if callable(frames) else frames)
    taker = Taker(survey, length, target, motion, piece=int(piece))
    return _film(source, name, taker, progress, size)


def _film(path, name: str, taker: Taker, progress: bool, size) -> Iterator[Clip]:
    """The pieces of a film."""
    survey = taker.survey

    def clip(found: Piece, lost: float = 0.0) -> Clip:
        return Clip(
            found.frames, found.motion, found.magnitude, found.times, survey.fps, survey.duration, lost, survey.codec
        )

    try:
        for image in each_image(path, name, survey, taker, progress):
            taker.add(image)
            yield from map(clip, taker.done())
        if not taker.seen:
            raise VideoError(f"{name} has a video track, but not one frame of it can be decoded.")
        *others, last = taker.finish()
    except av.FFmpegError as error:
        raise VideoError(
            f"{name}: its frames cannot be scaled for size {size!r}; try another, or None (FFmpeg says: "
            f"{error.strerror or error})."
        ) from error
    yield from map(clip, others)
    yield clip(last, lost_of(survey, taker, name))
    if taker.with_motion and taker.seen > 1 and not taker.vectors:
        warnings.warn(
            f"{name}: no motion vectors come with this film (codec {survey.codec}), so its motion is zero "
            "everywhere; H.264 and MPEG-4 part 2 have them.",
            stacklevel=2,
        )


def _live(source: Iterator, target, rate: float, piece: int, motion: bool) -> Iterator[Clip]:
    """The pieces of what arrives."""
    images = map(_image, source)
    first = next(images, None)
    if first is None:
        return
    start = float(first.pts * first.time_base) if first.pts is not None and first.time_base else None
    survey = Survey("live", 1, start is not None, start or 0.0, 1 / rate, rate, 1.0, 0.0, (), ())
    taker = Taker(survey, None, target, motion, piece=piece)

    def clip(found: Piece) -> Clip:
        past = taker.moment - survey.first
        fps = (taker.seen - 1) / past if past > 0 else rate
        return Clip(found.frames, found.motion, found.magnitude, found.times, fps, past + taker.step, 0.0, "live")

    for image in chain([first], images):
        taker.add(image)
        yield from map(clip, taker.done())
    yield from map(clip, taker.finish())
    if motion and taker.seen > 1 and not taker.vectors:
        warnings.warn(
            "no motion vectors come with these frames, so their motion is zero everywhere: give motion=False, or "
            "frames of a decoder that exports them (PyAV: codec_context.flags2 |= Flags2.export_mvs).",
            stacklevel=2,
        )


def _image(frame) -> av.VideoFrame:
    """A frame that arrived, as PyAV's; or a ValueError."""
    if isinstance(frame, av.VideoFrame):
        return frame
    array = np.asarray(frame)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ValueError(
            f"a frame arrived as {array.dtype} {array.shape}; give (H, W, 3) uint8, RGB, or PyAV's VideoFrame."
        )
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
