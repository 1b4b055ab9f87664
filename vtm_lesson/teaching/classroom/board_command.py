"""A leaderboard without a server: a class's strategies of lesson 13, ranked by a command that a teacher runs.

    python -m vtm_lesson leaderboard FOLDER                     # leaderboard.html, .json and .csv, in this folder
    python -m vtm_lesson leaderboard FOLDER --out fridays.html --gamma 10
    python -m vtm_lesson leaderboard FOLDER --quick             # fewer films: a look, in a minute

FOLDER holds NAME.py, NAME/entry.py with other files beside it, NAME/solutions.py, or what nbgrader collects of lesson
13, submitted/NAME/13_your_own_strategy/13_your_own_strategy.ipynb. What such a file has to define, and how it is run,
`board_entry` says; what the page says, `board_page`.

The films' seed is drawn at the first run. It is kept, with the films and all that was measured, in a folder beside the
page, leaderboard.secret, which only you can read and the page does not show: hand that out when the board is closed, if
at all. The next run ranks on the same films, and runs only what is new or was changed since.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import secrets
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ... import __version__
from ...measuring.clock import environment
from ...merging.partition import n_targets
from ...paths import PACKAGE
from ...study import leaderboard
from ...study.kept import Kept
from ...study.leaderboard import CONTROLS, RIVALS, Films, Plan, Row
from . import board_page
from .board_entry import LARGEST, LESSON, Submission, given, plain, run
from .board_page import HANDED_IN, ClassBoard, Unranked
from .jail import ended_with_us

FULL = Plan(practice=300, sets=20, each=40)  # many sets: intervals over five of them are wide
QUICK = Plan(practice=120, sets=8, each=15)
FILES = ("entry.py", "solutions.py")  # in a submission's own folder; the first that is there
HIDDEN = "other folders hidden"  # one of the words of `jail`
WORKERS = min(2, os.cpu_count() or 1)  # processes that make films
LEAST_SEED = 100_000  # lessons and studies use smaller ones
SECONDS = {FULL: (8, 60), QUICK: (7, 20)}  # about: of a submission; of the films and the course's rows


def submissions(folder: Path) -> list[Submission]:
    """All that was handed in, by name; ValueError where there is nothing, or the course itself."""
    if PACKAGE.is_relative_to(folder.resolve()):
        raise ValueError(f"{folder} holds the course itself; give a folder with the submissions alone.")
    root = folder / "submitted" if (folder / "submitted").is_dir() else folder
    found = [(path.stem, path) for path in root.glob("*.py")]
    for home in root.glob("*/"):
        lesson = home / LESSON / f"{LESSON}.ipynb"
        mains = [path for path in (home / name for name in FILES) if path.is_file() or path.is_symlink()][:1]
        handed_in = [*mains, *([lesson] if lesson.is_file() else [])]
        found += [(home.name, home)] if home.is_symlink() else [(home.name, path) for path in handed_in]
    if not found:
        kinds = f"NAME.py, NAME/{FILES[0]}, NAME/{FILES[1]} or submitted/NAME/{LESSON}/{LESSON}.ipynb"
        raise ValueError(f"{folder} holds no submission; it needs {kinds}.")
    every: dict[str, Submission] = {}
    for stem, path in sorted(found):
        whole = plain(re.sub(r"[^\w .@+-]", "_", stem), 60).lstrip(" .@+-") or "unnamed"
        name, number = whole, 1
        while name in every or name in (*CONTROLS, *RIVALS):
            number += 1
            name = f"{whole} ({number})"
        try:
            every[name] = _read(name, path)
        except OSError as error:
            every[name] = Submission(name, path.name, {}, f"it cannot be read: {error.strerror}.")
    return list(every.values())


def _read(name: str, main: Path) -> Submission:
    if main.is_symlink() or not main.is_file():
        return Submission(name, main.name, {}, f"{main.name} is a link or a folder; a file is needed.")
    alone = main.name not in FILES
    paths = [main] if alone else [path for path in main.parent.rglob("*") if "__pycache__" not in path.parts]
    paths = [path for path in paths if path.is_file() and not path.is_symlink()]
    if sum(path.stat().st_size for path in paths) > LARGEST:
        return Submission(name, main.name, {}, f"its files have more than {LARGEST >> 20} MB.")
    if alone:  # a notebook's own name says which lesson it is
        kept = main.name if main.suffix == ".ipynb" else FILES[0]
        return Submission(name, kept, {kept: main.read_bytes()})
    return Submission(name, main.name, {p.relative_to(main.parent).as_posix(): p.read_bytes() for p in paths})


class Store:
    """The folder beside the page: the films' seed and the films, what was measured, and what was written.

    Parameters
    ----------
    page : Path
        Where the page goes; its other files have its name.
    seed : int, optional
        Of the films; drawn, or what an earlier run drew, where it is not given.

    Raises
    ------
    ValueError
        For a page that this command did not write, or that somebody changed; for another seed than that of the page.
    """

    def __init__(self, page: Path, seed: int | None = None) -> None:
        if page.suffix != ".html":
            raise ValueError(f"--out {page}: give the name of a page, NAME.html.")
        if seed is not None and seed < LEAST_SEED:
            raise ValueError(f"--seed {seed}: give a whole number of {LEAST_SEED:,} or more; lessons use smaller ones.")
        self.page, self.folder = page, page.with_suffix(".secret")
        self.names = [page, page.with_suffix(".json"), page.with_suffix(".csv")]
        self._digests = self.folder / "written.txt"
        for path in self.names:
            self._check(path)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        self.seed = self._seed(seed)
        self.kept = Kept(self.folder / "results.jsonl", {"board": 1})

    def _seed(self, given: int | None) -> int:
        path = self.folder / "seed.txt"
        if not path.exists():
            # 96 bits: nobody finds it by trying.
            seed = LEAST_SEED + secrets.randbits(96) if given is None else given
            with path.open("x") as file:
                file.write(f"{seed}\n")
        try:
            seed = int(path.read_text())
        except ValueError:
            raise ValueError(f"{path} holds no number; delete {self.folder}, and the board begins anew.") from None
        if given not in (None, seed):
            raise ValueError(f"--seed {given}: {path} holds another one; give another --out.")
        return seed

    def write(self, texts: Sequence[str]) -> None:
        """Write page, JSON and CSV; each is the old one or the new one at every moment."""
        for path, text in zip(self.names, texts, strict=True):
            self._check(path)
            with self._digests.open("a") as file:
                file.write(_digest(text.encode()) + "\n")
            part = path.with_name(f"{path.name}.part")
            part.write_text(text, encoding="utf-8")
            part.replace(path)

    def _check(self, path: Path) -> None:
        if not path.exists() and not path.is_symlink():
            return
        known = self._digests.read_text().split() if self._digests.is_file() else []
        if not path.is_file() or _digest(path.read_bytes()) not in known:
            raise ValueError(
                f"{path} is not as this command wrote it, and is left alone; move it, or give another --out."
            )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Ranking:
    """Submissions and the course's own strategies on one set of films; what was measured before is not again.

    Parameters
    ----------
    store : Store
        Where seed and results are.
    gamma : float
        One token in gamma is left.
    plan : Plan
        Which films.
    minutes : float
        For a submission, at most.
    """

    def __init__(self, store: Store, gamma: float, plan: Plan, minutes: float) -> None:
        self.store, self.gamma, self.plan, self.minutes = store, gamma, plan, minutes
        settings = [__version__, gamma, asdict(plan), store.seed]
        self._settings = _digest(json.dumps(settings).encode())
        self.known = {record["key"]: record for record in store.kept.read() if "key" in record}

    @cached_property
    def films(self) -> Films:
        """Made when they are first asked for."""
        where = self.store.folder / "films"
        return leaderboard.films_of_seed(self.store.seed, self.plan, where, workers=WORKERS)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """What every submission is given."""
        return given(self.films, self.gamma)

    def key(self, what: str) -> str:
        """Of a result: the settings, and the submission's digest or the name of one of the course's own."""
        return _digest(f"{self._settings} {what}".encode())

    def is_open(self, one: Submission, again: bool) -> bool:
        """Whether a submission has to be run: it is new, or it failed and more time or another try was given."""
        record = self.known.get(self.key(one.digest))
        if one.fault or record is None:
            return not one.fault
        return record["row"] is None and (again or (record["slow"] and self.minutes > record["minutes"]))

    def course(self) -> list[Row]:
        """The controls' rows and those of the course's own strategies."""
        missing = [name for name in (*CONTROLS, *RIVALS) if self.key(name) not in self.known]
        for name in tqdm(missing, desc="the course's own", unit="row", disable=None, leave=False):
            self._keep(name, {"row": asdict(leaderboard.courses_row(name, self.gamma, self.films))})
        return [_row(self.known[self.key(name)]["row"], name) for name in (*CONTROLS, *RIVALS)]

    def run(self, one: Submission, hidden: Sequence[Path]) -> None:
        """Run a submission, measure what it says, and keep it."""
        said = run(one, self.tensors, 60 * self.minutes, hidden)
        row, why = None, said.why
        if said.groups is not None:
            row = asdict(leaderboard.measured(one.name, HANDED_IN, {"reducer": said.groups}, self.gamma, self.films))
            least, most = int(said.groups.left.min()), int(said.groups.left.max())
            budget = n_targets(said.groups.into.shape[1], self.gamma)
            if (least, most) != (budget, budget):  # fewer are no equal comparison, either
                why = f"{least}{f' to {most}' if most > least else ''} tokens in place of {budget}."
        about = {"slow": said.slow, "isolated": said.isolated, "seconds": round(said.seconds, 1)}
        self._keep(one.digest, {"row": row, "why": why, "minutes": self.minutes, **about})

    def _keep(self, what: str, values: dict[str, Any]) -> None:
        record = {"key": self.key(what), **values}
        self.store.kept.add(record)
        self.known[record["key"]] = json.loads(json.dumps(record))

    def board(self, handed_in: Sequence[Submission]) -> ClassBoard:
        """All that is known about these submissions, beside the course's own."""
        rows, unranked = self.course(), []
        for one in handed_in:
            record = self.known.get(self.key(one.digest), {"row": None, "why": "not run yet."})
            row = record["row"] and _row(record["row"], one.name)
            if one.fault or record["why"] or row is None:
                unranked.append(Unranked(one.name, one.fault or record["why"], row))
            else:
                rows.append(row)
        return ClassBoard(leaderboard.ordered(rows), tuple(unranked), self.gamma, self.plan)

    def isolated(self, handed_in: Sequence[Submission]) -> list[str]:
        """What was taken from every submission's process, in words."""
        told = [self.known[self.key(one.digest)]["isolated"] for one in handed_in if self.key(one.digest) in self.known]
        return [word for word in told[0] if all(word in one for one in told)] if told else []


