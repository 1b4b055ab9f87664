"""A class's leaderboard: what is ranked and what is not, what a submission can see and say, what is kept and shown."""

import csv
import io
import json
import os
import pickle
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from helpers import Colours, isolates
from safetensors.torch import save

from vtm_lesson.study import leaderboard
from vtm_lesson.study.leaderboard import CONTROLS, RIVALS, Plan, Row
from vtm_lesson.study.own import OwnError
from vtm_lesson.teaching.classroom import board_command, board_entry, board_page
from vtm_lesson.teaching.classroom.board_command import Ranking, Store, main, submissions
from vtm_lesson.teaching.classroom.board_entry import Answer, Submission, answer, given, groups_in, run
from vtm_lesson.teaching.classroom.board_page import ClassBoard, Unranked

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="submissions are kept apart by what Windows lacks")
ISOLATED = isolates()
SMALL = Plan(practice=48, sets=3, each=20, frames=3, size=32)  # 48 tokens, of which 8 are left
SEED = 123_456_789

PARTITION = """
import torch

def entry(context):
    moves = context.keys.norm(dim=-1) if context.relative is None else context.relative
    return context.draw(moves + context.row)
"""
REDUCER = """
import mailbox, torch
from pathlib import Path
from mine import first_of
from vtm_lesson.merging import Merge

assert Path("weights.txt").read_text() == "3"

def entry(context):
    group = torch.arange(context.n) * context.n_keep // context.n
    first = first_of(group, context.n_keep)
    assert context.keys.shape[2] == 8 or torch.equal(context.saliency, context.keys[..., 0])  # 8: a trial
    return Merge(group.repeat(len(context.keys), 1), first.repeat(len(context.keys), 1))

def score(tokens):
    return tokens[..., 0]
"""
SPY = """
import glob, os, socket
from pathlib import Path

seen = []
for path in PATHS:
    try:
        seen += os.listdir(path)
    except OSError:
        pass
try:
    socket.create_connection(("127.0.0.1", PORT), 2)
    seen.append("a network")
except OSError:
    pass

def entry(context):
    if context.keys.shape[2] == 48:  # no trial: films
        seen.extend(["the actor"] * (context.oracle is not None))
        print("a flood of output " * 5_000_000)
        raise ValueError(f"seen: {seen}, as root: {os.getuid() == 0}")
    return context.draw(context.motion)
"""
FORGER = """
import contextlib, os, pickle

def entry(context):
    try:
        with open("large", "wb") as file:
            for _ in range(100):
                file.write(bytes(1_000_000))
        os._exit(7)
    except OSError:
        for number in range(3, 50):  # wherever the answer may go
            with contextlib.suppress(OSError):
                os.write(number, pickle.dumps(print))
    os._exit(0)
"""


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VTM_LESSON_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(board_command, "FULL", SMALL)
        patch.setattr(board_command, "WORKERS", 1)
        patch.setattr(board_command, "SECONDS", {SMALL: (1, 1), board_command.QUICK: (1, 1)})
        yield


@pytest.fixture(scope="module")
def films(small, tmp_path_factory):
    where = tmp_path_factory.mktemp("films")
    return leaderboard.films_of_seed(SEED, SMALL, where, encoder=Colours(), progress=False)


def hand_in(folder, **texts):
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def notebook(*cells):
    """A lesson's notebook with these (grade_id, source), as nbgrader knows it."""
    made = [
        {"cell_type": "code", "id": f"c{number}", "source": source, "outputs": [], "execution_count": None,
         "metadata": {"nbgrader": {"grade_id": name, "solution": True, "grade": False}} if name else {}}
        for number, (name, source) in enumerate(cells)
    ]  # fmt: skip
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


# ------------------------------------------------------------------------------------------------------ the whole way


