"""Lists of films: what was written is what is read, and a damaged list is read or refused by its own error."""

import contextlib
import csv
import io
import json
import math
import tempfile
from pathlib import Path

import numpy as np
from fuzzing import SEEDS, fuzz
from hypothesis import strategies as st

from vtm_lesson.datasets import lists

# Names of films, classes and people as they come: letters of any language, blanks, marks; no line's end in them.
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=12)
NAMES = WORDS.map(lambda text: "".join(text.split()).strip('",') or "x")  # where blanks part the columns
ROWS = st.integers(1, 8)


def rows_of(count, numbers, names, seed):
    """Films with a class each: what a list of `count` films says, in some order."""
    chance = np.random.default_rng(seed)
    chosen = chance.integers(0, len(numbers), count).tolist()
    return [(f"film{i:03d}-{names[i % len(names)]}", numbers[c], f"class {numbers[c]}") for i, c in enumerate(chosen)]


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def table(head, rows, between, ends="\n"):
    if between == " ":
        return ends.join(" ".join(map(str, row)) for row in [head, *rows]) + ends
    memory = io.StringIO()
    csv.writer(memory, lineterminator=ends).writerows([head, *rows])
    return memory.getvalue()


def lvu(folder, rows, task, ends, chance):
    heads = {"like_ratio": ["like_count", "dislike_count"], "view_count": ["view_count"]}
    head = [*heads.get(task, ["class_id", "class_name"]), "youtube_id", "imdb_id"]
    for k, split in enumerate(lists.SPLITS):
        own = [row for i, row in enumerate(rows) if i % 3 == k] or [(f"only-{split}", 0, "class 0")]
        lines = []
        for film, number, name in own:
            value = {"like_ratio": [number, 7], "view_count": [number + 1]}.get(task, [number, name.replace(" ", "_")])
            lines.append([*value, film, f"tt{number}"])
        columns = chance.permutation(len(head))
        cells = [[line[c] for c in columns] for line in lines]
        written(folder / task / f"{split}.csv", table([head[c] for c in columns], cells, " ", ends))
    return lambda: lists.lvu(folder, task)


def breakfast(folder, rows, task, ends, chance):
    head = ["file_name", "duration", "action", "class_id"]
    for k, split in enumerate(("train", "test")):
        own = [row for i, row in enumerate(rows) if i % 2 == k] or [("only", 0, "class 0")]
        lines = [
            [f"P{3 + 40 * k:02d}-cam{i}-P{3 + 40 * k:02d}_x{i}", 9.5, name, n] for i, (_, n, name) in enumerate(own)
        ]
        written(folder / f"{split}.csv", table(head, lines, ",", ends))
    return lambda: lists.breakfast(folder)


def coin(folder, rows, task, ends, chance):
    films = {
        film: {"subset": ["training", "testing"][i % 2], "class": name, "recipe_type": number}
        for i, (film, number, name) in enumerate(rows)
    }
    written(folder / "COIN.json", json.dumps({"database": films}))
    return lambda: lists.coin(folder)


def own(folder, rows, task, ends, chance):
    lines = [[film, f"c{number}", lists.SPLITS[i % 3]] for i, (film, number, _) in enumerate(rows)]
    lines += [["first", "c-a", "train"], ["second", "c-b", ""]]  # two classes at least
    written(folder / "own.csv", table(["file", "label", "split"], lines, ",", ends))
    return lambda: lists.labelled(folder, folder / "own.csv")


KINDS = {"lvu": lvu, "breakfast": breakfast, "coin": coin, "own": own}
LIST = {
    "kind": st.sampled_from(list(KINDS)),
    "task": st.sampled_from(lists.LVU_TASKS),
    "count": ROWS,
    "numbers": st.lists(st.integers(0, 10**6), min_size=1, max_size=4, unique=True),
    "names": st.lists(NAMES, min_size=1, max_size=3),
    "ends": st.sampled_from(["\n", "\r\n"]),
    "seed": SEEDS,
}


def some_list(folder, kind, task, count, numbers, names, ends, seed):
    """Write a list down: its rows, and what reads it."""
    rows = rows_of(count, numbers, names, seed)
    return rows, KINDS[kind](folder, rows, task, ends, np.random.default_rng(seed))


