"""The target painter's Python side."""

import numpy as np
import pytest

from vtm_lesson import explorers, films


def test_the_page_is_given_a_film_of_each_way():
    data = explorers.paint_targets("centre", gamma=4).data
    assert list(data["films"]) == list(films.WAYS) and (data["partition"], data["gamma"]) == ("centre", 4)
    assert data["frames"] * data["height"] * data["width"] == 1200


def test_the_still_figure_is_the_actors_share_by_offset():
    fig = explorers.paint_targets(gamma=5).still
    lines = [line.get_ydata() for line in fig.axes[0].lines]
    actor = films.make(3, "roaming", frames=12, size=80, patch=8, grain=0).actor.ravel()
    expected = [100 * actor[offset::5].mean() for offset in range(5)]
    assert any(np.allclose(np.asarray(values, float), expected) for values in lines if len(values) == 5)
    assert "by offset" in fig.alt


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"partition": "learned"}, "begins with one of uniform"),
        ({"gamma": 1}, "from 2 to 25"),
        ({"gamma": 2.5}, "2.5"),
    ],
)
def test_bad_input_gets_a_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        explorers.paint_targets(**settings)
