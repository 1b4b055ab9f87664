"""Reading without motion: the same frames, though only what they need is decoded."""

import io
import warnings
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_films import encode, pan

import vtm_lesson as vtm
from vtm_lesson.video import reading

CLIPS = Path(__file__).resolve().parents[3] / "shared" / "clips"


@pytest.fixture
def decoded(monkeypatch):
    """How often a film was read from its start, and which frames came out of the decoder."""
    seen = {"whole": 0, "images": 0}
    whole, some = reading._decode, reading._images_of

    def counted_whole(*arguments):
        seen["whole"] += 1
        return whole(*arguments)

    def counted_some(*arguments):
        for image in some(*arguments):
            seen["images"] += 1
            yield image

    monkeypatch.setattr(reading, "_decode", counted_whole)
    monkeypatch.setattr(reading, "_images_of", counted_some)
    return seen


def both(data, frames, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a = vtm.read_video(io.BytesIO(data), frames=frames, progress=False, **{"size": None, **more})
        b = vtm.read_video(io.BytesIO(data), frames=frames, progress=False, motion=False, **{"size": None, **more})
    return a, b


def assert_same(a, b):
    assert (a.frames == b.frames).all() and (a.times == b.times).all()
    assert (a.fps, a.duration, a.lost, a.codec) == (b.fps, b.duration, b.lost, b.codec)
    assert np.isnan(b.motion).all() and np.isnan(b.magnitude).all() and b.motion.shape == a.motion.shape


KINDS = {
    "h264, one key frame": {"options": {"bf": "0"}},
    "h264, B frames": {"options": {"bf": "3", "g": "12"}},
    "h264, B frames that others refer to": {"options": {"bf": "4", "b-pyramid": "normal", "g": "15", "refs": "3"}},
    "h264, open groups": {"options": {"bf": "3", "g": "10", "x264-params": "open-gop=1"}},
    "h264 in Matroska": {"options": {"bf": "2", "g": "9"}, "kind": "matroska"},
    "h264 in a transport stream": {"options": {"bf": "2", "g": "9"}, "kind": "mpegts"},
    "h264 in AVI": {"options": {"bf": "2", "g": "9"}, "kind": "avi"},
    "h264 without a container": {"options": {"g": "9"}, "kind": "h264"},
    "mpeg4": {"codec": "mpeg4", "options": {"g": "8"}},
    "mpeg2": {"codec": "mpeg2video", "options": {"g": "8", "bf": "2"}, "kind": "mpeg"},
    "vp9": {"codec": "libvpx-vp9", "kind": "webm", "options": {"g": "10"}},
    "every frame a key frame": {"codec": "mjpeg", "kind": "avi", "pixels": "yuvj420p"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frames", [1, 5, 7, 40, 60])
def test_the_frames_are_the_same(kind, frames):
    try:
        data = encode(pan(2, 1, length=40, height=48, width=64), **KINDS[kind])
    except av.error.FFmpegError as error:
        pytest.skip(f"this FFmpeg cannot write {kind}: {error}")
    assert_same(*both(data, frames))


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(1, 50), frames=st.integers(1, 60), group=st.integers(1, 20), b=st.integers(0, 4),
    size=st.sampled_from([None, 32, (24, 48)]),
)  # fmt: skip
def test_the_frames_are_the_same_whatever_the_film(length, frames, group, b, size):
    data = encode(pan(1, 2, length=length, height=48, width=64), options={"bf": str(b), "g": str(group)})
    assert_same(*both(data, frames, size=size))


def test_a_variable_frame_rate():
    times = [k / 10 for k in range(10)] + [1.0 + k for k in range(10)]
    data = encode(pan(2, 0, length=20), kind="matroska", times=times, options={"g": "5"})
    assert_same(*both(data, 7))


def test_only_what_is_needed_is_decoded(decoded):
    data = encode(pan(1, 0, length=110, height=48, width=64), options={"g": "20", "bf": "3"})
    a, b = both(data, 3)
    assert_same(a, b)
    assert decoded == {"whole": 1, "images": 3}, "once for the reading with motion, which needs every frame"


@pytest.mark.parametrize("name", ["square", "centred", "roaming", "handheld"])
def test_the_films_of_the_course(name, decoded):
    path = vtm.films.sample(name)
    clips = [vtm.read_video(path, frames=9, size=64, progress=False, motion=motion) for motion in (True, False)]
    assert_same(*clips)
    assert decoded["whole"] == 1


@pytest.mark.skipif(not CLIPS.is_dir(), reason="no real clips here: ../shared/clips is missing")
@pytest.mark.parametrize("name", ["arm_wrestling.mp4", "flipping_a_pancake.mkv"])
def test_real_clips(name, decoded):
    clips = [vtm.read_video(CLIPS / name, frames=16, progress=False, motion=motion) for motion in (True, False)]
    assert_same(*clips)
    assert decoded["whole"] == 1, "these go by the book"


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_film_is_read_as_with_motion(seed):
    data = bytearray(encode(pan(2, 1, length=60, height=48, width=64), options={"g": "12", "bf": "2"}))
    dice = np.random.default_rng(seed)
    for place in dice.integers(len(data) // 3, len(data) - len(data) // 3, 12):
        data[place] ^= 255
    results = []
    for motion in (True, False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                clip = vtm.read_video(io.BytesIO(bytes(data)), frames=8, size=None, progress=False, motion=motion)
                results.append(clip.frames.shape)
            except vtm.video.VideoError as error:
                results.append(str(error))
    assert results[0] == results[1]


def test_a_film_cut_in_half_is_read_from_its_start(decoded):
    data = encode(pan(2, 1, length=60, height=48, width=64), options={"g": "12"}, kind="matroska")
    a, b = both(data[: len(data) // 2], 6)
    assert_same(a, b)


def test_it_says_nothing_of_missing_vectors():
    data = encode(pan(2, 0, length=6, height=48, width=64), codec="mjpeg", kind="avi", pixels="yuvj420p")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vtm.read_video(io.BytesIO(data), frames=3, size=None, progress=False, motion=False)


def test_a_rotation_is_undone():
    if not hasattr(av.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV cannot write a rotation")
    data = encode(pan(2, 0, length=12), change=lambda stream: stream.set_display_rotation(90))
    assert_same(*both(data, 4, size=48))
