"""What is measured on labelled clips: rows x splits x seeds x folds, resumable. `labelled` reports it.

(a) retention  frozen tokens are merged once and averaged; a linear reader tells the label
(c) trained    networks trained with merging, on a few principal components of the tokens

Whatever is learned or chosen, saliency, settings, the reader's strength, the best epoch, sees the training clips only,
and is chosen on folds of the same kind within them. Every strategy has four trials of its settings.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import Tensor
from tqdm import tqdm

from ..merging import partition
from ..merging.registry import REDUCERS, reducer
from ..merging.strategies import Motion, Reducer, Relative, Saliency, signals
from ..network.model import VideoClassifier
from ..training.loop import Items, Recipe, evaluate, fit
from .experiment import forward
from .jobs import PLACES
from .kept import Kept
from .probe import retain
from .saliencies import Learning, basis, learn
from .splits import KINDS, Grouped, folds

LEARNED = ("learned", "learned, held back", "learned elsewhere")
# Four trials of every strategy's settings. Random targets have none, and other reducers are taken as they are.
TRIALS: dict[str, list[dict]] = {
    "uniform": [{"offset": k} for k in range(4)],
    "centre": [{"offset": k} for k in range(4)],
    "boundary": [{"offset": k} for k in range(4)],
    "motion": [
        {"scale": scale, "temperature": t} for scale, t in (("raw", 1.0), *(("standard", t) for t in (1.0, 2.0, 4.0)))
    ],
    "relative": [{"temperature": t} for t in (1.0, 2.0, 4.0, 8.0)],
    "relative, prior": [{"temperature": t, "prior": p} for t in (2.0, 4.0) for p in (0.75, 1.5)],
    "learned": [{"temperature": t} for t in (3.0, 6.0, 12.0, 24.0)],
    "learned, held back": [
        {"components": c, "frames": 0.5, "decay": 0.1, "temperature": t} for c in (4, 16) for t in (6.0, 12.0)
    ],
    "learned elsewhere": [{"components": c, "temperature": t} for c in (None, 16) for t in (6.0, 12.0)],
    "decoder": [{"temperature": t} for t in (1.0, 2.0, 4.0, 8.0)],
}
STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # of the reader: scikit-learn's C
INNER = 3  # folds within the training folds, for every choice
NETWORKS = ("none", "random", "uniform", "motion", "relative", "learnable", "learned elsewhere", "decoder")


@dataclass(frozen=True)
class Plan:
    """What decides the results, beside the clips.

    Attributes
    ----------
    splits : tuple of str
        Kinds of folds, of `splits.KINDS`.
    gamma : tuple of float
        Partition factors of (a). Settings are chosen at the largest.
    folds, seeds : int
        Seeds of draws and of learned saliency, and, but for splits by time and number, of the folds.
    evidence : str
        "a", "c" or both.
    network_seeds, network_gamma, channels, epochs, lr, batch
        Of (c). channels: principal components of the tokens.
    place : str
        Of (c): where networks merge, one of `experiment.PLACES`.
    only : tuple of str
        These rows and "none"; default: all.
    """

    splits: tuple[str, ...] = ("time", "random")
    gamma: tuple[float, ...] = (6, 20)
    folds: int = 5
    seeds: int = 5
    evidence: str = "ac"
    network_seeds: int = 3
    network_gamma: float = 6
    channels: int = 48
    epochs: int = 16
    lr: float = 3e-3
    batch: int = 8
    place: str = PLACES[1]
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.evidence or set(self.evidence) - set("ac"):
            raise ValueError(f'evidence is {self.evidence!r}; on labelled films it is "a", "c" or "ac".')
        if not self.splits or set(self.splits) - set(KINDS):
            raise ValueError(f"splits are {','.join(self.splits)}; choose among {', '.join(KINDS)}.")
        if self.place not in PLACES:
            raise ValueError(f"networks merge at {self.place!r}; choose one of {', '.join(PLACES)}.")
        known = dict.fromkeys([*TRIALS, *NETWORKS, *REDUCERS])
        if set(self.only) - set(known):
            raise ValueError(f"rows are {', '.join(self.only)}; choose among {', '.join(known)}.")
        if not all(gamma > 1 for gamma in (*self.gamma, self.network_gamma)):
            raise ValueError(f"gamma is {self.gamma}, of networks {self.network_gamma}; every one is more than 1.")
        if min(self.seeds, self.network_seeds) < 1 or self.folds < 2:
            raise ValueError(f"seeds is {self.seeds}, folds {self.folds}; give 1 seed and 2 folds, or more.")


@dataclass(frozen=True)
class Job:
    """One thing that is measured: a row in one fold, with one seed."""

    evidence: str
    split: str
    row: str
    gamma: float
    seed: int
    fold: int


@dataclass
class Clips:
    """Labelled clips as tokens.

    Attributes
    ----------
    items : Items
        tokens (n, L, h, w, C), label (n,), oracle (n, L, h, w), zeros; motion, vectors, where films have them.
    known : Grouped
        What belongs together.
    classes : tuple of str
        Their names.
    elsewhere : Items, optional
        Tokens and labels of other footage, to learn saliency from.
    decoder : Tensor, optional
        (n, L, h, w), a trained map of where the object is.
    """

    items: Items
    known: Grouped
    classes: tuple[str, ...]
    elsewhere: Items | None = None
    decoder: Tensor | None = None

    @property
    def labels(self) -> np.ndarray:
        """(n,) int64."""
        return self.items.columns["label"].numpy()

    def scored(self, score: Tensor) -> Items:
        """The clips with a score in the place of motion: whatever samples by motion then samples by it."""
        return Items(**{**self.items.columns, "motion": score})


class LabelledStudy:
    """The study under way: its clips, and a folder that keeps every result as soon as it is there."""

    def __init__(
        self,
        clips: Clips,
        plan: Plan,
        folder: str | Path,
        progress: bool = True,
        own: Mapping[str, Reducer] | None = None,
    ):
        """own: a reader's own reducers. They and the controls are all that is then run, and they leave no results in
        the folder: tomorrow the function may be another."""
        self.clips, self.plan, self.folder, self.progress = clips, plan, Path(folder), progress
        self.own = dict(own or {})
        self._files: dict[str, Kept] = {}
        self.results = self._resume()
        self.kept = cache(self._kept)
        self.taught = cache(self._taught)
        self.chosen = cache(self._chosen)
        self.cut = cache(self._cut)
        self.draws = cache(self._draws)

    # --------------------------------------------------------------------------------------------- what there is to do

    def rows(self, evidence: str) -> list[str]:
        """The rows of a kind of evidence that these clips bear; of one's own and the controls, where there are own."""
        if self.own:
            return ["none", "random", *self.own]
        has = self.clips.items.columns
        lacking = {name for name, there in {
            "motion": "motion" in has, "relative": "vectors" in has, "relative, prior": "vectors" in has,
            "learned elsewhere": self.clips.elsewhere is not None, "decoder": self.clips.decoder is not None,
        }.items() if not there}  # fmt: skip
        if self.plan.only:
            lacking |= {*TRIALS, *NETWORKS, *REDUCERS} - {"none", *self.plan.only}
        if evidence == "c":
            return [name for name in NETWORKS if name not in lacking]
        others = [name for name in REDUCERS if set(signals(reducer(name))) <= {"chance", "attention", "entropy"}]
        every = dict.fromkeys(("none", "random", *TRIALS, *others))
        return [name for name in every if name not in lacking]

    def jobs(self) -> Iterator[Job]:
        """Everything, cheap rows and fair splits first."""
        plan = self.plan
        for evidence in plan.evidence:
            gammas = plan.gamma if evidence == "a" else (plan.network_gamma,)
            for split in plan.splits:
                for seed in range(plan.seeds if evidence == "a" else plan.network_seeds):
                    for row in self.rows(evidence):
                        if seed and evidence == "a" and split in ("time", "number") and not self.draws(row):
                            continue
                        for gamma in (1,) if row == "none" else gammas:
                            for fold in range(len(self.cut(split, seed))):
                                yield Job(evidence, split, row, gamma, seed, fold)

    def run(self) -> dict[Job, dict]:
        """Do what is not done yet."""
        jobs = list(self.jobs())
        with tqdm(total=len(jobs), desc="labelled clips", unit="result", disable=not self.progress) as bar:
            for job in jobs:
                bar.set_postfix_str(f"({job.evidence}) {job.split}, {job.row}, seed {job.seed}")
                if job not in self.results:
                    started = time.perf_counter()
                    found = self.read(job) if job.evidence == "a" else self.trained(job)
                    self._keep(job, found | {"seconds": round(time.perf_counter() - started, 1)})
                bar.update()
        return self.results

    def _cut(self, split: str, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
        return folds(split, self.clips.labels, self.clips.known, self.plan.folds, seed)

    # ------------------------------------------------------------------------------------------------- (a) retention

    def read(self, job: Job) -> dict:
        """A linear reader of merged clips: which clips of the test fold it gets right."""
        labels, (train, test) = self.clips.labels, self.cut(job.split, job.seed)[job.fold]
        trial = self.chosen(job.split, job.row, job.fold)
        x, tokens = self.features(job, trial, train)
        inner = self.inner(job.split, train, job.seed)
        losses = [sum(_loss(x, labels, train[i], train[j], c) for i, j in inner) for c in STRENGTHS]
        strength = STRENGTHS[int(np.argmin(losses))]
        right = _guess(x, labels, train, test, strength).argmax(1) == labels[test]
        return _told(test, right) | {"tokens": tokens, "trial": trial, "strength": strength}

    def _chosen(self, split: str, row: str, fold: int) -> int:
        """Which trial has the least loss on folds within the training folds: at the largest gamma, with the first seed.

        Other seeds take it over, fold by fold.
        """
        if len(TRIALS.get(row, ())) < 2:
            return 0
        labels, (train, _) = self.clips.labels, self.cut(split, 0)[fold]
        job = Job("a", split, row, max(self.plan.gamma), 0, fold)
        losses = []
        for trial in range(len(TRIALS[row])):
            best = dict.fromkeys(STRENGTHS, 0.0)
            for one, other in self.inner(split, train, 0):
                x, _ = self.features(job, trial, train[one])
                for strength in STRENGTHS:
                    best[strength] += _loss(x, labels, train[one], train[other], strength)
            losses.append(min(best.values()))
        return int(np.argmin(losses))

    def inner(self, split: str, train: np.ndarray, seed: int, k: int = INNER) -> list[tuple[np.ndarray, np.ndarray]]:
        """Folds of the same kind within the training clips; by chance, where these are of one group."""
        labels, known = self.clips.labels[train], self.clips.known[train]
        try:
            return folds(split, labels, known, k, seed)
        except ValueError:
            return folds("random", labels, known, k, seed)

    def features(self, job: Job, trial: int, train: np.ndarray) -> tuple[np.ndarray, int]:
        """(n, C) means of what is left of every clip, and how many tokens that are.

        What is learned is learned from the training clips alone.
        """
        apart = tuple(train) if job.row in ("learned", "learned, held back") else ()
        return self.kept(job.row, trial, job.gamma, job.seed if self.draws(job.row) else 0, apart)

    def _kept(self, row: str, trial: int, gamma: float, seed: int, train: tuple[int, ...]) -> tuple[np.ndarray, int]:
        return self.merged(self.clips, row, trial, gamma, seed, train)

    def merged(
        self, clips: Clips, row: str, trial: int, gamma: float, seed: int, train: tuple[int, ...] = ()
    ) -> tuple[np.ndarray, int]:
        """One merge of clips: (n, C) means of what is left, and how many tokens that are."""
        items = clips.items
        if row == "decoder":
            assert clips.decoder is not None
            items = clips.scored(clips.decoder)
        if not row.startswith("relative"):  # the camera's motion is fitted only for who looks at it
            items = Items(**{name: column for name, column in items.columns.items() if name != "vectors"})
        made = retain(items, gamma=gamma, rounds=1, seed=seed, **self.plug(row, trial, seed, train))
        return made.features.numpy(), made.tokens

    def _draws(self, row: str) -> bool:
        """Whether chance plays a part in a row: two seeds then make something else of two clips."""
        if row in LEARNED:
            return True
        few = replace(self.clips, items=self.clips.items[:2])
        if few.decoder is not None:
            few = replace(few, decoder=few.decoder[:2])
        one, other = (self.merged(few, row, 0, max(self.plan.gamma), seed)[0] for seed in (0, 1))
        return not np.allclose(one, other)

    def plug(self, row: str, trial: int, seed: int, train: tuple[int, ...] = ()) -> dict[str, Any]:
        """What `retain` takes for a row."""
        if row in ("none", "random"):
            return {"strategy": row}
        if row in self.own:
            return {"reducer": self.own[row]}
        if row in REDUCERS:
            return {"reducer": row}
        settings = TRIALS[row][trial]
        if row in LEARNED:
            how = Learning(**settings)
            alike = self.taught(replace(how, temperature=1.0), seed, train)  # for all temperatures
            return {"strategy": replace(alike, temperature=how.temperature)}
        made: dict[str, Callable] = {
            "motion": Motion, "decoder": partial(Motion, "standard"), "relative": Relative, "relative, prior": Relative,
            "uniform": lambda **given: partial(partition.uniform, **given),
        }  # fmt: skip
        region = lambda **given: partial(partition.region, focus=row, **given)  # noqa: E731
        return {"strategy": made.get(row, region)(**settings)}

    def _taught(self, how: Learning, seed: int, train: tuple[int, ...]) -> Saliency:
        """Saliency learned from training clips; from all clips of the other footage, where none are named."""
        if train:
            columns = self.clips.items[list(train)].columns
        else:
            assert self.clips.elsewhere is not None
            columns = self.clips.elsewhere.columns
        return learn(columns["tokens"], columns["label"], seed, how)

    # --------------------------------------------------------------------------------------------------- (c) trained

    def trained(self, job: Job) -> dict:
        """A network trained with merging, its best epoch chosen on a fold within the training clips."""
        plan, (train, test) = self.plan, self.cut(job.split, job.seed)[job.fold]
        within = self.inner(job.split, train, job.seed, k=5)
        own, valid = within[job.seed % len(within)]
        items = self.clips.items
        strategy: Any = {"motion": Motion("standard", 2.0), "relative": Relative(), "decoder": Motion("standard", 2.0),
                         "learned elsewhere": Motion("raw", 6.0)}.get(job.row, job.row)  # fmt: skip
        if job.row == "decoder":
            assert self.clips.decoder is not None
            items = self.clips.scored(self.clips.decoder)
        elif job.row == "learned elsewhere":
            saliency = self.taught(Learning(components=16, temperature=1.0), job.seed, ())
            tokens = items.columns["tokens"]
            items = self.clips.scored(saliency.score(tokens.flatten(1, 3).float()).view(tokens.shape[:-1]))
        items = narrowed(items, train, plan.channels)
        if job.row != "relative":
            items = Items(**{name: column for name, column in items.columns.items() if name != "vectors"})
        model = self.network(strategy, job.seed)
        recipe = Recipe(epochs=plan.epochs, warmup=plan.epochs / 10, lr=plan.lr, batch=plan.batch, seed=job.seed)
        run = fit(model, items[torch.from_numpy(train[own])], items[torch.from_numpy(train[valid])], recipe,
                  forward=forward, device="cpu", progress=False)  # fmt: skip
        seen = evaluate(model, items[torch.from_numpy(test)], recipe, forward=forward)
        last = round(run.history[-1]["train_loss"], 4)
        return _told(test, seen.correct.numpy()) | {"best_epoch": run.best, "train_loss": last}

    def network(self, strategy: Any, seed: int) -> VideoClassifier:
        """The paper's network with chunks of a quarter, a half and all of the frames."""
        frames = self.clips.items.columns["tokens"].shape[1]
        shortest = max(1, frames // 4)
        chunks = (shortest, 2 * shortest, 4 * shortest)
        width = min(self.plan.channels, self.clips.items.columns["tokens"].shape[-1])
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            return VideoClassifier(
                width, 3, chunks, len(self.clips.classes), strategy, self.plan.network_gamma, widths=(width,) * 3,
                residual=True, guidance=7.0, aux="heads", temperature=6.0 if strategy == "learnable" else None,
                merge_at=self.plan.place,
            )  # fmt: skip

    # ----------------------------------------------------------------------------------------------- what is kept

    def _resume(self) -> dict[Job, dict]:
        """Results of an earlier, stopped call; refuses a folder of another plan or of other clips."""
        names, found = [field.name for field in fields(Job)], {}
        for evidence in self.plan.evidence:
            kept = self._files[evidence] = Kept(self._path(evidence), self._about(evidence))
            for record in kept.read():
                found[Job(*(record.pop(name) for name in names))] = record
        return found

    def _path(self, evidence: str) -> Path:
        elsewhere = evidence == "c" and self.plan.place != PLACES[1]
        return self.folder / (
            f"results-{evidence}-{self.plan.place}.jsonl" if elsewhere else f"results-{evidence}.jsonl"
        )

    def _about(self, evidence: str) -> dict:
        """What results of a kind of evidence hang on, as JSON holds it; more seeds and splits may be added."""
        plan = asdict(self.plan)
        own = {"a": ("gamma",), "c": ("network_gamma", "channels", "epochs", "lr", "batch")}
        names = ("folds", *own[evidence])
        about = {name: plan[name] for name in names} | {"tokens": self.clips.items.columns["tokens"].shape}
        about |= {"groups": self.clips.known.group.tolist()} | ({"trials": TRIALS} if evidence == "a" else {})
        return json.loads(json.dumps(about))

    def _keep(self, job: Job, values: dict) -> None:
        self.results[job] = values
        if job.row in self.own:
            return
        self._files[job.evidence].add(asdict(job) | values)


def narrowed(items: Items, train: np.ndarray, channels: int) -> Items:
    """The clips, and in place of tokens their first principal components, found on the training clips."""
    tokens = items.columns["tokens"]
    mean, axes = basis(tokens[torch.from_numpy(train)], min(channels, tokens.shape[-1]))
    z = (tokens.float() - mean) @ axes
    return Items(**{**items.columns, "tokens": z / z[torch.from_numpy(train)].std()})


def _told(test: np.ndarray, right: np.ndarray) -> dict:
    return {"test": test.tolist(), "right": right.astype(int).tolist()}


def _guess(x: np.ndarray, labels: np.ndarray, train: np.ndarray, others: np.ndarray, strength: float) -> np.ndarray:
    """(m, K): a logistic reader's probabilities for others, K classes of all clips."""
    mean, std = x[train].mean(0), x[train].std(0).clip(1e-6)
    z = (x - mean) / std
    # A reader with a quadratic penalty looks at the span of its training clips only: some 60 numbers of 384.
    _, _, span = np.linalg.svd(z[train], full_matrices=False)
    z = z @ span.T
    reader = LogisticRegression(C=strength, max_iter=500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        reader.fit(z[train], labels[train])
    chance = np.zeros((len(others), labels.max() + 1))
    chance[:, reader.classes_] = reader.predict_proba(z[others])
    return chance


def _loss(x: np.ndarray, labels: np.ndarray, train: np.ndarray, others: np.ndarray, strength: float) -> float:
    """The sum of the log losses over others."""
    chance = _guess(x, labels, train, others, strength).clip(1e-6)
    chance /= chance.sum(1, keepdims=True)
    return float(log_loss(labels[others], chance, labels=np.arange(chance.shape[1]), normalize=False))