@pytest.fixture(scope="module")
def ranked(small, tmp_path_factory):
    import socket

    home = tmp_path_factory.mktemp("class")
    page, folder = home / "out" / "board.html", home / "handed_in"
    with socket.create_server(("127.0.0.1", 0)) as server:
        paths = [str(page.parent), str(page.with_suffix(".secret")), str(folder)]
        spy = SPY.replace("PATHS", repr(paths)).replace("PORT", str(server.getsockname()[1]))
        hand_in(folder, ada=PARTITION, spy=spy, forger=FORGER)
        (folder / "ben").mkdir()
        (folder / "ben" / "entry.py").write_text(REDUCER)
        (folder / "ben" / "mine.py").write_text("import torch\n\ndef first_of(group, k):\n"
                                                "    return torch.searchsorted(group, torch.arange(k))\n")  # fmt: skip
        (folder / "ben" / "mailbox.py").write_text("raise SystemExit('in the place of a library')\n")
        (folder / "ben" / "weights.txt").write_text("3")
        (folder / "ben" / board_entry.FILMS).mkdir()
        (folder / "ben" / board_entry.FILMS / "mine.txt").write_text("of no use")
        code = main([str(folder), "--out", str(page)])
    return code, folder, page


def test_honest_submissions_are_ranked_and_the_courses_rows_are_always_there(ranked):
    code, _, page = ranked
    rows = {row["name"]: row for row in json.loads(page.with_suffix(".json").read_text())["rows"]}
    assert code == 0 and set(rows) == {*CONTROLS, *RIVALS, "ada", "ben"}
    for name, row in rows.items():
        assert row["tokens"] == (48 if name == "none" else 8) and len(row["by_set"]) == 3
        assert (row["place"] is None) == (name not in ("ada", "ben"))
    assert rows["oracle"]["recall"] > rows["random"]["recall"]
    gains = [a - b for a, b in zip(rows["ada"]["by_set"], rows["random"]["by_set"], strict=True)]
    assert rows["ada"]["beyond_random"][0] == pytest.approx(sum(gains) / 3)


