"""timm's models as encoders: by name from the hub, or with weights from a local file or folder.

Preprocessing is the model's own: mean, deviation, size and interpolation come from its configuration in timm, or from
the config.json beside local weights. Only the share that timm cuts out of a frame (crop_pct) is not taken over: frames
arrive as squares here, and the whole square is what the model sees.
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..hosts import torchvision_repair  # noqa: F401  must come before timm
from .base import PretrainedEncoder

# isort: split
import timm
from timm.models import load_state_dict

SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")
PREFERRED = ("model.safetensors", "pytorch_model.bin", "model.pth")  # in a folder that has several
PREPROCESSING = ("mean", "std", "interpolation", "input_size", "crop_pct", "fixed_input_size")
HEADS = ("head", "head_dist", "classifier", "fc")  # a classifier's last layer, which an encoder does without


class TimmEncoder(PretrainedEncoder):
    """A timm model as an encoder: one token per patch, class and register tokens left out.

    Parameters
    ----------
    model : nn.Module
        Made by `timm.create_model(name, num_classes=0)`.
    name : str
        What it is called.
    size : int, optional
        Pixels of a side of its frames. Default: what its configuration says.

    Examples
    --------
    >>> import timm, torch
    >>> from vtm_lesson.encoders import TimmEncoder
    >>> encoder = TimmEncoder(timm.create_model("vit_tiny_patch16_224", num_classes=0), "vit_tiny_patch16_224")
    >>> encoder.size, encoder.patch, encoder.dim
    (224, 16, 192)
    >>> encoder.encode(torch.zeros(2, 96, 96, 3, dtype=torch.uint8)).shape
    torch.Size([2, 14, 14, 192])
    """

    model: Any  # timm's models share names of methods, but no class that has them

    def __init__(self, model: nn.Module, name: str, size: int | None = None):
        settings = timm.data.resolve_model_data_config(model)
        super().__init__(name, settings["mean"], settings["std"])
        height, width = settings["input_size"][1:]
        if size is None and height != width:
            raise ValueError(f"{name} takes frames of {height} x {width} pixels; an encoder's frames are square.")
        self.model = model
        self.dim, self.size = self.model.num_features, size or width
        self.patch = self.model.feature_info[-1]["reduction"]
        # Rare ones (timm's "random", "lanczos") have no counterpart in torch: bicubic is the nearest.
        self.interpolation = settings["interpolation"] if settings["interpolation"] == "bilinear" else "bicubic"

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) float32 from 0 to 1, of the model's own size -> tokens (B, h, w, C)."""
        y = self.model.forward_features((pixels - self.mean) / self.std)
        if y.dim() == 4:  # a pyramid; Swin has channels last, convolutional networks have them second
            return y if y.shape[-1] == self.dim else y.permute(0, 2, 3, 1)
        return self._on_grid(y, pixels)


def load(name: str, weights: Path | None = None, size: int | None = None) -> TimmEncoder:
    """Load a timm model; `load_encoder` says what the arguments are."""
    random, name = name.startswith("random:"), name.removeprefix("random:")
    if not timm.is_model(name):
        raise ValueError(
            f"{name!r} is no encoder: give 'patch', a name from timm.list_models(), or 'transformers:' and a name or"
            " a folder."
        )
    options = _size_options(name, size)
    if random and weights is not None:
        raise ValueError(f'"random:{name}" has random weights: leave out either "random:" or the weights {weights}.')
    if random:
        warnings.warn(f"{name} has random weights: good for timing, its tokens mean nothing.", stacklevel=3)
        # The same random weights every time, and nobody else's chance disturbed.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = timm.create_model(name, pretrained=False, num_classes=0, **options)
    elif weights is not None:
        model = _from_disk(name, weights, options)
    else:
        try:
            model = timm.create_model(name, pretrained=True, num_classes=0, **options)
        except Exception as error:
            raise RuntimeError(
                f"the weights of {name} could not be had ({type(error).__name__}). With internet they are downloaded"
                f' once; without, give a file of them as weights, or use load_encoder("patch"), or "random:{name}" for'
                " timing."
            ) from error
    return TimmEncoder(model, name, size)


def _size_options(name: str, size: int | None) -> dict[str, Any]:
    """What `create_model` is told of the size: networks whose weights do not depend on it need not be told."""
    if size is None:
        return {}
    if size < 1:
        raise ValueError(f"size is {size}; give pixels, at least 1.")
    known = timm.get_pretrained_cfg(name)
    return {"img_size": size} if known is not None and known.fixed_input_size else {}


# ----------------------------------------------------------------------------------------------- weights from the disk


