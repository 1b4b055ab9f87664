"""What the cluster's engine does, with a stand-in for Ray that does all of it here; tests/all has Ray itself."""

import os
import pickle
import sys
import types

import pytest
from helpers import assert_same_bytes, two_classes

import vtm_lesson as vtm
from vtm_lesson.datasets import cluster
from vtm_lesson.datasets.extraction import Settings, features

SMALL = Settings(frames=4, size=32, patch=8, window=0.25)


class Rows:
    """Ray Data's table: each row is handed to an actor, and here, as after an actor's death, twice."""

    def __init__(self, rows, blocks):
        self.rows, self.blocks = rows, blocks

    def map(self, actor, *, fn_constructor_args, compute, num_cpus, num_gpus):
        self.asked = {"actors": compute, "cpus": num_cpus, "gpus": num_gpus}
        act = actor(*fn_constructor_args)
        self.made = [act(row) for row in (*self.rows, *self.rows[:2])]
        return self

    def iter_rows(self):
        return iter(self.made)


@pytest.fixture
def ray(monkeypatch):
    """A stand-in for Ray, of four cores."""
    fake, data = types.ModuleType("ray"), types.ModuleType("ray.data")
    fake.calls, fake.running, fake.data = [], False, data
    fake.cloudpickle, fake.put, fake.get = pickle, lambda value: [value], lambda place: place[0]
    fake.is_initialized = lambda: fake.running
    fake.cluster_resources = lambda: {"CPU": 4.0}

    def init(**options):
        fake.calls.append(("init", options, os.environ["PYTHONPATH"].split(os.pathsep)[0]))

    fake.init, fake.shutdown = init, lambda: fake.calls.append(("shutdown",))
    context = types.SimpleNamespace(enable_progress_bars=True)
    data.DataContext = types.SimpleNamespace(get_current=lambda: context)
    data.ActorPoolStrategy = lambda size, max_tasks_in_flight_per_actor: size

    def from_items(rows, override_num_blocks):
        assert not context.enable_progress_bars
        fake.table = Rows(rows, override_num_blocks)
        return fake.table

    data.from_items, data.context = from_items, context
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setitem(sys.modules, "ray.data", data)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    return fake


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Six films in two classes, and one that is none."""
    return two_classes(tmp_path_factory.mktemp("films"), 6, broken=True, frames=6, size=32, patch=8)


def quiet(films, folder, **more):
    return features(films, folder, settings=SMALL, progress=False, say=lambda line: None, **more)


def test_the_same_bytes_and_each_film_once(ray, films, tmp_path):
    here, there = quiet(films, tmp_path / "here"), quiet(films, tmp_path / "there", engine="ray")
    assert len(there) == there.costs.films == 6
    assert set(there.failed) == {"calm/none.mp4"}
    assert_same_bytes(here, there)
    index = (tmp_path / "there" / "index.jsonl").read_text()
    assert all(index.count(film) == 1 for film in here.ids), "some came twice"


def test_every_film_is_a_block_and_every_path_is_whole(ray, films, tmp_path, monkeypatch):
    monkeypatch.chdir(films.parent)
    made = quiet(films.name, tmp_path / "features", engine="ray", workers=3)
    assert made.costs.workers == 3 and ray.table.asked == {"actors": 3, "cpus": 1, "gpus": None}
    assert ray.table.blocks == len(ray.table.rows) == 7
    assert all(os.path.isabs(row["file"]) for row in ray.table.rows)  # noqa: PTH117
    assert ray.data.context.enable_progress_bars, "as it was before"


def test_as_many_actors_as_fit_and_no_more_than_films(ray):
    encoder = vtm.load_encoder("patch")
    assert [cluster.actors(*numbers, encoder) for numbers in ((0, 9), (0, 3), (2, 9), (9, 5))] == [4, 3, 2, 5]


@pytest.mark.parametrize("before", [None, "somewhere"])
def test_a_cluster_that_was_there_stays_and_another_is_ended(ray, monkeypatch, before):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if before:
        monkeypatch.setenv("PYTHONPATH", before)
    with pytest.raises(KeyError), cluster.connected():
        raise KeyError
    (_, options, first), ended = ray.calls
    assert first == str(cluster.ROOT) and ended == ("shutdown",) and options["include_dashboard"] is False
    assert os.environ.get("PYTHONPATH") == before
    ray.calls.clear()
    ray.running = True
    with cluster.connected():
        pass
    assert not ray.calls


def test_features_larger_than_a_row_are_told(ray, films, monkeypatch):
    monkeypatch.setattr(cluster, "LARGEST", 1000)
    act = cluster.Extractor([pickle.dumps(vtm.load_encoder("patch"))], SMALL)
    row = act({"film": "calm/00.mp4", "file": str(films / "calm" / "00.mp4")})
    assert "more than 2 GiB" in row["why"] and len(row["tensors"]) < 100
