"""What merging costs and saves, side by side in one run: `python -m vtm_lesson bench`.

Five parts, each with its JSON in `data/results/`:

    operator   match and merge against a straightforward version that stores all scores, and the bare matrix product
    network    the paper's network without merging (attention that stores its scores, and fused) and with it
    training   the same, forward and backward
    growth     how the cost of attention, matching and merging grows with the number of tokens
    planner    what `forecast.predict` says for each block against what is then measured

Times are medians over rounds in which versions take turns; ratios are taken within rounds. Every figure of memory
comes from a process of its own (see `measuring.clock`), on CUDA from PyTorch's allocator. CUDA: not yet measured.

With --hosts, five reducers in other people's networks (see `bench_hosts`): `bench_hosts.json`.

With --reading, films read and made into features (see `bench_reading`): `bench_reading.json`.

With --vit, ToMe in timm's ViTs (see `bench_vit`): `bench_vit.json`. Needs timm.

With --scale, match, merge and the network by chunks up to a million tokens (see `scaling.scale`): `bench_scale.json`.

With --against PATH, ratios are compared with those stored in PATH, a folder or a file, and what got worse beyond the
spread is said (see `against`); the exit code is then 1. Such a run is stored only with --out. With --compare NEW beside
it nothing is measured: NEW is a file or a folder of an earlier run.

With --all, what a GPU wants to know, in pieces that may be cut off and resumed, float32 and bfloat16, each with its
file `cuda_NAME.json`: tests, kernels, operator, vit, network, training, planner, growth (see `bench_pieces`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..network.denormals import flushed_denormals
from ..paths import data_path, is_checkout
from . import (
    against,
    bench_hosts,
    bench_network,
    bench_operator,
    bench_pieces,
    bench_reading,
    bench_vit,
    clock,
    forecast,
    scaling,
)
from .bench_network import network, training
from .bench_operator import operator
from .machine import cores

SMALL = {"size": bench_pieces.SMALL}

# Each part: the function that measures, the one that writes its table, and the arguments of --quick.
PARTS: dict[str, tuple[Callable[..., dict], Callable[[dict], str], dict[str, Any]]] = {
    "operator": (
        operator,
        bench_operator.text,
        {"shapes": ((1536, 256), (3840, 64)), "gammas": (6.0,), "huge": 0, "films": ()},
    ),
    "network": (network, bench_network.text, {"names": bench_network.TRAINED, **SMALL}),
    "training": (training, bench_network.text, {"names": bench_network.TRAINED[1:], **SMALL}),
    "growth": (scaling.growth, scaling.text, {"sizes": (1024, 2048, 4096), "rounds": 1}),
    "planner": (forecast.trials, forecast.text, {"dim": 128, "chosen": forecast.TRIALS[:2]}),
}
# Asked for by themselves: each takes minutes, and two need models of other people's.
ALONE: dict[str, tuple[Callable[..., dict], Callable[[dict], str], dict[str, Any]]] = {
    "hosts": (bench_hosts.host_table, bench_hosts.text, {"size": bench_hosts.QUICK}),
    "reading": (bench_reading.reading_and_features, bench_reading.text, bench_reading.QUICK),
    "vit": (bench_vit.vit, bench_vit.text, {"models": (("vit_tiny_patch16_224", 1, (8,)),), "rounds": 3}),
    "scale": (scaling.scale, scaling.scale_text, {"sizes": scaling.SCALE[:4], "frames": scaling.FRAMES[:3]}),
}


@flushed_denormals()
def main(argv: list[str] | None = None) -> int:
    """`python -m vtm_lesson bench`."""
    args = _arguments(argv)
    torch.set_num_threads(args.threads)
    command = " ".join(["python -m vtm_lesson bench", *(sys.argv[1:] if argv is None else argv)])
    if args.all:
        return _all(args, command)
    parts = [part for part in (PARTS if args.part == "all" else (args.part,)) if _can_be_measured(part, args)]
    try:
        if args.compare is not None:
            said, worse = against.compare_files(args.compare, args.against)
            print(said)
            return int(worse)
        files = {part: _file(part, args) for part in parts}
        # Read first: whoever gives a wrong path is told so before minutes of measuring.
        stored = {} if args.against is None else {
            part: against.load(against.stored_file(args.against, file)) for part, file in files.items()
        }  # fmt: skip
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    # Only whole results go where the lessons and the README find them.
    out = args.out or (None if args.quick or args.no_memory or args.against is not None else _results())
    worse = False
    for part in parts:
        measure, text, quick = (PARTS | ALONE)[part]
        started = time.perf_counter()
        result = measure(**(quick if args.quick else {}) | _options(part, args))
        print(f"\n{text(result)}\n({time.perf_counter() - started:.0f} s)")
        record = {"command": command, "machine": clock.environment(args.device), **result}
        if out is not None:
            print(f"written: {clock.save(out / files[part], record)}")
        if part in stored:
            found = against.compare(record, stored[part])
            print(against.report(found, files[part]))
            worse = worse or bool(found.worse)
    return int(worse)


def _can_be_measured(part: str, args: argparse.Namespace) -> bool:
    can = part != "planner" or (args.device != "cuda" and args.dtype == "float32")
    if not can:
        print("planner: this part is the processor's, in float32; --piece planner measures it on a GPU.")
    return can


def _file(part: str, args: argparse.Namespace) -> str:
    name = ["bench", part] + [args.device] * (args.device != "cpu") + _unusual(args.dtype)
    return f"{'_'.join(name)}.json"


def _all(args: argparse.Namespace, command: str) -> int:
    """The pieces of --all, or those that --piece names."""
    setting = bench_pieces.Setting(args.device, args.quick, args.rounds, args.minutes)
    names, out = args.piece or list(bench_pieces.PIECES), args.out or args.resume or _results()
    try:
        bench_pieces.carry_over(names, setting, out, args.resume)
        if len(names) == 1:
            return bench_pieces.run(names[0], setting, out, command)
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    # Each piece in a process of its own: after some errors of CUDA's a process can use the GPU no more.
    options = ["--device", args.device, "--threads", str(args.threads), "--minutes", str(args.minutes)]
    options += ["--quick"] * args.quick + ([] if args.rounds is None else ["--rounds", str(args.rounds)])
    start = [sys.executable, "-m", "vtm_lesson", "bench", *options, "--resume", str(out)]
    return max(subprocess.run([*start, "--piece", name]).returncode for name in names)


def _results() -> Path:
    """Beside the stored results; of an installed package these stay as they are."""
    return data_path("results") if is_checkout() else Path()


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m vtm_lesson bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=(*PARTS, "all"), default="all", help="which part (default: all)")
    parser.add_argument("--hosts", action="store_true", help="other people's networks, in place of these parts")
    parser.add_argument("--reading", action="store_true", help="reading films and making features, in place of these")
    parser.add_argument("--vit", action="store_true", help="ToMe in timm's ViTs, in place of these")
    parser.add_argument("--scale", action="store_true", help="up to a million tokens, in place of these")
    parser.add_argument("--against", type=Path, metavar="PATH", help="compare the ratios with those stored in PATH")
    parser.add_argument("--compare", type=Path, metavar="NEW", help="measure nothing: compare NEW with --against PATH")
    parser.add_argument("--host-weights", type=Path, metavar="FILE", help="of a trained ViT-S/14, for one more host")
    parser.add_argument("--quick", action="store_true", help="small sizes, for a look; stored only with --out")
    parser.add_argument(
        "--rounds", type=int, help="rounds of each measurement (default: operator 9, network and training 5, growth 3)"
    )
    parser.add_argument("--threads", type=int, default=cores(), help="processor threads (default: all cores)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--no-memory", action="store_true", help="times only; stored only with --out")
    parser.add_argument(
        "--out", type=Path, help="folder of the JSON files (default: data/results, or here if installed)"
    )
    pieces = parser.add_argument_group("everything, in pieces")
    pieces.add_argument("--all", action="store_true", help="all pieces; without a GPU only with --out: a rehearsal")
    pieces.add_argument(
        "--piece", choices=tuple(bench_pieces.PIECES), action="append", help="this piece only; may be given repeatedly"
    )
    pieces.add_argument("--resume", type=Path, help="go on with what the files in this folder lack")
    pieces.add_argument("--minutes", type=float, default=9.0, help="a piece begins no step after these (default: 9)")
    args = parser.parse_args(argv)
    args.all = args.all or bool(args.piece)
    alone = [part for part in ALONE if getattr(args, part)]
    if len(alone) > 1 or (alone and (args.all or args.part != "all")):
        parser.error(f"--{alone[0]} is a part of its own: leave out --part, --all, --piece and other such parts.")
    if alone:
        args.part = alone[0]
    if args.host_weights is not None and args.part != "hosts":
        parser.error("--host-weights belongs to --hosts.")
    if args.part in ("reading", "scale") and (args.device != "cpu" or args.dtype != "float32"):
        parser.error(f"--{args.part} is the processor's, in float32: leave out --device and --dtype.")
    if args.compare is not None and args.against is None:
        parser.error("--compare says what is new; say with --against what it is compared with.")
    if args.against is not None and args.all:
        parser.error("--against belongs to single parts; for what --all wrote: --compare FOLDER --against PATH.")
    if args.against is not None and args.out is not None and args.against.resolve() in (
        args.out.resolve(), *(args.out.resolve() / _file(part, args) for part in PARTS | ALONE)
    ):  # fmt: skip
        parser.error(f"--out {args.out} would replace what --against reads; give another folder.")
    if args.all:
        if args.part != "all" or args.dtype != "float32" or args.no_memory:
            parser.error("--all and --piece measure both dtypes and memory: leave out --part, --dtype and --no-memory.")
        if not args.minutes > 0:
            parser.error(f"--minutes is {args.minutes:g}; give more than 0.")
        if args.resume is not None and not args.resume.is_dir():
            parser.error(f"--resume {args.resume}: there is no such folder; give one with files of an earlier run.")
        if (args.device == "cpu" or args.quick) and args.out is None and args.resume is None:
            parser.error("--all on the processor, or with --quick, is a rehearsal: say with --out where it is kept.")
    elif args.resume is not None:
        parser.error("--resume belongs to --all or --piece.")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no CUDA device here; leave --device out to measure the processor.")
    if args.threads < 1 or (args.rounds is not None and args.rounds < 1):
        parser.error("--threads and --rounds are 1 or more.")
    return args


def _options(part: str, args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of one part that were given on the command line."""
    options: dict[str, Any] = {}
    if part in ("reading", "scale"):
        return {} if args.rounds is None else {"rounds": args.rounds}
    if part != "planner":
        options |= {"device": args.device, "dtype": getattr(torch, args.dtype)}
        if args.rounds is not None:
            options["rounds"] = args.rounds
    if part == "hosts":
        options["weights"] = args.host_weights
    if part in ("operator", "network", "training", "hosts"):
        options["memory"] = not args.no_memory
    return options


def _unusual(dtype: str) -> list[str]:
    return [] if dtype == "float32" else [dtype]


if __name__ == "__main__":
    raise SystemExit(main())
