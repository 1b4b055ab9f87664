"""Features of films: the same however a run went, whole or killed, and never half a film."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import assert_same_bytes, python, two_classes

import vtm_lesson as vtm
from vtm_lesson.datasets import costs, extraction, lists, one_film, store
from vtm_lesson.datasets.extraction import Settings, StoreError, features
from vtm_lesson.datasets.rehearsal import rehearse
from vtm_lesson.video import sampling

SMALL = Settings(frames=4, size=32, patch=8)
ROOT = Path(extraction.__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Ten films in two classes."""
    return two_classes(tmp_path_factory.mktemp("films"), 10, frames=6, size=32, patch=8)


@pytest.fixture(scope="module")
def whole(films, tmp_path_factory):
    """What an uninterrupted run gives."""
    return quiet(films, tmp_path_factory.mktemp("whole") / "features")


def quiet(films, folder, **more):
    return features(films, folder, settings=more.pop("settings", SMALL), progress=False, say=lambda line: None, **more)


def test_each_film_has_tokens_motion_vectors_and_its_label(whole, films):
    assert len(whole) == 10 and whole.task == "class" and whole.entries[0].id == "calm/00.mp4"
    item = whole[9]
    assert {name: (tuple(value.shape), value.dtype) for name, value in item.items()} == {
        "tokens": ((4, 4, 4, 48), torch.float16),
        "motion": ((4, 4, 4), torch.float32),
        "vectors": ((4, 4, 4, 2), torch.float32),
        "label": ((), torch.int64),
    }
    assert item["label"] == 1
    clip = vtm.read_video(films / whole.ids[9], frames=4, size=32, progress=False)
    with one_film.alike():
        assert torch.equal(item["tokens"], vtm.load_encoder("patch").encode(clip.frames).half())
    assert torch.equal(item["motion"], torch.from_numpy(clip.patches(8)[1]))
    assert torch.equal(item["vectors"], torch.from_numpy(clip.vectors(8)))


def test_several_decoders_and_small_shards_give_the_same(whole, films, tmp_path):
    made = quiet(films, tmp_path / "features", workers=2, shard=20_000)
    assert_same_bytes(whole, made)
    assert len(list((tmp_path / "features").glob("shard-*.safetensors"))) > 2
    assert extraction.verify(tmp_path / "features") == []


def test_a_process_that_decodes_needs_no_torch(films):
    """There is one for each core: with torch each would fill some hundred MB more, and start some seconds later."""
    code = "import sys; from vtm_lesson.video.sampling import *; print(decode(sys.argv[1], Settings(4, 32, 8)))"
    said = python("-c", f"{code}; print(*sys.modules)", films / "calm" / "00.mp4").stdout
    assert "'vectors': array" in said and " numpy " in said and " torch " not in said


def test_what_is_there_is_not_made_again(whole, films, monkeypatch):
    monkeypatch.setattr(extraction, "decode", None)
    again = quiet(films, whole.folder)
    assert_same_bytes(whole, again)
    assert again.costs.films == 0 and "Nothing" in again.costs.summary()


def test_a_longer_list_adds_to_what_is_there(films, tmp_path):
    found = lists.labelled(films)
    some = lists.VideoList("some", found.entries[:4], found.classes)
    first = quiet(some, tmp_path / "features")
    every = quiet(found, tmp_path / "features")
    assert (first.costs.films, every.costs.films) == (4, 6) and len(every) == 10


def test_without_motion_the_tokens_are_the_same(whole, films, tmp_path):
    made = quiet(films, tmp_path / "features", settings=Settings(frames=4, size=32, patch=8, motion=False))
    assert made[3].keys() == {"tokens", "label"} and torch.equal(made[3]["tokens"], whole[3]["tokens"])


def test_they_train_a_network(whole):
    torch.manual_seed(0)
    net = vtm.VideoClassifier(48, blocks=1, chunks=(4,), classes=2, gamma=3, partition="relative")
    vtm.fit(net, whole, recipe=vtm.Recipe(epochs=1, warmup=0, batch=5), progress=False)
    assert vtm.evaluate(net, whole).loss > 0


def test_a_film_is_cut_into_windows_of_equal_length(films, tmp_path):
    """Six frames at the films' own pace, in windows of about a third of a film: two frames each, all in their order."""
    seconds = vtm.read_video(films / "calm" / "00.mp4", frames=1, size=32, progress=False).duration
    cut = quiet(films, tmp_path / "cut", settings=Settings(frames=2, size=32, patch=8, window=seconds / 3))
    flat = quiet(films, tmp_path / "flat", settings=Settings(frames=6, size=32, patch=8))
    assert {name: tuple(value.shape) for name, value in cut[3].items()} == {
        "tokens": (3, 2, 4, 4, 48), "motion": (3, 2, 4, 4), "vectors": (3, 2, 4, 4, 2), "label": (),
    }  # fmt: skip
    for name in ("tokens", "motion", "vectors"):
        assert torch.equal(cut[3][name].flatten(0, 1), flat[3][name]), name


