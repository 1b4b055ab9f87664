"""Gradients through the choice: exact ones by trying everything; and the study, resumable, equal trials for all."""

import json
import math
from dataclasses import replace

import pytest
import torch
from helpers import Colours

from vtm_lesson.__main__ import main
from vtm_lesson.network import choosing
from vtm_lesson.plots.style import number
from vtm_lesson.study import gradients, gradients_command
from vtm_lesson.study.estimates import Toy, leave_one_out, quality
from vtm_lesson.study.gradients import CONTROLS, TRIALS, Gradients, Point, Results

SMALL = Gradients(frames=2, size=32, shown=1, props=1, gamma=3, chunks=(1, 2), seeds=2, train=16, valid=16, test=16,
                  epochs=1, batch=8, width=6, places=("before_attention",), rounds=1, toys=2, estimates=20)  # fmt: skip
EVERYONE = {*CONTROLS, *TRIALS}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder in which all of a small study was done."""
    folder = tmp_path_factory.mktemp("gradients")
    results = Results(SMALL, folder)
    gradients.measure_toys(SMALL, results)
    for place in SMALL.places:
        gradients.train(SMALL, folder, gradients.trials(SMALL, place), encoder=Colours(), progress=False)
        for seed in range(SMALL.seeds):
            gradients.train(SMALL, folder, gradients.trainings(SMALL, place, seed), encoder=Colours(), progress=False)
    results.read()
    gradients.measure_costs(SMALL, results, encoder=Colours(), progress=False)
    return folder


# ------------------------------------------------------------------------------------------------------ estimates


def test_the_exact_gradient_is_that_of_the_mean_over_many_draws():
    toy = Toy.make(3)
    chances = toy.chances(toy.U)
    assert len(chances) == 56 and math.isclose(float(chances.sum()), 1, rel_tol=1e-5)
    order, _ = choosing.draw(toy.scores(toy.U.repeat(200_000, 1)), 3, torch.Generator().manual_seed(0))
    key = (order.sort(1).values * torch.tensor([64, 8, 1])).sum(1)
    seen = torch.stack([(key == int(k)).float().mean() for k in (toy.sets() * torch.tensor([64, 8, 1])).sum(1)])
    torch.testing.assert_close(seen, chances, rtol=0, atol=0.005)
    step = torch.tensor([0.0, 1e-2, 0.0, 0.0])
    slope = (toy.expected(toy.U + step) - toy.expected(toy.U - step)) / 2e-2
    assert abs(float(slope - toy.exact()[1])) < 2e-3


def test_reinforce_has_no_bias_and_the_others_have():
    toys = [Toy.make(seed) for seed in range(4)]
    bias = {
        name: max(quality(toy.estimates(name, setting, 8000), toy.exact())["bias"] for toy in toys)
        for name, setting in (("reinforce", 4), ("straight_through", 1), ("relaxed", 1), ("auxiliary", 7))
    }
    assert bias.pop("reinforce") < 0.12 and min(bias.values()) > 0.3


@pytest.mark.parametrize("name", TRIALS)
def test_every_gradient_has_estimates_and_those_without_chance_do_not_scatter(name):
    found = Toy.make(1).estimates(name, TRIALS[name][1], 50)
    assert found.shape == (50, 4) and found.abs().sum() > 0
    assert (found.std(0).max() < 1e-6) == (name in ("annealed", "relaxed"))


def test_a_loss_is_compared_with_the_others_of_its_film():
    losses = torch.tensor([1.0, 3.0, 2.0, 2.0, 2.0, 5.0])
    assert leave_one_out(losses, 2).tolist() == [-2.0, 2.0, 0.0, 0.0, -3.0, 3.0]
    with pytest.raises(ValueError, match="2 or more"):
        leave_one_out(losses, 1)


def test_quality_is_by_its_definition():
    found, exact = torch.tensor([[3.0, 0.0], [1.0, 4.0]]), torch.tensor([2.0, 0.0])
    got = quality(found, exact)
    assert got == pytest.approx({"bias": 1.0, "noise": 5**0.5 / 2, "direction": 0.5**0.5, "downhill": 1.0})


# ---------------------------------------------------------------------------------------------------------- study


def test_everything_is_done_once_and_carries_on_where_it_was(home, capsys):
    results = Results(SMALL, home)
    assert set(results.done) == set(gradients.points(SMALL))
    lines = (home / "results.jsonl").read_text().splitlines()
    assert len(lines) == 1 + len(set(results.done))
    gradients.train(SMALL, home, gradients.trainings(SMALL, SMALL.places[0], 0), encoder=None, progress=False)
    assert (home / "results.jsonl").read_text().splitlines() == lines, "nothing was done again"
    with pytest.raises(ValueError, match="another --folder"):
        Results(replace(SMALL, epochs=2), home)


def test_every_gradient_has_as_many_trials_and_the_best_is_taken(home):
    assert len({len(tried) for tried in TRIALS.values()}) == 1
    results = Results(SMALL, home)
    for place in SMALL.places:
        for name in TRIALS:
            mine = [point for point in gradients.trials(SMALL, place) if point.gradient == name]
            assert {point.seed for point in mine} == {gradients.TUNING}, "films that no result uses"
            losses = {
                (p.setting, choice): results.done[p]["loss"][choice] for p in mine for choice in gradients.CHOICES
            }
            chosen = results.chosen(name, place)
            assert losses[chosen["setting"], chosen["choice"]] == min(losses.values())
            assert results.done[Point("trained", name, place, 1)]["used"] == chosen["setting"]


def test_a_network_trains_with_what_it_is_named_after():
    for name in EVERYONE:
        net = gradients.network(SMALL, name, "before_attention", 0, 3.0, "top")
        config = net.each_block[0].config
        assert (config.partition, config.gradient) == ((name, "auxiliary") if name in CONTROLS else ("learnable", name))
        assert name in CONTROLS or config.test_targets == "top"
        assert config.guidance == (3.0 if name == "auxiliary" else 1.0)


def test_reinforce_raises_the_chance_of_draws_that_were_better():
    """The step's loss, less the mean loss of all draws, is the sum over draws of advantage times log-probability."""
    net = gradients.network(SMALL, "reinforce", "before_attention", 0, 2.0, "sample").train()
    items = gradients.film_sets(replace(SMALL, train=8, valid=8, test=8), 0, Colours(), progress=False)[0]
    batch = {name: column.float() if column.is_floating_point() else column for name, column in items.columns.items()}
    torch.manual_seed(1)
    loss = gradients.step_loss(net, batch)
    many = {name: column.repeat_interleave(2, 0) for name, column in batch.items()}
    torch.manual_seed(1)
    logits, trace = gradients.forward(net, many, trace=True)
    losses = torch.nn.functional.cross_entropy(logits, many["label"], reduction="none")
    chance = sum(block.log_probability for block in trace.blocks)
    advantage = (losses - losses.view(-1, 2).flip(1).flatten()).detach()
    torch.testing.assert_close(loss, (losses + advantage * chance).mean())


