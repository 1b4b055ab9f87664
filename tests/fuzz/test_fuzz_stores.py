"""What is kept on disk: runs that are killed, crowded, cut off and damaged end as one that nothing happened to.

Or they are refused, by an error of the package's own that names the file. Four runs keep what they have: "training"
(checkpoints), "features" (shards and their index), "toy" (the cache of toy films) and "study" (lines of results).
"""

import contextlib
import ctypes
import functools
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzzing import SEEDS, fuzz
from hypothesis import strategies as st
from test_fuzz_films import bars, film_of
from torch import nn

from vtm_lesson.datasets import extraction, toy
from vtm_lesson.study.kept import Kept
from vtm_lesson.training.loop import Items, Recipe, fit

FORKED = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)
# What children need is imported once; these tests' own folder is not looked in for that.
FORKED.set_forkserver_preload(
    ["hypothesis.strategies", "pytest", "vtm_lesson.datasets.extraction", "vtm_lesson.datasets.toy"]
)


# ---------------------------------------------------------------------------------------------------------- the runs


def training(folder, lr=0.05):
    """Three epochs, saved every other step: the weights."""
    chance = torch.Generator().manual_seed(3)
    data = Items(tokens=torch.randn(20, 6, generator=chance), label=torch.randint(3, (20,), generator=chance))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.2), nn.Linear(8, 3))
    recipe = Recipe(epochs=3, warmup=1, lr=lr, batch=4, save_every=2)
    fit(model, data[:16], data[16:], recipe, folder=folder, device="cpu", forward=forward, progress=False)
    return b"".join(value.numpy().tobytes() for value in model.state_dict().values())


def forward(model, batch):
    return model(batch["tokens"])


class Means(nn.Module):
    """An encoder: the mean colour of each patch of 8."""

    def encode(self, frames):
        length, height, width, _ = frames.shape
        return torch.as_tensor(frames).reshape(length, height // 8, 8, width // 8, 8, 3).float().mean((2, 4)) / 255


@functools.cache
def some_films():
    frames = [np.stack([bars(16 * i + k, 32, 32) for k in range(6)]) for i in range(4)]
    return [film_of(film, "mp4", [5, 1], None, 6, 0) for film in frames]


def films_beside(folder):
    """Four films in two classes, beside that folder."""
    films = folder.parent / "films"
    if not films.exists():
        for i, data in enumerate(some_films()):
            path = films / "ab"[i % 2] / f"{i}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return films


def features(folder, frames=4):
    """A shard for each film: all tensors."""
    how = extraction.Settings(frames=frames, size=32, patch=8)
    quiet = {"workers": 1, "shard": 1, "progress": False, "say": lambda line: None}
    made = extraction.features(films_beside(folder), folder, Means(), how, **quiet)
    tensors = [made.tensors(film) for film in made.ids]
    return b"".join(own[name].numpy().tobytes() for own in tensors for name in sorted(own))


def toys(folder, seed=5):
    """Two parts of one film each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy, "PART", 1)
        items = toy.toy_films(2, seed, frames=2, size=32, folder=folder, progress=False)
    return b"".join(items.columns[name].numpy().tobytes() for name in sorted(items.columns))


def study(folder, lines=12):
    """A line for each result that is not there yet."""
    kept = Kept(folder / "results.jsonl", {"lines": lines})
    for seed in range(lines):
        if seed not in {record.get("seed") for record in kept.read()}:
            kept.add({"seed": seed, "value": seed**2 / 7, "words": "a" * seed})
    found = {record["seed"]: record["value"] for record in kept.read()}
    return repr(sorted(found.items())).encode()


RUNS = {"training": training, "features": features, "toy": toys, "study": study}
OTHERS = {"training": {"lr": 0.1}, "features": {"frames": 3}, "toy": {"seed": 6}, "study": {"lines": 3}}


@functools.cache
def undisturbed(run):
    with tempfile.TemporaryDirectory() as home:
        return RUNS[run](Path(home) / "run")


@functools.cache
def seconds(run):
    """How long it takes, about."""
    undisturbed(run)
    with tempfile.TemporaryDirectory() as home:
        start = time.monotonic()
        RUNS[run](Path(home) / "run")
        return time.monotonic() - start


def ends_well(run, folder):
    """Run it: whether it came to its end, where it has to give what nothing happened to; else by its own error."""
    try:
        result = RUNS[run](folder)
    except (ValueError, OSError) as error:  # FileError, StoreError and their kind are ValueErrors
        assert str(folder) in str(error), f"an error that names no file: {error!r:.300}"
        assert isinstance(error, ValueError), f"not an error of its own: {error!r:.300}"
        return False
    assert result == undisturbed(run), "it ended, and with other results"
    return True


def leftovers(folder):
    return [path.name for path in folder.rglob("*.new*")]


# ----------------------------------------------------------------------------------------------------------- children


def child(run, folder, told, how, number):
    """Run it in this process, and note how it ended. how: what the disk is like."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.alarm(100)
    told.with_name("began").touch()
    if how == "limit":  # no file may become longer
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (number, resource.RLIM_INFINITY))
    if how in ("full", "read-only") and not own_disk(folder, number):
        told.write_text("no disk")
        return
    if how == "read-only":
        RUNS[run](folder) if number % 2 else None
        remount(folder, "ro")
    words = note(run, folder)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if how in ("full", "read-only"):  # room again; nobody else sees this disk
        remount(folder, "rw,size=64m")
        words += "; then " + note(run, folder)
        words += f", leaving {leftovers(folder)}" if leftovers(folder) else ""
    told.write_text(words)


def note(run, folder):
    try:
        return "well" if ends_well(run, folder) else "refused"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


