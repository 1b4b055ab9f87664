# %% [markdown]
# # 03 ToMe in a ViT
#
# **You will** put merging into every block of a trained vision transformer, in one line, then by hand with your own
# functions of lesson 02 · measure what that saves against what it changes · merge over all frames of a film at
# once, and find out why "every second token" then misses the best partner.
#
# **Time** 70 minutes · **Needs** lesson 02; [appendix A](A_attention_in_pictures.ipynb) if heads, residual connections or the class token
# are new to you · **Runs in** about 40 seconds, no GPU

# %%
from vtm_lesson import checks, plots

plots.show(checks.course_map("03"))

# %%
import torch
import torch.nn.functional as F

from vtm_lesson import Merge, checks, films, match, measuring, plots, tome
from vtm_lesson.encoders import tiny_vit

# %% [markdown]
# ## The question
#
# Lesson 02 built the operator. ToMe's promise is that it can be put into a network **that was trained without it**,
# and that the network hardly notices. So: how many tokens can we take from a trained ViT before its answers change,
# and what do we save?
#
# Our ViT is `tiny_vit`, a plain one of the library `timm`, with 6 blocks and 64 channels. It looks at **one frame** of a
# course film and says which of eight gestures the orange figure, the actor, makes. It has never met a merged token.

# %%
model = tiny_vit.load()
some = films.batch(120, seed=77, frames=6, size=96, patch=8, progress=False)  # films it has not seen
stills = tiny_vit.pixels(some.frames[:, ::3].reshape(-1, 96, 96, 3))  # two frames of each film, (240, 3, 96, 96)
label = torch.from_numpy(some.label).repeat_interleave(2)
plots.show(plots.frames(some.frames[[0, 1, 2, 3, 4, 5], 0], captions=[films.GESTURES[i] for i in some.label[:6]]))

# %% [markdown]
# Each frame is cut into 12 x 12 patches, so there are 144 patch tokens, and one more in front of them: the **class
# token**. It starts as a learned vector, the same for every image, and collects what attention brings it. The answer
# is read from it alone.


