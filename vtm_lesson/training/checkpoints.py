"""A training run on disk, in safetensors: no pickles, and never half a file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


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

        (None, None) where nothing is stored. ValueError where something else is.
        """
        if not self.state.exists():
            return None, None
        with safe_open(self.state, "pt") as file:
            meta = json.loads(file.metadata()["run"])
        changed = {k: (meta["what"].get(k), v) for k, v in self.what.items() if meta["what"].get(k) != v}
        if changed:
            told = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changed.items())
            raise ValueError(f"{self.folder} holds a run of another kind ({told}); give another folder or delete it.")
        tensors = load_file(self.state, device=str(device))
        weights = {k.removeprefix("model/"): v for k, v in tensors.items() if k.startswith("model/")}
        here, there = {k: v.shape for k, v in model.state_dict().items()}, {k: v.shape for k, v in weights.items()}
        if here != there:
            raise ValueError(f"{self.folder} holds the weights of another model; give another folder or delete it.")
        model.load_state_dict(weights)
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer/"):
                _, index, name = key.split("/")
                # AdamW keeps its step counts on the CPU.
                slots.setdefault(int(index), {})[name] = value.cpu() if name == "step" else value
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
        standing = meta["standing"]
        return standing, load_file(self.best) if standing["best"] is not None else None

    def save(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        standing: dict,
        best: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Best weights first: a run resumed from the older state would only write the same ones again."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if best is not None:
            write(self.best, best, {"what": json.dumps(self.what), "best": str(standing["best"])})
        tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
        for index, slot in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": value for name, value in slot.items()}
        write(self.state, tensors, {"run": json.dumps({"what": self.what, "standing": standing})})


def write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write to a file beside it, then rename: whoever is interrupted leaves the old file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    save_file({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, fresh, metadata)
    fresh.replace(path)
