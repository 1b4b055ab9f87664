"""The film explorer's Python side: what the page is given, and the still figure that stands for it."""

import base64
import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from vtm_lesson import explorers, films, video
from vtm_lesson.explorers import film as explorer


def numbers(text):
    return np.frombuffer(base64.b64decode(text), np.uint8)


def test_the_page_is_given_the_film_its_motion_and_where_the_actor_is():
    painted = films.make(0, frames=5, size=64, patch=8)
    data = explorers.explore(painted, patch=8, gamma=4).data
    assert (data["frames"], data["height"], data["width"], data["frame"]) == (5, 8, 8, 2)
    image = Image.open(io.BytesIO(base64.b64decode(data["picture"].split(",")[1])))
    assert image.size == (64, 5 * 64), "the frames stand below each other"
    assert np.abs(np.asarray(image, float) - painted.frames.reshape(-1, 64, 3)).mean() < 6
    np.testing.assert_array_equal(numbers(data["actor"]) > 0, painted.actor.ravel())
    assert "motion" not in data, "a painted film was not read: the page takes the frame difference"


def test_a_film_that_was_read_brings_the_codecs_motion():
    clip = video.read(films.sample("roaming"), frames=6, size=64)
    data = explorers.explore(clip, patch=8).data
    motion = clip.patches(8)[1].ravel()
    np.testing.assert_allclose(numbers(data["motion"]) * data["motion_scale"], motion, atol=motion.max() / 255)
    assert "h264" in data["motion_name"] and "actor" not in data


def test_of_a_long_film_frames_are_taken_evenly_and_the_actor_with_them():
    actor = np.zeros((300, 8, 8))
    actor[150:] = 1
    data = explorers.explore(SimpleNamespace(frames=np.zeros((300, 64, 64, 3))), patch=8, frame=299, actor=actor).data
    assert data["frames"] == explorer.TOKENS // 64 and data["frame"] == data["frames"] - 1
    shown = numbers(data["actor"]).reshape(-1, 64)[:, 0] > 0
    assert not shown[: len(shown) // 2].any() and shown[-len(shown) // 2 + 1 :].all()


def test_the_still_figure_says_what_it_shows():
    shown = explorers.explore(films.make(0, frames=4, size=64, patch=16), gamma=4, frame=2)
    assert "merging 64 tokens to 16" in shown.still.alt and "frame 2" in shown.still.alt
    assert "merging 64 tokens to 7" in explorers.explore(films.make(0, frames=4, size=64, patch=16), gamma=10).still.alt


def test_nothing_is_lost_of_what_stands_still():
    """A film that stands still, of 14 x 14 places: every gamma-th token would never be a target in half of them."""
    still = np.repeat(np.random.default_rng(0).random((1, 112, 112, 3)), 30, axis=0)
    fig = explorers.explore(SimpleNamespace(frames=still), patch=8, gamma=6).still
    film, merged = (np.asarray(image.get_array()) for image in fig.axes[0].images)
    np.testing.assert_allclose(merged, film, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"partition": "learned"}, "begins with one of uniform"), ({"patch": 10}, "patches of 10 pixels do not fill")],
)
def test_bad_input_gets_a_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        explorers.explore(films.make(0, frames=4, size=64, patch=16), **settings)
