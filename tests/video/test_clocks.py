"""When frames are shown, and which way up, where a container says it in a way of its own."""

import io
import struct
import warnings
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from small_films import encode, pan

from vtm_lesson import video
from vtm_lesson.video.containers import Joints
from vtm_lesson.video.taking import Order


def steps(count, first=0):
    """Frames of one grey each, five levels apart: a frame's level says its number."""
    return np.repeat(np.arange(first, first + count, dtype=np.uint8), 48 * 64 * 3).reshape(-1, 48, 64, 3) * 5


def film(frames, kind, codec="libx264", begin=0, options=None):
    """A film of 25 frames a second that begins at that second."""
    memory = io.BytesIO()
    with av.open(memory, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for k, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = begin * 25 + k, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return memory.getvalue()


def numbers(clip):
    return np.round(clip.frames.mean((1, 2, 3)) / 5).astype(int).tolist()


def all_ways(data, frames):
    """The same film read with motion, without, and piece by piece: numbers of the frames, and times."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*no motion vectors")
        whole = [video.read(io.BytesIO(data), frames, None, progress=False, motion=m) for m in (True, False)]
        pieces = list(video.stream(io.BytesIO(data), frames, None, piece=4, progress=False))
    assert all(clip.lost == 0 for clip in (*whole, *pieces))
    found = [(numbers(clip), clip.times.round(6).tolist()) for clip in whole]
    times = np.concatenate([clip.times for clip in pieces])
    found.append(([n for clip in pieces for n in numbers(clip)], times.round(6).tolist()))
    assert found[0] == found[1] == found[2]
    return whole[0], *found[0]


# ------------------------------------------------------------------------------------------------- B frames in AVI


@pytest.mark.parametrize(
    "more",
    [{"bf": "3", "b_strategy": "0"}, {"bf": "4", "b-pyramid": "normal"}, {"bf": "2", "x264-params": "open-gop=1"}],
)
def test_avi_with_b_frames_gives_the_frames_and_times_of_mp4(more):
    options = {"g": "12", "crf": "5", **more}
    for frames in (5, 10, 48):
        _, of_avi, times = all_ways(encode(steps(48), kind="avi", options=options), frames)
        _, of_mp4, expected = all_ways(encode(steps(48), kind="mp4", options=options), frames)
        assert of_avi == of_mp4 and times == expected and times == sorted(times)


def test_frames_lost_in_avi_cost_no_time_behind_the_next_key_frame():
    order, shown = Order(), []
    lost = {3, 4}
    for number in range(12):  # packets go in, and a frame comes out for each but the lost ones
        order.note(SimpleNamespace(size=1, pts=number))
        if number not in lost:
            image = SimpleNamespace(pts=number, key_frame=number % 6 == 0)
            order.mend(image)
            shown.append(image.pts)
    assert shown == [0, 1, 2, 3, 6, 7, 8, 9, 10, 11]
    order.note(SimpleNamespace(size=0, pts=12))
    assert order.times == [], "an empty packet has no frame"


# -------------------------------------------------------------------------------------------------- which way up


def with_matrix(data, a, b, c, d):
    """The film with this display matrix, in units of 2^-16: a pixel of (x, y) is shown at (a x + c y, b x + d y)."""
    at = data.index(b"tkhd") + 44
    return data[:at] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + data[at + 36 :]


ONE = 1 << 16
TURNS = [(x, 0, 0, y) for x in (ONE, -ONE) for y in (ONE, -ONE)] + [
    (0, x, y, 0) for x in (ONE, -ONE) for y in (ONE, -ONE)
]


@pytest.mark.parametrize("matrix", TURNS)
def test_a_film_is_shown_turned_and_mirrored_as_its_matrix_says(matrix):
    a, b, c, d = (value / ONE for value in matrix)
    data = encode(pan(3, 1, height=64, width=64))
    plain = video.read(io.BytesIO(data), 6, (64, 64), progress=False)
    shown = video.read(io.BytesIO(with_matrix(data, *matrix)), 6, (64, 64), progress=False)
    y, x = np.mgrid[:64, :64]
    to_x, to_y = (np.where(u + v < 0, 63, 0) + u * x + v * y for u, v in ((a, c), (b, d)))
    expected = np.empty_like(plain.frames)
    expected[:, to_y.astype(int), to_x.astype(int)] = plain.frames
    assert (shown.frames == expected).all()
    cells = np.mgrid[:16, :16]
    row, column = ((np.where(u + v < 0, 15, 0) + u * cells[1] + v * cells[0]).astype(int) for u, v in ((b, d), (a, c)))
    moved = np.stack([a * plain.motion[..., 0] + c * plain.motion[..., 1],
                      b * plain.motion[..., 0] + d * plain.motion[..., 1]], -1)  # fmt: skip
    np.testing.assert_allclose(shown.motion[:, row, column], moved, atol=1e-6)
    np.testing.assert_allclose(shown.magnitude[:, row, column], plain.magnitude, atol=1e-6)
    wide = video.read(io.BytesIO(with_matrix(data, *matrix)), 6, (32, 64), progress=False, motion=False)
    assert wide.frames.shape == (6, 32, 64, 3), "a size is that of the frame as it is shown"


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (ONE, 0, ONE, 0), (0, ONE, 0, 0)])
def test_a_matrix_that_leaves_nothing_to_see_turns_nothing(matrix):
    data = encode(pan(2, 0, height=64, width=64))
    plain, shown = (video.read(io.BytesIO(d), 3, 48, progress=False) for d in (data, with_matrix(data, *matrix)))
    assert (plain.frames == shown.frames).all() and (plain.motion == shown.motion).all()


# --------------------------------------------------------------------------------------- films that begin later


LATE = [("matroska", "libx264"), ("webm", "libvpx-vp9"), ("asf", "mpeg4"), ("nut", "libx264"), ("wtv", "libx264")]
LATE += [("mp4", "libx264"), ("mpegts", "libx264"), ("flv", "libx264")]


@pytest.mark.parametrize("begin", [95440, 95443])
def test_a_clock_that_comes_round_in_the_middle_is_no_damage(begin):
    data = film(steps(48), "mpegts", begin=begin)  # 2^33 ticks of 90 kHz are 95,443.7 s
    clip, found, times = all_ways(data, 16)
    assert found == list(range(1, 48, 3)) and abs(clip.duration - 1.92) < 0.01
    np.testing.assert_allclose(np.diff(times), 0.12, atol=0.002)


def test_flv_counts_from_when_its_first_frame_is_decoded():
    """At 5 frames a second B frames put the first one off by 0.4 s, of 1."""
    data = encode(steps(5), kind="flv", rate=5, options={"bf": "2", "b_strategy": "0"})
    assert all_ways(data, 5)[0].lost == 0


@pytest.mark.parametrize("kind, codec", LATE)
def test_a_film_that_begins_after_an_hour_has_lost_nothing(kind, codec):
    data = film(steps(40), kind, codec, begin=4000)
    clip, found, times = all_ways(data, 8)
    np.testing.assert_allclose(times, np.arange(8) * 0.2 + 0.08, atol=0.002)
    if codec == "libx264":
        assert found == [2, 7, 12, 17, 22, 27, 32, 37]
    assert abs(clip.duration - 1.6) < 0.01 and abs(clip.fps - 25) < 0.2


def test_a_film_that_begins_after_an_hour_and_is_cut_says_what_is_lost():
    data = film(pan(2, 1, length=60), "matroska", begin=4000)
    with pytest.warns(UserWarning, match="is damaged: about"):
        clip = video.read(io.BytesIO(data[: len(data) // 2]), 5, 64, progress=False)
    assert 0.2 < clip.lost < 0.8


# ------------------------------------------------------------------------------------------------------ joined films


@pytest.mark.parametrize(
    "kind, begins", [("mpegts", (0, 0)), ("mpegts", (500, 0)), ("mpegts", (3, 3)), ("matroska", (0, 0))]
)
@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "2", "g": "9"}])
def test_of_two_films_in_one_file_the_second_follows_the_first(kind, begins, options):
    parts = [
        film(steps(25, first), kind, begin=begin, options={"crf": "5", **options})
        for first, begin in zip((0, 25), begins, strict=True)
    ]
    clip, found, times = all_ways(b"".join(parts), 10)
    assert found == [2, 7, 12, 17, 22, 27, 32, 37, 42, 47]
    np.testing.assert_allclose(np.diff(times), 0.2, atol=0.002)
    assert abs(clip.duration - 2) < 0.01 and abs(clip.fps - 25) < 0.2


def packet(pts, key=False, kind="video", unit=0.04):
    stream = SimpleNamespace(type=kind)
    return SimpleNamespace(pts=pts, dts=pts, duration=1, is_keyframe=key, stream_index=0, stream=stream, time_base=unit)


def mended(*packets):
    joints = Joints()
    for one in packets:
        joints.mend(one)
    return [one.pts for one in packets], joints.found


def test_only_a_key_frame_that_goes_far_back_or_hours_ahead_is_a_joint():
    assert mended(packet(0, True), packet(3), packet(1), packet(2), packet(4, True)) == ([0, 3, 1, 2, 4], 0)
    assert mended(packet(0, True), packet(5), packet(0, True), packet(1)) == ([0, 5, 6, 7], 1)
    assert mended(packet(0, True), packet(5), packet(2), packet(4, True)) == ([0, 5, 2, 4], 0), "two frames back"
    assert mended(packet(0, True), packet(9000, True)) == ([0, 9000], 0), "a hole of six minutes"
    assert mended(packet(0, True), packet(10**7, True), packet(10**7 + 1)) == ([0, 1, 2], 1)
    late = packet(1)
    late.duration = 100  # of uneven frames, a duration may reach beyond the next one
    assert mended(packet(0, True), late, packet(4, True)) == ([0, 1, 4], 0)
    assert mended(packet(9, True, "audio"), packet(0, True, "audio")) == ([9, 0], 0)


def test_frames_out_of_order_do_not_turn_time_back():
    def arriving():
        for number, pts in enumerate((0, 1, 2, 8, 9, 3, 10, 4, 5, 6)):
            image = av.VideoFrame.from_ndarray(steps(1, number)[0], format="rgb24")
            image.pts, image.time_base = pts, Fraction(1)
            yield image

    (clip,) = video.stream(arriving(), size=None, rate=1, motion=False)
    assert numbers(clip) == [0, 1, 2, 2, 2, 2, 2, 2, 3, 5] and clip.times.tolist() == [0, 1, 2, 2, 2, 2, 2, 2, 8, 8]


# -------------------------------------------------------------------------------------------------------------- ties


@pytest.mark.parametrize("length, frames", [(48, 8), (48, 12), (40, 10), (36, 6), (32, 4)])
def test_where_the_middle_lies_between_two_frames_one_of_them_is_taken_and_always_the_same(length, frames):
    stretch = length // frames  # even: its middle is where one frame ends and the next begins
    _, found, _ = all_ways(encode(steps(length), rate=25, options={"crf": "5"}), frames)
    for k, number in enumerate(found):
        assert number in (k * stretch + stretch // 2 - 1, k * stretch + stretch // 2)
