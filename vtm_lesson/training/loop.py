"""Train and evaluate: seeds, a validation split, the best checkpoint, and runs that survive an interruption.

    data = Items(tokens=tokens, motion=motion, label=label)            # or any Dataset whose items are such dicts
    train, valid = split(len(data), 0.2, seed=0)
    run = fit(model, data[train], data[valid], Recipe(epochs=10), folder="runs/naive")   # stopped? call it again
    evaluate(model, data[valid]).accuracy

The optimiser is the paper's (AdamW, learning rate 1e-3, weight decay 0.01, batch 16, 70 epochs of which 10 warm up,
then a cosine; VTM, implementation details). Chance is tied to (seed, step), never to what ran before. So a run that
was stopped and resumed gives the same weights, bit for bit on a CPU, as one that was not. Under `torchrun` the same
call splits every batch over the processes.
"""

from __future__ import annotations

import inspect
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol, cast, overload

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR
from torch.utils.data import DataLoader, Dataset, default_collate
from tqdm import tqdm

from ..network.denormals import flushed_denormals
from .checkpoints import Store

Batch = dict[str, Tensor]
Forward = Callable[[nn.Module, Batch], Tensor]


class Data(Protocol):
    """What `fit` and `evaluate` take: `Items`, or any torch Dataset with a length whose items are dicts of tensors."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Batch: ...


class Items(Dataset[Batch]):
    """Examples kept in memory: named tensors of one length, `label` among them.

    items[3] is one example, a dict; items[:5], items[[1, 5]] and items[a tensor of indices] are smaller Items.

    Parameters
    ----------
    **columns : Tensor
        (n, ...), any dtype. What `fit` hands to a network by itself: tokens (n, L, H, W, C) and, where they are given,
        motion and oracle (n, L, H, W), vectors (n, L, H, W, 2), pixels (n, L, H, W, P).

    Attributes
    ----------
    columns : dict
        The tensors by name.

    Raises
    ------
    ValueError
        For columns of different lengths, and where none is named label.

    Examples
    --------
    >>> import torch, vtm_lesson as vtm
    >>> items = vtm.Items(tokens=torch.zeros(6, 2, 4, 4, 8), label=torch.arange(6))
    >>> len(items), len(items[:4])
    (6, 4)
    >>> items[[1, 5]].columns["label"]
    tensor([1, 5])
    """

    def __init__(self, **columns: Tensor):
        lengths = {name: len(column) for name, column in columns.items()}
        if "label" not in columns or len(set(lengths.values())) != 1:
            raise ValueError(f"columns have lengths {lengths}; give tensors of one length, one of them named label.")
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns["label"])

    @overload
    def __getitem__(self, index: int) -> Batch: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> Items: ...

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Batch | Items:
        if isinstance(index, int):
            return {name: column[index] for name, column in self.columns.items()}
        if isinstance(index, slice):
            return Items(**{name: column[index] for name, column in self.columns.items()})
        return Items(**self.__getitems__(index))

    def __getitems__(self, index: Sequence[int] | Tensor) -> Batch:
        index = torch.as_tensor(index, dtype=torch.long)
        return {name: column[index] for name, column in self.columns.items()}


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are the paper's.

    Attributes
    ----------
    epochs : int
        At most.
    warmup : float
        Epochs in which the learning rate goes up in a line; then it follows a cosine down to 0.
    lr : float
        The full learning rate, of AdamW.
    weight_decay : float
        Of AdamW.
    batch : int
        Examples a step, of all processes together.
    seed : int
        All chance of a run hangs on it and on the step.
    task : {"class", "value"}
        Cross-entropy and accuracy, or mean squared error.
    bf16 : bool
        Compute in bfloat16 where autocast allows it.
    clip : float, optional
        Largest gradient norm.
    patience : int, optional
        Stop after so many epochs without a better validation loss.
    save_every : int, optional
        Also save every so many steps, for epochs that take hours.

    Raises
    ------
    ValueError
        For numbers out of range, and for another task.

    Notes
    -----
    VTM, implementation details.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> recipe = vtm.Recipe(epochs=10, warmup=1)
    >>> recipe.batch, recipe.lr
    (16, 0.001)
    """

    epochs: int = 70
    warmup: float = 10
    lr: float = 1e-3
    weight_decay: float = 0.01
    batch: int = 16
    seed: int = 0
    task: str = "class"
    bf16: bool = False
    clip: float | None = None
    patience: int | None = None
    save_every: int | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or self.lr <= 0:
            given = f"epochs is {self.epochs}, batch {self.batch}, lr {self.lr}"
            raise ValueError(f"{given}; epochs and batch are 1 or more, lr above 0.")
        if not 0 <= self.warmup <= self.epochs:
            raise ValueError(
                f"warmup is {self.warmup} epochs and epochs is {self.epochs}; warmup is from 0 to epochs: give"
                f" warmup={self.epochs / 7:.1g}, say (the paper's is a seventh)."
            )
        if self.task not in ("class", "value"):
            raise ValueError(f'task is {self.task!r}; it is "class" or "value".')


