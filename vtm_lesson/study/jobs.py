"""What a study of `experiment` measures: its settings, its jobs one by one, and the settings that are tried.

A result is what was measured for one `Job`. On disk and in reports it is a record, the job's fields beside the values:

    {"evidence": "a", "strategy": "motion", "place": "", "gamma": 6, "r": 1.0, "seed": 0, "accuracy": 0.35, ...}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from ..merging.registry import REDUCERS

CONTROLS = ("none", "random", "oracle")
STRATEGIES = ("uniform", "centre", "boundary", "motion", "relative", "learnable")
PLACES = ("before_attention", "after_attention", "queries")  # `BlockConfig.merge_at`
ACTOR = 0.1  # a patch is the actor's where it covers at least this share


@dataclass(frozen=True)
class Study:
    """Everything that decides the results; with the code's version, enough to repeat them."""

    train: int = 1800
    valid: int = 600
    test: int = 1200
    frames: int = 8
    size: int = 64
    noise: float = 0.0
    strategies: tuple[str, ...] = STRATEGIES
    seeds: int = 5
    gamma: tuple[float, ...] = (6,)
    r: tuple[float, ...] = (1.0,)
    evidence: str = "abc"
    plug_gammas: tuple[float, ...] = (2, 6, 10)
    places: tuple[str, ...] = PLACES[:2]
    chunks: tuple[int, ...] = (2, 4, 8)
    width: int = 48
    residual: bool = True
    guidance: float = 7.0
    aux: str = "heads"
    epochs: int = 6
    warmup: float = 1.0
    lr: float = 3e-3
    batch: int = 32
    saliency_epochs: int = 8
    tune: bool = True
    rounds: int = 9

    def __post_init__(self) -> None:
        unknown = set(self.strategies) - {*STRATEGIES, *REDUCERS}
        if unknown or not self.strategies:
            raise ValueError(f"strategies are {self.strategies}; choose among {', '.join([*STRATEGIES, *REDUCERS])}.")
        if not set(self.evidence) <= set("abch") or not self.evidence:
            raise ValueError(f'evidence is {self.evidence!r}; it is one or more of the letters "a", "b", "c", "h".')
        if "h" in self.evidence and "c" not in self.evidence:
            raise ValueError(f'evidence is {self.evidence!r}; (h) computes the networks of (c): ask for "c", too.')
        if set(self.places) - set(PLACES) or not self.places:
            raise ValueError(f"places are {self.places}; choose among {', '.join(PLACES)}.")
        if not all(gamma > 1 for gamma in (*self.gamma, *self.plug_gammas)) or not all(0 < r <= 1 for r in self.r):
            given = f"gamma is {self.gamma}, in evidence (b) {self.plug_gammas}, r is {self.r}"
            raise ValueError(f"{given}; every gamma is more than 1, every r more than 0 and at most 1.")
        if self.seeds < 1 or min(self.train, self.valid, self.test) < 24:
            raise ValueError(f"{self}: seeds is 1 or more, and every set of films 24 or more.")

    @property
    def grid(self) -> tuple[int, int, int]:
        return self.frames, self.size // 8, self.size // 8


@dataclass(frozen=True)
class Job:
    """One thing that a study measures: the fields that tell its result from all others.

    Parameters
    ----------
    evidence : str
        "a", "b", "c" or "h" (see above), "tune" for one trial of a strategy's settings, "cost", or "variant"
        (`variants`).
    strategy : str
        A strategy, a control, or "auxiliary": saliency taken out of a network that was trained with merging.
    place : str
        Where merging stands in the network, one of PLACES; "" where there is no network or no merging.
    gamma, r : float
        The partition factor, and the share of the sources that are merged (R/|S|). No merging in a network: gamma 1.
    seed : int
        0 where chance plays no part.
    trial : int
        Which settings of TRIALS; for "tune" only.
    name : str
        The variant's name; for "variant" only.

    Examples
    --------
    >>> job = Job("a", "motion", gamma=6, seed=2)
    >>> job.record({"accuracy": 0.35})
    {'evidence': 'a', 'strategy': 'motion', 'place': '', 'gamma': 6, 'r': 1.0, 'seed': 2, 'accuracy': 0.35}
    >>> Job.split(job.record({"accuracy": 0.35})) == (job, {"accuracy": 0.35})
    True
    """

    evidence: str
    strategy: str
    place: str = ""
    gamma: float = 1
    r: float = 1.0
    seed: int = 0
    trial: int = 0
    name: str = ""

    def __str__(self) -> str:
        return " ".join(f"{name} {value}" for name, value in self.record({}).items() if value != "")

    def record(self, values: Mapping) -> dict:
        """The job's fields beside the values that were measured for it, as JSON holds them."""
        known = asdict(self)
        if self.evidence != "tune":
            del known["trial"]
        if self.evidence != "variant":
            del known["name"]
        return known | dict(values)

    @classmethod
    def split(cls, record: Mapping) -> tuple[Job, dict]:
        """A record as its job and the values that were measured for it."""
        names = [field.name for field in fields(cls) if field.name in record]
        values = {name: value for name, value in record.items() if name not in names}
        return cls(**{name: record[name] for name in names}), values


QUICK = Study(
    train=400, valid=100, test=300, seeds=3, plug_gammas=(6,), places=("before_attention",), epochs=3, tune=False
)
# Settings to choose from, six trials for every strategy, chosen by (a) on validation films.
TRIALS: dict[str, list[dict]] = {
    "uniform": [{"offset": k} for k in range(6)],
    "centre": [{"offset": k} for k in range(6)],
    "boundary": [{"offset": k} for k in range(6)],
    "motion": [
        {"scale": scale, "temperature": temperature}
        for scale, pair in (("raw", (1.0, 4.0)), ("max", (4.0, 8.0)), ("standard", (1.0, 2.0)))
        for temperature in pair
    ],
    "relative": [{"temperature": t, "prior": prior} for t in (1.0, 2.0, 4.0) for prior in (0.0, 1.5)],
    "learnable": [{"gain": gain, "temperature": t} for gain in (1.0, 3.0) for t in (3.0, 6.0, 12.0)],
}
# What is used without tuning.
CHOSEN: dict[str, dict] = {
    "uniform": {"offset": 0},
    "centre": {"offset": 0},
    "boundary": {"offset": 0},
    "motion": {"scale": "standard", "temperature": 2.0},
    "relative": {"temperature": 2.0, "prior": 0.0},
    "learnable": {"gain": 1.0, "temperature": 6.0},
}


def without_merging(seed: int) -> Job:
    """The network without merging: one a seed, whatever the place, gamma and R of the others."""
    return Job("c", "none", gamma=1, r=1.0, seed=seed)