@pytest.mark.parametrize(
    "into, why", [(2, "24 tokens in place of 8."), (8, "6 tokens in place of 8."), (0, "6 to 24 tok")]
)
def test_another_budget_is_measured_and_not_ranked(tmp_path, films, monkeypatch, into, why):
    ranking, one = Ranking(Store(tmp_path / "a.html"), 6, SMALL, 1), Submission("ada", "entry.py", {"entry.py": b""})
    ranking.films = films
    step = torch.tensor([into or (2, 8)[k % 2] for k in range(len(films.fit) + len(films.test))])[:, None]
    groups = board_entry.Groups(torch.arange(48) // step * step)
    monkeypatch.setattr(board_command, "run", lambda *_: Answer(groups, "", False, [], 1.0))
    ranking.run(one, [])
    board = ranking.board([one])
    (unranked,) = board.unranked
    assert unranked.why.startswith(why) and len(unranked.row.by_set) == 3 and not board.entries


def test_a_submission_sees_tokens_and_nothing_else(ranked):
    found = {one["name"]: one for one in json.loads(ranked[2].with_suffix(".json").read_text())["unranked"]}
    assert set(found) == {"spy", "forger"} and found["spy"]["row"] is None
    assert "the actor" not in found["spy"]["why"]
    if ISOLATED:
        assert "seen: [], as root: False" in found["spy"]["why"]


def test_a_large_file_and_a_forged_answer_cost_their_own_row(ranked):
    found = {one["name"]: one["why"] for one in json.loads(ranked[2].with_suffix(".json").read_text())["unranked"]}
    assert found["forger"] == "it gave no result that can be read."


def test_what_is_handed_out_does_not_hold_the_seed(ranked):
    page = ranked[2]
    seed = int((page.with_suffix(".secret") / "seed.txt").read_text())
    assert seed > 2**60 and page.with_suffix(".secret").stat().st_mode & 0o077 == 0
    for path in (page, page.with_suffix(".json"), page.with_suffix(".csv")):
        assert str(seed) not in path.read_text() and f"{seed:x}" not in path.read_text()
    assert not [path for path in Path(os.environ["VTM_LESSON_CACHE"]).iterdir() if str(seed) in path.name]


def test_a_second_run_runs_what_is_new_only_on_the_same_films(ranked, monkeypatch, capsys):
    _, folder, page = ranked
    before = json.loads(page.with_suffix(".json").read_text())
    monkeypatch.setattr(board_command, "run", lambda *_: pytest.fail("everything is known"))
    monkeypatch.setattr(leaderboard, "films_of_seed", lambda *_, **__: pytest.fail("no film is needed"))
    assert main([str(folder), "--out", str(page)]) == 0
    assert json.loads(page.with_suffix(".json").read_text()) == before
    assert "4 submissions, 0 of them to run" in capsys.readouterr().out
    ran = []

    def spy(one, *_):
        ran.append(one.name)
        return Answer(None, "it is another one.", False, [], 0.0)

    monkeypatch.setattr(board_command, "run", spy)
    monkeypatch.setattr(Ranking, "tensors", {})
    hand_in(folder, ada=PARTITION + "\n", eve=PARTITION.replace("row", "column"), copy=PARTITION)
    try:
        assert main([str(folder), "--out", str(page)]) == 0
    finally:
        (folder / "ada.py").write_text(PARTITION)
        (folder / "eve.py").unlink()
        (folder / "copy.py").unlink()
    assert ran == ["ada", "eve"], "what was changed, and what is new; the copy of what ada had is known"
    assert "not ranked: eve: it is another one." in capsys.readouterr().out
    names = [row["name"] for row in json.loads(page.with_suffix(".json").read_text())["rows"]]
    assert "copy" in names and {"random", "uniform", "oracle"} <= set(names)


def test_one_that_hangs_is_ended(films):
    hang = (
        "import os, signal\nfor s in (signal.SIGTERM, signal.SIGINT): signal.signal(s, signal.SIG_IGN)\nwhile 1: pass"
    )
    said = run(Submission("h", "entry.py", {"entry.py": hang.encode()}), given(films, 6), 3.0, [])
    assert said.groups is None and said.slow and said.why == "it took longer than 0.05 minutes."


def test_stopping_the_command_ends_the_submission_too(tmp_path):
    script = f"""
import subprocess, sys
from vtm_lesson.teaching.classroom import board_command
def ranked(args):
    process = subprocess.Popen([sys.executable, "-c", "while 1: pass"], start_new_session=True)
    try:
        print(process.pid, flush=True)
        process.wait()
    finally:
        process.kill()
        process.wait()
board_command._rank = ranked
sys.exit(board_command.main([{str(tmp_path)!r}]))
"""
    command = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    submission = int(command.stdout.readline())
    command.terminate()
    _, said = command.communicate(timeout=60)
    assert command.returncode == 130 and "What is measured is kept" in said
    with pytest.raises(ProcessLookupError):
        os.kill(submission, 0)


def test_folders_are_named_that_it_must_not_see(tmp_path, films, monkeypatch):
    wishes = []
    monkeypatch.setattr(board_entry, "_wait", lambda jail, *_: wishes.append(jail.wish) or (0, False))
    said = run(Submission("h", "entry.py", {}), given(films, 6), 3.0, [tmp_path / "in", tmp_path / "a.secret"])
    assert said.why == "it gave no result that can be read."
    assert {str(tmp_path / "in"), str(tmp_path / "a.secret"), "/tmp"} <= set(wishes[0]["hidden"])
    assert wishes[0]["memory"] == 8 << 30 and wishes[0]["file"] == 64 << 20


# ----------------------------------------------------------------------------------------------- what a submission says


def said_by(tmp_path, films, text, name="entry.py", gamma=6):
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = answer(tmp_path / name, given(films, gamma))
    return groups_in(save(found), len(films.fit) + len(films.test), 48)


@pytest.mark.parametrize(
    "text",
    [
        PARTITION,
        "def entry(n, n_targets):\n    import torch\n    return torch.arange(n - n_targets, n)",
        "entry = 'random'",
        "entry = 'drop'",  # drops
        "entry = 'sharpness'",  # weighs
        "entry = 'norm_preserving'",
        "entry = 'learnable'",  # the course's saliency
        "entry = 'learnable'\ndef score(tokens):\n    return tokens[..., 0]",
    ],
)
def test_a_submission_is_measured_as_on_the_learners_own_board(tmp_path, films, text):
    groups = said_by(tmp_path, films, text)
    space = {}
    exec(text, space)
    entry = (space["entry"], space["score"]) if "score" in space else space["entry"]
    here = leaderboard.measured("x", "handed in", leaderboard.plug("x", entry), 6, films)
    assert leaderboard.measured("x", "handed in", {"reducer": groups}, 6, films) == here


def test_what_a_learner_wrote_in_lesson_13_goes_in_unchanged(tmp_path, films):
    own = PARTITION.replace("entry", "own_partition").replace("import torch", "")
    cells = [("", "import torch"), ("left-at", "def left_at(:"), ("own-partition", own), ("", "1 / 0")]
    name = "13_your_own_strategy.ipynb"
    groups = said_by(tmp_path, films, notebook(*cells), name)
    assert torch.equal(groups.into, said_by(tmp_path, films, PARTITION).into)
    with pytest.raises(OwnError, match="neither entry nor own_partition"):
        said_by(tmp_path, films, notebook(("", "import torch")), name)


@pytest.mark.parametrize(
    "text, says",
    [
        ("def entry(", "entry.py is no Python, line 1"),
        ("entry = 3\n1 / 0", "entry.py stopped, line 2 with ZeroDivisionError"),
        ("def another(n): ...", "neither entry nor own_partition"),
        ("entry = 3", "entry is a int"),
        ("entry = 'oracle'", "asks for the actor"),
        ("import torch\ndef entry(n): return torch.arange(n)", "the partition returned .* for 12 tokens"),
        ("def entry(context): return context.draw(context.oracle)", "draw was given None"),
        ("def entry(context): raise KeyError('<b>')", "it stops with KeyError"),
        ("entry = 'learnable'\ndef score(x): return x", "its score gave"),
        ("def entry(c): return c.draw(c.motion) if c.n != 48 else c.draw(None)", "on the board's films"),
    ],
)
def test_what_is_wrong_with_a_submission_is_told(tmp_path, films, text, says):
    with pytest.raises(ValueError, match=says):
        said_by(tmp_path, films, text)


def said(**changed):
    into = torch.arange(6).repeat(4, 1) // 3 * 3
    return {"into": into.int(), "norm": torch.tensor([False]), **changed}


@pytest.mark.parametrize(
    "data, says",
    [
        (b"", "no result"),
        (b"x" * 99, "no result"),
        (pickle.dumps(print), "no result"),
        (said(into=torch.zeros(3, 6).int()), "something else"),
        (said(into=torch.zeros(4, 6)), "something else"),
        ({"norm": torch.tensor([True])}, "something else"),
        (said(into=torch.full((4, 6), 6).int()), "give int64 positions, 0 to 5"),
        (said(into=torch.full((4, 6), -1).int()), "give int64 positions, 0 to 5"),
        (said(into=(torch.arange(6).repeat(4, 1) + 1).clamp(max=5).int()), "send every token to one that stays"),
        (said(dropped=torch.ones(4, 6)), "something else"),
        (said(dropped=torch.ones(4, 6, dtype=torch.bool)), "holds nothing"),
        (said(weight=torch.full((4, 6), -1.0)), "negative"),
        (said(weight=torch.full((4, 6), float("nan"))), "negative, or whose sum"),
        (said(weight=torch.full((4, 6), 3e38)), "sum is not finite"),
        ({"problem": torch.tensor(list(b"it fails."), dtype=torch.uint8)}, "^it fails.$"),
        (said(problem=torch.ones(3)), None),
        (said(dropped=torch.tensor([False, True, True] * 2).repeat(4, 1)), None),
        (said(weight=torch.zeros(4, 6)), None),
    ],
)
def test_only_groups_come_in(data, says):
    data = data if isinstance(data, bytes) else save(data)
    if says is None:
        assert groups_in(data, 4, 6).left.tolist() == [2] * 4
        return
    with pytest.raises(ValueError, match=says):
        groups_in(data, 4, 6)


def test_every_group_that_comes_in_has_an_average():
    x = torch.rand(1, 6, 3) + 1
    into = said()["into"][:1]
    several = [{"weight": torch.full((1, 6), value)} for value in (0.0, 5e37, 1e-45)]
    for more in (*several, {"dropped": torch.tensor([[False, True, True] * 2])}):
        groups = groups_in(save({"into": into, **more}), 1, 6)
        merge = groups(leaderboard.Context(x, 3, 1, 2, 3, torch.arange(6)[None], torch.ones(1, 6)))
        assert float(merge(x).min()) >= 1, more


# --------------------------------------------------------------------------------------------- what is found and kept


def test_submissions_are_found_under_plain_names_of_their_own(tmp_path):
    with pytest.raises(ValueError, match=r"holds no submission; it needs NAME\.py, NAME/entry\.py"):
        submissions(tmp_path)
    hand_in(
        tmp_path,
        **{"random": PARTITION, "=cmd(1)": PARTITION, "a\x1b[31m<b>": PARTITION, "金 $x$": PARTITION, "-x": PARTITION},
    )
    (tmp_path / "bo" / "13_your_own_strategy").mkdir(parents=True)
    (tmp_path / "bo" / "13_your_own_strategy" / "13_your_own_strategy.ipynb").write_text(notebook())
    (tmp_path / "bo" / "solutions.py").write_text(PARTITION)
    (tmp_path / "link.py").symlink_to(tmp_path / "random.py")
    (tmp_path / "folder_link").symlink_to(tmp_path / "bo", target_is_directory=True)
    os.mkfifo(tmp_path / "pipe.py")
    os.mkfifo(tmp_path / "bo" / "pipe")
    (tmp_path / "bo" / "rival.py").symlink_to(tmp_path / "random.py")
    found = {one.name: one for one in submissions(tmp_path)}
    assert set(found) == {
        "random (2)",
        "_cmd_1_",
        "a__31m_b_",
        "金 _x_",
        "x",
        "bo",
        "bo (2)",
        "link",
        "folder_link",
        "pipe",
    }
    assert {name for name, one in found.items() if one.fault} == {"link", "folder_link", "pipe"}
    assert {found["bo"].main, found["bo (2)"].main} == {"13_your_own_strategy.ipynb", "solutions.py"}
    assert set(found["bo (2)"].files) == {"solutions.py", "13_your_own_strategy/13_your_own_strategy.ipynb"}


def test_one_that_cannot_be_read_costs_its_own_row(tmp_path, monkeypatch):
    hand_in(tmp_path, ada=PARTITION, ben=PARTITION)
    real = Path.read_bytes

    def refused(path):
        if path.stem == "ben":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    assert [one.fault for one in submissions(tmp_path)] == ["", "it cannot be read: Permission denied."]


def test_a_digest_hangs_on_every_file(tmp_path, monkeypatch):
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "entry.py").write_text(PARTITION)
    digests = [submissions(tmp_path)[0].digest]
    for name, text in (("w.txt", "1"), ("w.txt", "2"), ("v.txt", "2")):
        (tmp_path / "ada" / name).write_text(text)
        digests.append(submissions(tmp_path)[0].digest)
    assert len(set(digests)) == 4
    monkeypatch.setattr(board_command, "LARGEST", 100)
    assert submissions(tmp_path)[0].fault == "its files have more than 0 MB."


