"""Every reducer at every budget: jobs, ragged reducers' settings, rows, table and figure."""

import pytest
import torch
from helpers import Colours

from vtm_lesson.__main__ import main
from vtm_lesson.merging.registry import reducers
from vtm_lesson.study import budgets
from vtm_lesson.study.budgets import Budgets, Knob
from vtm_lesson.study.jobs import Job, Study
from vtm_lesson.study.own import tried

SMALL = Study(train=24, valid=24, test=60, frames=3, size=32, gamma=(2.0, 6.0), seeds=2, tune=False, saliency_epochs=1,
              rounds=1)  # fmt: skip
NAMES = ["none", "random", "uniform", "threshold", "drop", "drop, saliency", "sharpness", "oracle"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("reducers")


@pytest.fixture(scope="module")
def ran(home):
    comparison = Budgets(SMALL, home / "run", NAMES, tokens=home / "tokens", encoder=Colours(), progress=False)
    comparison.run(progress=False)
    return comparison


def test_every_name_is_measured_at_every_budget_and_seed(ran):
    done = {(job.strategy, job.gamma, job.seed) for job in ran.results if job.evidence == "budget"}
    wanted = {(name, gamma, seed) for name in NAMES[1:] for gamma in SMALL.gamma for seed in range(2)}
    assert done == wanted | {("none", 1.0, 0), ("none", 1.0, 1)}
    assert {job.strategy for job in ran.results if job.evidence == "pace"} == set(NAMES[1:])


def test_fixed_counts_meet_the_budget_and_ragged_ones_come_as_near_as_they_can(ran):
    n = 3 * 4 * 4
    for job, values in ran.results.items():
        if job.evidence == "budget" and job.strategy not in ("none", "threshold"):
            assert values["tokens"] == -(-n // int(job.gamma)), job
    turned = {job.gamma: values for job, values in ran.results.items() if job.evidence == "knob"}
    assert set(turned) == {2.0, 6.0}, "the threshold alone has a setting to turn"
    assert turned[2.0]["settings"]["above"] > turned[6.0]["settings"]["above"]
    for gamma, found in turned.items():
        other = ran.reduced(
            ran.valid, budgets.made("threshold", {"above": 0.99}), Job("knob", "threshold", gamma=gamma)
        )
        assert abs(found["tokens"] - n / gamma) <= abs(other.tokens - n / gamma)


def test_saliency_reaches_those_who_need_it(ran):
    job = Job("budget", "drop, saliency", gamma=6.0)
    seen = []

    def spy(context):
        seen.append(context.saliency)
        return budgets.made("drop")(context)

    ran.reduced(ran.test[:4], spy, job)
    expected = ran.learned(0).score(ran.test[:4].columns["tokens"].float().flatten(1, 3))
    torch.testing.assert_close(seen[0], expected)


def test_rows_table_and_figure(ran, home):
    report = budgets.save(ran, "python -m vtm_lesson reducers", home / "reducers.json")
    again = budgets.load(home / "reducers.json")
    assert again["rows"] == report["rows"] and len(report["rows"]) == 1 + 2 * (len(NAMES) - 1)
    assert all(row["seeds"] == 2 for row in report["rows"])
    text = budgets.table(report)
    assert "one token in 6 is left" in text and "drop, saliency" in text
    fig = budgets.figure(report)
    assert all(name in fig.alt for name in NAMES if name != "none")


def test_a_stopped_run_carries_on(ran, home):
    lines = (home / "run" / "results.jsonl").read_text().splitlines()
    (home / "half").mkdir()
    (home / "half" / "results.jsonl").write_text("\n".join(lines[:9]) + "\n")
    half = Budgets(SMALL, home / "half", NAMES, tokens=home / "tokens", encoder=Colours(), progress=False)
    assert len(half.results) == 8, "one line says which study it is"
    some = [job for job in half.results if job.evidence == "budget"]
    half.run(progress=False)
    assert set(half.results) == set(ran.results)
    for job in ran.results:
        if job.evidence == "budget":
            strip = {"seconds"}
            assert {k: v for k, v in half.results[job].items() if k not in strip} == {
                k: v for k, v in ran.results[job].items() if k not in strip
            }
    assert some


def test_what_a_reducer_needs_is_said():
    assert budgets.need("uniform") == "keys only" and budgets.need("random") == "a control"
    assert budgets.need("motion") == budgets.need("relative") == budgets.need("drop, motion") == "motion"
    assert budgets.need("learnable") == budgets.need("drop, saliency") == "saliency"
    assert budgets.need("sharpness") == "attention"
    assert set(reducers()) < set(budgets.everyone())


def test_a_knob_moves_the_count_from_few_to_many(ran):
    for name in budgets.everyone():
        knob = Knob.of(name) if name != "none" else None
        if knob is None:
            continue
        job = Job("knob", name, gamma=6.0)
        counts = [
            ran.reduced(ran.valid[:6], budgets.made(name, {knob.field: value}), job).tokens
            for value in (knob.fewest, knob.most)
        ]
        assert counts[0] < counts[1], name


def test_unknown_names_and_reports_are_refused(capsys, tmp_path):
    assert main(["reducers", "--only", "nothing"]) == 2
    assert "no reducer is named nothing" in capsys.readouterr().err
    assert main(["reducers", "--report", str(tmp_path / "none.json")]) == 2
    assert "is no report of this command" in capsys.readouterr().err


def test_the_front_holds_those_that_nobody_beats(ran):
    rows = [row for row in budgets.rows(ran.records("budget", "pace")) if row["gamma"] == 6.0]
    best = budgets.front(rows)
    for row in rows:
        if row["strategy"] in best or row["strategy"] in budgets.CONTROLS:
            continue
        point = row["time"]["median"], row["accuracy"]["all"][0]
        assert any(x <= point[0] and y >= point[1] for x, y in best.values()), row["strategy"]


def test_one_of_your_own_enters(ran, home, tmp_path):
    def newest(context):
        return torch.arange(context.n - context.n_targets, context.n)

    own = {"newest": tried(newest)}
    options = {"tokens": home / "tokens", "encoder": Colours(), "progress": False}
    comparison = Budgets(SMALL, tmp_path / "own", ["none", "oracle"], own, **options)
    comparison.run(progress=False)
    report = budgets.beside(comparison.records("budget", "pace"), "newest", stored=False)
    mine = [row for row in report["rows"] if row["strategy"] == "newest"]
    assert [row["tokens"] for row in mine] == [24, 8] and budgets.need("newest") == "your own"
    assert "newest" in budgets.figure(report).alt and "your own" in budgets.table(report)


def test_a_function_that_does_not_serve_is_refused(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text("def short(n):\n    return []\n\ndef uniform(n):\n    return None\n")
    for command in ("reducers", "compare"):  # two names for the same door
        assert main([command, "--strategy", f"{file}:short"]) == 2
        assert "short, tried on 12 tokens" in capsys.readouterr().err
