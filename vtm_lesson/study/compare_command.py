"""The comparison that a reviewer would believe, as a command: on painted films, labelled ones, ones with masks.

    python -m vtm_lesson compare --quick                     a look at everything, in less than 3 minutes
    python -m vtm_lesson compare --folder runs/compare       the full study; stopped, it carries on where it was
    python -m vtm_lesson compare --report data/results/compare.json       the table and figure of a stored study
    python -m vtm_lesson compare --strategy my_file.py:my_partition       your own, beside every reducer at four budgets
    python -m vtm_lesson compare --data FOLDER               the evidence on labelled films (see `labelled`)
    python -m vtm_lesson compare --data FILMS --masks MASKS  recall of an object, by strategy (see `footage`)

Painted films: what is compared is in `experiment`, what the numbers say in `statistics`, how it is shown in `report`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..encoders.frozen import add_options, from_options
from ..merging.registry import REDUCERS
from ..plots.style import png
from . import budgets, footage, labelled, report
from .experiment import Comparison
from .jobs import PLACES, QUICK, STRATEGIES, Study


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python -m vtm_lesson compare`."""
    args = _arguments(argv)
    if args.report:
        try:
            found = report.load(args.report)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        return _show(found, Path(args.report).with_suffix(".png"))
    if args.masks:
        if not args.data:
            print("--masks needs --data: the folder of the films that the masks belong to.", file=sys.stderr)
            return 2
        if args.strategy:
            print("--strategy runs on painted films or on labelled ones; give it without --masks.", file=sys.stderr)
            return 2
        gamma = args.gamma[0] if args.gamma else 6
        encoder = partial(from_options, args)
        more = encoder, args.saliency or (), args.decoder, _command(argv)
        return footage.main(args.data, args.masks, args.out, gamma, *more)
    if args.strategy and not args.data:
        return budgets.main(["--strategy", args.strategy, *["--quick"] * args.quick])
    if args.data:
        return labelled.main(args, partial(from_options, args), _command(argv))
    try:
        study = _study(args)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    folder = Path(args.folder or ("runs/quick" if args.quick else "runs/compare"))
    if args.fresh:
        (folder / "results.jsonl").unlink(missing_ok=True)
        shutil.rmtree(folder / "networks", ignore_errors=True)
    made = f"{study.train + study.valid + study.test:,} films of {study.frames} frames"
    print(f"First {made} (kept for the next time), then {study.seeds} seeds of each strategy. Results: {folder}")
    try:
        comparison = Comparison(study, folder, workers=args.workers)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    comparison.run()
    found = report.make_report(comparison, _command(argv))
    path = folder / "compare.json"
    report.save(found, path)
    if args.quick:
        print("\nA quick look: few films and short training. Evidence (a) holds; (b) and (c) need the full study.\n")
    return _show(found, path.with_suffix(".png"), path)


def _study(args: argparse.Namespace) -> Study:
    """The study that is asked for: what is not given is as in the stored one, or as in the quick one."""
    asked = {field.name: getattr(args, field.name, None) for field in fields(Study)}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    return replace(QUICK if args.quick else Study(), **given)


def _show(found: Mapping, picture: Path, path: Path | None = None) -> int:
    print(report.table(found))
    picture.write_bytes(png(report.figure(found)))
    print(f"\nfigure  {picture}" + (f"\nJSON    {path}" if path else ""))
    return 0


def _command(argv: Sequence[str] | None) -> str:
    """What was called, for those who want to call it again."""
    return " ".join(["python -m vtm_lesson compare", *(sys.argv[1:] if argv is None else argv)])


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    def numbers(text: str) -> tuple[float, ...]:
        return tuple(float(part) for part in text.split(","))

    def words(text: str) -> tuple[str, ...]:
        return tuple(text.split(","))

    parser = argparse.ArgumentParser(prog="python -m vtm_lesson compare", description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="less than 3 minutes on 2 cores")
    parser.add_argument(
        "--strategies", type=words, help=f"of {','.join([*STRATEGIES, *REDUCERS])}; controls are always there"
    )
    parser.add_argument(
        "--strategy", metavar="FILE.py:NAME", help="a partition or reducer of your own, on painted films or on --data"
    )
    parser.add_argument("--data", type=Path, help="a folder of labelled films, or of films with --masks")
    parser.add_argument(
        "--masks", type=Path, help="masks of an object in them: its recall by strategy, nothing trained"
    )
    parser.add_argument(
        "--saliency", type=Path, nargs="+", metavar="FEATURES", help="for --masks: learn saliency there"
    )
    parser.add_argument("--decoder", type=Path, help="weights of a saliency decoder (.safetensors)")
    add_options(parser)
    labelled.options(parser)
    parser.add_argument("--out", type=Path, help="the JSON that --masks writes")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--gamma", type=numbers, help="partition factors, such as 2,6,10")
    parser.add_argument("--r", type=numbers, help="shares of the sources that are merged, such as 0.8,1")
    parser.add_argument("--evidence", help="a, b, c, h or several of them, such as ab")
    parser.add_argument("--places", type=words, help=f"of {','.join(PLACES)}")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--train", type=int, help="training films")
    parser.add_argument("--valid", type=int, help="validation films")
    parser.add_argument("--test", type=int, help="test films")
    parser.add_argument("--folder", help="where results are kept as they come (default runs/compare)")
    parser.add_argument("--fresh", action="store_true", help="forget what the folder holds of an earlier call")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that make films")
    parser.add_argument("--report", help="only show the table and figure of this JSON file")
    return parser.parse_args(argv)
