"""A run on disk: what is damaged is named, nobody is kept out, and nothing is left lying about."""

import errno
import os
import shutil
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vtm_lesson.training import Items, Recipe, checkpoints, fit
from vtm_lesson.training.checkpoints import FileError, read, sweep, write


class Mean(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.head = nn.Linear(4, classes)

    def forward(self, tokens):
        return self.head(tokens.mean((1, 2, 3)))


def trained(folder, epochs=2, classes=3):
    chance = torch.Generator().manual_seed(0)
    data = Items(tokens=torch.randn(24, 2, 2, 2, 4, generator=chance), label=torch.arange(24) % 3)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = Mean(classes)
    recipe = Recipe(epochs=epochs, batch=8, warmup=0.5)
    run = fit(model, data[:16], data[16:], recipe, folder=folder, progress=False)
    return run, {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    trained(folder)
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copy")


@pytest.mark.parametrize("name", ["state", "best"])
@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_a_file_that_was_cut_is_named(copy, name, size):
    path = copy / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(FileError, match=rf"{path} is damaged or cut short \(.*\): delete the folder {copy} to train"):
        trained(copy)
    shutil.rmtree(copy)
    trained(copy)  # as it says


@pytest.mark.parametrize(
    "metadata", [None, {}, {"run": "{}"}, {"run": "no JSON"}, {"run": "[]"}, {"run": '{"what": 3}'}]
)
def test_a_file_of_something_else_is_named(copy, metadata):
    save_file({"a": torch.ones(2)}, copy / "state.safetensors", metadata)
    with pytest.raises(FileError, match=rf"{copy}/state.safetensors was not written by a training run: delete"):
        trained(copy)


def test_what_belongs_to_the_best_epoch_is_missing_or_anothers(copy):
    (copy / "best.safetensors").unlink()
    with pytest.raises(FileError, match=r"best\.safetensors is not there: delete the folder"):
        trained(copy)
    save_file({"a": torch.ones(2)}, copy / "best.safetensors")
    with pytest.raises(ValueError, match="weights of another model"):
        trained(copy)
    with pytest.raises(ValueError, match="weights of another model"):
        trained(copy, classes=4)


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=rf"{tmp_path}/file/.* cannot be written \(.*\)"):
        trained(tmp_path / "file")


@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_file_that_cannot_be_finished_leaves_the_old_one_and_nothing_else(finished, copy, monkeypatch, stop):
    def full(tensors, path, metadata):
        path.write_bytes(b"half of it")
        raise stop

    before = (copy / "state.safetensors").read_bytes()
    monkeypatch.setattr(checkpoints, "save_file", full)
    words = r"state\.safetensors cannot be written \(No space left on device\)" if isinstance(stop, OSError) else ""
    with pytest.raises(FileError if words else KeyboardInterrupt, match=words or None):
        write(copy / "state.safetensors", {"a": torch.ones(2)}, {})
    assert (copy / "state.safetensors").read_bytes() == before
    assert {path.name for path in copy.iterdir()} == {path.name for path in finished.iterdir()}


FULL = """
import resource, sys, torch
from pathlib import Path
from vtm_lesson.training.checkpoints import write
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    write(Path(sys.argv[1]), {"a": torch.zeros(1_000_000)}, {})
except OSError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_a_disk_that_is_full_is_told(copy):
    path = copy / "best.safetensors"
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True)
    assert done.stdout.startswith(f"FileError {path} cannot be written ("), done
    assert path.read_bytes() == before and len(list(copy.iterdir())) == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_have_the_permissions_that_others_have(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write(tmp_path / "weights.safetensors", {"a": torch.ones(2)}, {"x": "y"})
    finally:
        os.umask(before)
    assert (tmp_path / "weights.safetensors").stat().st_mode & 0o777 == mode
    assert read(tmp_path / "weights.safetensors", "")[1] == {"x": "y"}


KILLED = """
import os, signal, sys, torch
from pathlib import Path
from vtm_lesson.training import checkpoints
def killed(tensors, path, metadata):
    path.write_bytes(b"half of it")
    print(path.name, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
checkpoints.save_file = killed
checkpoints.write(Path(sys.argv[1]), {"a": torch.ones(2)}, {})
"""


@pytest.mark.skipif(os.name == "nt", reason="kills as Unix does")
@pytest.mark.parametrize("then", ["write", "train"])
def test_what_a_killed_writer_left_goes_with_the_next_one(copy, then):
    path = copy / "state.safetensors"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True, text=True)
    assert (copy / done.stdout.strip()).exists(), done
    if then == "write":
        write(path, {"a": torch.ones(2)}, {})
    else:
        trained(copy)
    assert sorted(file.name for file in copy.iterdir()) == ["best.safetensors", "state.safetensors"]


def test_only_what_dead_writers_of_this_machine_left_is_removed(tmp_path):
    path = tmp_path / "state.safetensors"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    alive, here = os.getppid(), checkpoints._here()
    kept = [f"{path.name}.elsewhere-{dead.pid}.new", f"{path.name}.{here}-{alive}.new", f"other.{dead.pid}.new",
            f"{path.name}.mine.new", f"{path.name}.{dead.pid}.newer"]  # fmt: skip
    gone = [f"{path.name}.{dead.pid}.new", f"{path.name}.{here}-{dead.pid}.new"]
    for name in (*kept, *gone):
        (tmp_path / name).write_text("half")
    again = tmp_path / f"{path.name}.{alive}.new"  # by a process that had this number before
    again.write_text("half")
    os.utime(again, (time.time() - 10**8,) * 2)
    sweep(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(kept)
