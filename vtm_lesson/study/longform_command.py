"""The command `python -m vtm_lesson train`: the paper's experiment on LVU, Breakfast, COIN or films of your own.

    python -m vtm_lesson train --dataset lvu --task scene --lists LISTS --videos FILMS --encoder NAME
    python -m vtm_lesson train --dataset lvu --task scene --lists LISTS --features FOLDER      # without the films
    python -m vtm_lesson train --stand-in                                                      # without any data
    torchrun --nproc_per_node=2 -m vtm_lesson train ...                                        # several processes

Films that are missing are counted, listed and left out. Features are made once, those that are lacking. A call that was
stopped carries on, and what is finished is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path

import torch
from safetensors import SafetensorError

from ..datasets import lists
from ..datasets.extraction import Features, Settings, features
from ..datasets.lists import LVU_TASKS, ListError, VideoList
from ..encoders import add_options, from_options
from ..measuring import clock
from ..training.loop import distributed
from .longform import PAPER_CHUNKS, Config, check_partition, chunks_of
from .longform_runs import Runs, first, leak, leave, rank, stored
from .longform_stand_in import CONFIG, SEEDS, holds, prove
from .longform_table import comparable, rows, text

# Data set -> frames of a window, and seconds of a window (0: the whole film).
DATASETS = {"lvu": (60, 60.0), "breakfast": (64, 0.0), "coin": (64, 0.0), "folder": (60, 0.0)}
PATCH = 14  # pixels of a side of a token, for motion, where an encoder does not say


def read_list(dataset: str, task: str, where: Path | None, videos: Path | None) -> VideoList:
    """The list of a data set, its films looked for where a folder of films is given.

    Raises
    ------
    ListError
        For an unknown data set or task, a missing list, and where none of the films is there.
    """
    if dataset not in DATASETS:
        raise ListError(f"there is no data set {dataset!r}; --dataset is one of {', '.join(DATASETS)}.")
    if dataset == "folder":
        if videos is None and where is None:
            raise ListError("--videos is missing: the folder of films; or --lists, a csv of labels, and --features.")
        found = lists.labelled(videos or Path(), where)
    else:
        if where is None:
            raise ListError(f"--lists is missing: say where the annotation files of {dataset} are.")
        readers = {"lvu": lambda: lists.lvu(where, task), "breakfast": lambda: lists.breakfast(where)}
        found = (readers | {"coin": lambda: lists.coin(where)})[dataset]()
        if videos is not None:
            found = found.find(videos)
    if videos is not None and not len(found):
        raise ListError(f"none of the {len(found.missing)} films of {found.name} lies below {videos}.")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python -m vtm_lesson train`."""
    argv = list(sys.argv[1:] if argv is None else argv)
    code = _run(_arguments(argv), argv)
    if leave():
        # After all is done, gloo ends some processes with "terminate called": torch's, and no reason to fail.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(options: argparse.Namespace, argv: list[str]) -> int:
    device = distributed(options.device)
    try:
        return _stand_in(options, argv, device) if options.stand_in else _train(options, argv, device)
    except (ValueError, ImportError, OSError, FloatingPointError, SafetensorError) as error:
        if rank() == 0:
            print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here.", file=sys.stderr)
        return 130


