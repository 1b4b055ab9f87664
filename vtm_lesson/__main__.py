"""`python -m vtm_lesson COMMAND`: the commands of the course. Each one lives in its own module's `main`."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "lab": ("teaching.lab", "copy the lessons into your own folder, and open them in JupyterLab"),
    "grade": ("teaching.grading", "mark the exercises that you solved in an editor, in solutions.py"),
    "classroom": (
        "teaching.classroom.cells",
        "for teachers: a class on nbgrader, each submission graded apart (make | grade | look)",
    ),
    "report": (
        "teaching.classroom.report",
        "for teachers: what a class got wrong, as figures and tables, and its marks",
    ),
    "leaderboard": (
        "teaching.classroom.board_command",
        "for teachers: a class's own strategies on films that nobody has seen, ranked on one page (--quick: a look)",
    ),
    "see": ("study.see_command", "a film of your own, merged: both play side by side, as mp4, WebP and a page"),
    "bench": ("measuring.bench", "time and memory of operator and network, side by side (--quick: a look)"),
    "compare": (
        "study.compare_command",
        "strategies against each other: table, figure, JSON (--quick: less than 3 minutes)",
    ),
    "train": ("study.longform_command", "LVU, Breakfast, COIN or your films: features, training, scores, a table"),
    "features": ("datasets.extraction", "films to tokens, once, kept on the disk; goes on where it was stopped"),
    "reducers": ("study.budgets", "every reducer at every budget: what it keeps and what it costs (--quick: a look)"),
    "phase": (
        "study.phase_command",
        "when the choice of targets matters: a grid of film worlds, screened, then trained",
    ),
    "hours": (
        "study.hours_command",
        "ten minutes, an hour, four: time, memory, and what is found again (--quick: less than 2 minutes)",
    ),
    "gradients": (
        "study.gradients_command",
        "gradients through the choice of targets: seven ways to learn saliency, and what each costs",
    ),
    "variants": (
        "study.variants",
        "gamma, R, chunks, averages and pooling of learnable VTM, trained on top of a study",
    ),
}


def main(argv: list[str] | None = None) -> int:
    """Hand the arguments to the command's module, which is imported only now."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] not in COMMANDS:
        asked = argv and argv[0] not in ("-h", "--help")
        print("usage: python -m vtm_lesson COMMAND [options]; each command has --help\n")
        for name, (_, about) in COMMANDS.items():
            print(f"  {name:11s} {about}")
        if asked:
            print(f"\nThere is no command {argv[0]!r}.", file=sys.stderr)
        return 2 if asked else 0
    module = importlib.import_module(f"vtm_lesson.{COMMANDS[argv[0]][0]}")
    try:
        return module.main(argv[1:]) or 0
    except OSError as error:  # a full disk, a folder that is a file or may not be written
        what = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else f"{error}"
        print(f"{argv[0]}: {what}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
