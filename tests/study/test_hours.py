"""Films of hours: what is measured, resumably; recall by run; tables and figures of a stored run."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from vtm_lesson import films
from vtm_lesson.__main__ import main
from vtm_lesson.merging.hierarchy import most_held
from vtm_lesson.study import hours, hours_command, hours_costs
from vtm_lesson.study.hours import Hours, Point, Results

SMALL = Hours(size=32, keep=16, larger=32, piece=7, shown=4, lengths=(30,), seeds=2, others=24, other_frames=4,
              steps=10, seconds=(10, 20, 40), rounds=2, whole=20, memory=(20,), equal=20)  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder in which everything but memory was done."""
    folder = tmp_path_factory.mktemp("hours")
    results = Results(SMALL, folder)
    for part in ("equal", "time", "recall"):
        hours_command._do(SMALL, results, part, None, None)
    return folder


def test_everything_that_is_asked_for_is_measured_once(home):
    done = Results(SMALL, home).done
    asked = {point for part in ("equal", "time", "recall") for point in hours.points(SMALL, part)}
    assert set(done) == asked
    assert len(hours.points(SMALL, "recall")) == 2 * 3 * len(hours.RUNS) and len(hours.points(SMALL, "time")) == 3 * 2
    lines = (home / "results.jsonl").read_text().splitlines()
    assert len(lines) == 1 + len(asked)
    assert not list(home.glob("recall-*")), "films of recall are deleted"


def test_the_larger_budget_is_for_the_shortest_films_only():
    asked = hours.points(replace(SMALL, lengths=(30, 60)), "recall")
    larger = {point.seconds for point in asked if "larger" in point.name}
    assert larger == {30} and {point.seconds for point in asked} == {30, 60}


