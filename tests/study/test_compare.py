"""The comparison: films as tokens, the retention probe, a study that survives interruption, its table and command."""

import dataclasses
import json
import math
from collections import Counter

import pytest
import torch
from helpers import Colours

from vtm_lesson import films
from vtm_lesson.merging.strategies import Relative
from vtm_lesson.network.model import VideoClassifier
from vtm_lesson.paths import data_path
from vtm_lesson.study import compare_command, report
from vtm_lesson.study.compare_command import main
from vtm_lesson.study.experiment import Comparison, forward, network
from vtm_lesson.study.jobs import CHOSEN, QUICK, TRIALS, Job, Study
from vtm_lesson.study.report import figure, table
from vtm_lesson.study.statistics import difference, interval, summary, verdicts

TINY = Study(train=48, valid=24, test=48, frames=4, size=32, seeds=2, epochs=1, chunks=(1, 2, 4), width=6, batch=16,
             plug_gammas=(4,), saliency_epochs=1, tune=False, rounds=1)  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("tokens")


# ------------------------------------------------------------------------------------------------- the study


def study_in(folder, cache, study=TINY):
    return Comparison(study, folder, encoder=Colours(), tokens=cache, progress=False)


@pytest.fixture(scope="module")
def finished(cache, tmp_path_factory):
    comparison = study_in(tmp_path_factory.mktemp("study"), cache)
    comparison.run(progress=False)
    return comparison


def test_every_strategy_is_there_at_one_budget(finished):
    rows = summary(finished.records("a", "b", "c"))
    for kind, place in (("a", ""), ("c", "before_attention"), ("c", "after_attention"), ("b", "after_attention")):
        mine = [r for r in rows if r["evidence"] == kind and r["place"] == place and r["strategy"] != "none"]
        assert {"random", "uniform", "centre", "boundary", "motion", "relative", "learnable", "oracle"} <= {
            r["strategy"] for r in mine
        }
        assert len({r["tokens"] for r in mine if r["strategy"] != "auxiliary"}) == 1
        assert all(r["seeds"] == 2 for r in mine)
    n, left = 64, math.ceil(math.ceil(64 / 6) / 6)
    kept = {r["strategy"]: r["tokens"] for r in rows if r["evidence"] == "a"}
    assert kept["none"] == n and kept["random"] == kept["auxiliary"] == left


def test_a_study_takes_any_reducer(cache, tmp_path):
    study = dataclasses.replace(TINY, strategies=("uniform", "drop", "threshold"), seeds=1, places=("after_attention",))
    comparison = study_in(tmp_path, cache, study)
    comparison.run(progress=False)
    made = report.make_report(comparison, "command")
    for kind in "abc":
        names = [r["strategy"] for r in made["rows"] if r["evidence"] == kind]
        assert {"random", "uniform", "drop", "threshold", "oracle"} <= set(names)
    assert "threshold" in table(made) and "threshold" in figure(made).alt


def test_queries_may_merge_and_networks_are_read_in_bfloat16(cache, tmp_path):
    asked = {"strategies": ("uniform", "learnable"), "places": ("queries",), "evidence": "bch"}
    comparison = study_in(tmp_path, cache, dataclasses.replace(TINY, **asked))
    comparison.run(progress=False)
    made = report.make_report(comparison, "command")
    for seed in range(2):
        whole, half = (comparison.results[Job(kind, "learnable", "queries", 6, seed=seed)] for kind in "ch")
        assert whole["tokens"] == half["tokens"] and half["loss"] != whole["loss"]
        assert half["loss"] == pytest.approx(whole["loss"], rel=0.2)
    rows = {(row["evidence"], row["strategy"]): row for row in made["rows"]}
    assert rows["h", "learnable"]["seeds"] == 2 and ("h", "none") not in rows
    assert "(h) the networks of (c) in bfloat16, queries merged before attention" in table(made)
    assert "(h) the networks of (c) in bfloat16, queries merged" in figure(made).alt
    trained = [part for part in (tmp_path / "networks").iterdir() if "queries" in part.name]
    assert len(trained) == 2 * 4, "two seeds of random, uniform, learnable and oracle"
    with pytest.raises(ValueError, match='ask for "c", too'):
        dataclasses.replace(TINY, evidence="h")