def test_the_course_itself_is_no_folder_of_submissions():
    with pytest.raises(ValueError, match="holds the course itself"):
        submissions(board_command.PACKAGE.parent)


def test_nothing_of_the_teachers_is_overwritten(tmp_path, capsys):
    folder, page = hand_in(tmp_path / "in", ada=PARTITION), tmp_path / "mine.html"
    page.write_text("my own page")
    assert main([str(folder), "--out", str(page)]) == 2
    assert "is not as this command wrote it" in capsys.readouterr().err
    assert page.read_text() == "my own page" and not page.with_suffix(".secret").exists()
    page.unlink()
    store = Store(page)
    store.write(["page", "{}", "csv"])
    Store(page).write(["page 2", "{}", "csv"])
    page.write_text("page 2, and a word of mine")
    with pytest.raises(ValueError, match="left alone"):
        Store(page)
    with pytest.raises(ValueError, match="left alone"):
        store.write(["page 3", "{}", "csv"])
    assert page.read_text().endswith("mine")


def test_a_seed_is_drawn_once_or_given(tmp_path):
    first = Store(tmp_path / "a.html")
    assert Store(tmp_path / "a.html").seed == first.seed != Store(tmp_path / "b.html").seed
    assert Store(tmp_path / "c.html", 100_000).seed == 100_000
    for page, seed, says in (("a", 100_000, "holds another one"), ("d", 11, "lessons use smaller ones")):
        with pytest.raises(ValueError, match=says):
            Store(tmp_path / f"{page}.html", seed)
    (tmp_path / "a.secret" / "seed.txt").write_text("no number")
    with pytest.raises(ValueError, match="the board begins anew"):
        Store(tmp_path / "a.html")
    with pytest.raises(ValueError, match=r"NAME\.html"):
        Store(tmp_path / "a.txt")


