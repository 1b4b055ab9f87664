"""Encoders: what the tokens of the project's own one tell, and how timm's are reached by name."""

import builtins

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression

from vtm_lesson import data_path, films, hosts  # noqa: F401  hosts must come before timm
from vtm_lesson.encoders import load_encoder, patch

# isort: split
import timm


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("patch")


def film_tokens(encoder, seeds):
    """Tokens (n, C) of the actors' patches, their gesture, and the same of all other patches."""
    actor, gesture, rest = [], [], []
    for seed in seeds:
        film = films.make(seed, films.WAYS[seed % 3], frames=6)
        tokens = encoder.encode(film.frames)
        whole = torch.from_numpy(film.share > 0.5)
        actor.append(tokens[whole])
        gesture += [film.label] * int(whole.sum())
        rest.append(tokens[torch.from_numpy(film.share == 0)])
    return torch.cat(actor), np.array(gesture), torch.cat(rest)


def test_actor_and_gesture_can_be_read_from_tokens_of_unseen_films(encoder):
    actor, gesture, rest = film_tokens(encoder, range(900, 960))
    x = torch.cat([actor, rest[::10]]).numpy()
    y = np.r_[np.ones(len(actor)), np.zeros(len(rest[::10]))]
    unseen_actor, unseen_gesture, unseen_rest = film_tokens(encoder, range(960, 990))
    who = LogisticRegression(max_iter=300).fit(x, y)
    assert who.score(unseen_actor, np.ones(len(unseen_actor))) > 0.9
    assert who.score(unseen_rest, np.zeros(len(unseen_rest))) > 0.9
    what = LogisticRegression(max_iter=300).fit(actor.numpy(), gesture)
    assert what.score(unseen_actor.numpy(), unseen_gesture) > 0.8  # from a single patch; chance is 0.125


def test_tokens_are_standardised_and_frozen(encoder):
    frames, hue, _ = patch.scenes(40, seed=5)
    tokens = encoder.encode(frames).flatten(0, 2)
    assert tokens.mean(0).abs().max() < 0.2 and (tokens.std(0) - 1).abs().max() < 0.25
    assert not any(p.requires_grad for p in encoder.parameters()) and not encoder.training
    right = encoder.hue(tokens).argmax(-1) == hue.flatten()
    assert right.float().mean() > 0.9


def test_no_hue_is_special_in_the_training_scenes():
    _, hue, gesture = patch.scenes(200, seed=3)
    shares = torch.bincount(hue.flatten(), minlength=6)[1:] / (hue > 0).sum()
    assert (shares - 0.2).abs().max() < 0.04
    shares = torch.bincount(gesture[hue > 0], minlength=8) / (hue > 0).sum()
    assert (shares - 0.125).abs().max() < 0.04
    assert all((a == b).all() for a, b in zip(patch.scenes(3, seed=3), patch.scenes(3, seed=3), strict=True))


def test_shapes_grids_and_batches(encoder):
    frames = np.stack([films.make(seed, frames=3, size=(64, 96)).frames for seed in (1, 2)])
    tokens = encoder.encode(frames)
    assert tokens.shape == (2, 3, 8, 12, encoder.dim) and tokens.dtype == torch.float32
    torch.testing.assert_close(encoder.encode(frames[1], batch=1), tokens[1], rtol=1e-4, atol=1e-4)
    assert encoder.encode(frames[0], grid=(4, 5)).shape == (3, 4, 5, encoder.dim)
    again = encoder.encode(frames[0])
    torch.nn.Linear(encoder.dim, 2)(again).sum().backward()  # usable in training


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.zeros((2, 33, 64, 3), np.uint8), "do not divide"),
        (np.zeros((2, 32, 64, 3), np.float32), "uint8"),
        (np.zeros((32, 64, 3), np.uint8), "give"),
    ],
)
def test_wrong_frames_are_named(encoder, frames, words):
    with pytest.raises(ValueError, match=words):
        encoder.encode(frames)


def test_training_makes_the_same_weights_twice_and_a_small_file(tmp_path):
    for name in ("a", "b"):
        patch.train(tmp_path / name, n=32, epochs=1, dim=8)
    a, b = load_file(tmp_path / "a"), load_file(tmp_path / "b")
    assert a.keys() == b.keys() and all((a[k] == b[k]).all() for k in a)
    assert data_path(patch.WEIGHTS).stat().st_size < 1_000_000


def test_missing_weights_say_how_to_make_them(monkeypatch, tmp_path):
    monkeypatch.setattr(patch, "WEIGHTS", tmp_path / "none.safetensors")
    with pytest.raises(RuntimeError, match="encoders train"):
        load_encoder("patch")


# ---- timm ----


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "resnet18"])
def test_random_timm_encoders_warn_and_give_tokens_on_a_grid(name):
    with pytest.warns(UserWarning, match="random weights"):
        encoder = load_encoder(f"random:{name}")
    frames = films.make(0, frames=2, size=96).frames
    tokens = encoder.encode(frames)
    side = 14 if name.startswith("vit") else 7
    assert tokens.shape == (2, side, side, encoder.dim) and tokens.isfinite().all()
    # Row and column are where they should be: a change of the left half changes the left tokens most.
    changed = frames.copy()
    changed[:, :, :32] = 255 - changed[:, :, :32]
    moved = (encoder.encode(changed) - tokens).norm(dim=-1).mean((0, 1))
    assert moved[: side // 3].mean() > moved[-side // 3 :].mean()
    with pytest.raises(ValueError, match="leave grid out"):
        encoder.encode(frames, grid=(5, 5))


def test_the_same_random_weights_each_time_and_no_one_elses_chance():
    torch.manual_seed(1)
    want = torch.rand(1)
    torch.manual_seed(1)
    with pytest.warns(UserWarning):
        a, b = (load_encoder("random:vit_tiny_patch16_224") for _ in range(2))
    assert torch.rand(1) == want
    assert all((x == y).all() for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_without_internet_the_error_says_what_to_do(monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(RuntimeError, match=r'load_encoder\("patch"\).*random:vit_large'):
        load_encoder("vit_large_patch16_224.augreg_in21k")
    with pytest.raises(ValueError, match="no encoder"):
        load_encoder("vit_enormous")


def test_the_patch_encoder_does_not_import_timm(monkeypatch):
    real = builtins.__import__

    def guarded(name, *rest, **more):
        assert name != "timm"
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", guarded)
    load_encoder("patch")
