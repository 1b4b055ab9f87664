"""Windows of films as items to train and test on, and one prediction a film.

apart = parts(films, store, seed=0)                  # train, valid, test: the list's, or made
windows = Windows(apart["train"], ("tokens",))       # a Dataset: every window, with its film's label
by_film(evaluate(network, held(windows)), windows.film)    # the mean output of a film's windows, and its label
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import torch
from safetensors import safe_open
from torch import Tensor
from torch.utils.data import default_collate

from ..datasets.extraction import Features
from ..datasets.lists import Entry, ListError, VideoList
from ..training.loop import Data, Evaluation, Items, split

Shape = tuple[int, int, int, int]  # (L, h, w, C)
IN_MEMORY = 1 << 30  # bytes: features that fill no more are read once, others for every batch


def parts(films: VideoList, store: Features, seed: int, share: float = 0.2) -> dict[str, Features]:
    """The films to train, validate and test on: "train", "valid" and "test".

    A list's own splits are taken. Where it has none for validation, whole groups of its training films validate, by
    the seed; where it has no splits, whole groups of all films are tested, the same for every seed.

    Raises
    ------
    ListError
        Where one of the three is empty.
    """
    entries = store.entries
    whole = (*entries, *films.missing, *(entry for entry in films.entries if entry.id in store.failed))
    own = {name: [entry for entry in entries if entry.split == name] for name in ("train", "val", "test", "")}
    if not any(entry.split for entry in whole):
        own["train"], own["test"] = _cut(own[""], share, 0, films.name)
    named = {entry.split for entry in whole}
    for name in ("train", "test", *(["val"] if "val" in named else [])):
        if not own[name]:
            raise ListError(
                f"no film of {films.name} with features is in its split {name!r}: {len(entries)} films are there, "
                f"{len(films.missing)} are missing; more of them are needed, or another list."
            )
    if not own["val"]:
        own["train"], own["val"] = _cut(own["train"], share, seed, films.name)
    renamed = {"train": "train", "valid": "val", "test": "test"}
    return {new: replace(store, entries=own[old]) for new, old in renamed.items()}


def _cut(entries: list[Entry], share: float, seed: int, name: str) -> tuple[list[Entry], list[Entry]]:
    try:
        rest, held_out = split(len(entries), share, seed, [entry.group or entry.id for entry in entries])
    except ValueError as error:
        raise ListError(f"the films of {name} cannot be split: {error}") from None
    return [entries[i] for i in rest.tolist()], [entries[i] for i in held_out.tolist()]


def guess(train: Features, test: Features, task: str) -> float:
    """The score on the test films of who knows no more than the labels of the training films."""
    known, asked = (torch.tensor([entry.label for entry in own.entries]) for own in (train, test))
    if task == "class":
        return float((asked == torch.bincount(known).argmax()).double().mean())
    return float((asked.double() - known.double().mean()).square().mean())


class Windows:
    """A Dataset of the windows of films, each with its film's label.

    Parameters
    ----------
    films : Features
        The features of whole films, (L, h, w, C), or of windows, (W, L, h, w, C).
    names : tuple of str
        Of "tokens", "motion" and "vectors": what an item has, where films have it.

    Attributes
    ----------
    film : Tensor
        (n,) int64, the film of each window.
    shape : tuple of int
        (L, h, w, C).
    there : tuple of str
        Those of the names that films have.

    Raises
    ------
    ListError
        Where films have tokens of several shapes.
    """

    def __init__(self, films: Features, names: tuple[str, ...]):
        self.films, self.names = films, names
        self.index: list[tuple[int, int | None]] = []
        shapes: dict[Shape, str] = {}
        with ExitStack() as stack:
            opened = {path: stack.enter_context(safe_open(path, "pt")) for path in set(films.places.values())}
            for number, film in enumerate(films.ids):
                shape = opened[films.places[film]].get_slice(f"{film}/tokens").get_shape()
                self.index += [(number, window) for window in range(shape[0])] if len(shape) == 5 else [(number, None)]
                length, height, width, channels = shape[-4:]
                shapes[length, height, width, channels] = film
        if len(shapes) != 1:
            raise ListError(f"the films have tokens of the shapes {sorted(shapes)}; one is needed: make them anew.")
        self.shape: Shape = next(iter(shapes))
        self.film = torch.tensor([number for number, _ in self.index])
        with safe_open(films.places[films.ids[0]], "pt") as shard:
            keys = set(shard.keys())
        self.there = tuple(name for name in names if f"{films.ids[0]}/{name}" in keys)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        number, window = self.index[i]
        entry = self.films.entries[number]
        kind = torch.int64 if self.films.task == "class" else torch.float32
        item = {"label": torch.tensor(entry.label, dtype=kind)}
        with safe_open(self.films.places[entry.id], "pt") as shard:
            for name in self.there:
                value = shard.get_slice(f"{entry.id}/{name}")
                item[name] = value[:] if window is None else value[window]
        return item

    @property
    def bytes(self) -> int:
        """Of all tokens."""
        length, height, width, channels = self.shape
        return 2 * len(self) * length * height * width * channels


def held(windows: Windows) -> Data:
    """The same in memory, where it fits: it is read once for all epochs."""
    if windows.bytes > IN_MEMORY:
        return windows
    return Items(**default_collate([windows[i] for i in range(len(windows))]))


def by_film(seen: Evaluation, film: Tensor) -> tuple[Tensor, Tensor]:
    """The outputs of all windows of a film become one, their mean: (films, K), and the films' labels (films,)."""
    n = int(film.max()) + 1
    number = torch.bincount(film, minlength=n)
    outputs = torch.zeros(n, *seen.outputs.shape[1:]).index_add(0, film, seen.outputs) / number[:, None]
    labels = seen.labels.new_zeros(n).scatter(0, film, seen.labels)
    return outputs, labels


def loss_or_accuracy(outputs: Tensor, labels: Tensor, task: str) -> float:
    """The share that is right, or the mean squared error."""
    if task == "class":
        return float((outputs.argmax(1) == labels).double().mean())
    return float((outputs[:, 0] - labels).double().square().mean())
