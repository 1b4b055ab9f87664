"""Small films for tests, painted and encoded without the package."""

import io
from fractions import Fraction

import av
import numpy as np


def textured(height, width, seed=0):
    """A random but smooth picture, made without the package: noise blurred by repeated averaging."""
    picture = np.random.default_rng(seed).random((height, width, 3)) * 255
    for _ in range(3):
        picture = (picture + np.roll(picture, 1, 0) + np.roll(picture, 1, 1) + np.roll(picture, (1, 1), (0, 1))) / 4
    return np.clip((picture - 127) * 4 + 127, 0, 255).astype(np.uint8)


def pan(dx, dy, length=24, height=96, width=128):
    """Frames whose content moves by (dx, dy) pixels a frame, to the right and down."""
    world = textured(height + 240, width + 240)
    tops, lefts = (120 - np.arange(length) * d for d in (dy, dx))
    return np.stack([world[y : y + height, x : x + width] for y, x in zip(tops, lefts, strict=True)])


def encode(frames, codec="libx264", kind="mp4", options=None, times=None, pixels="yuv420p", rate=10, change=None):
    """A film in memory; times in seconds make the frame rate vary; change(stream) sets further things."""
    memory = io.BytesIO()
    with av.open(memory, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = *frames.shape[1:3], pixels, 250
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if change:
            change(stream)
        for k, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            if times is not None:
                picture.pts, picture.time_base = round(times[k] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return memory.getvalue()
