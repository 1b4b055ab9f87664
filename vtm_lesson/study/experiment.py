"""A study: strategies x seeds on toy films, three kinds of evidence, resumable. `vtm_lesson.compare` reports it.

(a) retention  frozen tokens are merged twice and averaged; a linear reader tells the label (`vtm_lesson.probe`)
(b) plug-in    a network trained without merging; merging is switched on at inference only, accuracy against gamma
(c) trained    networks trained with merging, as in the paper

Films come in three sets that share none: training films for networks and saliency, validation films for every choice
of a setting and for the best epoch, test films for the results. Every strategy has the same number of trials.
Controls: none (no merging), random targets, and oracle targets, which see the actor.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm

from .. import films
from ..datasets.toy import toy_films
from ..measuring import clock
from ..merging import partition
from ..network.model import VideoClassifier, count
from ..training.loop import Items, Recipe, evaluate, fit
from .probe import Motion, Saliency, from_block, learn_saliency, linear_probe, retain

CONTROLS = ("none", "random", "oracle")
STRATEGIES = ("uniform", "centre", "boundary", "motion", "learnable")
PLACES = ("before_attention", "after_attention")
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
    places: tuple[str, ...] = PLACES
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
        unknown = set(self.strategies) - set(STRATEGIES)
        if unknown or not self.strategies:
            raise ValueError(f"strategies are {self.strategies}; choose among {', '.join(STRATEGIES)}.")
        if not set(self.evidence) <= set("abc") or not self.evidence:
            raise ValueError(f'evidence is {self.evidence!r}; it is one or more of the letters "a", "b", "c".')
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
    "learnable": [{"gain": gain, "temperature": t} for gain in (1.0, 3.0) for t in (3.0, 6.0, 12.0)],
}
# What is used without tuning.
CHOSEN = {
    "uniform": {"offset": 0},
    "centre": {"offset": 0},
    "boundary": {"offset": 0},
    "motion": {"scale": "standard", "temperature": 2.0},
    "learnable": {"gain": 1.0, "temperature": 6.0},
}


class Comparison:
    """A study under way: its films, and a folder that keeps every result as soon as it is there."""

    def __init__(self, study: Study, folder: str | Path, tokens: str | Path | None = None, **making):
        """tokens: where films as tokens are kept. making: encoder, workers, progress, for `datasets.toy_films`."""
        self.study, self.folder = study, Path(folder)
        self.results = self._resume()
        self.progress = making.get("progress", True)
        making |= {"folder": tokens, "frames": study.frames, "size": study.size, "noise": study.noise}
        names = ("train", "valid", "test")
        sets = {name: toy_films(getattr(study, name), seed, **making) for seed, name in enumerate(names, 11)}
        # Channels with mean 0 and deviation 1 over the training films.
        tokens = sets["train"].columns["tokens"][:500].float()
        mean, std = tokens.mean((0, 1, 2, 3)), tokens.std((0, 1, 2, 3)).clamp(min=1e-6)
        for items in sets.values():
            columns = items.columns
            for index in torch.arange(len(items)).split(500):
                columns["tokens"][index] = ((columns["tokens"][index].float() - mean) / std).half()
        self.train, self.valid, self.test = sets["train"], sets["valid"], sets["test"]
        self.saliencies: dict = {}

    def run(self, progress: bool = True) -> dict:
        """Do what is not done yet; returns {key: record}."""
        jobs = list(self.jobs())
        with tqdm(total=len(jobs), desc="comparing", unit="result", disable=not progress) as bar:
            for key, work in jobs:
                bar.set_postfix_str(key)
                if key not in self.results:
                    started = time.perf_counter()
                    record = work()
                    record["seconds"] = round(time.perf_counter() - started, 2)
                    self._keep(key, record)
                bar.update()
        return self.results

    def jobs(self) -> Iterator[tuple[str, Callable[[], dict]]]:
        """Every result by its key, in an order in which each needs only what came before."""
        s = self.study
        if s.tune:
            for name in s.strategies:
                for k in range(len(TRIALS[name])):
                    yield f"tune/{name}/{k}", lambda name=name, k=k: self._trial(name, k)
        everyone = ("none", "random", *s.strategies, "oracle")
        settings = [(g, r, i, f"gamma{g:g}/r{r:g}/seed{i}") for i, g, r in product(range(s.seeds), s.gamma, s.r)]
        if "a" in s.evidence:
            for (gamma, r, seed, tail), name in product(settings, everyone):
                yield f"a/{name}/{tail}", partial(self._retained, name, gamma, r, seed)
        if "b" in s.evidence or "c" in s.evidence:
            # Without merging there is one network, whatever the place, gamma and R.
            for seed in range(s.seeds):
                yield f"c/none/seed{seed}", partial(self._trained, "none", PLACES[0], 1, 1.0, seed)
        for place in s.places:
            for (gamma, r, seed, tail), name in product(settings, everyone[1:] if "c" in s.evidence else ()):
                yield f"c/{place}/{name}/{tail}", partial(self._trained, name, place, gamma, r, seed)
            for gamma, r, seed, tail in settings if "a" in s.evidence and "learnable" in s.strategies else ():
                yield f"a/auxiliary {place}/{tail}", partial(self._retained, "auxiliary", gamma, r, seed, place)
            if "b" in s.evidence:
                for seed, gamma, name in product(range(s.seeds), s.plug_gammas, everyone[1:]):
                    work = partial(self._plugged, name, place, gamma, seed)
                    yield f"b/{place}/{name}/gamma{gamma:g}/r1/seed{seed}", work
            for name in everyone:
                yield f"cost/{place}/{name}", partial(self._cost, name, place)

    # ------------------------------------------------------------------------------------------- what is run

    def strategy(self, name: str, seed: int, settings: dict | None = None) -> str | Callable | None:
        """The partition behind a name, with the settings that were chosen."""
        if name in CONTROLS:
            return None if name == "none" else name
        settings = self.chosen(name) if settings is None else settings
        if name == "motion":
            return Motion(**settings)
        if name == "learnable":
            return self.saliency(seed, **settings)
        if name == "uniform":
            return partial(partition.uniform, **settings)
        return partial(partition.region, focus=name, **settings)

    def chosen(self, name: str) -> dict:
        """The settings of the best of a strategy's trials on validation films."""
        trials = [self.results.get(f"tune/{name}/{k}") for k in range(len(TRIALS[name]))]
        if not self.study.tune or None in trials:
            return CHOSEN[name]
        best = max(range(len(trials)), key=lambda k: trials[k]["accuracy"])
        return TRIALS[name][best]

    def saliency(self, seed: int, gain: float, temperature: float) -> Saliency:
        """Saliency learned by pooling, from the training films."""
        if (seed, gain) not in self.saliencies:
            self.saliencies[seed, gain] = learn_saliency(self.train, seed, epochs=self.study.saliency_epochs, gain=gain)
        return replace(self.saliencies[seed, gain], temperature=temperature)

    def _trial(self, name: str, k: int) -> dict:
        """One trial of settings: (a) on the validation films, three splits."""
        strategy = self.strategy(name, 0, TRIALS[name][k])
        records = [self._probe(self.valid, strategy, self.study.gamma[0], self.study.r[0], i) for i in range(3)]
        return {"settings": TRIALS[name][k], "accuracy": sum(r["accuracy"] for r in records) / 3}

    def _retained(self, name: str, gamma: float, r: float, seed: int, place: str = "") -> dict:
        """(a): a linear reader on merged test films; saliency comes from the training films."""
        if name == "auxiliary":
            model = self._network("learnable", place, gamma, r)
            self._trained("learnable", place, gamma, r, seed)  # or, once trained, what its folder holds
            model.load_state_dict(load_file(self._weights("learnable", place, gamma, r, seed) / "best.safetensors"))
            strategy = from_block(model.blocks[0], self.chosen("learnable")["temperature"])
        else:
            strategy = self.strategy(name, seed)
        return self._probe(self.test, strategy, gamma, r, seed)

    def _probe(self, items: Items, strategy: str | Callable | None, gamma: float, r: float, seed: int) -> dict:
        kept = retain(items, strategy, gamma, r, seed=seed, actor=ACTOR)
        order = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed))
        fitted, read_out = order[: int(0.6 * len(items))], order[int(0.6 * len(items)) :]
        labels, way = items.columns["label"], items.columns["way"]
        guess = linear_probe(kept.features[fitted], labels[fitted], kept.features[read_out])
        record = _by_way(guess == labels[read_out], way[read_out])
        return record | _recall(kept.recall, way) | {"share": float(kept.share.mean()), "tokens": kept.tokens}

    def _plugged(self, name: str, place: str, gamma: float, seed: int) -> dict:
        """(b): the network trained without merging, with merging at inference."""
        strategy, items = self.strategy(name, seed), self.test
        if name == "learnable":
            # This network has no saliency of its own. The one learned from tokens travels in the place of motion.
            tokens = items.columns["tokens"]
            score = torch.cat([strategy.score(part.float().flatten(1, 3)) for part in tokens.split(100)])
            items = Items(**items.columns | {"motion": score.view(tokens.shape[:-1])})
            strategy = Motion("raw", strategy.temperature)
        model = self._network(strategy, place, gamma, 1.0)
        weights = self._weights("none", PLACES[0], 1, 1.0, seed) / "best.safetensors"
        model.load_state_dict(load_file(weights))
        return self._scored(model, items, seed)

    def _trained(self, name: str, place: str, gamma: float, r: float, seed: int) -> dict:
        """(c): a network trained with merging, its best epoch chosen on validation films."""
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            model = self._network(name, place, gamma, r)
        return self._fitted(model, self._weights(name, place, gamma, r, seed), seed, name)

    def _fitted(self, model: VideoClassifier, folder: Path, seed: int, title: str, epochs: int | None = None) -> dict:
        """Train by the study's recipe, or take over what the folder holds; scores on test films."""
        s = self.study
        recipe = Recipe(epochs=epochs or s.epochs, warmup=s.warmup, lr=s.lr, batch=s.batch, seed=seed)
        run = fit(model, self.train, self.valid, recipe, folder=folder, forward=forward, device="cpu",
                  label=f"{title}, seed {seed}", progress=self.progress)  # fmt: skip
        curve = [[round(e["train_loss"], 4), round(e["valid_loss"], 4)] for e in run.history]
        return self._scored(model, self.test, seed) | {"best_epoch": run.best, "losses": curve}

    def _cost(self, name: str, place: str) -> dict:
        """A batch at inference against the same batch without merging (fused attention): FLOPs, time, peak memory."""
        s, gamma, r = self.study, self.study.gamma[0], self.study.r[0]
        batch = {n: c.float() if c.is_floating_point() else c for n, c in self.test[:16].columns.items()}
        models = {"without": self._network("none", place, 1, 1.0), "with": self._network(name, place, gamma, r)}
        runs = {key: partial(torch.no_grad()(forward), model.eval(), batch) for key, model in models.items()}
        ledger, whole = (count(models[key], *s.grid) for key in ("with", "without"))
        times = clock.interleaved(runs, s.rounds)
        memory = {key: clock.peak_tensors(run) for key, run in runs.items()}
        return {
            "flops": ledger.flops,
            "training_flops": count(models["with"], *s.grid, training=True).flops,
            "flops_ratio": whole.flops / ledger.flops,
            "speed_ratio": clock.ratio(times, "without", "with"),
            "memory_ratio": memory["without"] / memory["with"],
            "tokens": ledger.tokens,
        }

    def _network(self, strategy: str | Callable | None, place: str, gamma: float, r: float) -> VideoClassifier:
        """name: a strategy's name ("learnable": with an auxiliary path of its own), or a partition."""
        temperature = None
        if strategy == "learnable":
            temperature = self.chosen("learnable")["temperature"]
        elif isinstance(strategy, str):
            strategy = self.strategy(strategy, 0)
        return VideoClassifier(**network(self.study), partition=strategy, merge_at=place, gamma=gamma, r=r,
                               temperature=temperature)  # fmt: skip

    def _weights(self, name: str, place: str, gamma: float, r: float, seed: int) -> Path:
        return self.folder / "networks" / f"{name}-{place}-gamma{gamma:g}-r{r:g}-seed{seed}"

    @torch.no_grad()
    def _scored(self, model: VideoClassifier, items: Items, seed: int) -> dict:
        seen = evaluate(model, items, Recipe(seed=seed, batch=32), forward=forward)
        record = _by_way(seen.correct, items.columns["way"]) | {"loss": seen.loss}
        some = items[: min(300, len(items))].columns
        model.eval()
        torch.manual_seed(seed)
        trace = forward(model, {name: column.float() for name, column in some.items()}, trace=True)[1]
        shown = some["oracle"].flatten(1) >= ACTOR
        met = torch.zeros_like(shown).scatter(1, trace.blocks[0].target_patches, True)
        recall = (met & shown).sum(1) / shown.sum(1).clamp(min=1)
        return record | _recall(recall, some["way"]) | {"tokens": trace.blocks[-1].tokens_out}

    # ------------------------------------------------------------------------------------------- what is kept

    def _resume(self) -> dict:
        """Results from an earlier, stopped call; refuses a folder of another study."""
        path = self.folder / "results.jsonl"
        about = json.loads(json.dumps(asdict(self.study)))
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"study": about}) + "\n")
            return {}
        first, *lines = path.read_text().splitlines()
        stored = json.loads(first)["study"]
        changed = [name for name in about if stored.get(name) != about[name]]
        if changed:
            raise ValueError(
                f"{self.folder} holds a study with another {', '.join(changed)}; give another --folder or delete it."
            )
        rows = []
        for line in lines:
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:  # cut off in writing: taken out of the file, and done again
                whole = [first, *(json.dumps(row) for row in rows)]
                path.with_suffix(".new").write_text("\n".join(whole) + "\n")
                path.with_suffix(".new").replace(path)
        return {row.pop("key"): row for row in rows}

    def _keep(self, key: str, record: dict) -> None:
        self.results[key] = record
        with open(self.folder / "results.jsonl", "a") as file:
            file.write(json.dumps({"key": key, **record}) + "\n")