@dataclass
class TrainingRun:
    """What `fit` did.

    Attributes
    ----------
    history : list of dict
        One record an epoch: epoch, train_loss, seconds; with validation data valid_loss, and valid_accuracy where
        classes are told apart.
    best : int, optional
        The epoch whose weights the model now has. None before the first epoch.
    step : int
        Steps made.

    Examples
    --------
    >>> from vtm_lesson.training import TrainingRun
    >>> run = TrainingRun([{"epoch": 0, "valid_loss": 0.7}, {"epoch": 1, "valid_loss": 0.9}], best=0, step=8)
    >>> run.history[run.best]["valid_loss"]
    0.7
    """

    history: list[dict] = field(default_factory=list)
    best: int | None = None
    step: int = 0


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found, in the order of the data.

    Attributes
    ----------
    loss : float
        The mean.
    outputs : Tensor
        (n, K) float32.
    labels : Tensor
        (n,).

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson.training import Evaluation
    >>> seen = Evaluation(0.5, outputs=torch.tensor([[2.0, 1.0], [0.0, 3.0]]), labels=torch.tensor([0, 0]))
    >>> seen.correct
    tensor([ True, False])
    >>> seen.accuracy
    0.5
    """

    loss: float
    outputs: Tensor
    labels: Tensor

    @property
    def correct(self) -> Tensor:
        """(n,) bool: where the largest output is the label's."""
        return self.outputs.argmax(1) == self.labels

    @property
    def accuracy(self) -> float:
        """The share that is correct, from 0 to 1."""
        return float(self.correct.float().mean())


def split(n: int, share: float, seed: int, groups: Sequence | None = None) -> tuple[Tensor, Tensor]:
    """Split n items into indices for training and for validation.

    Parameters
    ----------
    n : int
        Items.
    share : float
        About this much of them is for validation, between 0 and 1.
    seed : int
        Same seed, same split.
    groups : sequence, optional
        One name an item; items of one group (clips of one film) never part.

    Returns
    -------
    train : Tensor
        (n_train,) int64, ascending.
    valid : Tensor
        (n_valid,) int64, ascending: the others.

    Raises
    ------
    ValueError
        For another number of groups than items, a share that is not between 0 and 1, and fewer than two groups.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> train, valid = vtm.split(10, 0.2, seed=0)
    >>> len(train), len(valid)
    (8, 2)
    """
    names = list(range(n)) if groups is None else list(groups)
    if len(names) != n or not 0 < share < 1:
        raise ValueError(f"{n} items, {len(names)} groups, share {share}; give one group an item, 0 < share < 1.")
    unique = sorted(set(names), key=str)
    if len(unique) < 2:
        raise ValueError(f"{n} items in {len(unique)} group(s) cannot be split; at least two groups are needed.")
    count = min(len(unique) - 1, max(1, round(len(unique) * share)))
    order = torch.randperm(len(unique), generator=torch.Generator().manual_seed(seed))[:count].tolist()
    held = {unique[i] for i in order}
    mask = torch.tensor([name in held for name in names])
    return (~mask).nonzero()[:, 0], mask.nonzero()[:, 0]


def schedule(optimizer: torch.optim.Optimizer, steps: int, warmup: int = 0) -> LRScheduler:
    """The learning rate over `steps` steps: a line up to the optimiser's own over `warmup`, then a cosine down to 0.

    Step k of the line has (k + 1) / warmup of it. Call `.step()` after each step of the optimiser.
    """
    cosine = CosineAnnealingLR(optimizer, max(1, steps - warmup))
    if warmup == 0:
        return cosine
    line = LinearLR(optimizer, 1 / warmup, total_iters=warmup - 1)
    return SequentialLR(optimizer, [line, cosine], [warmup])


