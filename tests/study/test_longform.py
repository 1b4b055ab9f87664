"""Long-form experiments: windows, splits, runs that are kept, and the command that says what it cannot do."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from vtm_lesson.__main__ import main as command
from vtm_lesson.datasets import lists
from vtm_lesson.datasets.extraction import Settings, features
from vtm_lesson.datasets.lists import Entry, ListError, VideoList
from vtm_lesson.datasets.stand_in import stand_in
from vtm_lesson.datasets.store import StoreError
from vtm_lesson.study import longform, longform_runs, windows
from vtm_lesson.study.longform import Config, Score, build, chunks_of, experiment
from vtm_lesson.study.longform_command import read_list
from vtm_lesson.study.longform_runs import Log, Runs, leak, stored
from vtm_lesson.study.longform_stand_in import holds
from vtm_lesson.study.longform_table import comparable, rows, table, text
from vtm_lesson.study.windows import Windows, by_film, guess, held, loss_or_accuracy, parts
from vtm_lesson.training.loop import Evaluation

ANNOTATIONS = Path(__file__).resolve().parents[3] / "shared" / "annotations"
TINY = Config(epochs=1, warmup=0, lr=3e-3)
SMALL = Settings(frames=3, size=32, patch=8, window=0.5)  # the films have 12 frames and a second: two windows
SMALL_OPTIONS = ["--frames", "3", "--size", "32", "--window", "0.5"]
QUIET = {"progress": False, "device": "cpu"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Stand-ins of LVU's scene and of COIN, as films and lists."""
    folder = tmp_path_factory.mktemp("longform")
    for kind in ("scene", "coin"):
        stand_in(kind, folder / kind, films_per_class=3, frames=12, size=32)
    return folder


@pytest.fixture(scope="module")
def scene(home):
    """The list, and features in windows."""
    films = lists.lvu(home / "scene" / "lists", "scene").find(home / "scene" / "videos")
    return films, features(films, home / "scene" / "features", settings=SMALL, progress=False, say=lambda line: None)


@pytest.fixture(scope="module")
def coin(home):
    """The list, which has no films that validate, and features of whole films."""
    films = lists.coin(home / "coin" / "lists").find(home / "coin" / "videos")
    whole = replace(SMALL, window=0.0)
    return films, features(films, home / "coin" / "features", settings=whole, progress=False, say=lambda line: None)


# ------------------------------------------------------------------------------------------------------------- windows


def test_every_window_is_an_item_with_its_films_label(scene):
    _, store = scene
    made = Windows(store, ("tokens", "motion"))
    assert len(made) == 2 * len(store) and made.shape == (3, 4, 4, 48) and made.there == ("tokens", "motion")
    for i in (0, 7, 35):
        item, film = made[i], int(made.film[i])
        whole = store.tensors(store.ids[film])
        assert film == i // 2 and set(item) == {"tokens", "motion", "label"}
        assert torch.equal(item["tokens"], whole["tokens"][i % 2]) and item["tokens"].dtype == torch.float16
        assert torch.equal(item["motion"], whole["motion"][i % 2])
        assert item["label"] == store.entries[film].label


def test_a_whole_film_is_one_item(coin):
    _, store = coin
    made = Windows(store, ("tokens",))
    assert len(made) == len(store) and torch.equal(made[3]["tokens"], store.tensors(store.ids[3])["tokens"])


def test_the_outputs_of_a_films_windows_are_averaged_before_they_are_judged():
    """Two windows of three say class 1, but the mean of the logits says 0."""
    outputs = torch.tensor([[5.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 2.0]])
    seen = Evaluation(0.0, outputs, labels=torch.tensor([0, 0, 0, 1]))
    mean, labels = by_film(seen, torch.tensor([0, 0, 0, 1]))
    assert torch.allclose(mean, torch.tensor([[5 / 3, 2 / 3], [0.0, 2.0]])) and labels.tolist() == [0, 1]
    assert loss_or_accuracy(mean, labels, "class") == 1.0 and seen.accuracy == 0.5
    values = Evaluation(0.0, torch.tensor([[1.0], [3.0]]), labels=torch.tensor([4.0, 4.0]))
    assert loss_or_accuracy(*by_film(values, torch.tensor([0, 0])), "value") == 4.0


