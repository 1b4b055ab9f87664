"""The comparison: films as tokens, the retention probe, a study that survives interruption, its table and command."""

import dataclasses
import json
import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from vtm_lesson import films
from vtm_lesson.datasets import toy, toy_films
from vtm_lesson.merging import match_plain
from vtm_lesson.merging.strategies import Context, Motion
from vtm_lesson.network.model import VideoClassifier
from vtm_lesson.partition import uniform
from vtm_lesson.study import report
from vtm_lesson.study.experiment import TRIALS, Comparison, Job, Study, forward
from vtm_lesson.study.probe import from_block, learn_saliency, linear_probe, retain
from vtm_lesson.study.report import figure, main, table
from vtm_lesson.study.statistics import difference, interval, summary, verdicts
from vtm_lesson.training import Items

SMALL = {"frames": 4, "size": 32, "progress": False}
TINY = Study(train=48, valid=24, test=48, frames=4, size=32, seeds=2, epochs=1, chunks=(1, 2, 4), width=6, batch=16,
             plug_gammas=(4,), saliency_epochs=1, tune=False, rounds=1)  # fmt: skip


class Colours(nn.Module):
    """An encoder for tests: mean and deviation of each colour in a patch of 8."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.tensor(1 / 255))

    def encode(self, frames):
        batch, length, height, width, _ = frames.shape
        x = frames.reshape(batch, length, height // 8, 8, width // 8, 8, 3).float() * self.scale
        return torch.cat([x.mean((3, 5)), x.std((3, 5))], -1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("tokens")


@pytest.fixture(scope="module")
def items(cache):
    return toy_films(30, 3, encoder=Colours(), folder=cache, **SMALL)


def planted(n=240, seed=0):
    """Videos of 2 x 4 x 4 tokens. Channel 0 marks one actor token, whose channels 1-4 say the label; the others'
    channels 1-4 say something else, as props do."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(4, (n,), generator=generator)
    said = torch.randint(4, (n, 32), generator=generator)
    actor = torch.randint(32, (n,), generator=generator)
    said[torch.arange(n), actor] = label
    tokens = torch.zeros(n, 32, 6)
    tokens[..., 1:5] = nn.functional.one_hot(said, 4).float()
    tokens[torch.arange(n), actor, 0] = 2.0
    tokens += 0.1 * torch.randn(tokens.shape, generator=generator)
    oracle = nn.functional.one_hot(actor, 32).float().view(n, 2, 4, 4)
    return Items(
        tokens=tokens.view(n, 2, 4, 4, 6), motion=oracle * 2, oracle=oracle, label=label, way=torch.zeros(n).long()
    )


# --------------------------------------------------------------------------------------------- films as tokens


def test_films_are_those_that_films_makes(items):
    assert items.columns["tokens"].shape == (30, 4, 4, 4, 6) and items.columns["tokens"].dtype == torch.float16
    for i in (0, 7):
        film = films.make(3 * 2**20 + i, films.WAYS[i % 3], frames=4, size=32)
        one = items[i]
        assert int(one["label"]) == film.label and films.WAYS[int(one["way"])] == film.way
        np.testing.assert_array_equal(one["oracle"], film.share)
        np.testing.assert_allclose(one["motion"], film.patches()[1], atol=1e-6)
        # The tokens come from the film as H.264 shows it: close to what was filmed, and not the same.
        wanted = Colours().encode(torch.from_numpy(film.frames)[None])[0]
        apart = (one["tokens"].float() - wanted).abs()[..., :3]
        assert 0 < float(apart.mean()) < 0.05


def test_tokens_are_kept_and_prefixes_agree(items, cache, monkeypatch):
    monkeypatch.setattr(toy, "_make_part", lambda job: pytest.fail("made again"))
    again = toy_films(20, 3, encoder=Colours(), folder=cache, **SMALL)
    for name, column in again.columns.items():
        assert torch.equal(column, items.columns[name][:20]), name


