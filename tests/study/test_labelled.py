"""The study of labelled footage on painted films: what is fair in it, what is kept, and what it says."""

import json
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
import torch

import vtm_lesson as vtm
from vtm_lesson.study import compare_command, labelled
from vtm_lesson.study.clips import TRIALS, Clips, Job, LabelledStudy, Plan
from vtm_lesson.study.splits import Grouped

OWN = """
import torch

def newest(n, n_targets):
    return torch.arange(n - n_targets, n)

def drop(n, n_targets):
    return torch.arange(n_targets)

def short(n, n_targets):
    return torch.arange(n_targets - 1)
"""
SMALL = Plan(splits=("group", "random"), gamma=(4,), folds=3, seeds=2, network_seeds=1, channels=8, epochs=2)


def clips(n=24, sessions=6, seed=0):
    """Tokens of which every 16th holds the label and the others hold the session, twice as loud."""
    generator = torch.Generator().manual_seed(seed)
    labels, group = torch.arange(n) % 2, torch.arange(n) // (n // sessions)
    look = 2 * torch.randn(sessions, 6, generator=generator)
    tokens = torch.randn(n, 4, 4, 4, 6, generator=generator) + look[group][:, None, None, None]
    tokens[:, :, 0, 0] = 8.0 * (2 * labels - 1)[:, None, None]
    motion = torch.zeros(n, 4, 4, 4)
    motion[:, :, 0, 0] = 9.0
    items = vtm.Items(tokens=tokens, motion=motion, oracle=torch.zeros_like(motion), label=labels)
    return Clips(items, Grouped("group", group.numpy(), np.arange(n)), ("one", "two"))


@pytest.fixture
def study(tmp_path):
    return LabelledStudy(clips(), SMALL, tmp_path / "run", progress=False)


def test_a_reader_of_what_moves_is_right_where_the_label_moves(study):
    right = [np.mean(study.read(Job("a", "group", "motion", 4, 0, fold))["right"]) for fold in range(3)]
    assert np.mean(right) > 0.9


def test_what_is_learned_never_sees_the_test_clips(study, monkeypatch):
    """Saliency, settings and strength of a fold stay the same when its test clips are made into something else."""
    monkeypatch.setitem(TRIALS, "learned", [{"steps": 20, "temperature": t} for t in (1.0, 6.0)])
    job = Job("a", "group", "learned", 4, 0, 1)
    _, test = study.cut("group", 0)[1]
    before = study.read(job)
    other = clips()
    other.items.columns["tokens"][test] = torch.randn_like(other.items.columns["tokens"][test])
    changed = LabelledStudy(other, SMALL, study.folder / "other", progress=False)
    after = changed.read(job)
    assert {name: before[name] for name in ("trial", "strength", "test")} == {
        name: after[name] for name in ("trial", "strength", "test")
    }
    train = tuple(study.cut("group", 0)[1][0])
    one = study.features(job, before["trial"], np.array(train))[0]
    other_ = changed.features(job, before["trial"], np.array(train))[0]
    assert np.allclose(one[list(train)], other_[list(train)], atol=1e-5)
    assert not np.allclose(one[test], other_[test], atol=1e-2)


def test_every_strategy_has_as_many_trials():
    assert {len(trials) for trials in TRIALS.values()} == {4}


def test_rows_are_those_that_the_clips_bear(study):
    rows = study.rows("a")
    assert {"none", "random", "motion", "learned", "drop"} <= set(rows)
    assert not {"relative", "learned elsewhere", "decoder", "oracle", "learnable"} & set(rows)
    assert "relative" not in study.rows("c") and "learnable" in study.rows("c")


def test_what_draws_nothing_is_measured_once_where_folds_are_fixed(study):
    assert study.draws("random") and study.draws("motion") and study.draws("learned")
    assert not study.draws("uniform") and not study.draws("centre") and not study.draws("none")
    fixed = LabelledStudy(study.clips, replace(SMALL, splits=("time",), evidence="a"), study.folder / "t", False)
    seeds = {row: {job.seed for job in fixed.jobs() if job.row == row} for row in ("none", "random")}
    assert seeds == {"none": {0}, "random": {0, 1}}


def test_a_network_is_trained_and_its_best_epoch_chosen_within(study):
    found = study.trained(Job("c", "group", "motion", 6, 0, 0))
    assert found["test"] == study.cut("group", 0)[0][1].tolist() and set(found["right"]) <= {0, 1}
    assert found["best_epoch"] in (0, 1)