def test_a_second_run_does_what_is_missing_and_nothing_else(home, tmp_path, capsys):
    lines = (home / "results.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "results.jsonl").write_text("".join(lines[:-1]) + lines[-1][:20])  # cut off in writing
    results = Results(SMALL, tmp_path)
    hours_command._do(SMALL, results, "recall", None, None)
    assert "recall: 1 results to come" in capsys.readouterr().out
    assert Results(SMALL, tmp_path).done == Results(SMALL, home).done, "and gets the same numbers"
    hours_command._do(SMALL, results, "recall", None, None)
    assert capsys.readouterr().out == ""


def test_a_folder_of_another_study_is_refused(home, tmp_path):
    with pytest.raises(ValueError, match="another keep"):
        Results(replace(SMALL, keep=8), home)
    (tmp_path / "results.jsonl").write_text("no study\n")
    with pytest.raises(ValueError, match="does not begin with the settings"):
        Results(SMALL, tmp_path)


@pytest.mark.parametrize("wrong", [{"seeds": 1}, {"rounds": 0}, {"shown": 31}, {"shown": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="give 2 seeds, 1 round"):
        replace(SMALL, **wrong)


def test_the_actor_is_there_for_its_seconds_and_anywhere():
    for way in films.WAYS:
        there = hours.film(SMALL, 30, way, 1).actor.any((1, 2)).nonzero()[0]
        assert len(there) == 4 and (np.diff(there) == 1).all()
    starts = {hours.shown_at(number, 600, 12)[0] for number in range(200)}
    assert len(starts) > 100 and min(starts) >= 0 and max(starts) <= 588


def test_the_oracle_keeps_the_actor_and_chance_does_not(home):
    rows = {row["name"]: row for row in hours.recall_rows(Results(SMALL, home).records())}
    assert list(rows) == list(hours.RUNS)
    assert rows["oracle"]["recall"][0] > 0.9 and rows["oracle"]["seconds_found"][0] == 1
    assert rows["random"]["recall"][0] < 0.3 and rows["random"]["kept"] == 16
    assert rows["random, larger budget"]["kept"] == 32
    for row in rows.values():
        assert row["seeds"] == 2 and 0 <= row["share"][0] <= 1
        means = [row["recall_by_way"][way][0] for way in films.WAYS]
        assert row["recall"][0] == pytest.approx(sum(means) / 3)


def test_recall_is_what_one_counts_by_hand(tmp_path):
    point = Point("recall", 30, "oracle", "roaming", 0)
    ((_, values),) = hours.recall_of(SMALL, [point], tmp_path / "film.mp4")
    actor = hours.film(SMALL, 30, "roaming", 0).actor
    assert values["actor"] == actor.sum() and values["tokens"] == 30 * 16 == actor.size
    assert values["share"] * values["kept"] == pytest.approx(values["recall"] * values["actor"])
    assert values["most_held"] <= most_held(16, 2, 6, 6 * 16)


def test_seeds_of_saliency_learn_on_films_of_their_own(monkeypatch):
    seen = []
    monkeypatch.setattr(hours, "painted", lambda numbers, **_: seen.append(numbers) or pytest.skip.Exception)
    hours.other_saliency.cache_clear()
    for seed in (0, 1):
        with pytest.raises(AttributeError):
            hours.other_saliency(SMALL, seed)
    used = {(hours.FILMS + seed) * 2**20 for seed in range(20)}
    assert not set(seen[0]) & set(seen[1]) and not (set(seen[0]) | set(seen[1])) & used


def test_piece_by_piece_is_as_at_once(home):
    (values,) = (v for p, v in Results(SMALL, home).done.items() if p.part == "equal")
    assert values["frames"] and values["motion"] and values["chosen"] == 1
    assert values["logits"] < 1e-4 and values["merge"] < 1e-4


def test_networks_of_chunks_of_chunks_have_a_block_more_where_the_film_is_longer():
    for seconds, blocks in ((36, 2), (216, 3), (3600, 5)):
        whole, tree = hours_costs.networks(seconds, SMALL).values()
        assert len(tree.blocks) == blocks and len(whole.blocks) == 3
        assert whole.blocks[-1].config.chunk >= seconds and tree.blocks[-1].config.chunk >= seconds


def test_time_has_every_part_and_rounds(home):
    rows = hours_costs.time_rows(Results(SMALL, home).records())
    assert [row["seconds"] for row in rows] == [10, 20, 40] and [row["rounds"] for row in rows] == [2, 2, 2]
    for row in rows:
        assert all(row[name]["median"] > 0 for name in (*hours.PARTS, *hours.NETWORKS))
        assert (hours.WHOLE in row) == (row["seconds"] <= 20)
        assert row["kept"] == 16 and row["map_bytes"] == 8 * 16 * row["seconds"]
        parts = [row[name]["median"] for name in hours.PARTS]
        assert row["all"]["low"] <= sum(parts) * 1.5 and row["all"]["high"] >= sum(parts) / 1.5
    found = hours_command.exponents(rows)
    assert set(found) == {*hours.PARTS, "all", *hours.NETWORKS}, "two lengths are too few for a slope"


def test_exponents_leave_the_shortest_out_where_enough_are_left():
    rows = [{"seconds": s, "merge": {"median": s**2 if s >= 300 else 1000.0}} for s in (60, 300, 600, 1200)]
    assert hours_command.exponents(rows)["merge"][0] == pytest.approx(2)


def test_memory_is_that_of_a_process_of_its_own(tmp_path):
    path = hours_costs.timed_film(SMALL, tmp_path, 20)
    values = {
        name: hours_command._measured(SMALL, tmp_path, Point("memory", 20, name)) for name in ("decode", "all at once")
    }
    for found in values.values():
        assert found["peak"] == found["start"] + found["grown"] and found["children"] == 0
    assert values["decode"]["held_bytes"] == 0
    motion = 20 * 8 * 8 * 2 * 4
    assert values["all at once"]["held_bytes"] == 20 * 32 * 32 * 3 + motion + 20 * 16 * hours.DIM * 4
    assert path.exists() and not list(path.parent.glob("*.part"))


def report_of(home, tmp_path):
    results = Results(SMALL, home)
    for name in hours.MEMORY:
        values = {"start": 2**29, "grown": 2**20, "peak": 2**29 + 2**20, "children": 0, "held_bytes": 0}
        results.done[Point("memory", 20, name)] = values
    return hours_command.save(SMALL, results, "the command", tmp_path / "hours.json")


def test_what_is_stored_says_command_machine_and_the_hour(home, tmp_path):
    made = report_of(home, tmp_path)
    stored = json.loads((tmp_path / "hours.json").read_text())
    assert stored["command"] == "the command" and stored["machine"]["processor"]
    assert stored["hour"] == {"frames": 3600, "tokens": 3600 * 16} and stored["study"] == json.loads(
        json.dumps(asdict(SMALL))
    )
    loaded = hours_command.load(tmp_path / "hours.json")
    assert loaded["recall"][5]["recall"][0] == pytest.approx(made["recall"][5]["recall"][0], rel=1e-4)
    assert Hours().patches * 3600 == 705600
    text = hours_command.table(loaded)
    for words in (
        "exponent",
        "memory: MiB",
        "piece by piece against at once, 20 s: frames the same",
        "recall, handheld",
    ):
        assert words in text
    assert stored["table"] == text.splitlines() or stored["table"][0] == text.splitlines()[0]


def test_figures_tell_their_numbers(home, tmp_path):
    report = report_of(home, tmp_path)
    assert "minutes of film" in hours_command.time_figure(report).alt
    assert "513" in hours_command.memory_figure(report).alt
    alt = hours_command.recall_figure(report, names=("random", "oracle")).alt
    assert "oracle" in alt and "motion" not in alt
    seconds = hours_command.recall_figure(report, "seconds_found", ("oracle",)).alt
    assert "share of the seconds" in seconds


@pytest.mark.parametrize(("seconds", "words"), [(60, "1 min"), (90, "90 s"), (3600, "1 h"), (14400, "4 h")])
def test_lengths_in_words(seconds, words):
    assert hours_command.length(seconds) == words


def test_the_command_shows_a_stored_report_and_refuses_what_is_none(home, tmp_path, capsys, monkeypatch):
    report_of(home, tmp_path)
    assert main(["hours", "--report", str(tmp_path / "hours.json")]) == 0
    out = capsys.readouterr().out
    assert "recall of 4 seconds" in out and (tmp_path / "hours-recall.png").exists()
    (tmp_path / "other.json").write_text("{}")
    assert main(["hours", "--report", str(tmp_path / "other.json")]) == 2
    assert "is no report of this command" in capsys.readouterr().err
    monkeypatch.setattr(hours_command, "QUICK", replace(SMALL, keep=8))
    assert main(["hours", "--quick", "--folder", str(home)]) == 2
    assert "another keep" in capsys.readouterr().err


def test_the_command_does_some_parts_and_lengths_only(home, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(hours_command, "QUICK", SMALL)
    ran = ["hours", "--quick", "--folder", str(tmp_path), "--part", "time", "--only", "10"]
    assert main(ran) == 0
    assert {p.seconds for p in Results(SMALL, tmp_path).done} == {10}
    assert f"{' '.join(['python -m vtm_lesson', *ran])}" in (tmp_path / "hours.json").read_text()


def test_draws_hang_on_the_seed(tmp_path):
    values = {}
    for seed in (0, 1):
        point = Point("recall", 30, "random", "roaming", seed)
        live = hours._run(SMALL, point)
        live.push(torch.ones(1, 30, 4, 4, 3))
        values[seed] = live.kept().position
    assert not torch.equal(values[0], values[1])
