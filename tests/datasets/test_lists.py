"""Lists of films: the real ones where they are at hand, small ones in their formats, and what is wrong with a list."""

import json
import math
import re
from collections import Counter
from pathlib import Path

import pytest

from vtm_lesson.datasets import lists

REAL = Path(__file__).resolve().parents[3] / "shared" / "annotations"
real = pytest.mark.skipif(not REAL.is_dir(), reason="the real lists are not here: ../shared/annotations is missing")


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def films(folder: Path, *names: str) -> Path:
    for name in names:
        written(folder / name, "not looked into")
    return folder


@pytest.fixture
def scene(tmp_path):
    """An LVU task in the exact format, whose class numbers have a gap."""
    head = "class_id class_name youtube_id imdb_id\n"
    written(tmp_path / "scene" / "train.csv", head + "0 office -aaaaaaaaaa tt01\n4 prison baaaaaaaaaa tt02\n")
    written(tmp_path / "scene" / "val.csv", head + "4 prison caaaaaaaaaa tt03\n")
    written(tmp_path / "scene" / "test.csv", head + "0 office daaaaaaaaaa tt01\n\n")
    return tmp_path


# ------------------------------------------------------------------------------------------------------ the real lists


@real
@pytest.mark.parametrize(
    ("task", "films_of", "classes"),
    [
        ("relationship", (149, 53, 42), 4),
        ("way_speaking", (939, 205, 201), 5),
        ("scene", (557, 120, 86), 6),
        ("director", (680, 163, 107), 8),
        ("genre", (3063, 597, 647), 4),
        ("writer", (769, 174, 168), 7),
        ("year", (770, 165, 143), 9),
        ("like_ratio", (658, 142, 140), 0),
        ("view_count", (577, 124, 126), 0),
    ],
)
def test_the_real_lists_of_lvu(task, films_of, classes):
    found = lists.lvu(REAL / "lvu_1.0", task)
    assert tuple(len(found.split(split)) for split in lists.SPLITS) == films_of
    assert len(found.classes) == classes and found.task == ("class" if classes else "value")
    assert len({entry.id for entry in found.entries}) == sum(films_of)
    if classes:
        assert {entry.label for entry in found.entries} == set(range(classes))
        assert sum(sum(row.values()) for row in found.counts().values()) == sum(films_of)
    else:
        assert abs(sum(entry.label for entry in found.split("train").entries)) / films_of[0] < 1  # about zero


@real
def test_the_real_lists_of_breakfast():
    found = lists.breakfast(REAL / "breakfast")
    assert [len(found.split(split)) for split in ("train", "val", "test")] == [1357, 0, 355]
    assert found.classes[:3] == ("cereals", "coffee", "tea") and len(found.classes) == 10
    persons = {split: {entry.group for entry in found.split(split).entries} for split in ("train", "test")}
    assert len(persons["train"]) == 44 and len(persons["test"]) == 8 and not persons["train"] & persons["test"]


@real
def test_of_five_tasks_films_of_one_feature_film_are_in_train_and_in_test():
    """What a reader should know of LVU: a network may recognise the feature film instead of the scene."""
    shared = {}
    for task in lists.LVU_TASKS:
        found = lists.lvu(REAL / "lvu_1.0", task)
        group = {split: {entry.group for entry in found.split(split).entries} for split in ("train", "test")}
        shared[task] = len(group["train"] & group["test"])
    assert {task for task, number in shared.items() if number} == {
        *("like_ratio", "relationship", "scene", "view_count", "way_speaking"),
    }


# ------------------------------------------------------------------------------------------------ small lists, by hand


def test_lvu_classes_are_numbered_without_gaps(scene):
    found = lists.lvu(scene, "scene")
    assert found.classes == ("office", "prison")
    assert [(entry.id[0], entry.label, entry.split, entry.group) for entry in found.entries] == [
        ("-", 0, "train", "tt01"),
        ("b", 1, "train", "tt02"),
        ("c", 1, "val", "tt03"),
        ("d", 0, "test", "tt01"),
    ]
    assert found.counts() == {
        "train": {"office": 1, "prison": 1},
        "val": {"office": 0, "prison": 1},
        "test": {"office": 1, "prison": 0},
    }


