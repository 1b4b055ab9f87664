"""What decides what a block of the network is: `BlockConfig`, with a default for each choice.

The paper's own are the defaults, where it says what they are; `network.block` lists what it leaves open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real

from torch import Tensor

from ..merging.registry import choose
from ..merging.strategies import Reducer, is_ragged, signals
from .choosing import SETTINGS, SOFT

CHOICES = {
    "attention": ("fused", "stored", "merged"),
    "merge_at": ("after_attention", "before_attention", "queries"),
    "match_within": ("chunk", "video"),
    "average": ("plain", "size", "motion"),
    "aux": ("add", "heads"),
    "test_targets": ("sample", "top"),
    "gradient": tuple(SETTINGS),
}


@dataclass(frozen=True)
class BlockConfig:
    """Everything that decides what a block is.

    Parameters
    ----------
    dim, out : int
        Channels before and after the block; out is half of dim by default.
    chunk : int
        L_i, the frames that attend to each other.
    partition : str, callable or None
        Who chooses the targets: a name or function (see `strategies.resolve`), None for no merging.
    reducer : str, callable, optional
        In place of a partition: a name of `reducers()`, or a function from a Context to a Merge.
    gamma, r : float
        The partition factor; and the share of the sources that is merged, R = floor(r * |S|).
    heads, dropout
        Of attention; keys are averaged over heads for matching.
    attention : {"fused", "stored", "merged"}
        See `network.attention`. "merged" is the same network in fewer FLOPs, in eval mode and without gradients
        (torch.inference_mode()); in training, and where nothing merges, it is "fused". It needs one head, the paper's
        order, and matching in chunks. For a network that is trained already:
        `VideoClassifier(**net.config | {"attention": "merged"})`, then `load_state_dict(net.state_dict())`.
    residual : bool
        Add the block's input to attention's output.
    merge_at : {"after_attention", "before_attention", "queries"}
        The paper merges after attention, matched on attention's keys; before it, matched on the block's input tokens,
        so that attention runs on fewer tokens. "queries": matched on attention's keys, too; then a group's normed
        tokens are averaged and make one query, which attends to all tokens of its chunk. Not the paper's network,
        which averages what every token's own query gets; its weights fit, and the auxiliary path does the same.
    match_within : {"chunk", "video"}
        Within what tokens are matched.
    average : {"plain", "size", "motion"}
        VTM eq. 4, or weighted by token size (ToMe) or motion.
    saliency : bool, optional
        Learn s = tanh(K U_s) (VTM eq. 9), with the auxiliary path of eq. 10 while training; default: where the
        partition, or the reducer's `signal`, asks for it. U_s starts at zero: a random start can begin with the wrong
        sign.
    aux : {"add", "heads"}
        The two paths' merged outputs are added in every block, or stay apart up to the head. The auxiliary path has
        its own norm, queries, keys and values, and shares the halving linear.
    guidance : float
        How strongly s enters eq. 10; 1 is the paper's, where sqrt(C) divides s as well.
    temperature, test_targets
        See `VideoClassifier`.
    gradient : {"auxiliary", "straight_through", "annealed", "relaxed", "perturbed", "reinforce", "weighted"}
        How U_s learns, with partition="learnable": by eq. 10's auxiliary path, or by a gradient through the choice
        (`network.choosing`). "annealed" needs `VideoClassifier.anneal`; "reinforce" needs a loss that uses the trace's
        `log_probability`. None of the others has an auxiliary path.
    setting : float, optional
        The one number of that gradient; default: `choosing.SETTINGS`.

    Raises
    ------
    ValueError
        Where a field has a value that is not allowed, with what is.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> config = vtm.BlockConfig(64, chunk=4, gamma=4)
    >>> config.out, vtm.VTMBlock(config).linear
    (32, Linear(in_features=64, out_features=32, bias=True))
    """

    dim: int
    out: int | None = None
    chunk: int = 6
    partition: str | Callable[..., Tensor] | None = "uniform"
    reducer: str | Reducer | None = None
    gamma: float = 6
    r: float = 1.0
    heads: int = 1
    dropout: float = 0.0
    attention: str = "fused"
    residual: bool = False
    merge_at: str = "after_attention"
    match_within: str = "chunk"
    average: str = "plain"
    saliency: bool | None = None
    aux: str = "add"
    guidance: float = 1.0
    temperature: float | None = None
    test_targets: str = "sample"
    gradient: str = "auxiliary"
    setting: float | None = None

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            check_choice(name, getattr(self, name), *allowed)
        check_numbers(dim=self.dim, heads=self.heads, whole=True)
        if self.out is None:
            object.__setattr__(self, "out", self.dim // 2)
        check_numbers(out=self.out, whole=True)
        check_numbers(chunk=self.chunk, gamma=self.gamma, r=self.r, dropout=self.dropout, guidance=self.guidance)
        for name in ("temperature", "setting"):
            if getattr(self, name) is not None:
                check_numbers(**{name: getattr(self, name)})
        paths = self.heads, self.merge_at, self.match_within
        if self.attention == "merged" and paths != (1, "after_attention", "chunk"):
            raise ValueError(
                f"attention is 'merged' with heads={self.heads}, merge_at={self.merge_at!r}, match_within="
                f"{self.match_within!r}; it needs heads=1, 'after_attention' and 'chunk': use attention='fused' with"
                " the others."
            )
        if self.merge_at == "queries" and self.match_within == "video":
            raise ValueError(
                "merge_at is 'queries' with match_within='video'; a group's query looks at one chunk, and such a group"
                " has tokens in several: use match_within='chunk'."
            )
        if self.gradient != "auxiliary":
            self._check_gradient()
        if self.dim < 1 or self.width < 1 or self.heads < 1 or self.dim % self.heads:
            raise ValueError(
                f"dim is {self.dim}, out {self.out}, heads {self.heads}; heads must divide dim, and all be 1 or more."
            )
        if int(self.chunk) != self.chunk or self.chunk < 1:
            raise ValueError(f"chunk is {self.chunk}; it is a number of frames, 1 or more.")
        if not self.gamma >= 1:
            raise ValueError(f"gamma is {self.gamma}; it is 1 or more: one token in gamma becomes a target.")
        if not 0 <= self.r <= 1:
            raise ValueError(f"r is {self.r}; it is the share of the sources that is merged, from 0 to 1.")

    def _check_gradient(self) -> None:
        given = self.partition, self.r, self.merge_at == "queries", self.match_within, self.saliency
        if given != ("learnable", 1, False, "chunk", None):
            raise ValueError(
                f"gradient is {self.gradient!r} with partition={self.partition!r}, r={self.r}, merge_at="
                f"{self.merge_at!r}, match_within={self.match_within!r}, saliency={self.saliency}; a gradient through"
                " the choice needs partition='learnable', r=1, merging before or after attention, in chunks, and"
                " saliency as it is by default."
            )
        if self.setting is not None and not self.setting > 0:
            raise ValueError(f"setting is {self.setting}; that of {self.gradient!r} is above 0.")

    @property
    def softens(self) -> bool:
        """Whether training meets all tokens, each with a gate, in place of merged ones."""
        return self.gradient in SOFT and self.chosen_reducer() is not None

    @property
    def width(self) -> int:
        """Channels after the block."""
        return self.dim // 2 if self.out is None else self.out

    @property
    def merge_first(self) -> bool:
        """Whether merging comes before attention."""
        return self.merge_at == "before_attention"

    def chosen_reducer(self) -> Reducer | None:
        """What merges in the block; None where gamma or r switch it off."""
        found = choose(self.partition, self.reducer)
        return found if is_ragged(found) or (self.gamma > 1 and self.r > 0) else None

    def learns_saliency(self) -> bool:
        """Whether the block has a score head and an auxiliary path."""
        if self.chosen_reducer() is None:
            return False
        if self.saliency is not None:
            return self.saliency
        return "learnable" in (self.partition, self.reducer) or "saliency" in signals(self.chosen_reducer())


def check_numbers(whole: bool = False, **given: object) -> None:
    """ValueError where one of these is no number, or no whole one: `check_numbers(dim=64, heads=2, whole=True)`."""
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
            raise ValueError(f"{name} is {value!r}; it is a {'whole ' if whole else ''}number.")


def check_choice(name: str, value: object, *allowed: str) -> None:
    """ValueError where `value` is none of those that are allowed."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; it is {' or '.join(map(repr, allowed))}.")