def test_an_interrupted_study_ends_the_same(finished, cache, tmp_path, monkeypatch):
    calls = []
    keep = Comparison.keep

    def stops(self, job, values):
        keep(self, job, values)
        calls.append(job)
        if len(calls) == 19:
            raise KeyboardInterrupt

    monkeypatch.setattr(Comparison, "keep", stops)
    with pytest.raises(KeyboardInterrupt):
        study_in(tmp_path, cache).run(progress=False)
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"evidence": "a", "strat')  # the line that was being written
    again = study_in(tmp_path, cache)  # goes on behind the cut-off line, and is stopped again
    first = Job("a", "none", gamma=6, seed=0)
    again.keep(first, again.results[first])
    monkeypatch.setattr(Comparison, "keep", keep)
    results = study_in(tmp_path, cache).run(progress=False)
    timed = ("seconds", "speed_ratio")
    for one in (wanted := dict(finished.results)), results:
        for job, values in one.items():
            one[job] = {name: value for name, value in values.items() if name not in timed}
    assert results == wanted


def test_no_two_jobs_of_a_study_are_the_same(finished):
    jobs = list(finished.jobs())
    assert len(set(jobs)) == len(jobs) == len(finished.results)
    records = [json.loads(json.dumps(job.record({"accuracy": 0.5}))) for job in jobs]
    assert [Job.split(record) for record in records] == [(job, {"accuracy": 0.5}) for job in jobs]


def test_a_line_that_cannot_be_read_costs_no_other_line(finished, cache, tmp_path):
    """Only what stood in the bad line is done again, wherever it stands; all other lines stay on disk as they are."""
    lines = (finished.folder / "results.jsonl").read_text().splitlines()
    path = tmp_path / "results.jsonl"
    path.write_text("\n".join([*lines[:6], lines[6][:30], *lines[7:9], lines[9][:1], *lines[10:]]))  # no newline
    again = study_in(tmp_path, cache)
    kept = [line for number, line in enumerate(lines) if number not in (6, 9)]
    assert set(kept) < set(path.read_text().splitlines()) and len(again.results) == len(kept) - 1
    again.keep(Job("a", "luck"), {"accuracy": 1.0})
    assert study_in(tmp_path, cache).results == again.results


def test_a_last_line_without_its_end_is_kept_and_the_next_begins_anew(finished, cache, tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text((finished.folder / "results.jsonl").read_text().rstrip())
    again = study_in(tmp_path, cache)
    assert set(again.results) == set(finished.results)
    again.keep(Job("a", "luck"), {"accuracy": 1.0})
    assert study_in(tmp_path, cache).results == again.results


def test_a_folder_of_another_study_is_refused(finished, cache):
    with pytest.raises(ValueError, match="another epochs"):
        study_in(finished.folder, cache, Study(**{**TINY.__dict__, "epochs": 2}))


def test_files_that_no_study_of_this_form_wrote_are_refused_and_left_alone(finished, cache, tmp_path):
    path = tmp_path / "results.jsonl"
    header = (finished.folder / "results.jsonl").read_text().splitlines()[0]
    older = f'{header}\n{{"key": "a/none/gamma6/r1/seed0", "accuracy": 0.4}}\n{{"key": "a/no'
    wrong = {"{": "does not begin with the settings", header[:40]: "does not begin with the settings",
             older: 'results have a "key" in place of fields'}  # fmt: skip
    for text, words in wrong.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=words) as error:
            study_in(tmp_path, cache)
        assert str(path) in str(error.value) and "give another --folder or delete that file" in str(error.value)
        assert path.read_text() == text


class Hidden:
    """Test films that nobody may look at."""

    def __getattr__(self, name):
        pytest.fail(f"test films were used: .{name}")

    def __len__(self):
        pytest.fail("test films were counted")

    __getitem__ = __len__


def test_no_choice_looks_at_test_films(finished, tmp_path, monkeypatch):
    """Trials of settings, learning saliency, training and the choice of the best epoch: without test films."""
    monkeypatch.setattr(finished, "study", dataclasses.replace(TINY, tune=True))
    monkeypatch.setattr(finished, "folder", tmp_path)
    monkeypatch.setattr(finished, "saliencies", {})
    monkeypatch.setattr(finished, "test", Hidden())
    monkeypatch.setattr(finished, "scored", lambda model, items, seed: {} if items is finished.test else pytest.fail())
    tuned = [finished.do(job) for job in finished.jobs() if job.evidence == "tune"]
    assert len(tuned) == 6 * 6 and all(0 <= trial["accuracy"] <= 1 for trial in tuned)
    assert "losses" in finished.do(Job("c", "learnable", "after_attention", 6))