def test_lvu_values(tmp_path):
    for split, likes, dislikes in (("train", 30, 10), ("val", 0, 5), ("test", 7, 0)):
        text = f"like_count dislike_count youtube_id imdb_id\n{likes} {dislikes} {split}aaaaaa tt01\n"
        written(tmp_path / "like_ratio" / f"{split}.csv", text)
        written(tmp_path / "view_count" / f"{split}.csv", f"view_count youtube_id imdb_id\n1000 {split}aaaaaa tt01\n")
    ratio = [entry.label for entry in lists.lvu(tmp_path, "like_ratio").entries]
    assert ratio == pytest.approx([7.5 - 9.138220535629456, -9.138220535629456, 10 - 9.138220535629456])
    views = lists.lvu(tmp_path, "view_count")
    assert views.entries[0].label == pytest.approx(math.log(1000) - 11.76425435683139) and views.task == "value"


def breakfast(folder: Path) -> Path:
    head = "file_name,duration,action,class_id\n"
    written(folder / "train.csv", head + "P03-cam01-P03_milk,9,milk,1\nP03-stereo-P03_tea,9,tea,0\n")
    written(folder / "test.csv", head + "P47-webcam02-P47_tea,9,tea,0\n")
    return folder


def test_breakfast_films_are_found_in_its_own_folders_and_side_by_side(tmp_path):
    found = lists.breakfast(breakfast(tmp_path / "lists"))
    own = films(
        tmp_path / "own",
        *("P03/cam01/P03_milk.avi", "P03/stereo/P03_tea_ch0.avi", "P03/stereo/P03_tea_ch1.avi"),
        *("P47/webcam02/P47_tea.avi", "P47/webcam01/P47_tea.avi", "P03/cam01/notes.txt"),
    )
    here = found.find(own)
    assert [entry.file.relative_to(own).as_posix() for entry in here.entries] == [
        "P03/cam01/P03_milk.avi",
        "P03/stereo/P03_tea_ch0.avi",
        "P47/webcam02/P47_tea.avi",
    ]
    flat = found.find(films(tmp_path / "flat", "P03-cam01-P03_milk.mp4", "P03-stereo-P03_tea_ch1.mp4"))
    assert [entry.id for entry in flat.entries] == ["P03-cam01-P03_milk", "P03-stereo-P03_tea"]
    assert [entry.id for entry in flat.missing] == ["P47-webcam02-P47_tea"]


def coin_film(name: str, number: int, subset: str) -> dict:
    note = {"id": "1", "segment": [1.0, 4.5], "label": "open the lid"}
    film = {"recipe_type": number, "subset": subset, "class": name, "duration": 12.5, "start": 1, "end": 12}
    return {**film, "annotation": [note], "video_url": "https://example.org"}


def test_coin(tmp_path):
    database = {
        "aaaaaaaaaaa": coin_film("MakeTea", 7, "training"),
        "-baaaaaaaaa": coin_film("ChangeTyre", 3, "testing"),
    }
    path = written(tmp_path / "COIN.json", json.dumps({"database": database}))
    for found in (lists.coin(path), lists.coin(tmp_path)):
        assert found.classes == ("ChangeTyre", "MakeTea")
        assert [(entry.id, entry.label, entry.split) for entry in found.entries] == [
            ("aaaaaaaaaaa", 1, "train"),
            ("-baaaaaaaaa", 0, "test"),
        ]
    here = found.find(films(tmp_path / "videos", "7/aaaaaaaaaaa.webm"))
    assert len(here) == 1 and len(here.missing) == 1


def test_missing_films_are_counted_and_named(scene):
    found = lists.lvu(scene, "scene").find(films(scene / "videos", "deep/er/-aaaaaaaaaa.mkv", "other.mp4"))
    assert len(found) == 1 and len(found.missing) == 3
    said = found.summary()
    assert "missing: 3 of 4 (baaaaaaaaaa, caaaaaaaaaa, daaaaaaaaaa)" in said and "train: 1 (1 missing)" in said


