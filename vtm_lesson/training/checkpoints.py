"""A training run on disk, in safetensors: no pickles, and never half a file."""

from __future__ import annotations

import glob
import json
import os
import re
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


class FileError(OSError, ValueError):
    """A file that cannot be read or written; the message names it, and says what to do.

    Examples
    --------
    >>> from pathlib import Path
    >>> from vtm_lesson.training.checkpoints import FileError, read
    >>> try:
    ...     read(Path("nowhere.safetensors"), "train it first")
    ... except FileError as error:
    ...     print(error)
    nowhere.safetensors is not there: train it first.
    """


class Store:
    """best.safetensors (weights) and state.safetensors (weights, optimiser, and where the run stands) in a folder.

    what: the settings of the run, small values that JSON can hold. A folder with other settings is refused.
    """

    def __init__(self, folder: Path, what: dict):
        self.folder, self.what = folder, what
        self.state, self.best = folder / "state.safetensors", folder / "best.safetensors"

    def load(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
    ) -> tuple[dict | None, dict[str, Tensor] | None]:
        """Put the stored weights and optimiser back; returns what was saved as `standing`, and the best weights.

        (None, None) where nothing is stored. ValueError where something else is, FileError where it is damaged.
        """
        for path in (self.state, self.best):
            sweep(path)
        if not self.state.exists():
            return None, None
        again = f"delete the folder {self.folder} to train again"
        tensors, meta = read(self.state, again, device)
        try:
            run = json.loads(meta["run"])
            what, standing = run["what"], run["standing"]
            changed = {k: (what.get(k), v) for k, v in self.what.items() if what.get(k) != v}
            has_best = standing["best"] is not None
        except (KeyError, ValueError, TypeError, AttributeError):
            raise FileError(
                f"{self.state} was not written by a training run: {again}, or give another folder."
            ) from None
        if changed:
            told = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changed.items())
            raise ValueError(f"{self.folder} holds a run of another kind ({told}); give another folder or delete it.")
        weights = {k.removeprefix("model/"): v for k, v in tensors.items() if k.startswith("model/")}
        best = read(self.best, again)[0] if has_best else None
        for found in (weights, best):
            if found is not None and _shapes(found) != _shapes(model.state_dict()):
                raise ValueError(f"{self.folder} holds the weights of another model; give another folder or delete it.")
        model.load_state_dict(weights)
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer/"):
                _, index, name = key.split("/")
                # AdamW keeps its step counts on the CPU.
                slots.setdefault(int(index), {})[name] = value.cpu() if name == "step" else value
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
        return standing, best

    def save(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        standing: dict,
        best: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Best weights first: a run resumed from the older state would only write the same ones again."""
        if best is not None:
            write(self.best, best, {"what": json.dumps(self.what), "best": str(standing["best"])})
        tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
        for index, slot in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": value for name, value in slot.items()}
        write(self.state, tensors, {"run": json.dumps({"what": self.what, "standing": standing})})


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in tensors.items()}


def read(path: Path, remedy: str, device: torch.device | str = "cpu") -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file, and its metadata; FileError where it is missing or damaged. remedy: what to do then."""
    try:
        with safe_open(path, "pt", device=str(device)) as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise FileError(f"{path} is not there: {remedy}.") from None
    except (OSError, SafetensorError) as error:
        raise FileError(f"{path} is damaged or cut short ({_reason(error)}): {remedy}.") from error


def write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors to a file; whoever is interrupted leaves the old one whole."""
    values = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with beside(path) as fresh:
        ordinary = stat.S_IMODE(fresh.stat().st_mode)
        save_file(values, fresh, metadata)
        fresh.chmod(ordinary)  # safetensors keeps its files from everybody else


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A new, empty file beside `path` to write to; at the end it takes that name. FileError where that fails.

    What processes left that were killed as they wrote is removed first.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path)
        fresh = path.with_name(f"{path.name}.{_here()}-{os.getpid()}.new")
        fresh.touch()
        try:
            yield fresh
            fresh.replace(path)
        except BaseException:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise
    except (OSError, SafetensorError) as error:
        raise FileError(
            f"{path} cannot be written ({_reason(error)}); what was there before still is: mend that, or give another"
            " folder, and start again."
        ) from error


def sweep(path: Path) -> None:
    """Remove what was being written beside `path` by processes of this machine that are gone."""
    name = re.compile(rf"{re.escape(path.name)}\.(?:{re.escape(_here())}-)?(\d+)\.new")
    for other in path.parent.glob(f"{glob.escape(path.name)}.*.new"):
        found = name.fullmatch(other.name)
        with suppress(OSError):
            if found and not _writes(int(found[1]), other.stat().st_mtime):
                other.unlink()


def _writes(process: int, then: float) -> bool:
    """Whether that process lives, and did so then; the numbers of processes are given again."""
    try:
        return psutil.Process(process).create_time() <= then + 60
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # not ours to look at: it lives
        return True


def _here() -> str:
    """This machine's name, as others may write to the same disk."""
    return re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname())


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
