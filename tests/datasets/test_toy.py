"""Toy films as tokens: the films that `films` makes, made once and kept, the same for every n."""

import numpy as np
import pytest
import torch
from helpers import Colours

from vtm_lesson import films
from vtm_lesson.datasets import toy, toy_films

SMALL = {"frames": 4, "size": 32, "progress": False}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("tokens")


@pytest.fixture(scope="module")
def items(cache):
    return toy_films(30, 3, encoder=Colours(), folder=cache, **SMALL)


def test_films_are_those_that_films_makes(items):
    assert items.columns["tokens"].shape == (30, 4, 4, 4, 6) and items.columns["tokens"].dtype == torch.float16
    for i in (0, 7):
        film = films.make(3 * 2**20 + i, films.WAYS[i % 3], frames=4, size=32)
        one = items[i]
        assert int(one["label"]) == film.label and films.WAYS[int(one["way"])] == film.way
        np.testing.assert_array_equal(one["oracle"], film.share)
        np.testing.assert_allclose(one["motion"], film.patches()[1], atol=1e-6)
        # The tokens come from the film as H.264 shows it: close to what was filmed, and not the same.
        wanted = Colours().encode(torch.from_numpy(film.frames)[None])[0]
        apart = (one["tokens"].float() - wanted).abs()[..., :3]
        assert 0 < float(apart.mean()) < 0.05


def test_tokens_are_kept_and_prefixes_agree(items, cache, monkeypatch):
    monkeypatch.setattr(toy, "_make_part", lambda job: pytest.fail("made again"))
    again = toy_films(20, 3, encoder=Colours(), folder=cache, **SMALL)
    for name, column in again.columns.items():
        assert torch.equal(column, items.columns[name][:20]), name


def test_processes_noise_and_seeds(items, cache, tmp_path):
    apart = toy_films(60, 3, encoder=Colours(), folder=tmp_path, workers=2, **SMALL)
    for name, column in items.columns.items():
        assert torch.equal(apart.columns[name][:30], column), name
    noisy = toy_films(30, 3, encoder=Colours(), folder=cache, noise=0.5, **SMALL)
    again = toy_films(10, 3, encoder=Colours(), folder=cache, noise=0.5, **SMALL)
    assert torch.equal(noisy.columns["tokens"][:10], again.columns["tokens"])
    added = noisy.columns["tokens"].float() - items.columns["tokens"].float()
    assert float(added.std()) == pytest.approx(0.5, rel=0.05)
    other = toy_films(3, 4, encoder=Colours(), folder=tmp_path, **SMALL)
    assert not torch.equal(other.columns["tokens"], items.columns["tokens"][:3])
    with pytest.raises(ValueError, match="workers"):
        toy_films(0, 1, encoder=Colours())
