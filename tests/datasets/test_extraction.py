"""Features of films: the same however a run went, whole or killed, and never half a film."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import vtm_lesson as vtm
from vtm_lesson.datasets import extraction, lists
from vtm_lesson.datasets.extraction import Settings, StoreError, features

SMALL = Settings(frames=4, size=32, patch=8)
ROOT = Path(extraction.__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Ten films in two classes."""
    home = tmp_path_factory.mktemp("films")
    for i in range(10):
        path = home / ("calm", "fight")[i % 2] / f"{i}.mp4"
        path.parent.mkdir(exist_ok=True)
        vtm.films.write(path, vtm.films.make(i, frames=6, size=32, patch=8))
    return home


@pytest.fixture(scope="module")
def whole(films, tmp_path_factory):
    """What an uninterrupted run gives."""
    return quiet(films, tmp_path_factory.mktemp("whole") / "features")


def quiet(films, folder, **more):
    return features(films, folder, settings=more.pop("settings", SMALL), progress=False, say=lambda line: None, **more)


def assert_same(one, other):
    assert one.ids == other.ids
    for film in one.ids:
        a, b = one.tensors(film), other.tensors(film)
        assert a.keys() == b.keys()
        assert all(
            x.dtype == b[name].dtype and x.numpy().tobytes() == b[name].numpy().tobytes() for name, x in a.items()
        )


def test_each_film_has_tokens_motion_vectors_and_its_label(whole, films):
    assert len(whole) == 10 and whole.task == "class" and whole.entries[0].id == "calm/0.mp4"
    item = whole[9]
    assert {name: (tuple(value.shape), value.dtype) for name, value in item.items()} == {
        "tokens": ((4, 4, 4, 48), torch.float16),
        "motion": ((4, 4, 4), torch.float32),
        "vectors": ((4, 4, 4, 2), torch.float32),
        "label": ((), torch.int64),
    }
    assert item["label"] == 1
    clip = vtm.read_video(films / whole.ids[9], frames=4, size=32, progress=False)
    assert torch.equal(item["tokens"], vtm.load_encoder("patch").encode(clip.frames).half())
    assert torch.equal(item["motion"], torch.from_numpy(clip.patches(8)[1]))
    assert torch.equal(item["vectors"], torch.from_numpy(clip.vectors(8)))


def test_several_decoders_and_small_shards_give_the_same(whole, films, tmp_path):
    made = quiet(films, tmp_path / "features", workers=2, shard=20_000)
    assert_same(whole, made)
    assert len(list((tmp_path / "features").glob("shard-*.safetensors"))) > 2
    assert extraction.verify(tmp_path / "features") == []


def test_what_is_there_is_not_made_again(whole, films, monkeypatch):
    monkeypatch.setattr(extraction, "decode", None)
    again = quiet(films, whole.folder)
    assert_same(whole, again)
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


# ------------------------------------------------------------------------------------------------------ what goes wrong


def test_films_that_cannot_be_read_are_noted_and_skipped(films, tmp_path):
    home = tmp_path / "films"
    for path in films.rglob("*.mp4"):
        (home / path.parent.name).mkdir(parents=True, exist_ok=True)
        (home / path.parent.name / path.name).write_bytes(path.read_bytes())
    (home / "calm" / "0.mp4").write_bytes(b"no film at all")
    (home / "fight" / "1.mp4").write_bytes(b"")
    made = quiet(home, tmp_path / "features")
    assert len(made) == 8 and set(made.failed) == {"calm/0.mp4", "fight/1.mp4"}
    assert "unreadable: 2 (calm/0.mp4, fight/1.mp4)" in made.summary()
    (home / "calm" / "0.mp4").write_bytes((films / "calm" / "0.mp4").read_bytes())
    assert len(quiet(home, tmp_path / "features")) == 8, "not tried again by itself"
    again = quiet(home, tmp_path / "features", retry=True)
    assert len(again) == 9 and set(again.failed) == {"fight/1.mp4"}


def test_other_settings_and_encoders_do_not_mix(whole, films):
    with pytest.raises(StoreError, match=r"another kind \(frames 4 -> 5\); give another folder"):
        quiet(films, whole.folder, settings=Settings(frames=5, size=32, patch=8))
    with pytest.raises(StoreError, match=r"another kind \(encoder \w+ -> \w+\)"):
        quiet(films, whole.folder, encoder=vtm.encoders.frozen.PatchEncoder(8).eval())


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
    assert_same(whole, quiet(films, tmp_path / "features"))
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
    monkeypatch.setattr(extraction, "_free", lambda folder: 1000)
    with pytest.raises(StoreError, match="has 1 kB left"):
        quiet(films, tmp_path / "features")


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
    assert_same(whole, quiet(films, folder, shard=15_000))
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
        patch.setattr(extraction, "write", stopping(extraction.write))
        patch.setattr(extraction.os, "fsync", stopping(os.fsync))
        patch.setattr(extraction, "_append", stopping(extraction._append))
        with pytest.raises(Stopped):
            quiet(films, tmp_path / "features", shard=20_000)
    assert_same(whole, quiet(films, tmp_path / "features", shard=20_000))


# ---------------------------------------------------------------------------------------------------------- the command


def test_the_command(films, tmp_path, capfd):
    out = tmp_path / "features"
    arguments = [str(films), str(out), "--frames", "4", "--size", "32", "--patch", "8"]
    assert extraction.main([*arguments, "--dry-run"]) == 0
    assert "10 films, 2 classes" in capfd.readouterr().out and not out.exists()
    assert extraction.main(arguments) == 0
    said = capfd.readouterr().out
    assert "10 films: about" in said and "judged by the first one" in said and "10 films with features" in said
    assert extraction.main([str(films), str(out), "--verify"]) == 0
    assert "every shard is as it was written" in capfd.readouterr().out
    assert extraction.main([*arguments[:2], "--frames", "9"]) == 2
    assert "another kind" in capfd.readouterr().err
    assert extraction.main([str(tmp_path / "nowhere"), str(out)]) == 2
    assert "is no folder of films" in capfd.readouterr().err
    assert extraction.main([str(films), str(out), "--data", "lvu"]) == 2
    assert "--lists is missing" in capfd.readouterr().err