def _train(options: argparse.Namespace, argv: list[str], device: torch.device) -> int:
    say = print if rank() == 0 else lambda line: None
    partitions = _partitions(options)
    films = read_list(options.dataset, options.task, options.lists, options.videos)
    folder = options.folder or Path("runs/train", *_name(options))
    config = _config(options)
    films, store = first(lambda: _features(films, options, folder / "features"))
    say(films.summary())
    lost = [f"{entry.id}\tmissing" for entry in films.missing] + [
        f"{film}\t{why}" for film, why in store.failed.items()
    ]
    made = json.loads((store.folder / "what.json").read_text(encoding="utf-8"))["settings"]
    if not config.chunks:
        used = chunks_of(made["frames"])
        if used != PAPER_CHUNKS:
            say(f"chunks {used}: in proportion to the paper's {PAPER_CHUNKS} of 60 frames.")
    runs = Runs(
        films, store, config, folder, device=device, workers=options.workers, logs=not options.no_logs, say=say,
    )  # fmt: skip
    if lost and rank() == 0:
        (folder / "missing.txt").write_text("\n".join(lost) + "\n", encoding="utf-8")
        say(f"{len(lost)} films are left out: {folder / 'missing.txt'} names them.")
    shared = leak(films, store, config)
    if shared:
        say(shared)
    scores = runs.over(partitions, range(options.seeds or 1))
    if rank():
        return 0
    encoder = options.encoder if options.videos else ""
    line = comparable(options.dataset, replace(films, entries=tuple(store.entries)), len(lost), encoder, made, config)
    told = text(options.dataset, scores, line)
    print(f"\n{films.name}\n{told}")
    report = {
        "command": " ".join(["python -m vtm_lesson train", *argv]), "machine": clock.environment(device),
        "data": films.name, "left_out": len(lost), "settings": runs.settings, "rows": rows(scores),
        "results": [asdict(score) for score in scores], "table": told.splitlines(),
    }  # fmt: skip
    path = options.out or folder / "train.json"
    clock.save(path, report)
    print(f"JSON    {path}")
    return 0


def _features(films: VideoList, options: argparse.Namespace, home: Path) -> tuple[VideoList, Features]:
    """Process 0's part before training: the features, made where they are lacking; and the films that have some."""
    home = options.features or home
    if options.videos is None:
        store = stored(films, home)
        return replace(films, entries=tuple(store.entries), missing=store.missing), store
    frames, window = DATASETS[options.dataset]
    try:
        encoder = from_options(options)
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    size = options.size or getattr(encoder, "size", None) or 224
    settings = Settings(
        options.frames or frames, size, getattr(encoder, "patch", PATCH), not options.no_motion,
        window if options.window is None else options.window,
    )  # fmt: skip
    more = {"engine": options.engine, "workers": options.workers, "retry": options.retry}
    store = features(films, home, encoder, settings, **more)
    if not len(store):
        raise ListError(
            f"none of the {len(films)} films of {films.name} can be read: {home / 'failed.jsonl'} says why."
        )
    return films, store


def _stand_in(options: argparse.Namespace, argv: list[str], device: torch.device) -> int:
    say = print if rank() == 0 else lambda line: None
    folder = options.folder or Path("runs/stand-in")
    partitions, seeds = _partitions(options), options.seeds or SEEDS
    say(f"Four data sets of painted films, {seeds} seeds of {', '.join(partitions)} each: about 5 minutes a partition.")
    found = prove(
        folder, partitions=partitions, seeds=seeds, config=_config(options, CONFIG), device=device,
        films_per_class=options.films_per_class, logs=not options.no_logs, say=say,
    )  # fmt: skip
    if rank():
        return 0
    print("\n" + "\n\n".join(found.pop("tables")))
    kept = [row for row in found["rows"] if not holds(row)]
    print("\n" + comparable("lvu", VideoList("", ()), 0, "patch", {}, CONFIG, stand_in=True))
    for row in kept:
        print(f"{row['data']}, {row['partition']}: the interval over seeds does not leave out the guess.")
    command = " ".join(["python -m vtm_lesson train", *argv])
    path = options.out or folder / "stand_in.json"
    clock.save(path, {"command": command, "machine": clock.environment(device), **found})
    print(f"JSON    {path}")
    return 0


def _partitions(options: argparse.Namespace) -> list[str]:
    """Whose runs are asked for, by name, each once."""
    names = list(dict.fromkeys([*options.partition, *options.reducer])) or ["learnable"]
    for name in names:
        check_partition(name)
    if options.seeds is not None and options.seeds < 1:
        raise ValueError(f"--seeds is {options.seeds}; it is 1 or more.")
    return names


def _name(options: argparse.Namespace) -> tuple[str, ...]:
    return (options.dataset, options.task) if options.dataset == "lvu" else (options.dataset,)