def test_more_frames_than_the_film_has_are_taken_twice(films, tmp_path):
    seconds = vtm.read_video(films / "calm" / "00.mp4", frames=1, size=32, progress=False).duration
    made = quiet(films, tmp_path / "features", settings=Settings(frames=2, size=32, patch=8, window=seconds / 6))
    tokens, motion = made[0]["tokens"], made[0]["motion"]
    assert tokens.shape[:2] == (6, 2) and torch.equal(tokens[:, 0], tokens[:, 1])
    assert motion[:, 0].any() and not motion[:, 1].any()


@pytest.mark.parametrize(("seconds", "windows"), [(0.1, 1), (2.9, 1), (3.1, 2), (60, 30)])
def test_how_many_windows_a_film_has(seconds, windows):
    assert Settings(window=2).windows(seconds) == windows and Settings(window=2).taken(seconds) == 60 * windows
    assert Settings().windows(seconds) == 1


def test_features_from_before_there_were_windows_are_of_one(whole, films, tmp_path):
    folder = tmp_path / "features"
    made = quiet(films, folder)
    what = json.loads((folder / "what.json").read_text())
    del what["settings"]["window"]
    (folder / "what.json").write_text(json.dumps(what))
    assert quiet(films, folder).costs.films == 0 and len(made) == 10
    with pytest.raises(StoreError, match=r"another kind \(window 0\.0 -> 2\.0\)"):
        quiet(films, folder, settings=Settings(frames=4, size=32, patch=8, window=2.0))


def test_a_film_s_tensors_do_not_depend_on_the_number_of_threads(films):
    """Batches of one frame: with three threads torch adds up in another order, and the last digits are others."""
    settings, encoder = Settings(frames=1, size=224, patch=8), vtm.load_encoder("patch")
    before, made = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            with one_film.alike():
                made.append(one_film.extract(encoder, str(films / "calm" / "00.mp4"), settings).tensors["tokens"])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*made)


# ------------------------------------------------------------------------------------------------------ what goes wrong


def test_settings_that_make_no_sense():
    with pytest.raises(ValueError, match="frames is 0; give a whole number"):
        Settings(frames=0)
    for window in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"window is {window}; give seconds, or 0"):
            Settings(window=window)


def test_a_film_of_too_many_frames_is_noted_and_not_held(films, tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "MOST", 3 * 32 * 32 * 11)
    made = quiet(films, tmp_path / "features", settings=Settings(frames=4, size=32, patch=8, window=0.1))
    assert not len(made) and len(made.failed) == 10
    assert "windows of 4 frames of 32 x 32 pixels are" in made.failed["calm/00.mp4"]
    assert "take longer windows" in made.failed["calm/00.mp4"]


def test_films_that_cannot_be_read_are_noted_and_skipped(films, tmp_path):
    home = tmp_path / "films"
    for path in films.rglob("*.mp4"):
        (home / path.parent.name).mkdir(parents=True, exist_ok=True)
        (home / path.parent.name / path.name).write_bytes(path.read_bytes())
    (home / "calm" / "00.mp4").write_bytes(b"no film at all")
    (home / "fight" / "01.mp4").write_bytes(b"")
    made = quiet(home, tmp_path / "features")
    assert len(made) == 8 and set(made.failed) == {"calm/00.mp4", "fight/01.mp4"}
    assert "unreadable: 2 (calm/00.mp4, fight/01.mp4)" in made.summary()
    (home / "calm" / "00.mp4").write_bytes((films / "calm" / "00.mp4").read_bytes())
    assert len(quiet(home, tmp_path / "features")) == 8, "not tried again by itself"
    again = quiet(home, tmp_path / "features", retry=True)
    assert len(again) == 9 and set(again.failed) == {"fight/01.mp4"}


def test_other_settings_and_encoders_do_not_mix(whole, films):
    with pytest.raises(StoreError, match=r"another kind \(frames 4 -> 5\); give another folder"):
        quiet(films, whole.folder, settings=Settings(frames=5, size=32, patch=8))
    with pytest.raises(StoreError, match=r"another kind \(encoder \w+ -> \w+\)"):
        quiet(films, whole.folder, encoder=type(vtm.load_encoder("patch"))(8).eval())