def test_processes_noise_and_seeds(items, cache, tmp_path):
    apart = toy_films(60, 3, encoder=Colours(), folder=tmp_path, workers=2, **SMALL)
    for name, column in items.columns.items():
        assert torch.equal(apart.columns[name][:30], column), name
    noisy = toy_films(30, 3, encoder=Colours(), folder=cache, noise=0.5, **SMALL)
    again = toy_films(10, 3, encoder=Colours(), folder=cache, noise=0.5, **SMALL)
    assert torch.equal(noisy.columns["tokens"][:10], again.columns["tokens"])
    added = noisy.columns["tokens"].float() - items.columns["tokens"].float()
    assert float(added.std()) == pytest.approx(0.5, rel=0.05)
    other = toy_films(3, 4, encoder=Colours(), folder=tmp_path, **SMALL)
    assert not torch.equal(other.columns["tokens"], items.columns["tokens"][:3])
    with pytest.raises(ValueError, match="workers"):
        toy_films(0, 1, encoder=Colours())


# ------------------------------------------------------------------------------------------------- the probe


def test_retaining_is_merging_twice_and_averaging(items):
    some = items[:3]
    kept = retain(some, "uniform", gamma=4)
    x = some.columns["tokens"].float().flatten(1, 3)
    for n in (64, 16):
        assert x.shape[1] == n
        x = match_plain(x, uniform(n, 4))(x)
    torch.testing.assert_close(kept.features, x.mean(1))
    assert kept.tokens == 4
    torch.testing.assert_close(
        retain(some, None).features, some.columns["tokens"].float().flatten(1, 3).mean(1), rtol=1e-3, atol=1e-3
    )
    assert retain(some, "uniform", gamma=4, r=0.5).tokens == 64 - 24 - 15  # R = 24 of 48 sources, then 15 of 30


def test_recall_counts_the_actors_patches():
    data = planted()
    assert float(retain(data, "oracle").recall.mean()) == 1
    assert float(retain(data, "random", gamma=4, seed=1).recall.mean()) == pytest.approx(1 / 4, abs=0.1)
    first = uniform(32, 4)
    shown = data.columns["oracle"].flatten(1).argmax(1)
    wanted = torch.isin(shown, first).float()
    assert torch.equal(retain(data, "uniform", gamma=4).recall, wanted)


def test_reading_tells_what_is_linear():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 5, generator=generator)
    labels = (x @ torch.randn(5, 3, generator=generator)).argmax(1)
    assert float((linear_probe(x[:300], labels[:300], x[300:]) == labels[300:]).float().mean()) > 0.9


def test_saliency_is_learned_by_pooling_and_carries_over():
    saliency = learn_saliency(planted(400), seed=0, epochs=20, lr=3e-2)
    others = planted(200, seed=9)
    score = saliency.score(others.columns["tokens"].flatten(1, 3))
    actor = others.columns["oracle"].flatten(1) > 0
    assert float(score[actor].mean() - score[~actor].mean()) > 0.5
    recall = {name: float(retain(others, s, gamma=4).recall.mean()) for name, s in (("it", saliency), ("by", "random"))}
    assert recall["it"] > 2 * recall["by"]
    again = learn_saliency(planted(400), seed=0, epochs=20, lr=3e-2)
    assert torch.equal(saliency.U, again.U)


@pytest.mark.parametrize("place", ["before_attention", "after_attention"])
def test_a_blocks_saliency_is_that_of_its_network(items, place):
    torch.manual_seed(0)
    model = VideoClassifier(6, chunks=(1, 2, 4), widths=6, classes=8, partition="learnable", merge_at=place).eval()
    for block in model.blocks:
        nn.init.normal_(block.U)
    batch = {name: column.float() for name, column in items[:4].columns.items()}
    trace = forward(model, batch, trace=True)[1]
    found = from_block(model.blocks[0]).score(batch["tokens"].flatten(1, 3))
    torch.testing.assert_close(found, trace.blocks[0].saliency)
    with pytest.raises(ValueError, match="learned no saliency"):
        from_block(VideoClassifier(6, chunks=(1, 2, 4), widths=6).blocks[0])


