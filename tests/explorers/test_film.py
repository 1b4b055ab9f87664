"""The film explorer: a still figure where nothing is interactive, and a picture that follows its sliders."""

from types import SimpleNamespace

import IPython.display
import numpy as np

from vtm_lesson import films, plots
from vtm_lesson.explorers import film as explorer


def test_explorer_shows_a_still_figure_where_nothing_is_interactive(monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "show", shown.append)
    film = films.make(0, frames=4, size=64, patch=16)
    explorer.explore(film, gamma=4, frame=2)
    assert "merging 64 tokens to 16" in shown[0].alt and "frame 2" in shown[0].alt


def test_explorer_follows_its_sliders(monkeypatch):
    import ipywidgets

    made = []
    monkeypatch.setattr(explorer, "_live", lambda: ipywidgets)
    monkeypatch.setattr(IPython.display, "display", made.append)
    explorer.explore(films.make(0, frames=4, size=64, patch=16), gamma=4, frame=2)
    gamma, frame, picture = made[0].children
    assert "to 16" in picture.value and 'alt="' in picture.value
    gamma.value = 10
    assert "to 7" in picture.value
    before, frame.value = picture.value, 0
    assert picture.value != before and "frame 0" in picture.value


def test_explorer_loses_nothing_of_what_stands_still(monkeypatch):
    """A film that stands still, of 14 x 14 places: every gamma-th token would never be a target in half of them."""
    shown = []
    monkeypatch.setattr(plots, "show", shown.append)
    still = np.repeat(np.random.default_rng(0).random((1, 28, 28, 3)), 60, axis=0)
    explorer.explore(SimpleNamespace(frames=still), patch=2, gamma=6)
    film, merged = (np.asarray(image.get_array()) for image in shown[0].axes[0].images)
    np.testing.assert_allclose(merged, film, atol=1e-5)
