"""The whole way of `python -m vtm_lesson train`: stand-ins of four data sets learn, two processes, TensorBoard's logs.

About a minute on one core for each of the four.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vtm_lesson.datasets import lists
from vtm_lesson.datasets.stand_in import stand_in
from vtm_lesson.study.longform_stand_in import READERS, SEEDS, holds, painted, prove

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)  # set back by the fixture of all tests


@pytest.mark.parametrize("kind", READERS)
def test_a_stand_in_learns(kind, tmp_path):
    """Over three seeds the interval of the accuracy lies above chance, that of the squared error below the mean's."""
    found = prove(tmp_path, (kind,), progress=False, say=lambda line: None)
    (row,) = found["rows"]
    assert len(row["test"]) == SEEDS == 3 and row["films"] == row["counts"]["test"] >= 36
    assert len(set(row["test"])) > 1, "seeds differ, or the interval means nothing"
    assert holds(row), row
    if row["task"] == "class":
        assert row["guess"] == [1 / row["classes"]] * 3, "every class has equally many test films"
    else:
        films, _ = painted(kind, tmp_path / kind, progress=False)
        known, asked = (
            torch.tensor([e.label for e in films.split(name).entries]).double() for name in ("train", "test")
        )
        assert row["guess"] == pytest.approx([float((asked - known.mean()).square().mean())] * 3)


@pytest.fixture(scope="module")
def like_ratio(tmp_path_factory):
    """A small stand-in of a regression."""
    home = tmp_path_factory.mktemp("two")
    stand_in("like_ratio", home, films_per_class=3, frames=6, size=32)
    return home


def train(home, folder, *before):
    """Two partitions that draw nothing, from films to scores, in processes of their own."""
    command = [
        sys.executable, "-m", *before, "vtm_lesson", "train", "--dataset", "lvu", "--task", "like_ratio",
        "--lists", home / "lists", "--videos", home / "videos", "--folder", folder, "--frames", "6", "--size", "32",
        "--window", "0", "--epochs", "3", "--lr", "3e-3", "--batch", "5", "--seeds", "2", "--device", "cpu",
        "--partition", "none", "uniform",
    ]  # fmt: skip
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300
    )
    return done


def results(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_two_processes_give_the_scores_of_one(like_ratio, tmp_path):
    """`fit` gives the same weights however many processes there are, and one process writes each run once."""
    two = ("torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m")
    alone, both = train(like_ratio, tmp_path / "one"), train(like_ratio, tmp_path / "two", *two)
    assert alone.returncode == 0, alone.stderr[-3000:]
    assert both.returncode == 0, both.stderr[-3000:]
    one, other = results(tmp_path / "one"), results(tmp_path / "two")
    runs = [(partition, seed) for seed in (0, 1) for partition in ("none", "uniform")]
    assert (
        [(run["partition"], run["seed"]) for run in other] == [(run["partition"], run["seed"]) for run in one] == runs
    )
    for mine, theirs in zip(one, other, strict=True):
        assert theirs["test"] == pytest.approx(mine["test"], rel=1e-3)
        assert theirs["valid"] == pytest.approx(mine["valid"], rel=1e-3)
        assert {k: v for k, v in theirs.items() if k in ("guess", "films", "best", "epochs", "tokens", "flops")} == {
            k: v for k, v in mine.items() if k in ("guess", "films", "best", "epochs", "tokens", "flops")
        }
    assert both.stdout.count("LVU like_ratio: 24 films") == both.stdout.count("published: memory") == 1
    index = (tmp_path / "two" / "features" / "index.jsonl").read_text().splitlines()
    assert sum(len(json.loads(line)["films"]) for line in index) == 24, "every film once"
    # A second call finds everything done, and an error is one sentence of one process.
    again = train(like_ratio, tmp_path / "two", *two)
    assert again.returncode == 0 and results(tmp_path / "two") == other
    (tmp_path / "two" / "settings.json").write_text("{}")
    refused = train(like_ratio, tmp_path / "two", *two)
    assert refused.returncode != 0 and refused.stderr.count("holds runs with other settings") == 1


def test_the_logs_of_a_run_can_be_read(like_ratio, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    done = train(like_ratio, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {
        f"{p}-seed{s}" for p in ("none", "uniform") for s in (0, 1)
    }
    read = events.EventAccumulator(str(tmp_path / "logs" / "uniform-seed1"))
    read.Reload()
    assert sorted(read.Tags()["scalars"]) == ["train/loss", "valid/loss", "valid/score"]
    losses = [point.value for point in read.Scalars("valid/loss")]
    assert len(losses) == 3 and [point.step for point in read.Scalars("train/loss")] == [0, 1, 2]
    (run,) = [run for run in results(tmp_path) if (run["partition"], run["seed"]) == ("uniform", 1)]
    assert min(losses) == pytest.approx(run["valid"], rel=1e-4) and losses.index(min(losses)) == run["best"]


def test_the_stand_ins_are_lists_of_the_data_sets_own_form(like_ratio):
    assert len(lists.lvu(like_ratio / "lists", "like_ratio").find(like_ratio / "videos")) == 24
