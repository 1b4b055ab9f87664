"""Films that play: what is in the file, that it fits, that it is the same each time, and what its HTML says."""

import base64
import io
import re
from html.parser import HTMLParser

import av
import numpy as np
import pytest
import torch
from helpers import random
from PIL import Image, ImageColor

from vtm_lesson import films, plots
from vtm_lesson.merging import Merge, match
from vtm_lesson.partition import uniform
from vtm_lesson.plots import playing
from vtm_lesson.plots.playing import BAND, GAP, LIMIT, side_by_side
from vtm_lesson.plots.style import COLOURS

GRID = (6, 4, 4)
N = 96


@pytest.fixture(scope="module")
def film():
    return films.make(3, frames=6, size=64, patch=16).frames


@pytest.fixture(scope="module")
def merge(film):
    return plots.merge_patches(film, gamma=4)[0]


@pytest.fixture(scope="module")
def noise():
    """A film of chance, which is as large as a film can be: 8 frames of 192 x 192 pixels."""
    return np.random.default_rng(0).integers(0, 256, (8, 192, 192, 3), dtype=np.uint8)


def decoded(mp4):
    """(frames (L, H, W, 3), frames a second) of what a player plays."""
    with av.open(io.BytesIO(mp4)) as container:
        [stream] = container.streams
        assert stream.codec_context.name == "h264"
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return np.stack(frames), float(stream.average_rate)


