"""A film piece by piece: what `read` gives, in memory that does not grow; and frames that arrive one by one."""

import io
import tracemalloc
import warnings

import av
import numpy as np
import pytest
from av.codec.context import Flags2
from small_films import encode, pan

import vtm_lesson as vtm
from vtm_lesson import films, video

FIELDS = ("frames", "motion", "magnitude", "times")
KINDS = {
    "no B frames": {"options": {"bf": "0", "refs": "1"}},
    "B frames": {"options": {"bf": "3", "g": "12"}},
    "B frames that others refer to": {"options": {"bf": "4", "b-pyramid": "normal", "g": "15", "refs": "3"}},
    "Matroska": {"options": {"bf": "2", "g": "9"}, "kind": "matroska"},
    "no container": {"options": {"g": "9"}, "kind": "h264"},
    "mpeg4": {"codec": "mpeg4", "options": {"g": "8"}},
}


def joined(clips):
    return {name: np.concatenate([getattr(clip, name) for clip in clips]) for name in FIELDS}


def assert_same(clips, whole):
    for name, value in joined(clips).items():
        np.testing.assert_array_equal(value, getattr(whole, name), err_msg=name)
    for clip in clips:
        assert (clip.fps, clip.duration, clip.codec) == (whole.fps, whole.duration, whole.codec)
    assert clips[-1].lost == whole.lost and not any(clip.lost for clip in clips[:-1])


def both(data, frames, piece, **settings):
    settings = {"size": None, "progress": False, **settings}
    whole = video.read(io.BytesIO(data), frames=frames, **settings)
    return list(video.stream(io.BytesIO(data), frames, piece=piece, **settings)), whole


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("frames", "piece"), [(40, 7), (40, 40), (13, 4), (95, 6), (1, 5)])
def test_the_pieces_together_are_what_read_gives(kind, frames, piece):
    clips, whole = both(encode(pan(2, 1, length=40, height=48, width=64), **KINDS[kind]), frames, piece)
    assert_same(clips, whole)
    assert [len(clip.frames) for clip in clips[:-1]] == [piece] * ((frames - 1) // piece)


@pytest.mark.parametrize("settings", [{"size": 32}, {"size": (24, 40)}, {"motion": False}])
def test_so_they_are_at_other_sizes_and_without_motion(settings):
    data = encode(pan(2, 1, length=40, height=48, width=64), **KINDS["B frames"])
    clips, whole = both(data, 17, 5, **settings)
    assert_same(clips, whole)


def test_a_variable_frame_rate_and_a_number_of_frames_that_hangs_on_the_duration():
    times = [k / 10 for k in range(10)] + [1.0 + k for k in range(10)]
    data = encode(pan(2, 0, length=20), kind="matroska", times=times, options={"g": "5"})
    assert_same(*both(data, lambda seconds: round(2 * seconds), 4))


def test_a_stored_rotation_is_undone():
    if not hasattr(av.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV cannot write a rotation")
    data = encode(pan(3, 0), change=lambda stream: stream.set_display_rotation(90))
    clips, whole = both(data, 12, 5, size=48)
    assert_same(clips, whole)
    assert np.abs(whole.motion[1:, ..., 1]).mean() > np.abs(whole.motion[1:, ..., 0]).mean(), "it moves up or down"


def test_rate_says_how_many_frames_a_second():
    path = films.sample("centred")  # 3 seconds
    clips = list(video.stream(path, size=64, rate=4, piece=5))
    assert_same(clips, vtm.read_video(path, frames=12, size=64))
    assert len(next(video.stream(path, size=64, rate=0.01)).frames) == 1, "a film gives one frame at least"


def test_a_damaged_film_gives_the_same_as_read_and_says_so_at_the_end():
    data = encode(pan(1, 0, length=60), kind="matroska", options={"bf": "0"})
    cut = data[: len(data) // 2]
    with pytest.warns(UserWarning, match="is damaged"):
        whole = video.read(io.BytesIO(cut), frames=12, size=None, progress=False)
    stream = video.stream(io.BytesIO(cut), 12, size=None, piece=5, progress=False)
    clips = [next(stream)]
    with pytest.warns(UserWarning, match="is damaged"):
        clips += list(stream)
    assert_same(clips, whole)
    assert clips[-1].lost > 0.3


@pytest.mark.filterwarnings("error")
def test_a_codec_without_vectors_is_told_after_the_last_piece():
    data = encode(pan(1, 0, length=12, height=48, width=64), codec="mjpeg", kind="avi", pixels="yuvj420p")
    stream = video.stream(io.BytesIO(data), 12, size=None, piece=6, progress=False)
    assert not next(stream).motion.any() and not next(stream).motion.any()
    with pytest.raises(UserWarning, match="no motion vectors"):
        next(stream)


def test_a_piece_comes_while_the_film_is_still_being_read(monkeypatch):
    """After so many frames and one more, not at the end."""
    seen = []
    add = video.streaming.Taker.add
    monkeypatch.setattr(video.streaming.Taker, "add", lambda self, image: (seen.append(1), add(self, image))[1])
    data = encode(pan(1, 0, length=60, height=48, width=64), options={"bf": "0"})
    stream = video.stream(io.BytesIO(data), 60, size=None, piece=6, progress=False)
    next(stream)
    assert len(seen) == 7
    stream.close()


def test_memory_does_not_grow_with_the_length_of_the_film():
    peaks = []
    for length in (60, 900):
        data = encode(np.broadcast_to(pan(0, 0, length=1), (length, 96, 128, 3)), options={"preset": "ultrafast"})
        file = io.BytesIO(data)
        tracemalloc.start()
        for _ in video.stream(file, length, size=None, piece=10, progress=False):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] + 50_000


def test_what_is_no_film_is_refused_before_the_first_piece(tmp_path):
    with pytest.raises(video.VideoError, match="does not exist"):
        video.stream(tmp_path / "nothing.mp4")
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(video.VideoError, match="not a film"):
        video.stream(tmp_path / "text.mp4")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"frames": 0}, "frames is 0"),
        ({"size": 0}, "number of pixels"),
        ({"piece": 0}, "frames of a piece"),
        ({"rate": 0}, "more than 0"),
        ({"rate": float("inf")}, "more than 0"),
    ],
)
def test_wrong_settings_are_refused_before_the_first_piece(settings, words):
    with pytest.raises(ValueError, match=words):
        video.stream(films.sample("centred"), **settings)