def test_what_failed_is_run_again_where_that_may_help(tmp_path, monkeypatch):
    store, one = Store(tmp_path / "a.html"), Submission("ada", "entry.py", {"entry.py": b""})
    monkeypatch.setattr(Ranking, "tensors", {})

    def ranking(minutes, gamma=6.0):
        return Ranking(store, gamma, SMALL, minutes)

    for slow, why in ((True, "slow"), (False, "failed")):
        one = one._replace(files={"entry.py": why.encode()})
        assert ranking(5).is_open(one, False)
        monkeypatch.setattr(board_command, "run", lambda *_, slow=slow, why=why: Answer(None, why, slow, [], 1.0))
        ranking(5).run(one, [])
        assert not ranking(5).is_open(one, False) and ranking(5).is_open(one, True)
        assert ranking(6).is_open(one, False) == slow
        assert ranking(5, gamma=7.0).is_open(one, False), "another board"


@pytest.mark.parametrize(
    "more, says",
    [(["--gamma", "1"], "gamma is more than 1"), (["--minutes", "0"], "minutes more than 0"),
     (["--gamma", "nan"], "gamma is more than 1"), (["--out", "x.txt"], "NAME.html")],
)  # fmt: skip
def test_bad_options_are_told_in_a_sentence(tmp_path, capsys, more, says):
    assert main([str(hand_in(tmp_path / "in", ada=PARTITION)), "--out", str(tmp_path / "p.html"), *more]) == 2
    assert says in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------ what is shown