def test_networks_merge_where_the_plan_says_and_rows_can_be_chosen(study):
    plan = replace(SMALL, place="queries", only=("random", "learnable"), splits=("group",), evidence="c")
    other = LabelledStudy(study.clips, plan, study.folder, progress=False)
    assert other.rows("c") == ["none", "random", "learnable"] and other.rows("a") == ["none", "random"]
    assert {block.config.merge_at for block in other.network("random", 0).each_block} == {"queries"}
    assert study.network("random", 0).each_block[0].config.merge_at == "after_attention"
    assert other.trained(Job("c", "group", "learnable", 6, 0, 0))["best_epoch"] in (0, 1)
    other._keep(Job("c", "group", "random", 6, 0, 0), {"test": [0], "right": [1]})
    assert (study.folder / "results-c-queries.jsonl").exists()
    for wrong, words in ({"place": "later"}, "before_attention"), ({"only": ("lucky",)}, "choose among none|learnable"):
        with pytest.raises(ValueError, match=words):
            replace(SMALL, **wrong)


def test_results_are_kept_and_other_clips_refused(tmp_path):
    plan = Plan(splits=("group",), gamma=(4,), folds=2, seeds=1, evidence="a")
    first = LabelledStudy(clips(), plan, tmp_path, progress=False)
    first.rows = lambda evidence: ["none", "random"]
    first.run()
    path = tmp_path / "results-a.jsonl"
    path.write_text(path.read_text() + '{"evidence": "a", "spl')  # killed while it wrote
    second = LabelledStudy(clips(), plan, tmp_path, progress=False)
    assert second.results == first.results and len(second.results) == 4
    with pytest.raises(ValueError, match="another groups; give another --folder"):
        LabelledStudy(clips(sessions=3), plan, tmp_path)


def stored(right, groups=(0, 0, 1, 1, 2, 2)):
    """A report of these rows: (row, gamma) -> one string a seed."""
    results = [
        {"evidence": "a", "split": split, "row": row, "gamma": gamma, "seed": seed, "right": text, "tokens": [5]}
        for split in ("time", "random")
        for (row, gamma), texts in right.items()
        for seed, text in enumerate(texts)
    ]
    data = {"clips": 6, "groups": list(groups), "known": "time", "classes": {"a": 3, "b": 3}}
    made = {"data": data, "results": results}
    return made | {"rows": labelled.summary(made)}


def test_rows_average_seeds_clip_by_clip_and_pair_with_no_merging():
    made = stored({("none", 1): ["110110"], ("motion", 20): ["111111", "111110"]})
    none, motion = (row for row in made["rows"] if row["split"] == "time")
    assert none["accuracy"][0] == pytest.approx(4 / 6) and motion["seeds"] == [1.0, 0.8333]
    assert motion["minus_none"][0] == pytest.approx(1.5 / 6)
    low, high = motion["minus_none"][1:]
    assert 0 <= low <= 1.5 / 6 <= high <= 0.5 and "minus_none" not in none


def test_the_table_and_the_figure_say_what_splits_mean():
    made = stored({("none", 1): ["110110"], ("motion", 20): ["111111", "111110"], ("random", 20): ["000110"]})
    text = labelled.table(made)
    assert "split by time" in text and "a session is never on both sides" in text and "a warning, not a result" in text
    assert "+25.0 (" in text
    drawn = labelled.figure(made)
    assert "motion +25.0" in drawn.alt and "random -33.3" in drawn.alt and "no merging 66.7" in drawn.alt
    made["data"]["known"] = ""
    assert "only random splits can be made" in labelled.meaning(made, "random")


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """Two classes of six films each, recorded in three sessions: their names say when."""
    home = tmp_path_factory.mktemp("painted") / "dances"
    begin = datetime(2025, 1, 27, 10)
    for k in range(12):
        folder = home / f"gesture{k % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        moment = begin + timedelta(hours=k // 4, minutes=k % 4)
        film = vtm.films.make(k, "roaming", label=k % 2, frames=4, size=32)
        vtm.films.write(folder / f"VID{moment:%Y%m%d%H%M%S}.mp4", film)
    return home


