"""A submission to a class's leaderboard, run where it sees tokens only; `board_command` ranks what comes of it.

A submission defines `entry`, what `study.leaderboard.board` takes: a partition or a reducer, a function of the Context
or of some of its fields (or the name of one of `vtm.reducers()`). Beside it there may be `score`: tokens (B, n, C) ->
saliency (B, n), which `entry` then finds in the Context. Where there is no `entry`, lesson 13's `own_partition` counts.

It runs in a process of its own (`jail`), and is given tokens, motion and the course's saliency: no labels, no
actor, no seed. It gives back numbers: for each token the position of the token that it joins, its own where it stays;
which tokens are dropped; what each counts in the average of its group. Averages, labels and the reader are outside, so
what happens in there costs that submission its row, and no more.

    python -m vtm_lesson.teaching.classroom.board_entry FILE      # what `run` starts, in the jail
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load, load_file, save, save_file
from torch import Tensor

from ...merging.merge import Merge
from ...merging.strategies import Context, Saliency
from ...paths import PACKAGE
from ...study.jobs import ACTOR
from ...study.leaderboard import Around, Entry, Films, plug
from ...study.own import OwnError
from ...study.probe import retain
from ...training.loop import Items
from ..comparing import STOPS
from ..judging import answers_in
from ..work import UNSOLVED
from .jail import Jail, temporary

LESSON = "13_your_own_strategy"
FILMS = "films.safetensors"  # what a submission is given, beside the folder that it runs in
LARGEST = 64 << 20  # bytes: of a submission, of its answer, and of any file that it writes
MEMORY = 8 << 30  # bytes of address space; Python with torch takes three of them
PROCESSES = 256


class Submission(NamedTuple):
    """What was handed in: whose, its files by their names, which of them is run; fault: why it cannot be."""

    name: str
    main: str
    files: Mapping[str, bytes]
    fault: str = ""

    @property
    def digest(self) -> str:
        """Of all its files and of their names."""
        found = hashlib.sha256(self.main.encode())
        for name, data in sorted(self.files.items()):
            found.update(hashlib.sha256(os.fsencode(name)).digest() + hashlib.sha256(data).digest())
        return found.hexdigest()


class Answer(NamedTuple):
    """What a submission said: its groups, or why there are none; what was taken from its process; how long it ran."""

    groups: Groups | None
    why: str
    slow: bool
    isolated: list[str]
    seconds: float


def plain(text: object, most: int = 300) -> str:
    """Somebody else's text for a page, a table or a terminal: one line of printable characters, not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= most else line[: most - 1] + "…"


# --------------------------------------------------------------------------------------------- outside: what came back


@dataclass
class Groups:
    """What a submission said about every film, checked: a reducer that repeats it, film by film, from the first.

    into: (films, n) int64, the position of the token that each token joins. dropped, weight, norm: as in `Merge`.
    """

    into: Tensor
    dropped: Tensor | None = None
    weight: Tensor | None = None
    norm: bool = False
    _next: int = 0

    ragged = True

    @property
    def left(self) -> Tensor:
        """(films,): how many tokens are left of each."""
        return (self.into == torch.arange(self.into.shape[1])).sum(1)

    def __call__(self, context: Context) -> Merge:
        rows = slice(self._next, self._next + len(context.keys))
        self._next = rows.stop
        dropped, weight = (None if part is None else part[rows] for part in (self.dropped, self.weight))
        return Merge.of(self.into[rows], dropped, weight=weight, norm=self.norm)