def test_a_folder_for_each_class(tmp_path):
    home = films(
        tmp_path / "mine", "tree/a.mp4", "cobra/b.MP4", "cobra/deep/c.mov", "d.mp4", ".hidden/e.mp4", "tree/notes.txt"
    )
    found = lists.labelled(home)
    assert found.classes == ("cobra", "tree") and found.task == "class"
    assert [(entry.id, entry.label) for entry in found.entries] == [
        ("cobra/b.MP4", 0),
        ("cobra/deep/c.mov", 0),
        ("tree/a.mp4", 1),
    ]
    assert all(entry.file.is_file() for entry in found.entries)


def test_a_table_of_ones_own(tmp_path):
    home = films(tmp_path / "films", "a.mp4", "deep/b, with a comma.mp4")
    text = (
        "\ufefflabel,file,group,split\nfight,a.mp4,monday,train\n"
        'calm,"deep/b, with a comma.mp4",tuesday,test\ncalm,c.mp4,,\n'
    )
    found = lists.labelled(home, written(tmp_path / "labels.csv", text))
    assert found.classes == ("calm", "fight")
    assert [(entry.label, entry.split, entry.group) for entry in found.entries] == [
        (1, "train", "monday"),
        (0, "test", "tuesday"),
    ]
    assert [entry.id for entry in found.missing] == ["c.mp4"]


def test_labels_with_a_point_are_values_and_whole_numbers_are_classes(tmp_path):
    home = films(tmp_path / "films", "a.mp4", "b.mp4")
    values = lists.labelled(home, written(tmp_path / "v.csv", "file,label\na.mp4,1.5\nb.mp4,-2.0\n"))
    assert values.task == "value" and [entry.label for entry in values.entries] == [1.5, -2.0]
    whole = lists.labelled(home, written(tmp_path / "w.csv", "file,label\na.mp4,10\nb.mp4,9\n"))
    assert whole.classes == ("10", "9")


# ----------------------------------------------------------------------------------------------- what is wrong with one

HEAD = "class_id class_name youtube_id imdb_id\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "train.csv has 0 lines"),
        (HEAD, "train.csv has 1 line; a head"),
        (HEAD + "0 office aaaaaaaaaaa\n", r"train.csv, line 2: .* does not fit the head"),
        (HEAD + "0 office aaaaaaaaaaa tt01 more\n", r"train.csv, line 2: .* does not fit the head"),
        (HEAD + "\n\nx office aaaaaaaaaaa tt01\n", "line 4: class_id is 'x'; it should be a whole number"),
        (HEAD + "-1 office aaaaaaaaaaa tt01\n", "class_id is '-1'"),
        (
            HEAD + "0 office aaaaaaaaaaa tt01\n0 school baaaaaaaaaa tt01\n",
            "line 3: class 0 is 'school' here and 'office'",
        ),
        (
            HEAD + "0 office aaaaaaaaaaa tt01\n0 office aaaaaaaaaaa tt02\n",
            r"line 3: aaaaaaaaaaa is there already, in .*line 2",
        ),
        (
            HEAD + "0 office caaaaaaaaaa tt01\n",
            r"val.csv, line 2: caaaaaaaaaa is there already, in .*train.csv, line 2",
        ),
        (
            "class_id name youtube_id imdb_id\n0 office a tt01\n",
            "line 1: the head is 'class_id name youtube_id imdb_id'",
        ),
        ("<html>\n<body>Not found</body>\n", "line 1: the head is '<html>'"),
    ],
)
def test_a_list_that_is_not_in_its_format_names_file_and_line(scene, text, words):
    written(scene / "scene" / "train.csv", text)
    with pytest.raises(lists.ListError, match=words):
        lists.lvu(scene, "scene")


def test_a_list_in_another_encoding(scene):
    (scene / "scene" / "train.csv").write_bytes(HEAD.encode() + b"0 caf\xe9 aaaaaaaaaaa tt01\n")
    with pytest.raises(lists.ListError, match=r"train\.csv is no text in UTF-8"):
        lists.lvu(scene, "scene")