# %%
@torch.no_grad()
def look(model: torch.nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The class token's features (n, C) at the end of the network, and the logits (n, 8)."""
    features = torch.cat([model.forward_head(model.forward_features(part), pre_logits=True) for part in x.split(60)])
    return features, model.head(features)


before, logits_before = look(model, stills)
print(f"right on {(logits_before.argmax(1) == label).float().mean():.0%} of {len(stills)} new frames; chance is 12.5%")

# %% [markdown]
# ## One line
#
# `tome.apply(model, r)` makes every block merge away `r` tokens. The class token is never merged.

# %% [markdown] tags=["prediction"]
# **Before you run it:** with `r = 12` in each of 6 blocks, what share of the answers stays the same? (In percent, in
# place of the dots.)

# %%
checks.predict("03-same", ...)

# %%
tome.apply(model, r=12)
after, logits_after = look(model, stills)
same = (logits_after.argmax(1) == logits_before.argmax(1)).float().mean()
print("tokens after each block:", [step.n_out for step in model.layer_merges])
checks.replay("03-same", round(100 * same.item()))

# %% [markdown]
# Half of the tokens are gone, and the answers are the same.
#
# ## A toy to check by hand
#
# A class token and 8 patches, `r = 3`, four blocks. A source can only be merged into a target, and ToMe makes every
# second token a target. So a block can merge **at most half of its unprotected tokens**:
#
# | block | tokens | unprotected | half | merged | left |
# |---|---|---|---|---|---|
# | 1 | 9 | 8 | 4 | 3 | 6 |
# | 2 | 6 | 5 | 2 | 2 | 4 |
# | 3 | 4 | 3 | 1 | 1 | 3 |
# | 4 | 3 | 2 | 1 | 1 | 2 |

# %% [markdown]
# ## Your turn 1: the ledger
#
# Write the last column as a function. `n` counts all tokens, `prefix` of them are protected; `amounts` has one `r`
# for each block.

# %% nbgrader={"grade": false, "grade_id": "tokens-left", "locked": false, "schema_version": 3, "solution": true, "task": false}
def tokens_left(n: int, prefix: int, amounts: list[int]) -> list[int]:
    """How many tokens there are after each block."""
    ### BEGIN SOLUTION
    counts = []
    for r in amounts:
        n -= min(r, (n - prefix) // 2)
        counts.append(n)
    return counts
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "tokens-left-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.tokens_left(tokens_left)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Of the unprotected tokens every second one is a source, and a source is merged at most once. `//` rounds down: of 5
# tokens, 2 can go.
#
# </details>

# %%
my_tokens_left = checks.tokens_left.mine()
counts = {f"r = {r}": [145, *my_tokens_left(145, 1, [r] * 6)] for r in (8, 16, 24, 72)}
plots.show(plots.ledger(counts, ["input", *"123456"], title="Tokens of tiny_vit after each block"))

# %% [markdown]
# At `r = 24` only 24 patch tokens come into the last block, so it can merge 12.
#
# ## Inside a block
#
# A block computes two things, and adds each to what came in:
#
# $$x \leftarrow x + \mathrm{attention}(\mathrm{norm}_1(x)), \qquad x \leftarrow x + \mathrm{MLP}(\mathrm{norm}_2(x)).$$
#
# The **layer norm** shifts and scales every token by itself to mean 0 and spread 1. The attention is lesson 01's, with
# several **heads**: the 64 numbers of $q$, $k$ and $v$ are cut into 4 pieces of 16, each piece attends by itself, and
# the 4 results are put side by side again. The MLP works on every token by itself. ToMe merges between the two:

# %%
plots.show(plots.vit_block(title="A block with ToMe's merging: the toy's 9 tokens, r = 3"))

# %% [markdown]
# The attention has just made the keys, so they cost nothing more, and the MLP already works on fewer tokens. Besides
# your step of lesson 02 a block needs **token sizes**: for the average, and for $+\log s$ in the next block's attention.
# Here is a version that keeps them. `groups` has a row for each new token, which marks the tokens that went into it.


# %%
def broken_merge(x: torch.Tensor, size: torch.Tensor, groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """x (N, C), size (N,), groups (M, N) bool -> the averages (M, C) and the new sizes (M,)."""
    count = groups.sum(dim=1)
    return groups.float() @ x / count[:, None], count.float()


def rows(*group: int) -> torch.Tensor:
    """The group of every token -> a row for each group."""
    return torch.arange(max(group) + 1)[:, None] == torch.tensor(group)


x, size = torch.tensor([[0.0], [2.0], [4.0], [6.0], [20.0], [28.0]]), torch.ones(6)
for block, groups in enumerate((rows(0, 0, 0, 1, 2, 2), rows(0, 0, 1)), start=1):
    x, size = broken_merge(x, size, groups)
    print(f"after block {block}: values {x[:, 0].tolist()}, sizes {size.tolist()}, together {size.sum():.0f} patches")

# %% [markdown]
# Block 1 is right. After block 2, three of six patches are lost, and the first token should be the mean of 0, 2, 4 and 6,
# which is 3, not 4. A mistake that shows in the second block only is easily missed.
#
# ## Your turn 2: mend the sizes
#
# Write the version that is right in every block: token $i$ becomes the **size-weighted** average of the tokens that
# row $i$ of `groups` marks, and its new size is the sum of theirs (lesson 02, "Token size").

# %% nbgrader={"grade": false, "grade_id": "merge-by-size", "locked": false, "schema_version": 3, "solution": true, "task": false}
def merge_by_size(x: torch.Tensor, size: torch.Tensor, groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """x (N, C), size (N,), groups (M, N) bool -> the averages (M, C) and the new sizes (M,)."""
    ### BEGIN SOLUTION
    weights = groups * size
    total = weights.sum(dim=1)
    return weights @ x / total[:, None], total
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "merge-by-size-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.merge_by_size(merge_by_size)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# `weights @ x` is the sum over all original patches. Divided by how many they are, it is their mean, however often they
# were merged before.
#
# </details>

# %% [markdown]
# Now a whole block of our network, for one image, out of your own functions. `chunk` cuts a tensor into equal parts:
# first into $q$, $k$ and $v$, then each of them into heads. And a trick: your step of lesson 02 averages whatever it
# is given. Given the **identity matrix**, it returns rows that are above zero exactly where a token went in: `groups`.

# %%
attend, step = checks.proportional_attention.mine(), checks.tome_step.mine()
average = checks.merge_by_size.mine()


def tome_block(block, x, size, r):
    """x (N, C) and size (N,), the class token first -> the same for N - r tokens."""
    qkv = block.attn.qkv(block.norm1(x))  # (N, 3 C)
    q, k, v = (part.chunk(block.attn.num_heads, dim=1) for part in qkv.chunk(3, dim=1))  # lists of (N, C / heads)
    heads = [attend(*head, size) for head in zip(q, k, v, strict=True)]  # each adds log(size) for its keys
    x = x + block.attn.proj(torch.cat(heads, dim=1))

    keys = torch.stack(k).mean(dim=0)[1:]  # (N - 1, C / heads): the mean over heads, without the class token
    groups = step(torch.eye(len(keys)), keys, r) > 0
    merged, sizes = average(x[1:], size[1:], groups)
    x, size = torch.cat([x[:1], merged]), torch.cat([size[:1], sizes])
    return x + block.mlp(block.norm2(x)), size


# %% [markdown]
# Does it do the same as `tome.apply`? One detail first. Your step takes the *patches* 1, 3, 5, … as targets. ToMe
# counts the class token, too, so that its targets are the patches 0, 2, 4, … `partition` tells `tome.apply` to take
# yours.

# %%
with torch.no_grad():
    right = tome.apply(model, r=12, partition=lambda n: torch.arange(1, n, 2))(stills[:1])[0]
    tome.remove(model)  # our own block does the merging now
    x = model._pos_embed(model.patch_embed(stills[:1]))[0]  # the class token and 144 patches, with their positions
    size = torch.ones(len(x))
    for block in model.blocks:
        x, size = tome_block(block, x, size, r=12)
    by_hand = model.head(model.norm(x)[0])
print(f"{len(x)} tokens that stand for {size.sum():.0f}; the largest logit is {right.abs().max():.2f}")
print(f"largest difference between the logits: {(by_hand - right).abs().max():.4f}")

# %% [markdown]
# It does. But our block is **a copy of timm's**, and where a model's block has one more part, a copy is wrong in silence.
# So `tome.apply` hangs *hooks* into timm's own block instead: functions that PyTorch calls before or after a module.
#
# ## Who was merged with whom
#
# `model.merges` is a `Merge` as in lesson 02, from the first tokens to the last. Here are six frames of one film, each
# merged by itself. Every patch is painted with the mean colour of its group.

# %%
film = films.make(seed=21, way="roaming", frames=6, size=96, patch=8)
pictures = {}
for r in (8, 16, 22):
    tome.apply(model, r)
    look(model, tiny_vit.pixels(film.frames))
    pictures[f"r = {r}"] = tome.patch_merge(model)  # model.merges without the class token
plots.show(plots.groups(film.frames, pictures, grid=(6, 12, 12), film="the film", title="Each frame merged by itself"))

# %% [markdown]
# In the last row 144 patches are in 17 groups a frame. Wall, sky and street have gone into a few tokens, and most of the
# other figures with them. The actor has kept several tokens to itself. Nobody told the operator who matters. But it
# merges by the network's *keys*, and this network was trained to look at the actor alone.
#
# ## What it should save
#
# One block, with $n$ tokens coming in, $m$ left after merging, and $C$ channels, makes
#
# $$\underbrace{4 n C^2 + 2 n^2 C}_{\text{attention, lesson 01}} + \underbrace{8 m C^2}_{\text{MLP}}$$
#
# multiply-adds: a usual MLP widens a token to $4C$ and back, two matrices of $4C^2$. DeiT-S, a network of ToMe's paper,
# has 12 blocks, $C = 384$, and 197 tokens. At `r = 8` there are 101 left at the end, half.

# %% [markdown] tags=["prediction"]
# **Before you compute it:** what share of the multiply-adds is left? (In percent, in place of the dots.)

# %%
checks.predict("03-work", ...)
attention_cost = checks.attention_cost.mine()  # lesson 01: (multiply-adds, bytes of the scores)

# %% [markdown]
# ## Your turn 3: the work that is left
#
# Add up the blocks of a ViT: `attention_cost(n, channels)[0]` for attention, and the MLP on the tokens that are left.
# Use your `tokens_left` (if it is still open, `my_tokens_left` does it). The patch embedding, the head and the matching
# are left out.

# %% nbgrader={"grade": false, "grade_id": "vit-multiply-adds", "locked": false, "schema_version": 3, "solution": true, "task": false}
def vit_multiply_adds(n: int, prefix: int, amounts: list[int], channels: int) -> int:
    """Multiply-adds of all blocks; amounts: how many tokens each block merges away at most."""
    ### BEGIN SOLUTION
    total, before = 0, n
    for after in tokens_left(n, prefix, amounts):
        total += attention_cost(before, channels)[0] + 8 * after * channels**2
        before = after
    return total
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "vit-multiply-adds-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.vit_multiply_adds(vit_multiply_adds)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# What leaves one block comes into the next. Attention has the tokens from before merging, the MLP those from after.
#
# </details>

# %%
import timm
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def operations(model: torch.nn.Module, x: torch.Tensor) -> int:
    """Counted by PyTorch, matching included. (It does not see fused attention, so here attention runs in steps.)"""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(x)
    return counter.get_total_flops()


work = checks.vit_multiply_adds.mine()
checks.replay("03-work", round(100 * work(197, 1, [8] * 12, 384) / work(197, 1, [0] * 12, 384)))
deit, image = timm.create_model("deit_small_patch16_224").eval(), torch.zeros(1, 3, 224, 224)
counted = operations(deit, image), operations(tome.apply(deit, r=8), image)
print(f"PyTorch counts {counted[0] / 1e9:.1f} and {counted[1] / 1e9:.1f} billion: {counted[1] / counted[0]:.0%}")

# %% [markdown]
# Half of the tokens are gone *at the end* only. What is merged early saves in every block that follows.
#
# ## Speed against fidelity
#
# Three measures of harm: **accuracy** needs labels; **agreement** with the unmerged network's answers needs none; the
# **cosine** of the class token's features with the unmerged ones does not even need a classifier.
#
# A network that is right on every still may have room to spare, and hide a loss. So there is a second set: the same
# stills under noise, where it is right on fewer than nine in ten. And a control: would *any* merging do? `by_lot` merges
# as many tokens by random keys.


# %% tags=["nbval-ignore-output"]
def measure(model, x=stills, reference=before) -> dict[str, float]:
    """reference: the features of the unmerged network."""
    features, logits = look(model, x)
    answer = logits.argmax(1)
    return {
        "work": operations(model, x[:1]) / full,
        "accuracy": (answer == label).float().mean().item(),
        "agreement": (answer == model.head(reference).argmax(1)).float().mean().item(),
        "cosine": F.cosine_similarity(features, reference).mean().item(),
    }


def by_lot(context) -> Merge:
    """ToMe's targets, but random keys."""
    keys = torch.randn(context.keys.shape, generator=lot)
    return match(keys, tome.alternate(context.n, prefix=1), context.merged)


def line(rows: list[dict[str, float]]) -> tuple[list[float], list[float]]:
    return [row["work"] for row in rows], [row["accuracy"] for row in rows]


full, lot = operations(tome.remove(model), stills[:1]), torch.Generator().manual_seed(0)
noisy = stills + 0.7 * torch.randn(stills.shape, generator=torch.Generator().manual_seed(0))
amounts, lines = (0, 8, 16, 24, 32, 40, 48), {}
for name, x, reference in (("clean", stills, before), ("noisy", noisy, look(model, noisy)[0])):
    lines[f"{name}, by keys"] = line([measure(tome.apply(model, r), x, reference) for r in amounts])
    lines[f"{name}, by lot"] = line([measure(tome.apply(model, r, reducer=by_lot), x, reference) for r in amounts])
plots.show(plots.trade(lines, "work, share of the unmerged network", "accuracy", title="Merged by keys, and by lot"))

# %% [markdown]
# The dots are `r` = 0, 8, 16, … 48, from right to left. On clean stills all answers stay right up to `r = 24`, when 12 of
# 144 patch tokens are left, at 55% of the operations. The noisy stills tell more: nothing is lost up to `r = 16`, and
# about three points at `r = 24`. Then both break, and fast. By lot answers are lost from the first step on. So it is
# the matching that keeps them.
#
# And $\log s$ in the attention? Here it helps, but little. The third line merges as much as can be merged:

# %% tags=["nbval-ignore-output"]
def told(name: str, row: dict[str, float]) -> None:
    print(f"{name:20s} accuracy {row['accuracy']:4.0%}, cosine {row['cosine']:.2f}, work {row['work']:.0%}")


for r, name, switch in ((32, "with log s", True), (32, "without", False), (72, "with log s", True)):
    told(f"r = {r}, {name}", measure(tome.apply(model, r, proportional=switch)))

# %% [markdown] tags=["prediction"]
# **Before you run it:** agreement needs no labels, so we can measure it on a network with *random* weights. At `r = 72`
# the trained one keeps half of its answers. How many does the random one keep, in percent?

# %%
checks.predict("03-random", ...)

# %%
torch.manual_seed(0)
untrained = tiny_vit.build()
reference = look(untrained, stills)[0]
row = measure(tome.apply(untrained, 72), stills, reference)
checks.replay("03-random", round(100 * row["agreement"]))
print(f"cosine {row['cosine']:.2f}, accuracy {row['accuracy']:.0%}")

# %% [markdown]
# It agrees with itself, and it means nothing: the random network gives the same answer to every frame, so there was
# nothing to lose. **A fidelity number is worth as much as the network's own sensitivity.**
#
# ### What breaks: the last sources of a block
#
# At `r = 72` the first block merges *all* of its 72 sources, down to the one that is least like any target. Let us merge
# in the first block only, and stop five earlier.

# %% tags=["nbval-ignore-output"]
for r in (72, 67):
    told(f"{r} in block 1 only", measure(tome.apply(model, [r, 0, 0, 0, 0, 0])))

actor = torch.from_numpy(some.actor[:, ::3]).reshape(240, 144)  # the films know where it is
with torch.no_grad():
    model(stills)
keep = tome.patch_merge(model).keep  # after the class token, targets have the even places, so odd ones are sources
unlike = actor.gather(1, keep)[keep % 2 == 1].float().mean()
print(f"patches that show the actor: {actor.float().mean():.0%} of all, {unlike:.0%} of the last five sources")

# %% [markdown]
# The last five sources cost a quarter of the answers, and most of them show the actor, who fills only 6% of a frame.
# They resemble no target. What counts is not so much how many tokens go, but that **no unlike ones** have to.
#
# ### Measured in seconds
#
# Operations are not time. Here is the clock, for our tiny network and for DeiT-S (with random weights, which take the
# same time as trained ones).


# %% tags=["nbval-ignore-output"]
import copy
from functools import partial


@torch.no_grad()
def race(name: str, network: torch.nn.Module, amounts: tuple[int, ...], x: torch.Tensor) -> None:
    """Time the network for every r in turns, so that whatever else the machine does hits all of them."""
    times = measuring.interleaved({r: partial(tome.apply(copy.deepcopy(network), r), x) for r in amounts}, 3)
    for r in amounts[1:]:
        print(f"{name}, r = {r:2d}: {measuring.ratio(times, of=0, against=r)['median']:.1f} times as fast as without")


race("tiny ViT", model, (0, 8, 16, 24), stills[:60])
race("DeiT-S", deit, (0, 8, 13), torch.randn(4, 3, 224, 224))

# %% [markdown]
# DeiT-S gains a part of what the operations promise (1.35 and 1.7 times, by the count). Our tiny ViT gains nothing at small `r`, or even loses: with 64
# channels there is so little work in a token that sorting and counting cost as much as they save. Merging pays where tokens
# are wide and many.
#
# A GPU is another machine, with other ratios. The next cell measures on yours, if there is one. In its table *cut* is the same
# network on sequences that merely lose their last tokens: no merging inside these blocks can be faster.

# %% tags=["gpu", "nbval-ignore-output"]
from vtm_lesson.measuring import bench_pieces, bench_vit

if torch.cuda.is_available():
    print("On", torch.cuda.get_device_name())
    vits = {"bfloat16": bench_vit.vit((("deit_small_patch16_224", 128, (8, 13)),), device="cuda", dtype=torch.bfloat16)}
else:
    vits = bench_pieces.stored("vit")
for result in vits.values():
    print(bench_vit.text(result))

# %% [markdown]
# ## From frames to films
#
# So far each frame was alone. A film repeats itself: the wall of frame 0 is the wall of frame 5. There are two ways.
#
# - **Per frame**: every frame is a sequence of its own. Six frames give six answers, which we average.
# - **Joint**: all six frames are *one* sequence of 6 x 144 patch tokens and a class token. A patch may be merged with
#   one of another frame. ToMe does this in its video models. `tome.apply(model, r, frames=6)`.
#
# Our network was trained on single frames; but a class token that looks for the actor in 864 patches rather than 144
# need not notice. Joint attention has more to do, before anything is merged.

# %%
clips = tiny_vit.pixels(some.frames.reshape(-1, 96, 96, 3))
clip_label = torch.from_numpy(some.label)


@torch.no_grad()
def watch(r, frames: int, partition=None) -> float:
    """The share of the 120 films of 6 frames that are told rightly; frames = 1: per frame, 6: joint."""
    tome.apply(model, r, frames=frames, partition=partition)
    logits = torch.cat([model(part) for part in clips.split(60)])
    return (logits.softmax(1).view(120, -1, 8).mean(1).argmax(1) == clip_label).float().mean().item()


for name, frames in (("per frame", 1), ("joint", 6)):
    right, billions = watch(0, frames), operations(model, clips[:6]) / 1e9
    print(f"{name:9s} unmerged: {right:.0%} of the films right, {billions:.1f} billion operations a film")

# %% [markdown]
# It does not notice. Now merge, jointly. What is most like a patch of wall? The same patch one frame later, one should
# think.

# %% [markdown] tags=["prediction"]
# **Before you run it:** merge half of all tokens in the first block, jointly. What share of the merged sources goes to
# *the same place in another frame*, in percent? (Think of ToMe's partition: every second token is a target. A row has
# 12 patches, a frame 144.)

# %%
checks.predict("03-place", ...)


# %% tags=["nbval-ignore-output"]
def same_place(partition=None) -> float:
    """The share of block 1's sources, in 20 films, that go to their own place in another frame."""
    with torch.no_grad():
        tome.apply(model, [10_000, 0, 0, 0, 0, 0], frames=6, partition=partition)(clips[:120])
    merge, here = tome.patch_merge(model), torch.arange(864)
    target = merge.keep.gather(1, merge.group)  # for every token: the position of the token it ended up in
    return (target % 144 == here % 144)[target != here].float().mean().item()


checks.replay("03-place", round(100 * same_place()))

# %% [markdown]
# **None.** 144 is an even number. Place 7 of frame 0 is a source; place 7 of frame 1 is patch 151, a source as well. In
# every frame the same places are sources, so a source can never meet itself in another frame. This is the trap that
# lesson 02 announced; in lesson 04 it comes back.

# %% [markdown]
# ## Your turn 4: a checkerboard in space and time
#
# Choose the targets such that **every direct neighbour** of a source is a target: to the left and right,
# above and below, *and* one frame earlier and later. Tokens are numbered frame by frame, row by row. The first token,
# in the corner of frame 0, is a source.

# %% nbgrader={"grade": false, "grade_id": "checkerboard", "locked": false, "schema_version": 3, "solution": true, "task": false}
def checkerboard(frames: int, height: int, width: int) -> torch.Tensor:
    """Positions of the targets, ascending, int64."""
    ### BEGIN SOLUTION
    t, y, x = torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij")
    return ((t + y + x) % 2 == 1).flatten().nonzero()[:, 0]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "checkerboard-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.checkerboard(checkerboard)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# A step to a neighbour changes exactly one of the three numbers by one, so the sum changes between even and odd, and
# the neighbour is on the other side.
#
# </details>

# %% tags=["nbval-ignore-output"]
board = checks.checkerboard.mine()(6, 12, 12)


def by_board(n: int) -> torch.Tensor:
    """The checkerboard as long as the tokens are a grid; every second token afterwards."""
    return board if n == 864 else tome.alternate(n, prefix=1)


print(f"checkerboard: {same_place(by_board):.0%} of the sources go to the same place in another frame")

# %% [markdown]
# Two of three now meet themselves. The picture shows three halvings, to 108 tokens.

# %%
pictures = {}
for name, partition in (("every second token", None), ("checkerboard", by_board)):
    tome.apply(model, [432, 216, 108, 0, 0, 0], frames=6, partition=partition)
    look(model, tiny_vit.pixels(film.frames))
    pictures[name] = tome.patch_merge(model)
plots.show(plots.groups(film.frames, pictures, grid=(6, 12, 12), film="the film", title="Joint merging to 108 tokens"))

# %% [markdown]
# Follow the yellow figure: with every second token it takes on the green of its neighbour, and the pink one is lost. With
# the checkerboard colours stay cleaner.
#
# Does it matter for the answers? Equal numbers of patch tokens for all: half of them go in the first block, half of
# the rest in the next, and so on. From left to right: five halvings, three, two, one. (Per frame, five halvings
# leave 30 tokens in place of 27, as 9 is odd.)

# %% tags=["nbval-ignore-output"]
halvings = (5, 3, 2, 1)
ways = {"per frame": (1, None), "joint": (6, None), "joint, checkerboard": (6, by_board)}
lines = {name: [watch([10_000] * k + [0] * (6 - k), *way) for k in halvings] for name, way in ways.items()}
left = [864 // 2**k for k in halvings]
plots.show(
    plots.curves(left, lines, "patch tokens left of 864", "films right", "Halved again and again", logx=True)
)

# %% [markdown]
# Joint merging is ahead of per-frame merging everywhere. The checkerboard is behind every second token nowhere, and ahead by seven or eight
# points at 27 and 216 tokens. (120 films: two or three points are noise, seven or eight may partly be.) A frame that is halved by itself must mix its unlike patches; in
# six frames a patch finds its like.
#
# ## What the paper reports, and what we have measured
#
# | | ToMe | this lesson |
# |---|---|---|
# | network | ViT-L and ViT-H, 512 and 518 pixels | ViT of 6 blocks and 64 channels, 96 pixels |
# | trained for merging | no | no |
# | throughput | 2 times (video: 2.2 times) | for DeiT-S: "Measured in seconds", above |
# | accuracy lost | 0.2 to 0.3 points | `r = 24`: none on clean stills, about 3 points under noise |
#
# The direction agrees; do not compare the numbers. Ours is an easy world, one actor before much wall.
#
# **Where it fails.** The keys know what the network was trained for, and nothing else: ask this one about another
# figure, and most of its tokens are gone. Half of a block is too much when that half holds unlike tokens. Small
# networks lose in bookkeeping what they gain. And what needs a grid after the blocks (segmentation, say) needs
# `model.merges.unmerge` first.
#
# ## For whoever uses timm
#
# The main line goes on at the recap. This part is for those who put merging into models of their own.
#
# - **Which models?** Every plain ViT of timm (`vit_*`, `deit_*`, your own subclass of `VisionTransformer`), also with
#   LayerScale, register tokens or normalised keys, which the hooks leave alone. Others are refused: a Swin Transformer
#   needs its tokens on a grid in every block. `tome.remove(model)` takes everything out again.
# - **A ViT that is not timm's?** Between its attention and its MLP: `match` on the keys, `merge(x, weight=size)`,
#   `merge.size(size)`; and `size.log()` to the next attention, as a mask.
# - **Pretrained weights?** Where there is internet, `timm.create_model("vit_base_patch16_224", pretrained=True)`; for
#   frames of your own, the transform that `timm.data.create_transform` makes for the model.
# - **Fused attention?** PyTorch's FlashAttention kernel takes no mask, so $\log s$ makes it choose another one;
#   `proportional=False` brings it back. Lesson 09 measures what merging gains beside fused attention.
# - **Training with merging on?** It works: averages have gradients, only the choice of partners has none.
# - **Which blocks should merge?** Early ones save most. `tome.apply(model, (16, -1.0))` is ToMe's falling schedule: 16 a
#   block on average, 32 in the first, none in the last. A list has one number a block.
# - **A threshold instead of a fixed r?** ToMe takes none: every image would keep another number of tokens, and in a batch
#   all rows have one length. But there is a way round.

# %% [markdown]
# ### Your turn 5: a threshold for a batch
#
# `tome.apply` also takes a function for `r`. It is called in every block with the block's number and the cosine of each source with its best
# target, `similarity` (B, S), and says how many to merge. Return the largest number for which **every image** of the
# batch merges only sources whose similarity is above the threshold.

# %% nbgrader={"grade": false, "grade_id": "above", "locked": false, "schema_version": 3, "solution": true, "task": false}
def above(similarity: torch.Tensor, threshold: float) -> int:
    """How many sources to merge in each image of the batch."""
    ### BEGIN SOLUTION
    return int((similarity > threshold).sum(dim=1).min())
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "above-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.above(above)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# ToMe merges the *most similar* sources first. An image with a count of 40 therefore merges 40 good ones; with the
# smallest count of the batch, nobody has to merge a bad one.
#
# </details>

# %% [markdown]
# One look at a batch with the threshold on gives a *list*, one number a block, which can be used ever after. Let us make
# such lists on 60 **other** films, and compare.


# %% tags=["nbval-ignore-output"]
my_above = checks.above.mine()
others = tiny_vit.pixels(films.batch(60, seed=79, frames=1, size=96, patch=8, progress=False).frames[:, 0])


def list_for(threshold: float) -> list[int]:
    """The amounts that a threshold chooses, block by block."""
    chosen = []

    def choose(block: int, similarity: torch.Tensor) -> int:
        chosen.append(my_above(similarity, threshold))
        return chosen[-1]

    with torch.no_grad():
        tome.apply(model, choose)(others)
    return chosen


lists = {threshold: list_for(threshold) for threshold in (0.99, 0.98, 0.95, 0.9, 0.6)}
schedules = {
    "constant": amounts,
    "falling": [(r, -1.0) for r in (8, 16, 20, 24, 28)],
    "list from a threshold": lists.values(),
}
lines = {name: line([measure(tome.apply(model, r)) for r in several]) for name, several in schedules.items()}
plots.show(plots.trade(lines, "work, share of the unmerged network", "accuracy", title="Three schedules, clean stills"))
print("threshold 0.9 gives the list", lists[0.9])

# %% [markdown]
# **Falling** beats constant, a little. The **list from a threshold** beats both where it hurts: it merges nearly all
# sources of the first block, but stops before the unlike ones.
#
# ## Recap
#
# - ToMe merges **between attention and MLP**, by the attention's own keys, averages by size, and protects the class
#   token.
# - A token that is merged early saves work in every block that follows.
# - Matching matters: by lot, the same number of merges ruins the answers. And **unlike sources** are what hurts.
# - An easy test hides a loss; agreement says nothing about a network that says the same to everything.
# - In a film, mind the parity: "every second token" may never let a patch meet itself.
#
# **Quiz**
#
# <details><summary>1. A ViT with 196 patches, a class token and 4 registers: how many tokens can a block merge at most?</summary>
#
# 98: half of the 196 unprotected ones.
#
# </details>
#
# <details><summary>2. Somebody reports that merging half of the tokens of a network changes its features by a cosine of 0.99. What do you ask?</summary>
#
# What the cosine is between the features of two *different* images. If that is 0.99 as well, the number says nothing.
#
# </details>
#
# <details><summary>3. Frames of 7 x 7 patches, all in one sequence, every second token a target. Can a patch meet itself in the next
# frame?</summary>
#
# Yes: 49 is odd, so places change sides from frame to frame, and ToMe's partition is a checkerboard in space and time
# by itself.
#
# </details>
#
# **Next:** [04 Naive VTM](04_naive_vtm.ipynb): a network of three blocks for long films, with merging in
# every block.