@fuzz(cases=40, **LIST)
def test_what_was_written_is_read(**case):
    with tempfile.TemporaryDirectory() as home:
        rows, read = some_list(Path(home), **case)
        found = read()
        entries = [*found.entries, *found.missing]
        if case["kind"] in ("lvu", "coin", "own"):
            by_name = {entry.id: entry for entry in entries}
            assert set(by_name) >= {film for film, *_ in rows}, "a film is not there, or under another name"
            for film, number, name in rows:
                entry = by_name[film]
                if found.task == "value":
                    offset = lists.LIKE_RATIO_OFFSET if case["task"] == "like_ratio" else lists.VIEW_COUNT_OFFSET
                    value = 10 * number / (number + 7) if case["task"] == "like_ratio" else math.log(number + 1)
                    assert abs(entry.label - (value - offset)) < 1e-9, "another value"
                else:
                    called = {"own": f"c{number}", "lvu": name.replace(" ", "_")}.get(case["kind"], name)
                    assert found.classes[entry.label] == called, "another class"
        assert len({entry.id for entry in entries}) == len(entries)
        assert str(len(found)) in found.summary() and sum(map(len, map(found.split, found.counts()))) == len(found)


DAMAGE = st.lists(
    st.tuples(
        st.sampled_from(["cut", "byte", "text", "line twice", "line gone", "cell gone", "quote", "folder", "gone"]),
        st.floats(0, 1),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=3,
)
TEXTS = [
    "\0",
    "\ufeff",
    ",",
    '"',
    "\r",
    "\n",
    " ",
    "-1",
    "1e999",
    "NaN",
    "9" * 5000,
    "null",
    "{",
    "[[",
    "../x",
    "\u2028",
    "x",
]


def damage(folder, what, seed):
    """Change the list's files."""
    chance = np.random.default_rng(seed)
    for kind, place, number in what:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        if not files:
            return
        path = files[int(chance.integers(len(files)))]
        data = path.read_bytes()
        at = int(place * len(data))
        lines = data.split(b"\n")
        line = int(place * (len(lines) - 1))
        if kind in ("folder", "gone"):
            path.unlink()
            if kind == "folder":
                path.mkdir()
            continue
        if kind == "cut":
            data = data[:at]
        elif kind == "byte":
            data = data[:at] + bytes([number]) + data[at + 1 :]
        elif kind == "text":
            data = data[:at] + TEXTS[number % len(TEXTS)].encode() + data[at:]
        elif kind == "quote":
            data = data[:at] + b'"' + data[at:]
        else:
            cells = lines[line].replace(b",", b" ").split()
            few = b" ".join(cells[: number % (len(cells) + 1)])
            put = {"line twice": [lines[line]] * 2, "line gone": [], "cell gone": [few]}[kind]
            data = b"\n".join([*lines[:line], *put, *lines[line + 1 :]])
        path.write_bytes(data)


@fuzz(cases=60, what=DAMAGE, **LIST)
def test_a_damaged_list(what, **case):
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        _, read = some_list(folder, **case)
        damage(folder, what, case["seed"])
        try:
            found = read()
        except lists.ListError as error:
            assert home in str(error), "no word of which file"
            assert len(str(error)) < 3000, "a message as long as the list"
            return
        entries = [*found.entries, *found.missing]
        assert entries and len({entry.id for entry in entries}) == len(entries), "a film is there twice"
        labels = [entry.label for entry in entries]
        assert all(math.isfinite(label) for label in labels), "a label that is no number"
        assert found.task == "value" or all(0 <= label < len(found.classes) for label in labels), "a class without name"
        assert found.summary() and found.counts() is not None


@fuzz(
    cases=30,
    paths=st.lists(st.lists(WORDS, min_size=1, max_size=3), max_size=8),
    suffixes=st.lists(st.sampled_from([".mp4", ".MKV", ".txt", "", ".webm.part", ".avi"]), min_size=1, max_size=4),
    raw=st.booleans(),
)
def test_a_folder_of_films(paths, suffixes, raw):
    """Every film that lies in a folder of the folder, by whatever name, is one of its class."""
    with tempfile.TemporaryDirectory() as home:
        folder, expected = Path(home) / "films", set()
        folder.mkdir()
        for i, parts in enumerate(paths):
            names = [name.replace("/", "_").encode()[:80].decode(errors="ignore").strip(".") or "x" for name in parts]
            name = names[-1] + suffixes[i % len(suffixes)]
            if raw and i % 2:
                name = "\udcff" + name  # a byte that is no UTF-8, as Python gives it
            path = folder.joinpath(*names[:-1], name)
            with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"not looked into")
                film = Path(name).suffix.lower() in lists.SUFFIXES and len(names) > 1
                hidden = any(part.startswith(".") for part in (*names[:-1], name))
                expected |= {path.relative_to(folder).as_posix()} if film and not hidden else set()
        classes = {name.split("/")[0] for name in expected}
        try:
            found = lists.labelled(folder)
        except lists.ListError as error:
            assert len(classes) < 2 and str(folder) in str(error)
            return
        assert {entry.id for entry in found.entries} == expected and set(found.classes) == classes
        assert all(found.classes[entry.label] == entry.id.split("/")[0] for entry in found.entries)
        found.summary().encode()