def _row(stored: dict[str, Any], name: str) -> Row:
    return Row(**{**stored, "name": name, "by_set": tuple(stored["by_set"]), "beyond_random": (0.0, 0.0, 0.0)})


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python -m vtm_lesson leaderboard`."""
    args = _arguments(argv)
    try:
        with ended_with_us():
            return _rank(args)
    except ValueError as error:
        print(f"leaderboard: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"leaderboard: {error.filename or args.out}: {error.strerror or error}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nleaderboard: stopped. What is measured is kept; the same command goes on.", file=sys.stderr)
        return 130


def _rank(args: argparse.Namespace) -> int:
    if not hasattr(os, "geteuid"):
        raise ValueError("submissions are kept apart by what Linux and macOS have; Windows has not (WSL has).")
    if not 1 < args.gamma < float("inf") or not args.minutes > 0:
        raise ValueError(
            f"--gamma {args.gamma:g} --minutes {args.minutes:g}: gamma is more than 1, minutes more than 0."
        )
    handed_in, store = submissions(args.folder), Store(args.out, args.seed)
    plan = QUICK if args.quick else FULL
    ranking = Ranking(store, args.gamma, plan, args.minutes)
    new = list({one.digest: one for one in handed_in if ranking.is_open(one, args.again)}.values())  # of copies one
    each, first = SECONDS[plan]
    least = -(-(each * len(new) + first * (ranking.key("random") not in ranking.known)) // 60)
    print(f"{len(handed_in)} submissions, {len(new)} of them to run, one by one: about {least} min, longer where some"
          f" hang ({args.minutes:g} min each, at most).", flush=True)  # fmt: skip
    ranking.course()
    for one in tqdm(new, desc="submissions", unit="submission", disable=None, leave=False):
        ranking.run(one, [args.folder, store.folder])
    board, isolated = ranking.board(handed_in), ranking.isolated(handed_in)
    options = [*([] if args.gamma == 6 else ["--gamma", f"{args.gamma:g}"]), *(["--quick"] if args.quick else [])]
    command = shlex.join(["python", "-m", "vtm_lesson", "leaderboard", plain(args.folder.name, 60), *options])
    about = {"command": command, "machine": environment(), "version": __version__, "isolated": isolated}
    record = json.dumps(about | board_page.record(board), indent=1) + "\n"
    store.write([board_page.page(board, command), record, board_page.table(board)])
    print(board_page.text(board))
    print(f"Taken from every submission's process: {', '.join(isolated) or 'nothing'}.")
    if HIDDEN not in isolated:
        print("Folders were not hidden: a submission could read what you can, the seed too. See docs/teachers.md.")
    print(f"{args.out}, and beside it {store.names[1].name} and {store.names[2].name}. {store.folder} holds the films'"
          " seed: keep it to yourself.")  # fmt: skip
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    about = (__doc__ or "").split("\n\n")[0]
    parser = argparse.ArgumentParser(prog="python -m vtm_lesson leaderboard", description=about, allow_abbrev=False)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="what was handed in")
    parser.add_argument("--out", type=Path, default=Path("leaderboard.html"), help="the page (leaderboard.html)")
    parser.add_argument("--gamma", type=float, default=6, help="one token in gamma is left (6)")
    parser.add_argument("--seed", type=int, help="of the films, to repeat a board that is closed: who works on this "
                        "machine can read it while the command runs (drawn, and kept beside the page)")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="fewer films: a look")
    parser.add_argument("--minutes", type=float, default=5, help="for a submission, at most (5)")
    parser.add_argument("--again", action="store_true", help="run those that failed once more")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