def test_the_best_trial_is_chosen(finished, monkeypatch):
    trials = {job: {"accuracy": [0, 0, 3, 1, 0, 0][job.trial]} for job in finished.trials("motion")}
    monkeypatch.setattr(finished, "results", trials)
    monkeypatch.setattr(finished, "study", Study(**{**TINY.__dict__, "tune": True}))
    assert finished.chosen("motion") == TRIALS["motion"][2]
    assert len({len(trials) for trials in TRIALS.values()}) == 1


def test_relative_motion_has_its_own_settings(finished):
    """The study's "relative" is the strategy with the settings that were chosen, or, without tuning, a fixed one."""
    assert finished.strategy("relative", 0) == Relative(**CHOSEN["relative"])
    assert [finished.strategy("relative", 0, settings) for settings in TRIALS["relative"]] == [
        Relative(temperature, prior) for temperature in (1.0, 2.0, 4.0) for prior in (0.0, 1.5)
    ]


@pytest.mark.parametrize(
    ("merges", "wants"),
    [({"partition": "motion"}, False), ({"partition": "random"}, False), ({"partition": None}, False),
     ({"partition": "relative"}, True), ({"partition": Relative(prior=1.5)}, True), ({"reducer": "drop"}, True)],
)  # fmt: skip
def test_the_camera_is_fitted_for_those_who_may_ask_for_it(finished, monkeypatch, merges, wants):
    seen = []

    def watched(self, tokens, **known):
        seen.append(known.get("vectors"))
        return tokens.mean((1, 2, 3))

    model = VideoClassifier(**network(TINY), **merges)
    monkeypatch.setattr(VideoClassifier, "forward", watched)
    forward(model.eval(), {"tokens": torch.zeros(1, 2, 2, 2, 6), "motion": None, "oracle": None, "vectors": "given"})
    assert seen == (["given"] if wants else [None])


# ------------------------------------------------------------------------------------------------ the report


def test_interval_is_students():
    mean, low, high = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert mean == 3 and high - mean == pytest.approx(2.776 * math.sqrt(2.5 / 5), rel=1e-3)  # t table, 4 degrees
    assert low == pytest.approx(6 - high)
    assert interval([0.5]) == (0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="finite"):
        interval([])


def row(name, values):
    ways = {way: {"interval": interval(values), "seeds": values} for way in ("all", *films.WAYS)}
    return {"strategy": name, "accuracy": ways, "recall": ways, "seeds": len(values), "gamma": 6.0}


def test_seeds_are_paired_whatever_their_order(finished):
    records = finished.records("a", "b", "c")
    for one, other in zip(summary(records), summary(reversed(records)), strict=True):
        assert one["accuracy"] == other["accuracy"]


def test_verdicts_go_by_paired_differences():
    seeds = [0.3, 0.5, 0.7, 0.4, 0.6]
    ahead, level = [s + 0.1 for s in seeds], [s + (-1) ** k * 0.05 for k, s in enumerate(seeds)]
    assert difference(row("motion", ahead), row("uniform", seeds))[1] > 0
    told = verdicts([row("oracle", [1.0] * 5), row("motion", ahead), row("uniform", seeds)])
    assert told[0] == "all: motion first, ahead of every other"
    told = verdicts([row("motion", level), row("uniform", seeds)])
    assert "not told apart" in told[0]


