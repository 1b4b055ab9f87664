"""A leaderboard: a reader's own partitions and reducers beside the course's, on films that nothing else uses.

    from vtm_lesson.study.leaderboard import board, practice
    items = practice()                                  # films to train on and to try ideas on; none is on a board
    print(board({"newest": newest}))                    # the public board
    print(board({"newest": newest}, final=True))        # other films, for one look at the end

Evidence (a), as `python -m vtm_lesson reducers` takes it: tokens of painted films are reduced once, averaged, and read
by a linear reader (`study.probe`), which is fitted on the practice films. All of the course's own strategies stand at
the settings that they come with; learned saliency is learned by pooling on the practice films. Controls: no merging,
random targets, and an oracle that sees the actor, which is hidden from everybody else.

The best of many tries is tuned to the films that it was tried on. So a board counts the tries. Where it runs in the
learner's folder it notes them there, in `.vtm-board.jsonl`, a line a try; elsewhere it counts until Python ends.
"""

from __future__ import annotations

import functools
import json
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from tqdm import tqdm

from ..datasets.toy import toy_films
from ..merging.merge import Merge
from ..merging.registry import choose
from ..merging.strategies import Context, Reducer, Saliency, is_ragged, signals
from ..paths import work_path
from ..plots.style import BLACK, BLUE, GREY, VERMILLION, WIDTH, Picture, styled
from ..training.loop import Items
from .jobs import ACTOR
from .own import OwnError, tried
from .probe import learn_saliency, linear_probe, retain
from .report import aligned, percent
from .statistics import interval

Score = Callable[[Tensor], Tensor]
Making = tuple[tuple[str, Any], ...]  # how films are made, as what a cache can look up
Entry = Callable[..., Any] | tuple[str | Callable[..., Any], Score]

RIVALS = ("uniform", "centre", "boundary", "motion", "relative", "learnable")
CONTROLS = ("none", "random", "oracle")
PRACTICE_SEED = 11  # the training films of the course's studies
BOARD_SEEDS = {False: 6151, True: 8527}  # public, final: used for nothing else
NOTE = ".vtm-board.jsonl"
LOOK = {
    "yours": (VERMILLION, "D"), "handed in": (VERMILLION, "D"), "the course's": (BLUE, "o"), "a control": (GREY, "s"),
}  # fmt: skip

_session: dict[str, set[str]] = {"public": set(), "final": set()}  # tries since Python was started


@dataclass(frozen=True)
class Plan:
    """Which films: how many to practise on, how many sets on a board, how many films a set, and their size."""

    practice: int = 300
    sets: int = 5
    each: int = 80
    frames: int = 8
    size: int = 64


@dataclass(frozen=True)
class Films:
    """What rows are measured on: films to fit the reader on, those that it reads, and what the course learned."""

    plan: Plan
    fit: Items
    test: Items
    saliency: Saliency

    @property
    def parts(self) -> list[Items]:
        """The films to fit on, then those of each set: chance begins anew in each part, with its number as the seed."""
        each = self.plan.each
        return [self.fit, *(self.test[k * each : (k + 1) * each] for k in range(self.plan.sets))]


@dataclass(frozen=True)
class Row:
    """A row of a board. Accuracies are shares, means with 95% intervals over the sets of films."""

    name: str
    whose: str
    tokens: int
    recall: float
    by_set: tuple[float, ...]
    beyond_random: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def accuracy(self) -> tuple[float, float, float]:
        """Mean, low, high."""
        return interval(self.by_set)


@dataclass(frozen=True, repr=False)
class Board:
    """What `board` returns: print it, or draw it with `figure`. rows: best first."""

    rows: tuple[Row, ...]
    gamma: float
    final: bool
    tries: int
    plan: Plan = field(default_factory=Plan)

    def __str__(self) -> str:
        budget = next(row.tokens for row in self.rows if row.name == "random")
        head = ("entry", "whose", "tokens", "recall", "accuracy", "beyond random")
        cells = []
        for row in self.rows:
            other = "*" if row.tokens != budget and row.name != "none" else ""
            beyond = "" if row.name == "random" else f"{100 * row.beyond_random[0]:+.0f} ({_range(row.beyond_random)})"
            recall = "" if row.name == "none" else f"{row.recall:.2f}"
            cells.append((row.name, row.whose, f"{row.tokens}{other}", recall, percent(row.accuracy), beyond))
        title = f"The {'final' if self.final else 'public'} board: accuracy in percent, mean ± 95% interval"
        told = [title, aligned(head, cells), f"{self.plan.sets} sets of {self.plan.each} films; chance 12.5 percent."]
        if any("*" in row[2] for row in cells):
            told.append("* at another token budget than the others: no equal comparison.")
        return "\n".join([*told, self._warning()])

    __repr__ = __str__

    def _warning(self) -> str:
        many = "1 entry" if self.tries == 1 else f"{self.tries} entries"
        if self.final:
            return f"The final board has seen {many} of yours" + (
                ": as many as it is meant for." if self.tries <= 1 else ". Each look makes it less final."
            )
        return f"You have tried {many} here; the best of many tries is tuned to these films."