def test_scales_of_motion():
    motion = torch.rand(2, 64)
    keys, size, position = torch.randn(2, 64, 3), torch.ones(2, 64), torch.arange(64).expand(2, 64)

    def drawn(strategy, factor):
        generator = torch.Generator().manual_seed(0)
        context = Context(keys, 4, 1, 8, 8, position, size, motion * factor, generator=generator)
        return strategy(context)

    for scale in ("max", "standard"):
        assert torch.equal(drawn(Motion(scale, 3), 1), drawn(Motion(scale, 3), 7))
    assert not torch.equal(drawn(Motion("raw", 3), 1), drawn(Motion("raw", 3), 7))
    assert torch.equal(drawn(Motion("raw", 2000), 1), motion.topk(16).indices.sort(1).values)
    with pytest.raises(ValueError, match="scale"):
        drawn(Motion("fast"), 1)


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
        assert {"random", "uniform", "centre", "boundary", "motion", "learnable", "oracle"} <= {
            r["strategy"] for r in mine
        }
        assert len({r["tokens"] for r in mine if r["strategy"] != "auxiliary"}) == 1
        assert all(r["seeds"] == 2 for r in mine)
    n, left = 64, math.ceil(math.ceil(64 / 6) / 6)
    kept = {r["strategy"]: r["tokens"] for r in rows if r["evidence"] == "a"}
    assert kept["none"] == n and kept["random"] == kept["auxiliary"] == left


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
    assert path.read_text().splitlines() == kept and len(again.results) == len(kept) - 1
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
    wrong = {"": "does not begin with the settings", header[:40]: "does not begin with the settings",
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
    assert len(tuned) == 5 * 6 and all(0 <= trial["accuracy"] <= 1 for trial in tuned)
    assert "losses" in finished.do(Job("c", "learnable", "after_attention", 6))


def test_the_best_trial_is_chosen(finished, monkeypatch):
    trials = {job: {"accuracy": [0, 0, 3, 1, 0, 0][job.trial]} for job in finished.trials("motion")}
    monkeypatch.setattr(finished, "results", trials)
    monkeypatch.setattr(finished, "study", Study(**{**TINY.__dict__, "tune": True}))
    assert finished.chosen("motion") == TRIALS["motion"][2]
    assert len({len(trials) for trials in TRIALS.values()}) == 1


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
    monkeypatch.setattr(report, "QUICK", TINY)
    monkeypatch.setattr(report, "Comparison", lambda study, folder, workers: study_in(folder, cache, study))
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
    trials = Counter(record["strategy"] for record in stored["results"] if record["evidence"] == "tune")
    assert trials == {name: len(TRIALS[name]) for name in stored["study"]["strategies"]}


def test_stored_recall_is_what_the_lessons_say(stored):
    chance = 1 / 6
    learned, motion = found(stored, "a", "learnable"), found(stored, "a", "motion")
    for way in films.WAYS:
        assert mean(learned, "recall", way) > 3 * chance
    assert mean(motion, "recall", "roaming") > 3 * chance and mean(motion, "recall", "handheld") < chance
    centre, boundary = found(stored, "a", "centre"), found(stored, "a", "boundary")
    assert mean(centre, "recall", "centred") > mean(boundary, "recall", "centred")


@pytest.mark.parametrize("place", ["before_attention", "after_attention"])
def test_stored_probe_shows_that_the_auxiliary_path_learns(stored, place):
    for way in films.WAYS:
        low, high = (mean(found(stored, "a", name), "accuracy", way) for name in ("random", "oracle"))
        assert mean(found(stored, "a", "auxiliary", place), "accuracy", way) > (low + high) / 2
