"""Features whose run is killed ten times, as `kill -9` does it, whatever it is doing: they end with the same bytes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vtm_lesson.datasets import extraction
from vtm_lesson.datasets.extraction import Settings, features
from vtm_lesson.datasets.lists import lvu
from vtm_lesson.datasets.stand_in import stand_in

KILLS, FILMS = 10, 84  # twice as many as ten runs get done here: some must be left for the last one
SETTINGS = Settings(frames=8, size=64, patch=8)
ROOT = Path(extraction.__file__).resolve().parents[2]
RUN = """
import sys
from vtm_lesson.datasets.extraction import Settings, features
from vtm_lesson.datasets.lists import lvu

if __name__ == "__main__":
    lists, videos, folder, workers = sys.argv[1:]
    found, settings = lvu(lists, "scene").find(videos), Settings(frames=8, size=64, patch=8)
    print("working", flush=True)
    features(found, folder, settings=settings, workers=int(workers), shard=1, progress=False, say=lambda line: None)
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Where the lists are, and the films."""
    return stand_in("scene", tmp_path_factory.mktemp("films"), films_per_class=FILMS // 6, frames=8)


def shards(folder):
    return len(list(folder.glob("shard-*.safetensors")))


def killed(command, folder, more, moment):
    """Start a run, and kill its whole process group a moment after it has made some more shards: was it still going?"""
    run = subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    with run.stdout:
        assert run.stdout.readline() == b"working\n"
        begun, end = shards(folder), time.monotonic() + 300
        while run.poll() is None and shards(folder) < begun + more and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(moment)
        alive = run.poll() is None
        if alive:
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    return alive


@pytest.mark.skipif(sys.platform == "win32", reason="a process group is killed")
def test_killed_at_ten_random_moments_the_features_are_the_same(films, tmp_path):
    found, chance = lvu(films[0], "scene").find(films[1]), random.Random(0)
    whole = features(found, tmp_path / "whole", settings=SETTINGS, workers=1, progress=False, say=lambda line: None)
    assert len(whole) == FILMS and len(found) == FILMS
    folder, hits = tmp_path / "features", 0
    script = tmp_path / "run.py"
    script.write_text(RUN)
    for i in range(KILLS):
        command = [sys.executable, str(script), *map(str, films), str(folder), str(1 + i % 2)]
        hits += killed(command, folder, chance.randrange(6), chance.random() * 0.02)
        assert extraction.verify(folder) == [], f"after kill {i + 1}"
    assert hits == KILLS, "a run that ended was not killed"
    made = features(found, folder, settings=SETTINGS, workers=1, progress=False, say=lambda line: None)
    assert 0 < made.costs.films < FILMS and made.ids == whole.ids and not made.failed
    for film in whole.ids:
        one, other = whole.tensors(film), made.tensors(film)
        assert one.keys() == other.keys() == {"tokens", "motion", "vectors"}
        assert all(value.numpy().tobytes() == other[name].numpy().tobytes() for name, value in one.items()), film
    lines = (folder / "index.jsonl").read_text().splitlines()
    assert sorted(film for line in lines for film in json.loads(line)["films"]) == sorted(whole.ids)
    assert extraction.verify(folder) == []