def practice(plan: Plan = Plan(), **making: Any) -> Items:
    """Films to train on and to try ideas on, as boards have them; none of them is on a board.

    Parameters
    ----------
    plan : Plan, optional
        How many, and of what size.
    **making
        encoder, folder, workers, progress, as in `datasets.toy.toy_films`.

    Returns
    -------
    Items
        tokens (n, L, H, W, C) with mean 0 and deviation 1 in every channel, motion, vectors, oracle, label, way.

    Examples
    --------
    >>> import tempfile
    >>> from vtm_lesson.study.leaderboard import Plan, practice
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     items = practice(Plan(practice=24, frames=2, size=32), folder=folder, progress=False)
    >>> items.columns["tokens"].shape
    torch.Size([24, 2, 4, 4, 48])
    """
    return Items(**{name: column.clone() for name, column in _films(plan, None, _known(making)).columns.items()})


def board(
    entries: Mapping[str, Entry],
    gamma: float = 6.0,
    final: bool = False,
    *,
    plan: Plan = Plan(),
    **making: Any,
) -> Board:
    """Own entries beside the course's strategies, on films that no lesson and no study uses.

    Parameters
    ----------
    entries : dict
        Name -> a partition or a reducer, a function of the Context or of some of its fields; or a pair (function,
        score), where score takes tokens (B, n, C) and gives the saliency (B, n) that the function finds in the Context.
        In a pair a name of `vtm.reducers()` will do for the function, "learnable" say. Without a score, saliency is
        what the course learned from the practice films.
    gamma : float, optional
        The partition factor; one token in gamma is left.
    final : bool, optional
        The final board, which has other films.
    plan : Plan, optional
        Which films.
    **making
        encoder, folder, workers, progress, as in `datasets.toy.toy_films`.

    Returns
    -------
    Board
        Its rows, best first, and how many entries were tried on this board.

    Raises
    ------
    OwnError
        Where an entry does not do what a partition or a reducer has to; it says what.

    Notes
    -----
    Intervals are Student's t over the sets of films, so they say how other films would scatter. Retention probe: as
    evidence (a) of `study.experiment`, with one round of merging.

    Examples
    --------
    >>> import tempfile, torch
    >>> from vtm_lesson.study.leaderboard import Plan, board
    >>> def newest(n, n_targets):
    ...     return torch.arange(n - n_targets, n)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = Plan(practice=30, sets=2, each=12, frames=2, size=32)
    ...     found = board({"newest": newest}, plan=small, folder=folder, progress=False)
    >>> sorted(row.name for row in found.rows if row.whose == "yours"), found.tries
    (['newest'], 1)
    """
    if not isinstance(entries, Mapping):
        raise OwnError(f"entries is a {type(entries).__name__}; give a dict, name -> your partition or reducer.")
    taken = [name for name in entries if name in (*RIVALS, *CONTROLS)]
    if taken:
        raise OwnError(f"{taken[0]!r} is the name of one of the course's; give yours another.")
    plugs = {name: plug(name, entry) for name, entry in entries.items()}
    known = _known(making)
    course = _course(gamma, final, plan, known)
    yours = [measured(name, "yours", one, gamma, _board_films(plan, final, known)) for name, one in plugs.items()]
    return Board(ordered([*course, *yours]), gamma, final, _noted(yours, gamma, final), plan)


