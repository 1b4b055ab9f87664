"""What all host models share: who was merged in a forward pass, and what the hooks of a block do.

`Run` belongs to one model that merges: its `Settings`, and for every thread a `Pass`, the record of the forward pass
that it is in. `Block` does what ToMe wants between the attention and the MLP of one block; a family's own file
(`timm_vit.py`, `transformers_video.py`) says where in its blocks these methods hang.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..merging.matching import match, nearest
from ..merging.merge import Merge
from ..merging.partition import Grid
from ..merging.strategies import Context, reduce
from ..network.attention import attention_stats
from ..network.tokens import Chunks, Tokens, reduce_alike
from .alternating import Step, merge_nearest, nearest_alternate
from .settings import Amount, Settings, is_count

KEPT_AS = "tome"  # the attribute of a model that has its Run


def alternate(n: int, prefix: int = 0, device: torch.device | str | None = None) -> Tensor:
    """ToMe's partition of n tokens that follow `prefix` protected ones: odd places in the sequence are targets.

    device: where they are made, so that they need not be copied there.
    """
    return torch.arange(1 - prefix % 2, n, 2, device=device)


@dataclass
class Pass:
    """One forward pass: how far it has merged, and what the hooks of the present block hand to each other."""

    composed: Merge  # of the first `n_composed` steps
    steps: list[Step] = field(default_factory=list)  # one a block
    n_composed: int = 0
    size: Tensor | None = None  # (B, N) float32, None as long as no token is merged
    present: Tensor | None = None  # (B, N) bool, None as long as all images have equally many tokens
    queries: Tensor | None = None
    keys: Tensor | None = None
    signals: dict[str, Tensor] = field(default_factory=dict)  # (B, N) each
    merged: Tensor | None = None
    result: Tensor | None = None

    @property
    def layer_merges(self) -> list[Merge]:
        """One Merge a block."""
        return [step.merge for step in self.steps]

    @property
    def merges(self) -> Merge:
        """From the original tokens to the present ones: put together when somebody asks, not in every block."""
        for merge in self.layer_merges[self.n_composed :]:
            self.composed = self.composed if merge.is_identity else self.composed.then(merge)
        self.n_composed = len(self.steps)
        return self.composed


class Answer:
    """What a block gets to add to its x in place of its MLP's result: whatever is added to it, the sum is `value`."""

    def __init__(self, value: Tensor):
        self.value = value

    def __add__(self, x: Tensor) -> Tensor:
        return self.value

    __radd__ = __add__


class OfLastPass:
    """`model.merges` and `model.layer_merges`: what the calling thread's last forward pass did.

    It stands in the host's class, as Python looks for such attributes nowhere else, and is there for models that merge
    only. A model's own attribute of the same name goes before it. run_of: gives a model's Run, or None.
    """

    def __init__(self, name: str, run_of: Callable[[nn.Module], Run | None]):
        self.name, self.run_of = name, run_of

    def __get__(self, model: nn.Module | None, kind: type) -> Any:
        run = None if model is None else self.run_of(model)
        if run is None:
            raise AttributeError(self.name)
        before: Any = [] if self.name == "layer_merges" else None
        return getattr(run.last, self.name, before)


def run_on(model: nn.Module) -> Run | None:
    """The Run of a model that merges, or None."""
    return model.__dict__.get(KEPT_AS)


def stop(model: nn.Module) -> None:
    """Take the hooks of a model that merges out again."""
    run = run_on(model)
    if run is not None:
        for handle in run.handles:
            handle.remove()
        del model.__dict__[KEPT_AS]