def test_an_encoder_that_sees_frames_of_another_size_is_another_one(films, tmp_path):
    """Its weights may be the same. What a folder from before does not say is not asked for."""
    small, large = vtm.load_encoder("patch"), vtm.load_encoder("patch")
    small.size, large.size = 32, 64
    quiet(films, tmp_path, encoder=small)
    with pytest.raises(StoreError, match=r"another kind \(input 32 -> 64\)"):
        quiet(films, tmp_path, encoder=large)
    what = json.loads((tmp_path / "what.json").read_text())
    del what["input"]
    (tmp_path / "what.json").write_text(json.dumps(what))
    assert quiet(films, tmp_path, encoder=large).costs.films == 0


def test_a_shard_that_is_gone_or_changed_is_noticed(films, tmp_path):
    made = quiet(films, tmp_path / "features", shard=20_000)
    path = made.places[made.ids[0]]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    (told,) = extraction.verify(tmp_path / "features")
    assert path.name in told and "is not as it was written" in told
    path.unlink()
    with pytest.raises(StoreError, match=rf"{path.name} .*: delete .*index\.jsonl"):
        quiet(films, tmp_path / "features")


@pytest.mark.parametrize("name", ["index.jsonl", "failed.jsonl"])
def test_a_last_line_that_was_cut_is_no_line(whole, films, tmp_path, name):
    made = quiet(films, tmp_path / "features", shard=20_000)
    with (tmp_path / "features" / name).open("a") as file:
        file.write('{"shard": "shard-99')
    assert_same_bytes(whole, quiet(films, tmp_path / "features"))
    assert made.ids == whole.ids


def test_a_line_that_is_no_record_is_told(films, tmp_path):
    quiet(films, tmp_path / "features")
    (tmp_path / "features" / "index.jsonl").write_text("nonsense\n")
    with pytest.raises(StoreError, match="is damaged: delete it"):
        quiet(films, tmp_path / "features")


def test_films_that_were_not_looked_for(films):
    found = lists.labelled(films)
    bare = lists.VideoList("bare", tuple(lists.Entry(e.id, e.label) for e in found.entries), found.classes)
    with pytest.raises(lists.ListError, match=r"has no file: look for the films first"):
        quiet(bare, films.parent / "nowhere")


def test_too_little_room_is_told_before_the_work(films, tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "free", lambda folder: 1000)
    with pytest.raises(StoreError, match="has 1 kB left"):
        quiet(films, tmp_path / "features")


def test_what_is_no_engine_and_an_engine_that_is_missing(films, tmp_path, monkeypatch, capfd):
    with pytest.raises(ValueError, match="engine is 'spark'; it is one of local, ray"):
        quiet(films, tmp_path / "features", engine="spark")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'pip install "vtm-lesson\[cluster\]", or take engine="local"'):
        quiet(films, tmp_path / "features", engine="ray")
    assert extraction.main([str(films), str(tmp_path / "other"), "--engine", "ray"]) == 2
    assert "Ray is missing" in capfd.readouterr().err


def test_verifying_and_rehearsing_change_nothing(films, tmp_path):
    """A line that is just being written by another process is not cut off."""
    folder = tmp_path / "features"
    quiet(films, folder)
    with (folder / "index.jsonl").open("a") as file:
        file.write('{"shard": "shard-99')
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert extraction.verify(folder) == [] and len(store.known(folder)) == 10
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_dry_run_says_what_a_few_films_cost(whole, films, tmp_path):
    """Bytes are those of the films themselves, and a film that cannot be read is named."""
    found = lists.labelled(films)
    said = rehearse(found.entries, tmp_path / "nowhere", vtm.load_encoder("patch"), SMALL, workers=2)
    size = sum(value.nbytes for value in whole.tensors("calm/00.mp4").values())
    assert f"10 films: about {10 * size / 1000:.0f} kB on the disk" in said and "5 of them, with 2 workers" in said
    assert not (tmp_path / "nowhere").exists()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film at all")
    entries = [*found.entries[:1], lists.Entry("broken", 0, file=broken)]
    said = rehearse(entries, tmp_path, vtm.load_encoder("patch"), SMALL)
    assert "2 films: about" in said and "judged by 1 of them" in said and "cannot be read: broken: " in said
    assert rehearse(entries[1:], tmp_path, vtm.load_encoder("patch"), SMALL).startswith("None of 1 films could be read")