class Elements(HTMLParser):
    """Every element of a piece of HTML: (name, its attributes)."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def one(self, tag):
        [attributes] = [attributes for name, attributes in self.found if name == tag]
        return attributes


def test_the_film_and_its_merged_half_play_side_by_side_in_one_file(film, merge):
    shown = plots.player(film, merge, GRID, fps=5)
    frames, rate = decoded(shown.mp4)
    zoom = round(playing.SIDE / 64)
    high = wide = 64 * zoom
    assert frames.shape == (6, high + BAND, 2 * wide + GAP, 3) and rate == 5
    assert shown.size == (frames.shape[2], frames.shape[1])
    patches = torch.from_numpy(film).view(6, 4, 16, 4, 16, 3).transpose(2, 3).reshape(1, N, -1).double()
    merged = merge.unmerge(merge(patches)).view(6, 4, 4, 16, 16, 3).transpose(2, 3).reshape(film.shape).numpy()
    halves = frames[:, BAND:, :wide], frames[:, BAND:, wide + GAP :]
    for half, expected, other in zip(halves, (film, merged), (merged, film), strict=True):
        small = half.reshape(6, 64, zoom, 64, zoom, 3).mean((2, 4))
        assert np.abs(small - expected).mean() < 0.6 * np.abs(small - other).mean()
        assert np.abs(small - expected).mean() < 5, "of 255: H.264 is coarse, and no coarser than that"


def test_every_frame_is_in_step(merge):
    """Frame k is a grey of its own in both halves."""
    film = np.repeat(np.arange(40, 240, 40, dtype=np.uint8), 64 * 64 * 3).reshape(5, 64, 64, 3)
    frames, _ = decoded(plots.player(film, Merge.identity(1, 80), (5, 4, 4)).mp4)
    middle = frames.shape[2] // 2
    for half in (frames[:, BAND:, : middle - GAP], frames[:, BAND:, middle + GAP :]):
        np.testing.assert_allclose(half.mean((1, 2, 3)), np.arange(40, 240, 40), atol=3)


def test_names_stand_over_the_halves_and_bars_have_their_colours(film, merge):
    names = {"a name that is far too long for one half of it, " * 2: merge, "one": merge}
    canvas = side_by_side(plots.player(film, names, GRID).panels)
    wide = (canvas.shape[2] - 2 * GAP) // 3
    for k in range(3):
        left = k * (wide + GAP)
        assert (canvas[:, 1, left : left + wide] == ImageColor.getrgb(COLOURS[k])).all()
        assert (canvas[:, 5:BAND, left : left + wide] < 128).any(), "a name is written"
        if k:
            assert (canvas[:, :, left - GAP : left] == 255).all(), "and it does not reach into the next half"


def test_the_same_film_gives_the_same_bytes():
    for seed in range(3):
        film = films.make(seed, frames=5, size=64, patch=16).frames
        one, two = (plots.player(film, *plots.merge_patches(film, gamma=4)) for _ in range(2))
        assert one.mp4 == two.mp4 and one.still == two.still and one.html == two.html and one.webp() == two.webp()


def test_a_lesson_s_film_fits_at_full_quality():
    try:
        path = films.sample("centred")
    except FileNotFoundError as absent:
        pytest.skip(str(absent))
    from vtm_lesson import video

    clip = video.read(path, frames=24, size=128, progress=False)
    shown = plots.player(clip.frames, *plots.merge_patches(clip.frames, gamma=6))
    assert len(shown.html) <= LIMIT and len(shown.webp()) <= LIMIT
    assert decoded(shown.mp4)[0].shape[1:3] == side_by_side(shown.panels).shape[1:3]


def test_what_is_too_large_is_made_smaller_and_lasts_as_long(noise):
    merge, grid = Merge.identity(1, 8 * 36), (8, 6, 6)
    coarse = plots.player(noise, merge, grid, fps=4)
    assert len(coarse.html) <= LIMIT and len(coarse.mp4) > LIMIT / 2, "the whole output fits, and not the film alone"
    shown = plots.player(noise, merge, grid, fps=4, limit=25_000)
    frames, rate = decoded(shown.mp4)
    assert len(shown.html) <= 25_000
    assert len(frames) < 8 and frames.shape[1] < 192 and len(frames) / rate == 8 / 4
    assert len(shown.webp(100_000)) <= 100_000


def test_quality_is_lowered_before_size_and_size_before_frames(film, merge):
    whole = plots.player(film, merge, GRID)
    coarse = plots.player(film, merge, GRID, limit=len(whole.html) - 1)
    assert coarse.size == whole.size and len(coarse.mp4) < len(whole.mp4)
    limits = np.linspace(len(whole.html), 0, 12).astype(int)[:-1]
    seen = []
    for limit in limits:
        try:
            tried = plots.player(film, merge, GRID, limit=int(limit))
        except ValueError:
            break
        assert len(tried.html) <= limit
        seen.append((tried.size[0], len(decoded(tried.mp4)[0])))
    assert seen[0] == (whole.size[0], 6) and seen[-1][0] < whole.size[0] and seen[-1][1] < 6


def test_its_html_plays_in_a_loop_without_sound_and_starts_only_where_motion_is_welcome(film, merge):
    shown = plots.player(film, merge, GRID)
    elements = Elements(shown.html)
    video, still = elements.one("video"), elements.one("img")
    assert {"controls", "loop", "muted", "playsinline"} <= set(video)
    assert "autoplay" not in video, "it would not ask how much motion is wanted"
    assert "prefers-reduced-motion" in video["onloadeddata"] and "this.play()" in video["onloadeddata"]
    refused = {"script", "source", "style", "picture"}  # by JupyterLab, in a notebook that it does not trust
    assert {tag for tag, _ in elements.found}.isdisjoint(refused)
    kind, _, data = video["src"].partition(";base64,")
    assert kind == "data:video/mp4" and base64.b64decode(data) == shown.mp4
    assert still["alt"] == shown.alt == video["aria-label"]
    assert base64.b64decode(still["src"].partition(",")[2]) == shown.still
    assert "http" not in re.sub(r"base64,[\w+/=]+", "", shown.html)


def test_a_notebook_stores_the_film_and_the_picture_and_the_words(film, merge):
    shown = plots.player(film, merge, GRID)
    data, about = shown._repr_mimebundle_()
    assert data["text/html"] == shown.html and data["text/plain"] == shown.alt
    assert base64.b64decode(data["image/png"]) == shown.still and about["image/png"]["alt"] == shown.alt
    picture = Image.open(io.BytesIO(shown.still)).convert("RGB")
    assert picture.size == shown.size
    middle = side_by_side(shown.panels)[3]
    assert np.abs(np.asarray(picture).astype(int) - middle).mean() < 6


def test_the_words_come_from_the_data(film, merge):
    alt = plots.player(film, merge, GRID, fps=4).alt
    assert alt.startswith("A film that plays: 6 frames, 1.5 seconds. Side by side and in step: the film; merged,")
    assert alt.endswith("merged, 96 patches drawn from 24, 1 token in 4.")
    both = {"mine": match(random(1, N, 5), uniform(N, 6)), "none": Merge.identity(1, N)}
    shown = plots.player(film, both, GRID)
    assert list(shown.panels) == ["film", "mine", "none"]
    assert "mine, 96 patches drawn from 16, 1 token in 6; none, 96 patches drawn from 96, 1 token in 1" in shown.alt


def test_dropped_patches_fade_and_are_not_counted(film):
    group = (torch.arange(N) // 2)[None]
    dropped = (torch.arange(N) % 2 == 1)[None]
    merge = Merge(group, torch.arange(0, N, 2)[None], dropped)
    shown = plots.player(film, merge, GRID)
    assert "96 patches drawn from 48, 1 token in 2" in shown.alt
    half = shown.panels["merged, 1 token in 2"]
    kept, faded = half[0, :16, :16].astype(int), half[0, :16, 16:32].astype(int)
    np.testing.assert_allclose(kept, film[0, :16, :16], atol=1)
    assert (faded.max(-1) - faded.min(-1)).max() <= 1, "grey"


def test_webp_moves_over_and_over(film, merge):
    shown = plots.player(film, merge, GRID, fps=4)
    picture = Image.open(io.BytesIO(shown.webp()))
    assert picture.format == "WEBP" and picture.n_frames == 6 and picture.info["loop"] == 0
    seen = []
    for k in range(6):
        picture.seek(k)
        seen.append(np.asarray(picture.convert("RGB")).astype(int))
        picture.load()
        assert picture.info["duration"] == 250
    for one, expected in zip(seen, side_by_side(shown.panels), strict=True):
        assert np.abs(one - expected).mean() < 8


@pytest.mark.parametrize("shape, grid", [((1, 15, 21, 3), (1, 3, 7)), ((2, 245, 171, 3), (2, 49, 19))])
def test_any_size_and_a_single_frame(shape, grid):
    film = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    shown = plots.player(film, Merge.identity(1, int(np.prod(grid))), grid)
    frames, _ = decoded(shown.mp4)
    assert len(frames) == shape[0] and frames.shape[1] % 2 == frames.shape[2] % 2 == 0


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda f, m: plots.player(f[0], m, GRID), "a film is"),
        (lambda f, m: plots.player(f, m, (6, 5, 4)), "h dividing 64"),
        (lambda f, m: plots.player(f, [1, 2], GRID), "has 96 patches"),
        (lambda f, m: plots.player(f, {"a": "b"}, GRID), "give a Merge"),
        (lambda f, m: plots.player(f, m, GRID, fps=0), "fps is 0"),
        (lambda f, m: plots.player(f, m, GRID, limit=1000), "fewer or smaller frames"),
        (lambda f, m: plots.player(f, m, GRID).webp(limit=1000), "6 frames of 520 x 280 pixels do not fit into 1,000"),
    ],
)
def test_wrong_input_is_one_clear_sentence(film, merge, call, message):
    with pytest.raises(ValueError, match=message) as error:
        call(film, merge)
    assert "\n" not in str(error.value)