def own_disk(folder, size):
    """Put a small disk in place of the folder, for this process alone: whether that is allowed."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x20000):  # CLONE_NEWNS
        return False
    quiet = {"capture_output": True, "check": False}
    if subprocess.run(["mount", "--make-rprivate", "/"], **quiet).returncode:
        return False
    return not subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], **quiet).returncode


def remount(folder, how):
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], capture_output=True, check=True)


def started(run, folder, told, how="", number=0):
    process = FORKED.Process(target=child, args=(run, folder, told, how, number))
    process.start()
    return process


# -------------------------------------------------------------------------------------------------------------- checks

DAMAGE = {
    "training": ["cut", "empty", "words", "gone", "folder", "head"],
    "features": ["cut", "empty", "words", "gone", "folder", "head"],
    "toy": ["cut", "empty", "words", "gone", "folder", "head"],
    "study": ["cut", "line"],
}
PAIRS = [[run, kind] for run, kinds in DAMAGE.items() for kind in kinds]


@fuzz(cases=16, pair=st.sampled_from(PAIRS), which=st.floats(0, 1), place=st.floats(0, 1), seed=SEEDS)
def test_damaged(pair, which, place, seed):
    """A file cut off, emptied, replaced, gone, or with other bytes where it says what is in it."""
    run, kind = pair
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "run"
        assert ends_well(run, folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        path = files[min(int(which * len(files)), len(files) - 1)]
        data = path.read_bytes()
        at = int(place * len(data))
        if kind in ("gone", "folder"):
            path.unlink()
            path.mkdir() if kind == "folder" else None
        elif kind == "line":  # among others that are whole
            lines = data.splitlines(keepends=True)
            place = 1 + int(place * (len(lines) - 1))
            path.write_bytes(b"".join([*lines[:place], b'{"seed": 1, "va\xff\xfe\n', *lines[place:]]))
        elif kind == "head":
            turned = bytearray(data)
            turned[at % min(len(data), 60)] ^= 1 << seed % 8
            path.write_bytes(turned)
        else:
            path.write_bytes({"cut": data[:at], "empty": b"", "words": b"no such thing\n" * 9}[kind])
        try:
            told = ends_well(run, folder)
        except AssertionError:
            # Reading a shard computes no digest of it: `verify` does.
            if pair != ["features", "head"] or not any(path.name in line for line in extraction.verify(folder)):
                raise
            return
        assert ends_well(run, folder) == told, "another end the second time"
        if not told:
            shutil.rmtree(folder)
            assert ends_well(run, folder)


@fuzz(cases=4, run=st.sampled_from(list(RUNS)))
def test_of_another_kind(run):
    """Other settings in the same folder: refused, with the folder's name, or kept apart; what is there stays."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "run"
        assert ends_well(run, folder)
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        with contextlib.suppress(ValueError):
            RUNS[run](folder, **OTHERS[run])
            assert run == "toy", "settings of another run were taken for its own"
        assert all(path.read_bytes() == data for path, data in before.items()), "what was there has changed"
        assert ends_well(run, folder)


@fuzz(cases=4, run=st.sampled_from(list(RUNS)), delays=st.lists(st.floats(0, 1), min_size=1, max_size=3))
def test_killed(run, delays):
    """Killed at some moment, several times; then it goes on to the same end, and leaves nothing half done."""
    with tempfile.TemporaryDirectory() as home:
        folder, told = Path(home) / "run", Path(home) / "told"
        films_beside(folder)
        for delay in delays:
            began = told.with_name("began")
            began.unlink(missing_ok=True)
            process = started(run, folder, told)
            while not began.exists() and process.is_alive():
                time.sleep(0.001)
            time.sleep(delay * seconds(run))
            process.kill()
            process.join()
        assert ends_well(run, folder), "refused, and nothing but a kill happened"
        assert not leftovers(folder), f"left behind: {leftovers(folder)}"


@fuzz(cases=2, run=st.sampled_from(list(RUNS)), delay=st.floats(0, 0.1))
def test_two_at_once(run, delay):
    """Two processes that do the same in one folder."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "run"
        told = [Path(home) / name for name in "ab"]
        films_beside(folder)
        processes = []
        for file in told:
            processes.append(started(run, folder, file))
            time.sleep(delay)
        for process in processes:
            process.join()
        ends = [file.read_text() if file.exists() else "no end" for file in told]
        assert all(end in ("well", "refused") for end in ends), f"two at once: {ends}"
        assert ends_well(run, folder), "spoiled by two at once"
        assert not leftovers(folder), f"left behind: {leftovers(folder)}"


@fuzz(
    cases=3,
    run=st.sampled_from(list(RUNS)),
    how=st.sampled_from(["limit", "full", "full", "read-only"]),
    size=st.integers(0, 40_000),
)
def test_a_disk_that_takes_no_more(run, how, size):
    """A full disk, a limit to files, a disk that cannot be written: its own error; and with room again the same end."""
    with tempfile.TemporaryDirectory() as home:
        folder, told = Path(home) / "run", Path(home) / "told"
        folder.mkdir()
        films_beside(folder)
        number = {"full": 4096 * (1 + size // 4096), "limit": size}.get(how, 4_000_000 + size)
        process = started(run, folder, told, how, number)
        process.join()
        words = told.read_text() if told.exists() else "no end"
        if how == "limit":
            assert words in ("well", "refused"), words
            assert ends_well(run, folder), "the next run does not go on"
        else:
            assert words in ("no disk", "well; then well", "refused; then well"), words
        assert not leftovers(folder), f"left behind: {leftovers(folder)}"