def plain_forward(model: nn.Module, batch: Batch) -> Tensor:
    """model(tokens), with motion and oracle where the data has them, vectors and pixels where it takes them, too."""
    others: Batch = {name: batch[name] for name in ("motion", "oracle") if name in batch}
    inner = getattr(model, "module", model)  # of what spreads it over several processes
    takes = inspect.signature(inner.forward).parameters
    others |= {name: batch[name] for name in ("vectors", "pixels") if name in batch and name in takes}
    return model(batch["tokens"], **others)


@flushed_denormals()  # saturated attention makes denormal numbers, which a CPU handles very slowly
def fit(
    model: nn.Module,
    train: Data,
    valid: Data | None = None,
    recipe: Recipe | None = None,
    *,
    folder: str | Path | None = None,
    device: torch.device | str | None = None,
    forward: Forward = plain_forward,
    after_epoch: Callable[[nn.Module, dict], None] | None = None,
    workers: int = 0,
    progress: bool = True,
    label: str = "training",
) -> TrainingRun:
    """Train the model in place. It ends with the weights of the best validation loss (without `valid`, the last).

    Parameters
    ----------
    model : nn.Module
        It is moved to the device. Parameters that require no gradient stay as they are.
    train : Items or Dataset
        Any Dataset with a length whose items are dicts of tensors with a `label`.
    valid : Items or Dataset, optional
        Alike, for validation.
    recipe : Recipe, optional
        Default: the paper's.
    folder : str or Path, optional
        Keeps best.safetensors and state.safetensors; a second call with the same folder and recipe carries on where
        the first was stopped.
    device : torch.device or str, optional
        Default: "cuda" where there is one.
    forward : function, optional
        forward(model, batch) -> outputs (B, K); or in training (B, P, K), P paths that each have a loss of their own,
        of which the mean is taken. Default: model(tokens), with motion, vectors and oracle where the data has them.
    after_epoch : function, optional
        after_epoch(model, record) is called after each epoch.
    workers : int, optional
        Processes that load data, beside this one.
    progress : bool, optional
        Show a bar.
    label : str, optional
        Its title.

    Returns
    -------
    TrainingRun
        One record an epoch, the best epoch, and the number of steps.

    Raises
    ------
    ValueError
        For empty data, for a model without anything to train, and for a folder that holds a run with another recipe,
        data size or model.
    FloatingPointError
        For a loss that is NaN or infinite.

    Notes
    -----
    VTM, implementation details. A run that was stopped and resumed gives the same weights, bit for bit on a CPU, as
    one that was not. Under torchrun (see `distributed`), every process calls it alike; process 0 writes and shows the
    bar.

    Examples
    --------
    >>> import torch, vtm_lesson as vtm
    >>> data = vtm.Items(tokens=torch.randn(24, 2, 4, 4, 8), label=torch.arange(24) % 3)
    >>> model = vtm.VideoClassifier(8, blocks=1, chunks=(2,), classes=3)
    >>> run = vtm.fit(model, data[:16], data[16:], vtm.Recipe(epochs=2, warmup=0, batch=8), progress=False)
    >>> len(run.history), run.step
    (2, 4)
    """
    recipe = recipe or Recipe()
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    rank, world = _rank_world()
    if len(train) == 0 or (valid is not None and len(valid) == 0):
        raise ValueError("the training or the validation data is empty; give at least one item in each.")
    model.to(device)
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise ValueError("no parameter of the model requires a gradient; there is nothing to train.")
    optimizer = torch.optim.AdamW(trained, lr=recipe.lr, weight_decay=recipe.weight_decay)
    # Not every parameter takes part in every batch: a score head without its auxiliary path has no gradient.
    wrapped = DistributedDataParallel(model, find_unused_parameters=True) if world > 1 else model

    per_epoch = math.ceil(len(train) / recipe.batch)
    total = recipe.epochs * per_epoch
    rates = schedule(optimizer, total, round(recipe.warmup * per_epoch))
    run, sums, best_weights = TrainingRun(), [0.0, 0], None
    store = None
    if folder is not None:
        sizes = {"n_train": len(train), "n_valid": 0 if valid is None else len(valid)}
        store = Store(Path(folder), asdict(recipe) | sizes)
        state, best_weights = store.load(model, optimizer, device)
        if state:
            run, sums = TrainingRun(state["history"], state["best"], state["step"]), state["sums"]
            _bring(rates, run.step)
    bar = tqdm(total=total, initial=run.step, desc=label, disable=not progress or rank > 0, unit="step", leave=False)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), bar:
        while len(run.history) < recipe.epochs and not _stalled(run, recipe):
            epoch = len(run.history)
            started = time.perf_counter()
            model.train()
            begin = run.step - epoch * per_epoch
            for batch, weight in _batches(train, recipe, epoch, begin, rank, world, workers, device):
                torch.manual_seed(_number(recipe.seed, run.step, rank))
                with torch.autocast(device.type, torch.bfloat16, enabled=recipe.bf16):
                    outputs = forward(wrapped, batch)
                loss = _losses(outputs, batch["label"], recipe.task).mean() * weight
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                if recipe.clip is not None:
                    nn.utils.clip_grad_norm_(trained, recipe.clip)
                optimizer.step()
                rates.step()
                value = _mean_over_processes(loss.detach())
                if not math.isfinite(value):
                    raise FloatingPointError(f"the loss is {value} at step {run.step}; try a smaller lr or set clip.")
                run.step += 1
                sums = [sums[0] + value, sums[1] + 1]
                bar.update()
                bar.set_postfix_str(_words(sums, run), refresh=False)
                if store and recipe.save_every and run.step % recipe.save_every == 0 and run.step % per_epoch:
                    _save(store, model, optimizer, run, sums)
            record = {"epoch": epoch, "train_loss": sums[0] / sums[1]}
            if valid is not None:
                seen = evaluate(model, valid, recipe, device=device, forward=forward, workers=workers)
                record["valid_loss"] = seen.loss
                if recipe.task == "class":
                    record["valid_accuracy"] = seen.accuracy
            record["seconds"] = round(time.perf_counter() - started, 3)
            better = valid is None or run.best is None or record["valid_loss"] < run.history[run.best]["valid_loss"]
            run.history.append(record)
            sums = [0.0, 0]
            if better:
                run.best = epoch
                best_weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
            if store:
                _save(store, model, optimizer, run, sums, best_weights if better else None)
            if after_epoch is not None:
                after_epoch(model, record)
    if best_weights is not None:
        model.load_state_dict(best_weights)
    return run


