"""Lesson 03's network: the stored weights do what the lesson says, and the command that makes them runs."""

import numpy as np
import pytest
import torch
from helpers import random
from safetensors.torch import load_file

from vtm_lesson import data_path, films, tome
from vtm_lesson.encoders import tiny_vit


@pytest.fixture(scope="module")
def model():
    return tiny_vit.load()


def test_stored_weights_are_small_and_fit(model):
    path = data_path(tiny_vit.WEIGHTS)
    assert path.stat().st_size < 1_000_000
    assert set(load_file(path)) == set(tiny_vit.build().state_dict())
    assert not model.training and model.num_prefix_tokens == 1 and model.patch_embed.num_patches == 144


def test_it_tells_gestures_of_films_it_has_not_seen(model):
    some = films.batch(48, seed=31, frames=1, size=96, patch=8, progress=False)
    with torch.no_grad():
        found = model(tiny_vit.pixels(some.frames[:, 0])).argmax(1)
    assert (found.numpy() == some.label).mean() > 0.8  # chance is 0.125


def test_pixels():
    frames = np.full((2, 96, 96, 3), 255, np.uint8)
    frames[1] = 0
    x = tiny_vit.pixels(frames)
    assert x.shape == (2, 3, 96, 96) and x.dtype == torch.float32
    assert x[0].unique().tolist() == [2.0] and x[1].unique().tolist() == [-2.0]


def test_merging_leaves_it_as_it_was_at_r_zero(model):
    x = random(2, 3, 96, 96)
    with torch.no_grad():
        before = model(x)
        assert torch.equal(tome.apply(model, 0)(x), before)
        tome.apply(model, 16)(x)
    assert model.merges.n_out == 145 - 6 * 16
    tome.remove(model)


def test_training_command_writes_weights_that_load(tmp_path, monkeypatch):
    path = tmp_path / "new" / "tiny.safetensors"
    share = tiny_vit.train(path, steps=2, batch=4, n_films=6, n_test=3)
    assert 0 <= share <= 1
    tiny_vit.build().load_state_dict({n: w.float() for n, w in load_file(path).items()})