def test_command_prints_a_table_and_names_its_files(finished, cache, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(compare_command, "QUICK", TINY)
    monkeypatch.setattr(compare_command, "Comparison", lambda study, folder, workers: study_in(folder, cache, study))
    assert main(["--quick", "--folder", str(tmp_path), "--evidence", "a", "--strategies", "motion,uniform"]) == 0
    printed = capsys.readouterr().out
    made = report.load(tmp_path / "compare.json")
    assert any("motion" in line for line in json.loads((tmp_path / "compare.json").read_text())["table"])
    assert {r["strategy"] for r in made["rows"]} == {"none", "random", "oracle", "motion", "uniform"}
    assert str(tmp_path / "compare.json") in printed and (tmp_path / "compare.png").read_bytes()[:4] == b"\x89PNG"
    assert made["study"]["seeds"] == 2 and made["settings"]["motion"] and "--quick" in made["command"]
    for name in ("motion", "random", "oracle"):
        assert name in printed
    (tmp_path / "compare.png").unlink()
    assert main(["--report", str(tmp_path / "compare.json")]) == 0
    assert (tmp_path / "compare.png").exists() and "retention" in capsys.readouterr().out


def test_figure_says_its_numbers(finished):
    made = report.make_report(finished, "command")
    fig = figure(made)
    mean = next(r for r in made["rows"] if r["evidence"] == "a" and r["strategy"] == "motion")
    assert f"motion {mean['accuracy']['all']['interval'][0]:.2f}" in fig.alt
    assert len(fig.axes) == 5  # (a), (c) in two places, (b) in two places
    assert "FLOP" in table(made) and "(b) plug-in" in table(made)


def test_columns_of_a_table_end_below_their_heads(finished):
    title, head, rule, *rows = table(report.make_report(finished, "command")).splitlines()[:8]
    assert title.startswith("(a)") and head.startswith("strategy") and set(rule) == {"-", " "}
    for name in ("gamma", "tokens", "all", *films.WAYS):
        end = head.index(name) + len(name)
        assert all(line[end - 1] != " " and line[end : end + 2] == "  " for line in (head, *rows)), name


def test_wrong_wishes_are_explained(tmp_path, capsys):
    with pytest.raises(ValueError, match="strategies"):
        Study(strategies=("motion", "luck"))
    with pytest.raises(ValueError, match="evidence"):
        Study(evidence="d")
    older = tmp_path / "older.json"
    older.write_text('{"results": {"a/none/gamma6/r1/seed0": {"accuracy": 0.4}}}')
    wishes = {"--strategies luck": "strategies", "--places top": "places", "--gamma 1": "gamma is", "--r 2": "r is",
              "--train 5": "24 or more", "--report none.json": "none.json is not there",
              f"--report {older}": "of an older form"}  # fmt: skip
    for wish, words in wishes.items():
        assert main(wish.split()) == 2
        assert words in capsys.readouterr().err


# ------------------------------------------------------------------------------------------ the stored results


@pytest.fixture(scope="module")
def stored():
    return report.load()


def found(report, evidence, strategy, place="", gamma=6):
    names = {"evidence": evidence, "strategy": strategy, "place": place, "gamma": gamma}
    (row,) = [row for row in report["rows"] if all(row[name] == value for name, value in names.items())]
    return row


def mean(row, what, way):
    return row[what][way]["interval"][0]


def test_stored_study_has_five_seeds_of_what_the_lessons_conclude_from(stored):
    assert stored["command"].startswith("python -m vtm_lesson compare")
    places = ("before_attention", "after_attention")
    for evidence, place in (("a", ""), *((kind, place) for kind in "bc" for place in places)):
        for name in ("random", "uniform", "centre", "boundary", "motion", "learnable", "oracle"):
            assert found(stored, evidence, name, place)["seeds"] >= 5
    for evidence, place in (("a", ""), *(("c", place) for place in places)):
        assert found(stored, evidence, "relative", place)["seeds"] >= 5
    trials = Counter(record["strategy"] for record in stored["results"] if record["evidence"] == "tune")
    assert trials == {name: len(TRIALS[name]) for name in stored["study"]["strategies"]}


def test_stored_recall_is_what_the_lessons_say(stored):
    chance = 1 / 6
    learned, motion = found(stored, "a", "learnable"), found(stored, "a", "motion")
    for way in films.WAYS:
        assert mean(learned, "recall", way) > 3 * chance
    assert mean(motion, "recall", "roaming") > 3 * chance and mean(motion, "recall", "handheld") < chance
    relative = found(stored, "a", "relative")
    for way in films.WAYS:  # nothing is lost where the camera stands, most is won where it moves
        assert mean(relative, "recall", way) > max(chance, mean(motion, "recall", way) - 0.05)
    centre, boundary = found(stored, "a", "centre"), found(stored, "a", "boundary")
    assert mean(centre, "recall", "centred") > mean(boundary, "recall", "centred")


@pytest.mark.parametrize("place", ["before_attention", "after_attention"])
def test_stored_probe_shows_that_the_auxiliary_path_learns(stored, place):
    for way in films.WAYS:
        low, high = (mean(found(stored, "a", name), "accuracy", way) for name in ("random", "oracle"))
        assert mean(found(stored, "a", "auxiliary", place), "accuracy", way) > (low + high) / 2


def test_the_command_without_options_is_the_stored_study(monkeypatch, capsys):
    """What an option of other films has as its default must not change the painted ones."""
    asked = []

    def stopped(study, *_, **__):
        asked.append(study)
        raise ValueError("far enough")

    monkeypatch.setattr(compare_command, "Comparison", stopped)
    assert main([]) == main(["--quick"]) == 2
    stored = json.loads(data_path("results/compare.json").read_text())["study"]
    now = json.loads(json.dumps(dataclasses.asdict(asked[0])))
    assert {name: now[name] for name in stored if name != "strategies"} == {
        name: value for name, value in stored.items() if name != "strategies"
    }
    assert set(stored["strategies"]) <= set(now["strategies"]) and asked[1] == QUICK
