"""Reading films: the right frames, motion that equals a known move, and damage told in one sentence."""

import io
import tracemalloc
import warnings
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from small_films import encode, pan, textured

from vtm_lesson import films, video
from vtm_lesson.video import reading

CLIPS = Path(__file__).resolve().parents[3] / "shared" / "clips"


def numbered(length, height=48, width=64):
    """Frames that carry their own number as brightness."""
    return np.repeat(np.arange(length) * (220 // length) + 10, height * width * 3).reshape(length, height, width, 3)


def numbers(frames, length):
    return np.rint((frames.mean((1, 2, 3)) - 10) / (220 // length)).astype(int).tolist()


@pytest.fixture(scope="module")
def film():
    """120 frames of a handheld film, as they are and as mp4 bytes."""
    made = films.make(1, "handheld", frames=120, size=64)
    memory = io.BytesIO()
    films.write(memory, made)
    return made, memory.getvalue()


def read_bytes(data, **settings):
    return video.read(io.BytesIO(data), progress=False, **settings)


# ------------------------------------------------------------------------------------------- which frames


def test_every_frame_of_a_film_comes_back_when_as_many_are_asked_for(film):
    made, data = film
    clip = read_bytes(data, frames=120, size=None)
    assert np.abs(clip.frames.astype(int) - made.frames).mean() < 8
    assert clip.fps == pytest.approx(12) and clip.duration == pytest.approx(10) and clip.lost == 0
    np.testing.assert_allclose(clip.times, np.arange(120) / 12, atol=1e-3)


def test_frames_are_the_middles_of_equal_stretches():
    data = encode(numbered(20).astype(np.uint8), options={"crf": "1"})
    assert numbers(read_bytes(data, frames=4, size=None).frames, 20) == [2, 7, 12, 17]
    assert numbers(read_bytes(data, frames=1, size=None).frames, 20) == [10]


def test_a_short_film_repeats_frames_and_nothing_moves_between_repetitions():
    clip = read_bytes(encode(pan(3, 0, length=4)), frames=8, size=None)
    pairs = clip.frames.reshape(4, 2, *clip.frames.shape[1:])
    assert (pairs[:, 0] == pairs[:, 1]).all() and not (pairs[0, 0] == pairs[1, 0]).all()
    assert not clip.magnitude[1::2].any() and clip.magnitude[2::2].mean((1, 2)).min() > 2


def test_a_variable_frame_rate_is_sampled_in_time():
    # Ten frames in the first second, then one a second until 11 s.
    times = [k / 10 for k in range(10)] + [1.0 + k for k in range(10)]
    data = encode(numbered(20).astype(np.uint8), kind="matroska", times=times, options={"crf": "1", "bf": "0"})
    clip = read_bytes(data, frames=10, size=None)
    middles = (np.arange(10) + 0.5) * clip.duration / 10
    shown = [max(k for k in range(20) if times[k] <= m + 1e-6) for m in middles]
    assert numbers(clip.frames, 20) == shown
    np.testing.assert_allclose(clip.times, np.array(times)[shown], atol=2e-3)


def test_a_stream_without_times_or_length():
    data = encode(numbered(20).astype(np.uint8), kind="h264", options={"crf": "1"})
    clip = read_bytes(data, frames=4, size=None)
    assert numbers(clip.frames, 20) == [2, 7, 12, 17] and clip.lost == 0 and clip.duration > 0


def test_memory_does_not_grow_with_the_length_of_the_film():
    peaks = []
    for length in (60, 900):
        data = encode(np.broadcast_to(pan(0, 0, length=1), (length, 96, 128, 3)), options={"preset": "ultrafast"})
        tracemalloc.start()
        read_bytes(data, frames=10, size=None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 200_000


# ----------------------------------------------------------------------------------------- size and shape


def test_the_short_side_becomes_size_and_the_centre_is_kept():
    picture = np.zeros((1, 64, 128, 3), np.uint8)
    picture[:, :, 32:96] = (200, 30, 30)
    clip = read_bytes(encode(picture, options={"crf": "1"}), frames=1, size=32)
    assert clip.frames.shape == (1, 32, 32, 3)
    assert clip.frames[0, :, 2:-2, 0].min() > 150, "the central square is all red"
    wide = read_bytes(encode(picture, options={"crf": "1"}), frames=1, size=(16, 64))
    assert wide.frames.shape == (1, 16, 64, 3)
    assert wide.frames[0, :, 20:44, 0].min() > 150 and wide.frames[0, :, :12, 0].max() < 60


def test_pixels_that_are_not_square_are_made_square():
    def twice_as_wide(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)

    picture = np.zeros((1, 64, 64, 3), np.uint8)
    picture[:, :, 16:48] = 255  # shown 128 wide, of which the middle 64 are white
    clip = read_bytes(encode(picture, change=twice_as_wide, options={"crf": "1"}), frames=1, size=64)
    assert clip.frames[0, :, 3:-3].min() > 200


def test_a_stored_rotation_is_undone_for_picture_and_motion():
    frames = pan(3, 0)
    upright = read_bytes(encode(frames), frames=6, size=48)
    if not hasattr(av.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV cannot write a rotation")
    data = encode(frames, change=lambda stream: stream.set_display_rotation(90))
    memory = io.BytesIO(data)
    with av.open(memory) as container:
        turns = round(next(container.decode(video=0)).rotation / 90) % 4
    assert turns in (1, 3)
    turned = read_bytes(data, frames=6, size=48)
    # The centre square of the turned film is the turned centre square.
    error = np.abs(turned.frames.astype(int) - np.rot90(upright.frames, turns, (1, 2))).mean()
    assert error < 6
    expected = {1: (0, -1), 3: (0, 1)}[turns]  # to the right becomes up, or down
    mean = turned.motion[1:].mean((0, 1, 2)) / np.abs(upright.motion[1:].mean((0, 1, 2))).max()
    np.testing.assert_allclose(mean, expected, atol=0.1)


def test_patches_are_the_pixels_and_the_mean_motion_of_each_token():
    clip = read_bytes(encode(pan(2, 1)), frames=6, size=(96, 120))
    for p in (8, 12, 24):
        pixels, motion = clip.patches(p)
        assert pixels.shape == (6, 96 // p, 120 // p, 3 * p * p) and motion.shape == pixels.shape[:3]
        np.testing.assert_array_equal(pixels[2, 1, 3].reshape(p, p, 3), clip.frames[2, p : 2 * p, 3 * p : 4 * p])
        cells = clip.magnitude[2, p // 4 : p // 2, 3 * p // 4 : p]
        assert motion[2, 1, 3] == pytest.approx(cells.mean(), rel=1e-4)
    _, motion = clip.patches(6)  # cells of 4 do not fit into patches of 6: areas count
    by_pixel = clip.magnitude.repeat(4, 1).repeat(4, 2).reshape(6, 16, 6, 20, 6).mean((2, 4))
    np.testing.assert_allclose(motion, by_pixel, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="multiple of the patch"):
        clip.patches(7)


# ------------------------------------------------------------------------------------------------- motion


@pytest.mark.parametrize("move", [(2, 0), (0, -3), (-4, 1)])
@pytest.mark.parametrize("frames", [24, 8])
def test_a_pan_gives_its_own_vector(move, frames):
    data = encode(pan(*move), options={"bf": "0", "refs": "1"})
    clip = read_bytes(data, frames=frames, size=None)
    steps = np.rint(np.diff(clip.times) * 10)
    inner = clip.motion[1:, 3:-3, 3:-3].mean((1, 2)) / steps[:, None]
    np.testing.assert_allclose(inner, np.broadcast_to(move, inner.shape), atol=0.25)
    lengths = clip.magnitude[1:, 3:-3, 3:-3].mean((1, 2)) / steps
    np.testing.assert_allclose(lengths, np.hypot(*move), atol=0.3)


def test_motion_is_in_pixels_of_the_resized_frame():
    data = encode(pan(4, 0), options={"bf": "0", "refs": "1"})
    full, half = (read_bytes(data, frames=24, size=size) for size in (96, 48))
    assert full.motion.shape == (24, 24, 24, 2) and half.motion.shape == (24, 12, 12, 2)
    assert full.motion[1:, 3:-3, 3:-3, 0].mean() == pytest.approx(4, abs=0.25)
    assert half.motion[1:, 2:-2, 2:-2, 0].mean() == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize("options", [{"bf": "2", "b-pyramid": "none"}, {"bf": "3", "b_strategy": "0"}, {"refs": "1"}])
@pytest.mark.parametrize("frames", [24, 7])
def test_b_frames_neither_add_nor_hide_motion(options, frames):
    data = encode(pan(2, -1), options={"bf": "3", "refs": "1", **options})
    with av.open(io.BytesIO(data)) as container:
        assert 3 in {frame.pict_type for frame in container.decode(video=0)}, "the film has B frames"
    clip = read_bytes(data, frames=frames, size=None)
    total = clip.motion[:, 3:-3, 3:-3].mean((1, 2)).sum(0)
    np.testing.assert_allclose(total / np.rint(clip.times[-1] * 10), (2, -1), atol=0.25)
    steps = np.rint(np.diff(clip.times) * 10)
    np.testing.assert_allclose(clip.motion[1:, 3:-3, 3:-3, 0].mean((1, 2)) / steps, 2, atol=0.5)


def test_motion_lies_where_something_moves():
    frames = np.repeat(textured(96, 128)[None], 12, 0)
    thing = textured(24, 24, seed=5)
    for t in range(12):
        frames[t, 40:64, 16 + 4 * t : 40 + 4 * t] = thing
    clip = read_bytes(encode(frames, options={"bf": "0", "refs": "1"}), frames=12, size=None)
    rows = clip.magnitude[1:].mean((0, 2))
    assert rows[11:15].min() > 5 * max(rows[:8].max(), rows[18:].max(), 0.01)
    assert clip.motion[1:, 11:15].mean((0, 1, 2))[0] > 0.3, "it moves to the right"


def test_to_and_fro_cancels_in_the_vectors_and_counts_in_the_length():
    there = pan(3, 0, length=7)
    data = encode(np.concatenate([there, there[-2::-1]]), options={"bf": "0", "refs": "1"})
    clip = read_bytes(data, frames=1, size=None)  # takes the middle one
    whole = read_bytes(data, frames=13, size=None)
    assert clip.motion[0, 3:-3, 3:-3, 0].mean() == pytest.approx(18, abs=1.5)
    assert whole.motion[:, 3:-3, 3:-3, 0].mean((1, 2)).sum() == pytest.approx(0, abs=1.5)
    assert whole.magnitude[:, 3:-3, 3:-3].mean((1, 2)).sum() == pytest.approx(36, abs=3)


def test_mpeg4_has_vectors_too():
    clip = read_bytes(encode(pan(3, 1), codec="mpeg4"), frames=24, size=None)
    np.testing.assert_allclose(clip.motion[1:, 3:-3, 3:-3].mean((0, 1, 2)), (3, 1), atol=0.3)


@pytest.mark.parametrize(
    "codec, kind, pixels",
    [("mjpeg", "avi", "yuvj420p"), ("ffv1", "matroska", "yuv420p"), ("libvpx-vp9", "webm", "yuv420p")],
)
def test_a_codec_without_vectors_gives_zeros_and_says_so(codec, kind, pixels):
    try:
        data = encode(pan(2, 0, length=6, height=48, width=64), codec=codec, kind=kind, pixels=pixels)
    except av.error.FFmpegError as error:
        pytest.skip(f"this FFmpeg cannot write {codec}: {error}")
    with pytest.warns(UserWarning, match="no motion vectors"):
        clip = read_bytes(data, frames=6, size=None)
    assert clip.frames.std() > 10 and not clip.motion.any() and not clip.magnitude.any()


class Vectors:
    """Notes every frame's vectors as they come out of the decoder, where `read` adds them up."""

    broken, with_motion = 0, True

    def __init__(self):
        self.seen = []

    def add(self, image):
        found = image.side_data.get("MOTION_VECTORS")
        found = np.zeros(0) if found is None else found.to_ndarray()
        # Not the bytes as they lie there: between the numbers are gaps, in which anything may stand.
        self.seen.append([found[field].tobytes() for field in found.dtype.names or ()])


@pytest.mark.parametrize("name", ["made", "arm_wrestling.mp4"])
def test_one_reading_finds_the_vectors_that_another_finds(name, tmp_path):
    path = CLIPS / name
    if name == "made":
        shown = pan(2, 1, length=24, height=240, width=320)
        path = write(tmp_path, "made.mp4", encode(shown, options={"bf": "3", "refs": "4", "preset": "veryfast"}))
    elif not path.exists():
        pytest.skip(f"the real clip {name} is not beside this repository")
    readings = []
    for _ in range(8):
        readings.append(Vectors())
        reading._decode(path, name, reading.survey_of(path, name), readings[-1], progress=False)
    assert sum(map(len, readings[0].seen)), "there are vectors"
    assert all(again.seen == readings[0].seen for again in readings[1:])


def test_overlap_averages_areas():
    weights = reading.overlap(np.array([0, 6, 12]), 4, 3, 12)
    np.testing.assert_allclose(weights, [[4 / 6, 2 / 6, 0], [0, 2 / 6, 4 / 6]])
    np.testing.assert_allclose(reading.overlap(np.array([0.0, 5, 10]), 4, 3, 10).sum(1), 1)


# ------------------------------------------------------------------------------------------------- damage


def write(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "name, data, words",
    [
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"This is not a film.\n" * 50, "cannot be read"),
        ("text.txt", b"This is not a film.\n" * 50, "not a film"),
        ("noise.mkv", bytes(np.random.default_rng(0).integers(0, 256, 20000, np.uint8)), "cannot be read"),
    ],
)
def test_what_is_no_film_says_so(tmp_path, name, data, words):
    with pytest.raises(video.VideoError, match=words) as caught:
        video.read(write(tmp_path, name, data))
    message = str(caught.value)
    assert name in message and "\n" not in message and message.endswith(".")


def test_folders_and_missing_files_say_so(tmp_path):
    with pytest.raises(video.VideoError, match="is a folder"):
        video.read(tmp_path)
    with pytest.raises(video.VideoError, match="does not exist"):
        video.read(tmp_path / "nothing.mp4")


def test_a_picture_and_a_sound_file_are_no_films(tmp_path):
    from PIL import Image

    Image.fromarray(textured(32, 32)).save(tmp_path / "a.png")
    with pytest.raises(video.VideoError, match="not a film"):
        video.read(tmp_path / "a.png")
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(video.VideoError, match="no video track"):
        video.read(tmp_path / "a.wav")


def test_an_mp4_cut_before_its_index_is_beyond_use(film, tmp_path, capfd):
    _, data = film
    with pytest.raises(video.VideoError, match="cut short"):
        video.read(write(tmp_path, "cut.mp4", data[: len(data) // 2]))
    assert capfd.readouterr().err == "", "FFmpeg keeps quiet"


def test_a_film_cut_in_half_gives_its_first_half_and_says_what_is_lost(film, tmp_path):
    made, _ = film
    data = encode(made.frames, kind="matroska", rate=12, options={"bf": "0"})
    with pytest.warns(UserWarning, match="is damaged"):
        clip = video.read(write(tmp_path, "cut.mkv", data[: len(data) // 2]), frames=12, size=None)
    assert 0.35 < clip.lost < 0.65 and clip.duration == pytest.approx(10 * (1 - clip.lost), abs=0.5)
    index = np.rint(clip.times * 12).astype(int)
    assert np.abs(clip.frames.astype(int) - made.frames[index]).mean() < 8


def test_a_hole_in_the_middle_gives_the_rest_and_says_what_is_lost(film, tmp_path, capfd):
    made, data = film
    broken = bytearray(data)
    a, b = int(len(data) * 0.4), int(len(data) * 0.6)
    broken[a:b] = np.random.default_rng(0).integers(0, 256, b - a, np.uint8).tobytes()
    with pytest.warns(UserWarning, match="is damaged"):
        clip = video.read(write(tmp_path, "hole.mp4", bytes(broken)), frames=120, size=None)
    assert 0.02 < clip.lost < 0.5
    error = np.abs(clip.frames.astype(int) - made.frames).mean((1, 2, 3))
    assert error[:40].max() < 8, "what lies before the hole is whole"
    assert capfd.readouterr().err == ""


def test_sound_that_outlasts_the_picture_is_no_damage():
    memory = io.BytesIO()
    with av.open(memory, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        track = container.add_stream("pcm_s16le", rate=8000)
        for frame in pan(1, 0, length=10, height=48, width=64):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
        for k in range(5):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
            sound.rate, sound.pts = 8000, 8000 * k
            container.mux(track.encode(sound))
        container.mux(track.encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clip = read_bytes(memory.getvalue(), frames=5, size=None)
    assert clip.lost == 0 and clip.duration == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("settings, words", [({"frames": 0}, "1 or more"), ({"size": 0}, "number of pixels")])
def test_wrong_settings_say_what_is_allowed(film, settings, words):
    with pytest.raises(ValueError, match=words):
        read_bytes(film[1], **settings)


# --------------------------------------------------------------------------------------------- real films


@pytest.mark.parametrize("name", ["arm_wrestling.mp4", "flipping_a_pancake.mkv"])
def test_real_clips(name):
    if not (CLIPS / name).exists():
        pytest.skip(f"the real clip {name} is not beside this repository")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clip = video.read(CLIPS / name, frames=20, size=112)
    assert clip.frames.shape == (20, 112, 112, 3) and clip.motion.shape == (20, 28, 28, 2) and clip.lost == 0
    assert 9 < clip.duration < 11 and 24 < clip.fps < 32
    with av.open(str(CLIPS / name)) as container:
        seconds = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    np.testing.assert_allclose(np.diff(clip.times), clip.duration / 20, atol=1.5 / clip.fps)
    assert clip.duration == pytest.approx(max(seconds) - min(seconds) + 1 / clip.fps, abs=0.05)
    assert clip.frames.std() > 20 and clip.magnitude[1:].mean() > 0.1
    # Where the codec says nothing moved, the picture changes less than where it says much did.
    change = np.abs(np.diff(clip.frames.astype(float), axis=0)).mean(3).reshape(19, 28, 4, 28, 4).mean((2, 4))
    low, high = np.quantile(clip.magnitude[1:], (0.25, 0.75))
    assert change[clip.magnitude[1:] >= high].mean() > 1.2 * change[clip.magnitude[1:] <= low].mean()
