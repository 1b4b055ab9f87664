"""Recall of masked objects: on painted films, whose actor is known, it is what the probe gives."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import vtm_lesson as vtm
from vtm_lesson.datasets.lists import ListError
from vtm_lesson.study import footage, report


def draw(folder, name, film):
    """A painted film, and its masks from what it knows of its actor, patch by patch."""
    (folder / "films").mkdir(exist_ok=True)
    (folder / "masks" / name).mkdir(parents=True)
    vtm.films.write(folder / "films" / f"{name}.mp4", film)
    for number, patches in enumerate(np.asarray(film.actor)):
        picture = np.kron(patches, np.ones((film.patch, film.patch))).astype(np.uint8)
        Image.fromarray(255 * picture).save(folder / "masks" / name / f"{number:05d}.png")


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("footage")
    for seed in range(4):
        draw(folder, f"film{seed}", vtm.films.make(seed, "handheld", frames=12, size=96, patch=8))
    (folder / "films" / "unmasked.mp4").write_bytes((folder / "films" / "film0.mp4").read_bytes())
    return folder


def test_films_without_masks_are_left_out(painted):
    found = footage.masked(painted / "films", painted / "masks")
    assert [film.stem for film, _ in found] == ["film0", "film1", "film2", "film3"] and len(found[0][1]) == 12


def test_shares_are_those_of_the_frames_that_are_read(painted):
    ((film, masks), *_) = footage.masked(painted / "films", painted / "masks")
    clip = vtm.read_video(film, frames=12, size=96, progress=False)
    share = footage.shown_share(masks, clip.times, clip.fps, 96, 8)
    actor = torch.from_numpy(np.asarray(vtm.films.make(0, "handheld", frames=12, size=96, patch=8).actor))
    assert torch.equal(share > 0.5, actor.bool())


def test_a_wide_film_is_cut_in_the_middle(tmp_path):
    mask = np.zeros((32, 64), np.uint8)
    mask[:, 16:32] = 9  # the left half of the middle square; anything but black counts
    Image.fromarray(mask).save(tmp_path / "0.png")
    share = footage.shown_share([tmp_path / "0.png"], np.zeros(1), 12.0, 32, 8)
    assert torch.equal(share[0, 0], torch.tensor([1.0, 1.0, 0.0, 0.0]))


def test_who_finds_the_actor_of_handheld_films(painted):
    """The camera follows the actor: plain motion looks away from it, relative motion finds it."""
    pairs = footage.masked(painted / "films", painted / "masks")
    found = footage.recall_of_objects(pairs, size=96, patch=8, draws=4, progress=False)
    recall = {name: mean for name, (mean, _, _) in found["recall"].items()}
    assert recall["motion"] < 1 / 6 < 0.4 < recall["relative"] <= recall["oracle"]
    assert abs(recall["random"] - 1 / 6) < 0.06
    assert set(found["films"]) == {"film0", "film1", "film2", "film3"}


def test_the_command(painted, tmp_path, capsys):
    out = tmp_path / "masks.json"
    films, masks = str(painted / "films"), str(painted / "masks")
    assert report.main(["--data", films, "--masks", masks, "--gamma", "10", "--out", str(out)]) == 0
    assert "4 films, gamma 10, chance 0.10" in capsys.readouterr().out
    stored = json.loads(out.read_text())
    assert stored["settings"]["gamma"] == 10 and set(stored["recall"]) == set(footage.WHO)
    assert report.main(["--data", films, "--masks", str(tmp_path)]) == 2
    assert "has masks in" in capsys.readouterr().err
    assert report.main(["--masks", masks]) == 2
    assert "--masks needs --data" in capsys.readouterr().err


def test_none_of_it_is_a_list_error_by_accident(tmp_path):
    with pytest.raises(ListError, match="no film of"):
        footage.masked(tmp_path, tmp_path)