def groups_in(data: bytes, films: int, tokens: int) -> Groups:
    """The groups in what a submission's process wrote; ValueError for anything else.

    Every group has an average: a token that is not dropped, and weights of a finite sum. Else fewer tokens than the
    budget would speak, and this reader likes few of the right ones.
    """
    try:
        found = load(data)
    except Exception:
        raise ValueError("it gave no result that can be read.") from None
    if "problem" in found and found["problem"].dtype == torch.uint8:
        raise ValueError(bytes(found["problem"].flatten()[:2000].tolist()).decode("utf-8", "replace"))
    into, dropped, weight = found.get("into"), found.get("dropped"), found.get("weight")
    kinds = ((into, torch.int32), (dropped, torch.bool), (weight, torch.float32))
    if into is None or any(t is not None and (t.shape != (films, tokens) or t.dtype != kind) for t, kind in kinds):
        raise ValueError("it gave something else than the groups of all films.")
    if weight is not None and not bool((weight >= 0).all() & weight.sum(1).isfinite().all()):
        raise ValueError("it gave weights that are negative, or whose sum is not finite.")
    groups = Groups(into.long(), dropped, weight, bool(found["norm"].any()) if "norm" in found else False)
    Merge.of(groups.into)  # ValueError, in words, for what are no groups
    if dropped is not None:
        held = torch.zeros_like(groups.into).scatter_add(1, groups.into, (~dropped).long())
        if bool((held.gather(1, groups.into) == 0).any()):
            raise ValueError("a token that is left holds nothing: all tokens of its group are dropped.")
    return groups


def given(films: Films, gamma: float) -> dict[str, Tensor]:
    """What a submission's process is given."""
    names = ("tokens", "motion", "vectors")
    tensors = {name: torch.cat([films.fit.columns[name], films.test.columns[name]]).float() for name in names}
    sizes = torch.tensor([len(part) for part in films.parts])
    learned = {"U": films.saliency.U, "b": films.saliency.b}
    return tensors | learned | {"parts": sizes, "gamma": torch.tensor(gamma, dtype=torch.float64)}


def run(submission: Submission, tensors: Mapping[str, Tensor], seconds: float, hidden: Sequence[Path]) -> Answer:
    """Run a submission in a jail, and read what it says.

    Parameters
    ----------
    submission : Submission
        Its `fault` is empty.
    tensors : mapping
        As `given` makes them.
    seconds : float
        After which it is ended.
    hidden : sequence of Path
        Folders that it must not see, where the system can hide them: submissions, seed.
    """
    start = time.monotonic()
    packages = [Path(sys.prefix), Path(sys.base_prefix), PACKAGE.parent]
    cpu = int(seconds * (os.cpu_count() or 1)) + 1
    with tempfile.TemporaryDirectory() as noted, tempfile.TemporaryFile() as out:
        jail = Jail(Path(noted), packages, MEMORY, LARGEST, cpu, PROCESSES)
        report = Path(noted, "isolated.json")
        report.touch()
        concealed = [*(str(path.resolve()) for path in hidden), *temporary()]
        jail.wish |= {"hidden": concealed, "report": str(report)}  # noted where the submission cannot change it
        try:
            work = jail.folder / "work"
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, jail.folder / FILMS)
            for name, data in submission.files.items():
                (work / name).parent.mkdir(parents=True, exist_ok=True)
                (work / name).write_bytes(data)
            code, slow = _wait(jail, submission.main, out, seconds)
            out.seek(0)
            data = out.read(2 * LARGEST)
            isolated = _words(report)
        finally:
            jail.close()
    films, tokens = len(tensors["tokens"]), tensors["tokens"][0, ..., 0].numel()
    groups, why = None, _ended(code, slow, seconds)
    if not why:
        try:
            groups = groups_in(data, films, tokens)
        except ValueError as error:
            why = plain(error)
    return Answer(groups, why, slow, isolated, time.monotonic() - start)