def test_costs_are_ratios_to_random_targets(home):
    results = Results(SMALL, home)
    for place in SMALL.places:
        costs = {name: results.done[Point("cost", name, place)] for name in EVERYONE}
        assert costs["random"]["time"]["median"] == costs["random"]["memory"] == 1
        assert costs["relaxed"]["memory"] > costs["auxiliary"]["memory"] > 1, "all tokens stay in the one"


def test_the_report_has_rows_a_table_and_figures(home, tmp_path, capsys):
    results = Results(SMALL, home)
    report = gradients_command.save(SMALL, results, "python -m vtm_lesson gradients", tmp_path / "gradients.json")
    assert len(report["rows"]) == len(EVERYONE) and len(report["toys"]) == 3 * len(TRIALS)
    row = next(r for r in report["rows"] if (r["gradient"], r["place"]) == ("weighted", "before_attention"))
    other = next(r for r in report["rows"] if (r["gradient"], r["place"]) == ("random", "before_attention"))
    gaps = [a - b for a, b in zip(row["by_seed"], other["by_seed"], strict=True)]
    assert row["minus_random"][0] == pytest.approx(sum(gaps) / 2) and other["minus_random"] is None
    stored = json.loads((tmp_path / "gradients.json").read_text())
    assert stored["command"] and stored["machine"] and len(stored["results"]) == len(results.done)
    assert main(["gradients", "--report", str(tmp_path / "gradients.json")]) == 0
    said = capsys.readouterr().out
    assert "straight-through" in said and "merging before the first attention" in said
    assert {path.name for path in tmp_path.glob("*.png")} == {f"gradients-{place}.png" for place in SMALL.places}
    fig = gradients_command.figure(report, SMALL.places[0])
    assert "REINFORCE" in fig.alt and f"weighted average {number(row['minus_random'][0])} (" in fig.alt
    assert main(["gradients", "--report", str(home / "results.jsonl")]) == 2


def test_trials_come_before_trainings(tmp_path, capsys):
    results = Results(SMALL, tmp_path)
    gradients_command.run(SMALL, results, ["trained"], 1)
    assert "--only tune first" in capsys.readouterr().err and not results.done