def row(name, by_set, whose="handed in", tokens=8):
    return Row(name, whose, tokens, 0.25, tuple(by_set))


def scattered(mean, seed, sets=20, sd=0.02):
    return (mean + sd * torch.randn(sets, generator=torch.Generator().manual_seed(seed))).tolist()


@pytest.fixture
def board():
    entries = [row("ada", scattered(0.6, 1)), row("ben", scattered(0.6, 2)), row("eve", scattered(0.4, 3))]
    course = [
        row(name, scattered(mean, seed), "a control") for name, mean, seed in (("random", 0.3, 4), ("oracle", 0.8, 5))
    ]
    course += [row("uniform", scattered(0.3, 6), "the course's"), row("none", scattered(0.3, 7), "a control", 48)]
    lost = (
        Unranked("<b>", "it said </td><script>alert(1)</script>."),
        Unranked("w", "24 tokens", row("w", [0.5] * 20)),
    )
    return ClassBoard(leaderboard.ordered([*entries, *course]), lost, 6.0, SMALL)


def test_who_is_told_apart_shares_no_place(board):
    at = board_page.places(board.entries)
    assert at["eve"] == (3, 3) and at["ada"] == at["ben"] == (1, 2)
    first = board.entries[0].name
    assert (
        board_page.verdict(board)
        == f"{first} has the best mean; 1 other cannot be told apart: {board.entries[1].name}."
    )
    alone = ClassBoard(board.rows[:1], (), 6.0, SMALL)
    assert board_page.verdict(alone) == "No submission could be ranked."


