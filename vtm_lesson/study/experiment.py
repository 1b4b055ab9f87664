"""A study: strategies x seeds on toy films, kinds of evidence, resumable. `study.report` reports it.

(a) retention  frozen tokens are merged twice and averaged; a linear reader tells the label (`study.probe`)
(b) plug-in    a network trained without merging; merging is switched on at inference only, accuracy against gamma
(c) trained    networks trained with merging, as in the paper
(h) in half    the networks of (c), computed in bfloat16 at inference; asked for by itself, as evidence "ch"

Films come in three sets that share none: training films for networks and saliency, validation films for every choice
of a setting and for the best epoch, test films for the results. Every strategy has the same number of trials.
Controls: none (no merging), random targets, and oracle targets, which see the actor.

`study.jobs` says what there is to measure, and which settings are tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .. import films
from ..datasets.toy import toy_films
from ..measuring import clock
from ..merging import partition
from ..merging.registry import REDUCERS
from ..merging.strategies import Motion, Relative, Saliency
from ..network.model import VideoClassifier, count
from ..training.checkpoints import read
from ..training.loop import Items, Recipe, evaluate, fit
from .jobs import ACTOR, CHOSEN, CONTROLS, PLACES, TRIALS, Job, Study, without_merging
from .kept import Kept
from .probe import from_block, learn_saliency, linear_probe, retain


class Comparison:
    """A study under way: its films, and a folder that keeps every result as soon as it is there."""

    def __init__(self, study: Study, folder: str | Path, tokens: str | Path | None = None, **making):
        """tokens: where films as tokens are kept. making: encoder, workers, progress, for `datasets.toy_films`."""
        self.study, self.folder = study, Path(folder)
        self._file = Kept(self.folder / "results.jsonl", asdict(study))
        self.results: dict[Job, dict] = self._resume()
        self.progress = making.get("progress", True)
        making |= {"folder": tokens, "frames": study.frames, "size": study.size, "noise": study.noise}
        names = ("train", "valid", "test")
        sets = {name: toy_films(getattr(study, name), seed, **making) for seed, name in enumerate(names, 11)}
        # Channels with mean 0 and deviation 1 over the training films.
        some = sets["train"].columns["tokens"][:500].float()
        mean, std = some.mean((0, 1, 2, 3)), some.std((0, 1, 2, 3)).clamp(min=1e-6)
        for items in sets.values():
            columns = items.columns
            for index in torch.arange(len(items)).split(500):
                columns["tokens"][index] = ((columns["tokens"][index].float() - mean) / std).half()
        self.train, self.valid, self.test = sets["train"], sets["valid"], sets["test"]
        self.saliencies: dict = {}

    def run(self, progress: bool = True) -> dict[Job, dict]:
        """Do what is not done yet; returns the values that were measured for every job."""
        jobs = list(self.jobs())
        with tqdm(total=len(jobs), desc="comparing", unit="result", disable=not progress) as bar:
            for job in jobs:
                bar.set_postfix_str(str(job))
                if job not in self.results:
                    started = time.perf_counter()
                    values = self.do(job)
                    self.keep(job, values | {"seconds": round(time.perf_counter() - started, 2)})
                bar.update()
        return self.results

    def records(self, *evidence: str) -> list[dict]:
        """The results so far of these kinds of evidence, one record each."""
        return [job.record(values) for job, values in self.results.items() if job.evidence in evidence]

    def jobs(self) -> Iterator[Job]:
        """Everything that the study measures, in an order in which each job needs only what came before."""
        s = self.study
        if s.tune:
            for name in s.strategies:
                yield from self.trials(name)
        everyone = ("none", "random", *s.strategies, "oracle")
        budgets = [(gamma, r, seed) for seed, gamma, r in product(range(s.seeds), s.gamma, s.r)]
        if "a" in s.evidence:
            for budget, name in product(budgets, everyone):
                yield Job("a", name, "", *budget)
        if "b" in s.evidence or "c" in s.evidence:
            for seed in range(s.seeds):
                yield without_merging(seed)
        for place in s.places:
            for budget, name in product(budgets, everyone[1:] if "c" in s.evidence else ()):
                yield Job("c", name, place, *budget)
            for budget, name in product(budgets, everyone[1:] if "h" in s.evidence else ()):
                yield Job("h", name, place, *budget)
            for budget in budgets if "a" in s.evidence and "learnable" in s.strategies else ():
                yield Job("a", "auxiliary", place, *budget)
            if "b" in s.evidence:
                for seed, gamma, name in product(range(s.seeds), s.plug_gammas, everyone[1:]):
                    yield Job("b", name, place, gamma, seed=seed)
            for name in everyone:
                yield Job("cost", name, place, s.gamma[0], s.r[0])

    def trials(self, name: str) -> list[Job]:
        """The trials of a strategy's settings, one for each of TRIALS; other reducers are taken as they are."""
        s = self.study
        return [Job("tune", name, gamma=s.gamma[0], r=s.r[0], trial=k) for k in range(len(TRIALS.get(name, ())))]

    def do(self, job: Job) -> dict:
        """Measure what a job asks for."""
        kinds = {"tune": self.tried, "a": self._retained, "b": self._plugged, "c": self.trained, "cost": self._cost,
                 "h": self._halved}  # fmt: skip
        return kinds[job.evidence](job)

    # ------------------------------------------------------------------------------------------- what is run

    def strategy(self, name: str, seed: int, settings: dict | None = None) -> str | Callable | None:
        """The partition behind a name, with the settings that were chosen."""
        if name in CONTROLS or name in REDUCERS:
            return None if name == "none" else name
        settings = self.chosen(name) if settings is None else settings
        if name == "motion":
            return Motion(**settings)
        if name == "relative":
            return Relative(**settings)
        if name == "learnable":
            return self.saliency(seed, **settings)
        if name == "uniform":
            return partial(partition.uniform, **settings)
        return partial(partition.region, focus=name, **settings)

    def chosen(self, name: str) -> dict:
        """The settings of the best of a strategy's trials on validation films."""
        found = [self.results[job]["accuracy"] for job in self.trials(name) if job in self.results]
        if name not in TRIALS:
            return {}
        if not self.study.tune or len(found) < len(TRIALS[name]):
            return CHOSEN[name]
        return TRIALS[name][found.index(max(found))]

    def saliency(self, seed: int, gain: float, temperature: float) -> Saliency:
        """Saliency learned by pooling, from the training films."""
        if (seed, gain) not in self.saliencies:
            self.saliencies[seed, gain] = learn_saliency(self.train, seed, epochs=self.study.saliency_epochs, gain=gain)
        return replace(self.saliencies[seed, gain], temperature=temperature)

    def tried(self, job: Job) -> dict:
        """One trial of settings: (a) on the validation films, three splits."""
        settings = TRIALS[job.strategy][job.trial]
        strategy = self.strategy(job.strategy, job.seed, settings)
        found = [self._probe(self.valid, strategy, replace(job, seed=split)) for split in range(3)]
        return {"settings": settings, "accuracy": sum(values["accuracy"] for values in found) / 3}

    def _retained(self, job: Job) -> dict:
        """(a): a linear reader on merged test films; saliency comes from the training films."""
        if job.strategy == "auxiliary":
            source = replace(job, evidence="c", strategy="learnable")
            model = self._network(source.strategy, job.place, job.gamma, job.r)
            self.trained(source)  # or, once trained, what its folder holds
            model.load_state_dict(_best(self.weights(source)))
            saliency = from_block(model.each_block[0], self.chosen("learnable")["temperature"])
            return self._probe(self.test, saliency, job)
        return self._probe(self.test, self.strategy(job.strategy, job.seed), job)

    def _probe(self, items: Items, strategy: str | Callable | None, job: Job) -> dict:
        plug: dict[str, Any] = {"reducer": strategy} if job.strategy in REDUCERS else {"strategy": strategy}
        kept = retain(items, gamma=job.gamma, r=job.r, seed=job.seed, actor=ACTOR, **plug)
        order = torch.randperm(len(items), generator=torch.Generator().manual_seed(job.seed))
        fitted, read_out = order[: int(0.6 * len(items))], order[int(0.6 * len(items)) :]
        labels, way = items.columns["label"], items.columns["way"]
        guess = linear_probe(kept.features[fitted], labels[fitted], kept.features[read_out])
        values = _by_way(guess == labels[read_out], way[read_out])
        return values | _recall(kept.recall, way) | {"share": float(kept.share.mean()), "tokens": kept.tokens}

    def _plugged(self, job: Job) -> dict:
        """(b): the network trained without merging, with merging at inference."""
        strategy, items = self.strategy(job.strategy, job.seed), self.test
        if job.strategy == "learnable":
            # This network has no saliency of its own. The one learned from tokens travels in the place of motion.
            saliency, tokens = self.saliency(job.seed, **self.chosen("learnable")), items.columns["tokens"]
            score = torch.cat([saliency.score(part.float().flatten(1, 3)) for part in tokens.split(100)])
            items = Items(**items.columns | {"motion": score.view(tokens.shape[:-1])})
            strategy = Motion("raw", saliency.temperature)
        model = self._network(strategy, job.place, job.gamma, job.r)
        model.load_state_dict(_best(self.weights(without_merging(job.seed))))
        return self.scored(model, items, job.seed)

    def trained(self, job: Job) -> dict:
        """(c): a network trained with merging, its best epoch chosen on validation films."""
        with torch.random.fork_rng([]):
            torch.manual_seed(job.seed)
            model = self._network(job.strategy, job.place or PLACES[0], job.gamma, job.r)
        return self.fitted(model, self.weights(job), job.seed, job.strategy)

    def _halved(self, job: Job) -> dict:
        """(h): a network of (c) in bfloat16, which keeps 8 bits of every number; its accuracy on test films."""
        model = self._network(job.strategy, job.place, job.gamma, job.r)
        model.load_state_dict(_best(self.weights(replace(job, evidence="c"))))
        return self.scored(model.bfloat16(), self.test, job.seed)

    def fitted(self, model: VideoClassifier, folder: Path, seed: int, title: str, epochs: int | None = None) -> dict:
        """Train by the study's recipe, or take over what the folder holds; scores on test films."""
        s = self.study
        recipe = Recipe(epochs=epochs or s.epochs, warmup=s.warmup, lr=s.lr, batch=s.batch, seed=seed)
        run = fit(model, self.train, self.valid, recipe, folder=folder, forward=forward, device="cpu",
                  label=f"{title}, seed {seed}", progress=self.progress)  # fmt: skip
        curve = [[round(e["train_loss"], 4), round(e["valid_loss"], 4)] for e in run.history]
        return self.scored(model, self.test, seed) | {"best_epoch": run.best, "losses": curve}

    def _cost(self, job: Job) -> dict:
        """A batch at inference against the same batch without merging (fused attention): FLOPs, time, peak memory."""
        s = self.study
        batch = {n: c.float() if c.is_floating_point() else c for n, c in self.test[:16].columns.items()}
        models = {
            "without": self._network("none", job.place, 1, 1.0),
            "with": self._network(job.strategy, job.place, job.gamma, job.r),
        }
        runs: dict[str, Callable] = {
            key: partial(torch.no_grad()(forward), model.eval(), batch) for key, model in models.items()
        }
        # A reducer that keeps a different number in each film is counted by what it left of these.
        trace = None
        if models["with"].each_block[0].ragged:
            with torch.no_grad():
                trace = forward(models["with"].eval(), batch, trace=True)[1]
        ledger, whole = count(models["with"], *s.grid, trace=trace), count(models["without"], *s.grid)
        times = clock.interleaved(runs, s.rounds)
        memory = {key: clock.peak_tensors(run) for key, run in runs.items()}
        return {
            "flops": ledger.flops,
            "training_flops": count(models["with"], *s.grid, training=True, trace=trace).flops,
            "flops_ratio": whole.flops / ledger.flops,
            "speed_ratio": clock.ratio(times, "without", "with"),
            "memory_ratio": memory["without"] / memory["with"],
            "tokens": ledger.tokens,
        }

    def _network(self, strategy: str | Callable | None, place: str, gamma: float, r: float) -> VideoClassifier:
        """strategy: its name ("learnable": with an auxiliary path of its own), a reducer's, or a partition."""
        temperature = None
        if strategy == "learnable":
            temperature = self.chosen("learnable")["temperature"]
        elif isinstance(strategy, str):
            strategy = self.strategy(strategy, 0)
        by_name = isinstance(strategy, str) and strategy in REDUCERS
        plug: dict[str, Any] = {"reducer": strategy} if by_name else {"partition": strategy}
        return VideoClassifier(**network(self.study), **plug, merge_at=place, gamma=gamma, r=r, temperature=temperature)

    def weights(self, job: Job, name: str | None = None) -> Path:
        """The folder of a job's trained network. name: what it is called, by default as its strategy."""
        where = f"{job.place or PLACES[0]}-gamma{job.gamma:g}-r{job.r:g}-seed{job.seed}"
        return self.folder / "networks" / f"{name or job.strategy}-{where}"

    @torch.no_grad()
    def scored(self, model: VideoClassifier, items: Items, seed: int) -> dict:
        """Accuracy, loss and recall of a network on films, and how many tokens it is left with."""
        seen = evaluate(model, items, Recipe(seed=seed, batch=32), forward=forward)
        values = _by_way(seen.correct, items.columns["way"]) | {"loss": seen.loss}
        some = items[: min(300, len(items))].columns
        model.eval()
        torch.manual_seed(seed)
        trace = forward(model, {name: column.float() for name, column in some.items()}, trace=True)[1]
        shown = some["oracle"].flatten(1) >= ACTOR
        met = torch.zeros_like(shown).scatter(1, trace.blocks[0].target_patches, True)
        recall = (met & shown).sum(1) / shown.sum(1).clamp(min=1)
        return values | _recall(recall, some["way"]) | {"tokens": trace.blocks[-1].left}

    # ------------------------------------------------------------------------------------------- what is kept

    def _resume(self) -> dict[Job, dict]:
        """Results from an earlier, stopped call; refuses a folder of an older form."""
        records = self._file.read()
        if not all("evidence" in record for record in records):
            raise ValueError(
                f'{self._file.path} is of an older form: its results have a "key" in place of fields;'
                " give another --folder or delete that file."
            )
        try:
            return dict(Job.split(record) for record in records)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{self._file.path} holds a result that lacks {error}; give another --folder, or delete that line."
            ) from None

    def keep(self, job: Job, values: dict) -> None:
        """Keep a result, in memory and as a line of results.jsonl."""
        self.results[job] = values
        self._file.add(job.record(values))


