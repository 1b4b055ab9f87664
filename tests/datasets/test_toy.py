"""Toy films as tokens: the films that `films` makes, made once and kept, the same for every n."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Colours

from vtm_lesson import films
from vtm_lesson.datasets import toy, toy_films
from vtm_lesson.training.checkpoints import FileError, write

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


# ------------------------------------------------------------------------------------- made by other code, or damaged


def test_the_code_that_decides_frames_is_all_that_painting_and_reading_films_loads():
    code = "import sys; from vtm_lesson import films, video; print(*(m for m in sys.modules if m.startswith('vtm_')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {Path(sys.modules[name].__file__) for name in done.stdout.split() if name in sys.modules}
    loaded -= {toy.PACKAGE / "__init__.py"}
    assert toy.sources(toy.PACKAGE, "films", "video") == loaded and len(loaded) == len(done.stdout.split()) - 1
    assert {"containers.py", "taking.py", "making.py"} <= {path.name for path in loaded}


def test_films_are_made_again_where_the_code_that_decides_frames_changed(tmp_path):
    copy = tmp_path / "vtm_lesson"
    shutil.copytree(toy.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = toy.code_of_films(copy)
    assert before == toy.code_of_films()
    seen = {before}
    for number, file in enumerate(sorted(toy.sources(copy, "films", "video"))):
        text = file.read_text()
        file.write_text(f"# a comment\n{text}\n\n\n# another\n")
        toy.code_of_films.cache_clear()
        assert toy.code_of_films(copy) == before, f"a comment in {file.name}"
        file.write_text(f"{text}\nADDED = {number}\n")
        toy.code_of_films.cache_clear()
        seen.add(toy.code_of_films(copy))
        file.write_text(text)
    assert len(seen) == number + 2, "each of them counts"
    own = copy / "datasets" / "toy.py"
    own.write_text(own.read_text().replace("start, start + PART", "start + 1, start + 1 + PART"))
    toy.code_of_films.cache_clear()
    assert toy.code_of_films(copy) not in seen


def test_the_name_of_a_part_tells_which_code_made_it(items, cache, tmp_path, monkeypatch):
    toy_films(2, 3, encoder=Colours(), folder=tmp_path, **SMALL)
    monkeypatch.setattr(toy, "code_of_films", lambda: "another")
    toy_films(2, 3, encoder=Colours(), folder=tmp_path, **SMALL)
    assert len(list(tmp_path.glob("toy-3-*"))) == 2


def test_a_part_that_is_damaged_is_named(tmp_path):
    toy_films(2, 3, encoder=Colours(), folder=tmp_path, **SMALL)
    (path,) = tmp_path.rglob("*.safetensors")
    whole = path.read_bytes()
    for size in (0, 5, 300, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(FileError, match=rf"{path} is damaged or cut short .*: delete it, and its films are made"):
            toy_films(2, 3, encoder=Colours(), folder=tmp_path, **SMALL)
    write(path, {"tokens": torch.ones(2)}, {})
    with pytest.raises(FileError, match=rf"{path} holds something else than 50 films: delete it"):
        toy_films(2, 3, encoder=Colours(), folder=tmp_path, **SMALL)
    path.unlink()
    toy_films(2, 3, encoder=Colours(), folder=tmp_path, **SMALL)
    assert path.read_bytes() == whole


def test_a_folder_of_parts_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"file.*cannot be written"):
        toy_films(2, 3, encoder=Colours(), folder=tmp_path / "file", **SMALL)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_others_can_read_the_parts(tmp_path):
    before = os.umask(0o022)
    try:
        toy_films(2, 3, encoder=Colours(), folder=tmp_path, **SMALL)
    finally:
        os.umask(before)
    (path,) = tmp_path.rglob("*.safetensors")
    assert path.stat().st_mode & 0o777 == 0o644
