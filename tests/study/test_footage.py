"""Recall of masked objects: on painted films, whose actor is known, it is what the probe gives."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import vtm_lesson as vtm
from vtm_lesson.datasets.lists import ListError
from vtm_lesson.paths import data_path
from vtm_lesson.study import compare_command, footage


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
    assert compare_command.main(["--data", films, "--masks", masks, "--gamma", "10", "--out", str(out)]) == 0
    assert "4 films, gamma 10, chance 0.10" in capsys.readouterr().out
    stored = json.loads(out.read_text())
    assert stored["settings"]["gamma"] == 10 and set(stored["recall"]) == set(footage.WHO)
    assert compare_command.main(["--data", films, "--masks", str(tmp_path)]) == 2
    assert "has masks in" in capsys.readouterr().err
    assert compare_command.main(["--masks", masks]) == 2
    assert "--masks needs --data" in capsys.readouterr().err
    assert compare_command.main(["--data", films, "--masks", masks, "--strategy", "a.py:b"]) == 2
    assert "give it without --masks" in capsys.readouterr().err


class Grey:
    """An encoder of one channel: how bright a patch is."""

    patch = 8

    def encode(self, frames):
        light = torch.as_tensor(np.asarray(frames)).float().mean(-1)
        return light.unflatten(1, (-1, 8)).unflatten(3, (-1, 8)).mean((2, 4))[..., None]


def test_scores_of_tokens_are_rows_of_their_own(painted):
    """A score that knows the object finds as much as the oracle, one that avoids it nothing; draws take turns."""
    pairs = footage.masked(painted / "films", painted / "masks")[:2]
    shown = [footage.shown_share(masks, np.arange(12) / 12, 12.0, 96, 8) for _, masks in pairs]
    calls = []

    def at(sign):
        def score(tokens):
            calls.append(sign)
            film = 0 if len(calls) <= 3 else 1
            return sign * 1000.0 * shown[film].flatten()[None]

        return score

    settings = {"size": 96, "patch": 8, "draws": 2, "progress": False, "encoder": Grey()}
    scores = {"finds": [at(1)], "both": [at(1), at(-1)]}
    found = footage.recall_of_objects(pairs, scores=scores, **settings)
    recall = {name: mean for name, (mean, _, _) in found["recall"].items()}
    assert recall["finds"] == pytest.approx(recall["oracle"], abs=0.02)
    assert recall["both"] == pytest.approx(recall["finds"] / 2, abs=0.02)
    assert list(recall)[-3:] == ["finds", "both", "oracle"] and len(calls) == 6
    with pytest.raises(ListError, match=r"12 x 12 tokens a frame, masks are counted on 6 x 6 patches"):
        footage.recall_of_objects(pairs, scores=scores, **settings | {"patch": 16})
    with pytest.raises(ListError, match="needs an encoder"):
        footage.recall_of_objects(pairs, scores=scores, **settings | {"encoder": None})


def store(folder, names, tokens):
    """A folder of features, as `vtm.features` leaves it, in as much as is read here."""
    folder.mkdir()
    films = [f"{name}/{k}.mp4" for k, name in enumerate(names)]
    save_file({f"{film}/tokens": x for film, x in zip(films, tokens, strict=True)}, folder / "shard-00000.safetensors")
    (folder / "index.jsonl").write_text(json.dumps({"shard": "shard-00000.safetensors", "films": films}) + "\n")
    return folder


def test_saliency_is_learned_from_the_names_of_folders(tmp_path):
    """One token in nine says the class, the others are noise: the saliency is high there."""
    chance = torch.Generator().manual_seed(0)
    tokens = torch.randn(24, 2, 3, 3, 4, generator=chance)
    sign = torch.tensor([1.0, -1.0]).repeat(12)
    tokens[:, :, 1, 1, 0] = 3.0  # what the actor looks like
    tokens[:, :, 1, 1, 1] = 3 * sign[:, None]  # what it does
    names = ["left" if one > 0 else "right" for one in sign]
    (saliency,) = footage.learned(store(tmp_path / "clips", names, tokens.half()), seeds=1)
    score = saliency.score(tokens.flatten(1, 3)).view(24, 2, 3, 3)
    assert float(score[:, :, 1, 1].mean()) > float(score.mean()) + 0.3
    with pytest.raises(ListError, match="one class only"):
        footage.learned(store(tmp_path / "alike", ["left"] * 24, tokens.half()), seeds=1)
    with pytest.raises(ListError, match="--saliency takes a folder"):
        footage.learned(tmp_path)


def test_the_command_takes_saliency_and_a_decoder(painted, tmp_path, capsys, monkeypatch):
    clips = store(tmp_path / "clips", ["left", "right"] * 4, torch.randn(8, 2, 3, 3, 1).half())
    monkeypatch.setattr(compare_command, "from_options", lambda args: Grey())
    monkeypatch.setattr(footage, "decoder", lambda path: lambda tokens: tokens[..., 0])
    real = footage.recall_of_objects
    small = {"size": 96, "patch": 8, "draws": 1, "progress": False}
    monkeypatch.setattr(footage, "recall_of_objects", lambda *a, **more: real(*a, **small | more))
    out = tmp_path / "masks.json"
    given = ["--data", str(painted / "films"), "--masks", str(painted / "masks"), "--out", str(out)]
    assert compare_command.main([*given, "--saliency", str(clips), "--decoder", "decoder.safetensors"]) == 0
    assert "learned on clips" in capsys.readouterr().out
    stored = json.loads(out.read_text())
    assert {"learned on clips", "decoder"} <= set(stored["recall"]) and "--saliency" in stored["command"]
    assert compare_command.main([*given, "--saliency", str(tmp_path)]) == 2
    assert "--saliency takes a folder" in capsys.readouterr().err


def test_stored_masks_say_what_the_lesson_says():
    recall = json.loads(data_path("results/real_masks.json").read_text())["recall"]
    assert recall["motion"][2] < 1 / 6 < recall["centre"][0] and recall["relative"][1] > recall["centre"][0]
    assert recall["learned on yoga"][2] < 1 / 6 < recall["learned on surveillance"][2]
    assert max(recall, key=lambda name: recall[name][0]) == "oracle" and recall["decoder"][0] > recall["relative"][0]


def test_none_of_it_is_a_list_error_by_accident(tmp_path):
    with pytest.raises(ListError, match="no film of"):
        footage.masked(tmp_path, tmp_path)
