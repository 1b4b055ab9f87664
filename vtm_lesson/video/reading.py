"""Reads a film: evenly spaced frames, and the motion vectors that its own codec stored (PyAV, FFmpeg).

H.264 and MPEG-4 describe most blocks of a frame as "like that block of the frame before, moved by so much".
VTM's motion-based merging takes these vectors as saliency (VTM eq. 6): they are there already, so nothing needs
to be estimated.
"""

from __future__ import annotations

import warnings
from bisect import bisect_right as bisect
from collections.abc import Callable

import av
import numpy as np

from .clip import Clip, overlap, whole
from .containers import VideoError, check, open_film, packets_of, survey_of
from .taking import DECODED, Taker, each_image, lost_of

__all__ = ["Clip", "checked_length", "checked_target", "overlap", "read"]


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
        L. The film is cut into L equal stretches of time; the frame shown in the middle of each is taken. Where the
        middle is the very moment at which one frame follows another, rounding says which of the two it is; whether with
        motion or without, at once or piece by piece, it is the same one. A film with fewer frames than L repeats some;
        nothing moves between a frame and its repetition. A function is given the film's duration in seconds, and says
        L.
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

    Times are those of the container. AVI says only when a frame is decoded: its frames follow each other in the order
    in which the decoder shows them. Films written one behind the other into one file, as transport streams allow, are
    one film: the second begins where the first ends. A stored rotation may also mirror the picture.

    Only the vectors of P frames are used, as these reach back over all B frames since the I or P frame before; a B
    frame taken gets its share of that stretch. Key frames and blocks without a vector count as still. A codec may also
    refer to older frames; FFmpeg does not say so, and such a vector counts in full. Of MPEG-4 part 2 with B frames it
    gives no vectors of the last P frame.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> vtm.read_video(vtm.films.sample("centred"), frames=4, size=64)
    Clip(4 frames of 64 x 64 from 3.0 s of h264)
    """
    if not callable(frames):
        checked_length(frames)
    target = checked_target(size)
    name = check(path)
    try:
        survey = survey_of(path, name)
        length = checked_length(frames(survey.duration) if callable(frames) else frames)
        taker = None if motion else _wanted_only(path, name, survey, length, target)
        if taker is None:
            taker = Taker(survey, length, target, motion)
            _decode(path, name, survey, taker, progress)
        if not taker.seen:
            raise VideoError(f"{name} has a video track, but not one frame of it can be decoded.")
        (piece,) = taker.finish()
    except av.FFmpegError as error:
        raise VideoError(
            f"{name}: its frames cannot be scaled for size {size!r}; try another, or None (FFmpeg says: "
            f"{error.strerror or error})."
        ) from error
    lost = lost_of(survey, taker, name)
    if motion and taker.seen > 1 and not taker.vectors:
        warnings.warn(
            f"{name}: no motion vectors come with this film (codec {survey.codec}), so its motion is zero "
            "everywhere; H.264 and MPEG-4 part 2 have them.",
            stacklevel=2,
        )
    taken = piece.frames, piece.motion, piece.magnitude, piece.times
    return Clip(*taken, survey.fps, survey.duration, lost, survey.codec)


def checked_length(frames) -> int:
    """L as an int, or a ValueError."""
    if not whole(frames):
        raise ValueError(f"frames is {frames!r}; give a whole number, 1 or more.")
    return int(frames)


def checked_target(size) -> tuple[int, int] | None:
    """(height, width) of a size as `read` takes it, or a ValueError."""
    if size is None:
        return None
    sides = list(size) if np.iterable(size) else [size, size]
    if len(sides) != 2 or not all(map(whole, sides)):
        raise ValueError(f"size is {size!r}; give a number of pixels, (height, width), or None.")
    return int(sides[0]), int(sides[1])


# ------------------------------------------------------------------------------------------------- decoding


def _decode(path, name, survey, taker, progress):
    for image in each_image(path, name, survey, taker, progress):
        taker.add(image)


def _wanted_only(path, name, survey, count, target):
    """A `Taker` that has taken its frames and decoded little else; None where in doubt.

    What is decoded: from the key frame before each wanted frame on, and there only frames that others refer to. In
    doubt is whatever does not go by the book: a container that does not say when its frames are shown, or that cannot
    be entered at a key frame; damage; a wanted frame that does not come. The film is then read from the start.
    """
    taker = Taker(survey, count, target, with_motion=False)
    if len(set(survey.shown)) < survey.count or survey.missing or survey.joints:
        return None
    container, stream = open_film(path, name)
    with container:
        if container.format.name in DECODED:
            return None
        times = [float(pts * stream.time_base) for pts in survey.shown]
        wanted = [survey.shown[max(bisect(times, moment) - 1, 0)] for moment in map(taker.wanted_at, range(count))]
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
