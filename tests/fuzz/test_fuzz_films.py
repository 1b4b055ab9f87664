"""Films of every container and codec at hand: the right frames, motion that equals a known pan, and damage told.

Every frame bears its own number in eight bars, black or white, which every codec leaves legible. So what ought to be
taken follows from when each frame was said to be shown while the film was made, without any reader.
"""

import io
import warnings
from fractions import Fraction

import av
import numpy as np
from fuzzing import SEEDS, fuzz
from hypothesis import strategies as st

from vtm_lesson import video

# Container and codec; whether frames may come at any time; whether the codec stores motion.
FORMATS = {
    "mp4": ("mp4", "libx264", True, True),
    "mov": ("mov", "libx264", True, True),
    "mkv": ("matroska", "libx264", True, True),
    "ts": ("mpegts", "libx264", True, True),
    "avi": ("avi", "libx264", False, True),
    "flv": ("flv", "libx264", True, True),
    "mp4, MPEG-4": ("mp4", "mpeg4", True, True),
    "avi, MPEG-4": ("avi", "mpeg4", False, True),
    "ts, MPEG-2": ("mpegts", "mpeg2video", False, True),
    "webm": ("webm", "libvpx-vp9", True, False),
    "avi, motion JPEG": ("avi", "mjpeg", False, False),
    "mkv, FFV1": ("matroska", "ffv1", True, False),
}
BARS = 8