def test_features_that_do_not_fit_into_memory_give_the_same_score(scene, monkeypatch):
    films, store = scene
    there = experiment(films, store, "relative", TINY, **QUIET)
    monkeypatch.setattr(windows, "IN_MEMORY", 0)
    assert isinstance(held(Windows(store, ("tokens",))), Windows)
    read = experiment(films, store, "relative", TINY, **QUIET)
    assert (read.test, read.valid, read.best) == (there.test, there.valid, there.best)


# -------------------------------------------------------------------------------------------------------------- splits


def ids(own):
    return {name: set(part.ids) for name, part in own.items()}


def test_a_lists_own_splits_are_taken(scene):
    films, store = scene
    named = {"train": "train", "valid": "val", "test": "test"}
    for seed in (0, 1):
        own = ids(parts(films, store, seed))
        assert own == {new: set(store.split(old).ids) for new, old in named.items()}


def test_without_films_to_validate_a_fifth_of_the_training_films_does_by_the_seed(coin):
    films, store = coin
    one, other = (ids(parts(films, store, seed)) for seed in (0, 1))
    assert one["test"] == other["test"] == set(store.split("test").ids)
    assert one["valid"] != other["valid"] and len(one["valid"]) == 2
    assert one["train"] | one["valid"] == set(store.split("train").ids) and not one["train"] & one["valid"]