def _config(options: argparse.Namespace, base: Config = Config()) -> Config:  # noqa: B008 (it is frozen)
    """The defaults, and what was asked for. Fewer epochs have a warm-up in the paper's proportion, a seventh."""
    asked = {field.name: getattr(options, field.name, None) for field in fields(Config)}
    given = {name: value for name, value in asked.items() if value is not None}
    if "epochs" in given and "warmup" not in given:
        given["warmup"] = round(given["epochs"] / 7, 2)
    config = replace(base, **given)
    config.recipe(0, "class")  # says at once what it does not take
    return config


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    def whole(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split(","))

    parser = argparse.ArgumentParser(
        prog="python -m vtm_lesson train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = parser.add_argument_group("films")
    data.add_argument("--dataset", default="lvu", help=f"one of {', '.join(DATASETS)} (default: lvu)")
    data.add_argument("--task", default="scene", help=f"of LVU: {', '.join(LVU_TASKS)} (default: scene)")
    data.add_argument("--lists", type=Path, help="the annotation files; for a folder, a csv of labels")
    data.add_argument("--videos", type=Path, help="the folder of films; without it, features must be there")
    data.add_argument("--features", type=Path, help="the folder of features (default: features in --folder)")
    data.add_argument("--frames", type=int, help="of a window (default: 60; 64 for breakfast and coin)")
    data.add_argument("--window", type=float, help="seconds of a window, 0 for whole films (default: 60 for lvu)")
    data.add_argument("--size", type=int, help="pixels of a side of a frame (default: the encoder's, or 224)")
    data.add_argument("--no-motion", action="store_true", help="features without motion: faster to make")
    data.add_argument("--engine", default="local", help="who makes features: local, or ray")
    data.add_argument("--retry", action="store_true", help="try again films that could not be read before")
    data.add_argument("--stand-in", action="store_true", help="painted films in the place of four data sets")
    data.add_argument("--films-per-class", type=int, help="of stand-ins")
    add_options(parser)
    runs = parser.add_argument_group("runs")
    runs.add_argument("--partition", nargs="+", default=[], metavar="NAME", help="none, uniform, boundary, centre, "
                      "motion, learnable, relative, ... (default: learnable)")  # fmt: skip
    runs.add_argument("--reducer", nargs="+", default=[], metavar="NAME", help="reducers, beside the partitions")
    runs.add_argument("--seeds", type=int, help="how many, from 0 on (default: 1; of stand-ins 3)")
    runs.add_argument("--folder", type=Path, help="keeps the runs (default: runs/train/DATASET/TASK)")
    runs.add_argument("--out", type=Path, help="the JSON that is written (default: train.json in --folder)")
    runs.add_argument("--device", help="cuda or cpu (default: cuda where there is one)")
    runs.add_argument("--workers", type=int, default=0, help="processes that read films and features")
    runs.add_argument("--no-logs", action="store_true", help="no scalars for TensorBoard")
    how = parser.add_argument_group("network and training (defaults: the paper's)")
    how.add_argument("--gamma", type=float, help="the partition factor (6)")
    how.add_argument("--r", type=float, help="the share of the sources that is merged, R/|S| (0.8)")
    how.add_argument("--chunks", type=whole, help="frames of a chunk in each block, such as 6,30,60")
    how.add_argument("--widths", type=whole, help="channels after each block (halved each time)")
    how.add_argument("--residual", action="store_true", default=None, help="add a block's input to attention's output")
    how.add_argument("--aux", help="what becomes of the auxiliary path: add, or heads")
    how.add_argument("--guidance", type=float, help="by how much saliency guides attention (1)")
    how.add_argument("--dropout", type=float, help="in the blocks (0)")
    how.add_argument("--epochs", type=int, help="(70)")
    how.add_argument("--warmup", type=float, help="epochs (a seventh of all)")
    how.add_argument("--lr", type=float, help="(0.001)")
    how.add_argument("--weight-decay", type=float, help="(0.01)")
    how.add_argument("--batch", type=int, help="windows a step, of all processes together (16)")
    how.add_argument("--bf16", action="store_true", default=None, help="compute in bfloat16 where autocast allows it")
    how.add_argument("--valid", type=float, help="share that validates, where the list names no films for that (0.2)")
    return parser.parse_args(argv)