class Run:
    """What the blocks of one model share: the settings, and for every thread how far its forward pass has merged.

    prefix: how many tokens come first and are never merged.
    """

    def __init__(self, settings: Settings, prefix: int):
        self.settings, self.prefix = settings, prefix
        self.handles: list[Any] = []
        self.of_thread = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        """For copies and files: the calling thread's last pass, without what a block left half done."""
        last = self.last
        done = None
        if last is not None:
            done = Pass(last.merges, [*map(Step, last.layer_merges)], last.n_composed, last.size, last.present)
        return {**self.__dict__, "of_thread": done}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, of_thread=threading.local())
        self.of_thread.last = state["of_thread"]

    @property
    def last(self) -> Pass | None:
        """The pass that the calling thread is in, or else its last one."""
        return getattr(self.of_thread, "last", None)

    @property
    def now(self) -> Pass:
        """The same, for hooks."""
        last = self.last
        if last is None:
            raise ValueError(
                "this model's blocks merge in order, in one thread: run the first block before the others."
            )
        return last

    def grid(self) -> Grid:
        """Frames, height and width of what the model sees, (1, 0, 0) where that is not known. A family says it."""
        raise NotImplementedError

    def begin(self, x: Tensor) -> Tensor:
        """Before the first block: forget the last forward pass, and put the frames of a film into one sequence."""
        if torch.jit.is_tracing() and self.settings.merges:
            raise ValueError(
                "torch.jit.trace writes down one pass, and who is merged hangs on the image: use torch.export or"
                " torch.compile, or take merging out before."
            )
        frames = self.settings.frames
        if frames > 1:
            if x.shape[0] % frames:
                raise ValueError(f"a batch of {x.shape[0]} frames is no whole number of films of {frames} frames.")
            film = x.unflatten(0, (-1, frames))
            # Before the first block the protected tokens of all frames are the same: one set serves the film.
            x = torch.cat([film[:, 0, : self.prefix], film[:, :, self.prefix :].flatten(1, 2)], dim=1)
        self.of_thread.last = Pass(Merge.identity(x.shape[0], x.shape[1], x.device))
        return x

    def match(self, index: int, keys: Tensor) -> Step | None:
        """What one block merges, over all tokens, from its keys (B, N, D). None: nothing."""
        settings, n = self.settings, keys.shape[1] - self.prefix
        free, amount = keys[:, self.prefix :], settings.amounts[index]
        merge: Merge | None = None
        if amount is None:
            merge = self._ragged(index, free)
        elif n < 2:
            return None
        elif settings.reducer is not None:
            tokens = self._tokens(free)
            merged = self._number(index, amount, free, alternate(n, self.prefix, free.device), n // 2)
            if merged:
                merge = reduce(settings.reducer, self._context(index, free, tokens, merged, self._signals()))
        elif settings.is_tome and (found := nearest_alternate(keys, self.prefix)) is not None:
            merged = self._number(index, amount, free, found[1], n // 2)
            return merge_nearest(*found, keys.shape[1], self.prefix, merged) if merged else None
        else:
            merge = self._bipartite(index, amount, free)
        return None if merge is None or merge.is_identity else Step(merge.after_prefix(self.prefix))

    def _bipartite(self, index: int, amount: int | Amount, free: Tensor) -> Merge | None:
        """ToMe's way, or with a partition of one's own: as `Bipartite`, for any number of targets."""
        n, partition = free.shape[1], self.settings.partition
        if partition is None:
            targets, most = alternate(n, self.prefix, free.device), n // 2
        else:
            context = self._context(index, free, self._tokens(free), 0, self._signals())
            targets = torch.as_tensor(partition(context)).to(free.device)
            match(free, targets, 0)  # says what is wrong with them
            most = n - targets.shape[-1]
        if most < 1:
            return None
        merge = match(free, targets, self._number(index, amount, free, targets, most))
        return self._as_tome_leaves_them(merge, free, targets) if self.settings.order == "tome" else merge

    def _number(self, index: int, amount: int | Amount, free: Tensor, seen: Tensor, most: int) -> int:
        """How many tokens a block merges, at most so many. seen: similarities, or else the targets to look for them."""
        if callable(amount):
            similarity = seen if seen.is_floating_point() else nearest(free, seen)[1]
            amount = amount(index, similarity)
            if not is_count(amount):
                raise ValueError(f"the function r gave {amount!r} in block {index}; give a whole number, 0 or more.")
        return min(int(amount), most)

    def _as_tome_leaves_them(self, merge: Merge, free: Tensor, targets: Tensor) -> Merge:
        """Unmerged sources first, then the targets."""
        is_target = torch.zeros(free.shape[:2], dtype=torch.bool, device=free.device)
        is_target = is_target.scatter(1, targets.expand(len(free), -1), True)
        rank = is_target.gather(1, merge.keep).float()
        if not self.prefix:  # ToMe's code then leaves the sources as they were ranked, the most similar first
            similarity = torch.full_like(is_target, -2, dtype=torch.float32)
            similarity = similarity.masked_scatter(~is_target, nearest(free, targets)[1].float())
            rank = torch.where(rank > 0, 2, -similarity.gather(1, merge.keep))
        return merge.reordered(rank.argsort(dim=1, stable=True))

    def _ragged(self, index: int, free: Tensor) -> Merge:
        """A reducer that keeps a different number in each image."""
        reducer, seen = self.settings.reducer, self._signals()
        assert reducer is not None
        tokens = self._tokens(free)

        def context(image: Tensor, place: Tensor, frames: int) -> Context:
            here = Tokens(free, tokens.grid, (), tokens.position[image, place], tokens.size[image, place])
            known = {name: value[image, place] for name, value in seen.items()}
            return self._context(index, free[image, place], here, 0, known)

        return reduce_alike(reducer, tokens, Chunks((), tokens, tokens.grid[0]), context)[0]

    def _tokens(self, free: Tensor) -> Tokens:
        """The unprotected tokens as the course's own network has them."""
        now = self.now
        done = now.merges
        position, n = done.keep[:, self.prefix :] - self.prefix, done.n_in - self.prefix
        frames, height, width = self.grid()
        if frames * height * width != n:  # an image of another size, or with patches left out
            frames = self.settings.frames
            height, width = 1, n // frames
        size = torch.ones_like(free[..., 0], dtype=torch.float32) if now.size is None else now.size[:, self.prefix :]
        present = None if now.present is None else now.present[:, self.prefix :]
        return Tokens(free, (frames, height, width), (), position, size, present=present)

    def _signals(self) -> dict[str, Tensor]:
        """What the attention said of the unprotected tokens, where the reducer asks for it."""
        asked = self.settings.signals
        return {name: value[:, self.prefix :] for name, value in self.now.signals.items() if name in asked}

    def _context(self, index: int, keys: Tensor, tokens: Tokens, merged: int, known: dict[str, Any]) -> Context:
        # As in ToMe, half of the tokens are targets, for reducers that choose any; they say how many are merged.
        depth = index, len(self.settings.amounts)
        return Context(keys, 2, *tokens.grid, tokens.position, tokens.size, merged=merged, depth=depth, **known)

    def spread_out(self, x: Tensor) -> Tensor:
        """After the last block: one token again for each original one; unless tokens were dropped."""
        done = self.now.merges
        return x if done.is_identity or self.drops else done.unmerge(x)

    @property
    def drops(self) -> bool:
        """Whether the last pass dropped tokens."""
        dropped = self.now.merges.dropped
        return dropped is not None and bool(dropped.any())

    @property
    def padded_after_dropping(self) -> bool:
        """Whether it dropped tokens, of every image another number: then its output holds padding."""
        return self.now.present is not None and self.drops


class Block:
    """What ToMe does in one block. A pre-norm block computes, with the optional parts left out,

        x = x + attn(norm1(x))
        x = x + mlp(norm2(x))

    and ToMe wants `x = merge(x)` between the two lines. A hook can give norm2 the merged tokens, but it cannot replace
    the x that the MLP's result is added to. So the sum is made here, and the block gets an `Answer` to add.
    """

    def __init__(self, run: Run, index: int):
        self.run, self.index = run, index

    def bias(self, dtype: torch.dtype) -> Tensor | None:
        """(B, N), to add to the scores of every key: log(size) in proportional attention, -inf for padding."""
        size, present = self.run.now.size, self.run.now.present
        if size is not None and self.run.settings.proportional:  # padding has size 0, and so -inf here
            return size.to(torch.promote_types(dtype, torch.float32)).log().to(dtype)
        if present is not None:
            return torch.zeros_like(present, dtype=dtype).masked_fill(~present, -torch.inf)
        return None

    @property
    def looks(self) -> bool:
        """Whether this block matches at all: then it wants the attention's keys."""
        return self.run.settings.amounts[self.index] != 0

    @property
    def asks(self) -> bool:
        """Whether its reducer wants to know the attention itself: then it wants the queries, too."""
        return self.looks and bool(self.run.settings.signals)

    def keep_queries(self, queries: Tensor) -> None:
        """The attention's queries (B, heads, N, D), before `keep_keys`, for a block that `asks`."""
        self.run.now.queries = queries.detach()

    def keep_keys(self, keys: Tensor, scale: float | None = None) -> None:
        """The attention's keys (B, heads, N, D), averaged over heads, say which tokens are alike. scale: of scores."""
        now = self.run.now
        if self.asks:
            assert now.queries is not None, "the attention's queries were not kept"
            stats = attention_stats(now.queries, keys.detach(), bias=self.bias(keys.dtype), scale=scale)
            now.signals, now.queries = dict(zip(("attention", "entropy"), stats, strict=True)), None
        if self.looks:
            now.keys = keys.detach().mean(dim=1)

    def merge_tokens(self, second: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """A pre-hook of what reads x first after the attention: match, and average by size."""
        x, now = args[0], self.run.now
        step: Step | None = None
        if self.looks:
            assert now.keys is not None, "the attention's keys were not kept"
            step, now.keys = self.run.match(self.index, now.keys), None
            self.run.of_thread.last = now  # a function of the user's, which decided, may have run this model as well
            now.signals = {}
        now.steps.append(Step(Merge.identity(x.shape[0], x.shape[1], x.device)) if step is None else step)
        if step is None:
            return None
        now.merged, now.size = step.average(x, now.size)
        now.present = step.present
        return (now.merged, *args[1:])

    def take_result(self, last: nn.Module, args: tuple[Any, ...], output: Tensor) -> Answer | Tensor | None:
        """A hook of the last part after the MLP: its result is for fewer tokens than the block's x has, so the sum is
        made here. Where the same part also follows the attention, nothing is merged yet at that time."""
        now = self.run.now
        merged, now.merged = now.merged, None
        if merged is None:
            return None
        if not torch.compiler.is_compiling():
            return Answer(merged + output)
        now.result = merged + output  # the compiler knows tensors only: it gets a zero, and the sum from `finish`
        return output.new_zeros(())

    def finish(self, block: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """A hook of the block: its real output, if it is another one."""
        now = self.run.now
        result, now.result, now.merged = now.result, None, None
        return result