@torch.no_grad()
@flushed_denormals()
def evaluate(
    model: nn.Module,
    data: Data,
    recipe: Recipe | None = None,
    *,
    device: torch.device | str | None = None,
    forward: Forward = plain_forward,
    workers: int = 0,
) -> Evaluation:
    """Run the model on the data, in eval mode and without gradients. It is left in the mode that it was in.

    Parameters
    ----------
    model : nn.Module
        Any that `fit` trains.
    data : Items or Dataset
        As for `fit`.
    recipe : Recipe, optional
        Its batch, seed, task and bf16 are used. Default: the paper's.
    device : torch.device or str, optional
        Where the batches go. Default: where the model's first parameter is.
    forward : function, optional
        forward(model, batch) -> outputs (B, K), as for `fit`.
    workers : int, optional
        Processes that load data, beside this one.

    Returns
    -------
    Evaluation
        Outputs and labels on the CPU, in the order of the data, and the mean loss.

    Notes
    -----
    Chance (sampled targets) is tied to (seed, batch number). Under torchrun every process gets the whole result.

    Examples
    --------
    >>> import torch, vtm_lesson as vtm
    >>> data = vtm.Items(tokens=torch.randn(6, 2, 4, 4, 8), label=torch.arange(6) % 3)
    >>> seen = vtm.evaluate(vtm.VideoClassifier(8, blocks=1, chunks=(2,), classes=3), data)
    >>> seen.outputs.shape, 0 <= seen.accuracy <= 1
    (torch.Size([6, 3]), True)
    """
    recipe = recipe or Recipe()
    device = torch.device(device or next(model.parameters()).device)
    rank, world = _rank_world()
    was_training = model.training
    model.eval()
    rows = torch.arange(len(data)).split(recipe.batch)
    mine = list(range(rank, len(rows), world))
    found = []
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for number, batch in zip(mine, _load(data, [rows[i].tolist() for i in mine], workers, device), strict=True):
            torch.manual_seed(_number(recipe.seed, number, -1))
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.bf16):
                outputs = forward(model, batch).float()
            found.append((number, outputs.cpu(), batch["label"].cpu()))
    model.train(was_training)
    if world > 1:
        everyone: list = [None] * world
        dist.all_gather_object(everyone, found)
        found = sorted((entry for part in everyone for entry in part), key=lambda entry: entry[0])
    outputs, labels = torch.cat([entry[1] for entry in found]), torch.cat([entry[2] for entry in found])
    return Evaluation(float(_losses(outputs, labels, recipe.task).mean()), outputs, labels)