def test_the_command(painted, tmp_path, capsys, monkeypatch):
    every = LabelledStudy.rows
    monkeypatch.setattr(LabelledStudy, "rows", lambda self, evidence: ["none", "random", "learned, held back"])
    monkeypatch.setitem(TRIALS, "learned, held back", [{"components": 4, "steps": 5, "temperature": 6.0}])
    out = tmp_path / "dances.json"
    options = ["--folder", tmp_path / "run", "--features", tmp_path / "features", "--out", out, "--size", "32"]
    options += ["--frames", "4", "--folds", "3", "--quick", "--evidence", "a", "--gamma", "4", "--data", painted]
    assert compare_command.main(list(map(str, options))) == 0
    said = capsys.readouterr().out
    assert "12 clips. Names hold dates: 3 sessions" in said and "learned, held back" in said
    made = labelled.load(out)
    assert made["data"]["classes"] == {"gesture0": 6, "gesture1": 6} and made["command"].startswith("python -m")
    assert {row["split"] for row in made["rows"]} == {"time", "random"}
    assert json.loads(json.dumps(made["rows"])) == json.loads(out.read_text())["rows"]
    assert out.with_suffix(".png").stat().st_size > 5000
    assert "VID2025" not in out.read_text()  # no clip is named
    # One's own partition stands beside them, and leaves nothing where results are kept.
    monkeypatch.setattr(LabelledStudy, "rows", every)
    file, kept = tmp_path / "mine.py", (tmp_path / "run" / "results-a.jsonl").read_text()
    file.write_text(OWN)
    mine = [*map(str, options), "--strategy", f"{file}:newest"]
    assert compare_command.main(mine) == 0
    rows = {row["row"]: row for row in labelled.load(out)["rows"] if row["split"] == "time"}
    assert list(rows) == ["none", "random", "learned, held back", "newest"]
    assert rows["newest"]["tokens"] == rows["random"]["tokens"]
    assert (tmp_path / "run" / "results-a.jsonl").read_text() == kept
    capsys.readouterr()
    for name, said in (("drop", "a row named drop is there"), ("short", "short, tried on"), ("none", "no function")):
        assert compare_command.main([*mine[:-1], f"{file}:{name}"]) == 2 and said in capsys.readouterr().err


def test_networks_at_several_places_share_no_merging_and_are_paired(painted, tmp_path, capsys):
    out = tmp_path / "places.json"
    options = ["--folder", tmp_path / "run", "--features", tmp_path / "features", "--out", out, "--size", "32"]
    options += ["--frames", "4", "--folds", "2", "--seeds", "2", "--epochs", "1", "--splits", "time"]
    options += ["--strategies", "random", "--places", "queries,after_attention", "--data", painted]
    assert compare_command.main([*map(str, options), "--evidence", "ac"]) == 2
    assert "several of them need --evidence c" in capsys.readouterr().err
    assert compare_command.main([*map(str, options), "--evidence", "c"]) == 0
    said = capsys.readouterr().out
    assert "12 results to make" in said and "minus the paper's order" in said  # (1 + 2 places) x 2 seeds x 2 folds
    made = labelled.load(out)
    rows = {(row["row"], row.get("place")): row for row in made["rows"]}
    assert set(rows) == {("none", None), ("random", "queries"), ("random", "after_attention")}
    paper, queries = rows["random", "after_attention"], rows["random", "queries"]
    assert "minus_paper" not in paper and "minus_none" in paper
    apart = queries["minus_paper"][0]
    assert apart == pytest.approx(queries["accuracy"][0] - paper["accuracy"][0])
    files = sorted((tmp_path / "run").glob("results-c*.jsonl"))
    lines = [len(file.read_text().splitlines()) for file in files]
    assert sorted(lines) == [1 + 4, 1 + 8]  # no merging is kept once
    assert compare_command.main([*map(str, options), "--evidence", "c"]) == 0  # all is there
    assert "0 results to make" in capsys.readouterr().out and labelled.load(out)["results"] == made["results"]


def test_the_command_says_what_is_wrong(painted, tmp_path, capsys):
    one = tmp_path / "one" / "alone"
    one.mkdir(parents=True)
    assert compare_command.main(["--data", str(tmp_path / "one")]) == 2
    assert "give one folder for each class" in capsys.readouterr().err
    with pytest.raises(ValueError, match='it is "a", "c" or "ac"'):
        replace(SMALL, evidence="b")
    with pytest.raises(ValueError, match="choose among group, time"):
        replace(SMALL, splits=("day",))