def test_what_is_not_there(tmp_path, scene):
    with pytest.raises(lists.ListError, match="LVU has no task 'scenes'; it has relationship"):
        lists.lvu(tmp_path, "scenes")
    with pytest.raises(lists.ListError, match=r"genre.train\.csv cannot be read: No such file"):
        lists.lvu(tmp_path, "genre")
    with pytest.raises(lists.ListError, match="is no folder of films"):
        lists.lvu(scene, "scene").find(tmp_path / "nowhere")


def test_two_files_of_one_film(scene):
    with pytest.raises(lists.ListError, match=re.compile("could both be -aaaaaaaaaa", re.DOTALL)):
        lists.lvu(scene, "scene").find(films(scene / "videos", "-aaaaaaaaaa.mp4", "old/-aaaaaaaaaa.mkv"))


@pytest.mark.parametrize(("likes", "words"), [("0 0", "no ratio"), ("1.5 3", "like_count is '1.5'")])
def test_likes_without_a_ratio(tmp_path, likes, words):
    for split in lists.SPLITS:
        text = f"like_count dislike_count youtube_id imdb_id\n{likes} {split}aaaaaa tt01\n"
        written(tmp_path / "like_ratio" / f"{split}.csv", text)
    with pytest.raises(lists.ListError, match=words):
        lists.lvu(tmp_path, "like_ratio")


def test_views_without_a_logarithm(tmp_path):
    for split in lists.SPLITS:
        written(tmp_path / "view_count" / f"{split}.csv", f"view_count youtube_id imdb_id\n0 {split}aaaaaa tt01\n")
    with pytest.raises(lists.ListError, match=r"train\.csv, line 2: view_count is 0"):
        lists.lvu(tmp_path, "view_count")


def test_a_breakfast_film_of_another_name(tmp_path):
    folder = breakfast(tmp_path)
    written(folder / "test.csv", "file_name,duration,action,class_id\nP47_tea,9,tea,0\n")
    with pytest.raises(lists.ListError, match=r"test\.csv, line 2: file_name is 'P47_tea'"):
        lists.breakfast(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", 'has no "database"'),
        ('{"database": {}}', 'has no "database"'),
        ('{"database": {"aaaaaaaaaaa": 3}}', "aaaaaaaaaaa: 3 is no film's record"),
        (json.dumps({"database": {"aaaaaaaaaaa": coin_film("Tea", 1, "validation")}}), "subset is 'validation'"),
        (json.dumps({"database": {"aaaaaaaaaaa": coin_film("Tea", "1", "training")}}), "recipe_type, a whole number"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_damaged_coin(tmp_path, text, words):
    with pytest.raises(lists.ListError, match=words):
        lists.coin(written(tmp_path / "COIN.json", text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\na.mp4,x\n", "one label only, 'x'"),
        ("file,label\na.mp4,x\n,y\n", "line 3"),
        ("file,label,split\na.mp4,x,training\nb.mp4,y,test\n", "line 2: split is 'training'"),
        ("file,label\n../secret.mp4,x\na.mp4,y\n", r"line 2: '\.\./secret\.mp4' lies outside"),
        ("file;label\na.mp4;x\n", "line 1: the head is 'file;label'"),
        ("file,label\na.mp4,x\na.mp4,y\n", "line 3: a.mp4 is there already"),
        ('file,label\n"a.mp4,x\nb.mp4,y\n', "line 2"),
    ],
)
def test_a_table_of_ones_own_that_is_wrong(tmp_path, text, words):
    home = films(tmp_path / "films", "a.mp4", "b.mp4")
    with pytest.raises(lists.ListError, match=words):
        lists.labelled(home, written(tmp_path / "labels.csv", text))


def test_a_folder_without_classes(tmp_path):
    with pytest.raises(lists.ListError, match="films in 0 folders"):
        lists.labelled(films(tmp_path / "films", "a.mp4"))


def test_counts_agree_with_a_plain_count(scene):
    found = lists.lvu(scene, "scene")
    plain = Counter((entry.split, found.classes[entry.label]) for entry in found.entries)
    for split, row in found.counts().items():
        assert {name: number for name, number in row.items() if number} == {
            name: number for (where, name), number in plain.items() if where == split
        }