def _from_disk(name: str, weights: Path, options: dict[str, Any]) -> nn.Module:
    file, config = _found(name, weights)
    try:
        state = load_state_dict(str(file), weights_only=True)
    except Exception as error:  # damaged, or a pickle of more than tensors: torch and safetensors raise many kinds
        raise RuntimeError(
            f"{file} cannot be read as weights ({type(error).__name__}): give a .safetensors file, or a .pth file that"
            " holds nothing but tensors."
        ) from error
    known = timm.get_pretrained_cfg(name)
    heads = {*HEADS, *_as_tuple(known.classifier if known is not None else None)}
    state = {key: value for key, value in state.items() if key.rpartition(".")[0] not in heads}
    # timm checks every key only where it has no classifier to leave out; so we leave it out before.
    overlay = {**config.get("pretrained_cfg", {}), "state_dict": state, "classifier": None}
    try:
        model: Any = timm.create_model(
            name, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay,
            **{**config.get("model_args", {}), **options},
        )  # fmt: skip
    except Exception as error:  # timm turns a file of another network over in many ways
        raise RuntimeError(f"{file} does not fit {name}: {_misfit(error)}") from error
    model.pretrained_cfg.pop("state_dict", None)  # timm would keep all weights a second time
    _check_patch(file, name, model, state)
    return model


def _found(name: str, weights: Path) -> tuple[Path, dict[str, Any]]:
    """The file with the weights, and what config.json beside it says of preprocessing."""
    if not weights.exists():
        raise RuntimeError(f"{weights} is not there: give a file of weights of {name}, or a folder with one.")
    if weights.is_file():
        if weights.suffix not in SUFFIXES:
            raise RuntimeError(f"{weights} is no file of weights: give one that ends in {', '.join(SUFFIXES)}.")
        return weights, {}
    files = sorted(file for file in weights.iterdir() if file.suffix in SUFFIXES)
    best = [file for wanted in PREFERRED for file in files if file.name == wanted]
    if not best and len(files) != 1:
        there = ", ".join(file.name for file in files[:3]) or "none"
        raise RuntimeError(f"{weights} should hold one file of weights ({', '.join(SUFFIXES)}); there: {there}.")
    return (best or files)[0], _config(name, weights / "config.json")


def _config(name: str, path: Path) -> dict[str, Any]:
    """timm's config.json: model_args, and of pretrained_cfg what concerns preprocessing."""
    if not path.exists():
        return {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        of = stored["architecture"]
    except (ValueError, KeyError, TypeError) as error:
        raise RuntimeError(f"{path} is no configuration of timm's: it should name an architecture.") from error
    if of != name.split(".")[0]:
        raise RuntimeError(f"{path} is of {of}, not of {name}: ask for {of}, or give other weights.")
    said = stored.get("pretrained_cfg", stored)
    own = {key: said[key] for key in PREPROCESSING if said.get(key) is not None}
    return {"pretrained_cfg": own, "model_args": stored.get("model_args") or {}}


def _as_tuple(names: Any) -> tuple[str, ...]:
    return () if names is None else (names,) if isinstance(names, str) else tuple(names)


def _misfit(error: Exception) -> str:
    """The first keys that do not fit, from torch's long message; or the first line of another one."""
    said = str(error)
    missing = re.search(r"Missing key\(s\) in state_dict: (.*?)\. *\n", said + "\n")
    extra = re.search(r"Unexpected key\(s\) in state_dict: (.*?)\. *\n", said + "\n")
    shapes = re.findall(r"size mismatch for (\S+): .*?Size\((.*?)\).*?Size\((.*?)\)", said)
    parts = [f"it lacks {_some(missing[1])}"] if missing else []
    parts += [f"it has {_some(extra[1])}, which the model has not"] if extra else []
    if shapes:
        key, there, wanted = shapes[0]
        more = f" (and {len(shapes) - 1} more)" if len(shapes) > 1 else ""
        parts.append(f"{key} has shape {there} in the file and {wanted} in the model{more}")
    return "; ".join(parts) + "." if parts else f"{type(error).__name__}: {said.splitlines()[0] if said else '?'}"


def _some(quoted: str) -> str:
    keys = re.findall(r'"([^"]+)"', quoted)
    return ", ".join(keys[:2]) + (f" and {len(keys) - 2} more" if len(keys) > 2 else "")


def _check_patch(file: Path, name: str, model: Any, state: dict[str, Any]) -> None:
    """timm resamples patches of another size without a word; here, that is another model."""
    stored = state.get("patch_embed.proj.weight")
    own = getattr(getattr(getattr(model, "patch_embed", None), "proj", None), "weight", None)
    if isinstance(stored, Tensor) and isinstance(own, Tensor) and stored.dim() == 4 and stored.shape != own.shape:
        raise RuntimeError(
            f"{file} does not fit {name}: its patches are {stored.shape[-1]} pixels, the model's {own.shape[-1]}."
        )
