"""Frozen encoders by name: frames to tokens. The project's own, timm's, and those of Hugging Face's Transformers.

    encoder = load_encoder("patch")
    tokens = encoder.encode(film.frames)        # (L, H, W, 3) uint8 -> (L, h, w, C) float32

The paper's encoders are large and trained on ImageNet or Kinetics; load them by name where the internet is there, or
from a file. The course needs neither: `PatchEncoder` is small, and its weights are in the repository.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from . import patch
from .base import FrameEncoder

TRANSFORMERS = "transformers:"


def load_encoder(
    name: str = "patch",
    device: str | torch.device = "cpu",
    *,
    weights: str | Path | None = None,
    size: int | None = None,
) -> FrameEncoder:
    """Load a frozen encoder, frames to tokens: in eval mode, and no parameter of it requires a gradient.

    Parameters
    ----------
    name : str, optional
        "patch", the project's own; or a timm model by its name, downloaded if need be; or "transformers:" and the
        name or the folder of an image model of Hugging Face's Transformers, which has to be installed.
        "random:vit_tiny_patch16_224" is that timm model with random weights: fine for timing, and warned about.
    device : str or torch.device, optional
        Where it computes. Its tokens come back to the CPU.
    weights : str or Path, optional
        Weights on the disk, so that no internet is needed: a file (.safetensors, .bin, .pth), or a folder with one.
        Half precision becomes float32. A config.json of timm's in the folder says what preprocessing belongs to them.
    size : int, optional
        Pixels of a side of the frames that the model sees. Position embeddings are resampled to it. Default: what
        the model was made for.

    Returns
    -------
    FrameEncoder
        A PatchEncoder, TimmEncoder or TransformersEncoder. `encode` turns frames into tokens, `dim` is their number
        of channels, `patch` their side in pixels, `size` that of a frame (None where any will do).

    Raises
    ------
    ValueError
        For a name that does not exist, and for a size that the model cannot have.
    RuntimeError
        If weights cannot be had, or do not fit the model: the first keys that do not are named. Offline, the download
        is tried for up to a minute first; set HF_HUB_OFFLINE=1 to be told at once.
    ImportError
        If Transformers is asked for and not installed.

    Notes
    -----
    Names of timm and Transformers come from the Hugging Face hub. What was downloaded once lies in the folder that the
    environment's HF_HOME names, and is found there without internet. A .bin or .pth file is opened with torch's
    weights_only: it can hold tensors, and no program.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> clip = vtm.read_video(vtm.films.sample("centred"), frames=4, size=64)
    >>> encoder = vtm.load_encoder("patch")
    >>> encoder.encode(clip.frames).shape, encoder.patch
    (torch.Size([4, 8, 8, 48]), 8)
    """
    path = None if weights is None else Path(weights).expanduser()
    encoder: FrameEncoder
    if name == "patch":
        if size is not None:
            raise ValueError('"patch" takes frames of any size that divides by 8: leave size out.')
        encoder = patch.load(path)
    elif name.startswith(TRANSFORMERS):
        from . import transformers_models

        encoder = transformers_models.load(name.removeprefix(TRANSFORMERS), path, size)
    else:
        from . import timm_models

        encoder = timm_models.load(name, path, size)
    if encoder.size is not None and encoder.size % encoder.patch:
        below = encoder.size // encoder.patch * encoder.patch
        choice = f"{below} or {below + encoder.patch}" if below else f"{encoder.patch}"
        raise ValueError(f"size is {encoder.size}; {name} has patches of {encoder.patch} pixels: give {choice}.")
    encoder.name = name
    for parameter in encoder.parameters():
        parameter.requires_grad_(False)
    return encoder.eval().to(device)


def add_options(parser: argparse.ArgumentParser, default: str = "patch") -> None:
    """Add the three options of every command that encodes films: --encoder, --weights, --encoder-size.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Gets the options.
    default : str, optional
        The encoder that is taken when none is asked for.

    Examples
    --------
    >>> import argparse
    >>> from vtm_lesson.encoders import add_options, from_options
    >>> parser = argparse.ArgumentParser()
    >>> add_options(parser)
    >>> from_options(parser.parse_args([])).name
    'patch'
    """
    group = parser.add_argument_group("encoder")
    group.add_argument(
        "--encoder", default=default, metavar="NAME",
        help=f"'patch', a name of timm's, or 'transformers:' and a name or folder (default: {default})",
    )  # fmt: skip
    group.add_argument("--weights", type=Path, metavar="PATH", help="its weights on the disk: a file, or a folder")
    group.add_argument(
        "--encoder-size", type=int, metavar="PIXELS",
        help="side of the frames that it sees (default: what it was made for)",
    )  # fmt: skip


def from_options(options: argparse.Namespace, device: str | torch.device = "cpu") -> FrameEncoder:
    """Load the encoder that the options of `add_options` ask for.

    Parameters
    ----------
    options : argparse.Namespace
        With `encoder`, `weights` and `encoder_size`.
    device : str or torch.device, optional
        Where it computes.

    Returns
    -------
    FrameEncoder
        As `load_encoder`, which says what is raised, too.

    Examples
    --------
    >>> import argparse
    >>> from vtm_lesson.encoders import from_options
    >>> from_options(argparse.Namespace(encoder="patch", weights=None, encoder_size=None)).dim
    48
    """
    return load_encoder(options.encoder, device, weights=options.weights, size=options.encoder_size)
