"""Features by a cluster: real actors of Ray's in processes of their own, one of which is killed."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from helpers import assert_same_bytes, two_classes

from vtm_lesson.datasets import extraction
from vtm_lesson.datasets.extraction import Settings, features

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is missing: make test-all installs it"
)
SETTINGS = Settings(frames=24, size=96, patch=8, window=0.7)
ROOT = Path(extraction.__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Sixteen films in two classes, and one that is none."""
    return two_classes(tmp_path_factory.mktemp("films"), 16, broken=True, frames=24, size=64, patch=8)


@pytest.fixture(scope="module")
def alone(films, tmp_path_factory):
    """What one machine gives."""
    return quiet(films, tmp_path_factory.mktemp("alone"), workers=1)


def quiet(films, folder, **more):
    return features(films, folder, settings=SETTINGS, progress=False, say=lambda line: None, **more)


def films_of_index(folder):
    lines = (folder / "index.jsonl").read_text().splitlines()
    return sorted(film for line in lines for film in json.loads(line)["films"])


# In a process of its own, as Ray leaves processes and sockets to the collector, which pytest takes for a fault.
CLUSTER = """
import sys
import ray
from vtm_lesson.datasets.extraction import Settings, features

for attempt in range(8):  # where the processor is busy with other things, Ray loses patience with its own parts
    try:
        ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, object_store_memory=200 << 20)
        break
    except Exception as error:
        print(error, file=sys.stderr)
        ray.shutdown()
films, settings = sys.argv[1], Settings(frames=24, size=96, patch=8, window=0.7)
for folder, workers in zip(sys.argv[2::2], sys.argv[3::2]):
    made = features(films, folder, settings=settings, engine="ray", workers=int(workers), shard=1, progress=False)
    assert ray.is_initialized(), "it was there before"
    print("made", made.costs.films, made.costs.workers)
"""


def started(films, *folders_and_workers):
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {"RAY_USAGE_STATS_ENABLED": "0"}
    return subprocess.Popen(
        [sys.executable, "-c", CLUSTER, str(films), *map(str, folders_and_workers)],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def actors_of(run):
    """The processes of Ray's actors that work on films."""
    everybody = psutil.Process(run.pid).children(recursive=True)
    return [one for one in everybody if "MapWorker" in " ".join(one.cmdline())]


def test_an_actor_is_killed_and_each_film_is_there_once(films, alone, tmp_path):
    """And what one machine began, the same cluster ends."""
    found = extraction.labelled(films)
    half = extraction.VideoList("half", found.entries[:9], found.classes)
    assert quiet(half, tmp_path / "half", workers=1).costs.films == 8
    run = started(films, tmp_path / "whole", 2, tmp_path / "half", 3)
    try:
        end = time.monotonic() + 500
        while time.monotonic() < end and run.poll() is None and not list((tmp_path / "whole").glob("shard-*.s*")):
            time.sleep(0.005)
        first, *others = actors_of(run)
        assert others
        first.kill()  # SIGKILL
        said, wrong = run.communicate(timeout=500)
    finally:
        if run.poll() is None:
            run.kill()
            print(run.communicate())
    assert run.returncode == 0, wrong
    assert re.findall(r"made (\d+) (\d+)", said) == [("16", "2"), ("8", "3")]
    for name in ("whole", "half"):
        assert_same_bytes(alone, quiet(films, tmp_path / name))
        assert films_of_index(tmp_path / name) == sorted(alone.ids), "each film once"
        assert extraction.verify(tmp_path / name) == []


def test_the_command_starts_a_cluster_and_ends_it(films, alone, tmp_path):
    """From another folder: the actors find the package by themselves."""
    options = ["--frames", "24", "--size", "96", "--patch", "8", "--window", "0.7", "--engine", "ray", "--workers", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "vtm_lesson", "features", str(films), str(tmp_path / "out"), *options],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={**{k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "16 films with features" in done.stdout and "unreadable: 1 (calm/none.mp4)" in done.stdout
    assert_same_bytes(alone, quiet(films, tmp_path / "out"))