def _wait(jail: Jail, main: str, out: Any, seconds: float) -> tuple[int, bool]:
    """Start the process and wait for it: its exit code, and whether the clock ended it."""
    more = {"PYTHONPATH": str(PACKAGE.parent), "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "MPLBACKEND": "agg"}
    more["OMP_NUM_THREADS"] = "1"  # a second one gains little, and waits loudly where the processor is busy
    process = subprocess.Popen(
        jail.command([sys.executable, "-P", "-B", "-m", "vtm_lesson.teaching.classroom.board_entry", main]),
        cwd=jail.folder / "work", env=jail.environment(**more), start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        code = process.wait(seconds)
        return code, code == -signal.SIGXCPU
    except subprocess.TimeoutExpired:
        return 0, True
    finally:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _ended(code: int, slow: bool, seconds: float) -> str:
    """Why there is no answer, as far as the end of the process says."""
    if slow:
        return f"it took longer than {seconds / 60:g} minutes."
    if code == -signal.SIGXFSZ:
        return f"it wrote more than {LARGEST >> 20} MB into a file."
    if code < 0:
        return f"its process was ended by {signal.Signals(-code).name}: too much memory, perhaps."
    return f"it ended Python (exit code {code})." if code else ""


def _words(report: Path) -> list[str]:
    try:
        return [plain(word) for word in json.loads(report.read_text())]
    except (OSError, ValueError, TypeError):
        return []


# ------------------------------------------------------------------------------------------------- inside, in the jail


@dataclass(frozen=True)
class Noting(Around):
    """A reducer that notes what another one says."""

    merges: list[Merge] = field(default_factory=list)

    def __call__(self, context: Context) -> Merge:
        self.merges.append(self.reducer(context))
        return self.merges[-1]

    def tensors(self) -> dict[str, Tensor]:
        """What was noted, as `groups_in` reads it."""
        found = {"into": torch.cat([merge.into for merge in self.merges]).int()}
        if any(merge.dropped is not None for merge in self.merges):
            no = [torch.zeros_like(m.group, dtype=torch.bool) if m.dropped is None else m.dropped for m in self.merges]
            found["dropped"] = torch.cat(no)
        if any(merge.weight is not None for merge in self.merges):
            ones = [torch.ones(m.group.shape) if m.weight is None else m.weight.float() for m in self.merges]
            found["weight"] = torch.cat(ones)
        return found | {"norm": torch.tensor([merge.norm for merge in self.merges])}


def entry_in(path: Path) -> tuple[str, Entry]:
    """What a submission's file enters, and under which name it stands there; OwnError where it enters nothing."""
    names, note = answers_in(path)
    if note and path.suffix == ".py":  # of a notebook the other exercises may be wrong
        raise OwnError(f"{note}.")
    for name in ("entry", "own_partition"):
        if name in names:
            score = names.get("score") if name == "entry" else None
            return name, names[name] if score is None else (names[name], score)
    raise OwnError(f"{note}." if note else "it defines neither entry nor own_partition.")


def answer(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Try a submission out, and then run it on all films; OwnError, in a sentence, where it does not do."""
    name, entry = entry_in(path)
    plugged = plug(name, entry)
    shown = {key: tensors[key] for key in ("tokens", "motion", "vectors")}
    films = Items(**shown, oracle=0 * tensors["motion"], label=torch.zeros(len(tensors["motion"]), dtype=torch.int64))
    noting = Noting(plugged["reducer"])
    saliency = plugged.get("saliency", Saliency(tensors["U"], tensors["b"]))
    settings = {"gamma": float(tensors["gamma"]), "rounds": 1, "actor": ACTOR, "saliency": saliency}
    first = 0
    for number, size in enumerate(tensors["parts"].tolist()):
        try:
            retain(films[first : first + size], seed=number, reducer=noting, **settings)
        except OwnError:
            raise
        except ValueError as error:
            raise OwnError(f"{name}, on the board's films: {error}") from None
        first += size
    return noting.tensors()


def main() -> None:
    """Answer on standard output, which belongs to nobody else from then on."""
    out = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    sys.path.append(str(Path.cwd()))  # last: no file of a submission stands in for a library's
    try:
        said = answer(Path(sys.argv[1]), load_file(Path.cwd().parent / FILMS))
    except OwnError as error:
        said = _problem(str(error))
    except (*STOPS, KeyboardInterrupt) as error:
        memory = isinstance(error, MemoryError) or "allocate memory" in str(error)
        words = f"more memory than the {MEMORY >> 30} GB that it has" if memory else f"{type(error).__name__}: {error}"
        said = _problem(f"it asks for {words}" if memory else f"it stops with {words}")
    out.write(save(said))
    out.flush()
    os._exit(0)  # whatever threads and ends it has prepared


def _problem(words: str) -> dict[str, Tensor]:
    words = "the exercise is not solved yet" if UNSOLVED in words else words[:2000].rstrip(".")
    return {"problem": torch.tensor(list(f"{words}.".encode("utf-8", "replace")), dtype=torch.uint8)}


if __name__ == "__main__":
    main()