def distributed(device: str | None = None) -> torch.device:
    """Join the processes that `torchrun` started, and say which device is this one's. Alone: just the device."""
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return torch.device(kind)
    chosen = torch.device(kind, int(os.environ.get("LOCAL_RANK", "0"))) if kind == "cuda" else torch.device(kind)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return chosen


def _bring(rates: LRScheduler, step: int) -> None:
    """Bring a fresh schedule to a step. It depends on nothing else, so a run's folder need not hold it."""
    with warnings.catch_warnings():
        # torch warns where the optimiser took no step before; it did, in the call that was stopped.
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
        for _ in range(step):
            rates.step()


def _save(store: Store, model: nn.Module, optimizer, run: TrainingRun, sums: list, best: dict | None = None) -> None:
    rank, world = _rank_world()
    if rank == 0:
        store.save(model, optimizer, asdict(run) | {"sums": sums}, best)
    if world > 1:
        dist.barrier()


def _batches(
    data: Data, recipe: Recipe, epoch: int, begin: int, rank: int, world: int, workers: int, device: torch.device
) -> Iterator[tuple[Batch, float]]:
    """This process's share of every batch of an epoch from number `begin` on, and the weight of its mean loss.

    Weights make the average over processes the mean over the whole batch, also when it does not divide evenly.
    """
    generator = torch.Generator().manual_seed(_number(recipe.seed, epoch, -2))
    order = torch.randperm(len(data), generator=generator).split(recipe.batch)[begin:]
    shares = [rows[rank::world] for rows in order]
    weights = [len(share) * world / len(rows) for share, rows in zip(shares, order, strict=True)]
    # A process without a share still takes part, with an item of weight 0: the others wait for its gradients.
    indices = [(share if len(share) else rows[:1]).tolist() for share, rows in zip(shares, order, strict=True)]
    yield from zip(_load(data, indices, workers, device), weights, strict=True)


def _load(data: Data, indices: list[list[int]], workers: int, device: torch.device) -> Iterator[Batch]:
    """Batches on the device, floating-point numbers as float32 (stored ones are often half precision)."""
    dataset = cast("Dataset[Batch]", data)  # which has no length, as torch declares it
    loader = DataLoader(
        dataset, batch_sampler=indices, num_workers=workers, collate_fn=_collate, pin_memory=device.type == "cuda"
    )
    for batch in loader:
        moved = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        yield {name: value.float() if value.is_floating_point() else value for name, value in moved.items()}


def _collate(items: Batch | list[Batch]) -> Batch:
    return items if isinstance(items, dict) else default_collate(items)


def _losses(outputs: Tensor, labels: Tensor, task: str) -> Tensor:
    if outputs.dim() == 3:  # (B, P, K): several paths, each with a loss of its own
        paths = outputs.unbind(1)
        return torch.stack([_losses(path, labels, task) for path in paths]).mean(0)
    if task == "class":
        return F.cross_entropy(outputs.float(), labels, reduction="none")
    return F.mse_loss(outputs.float().reshape(labels.shape), labels.float(), reduction="none")


def _mean_over_processes(value: Tensor) -> float:
    if _rank_world()[1] > 1:
        value = value.clone()
        dist.all_reduce(value)
        value /= _rank_world()[1]
    return float(value)


def _rank_world() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _number(seed: int, step: int, stream: int) -> int:
    """A seed of its own for every (seed, step, process or purpose), the same on every machine."""
    # numpy's SeedSequence would mix as well. This stays: every stored result was drawn from these streams.
    mixed = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + (stream + 3) * 0x94D049BB133111EB) % 2**64
    return (mixed ^ (mixed >> 31)) % 2**63


def _stalled(run: TrainingRun, recipe: Recipe) -> bool:
    return recipe.patience is not None and run.best is not None and len(run.history) - 1 - run.best >= recipe.patience


def _words(sums: list, run: TrainingRun) -> str:
    last = run.history[-1].get("valid_loss") if run.history else None
    return f"loss {sums[0] / sums[1]:.3f}" + ("" if last is None else f", validation {last:.3f}")