def here(name):
    """Whether this FFmpeg can write it."""
    try:
        av.codec.Codec(FORMATS[name][1], "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return FORMATS[name][0] in av.formats_available


AVAILABLE = [name for name in FORMATS if here(name)]
RATES = [[5, 1], [10, 1], [24, 1], [25, 1], [30000, 1001], [60, 1]]
FILM = {
    "form": st.sampled_from(AVAILABLE),
    "height": st.integers(16, 40),
    "width": st.integers(20, 40),
    "length": st.integers(1, 40),
    "rate": st.sampled_from(RATES),
    "uneven": st.booleans(),
    "offset": st.sampled_from([0.0, 0.0, 0.5, 4000.0, 95440.0]),  # the last: a transport stream's clock ends on the way
    "group": st.integers(1, 30),
    "b": st.integers(0, 3),
    "seed": SEEDS,
}


def bars(number, height, width):
    """A frame that bears its number; it is not grey, and lighter above than below."""
    bits = [40.0 + 150 * (number >> i & 1) for i in range(BARS)]
    columns = np.array(bits)[np.arange(width) * BARS // width]
    picture = columns[None, :, None] + np.linspace(25, -25, height)[:, None, None] + np.array([20, 0, -20])
    return np.clip(picture, 0, 255).astype(np.uint8)


def number_on(frame):
    """The number that a frame bears, by the middle of each bar."""
    middles = (np.arange(BARS) * 2 + 1) * frame.shape[1] // (2 * BARS)
    return sum(int(frame[:, x].mean() > 115) << i for i, x in enumerate(middles))


def film_of(frames, form, rate, times, group, b, pixels="yuv420p"):
    """Frames as a film's bytes; times: when each is shown, in seconds; None: at the rate."""
    kind, codec, *_ = FORMATS[form]
    options = {
        # With its own threads and macroblock tree, x264 now and then gives other bytes for the same frames.
        "libx264": {
            "bf": str(b),
            "crf": "12",
            "preset": "veryfast",
            "refs": "1",
            "threads": "1",
            "x264-params": "mbtree=0",
        },
        "libvpx-vp9": {"deadline": "realtime"},
        "mpeg4": {"bf": str(b), "q": "3", "dia_size": "8"},
        "mpeg2video": {"bf": str(b)},
    }
    memory = io.BytesIO()
    with av.open(memory, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=Fraction(*rate), options=options.get(codec, {}))
        stream.height, stream.width, stream.gop_size = *frames.shape[1:3], group
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else pixels
        if codec in ("mpeg4", "mpeg2video", "mjpeg"):
            stream.bit_rate = 4_000_000
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for k, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            if times is not None:
                picture.pts, picture.time_base = round(times[k] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return memory.getvalue()


def made(form, height, width, length, rate, uneven, offset, group, b, seed):
    """A film's bytes, and when each of its frames is shown, from the first one on."""
    any_time = FORMATS[form][2]
    length = max(length, 3) if "MPEG-2" in form else length  # of fewer FFmpeg knows nothing, or calls them broken
    if form.startswith("avi") or "MPEG-2" in form:
        height, width = height // 2 * 2, width // 2 * 2
    pixels = "yuv420p" if height % 2 == width % 2 == 0 else "yuv444p"
    if pixels == "yuv444p" and FORMATS[form][1] not in ("libx264", "ffv1"):
        height, width, pixels = height // 2 * 2, width // 2 * 2, "yuv420p"
    steps = np.full(length, rate[1] / rate[0])
    if uneven and any_time:
        steps = steps * np.random.default_rng(seed).choice([0.5, 1.0, 1.0, 3.0, 9.0], length)
    shown = np.concatenate([[0.0], np.cumsum(np.round(steps, 3))[:-1]])
    plain = not any_time or not (uneven or offset)
    if plain:
        shown = np.arange(length) * rate[1] / rate[0]
    frames = np.stack([bars(k, height, width) for k in range(length)])
    data = film_of(frames, form, rate, None if plain else shown + (offset if any_time else 0.0), group, b, pixels)
    return data, shown


def reading(data, **how):
    """A Clip, and what was warned of."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        clip = video.read(io.BytesIO(data), progress=False, **how)
    return clip, [str(warning.message) for warning in heard]


def plainly(data):
    """Every frame that a plain loop decodes, as RGB."""
    with av.open(io.BytesIO(data)) as container:
        return [image.to_ndarray(format="rgb24") for image in container.decode(video=0)]


@fuzz(cases=30, wanted=st.integers(1, 50), piece=st.integers(1, 20), **FILM)
def test_the_right_frames(wanted, piece, **film):
    data, shown = made(**film)
    length, stores = len(shown), FORMATS[film["form"]][3]
    try:
        pictures = {number_on(picture): picture for picture in plainly(data)}
    except av.FFmpegError:  # a transport stream of a few frames is too short for FFmpeg to know it
        return
    clip, heard = reading(data, frames=wanted, size=None)
    assert all("no motion vectors" in words for words in heard) and (not heard or not stores or length > 1), heard
    assert stores or length == 1 or heard, "nothing was said of a codec without motion"
    assert clip.lost == 0, "a whole film is said to be damaged"

    step = film["rate"][1] / film["rate"][0]
    last = np.diff(shown).max(initial=step)
    assert shown[-1] - 0.002 <= clip.duration <= shown[-1] + 2 * last + 0.05, "another duration"
    numbers = [number_on(frame) for frame in clip.frames]
    for k, number in enumerate(numbers):
        middle = (k + 0.5) * clip.duration / wanted
        right = {max(np.flatnonzero(shown <= middle + near), default=0) for near in (-0.002, 0.002)}
        assert number in right, f"frame {k} is that of another moment: {number}, not one of {sorted(map(int, right))}"
    np.testing.assert_allclose(clip.times, shown[numbers], atol=0.002, err_msg="other times")

    for number, frame in zip(numbers, clip.frames, strict=True):
        off = np.abs(frame.astype(int) - pictures[number]).mean()
        assert off < 4, "another picture than a plain decoder's"
    fast, _ = reading(data, frames=wanted, size=None, motion=False)
    assert np.array_equal(fast.frames, clip.frames) and np.array_equal(fast.times, clip.times), "without motion"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = list(video.stream(io.BytesIO(data), wanted, None, piece=piece, progress=False))
    assert np.array_equal(np.concatenate([part.frames for part in parts]), clip.frames), "piece by piece"
    assert np.array_equal(np.concatenate([part.motion for part in parts]), clip.motion), "motion, piece by piece"


@fuzz(
    cases=8,
    form=st.sampled_from([name for name in AVAILABLE if FORMATS[name][3] and "MPEG-2" not in name]),
    dx=st.integers(-4, 4),
    dy=st.integers(-4, 4),
    length=st.integers(8, 24),
    wanted=st.integers(1, 30),
    b=st.integers(0, 2),
    zoom=st.sampled_from([1.0, 0.5, 2.0]),
    seed=SEEDS,
)
def test_a_known_pan(form, dx, dy, length, wanted, b, zoom, seed):
    """All motion together is the way that the picture went, in pixels of the resized frame."""
    height, width = 96, 128
    if "MPEG-4" in form:  # with B frames, FFmpeg gives its last P frame without vectors; it looks less far, too
        dx, dy, b = dx // 2, dy // 2, 0
    chance = np.random.default_rng(seed)
    world = chance.random((height + 200, width + 200, 3)) * 255
    for _ in range(3):  # smooth enough to be looked for
        world = (world + np.roll(world, 1, 0) + np.roll(world, 1, 1) + np.roll(world, (1, 1), (0, 1))) / 4
    world = np.clip((world - 127) * 4 + 127, 0, 255).astype(np.uint8)
    tops, lefts = (100 - np.arange(length) * d for d in (dy, dx))
    frames = np.stack([world[y : y + height, x : x + width] for y, x in zip(tops, lefts, strict=True)])
    data = film_of(np.ascontiguousarray(frames), form, [10, 1], None, 250, b)
    clip, heard = reading(data, frames=wanted, size=(int(height * zoom), int(width * zoom)))
    assert not heard
    inner = np.median(clip.motion, (1, 2)).sum(0) / zoom  # at the edges is what was not there before
    gone = round(clip.times[-1] * 10)  # frames from the film's first to the last one taken
    assert np.abs(inner - gone * np.array([dx, dy])).max() <= 0.3 * gone + 2, "the motion is not that of the pan"
    assert (np.hypot(*np.moveaxis(clip.motion, -1, 0)) <= clip.magnitude * 1.001 + 1e-3).all(), "to and fro added"


DAMAGE = st.lists(
    st.tuples(st.sampled_from(["cut", "flip", "zero", "drop", "double"]), st.floats(0, 1), st.integers(1, 400)),
    min_size=1,
    max_size=3,
)


def damaged(data, damage, seed):
    """What is left of a film: cut off, some of its bytes turned or zeroed, a part left out or there twice."""
    chance = np.random.default_rng(seed)
    for kind, place, count in damage:
        at = int(place * len(data))
        if kind == "cut":
            data = data[:at]
        elif kind == "zero":
            data = data[:at] + bytes(len(data[at : at + count])) + data[at + count :]
        elif kind == "drop":
            data = data[:at] + data[at + count :]
        elif kind == "double":
            data = data[:at] + data[at : at + count] + data[at:]
        elif data:
            turned = bytearray(data)
            for i in chance.integers(0, len(data), count // 20 + 1):
                turned[i] ^= 1 << int(chance.integers(8))
            data = bytes(turned)
    return data


@fuzz(
    cases=30,
    damage=DAMAGE,
    wanted=st.integers(1, 12),
    size=st.sampled_from([None, 16, [24, 32]]),
    motion=st.booleans(),
    **FILM,
)
def test_damage(damage, wanted, size, motion, **film):
    """A Clip, or a VideoError: nothing else, and no number that makes no sense."""
    data = damaged(made(**film)[0], damage, film["seed"])
    try:
        clip, heard = reading(data, frames=wanted, size=size, motion=motion)
    except video.VideoError as error:
        assert 20 < len(str(error)) < 600 and "\n" not in str(error), "no sentence"
        return
    assert len(clip.frames) == len(clip.times) == wanted and clip.frames.dtype == np.uint8
    assert size is None or clip.frames.shape[1:3] == ((16, 16) if size == 16 else (24, 32))
    assert 0 <= clip.lost <= 1 and np.isfinite([clip.fps, clip.duration]).all() and clip.duration > 0 < clip.fps
    assert np.isfinite(clip.times).all() and (np.diff(clip.times) >= 0).all(), "times that go back"
    assert all("damaged" in words or "no motion vectors" in words for words in heard), heard
    if motion:
        assert np.isfinite(clip.motion).all() and np.isfinite(clip.magnitude).all() and (clip.magnitude >= 0).all()
        assert clip.magnitude.max() < 1e5, "motion that no film has"
    else:
        assert np.isnan(clip.motion).all() and np.isnan(clip.magnitude).all()


@fuzz(
    cases=10,
    form=st.sampled_from([name for name in AVAILABLE if FORMATS[name][0] in ("mp4", "mov")]),
    turn=st.sampled_from([0, 90, 180, 270]),
    mirror=st.booleans(),
    height=st.sampled_from([32, 48]),
    width=st.sampled_from([32, 64]),
    wide=st.sampled_from([[1, 1], [2, 1], [3, 4]]),
    size=st.sampled_from([16, 32, [20, 40]]),
)
def test_turned_and_stretched(form, turn, mirror, height, width, wide, size):
    """What is stored lying or narrow is shown upright and square; the same is written down here with four corners."""
    corners = {(0, 0): (220, 30, 30), (0, 1): (30, 200, 30), (1, 0): (40, 40, 220), (1, 1): (220, 220, 40)}
    frame = np.zeros((height, width, 3), np.uint8)
    for (y, x), colour in corners.items():
        frame[y * height // 2 : (y + 1) * height // 2, x * width // 2 : (x + 1) * width // 2] = colour
    memory = io.BytesIO()
    with av.open(memory, "w", format=FORMATS[form][0]) as container:
        stream = container.add_stream(FORMATS[form][1], rate=5)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(*wide)
        if not hasattr(stream, "set_display_rotation"):
            return
        stream.set_display_rotation(turn, hflip=mirror) if mirror else stream.set_display_rotation(turn)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    clip, _ = reading(memory.getvalue(), frames=1, size=size)
    high, across = (size, size) if isinstance(size, int) else size
    assert clip.frames.shape == (1, high, across, 3)
    shown = np.rot90(frame, turn // 90)
    shown = shown[:, ::-1] if mirror else shown
    for y in (0, 1):
        for x in (0, 1):
            seen = clip.frames[0, high // 4 + y * high // 2, across // 4 + x * across // 2].astype(int)
            meant = shown[(y * 2 + 1) * shown.shape[0] // 4, (x * 2 + 1) * shown.shape[1] // 4].astype(int)
            assert np.abs(seen - meant).max() < 70, f"at {y}, {x} is {seen}, not {meant}"