def network(study: Study) -> dict:
    """The arguments of the study's networks, all strategies alike."""
    blocks, alike = len(study.chunks), ("chunks", "residual", "guidance", "aux")
    shape = {"dim": study.width, "widths": (study.width,) * blocks, "blocks": blocks, "classes": len(films.GESTURES)}
    return shape | {name: getattr(study, name) for name in alike}


def forward(model: nn.Module, batch: dict[str, Tensor], **options):
    """The network on a batch of toy films: (B, K).

    In training with an auxiliary path of aux="heads": (B, 2, K), the logits of both paths, so that each gets a loss.
    """
    known = {"motion": batch["motion"], "oracle": batch["oracle"], **options}
    if model.training and not options:
        outputs, trace = model(batch["tokens"], trace=True, **known)
        return outputs if trace.paths is None else torch.stack(trace.paths, 1)
    return model(batch["tokens"], **known)


def _by_way(correct: Tensor, way: Tensor) -> dict:
    ways = {name: float(correct[way == k].float().mean()) for k, name in enumerate(films.WAYS)}
    return {"accuracy": float(correct.float().mean()), "ways": ways}


def _recall(recall: Tensor, way: Tensor) -> dict:
    return {"recall": {name: float(recall[way == k].mean()) for k, name in enumerate(films.WAYS)}}