def test_places_hold_for_equal_entries():
    """Of boards of 10 equal entries, at most about one in twenty may put an entry anywhere but at 1-10."""
    wrong = 0
    for seed in range(60):
        entries = [row(f"e{k}", scattered(0.5, 1000 * seed + k, sets=10)) for k in range(10)]
        wrong += board_page.places(entries)["e0"] != (1, 10)
    assert wrong <= 6


def test_luck_alone_is_told_as_it_is():
    tops = []
    for seed in range(200):
        entries = [row(f"e{k}", scattered(0.5, 1000 * seed + k)) for k in range(10)]
        means = [sum(e.by_set) / 20 for e in entries]
        tops.append((max(means) - sum(means) / 10, board_page.flattery(entries)))
    real, told = (sum(column) / 200 for column in zip(*tops, strict=True))
    assert told == pytest.approx(real, rel=0.1)
    assert board_page.flattery(entries[:1]) == 0


class Reader(HTMLParser):
    """What stands in a page: tags with their attributes, and whether they are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.words = [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


def test_the_page_is_whole_and_needs_nothing_beside_it(board):
    text = board_page.page(board, "python -m vtm_lesson leaderboard <b>")
    read = Reader(text)
    assert not read.open
    found = {tag: [attrs for t, attrs in read.tags if t == tag] for tag in {t for t, _ in read.tags}}
    assert not {"script", "link", "iframe", "b"} & set(found), "no script, and no name or sentence is taken for HTML"
    for tag, attrs in read.tags:
        for name in ("src", "href"):
            assert attrs.get(name, "data:").startswith("data:"), tag
    assert "://" not in text and "url(" not in text and "@import" not in text
    assert "color-scheme: light dark" in text
    assert len(found["table"]) == len(found["caption"]) == 2
    assert all(attrs["scope"] in ("col", "row") for attrs in found["th"])
    regions = [attrs for attrs in found["div"] if attrs.get("role") == "region"]
    assert len(regions) == 2 and all(attrs["tabindex"] == "0" and attrs["aria-label"] for attrs in regions)
    (image,) = found["img"]
    assert all(f"{row.name} ({row.whose})" in image["alt"] for row in board.rows)
    assert found["html"][0]["lang"] == "en" and found["meta"][0]["charset"] == "utf-8"
    for words in ("1-2", "it said </td><script>", "were all 3 entries equal", "5 submissions, 3 of them ranked"):
        assert words in read.words, words


def test_names_in_every_script_are_drawn(board):
    rows = [row("金 _x_", scattered(0.7, 9)), *board.rows]
    assert "金 _x_" in Reader(board_page.page(ClassBoard(leaderboard.ordered(rows), (), 6.0, SMALL), "")).words


def test_the_table_has_every_row_once_with_its_numbers(board):
    head, *lines = csv.reader(io.StringIO(board_page.table(board)))
    assert all(len(line) == len(head) for line in lines) and len(lines) == 9
    found = {line[head.index("entry")]: dict(zip(head, line, strict=True)) for line in lines}
    first = board.entries[0]
    assert float(found[first.name]["accuracy"]) == pytest.approx(first.accuracy[0], abs=1e-5)
    assert (found["eve"]["place"], found["eve"]["to"], found["random"]["place"]) == ("3", "3", "")
    assert found["w"]["why_not_ranked"] == "24 tokens" and found["w"]["place"] == ""
    assert float(found["eve"]["behind_high"]) < 0


def test_the_text_for_a_terminal_has_no_control_characters(board):
    said = board_entry.plain("a\x1b[31m\n\u202eb" + "x" * 400)
    assert said.isprintable() and len(said) == 300
    assert re.search(r"^eve +3 +handed in", board_page.text(board), re.MULTILINE)