def test_groups_do_not_part(coin):
    films, store = coin
    grouped = [replace(entry, group=str(i // 4)) for i, entry in enumerate(store.entries)]
    own = parts(films, replace(store, entries=grouped), 0)
    groups = {name: {entry.group for entry in part.entries if entry.split == "train"} for name, part in own.items()}
    assert groups["valid"] and not groups["train"] & groups["valid"]


def test_without_any_split_the_same_films_are_tested_for_every_seed(coin):
    films, store = coin
    bare = replace(store, entries=[replace(entry, split="") for entry in store.entries])
    one, other = (ids(parts(films, bare, seed)) for seed in (0, 1))
    assert one["test"] == other["test"] and len(one["test"]) == 4 and one["valid"] != other["valid"]
    assert len(one["train"] | one["valid"] | one["test"]) == len(store)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_without_films_is_refused(scene, split):
    films, store = scene
    gone = tuple(entry for entry in store.entries if entry.split == split)
    left = replace(store, entries=[entry for entry in store.entries if entry.split != split])
    with pytest.raises(ListError, match=f"no film of LVU scene with features is in its split '{split}': 12 films"):
        parts(replace(films, entries=tuple(left.entries), missing=gone), left, 0)


def test_who_never_sees_a_film_says_what_is_frequent_in_training(scene):
    _, store = scene

    def labelled(*labels):
        return replace(store, entries=[Entry(str(i), label) for i, label in enumerate(labels)])

    assert guess(labelled(2, 2, 1), labelled(2, 1, 1, 0), "class") == 0.25
    assert guess(labelled(1.0, 3.0), labelled(2.0, 4.0), "value") == 2.0


def test_films_of_a_group_that_is_trained_on_are_told(scene):
    films, store = scene
    assert leak(films, store, TINY) is None
    same = [replace(entry, group="tt1") for entry in store.entries]
    assert leak(films, replace(store, entries=same), TINY).startswith("6 of 6 test films belong to a group")


@pytest.mark.skipif(not ANNOTATIONS.exists(), reason="the real lists are not here: shared/annotations")
def test_five_tasks_of_lvu_share_feature_films_between_training_and_test(tmp_path):
    shared = []
    for task in lists.LVU_TASKS:
        films = lists.lvu(ANNOTATIONS / "lvu_1.0", task)
        store = longform_runs.Features(tmp_path, list(films.entries), {}, task=films.task)
        shared += [task] if leak(films, store, TINY) else []
    assert len(shared) == 5


# -------------------------------------------------------------------------------------------------------------- one run


def test_chunks_are_in_proportion_to_the_papers():
    assert chunks_of(60) == longform.PAPER_CHUNKS and chunks_of(64) == (8, 32, 64) and chunks_of(7) == (1, 1, 7)


def test_the_network_is_the_papers_unless_asked_otherwise():
    net = build("learnable", Config(), (60, 16, 16, 1024), 6, seed=0)
    assert [(b.config.dim, b.config.width, b.config.chunk) for b in net.each_block] == [
        (1024, 512, 6), (512, 256, 30), (256, 128, 60),
    ]  # fmt: skip
    assert {(b.config.gamma, b.config.r, b.config.residual, b.config.aux) for b in net.each_block} == {
        (6, 0.8, False, "add")
    }
    assert build("none", Config(), (12, 2, 2, 8), 0, seed=0).each_block[0].reducer is None
    assert build("drop", Config(), (12, 2, 2, 8), 0, seed=0).head.out_features == 1
    recipe = Config().recipe(3, "value")
    assert (recipe.epochs, recipe.warmup, recipe.lr, recipe.weight_decay, recipe.batch) == (70, 10, 1e-3, 0.01, 16)


def test_two_paths_have_a_loss_each():
    net = build("learnable", Config(aux="heads", chunks=(2, 4, 4)), (4, 2, 2, 8), 3, seed=0)
    batch = {"tokens": torch.randn(5, 4, 2, 2, 8)}
    assert longform.forward(net, batch).shape == (5, 2, 3) and longform.forward(net.eval(), batch).shape == (5, 3)


def test_a_run_that_was_stopped_gives_the_score_of_one_that_was_not(coin, tmp_path):
    films, store = coin
    config = replace(TINY, epochs=3)
    whole = experiment(films, store, "learnable", config, 1, **QUIET)

    def stop(record):
        if record["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        experiment(films, store, "learnable", config, 1, folder=tmp_path, after_epoch=stop, **QUIET)
    again = experiment(films, store, "learnable", config, 1, folder=tmp_path, **QUIET)
    assert replace(again, seconds=0) == replace(whole, seconds=0) and again.epochs == 3
    with pytest.raises(ValueError, match=r"holds runs with other settings \(gamma 6 -> 2\)"):
        experiment(films, store, "learnable", replace(config, gamma=2), 1, folder=tmp_path, **QUIET)


def test_a_partition_that_lacks_what_it_needs_is_refused(home, tmp_path):
    films = lists.coin(home / "coin" / "lists").find(home / "coin" / "videos")
    bare = Settings(frames=2, size=32, patch=8, motion=False)
    store = features(films, tmp_path / "features", settings=bare, progress=False, say=lambda line: None)
    with pytest.raises(ValueError, match=r"partition 'motion' needs motion, and .* has tokens only: make the features"):
        experiment(films, store, "motion", TINY, **QUIET)


# ------------------------------------------------------------------------------------------------------------ many runs


@pytest.fixture
def runs(coin, tmp_path):
    said = []
    made = Runs(*coin, TINY, tmp_path / "runs", logs=False, say=said.append, **QUIET)
    made.over(["uniform", "none"], range(2))
    return made, said


def lines(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_a_finished_run_is_one_line_and_never_done_again(runs, coin, monkeypatch):
    made, said = runs
    names = [("uniform", 0), ("none", 0), ("uniform", 1), ("none", 1)]
    assert [(line["partition"], line["seed"]) for line in lines(made.folder)] == names
    assert any("judged by the first epoch" in line for line in said)
    assert not list(made.folder.rglob("state.safetensors")) and len(list(made.folder.rglob("best.safetensors"))) == 4
    again = Runs(*coin, TINY, made.folder, logs=False, say=said.append, **QUIET)
    monkeypatch.setattr(longform_runs, "experiment", None)
    assert again.over(["uniform", "none"], range(2)) == made.scores
    assert [asdict(score) for score in again.over(["none"], [1])] == [lines(made.folder)[3]]


def test_partitions_and_seeds_may_be_added_but_settings_not_changed(runs, coin):
    made, said = runs
    again = Runs(*coin, TINY, made.folder, logs=False, say=said.append, **QUIET)
    again.over(["uniform", "boundary"], [0])
    assert len(lines(made.folder)) == 5 and "1 runs of 1 epochs (1 are done)" in said[-2]
    with pytest.raises(ValueError, match=r"holds runs with other settings \(lr 0.003 -> 0.01\); give another folder"):
        Runs(*coin, replace(TINY, lr=0.01), made.folder, logs=False)
    films, store = coin
    fewer = replace(store, entries=store.entries[1:])
    with pytest.raises(ValueError, match=r"other settings \(films 18 -> 17, their names and labels "):
        Runs(films, fewer, TINY, made.folder, logs=False)


def test_a_line_that_was_cut_off_is_done_again_and_a_damaged_one_refused(runs, coin):
    made, said = runs
    path = made.folder / "results.jsonl"
    whole = path.read_text()
    path.write_text(whole[:-20])
    again = Runs(*coin, TINY, made.folder, logs=False, say=said.append, **QUIET)
    assert len(again.scores) == 3
    again.over(["uniform", "none"], range(2))
    assert [replace(s, seconds=0) for s in again.scores] == [replace(s, seconds=0) for s in made.scores]
    assert len(lines(made.folder)) == 4
    path.write_text(whole.replace('"valid"', '"walid"', 1))
    with pytest.raises(ValueError, match=r"results\.jsonl, line 1 is no result: delete that line"):
        Runs(*coin, TINY, made.folder, logs=False)


def test_without_tensorboard_one_sentence_says_so_and_training_goes_on(coin, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setattr(Log, "told", False)
    said = []
    made = Runs(*coin, TINY, tmp_path, say=said.append, **QUIET)
    assert len(made.over(["uniform"], range(2))) == 2
    assert [line for line in said if "TensorBoard" in line] == [
        "TensorBoard is not installed (pip install tensorboard), so logs are skipped; training goes on."
    ]
    assert not (tmp_path / "logs").exists()


def test_features_alone_are_enough(scene):
    _, store = scene
    bare = lists.lvu(store.folder.parent / "lists", "scene")  # not looked for
    found = stored(bare, store.folder)
    assert found.ids == store.ids and found.missing == ()
    more = replace(bare, entries=(*bare.entries, Entry("vtmnothere0", 1, "train")))
    assert [entry.id for entry in stored(more, store.folder).missing] == ["vtmnothere0"]
    with pytest.raises(ListError, match="none of the 1 films of other has features in"):
        stored(VideoList("other", (Entry("x", 0),), ("a", "b")), store.folder)
    with pytest.raises(StoreError, match=r"is no folder of features: it has no what\.json; give the films"):
        stored(bare, store.folder.parent)
    assert not (store.folder.parent / "index.jsonl").exists()


# ------------------------------------------------------------------------------------------------------------ the table


def score(partition, test=0.5, seed=0, task="class"):
    return Score(partition, seed, task, test, 0.6, 0.25, 36, 3, 10, 5, 0.3, 9.0)


def test_rows_stand_in_the_papers_order_and_ours_come_after_it():
    names = ["drop", "relative", "learnable", "motion", "centre", "boundary", "uniform", "none"]
    found = rows([score(name, test, seed) for name in names for seed, test in ((1, 0.6), (0, 0.4))])
    assert [row["partition"] for row in found] == [*names[:1:-1], "relative", "drop"]
    assert found[0]["test"] == [0.4, 0.6] and found[0]["interval"][0] == pytest.approx(0.5)
    low, high = found[0]["films_interval"]
    assert 0.3 < low < 0.5 < high < 0.7  # 18 of 36, Wilson


def test_the_table_says_what_its_numbers_are():
    several = table([score("none", 0.4), score("none", 0.6, 1)])
    assert "50.0 ± 127.1" in several and "over 2 seeds; 36 test films" in several and "none (the baseline)" in several
    assert "one seed: no interval" in table([score("uniform")]) and "uniform (naive)" in table([score("uniform")])
    assert "squared error" in table([score("none", 1.25, task="value")]) and "1.250" in table(
        [score("none", 1.25, task="value")]
    )


def test_what_is_published_is_marked_and_only_ratios_and_order():
    told = text("lvu", [score("none")], "line").splitlines()
    assert told[-1] == "line" and [line.split(":")[0] for line in told[-3:-1]] == ["published"] * 2
    assert "order learnable > motion" not in text("coin", [score("none")], "line")


def test_what_is_comparable_comes_from_the_settings():
    films = VideoList("LVU scene", (Entry("x", 0),), ("a", "b"))
    same = {"frames": 60, "window": 0.0}
    line = comparable("lvu", films, 0, "vit_large_patch16_224.augreg_in21k", same, Config())
    assert line.startswith("Comparable with the paper: all that is known of its settings is the same")
    line = comparable("lvu", films, 7, "patch", {"frames": 30, "window": 60.0}, Config(epochs=5, gamma=2))
    for words in ("7 of 8 films are missing", "another encoder, patch", "30 frames (the paper's are 60)",
                  "windows of 60 s", "epochs 5 (the paper's: 70)", "gamma 2 (the paper's: 6)",
                  "chunks (3, 15, 30)"):  # fmt: skip
        assert words in line
    assert "lr " not in line and "\n" not in line
    assert "do not say which encoder" in comparable("coin", films, 0, "", {"frames": 64}, Config())
    assert "nothing" in comparable("lvu", films, 0, "patch", {}, Config(), stand_in=True)


def test_a_stand_in_holds_only_if_its_interval_leaves_out_the_guess():
    row = {"task": "class", "classes": 4, "guess": [0.3, 0.2]}
    assert holds(row | {"interval": (0.5, 0.31, 0.7)}) and not holds(row | {"interval": (0.5, 0.29, 0.7)})
    row = {"task": "value", "guess": [1.0, 1.1]}
    assert holds(row | {"interval": (0.8, 0.7, 0.99)}) and not holds(row | {"interval": (0.8, 0.7, 1.01)})


# ---------------------------------------------------------------------------------------------------------- the command


def asked(home, folder, *more):
    where = home / "scene"
    return ["train", "--lists", str(where / "lists"), "--videos", str(where / "videos"), "--folder", str(folder),
            "--epochs", "1", "--device", "cpu", "--no-logs", *SMALL_OPTIONS, *more]  # fmt: skip


def test_the_command_goes_the_whole_way_and_again_without_the_films(home, tmp_path, capsys):
    assert command(asked(home, tmp_path, "--partition", "none", "uniform", "--reducer", "drop")) == 0
    out = capsys.readouterr().out
    for words in ("LVU scene: 18 films", "chunks (1, 1, 3): in proportion", "3 runs of 1 epochs: 6 films to train on",
                  "none (the baseline)", "published: ",
                  "Comparable with the paper: order and ratios at most"):  # fmt: skip
        assert words in out
    report = json.loads((tmp_path / "train.json").read_text())
    assert [row["partition"] for row in report["rows"]] == ["none", "uniform", "drop"]
    assert report["machine"]["torch"] and report["command"].startswith("python -m vtm_lesson train --lists")
    alone = [
        "train",
        "--lists",
        str(home / "scene" / "lists"),
        "--features",
        str(tmp_path / "features"),
        "--device",
        "cpu",
    ]
    alone += ["--folder", str(tmp_path / "alone"), "--epochs", "1", "--no-logs", "--partition", "none"]
    assert command(alone) == 0
    assert "do not say which encoder" in capsys.readouterr().out
    first, other = (json.loads((tmp_path / name / "train.json").read_text())["results"][0] for name in ("", "alone"))
    assert first | {"seconds": 0} == other | {"seconds": 0}


def test_missing_films_are_counted_listed_and_left_out(home, tmp_path, capsys):
    some = tmp_path / "some"
    some.mkdir()
    every = sorted((home / "scene" / "videos").glob("*.mp4"))
    train = {entry.id for entry in lists.lvu(home / "scene" / "lists", "scene").split("train").entries}
    gone = [path for path in every if path.stem in train][:2]
    for path in every:
        if path not in gone:
            (some / path.name).symlink_to(path)
    broken = next(path for path in every if path.stem in train and path not in gone)
    (some / broken.name).unlink()
    (some / broken.name).write_bytes(b"no film")
    arguments = asked(home, tmp_path / "runs", "--partition", "uniform")
    arguments[arguments.index("--videos") + 1] = str(some)
    assert command(arguments) == 0
    out = capsys.readouterr().out
    assert "missing: 2 of 18" in out and "3 films are left out" in out and "3 films to train on" in out
    assert "3 of 18 films are missing" in out
    told = dict(line.split("\t") for line in (tmp_path / "runs" / "missing.txt").read_text().splitlines())
    assert {film for film, why in told.items() if why == "missing"} == {path.stem for path in gone}
    assert told[broken.stem] != "missing"


def without_test_films(home, tmp_path):
    for kind in ("train", "val", "test"):
        path = tmp_path / "lists" / "scene" / f"{kind}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = (home / "scene" / "lists" / "scene" / f"{kind}.csv").read_text()
        path.write_text(rows.replace("vtm", "gone") if kind == "test" else rows)
    return ["--lists", str(tmp_path / "lists")]


def other_features(home, tmp_path):
    films = lists.lvu(home / "scene" / "lists", "scene").find(home / "scene" / "videos")
    features(films, tmp_path / "f", settings=Settings(2, 32, 8), progress=False, say=lambda line: None)
    return ["--features", str(tmp_path / "f")]


def empty_folder(home, tmp_path):
    (tmp_path / "empty").mkdir()
    return ["--videos", str(tmp_path / "empty")]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["--dataset", "ucf"], "there is no data set 'ucf'; --dataset is one of lvu, breakfast, coin, folder."),
        (["--task", "mood"], "LVU has no task 'mood'; it has relationship, "),
        (["--partition", "best"], "partition is 'best'; it is one of none, uniform, "),
        (["--partition", "oracle"], "'oracle' needs to know where the actor is"),
        (["--dataset", "breakfast", "--lists", "nowhere"], "nowhere/train.csv cannot be read"),
        (["--epochs", "0"], "epochs is 0"),
        (["--seeds", "0"], "--seeds is 0; it is 1 or more."),
        (["--encoder", "vit_nothing"], "vit_nothing"),
        (empty_folder, "none of the 18 films of LVU scene lies below "),
        (other_features, "holds features of another kind ("),
        (without_test_films, "is in its split 'test'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(home, tmp_path, capsys, change, says):
    more = change if isinstance(change, list) else change(home, tmp_path)
    capsys.readouterr()
    assert command(asked(home, tmp_path / "runs", *more)) == 2
    told = capsys.readouterr().err.strip()
    told = "\n".join(line for line in told.splitlines() if "film/s" not in line)
    assert says in told and "Traceback" not in told and len(told.splitlines()) == 1, told


def test_lists_or_films_that_were_not_given_are_asked_for(tmp_path):
    with pytest.raises(ListError, match="--lists is missing: say where the annotation files of coin are"):
        read_list("coin", "", None, tmp_path)
    with pytest.raises(ListError, match="--videos is missing: the folder of films; or --lists"):
        read_list("folder", "", None, None)