@pytest.mark.parametrize(("costs_of", "pace"), [((4, 0), 1.5), ((4, 4), 3.0), ((1, 4), 4.0), ((4, 1), 3.0)])
def test_the_pace_is_that_of_the_slowest(monkeypatch, costs_of, pace):
    """A film that takes 4 s and 2 s, on two cores: by workers, by encoders, by cores; a cluster has its own cores."""
    monkeypatch.setattr(costs, "cores", lambda: 2)
    assert extraction.Costs(workers=costs_of[0], encoders=costs_of[1]).pace(4, 2) == pace


# --------------------------------------------------------------------------------------------------------------- killed


COMMAND = """
import sys
from vtm_lesson.datasets.extraction import Settings, features

if __name__ == "__main__":
    features(sys.argv[1], sys.argv[2], settings=Settings(4, 32, 8), shard=15_000, progress=False, say=lambda line: None)
"""


def killed(films, folder, tmp_path, after):
    """Start a run, and kill it and its decoders when so many shards are there, or a moment later."""
    script = tmp_path / "run.py"
    script.write_text(COMMAND)
    run = subprocess.Popen(
        [sys.executable, str(script), str(films), str(folder)], cwd=ROOT, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    end = time.monotonic() + 60
    while run.poll() is None and time.monotonic() < end and len(list(folder.glob("shard-*"))) < after:
        time.sleep(0.002)
    if run.poll() is None:
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="a process group is killed")
def test_killed_again_and_again_it_ends_with_the_same(whole, films, tmp_path):
    folder = tmp_path / "features"
    for after in (1, 2, 3):
        killed(films, folder, tmp_path, after)
        named = (
            [line["shard"] for line in map(json.loads, (folder / "index.jsonl").read_text().splitlines())]
            if (folder / "index.jsonl").exists()
            else []
        )
        assert len(named) == len(set(named))
    assert_same_bytes(whole, quiet(films, folder, shard=15_000))
    films_of = [
        film for line in (folder / "index.jsonl").read_text().splitlines() for film in json.loads(line)["films"]
    ]
    assert sorted(films_of) == sorted(whole.ids), "no film twice"
    assert extraction.verify(folder) == []


@pytest.mark.parametrize("step", range(6))
def test_stopped_at_any_step_of_a_shard_nothing_half_is_read(whole, films, tmp_path, monkeypatch, step):
    """write a file beside it, sync it, give it its name, append its line: stopped before or after each."""
    calls = {"n": 0}

    class Stopped(BaseException):
        pass

    def stopping(function):
        def stopped(*arguments, **more):
            calls["n"] += 1
            if calls["n"] == step + 1:
                raise Stopped
            return function(*arguments, **more)

        return stopped

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", stopping(store.write))
        patch.setattr(store.os, "fsync", stopping(os.fsync))
        patch.setattr(store, "_append", stopping(store._append))
        with pytest.raises(Stopped):
            quiet(films, tmp_path / "features", shard=20_000)
    assert_same_bytes(whole, quiet(films, tmp_path / "features", shard=20_000))


# ---------------------------------------------------------------------------------------------------------- the command


def test_the_command(films, tmp_path, capfd):
    out = tmp_path / "features"
    arguments = [str(films), str(out), "--frames", "4", "--size", "32", "--patch", "8"]
    assert extraction.main([*arguments, "--dry-run"]) == 0
    said = capfd.readouterr().out
    assert "10 films, 2 classes" in said and not out.exists()
    assert re.search(r"10 films: about \d+ kB on the disk .* judged by 5 of them", said) and "memory of this" in said
    assert extraction.main(arguments) == 0
    said = capfd.readouterr().out
    assert "10 films: about" in said and "judged by the first one" in said and "10 films with features" in said
    assert extraction.main([*arguments, "--dry-run"]) == 0
    assert "Nothing is left to do" in capfd.readouterr().out
    assert extraction.main([str(films), str(out), "--verify"]) == 0
    assert "every shard is as it was written" in capfd.readouterr().out
    assert extraction.main([*arguments[:2], "--frames", "9"]) == 2
    assert "another kind" in capfd.readouterr().err
    assert extraction.main([*arguments, "--window", "0.2"]) == 2
    assert "window 0.0 -> 0.2" in capfd.readouterr().err
    assert extraction.main([*arguments, "--window", "-1"]) == 2
    assert "window is -1.0; give seconds" in capfd.readouterr().err
    assert extraction.main([str(tmp_path / "nowhere"), str(out)]) == 2
    assert "is no folder of films" in capfd.readouterr().err
    assert extraction.main([str(films), str(out), "--data", "lvu"]) == 2
    assert "--lists is missing" in capfd.readouterr().err