# -------------------------------------------------------------------------------------------------- a live source


def decoded(data, vectors=True):
    """Frames one by one, as a decoder hands them out."""
    with av.open(io.BytesIO(data)) as container:
        if vectors:
            container.streams.video[0].codec_context.flags2 |= Flags2.export_mvs
        yield from container.decode(video=0)


@pytest.mark.parametrize("kind", ["no B frames", "B frames"])
def test_frames_that_arrive_give_what_their_film_gives(kind):
    data = encode(pan(2, 1, length=40, height=48, width=64), **KINDS[kind])  # 4 seconds
    for rate in (10, 2.5):
        whole = video.read(io.BytesIO(data), frames=round(4 * rate), size=32, progress=False)
        clips = list(video.stream(decoded(data), size=32, rate=rate, piece=3))
        for name, value in joined(clips).items():
            np.testing.assert_allclose(value, getattr(whole, name), err_msg=name)
        assert clips[-1].fps == pytest.approx(10) and clips[-1].duration == pytest.approx(4)
        assert clips[0].duration < clips[-1].duration


def test_arrays_are_taken_all_and_nothing_is_asked_for_too_early():
    frames = pan(2, 1, length=11, height=48, width=64)
    given = []

    def camera():
        for frame in frames:
            given.append(1)
            yield frame

    stream = video.stream(camera(), size=None, rate=25, piece=4, motion=False)
    first = next(stream)
    assert len(given) == 5, "a frame is taken once the next one shows how long it was there"
    clips = [first, *stream]
    np.testing.assert_array_equal(joined(clips)["frames"], frames)
    np.testing.assert_allclose(joined(clips)["times"], np.arange(11) / 25)
    assert np.isnan(first.motion).all() and clips[-1].codec == "live"


def test_a_live_source_without_vectors_says_so_and_one_without_frames_gives_nothing():
    with pytest.warns(UserWarning, match="no motion vectors come with these frames"):
        clips = list(video.stream(iter(pan(1, 0, length=4)), size=None))
    assert not clips[0].motion.any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(video.stream(iter([]))) == []


def test_a_live_source_without_end():
    """Nobody waits for its end."""

    def forever():
        while True:
            yield from pan(1, 0, length=5, height=48, width=64)

    stream = video.stream(forever(), size=None, rate=5, piece=2, motion=False)
    assert [next(stream).times.round(3).tolist() for _ in range(3)] == [[0, 0.2], [0.4, 0.6], [0.8, 1.0]]


@pytest.mark.parametrize("frame", [np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), "frame"])
def test_what_arrives_and_is_no_frame_is_refused(frame):
    with pytest.raises(ValueError, match="a frame arrived as"):
        next(video.stream(iter([frame])))


def test_frames_are_for_films():
    with pytest.raises(ValueError, match="give rate"):
        video.stream(iter([]), frames=4)
