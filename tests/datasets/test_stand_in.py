"""Stand-ins have the form of the real thing: lists that the readers take, films where the real ones lie."""

import pytest

import vtm_lesson as vtm
from vtm_lesson.datasets import lists
from vtm_lesson.datasets.stand_in import KINDS, stand_in

READERS = {
    "scene": lambda where: lists.lvu(where, "scene"),
    "like_ratio": lambda where: lists.lvu(where, "like_ratio"),
    "breakfast": lists.breakfast,
    "coin": lists.coin,
}


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory):
    home = tmp_path_factory.mktemp(request.param)
    return request.param, stand_in(request.param, home, films_per_class=5, frames=4, size=32), home


def test_the_readers_find_every_film(made):
    kind, (where, videos), _ = made
    listed = READERS[kind](where)
    found = listed.find(videos)
    classes = {"scene": 6, "like_ratio": 0, "breakfast": 10, "coin": 6}[kind]
    assert len(found) == len(listed) == 5 * (classes or 8) and not found.missing
    assert len(found.classes) == classes and found.task == ("class" if classes else "value")
    sizes = {split: len(found.split(split)) for split in ("train", "val", "test")}
    assert sizes["test"] == (classes or 8) and (sizes["val"] > 0) == (kind in ("scene", "like_ratio"))
    groups = {split: {entry.group for entry in found.split(split).entries} for split in ("train", "test")}
    assert kind == "coin" or not groups["train"] & groups["test"], "no person or feature film in both"


def test_its_films_can_be_read_with_motion(made):
    kind, (where, videos), _ = made
    found = READERS[kind](where).find(videos)
    clip = vtm.read_video(found.entries[0].file, frames=4, size=32, progress=False)
    assert clip.frames.shape == (4, 32, 32, 3) and clip.lost == 0
    assert clip.codec == ("mpeg4" if kind == "breakfast" else "h264") and clip.magnitude.any()


def test_again_it_is_the_same_and_paints_nothing(made, monkeypatch):
    kind, (where, videos), home = made
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    monkeypatch.setattr(vtm.films, "make", None)
    assert stand_in(kind, home, films_per_class=5, frames=4, size=32) == (where, videos)
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


def test_values_lie_in_the_order_of_the_gestures(tmp_path):
    where, _ = stand_in("like_ratio", tmp_path, films_per_class=3, frames=2, size=32)
    values = sorted({entry.label for entry in lists.lvu(where, "like_ratio").entries})
    assert len(values) == 8 and values[-1] - values[0] == pytest.approx(3.5)


def test_what_cannot_be_made_is_said(tmp_path):
    with pytest.raises(ValueError, match="kind is 'lvu'; it is one of scene, like_ratio"):
        stand_in("lvu", tmp_path)
    with pytest.raises(ValueError, match="films_per_class is 2; every split needs one"):
        stand_in("coin", tmp_path, films_per_class=2)