def _best(folder: Path) -> dict[str, Tensor]:
    """The weights that a training run left there."""
    return read(folder / "best.safetensors", "delete its folder and the lines of its network in results.jsonl")[0]


def network(study: Study) -> dict:
    """The arguments of the study's networks, all strategies alike."""
    blocks, alike = len(study.chunks), ("chunks", "residual", "guidance", "aux")
    shape = {"dim": study.width, "widths": (study.width,) * blocks, "blocks": blocks, "classes": len(films.GESTURES)}
    return shape | {name: getattr(study, name) for name in alike}


def forward(model: nn.Module, batch: dict[str, Tensor], **options):
    """The network on a batch of toy films: (B, K).

    In training with an auxiliary path of aux="heads": (B, 2, K), the logits of both paths, so that each gets a loss.
    """
    batch = batch | {"tokens": batch["tokens"].to(next(model.parameters()).dtype)}
    known = {"motion": batch["motion"], "oracle": batch["oracle"], **options}
    if _may_ask_for_the_camera(model):  # fitted for nothing it would slow the others down
        known["vectors"] = batch.get("vectors")
    if model.training and not options:
        outputs, trace = model(batch["tokens"], trace=True, **known)
        return outputs if trace.paths is None else torch.stack(trace.paths, 1)
    return model(batch["tokens"], **known)


def _may_ask_for_the_camera(model: nn.Module) -> bool:
    """Whether a network may want motion relative to the camera: by its partition, or a reducer that nobody knows."""
    blocks: Any = model.each_block
    config = blocks[0].config
    return config.reducer is not None or config.partition == "relative" or isinstance(config.partition, Relative)


def _by_way(correct: Tensor, way: Tensor) -> dict:
    ways = {name: float(correct[way == k].float().mean()) for k, name in enumerate(films.WAYS)}
    return {"accuracy": float(correct.float().mean()), "ways": ways}


def _recall(recall: Tensor, way: Tensor) -> dict:
    return {"recall": {name: float(recall[way == k].mean()) for k, name in enumerate(films.WAYS)}}
