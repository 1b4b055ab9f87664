"""Can the words in a figure be read: enough contrast, and nothing that strikes them through."""

import numpy as np
import pytest
from helpers import contrast, illegible, random
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from test_plots import N, every_figure

from vtm_lesson import checks, explorers, films, plots
from vtm_lesson.plots import style


def test_the_measure_sees_pale_words_and_struck_words():
    fig = Figure(figsize=(4, 3))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.text(0.2, 0.8, "dark on white")
    ax.text(0.2, 0.6, "pale on white", color=style.ORANGE)
    ax.text(0.2, 0.4, "struck", va="center")
    ax.axhline(0.4, color=style.BLUE)
    ax.text(0.2, 0.2, "white on blue", color="white", bbox={"facecolor": style.BLUE})
    found = illegible(fig)
    assert len(found) == 2 and "'pale on white': contrast 2.3" in found[0] and "'struck': struck" in found[1]


def test_contrast_is_what_wcag_says():
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
    assert contrast(to_rgb("#767676"), (1, 1, 1)) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("colour", [*style.COLOURS, style.YELLOW])
def test_ink_keeps_dark_colours_and_darkens_pale_ones(colour):
    white = (1, 1, 1)
    made = contrast(to_rgb(style.ink(colour)), white)
    assert made >= 4.5
    if contrast(to_rgb(colour), white) >= 4.5:
        assert to_rgb(style.ink(colour)) == pytest.approx(to_rgb(colour), abs=0.005)
    else:
        assert made < 5.2, "no darker than needed"


def test_ink_on_a_ground_can_always_be_read():
    for ground in np.random.default_rng(0).random((200, 3)):
        assert contrast(to_rgb(style.ink_on(tuple(ground))), ground) >= 4.5


def test_words_of_every_figure_can_be_read():
    film = np.random.default_rng(0).integers(0, 255, (5, 32, 24, 3), dtype=np.uint8)
    figures = every_figure(film, random(1, N, 6))
    x = [1, 2, 3, 4, 5, 6, 7]
    figures |= {
        "all colours": plots.curves(x, {f"line {i}": [i + k for k in x] for i in range(7)}, "x", "y"),
        "level": plots.curves(x, {"one": x}, "x", "y", reference=(3, "chance")),
        "attention": plots.attention(np.linspace(0, 1, 25).reshape(5, 5), names="abcde"),
        "change": plots.attention_change(np.linspace(0, 1, 16).reshape(4, 4), np.linspace(1, 0, 16).reshape(4, 4)),
        "flow": plots.flow({"a": "b", "c": "d"}, here="c"),
        "map": checks.course_map("09"),
    }
    assert {name: illegible(fig) for name, fig in figures.items() if illegible(fig)} == {}


def test_words_of_the_explorers_still_figures_can_be_read():
    for one in explorers.gallery():
        assert illegible(one.still) == [], one.name
    assert illegible(explorers.explore(films.make(0, frames=4, size=64, patch=16)).still) == []