def ordered(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Rows, one of them "random", best first, each with what it is beyond that one, set by set."""
    chance = next(row for row in rows if row.name == "random")
    told = [replace(row, beyond_random=interval(list(map(operator.sub, row.by_set, chance.by_set)))) for row in rows]
    return tuple(sorted(told, key=lambda row: -row.accuracy[0]))


@styled
def figure(board: Board, title: str = "") -> Picture:
    """Every row with its interval, best first, and a dot for each set of films."""
    fig = Picture(figsize=(WIDTH * 0.85, 0.9 + 0.3 * len(board.rows)), layout="constrained")
    ax = fig.add_subplot()
    budget = next(row.tokens for row in board.rows if row.name == "random")
    told = []
    for y, row in enumerate(board.rows):
        colour, marker = LOOK[row.whose]
        mean, low, high = row.accuracy
        other = row.tokens != budget and row.name != "none"
        ax.scatter(row.by_set, [y] * len(row.by_set), s=9, color=colour, alpha=0.4, linewidth=0)
        ax.plot([low, high], [y, y], color=colour, linewidth=1.6)
        ax.scatter([mean], [y], s=46, marker=marker, color="white" if other else colour, edgecolor=colour, zorder=3)
        told.append(f"{row.name} ({row.whose}) {mean:.2f}, {low:.2f} to {high:.2f}" + f", {row.tokens} tokens" * other)
    for whose, (colour, marker) in LOOK.items():
        if any(row.whose == whose for row in board.rows):
            ax.plot([], [], linestyle="", marker=marker, color=colour, label=whose)
    if any(row.tokens != budget and row.name != "none" for row in board.rows):
        ax.plot([], [], linestyle="", marker="D", color="white", markeredgecolor=BLACK, label="another token budget")
    ax.axvline(1 / 8, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    ax.annotate("chance", (1 / 8, 1), (0, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
                ha="center", color=GREY, fontsize=8)  # fmt: skip
    ax.set_yticks(range(len(board.rows)), [row.name for row in board.rows])
    for label, row in zip(ax.get_yticklabels(), board.rows, strict=True):
        label.set_fontweight("bold" if row.whose in ("yours", "handed in") else "normal")
    ax.set_ylim(len(board.rows) - 0.5, -0.7)
    ax.set_xlabel(f"accuracy of a linear reader (mean, 95% interval over {board.plan.sets} sets of films)")
    ax.legend(loc="lower right", frameon=True, edgecolor="none")
    title = title or f"The {'final' if board.final else 'public'} board, gamma {board.gamma:g}"
    ax.set_title(title, pad=16)
    fig.alt = f"{title}. Accuracy of a linear reader, best first: " + "; ".join(told) + ". Chance is 0.12."
    return fig


# ---------------------------------------------------------------------------------------------------- films and rows


def _known(making: Mapping[str, Any]) -> Making:
    """How films are made; bars are off where tqdm's own are, as while lessons are built."""
    bars = making.get("progress", True) and not os.environ.get("TQDM_DISABLE")
    return tuple(sorted({**making, "progress": bars}.items()))


@functools.cache
def _films(plan: Plan, final: bool | None, making: Making) -> Items:
    """The films of a board, or of practice (None), every channel scaled by the practice films."""
    count, seed = (plan.practice, PRACTICE_SEED) if final is None else (plan.sets * plan.each, BOARD_SEEDS[final])
    return _scaled(toy_films(count, seed, **_options(plan, making)), plan, making)


def _scaled(items: Items, plan: Plan, making: Making) -> Items:
    mean, std = _scale(plan, making)
    tokens = (items.columns["tokens"].float() - mean) / std.clamp(min=1e-6)
    return Items(**items.columns | {"tokens": tokens})


def _options(plan: Plan, making: Making) -> dict[str, Any]:
    return dict(making) | {"frames": plan.frames, "size": plan.size}


@functools.cache
def _scale(plan: Plan, making: Making) -> tuple[Tensor, Tensor]:
    tokens = toy_films(plan.practice, PRACTICE_SEED, **_options(plan, making)).columns["tokens"].float()
    return tokens.mean((0, 1, 2, 3)), tokens.std((0, 1, 2, 3))


@functools.cache
def _learned(plan: Plan, making: Making) -> Saliency:
    return learn_saliency(_films(plan, None, making), seed=0)


@functools.cache
def _board_films(plan: Plan, final: bool, making: Making) -> Films:
    return Films(plan, _films(plan, None, making), _films(plan, final, making), _learned(plan, making))


def films_of_seed(seed: int, plan: Plan = Plan(), folder: str | Path | None = None, **making: Any) -> Films:
    """Films of another seed than the boards', for a board of one's own.

    Parameters
    ----------
    seed : int
        Whoever knows it can paint the films again, with the actor and all answers.
    plan : Plan, optional
        Which films.
    folder : str or Path, optional
        Where these films are kept; those of practice lie where they always do.
    **making
        encoder, workers, progress, as in `datasets.toy.toy_films`.
    """
    known = _known(making)
    test = toy_films(plan.sets * plan.each, seed, **_options(plan, known) | {"folder": folder})
    return Films(plan, _films(plan, None, known), _scaled(test, plan, known), _learned(plan, known))


@functools.cache
def _course(gamma: float, final: bool, plan: Plan, making: Making) -> tuple[Row, ...]:
    """The rows of the course's own strategies and of the controls."""
    off = not dict(making)["progress"]
    names = tqdm((*CONTROLS, *RIVALS), desc="the course's own", unit="row", disable=off, leave=False)
    return tuple(courses_row(name, gamma, _board_films(plan, final, making)) for name in names)


def courses_row(name: str, gamma: float, films: Films) -> Row:
    """The row of one of `CONTROLS` or `RIVALS`."""
    whose = "a control" if name in CONTROLS else "the course's"
    return measured(name, whose, {} if name == "none" else {"reducer": choose(name)}, gamma, films)


def measured(name: str, whose: str, plugged: Mapping[str, Any], gamma: float, films: Films) -> Row:
    """The row of an entry; plugged: its reducer and saliency, as `plug` gives them. OwnError where it stops."""
    settings = {"gamma": gamma, "rounds": 1, "actor": ACTOR, "saliency": films.saliency, **plugged}
    fit, test, plan = films.fit, films.test, films.plan
    try:
        kept = [retain(items, seed=number, **settings) for number, items in enumerate(films.parts)]
    except OwnError:
        raise
    except ValueError as error:
        raise OwnError(f"{name}, on the board's films: {error}") from None
    except Exception as error:
        raise OwnError(f"{name}, on the board's films: it stops with {type(error).__name__}: {error}.") from error
    features = torch.cat([one.features for one in kept[1:]])
    right = linear_probe(kept[0].features, fit.columns["label"], features) == test.columns["label"]
    by_set = tuple(float(part.double().mean()) for part in right.split(plan.each))
    recall = float(torch.cat([one.recall for one in kept[1:]]).mean())
    return Row(name, whose, round(sum(one.tokens for one in kept[1:]) / plan.sets), recall, by_set)


# ----------------------------------------------------------------------------------------------------------- entries


@dataclass(frozen=True)
class Around:
    """A reducer around another one: what that one says of itself holds for it, too."""

    reducer: Reducer

    @property
    def ragged(self) -> bool:
        """Whether it keeps a different number of tokens in each item."""
        return is_ragged(self.reducer)

    @property
    def signal(self) -> tuple[str, ...]:
        """What it needs to be given."""
        return signals(self.reducer)


@dataclass(frozen=True)
class _Blind(Around):
    """A reducer that is not shown the actor."""

    def __call__(self, context: Context) -> Merge:
        shown = replace(context, oracle=None)
        merge = self.reducer(shown)
        context.targets = shown.targets  # for the recall
        return merge


@dataclass(frozen=True)
class _Scored:
    """A reader's own saliency: what `retain` asks of a `Saliency`."""

    name: str
    function: Score

    def score(self, keys: Tensor) -> Tensor:
        """(B, n, C) -> (B, n)."""
        with torch.no_grad():
            found = self.function(keys)
        wanted = tuple(keys.shape[:2])
        if not isinstance(found, Tensor) or tuple(found.shape) != wanted or not bool(found.isfinite().all()):
            given = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise OwnError(
                f"{self.name}: its score gave {given} for tokens {tuple(keys.shape)}; give finite numbers, {wanted}."
            )
        return found


def plug(name: str, entry: Entry) -> dict[str, Any]:
    """An entry as what `retain` takes, tried out; OwnError where it is no partition and no reducer."""
    function, score = entry if isinstance(entry, tuple) else (entry, None)
    if isinstance(function, str):
        try:
            reducer = cast(Reducer, choose(None, function))
        except ValueError as error:
            raise OwnError(f"{name}: {error}") from None
    elif callable(function):
        reducer = tried(function, name)
    else:
        raise OwnError(f"{name} is a {type(function).__name__}; give a partition or a reducer, or (it, score).")
    if "oracle" in signals(reducer):
        raise OwnError(f"{name} asks for the actor, who is hidden on a board: in a film of yours nobody knows it.")
    plugged: dict[str, Any] = {"reducer": _Blind(reducer)}
    return plugged if score is None else plugged | {"saliency": cast(Saliency, _Scored(name, score))}


def _range(values: Sequence[float]) -> str:
    return f"{100 * values[1]:+.0f} to {100 * values[2]:+.0f}"


# ------------------------------------------------------------------------------------------------------- what was tried


def _noted(rows: Sequence[Row], gamma: float, final: bool) -> int:
    """Note these entries; how many different ones were tried on this board. Equal results are one try."""
    which = "final" if final else "public"
    folder = _learners_folder()
    earlier: set[str] = set()
    if folder is not None:
        with suppress(OSError):
            for line in (folder / NOTE).read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, KeyError, TypeError):  # cut off in writing
                    known = json.loads(line)
                    if known["board"] == which:
                        earlier.add(known["result"])
    for row in rows:
        result = f"gamma {gamma:g}: " + " ".join(f"{value:.4f}" for value in row.by_set)
        if folder is not None and result not in earlier:
            earlier.add(result)
            with suppress(OSError), (folder / NOTE).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"board": which, "entry": row.name, "result": result}) + "\n")
        _session[which].add(result)
    return len(earlier | _session[which])


def _learners_folder() -> Path | None:
    """The learner's own folder, where Python runs in it; not that of solved lessons, which are there to be read."""
    work, here = work_path().resolve(), Path.cwd().resolve()
    inside = work.is_dir() and work in (here, *here.parents)
    return work if inside and here != work / "solved" else None
