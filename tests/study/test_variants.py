"""Variants of learnable VTM, trained on top of a study."""

import dataclasses

import pytest
import torch
from test_compare import TINY, Colours

from vtm_lesson.study import variants
from vtm_lesson.study.experiment import Comparison
from vtm_lesson.study.jobs import Job, without_merging
from vtm_lesson.study.statistics import interval
from vtm_lesson.study.variants import BASE, EARLY, LATE, NONE, SHUFFLED, VARIANTS, Variants, variant

SOME = [NONE, BASE, "gamma 2, R = |S|", "chunks (1, 2, 8)", "average weighted by motion", SHUFFLED]
FEW = {LATE: SOME, EARLY: [BASE]}
STUDY = dataclasses.replace(TINY, evidence="c", strategies=("learnable",))
MAKING = {"encoder": Colours(), "progress": False}


@pytest.fixture(scope="module")
def few():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "VARIANTS", {p: {n: VARIANTS[p][n] for n in names} for p, names in FEW.items()})
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    comparison = Comparison(STUDY, tmp_path_factory.mktemp("study"), tokens=tmp_path_factory.mktemp("tokens"), **MAKING)
    comparison.run(progress=False)
    return comparison


@pytest.fixture(scope="module")
def done(few, study, tmp_path_factory):
    """In a folder of its own: nothing can be taken over from the study."""
    return _variants(study, tmp_path_factory.mktemp("variants"))


def _variants(study, folder):
    made = Variants.__new__(Variants)
    made.__dict__ |= study.__dict__ | {"folder": folder, "results": {}, "saliencies": {}}
    folder.mkdir(exist_ok=True)
    made.run(progress=False)
    return made


def test_unchanged_networks_are_the_studys(study, done):
    for seed in range(2):
        pairs = {NONE: without_merging(seed), BASE: Job("c", "learnable", LATE, gamma=6, seed=seed)}
        for name, job in pairs.items():
            mine, theirs = done.results[variant(LATE, name, seed)], study.results[job]
            for what in ("accuracy", "ways", "loss", "losses", "tokens"):
                assert mine[what] == theirs[what], (name, seed, what)


def test_networks_of_the_study_are_taken_over(few, study, done, monkeypatch):
    def refuses(model, train, valid, recipe, folder, **options):
        if folder.name.startswith(("none-", "learnable-before", "learnable-after")):
            assert (folder / "best.safetensors").exists()
        return fit(model, train, valid, recipe, folder=folder, **options)

    from vtm_lesson.study import experiment as module

    fit = module.fit
    monkeypatch.setattr(module, "fit", refuses)
    results = _variants(study, study.folder).results
    assert {job: values["loss"] for job, values in results.items()} == {
        job: values["loss"] for job, values in done.results.items()
    }


def test_a_variants_job_says_what_it_changes(done):
    assert variant(LATE, "gamma 2, R = |S|", 1) == Job("variant", "learnable", LATE, 2, seed=1, name="gamma 2, R = |S|")
    assert variant(LATE, NONE, 0).strategy == "none" and variant(LATE, NONE, 0).gamma == 1
    for record in done.records("variant"):
        block = done.model(record["place"], record["name"]).blocks[0]
        assert (record["gamma"], record["r"]) == (block.config.gamma, block.config.r)


def test_a_variant_changes_what_it_says(done, monkeypatch):
    monkeypatch.setattr(variants, "VARIANTS", VARIANTS)
    base = done.model(LATE, BASE).config
    for place, names in VARIANTS.items():
        for name, changes in names.items():
            config = done.model(place, name).config
            apart = {key for key in config if config[key] != base.get(key)} - {"temperature"}
            allowed = set(changes) - {"epochs"} | ({"merge_at"} if place == EARLY else set())
            assert apart <= allowed and (allowed <= apart or "chunks" in changes), name


def test_shuffled_labels_are_the_same_labels_in_another_order(study, monkeypatch):
    seen = {}

    def looks(self, model, folder, seed, title, epochs):
        seen.update(self.train.columns)
        return {}

    made = Variants.__new__(Variants)
    made.__dict__ |= study.__dict__
    monkeypatch.setattr(Variants, "fitted", looks)
    before = study.train.columns["label"].clone()
    made.do(variant(LATE, SHUFFLED, 0))
    assert not torch.equal(seen["label"], before) and torch.equal(seen["label"].sort()[0], before.sort()[0])
    assert torch.equal(seen["tokens"], study.train.columns["tokens"])
    assert torch.equal(made.train.columns["label"], before)


def test_rows_compare_seed_by_seed(done, tmp_path):
    report = variants.save(done, "command", tmp_path / "variants.json")
    name = "gamma 2, R = |S|"
    (row,) = [row for row in report["rows"] if row["name"] == name]
    mine, whole = ([done.results[variant(LATE, n, seed)] for seed in range(2)] for n in (name, NONE))
    assert row["minus_none"] == interval([a["accuracy"] - b["accuracy"] for a, b in zip(mine, whole, strict=True)])
    assert row["seeds"] == 2 and row["tokens"] == 8 and row["flops"] == mine[0]["flops"] / whole[0]["flops"] < 1
    assert row["training_flops"] > row["flops"]
    again = variants.load(tmp_path / "variants.json")
    assert again["rows"] == report["rows"]
    shown = variants.table(again)
    assert name in shown and f"{100 * row['accuracy']['all'][0]:.1f}" in shown


def test_a_folder_of_another_study_is_refused(tmp_path, capsys):
    (tmp_path / "results.jsonl").write_text('{"study": {"epochs": 1}}\n')
    assert variants.main(["--folder", str(tmp_path)]) == 2
    assert "another" in capsys.readouterr().err
    assert variants.main(["--report", str(tmp_path / "none.json")]) == 2
    assert "none.json is not there" in capsys.readouterr().err
    (tmp_path / "older.json").write_text('{"results": {"v/after_attention/no merging/seed0": {"accuracy": 0.4}}}')
    assert variants.main(["--report", str(tmp_path / "older.json")]) == 2
    assert "of an older form" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------ the stored results


@pytest.fixture(scope="module")
def stored():
    return variants.load()


def test_stored_variants_are_whole(stored):
    for place, names in VARIANTS.items():
        for name in names:
            (row,) = [row for row in stored["rows"] if (row["place"], row["name"]) == (place, name)]
            assert row["seeds"] >= (3 if "epochs" in name else 5), (place, name)


def test_shuffled_labels_teach_nothing(stored):
    (row,) = [row for row in stored["rows"] if row["name"] == SHUFFLED]
    assert 0.08 < row["accuracy"]["all"][0] < 0.17  # 1/8 by chance
