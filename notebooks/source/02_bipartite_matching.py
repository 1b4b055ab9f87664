# %% [markdown]
# # 02 Bipartite matching
#
# **You will** solve eight small puzzles, each with a picture, and put the pieces together: ToMe's three steps, partition,
# match and merge, in five lines of your own · merge a picture with them · see why a merged token needs a *size*, and what
# attention does with it · see naive versions of the operator fail, and mend one.
#
# **Time** 95 minutes · **Needs** lesson 01, PyTorch basics · **Runs in** about 10 seconds, no GPU

# %%
from vtm_lesson import checks, plots

plots.show(checks.course_map("02"))

# %%
import torch
import torch.nn.functional as F

from vtm_lesson import checks, films, partition, plots
from vtm_lesson.merging import Merge, match, nearest

# %% [markdown]
# ## The question
#
# Lesson 01 left us with a bill that grows with the square of the number of tokens. So we want fewer tokens: `N - r`
# in place of `N`, in every block of the network, for a cost that is small beside attention's.
#
# Dropping `r` tokens is cheap, but what they carried is gone. Clustering (k-means, say) keeps more, but needs many rounds.
# *Token Merging: Your ViT But Faster* (Bolya et al., ICLR 2023; **ToMe** from here on) found a middle way: find pairs of tokens
# that say nearly the same, and average each pair. One matrix product finds the pairs.
#
# Everything later in this course, up to learnable video token merging, changes only *which tokens are targets*. The
# operator of this lesson stays.

# %% [markdown]
# ## A toy to check by hand
#
# Six tokens. Each has a **key**: the vector that attention compares. Here keys have two numbers, so that each is an arrow in
# the plane.

# %%
keys = torch.tensor(
    [
        [1.0, 0.1],  # 0  points right
        [2.0, 0.0],  # 1  points right, longer
        [0.1, 1.0],  # 2  points up
        [0.0, 1.0],  # 3  points up
        [-1.0, 1.0],  # 4  points up left
        [-1.0, 0.0],  # 5  points left
    ]
)
targets = torch.tensor([1, 3, 5])
plots.show(plots.arrows(keys, targets, angles=[(4, 3), (4, 5)], title="Six keys; every second token is a target"))

# %% [markdown]
# **Step 1, partition.** Every second token becomes a **target**: 1, 3, 5. The others are **sources**: 0, 2, 4.
#
# **Step 2, match.** Each source looks for the target whose key points in the most similar direction. The measure is
# the cosine, $\cos(a, b) = a \cdot b \,/\, (|a|\,|b|)$. Only directions count: token 1 is twice as long as token 0, and
# that changes nothing.
#
# Do source 4 by hand; it lies midway between targets 3 and 5. Its key is $(-1, 1)$, of length $\sqrt 2$. With target 3, $(0, 1)$: the dot product is 1, so the
# cosine is $1/\sqrt 2 = 0.71$. With target 5, $(-1, 0)$: again 0.71. A tie. Our rule: **ties go to the lower position**, so
# source 4 goes to target 3.
#
# **Step 3, merge.** Take the `r` sources with the highest cosine and average each with its target.

# %% [markdown] tags=["prediction"]
# **Before you run it:** with `r = 2`, which two sources are merged, and into which targets? Which four tokens are left?
#
# *My guess:*

# %%
plots.show(plots.matching(keys, targets, n_merge=2, title="Six tokens, r = 2"))

# %% [markdown]
# Solid lines are merged, dotted ones are not. Source 4 has the weakest match, so it stays as it is. The picture in
# numbers, from the package's `match`:

# %%
merge = match(keys[None], targets, n_merge=2)  # the package works on batches: (1, 6, 2)
print(merge)
print("group of each token:  ", merge.group[0].tolist())
print("surviving positions:  ", merge.keep[0].tolist())

# %% [markdown]
# Read the first list as "token 0 goes into output 0, token 1 into output 0, token 2 into output 1 …". A merge is nothing
# but this list. Outputs keep the order of the tokens that survive (1, 3, 4, 5): in a video that is the order of time.

# %% [markdown]
# ### Under your own hand
#
# Drag a key, or go there with Tab and the arrow keys. Which moves change who is merged, and which only change a length? Then make a key zero,
# and a copy of its neighbour: what do they match, and why?

# %% tags=["nbval-ignore-output"]
from vtm_lesson import explorers

explorers.drag_keys(keys, share=0.7)

# %% [markdown]
# ## A merge is a list: five puzzles
#
# Each puzzle shows what is given and what is wanted, and takes one to five lines. The check tries many inputs; the picture
# after it shows what your function makes of the one above. If you leave one open, the rest of the notebook still runs: later
# cells ask `checks.NAME.mine()` for your function, take the package's where yours is not solved yet, and print which.

# %% [markdown]
# ### Puzzle 1: alternate
#
# Return the source positions and the target positions of `n` tokens: sources 0, 2, 4, …, targets 1, 3, 5, …. `n` may be odd.

# %%
puzzle_1 = {
    "given": {"tokens": range(7)},
    "wanted": {"sources": partition.uniform(7, 2), "targets": range(1, 7, 2)},
    "at": {"sources": "value", "targets": "value"},
    "arguments": (7,),
}
plots.show(plots.puzzle(**puzzle_1))

# %% nbgrader={"grade": false, "grade_id": "alternate", "locked": false, "schema_version": 3, "solution": true, "task": false}
def alternate(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(sources, targets), both int64, ascending."""
    ### BEGIN SOLUTION
    return torch.arange(0, n, 2), torch.arange(1, n, 2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "alternate-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.alternate(alternate)

# %%
plots.show(plots.puzzle(**puzzle_1, mine=alternate))

# %% [markdown]
# ### Puzzle 2: every gamma-th
#
# VTM, from lesson 04 on, takes fewer targets: every `gamma`-th token. Return all positions from 0 to `n - 1` that lie a
# multiple of `gamma` away from `offset`. The offset is any whole number, it may be below 0, or `gamma` and above: 2, 6 and -2
# are the same offset at `gamma` 4. There are at least `gamma` tokens.

# %%
puzzle_2 = {
    "given": {"tokens": range(12)},
    "wanted": {"targets": partition.uniform(12, gamma=4, offset=6)},
    "at": {"targets": "value"},
    "arguments": (12, 4, 6),
    "title": "12 tokens, gamma 4, offset 6",
}
plots.show(plots.puzzle(**puzzle_2))

# %% nbgrader={"grade": false, "grade_id": "every-gamma-th", "locked": false, "schema_version": 3, "solution": true, "task": false}
def every_gamma_th(n: int, gamma: int, offset: int) -> torch.Tensor:
    """Positions offset, offset + gamma, offset - gamma, ... from 0 to n - 1: (T,) int64, ascending."""
    ### BEGIN SOLUTION
    return torch.arange(offset % gamma, n, gamma)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "every-gamma-th-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.every_gamma_th(every_gamma_th)

# %%
plots.show(plots.puzzle(**puzzle_2, mine=every_gamma_th))

# %% [markdown]
# ### Puzzle 3: the groups of a full merge
#
# All sources are merged, each into its best target. Outputs are numbered as the targets are: 0, 1, 2, …. Return for every
# token, in its place, the number of the output that it goes into. `best` has one number for each source, as in the picture.

# %%
angle = torch.tensor([0.2, 0.0, 0.3, 1.4, 1.5, 3.3, 3.0, 1.7])  # of eight keys
eight = torch.stack([angle.cos(), angle.sin()], dim=1)[None]
chosen = torch.tensor([1, 4, 6])
others = torch.tensor([0, 2, 3, 5, 7])
best = nearest(eight, chosen)[0][0]
puzzle_3 = {
    "given": {"tokens": range(8), "targets, numbered": range(3), "best, of sources": best},
    "wanted": {"group": match(eight, chosen).group[0]},
    "at": {"targets, numbered": chosen, "best, of sources": others},
    "colour": ["targets, numbered", "best, of sources", "group"],
    "arguments": (best, others, chosen),
}
plots.show(plots.puzzle(**puzzle_3))

# %% nbgrader={"grade": false, "grade_id": "full-groups", "locked": false, "schema_version": 3, "solution": true, "task": false}
def full_groups(best: torch.Tensor, sources: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """best (S,) in 0 ... T-1, sources (S,), targets (T,) -> group (S + T,) int64."""
    ### BEGIN SOLUTION
    group = torch.zeros(len(sources) + len(targets), dtype=torch.int64)
    group[targets] = torch.arange(len(targets))
    group[sources] = best
    return group
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "full-groups-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.full_groups(full_groups)

# %%
plots.show(plots.puzzle(**puzzle_3, mine=full_groups))

# %% [markdown]
# A group list and an average: that is a merge. Lesson 00 had the average. Here are both, on tokens of one number:

# %%
my_groups, my_mean = checks.full_groups.mine(), checks.group_mean.mine()
group = my_groups(best, others, chosen)
values = torch.tensor([4.0, 2, 6, 9, 7, 1, 3, 5])
rows = {"tokens": values, "group": group, "merged": my_mean(values[:, None], group)}
plots.show(plots.puzzle(rows, {}, colour=["group"], flow={"group": "merged"}, title="A merge"))

# %% [markdown]
# Eight tokens have become three. ToMe does not go so far: it merges the `r` most similar sources and leaves the others as they are.
# Which tokens are left then, and what are their numbers?

# %% [markdown]
# ### Puzzle 4: surviving positions
#
# `merged` are the positions of the sources that are merged away, in any order. Return the positions of the tokens that are left.

# %%
merged, into = torch.tensor([5, 0, 3]), torch.tensor([1, 1, 4])  # token 5 goes into token 1, say
destination = torch.arange(8)
destination[merged] = into
partial = Merge.of(destination[None])  # the package's
puzzle_4 = {
    "given": {"tokens": range(8), "merged": merged},
    "wanted": {"surviving": partial.keep[0]},
    "at": {"merged": "value", "surviving": "value"},
    "arguments": (8, merged),
}
plots.show(plots.puzzle(**puzzle_4))

# %% nbgrader={"grade": false, "grade_id": "surviving-positions", "locked": false, "schema_version": 3, "solution": true, "task": false}
def surviving_positions(n: int, merged: torch.Tensor) -> torch.Tensor:
    """n tokens, merged (R,) int64 -> (n - R,) int64, ascending."""
    ### BEGIN SOLUTION
    stays = torch.ones(n, dtype=torch.bool)
    stays[merged] = False
    return stays.nonzero()[:, 0]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "surviving-positions-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.surviving_positions(surviving_positions)

# %%
plots.show(plots.puzzle(**puzzle_4, mine=surviving_positions))

# %% [markdown]
# ### Puzzle 5: the groups of a partial merge
#
# Token `merged[i]` goes into token `into[i]`, which survives. The survivors are numbered in their order, 0, 1, 2, …. Return the
# number of the output that each token goes into. You may call `surviving_positions` (if it is still open, first run
# `surviving_positions = checks.surviving_positions.mine()`).

# %%
puzzle_5 = {
    "given": {"tokens": range(8), "goes into": into},
    "wanted": {"group": partial.group[0]},
    "at": {"goes into": merged},
    "colour": ["group"],
    "flow": {"goes into": "tokens"},
    "arguments": (8, merged, into),
}
plots.show(plots.puzzle(**puzzle_5))

# %% nbgrader={"grade": false, "grade_id": "partial-groups", "locked": false, "schema_version": 3, "solution": true, "task": false}
def partial_groups(n: int, merged: torch.Tensor, into: torch.Tensor) -> torch.Tensor:
    """merged (R,), into (R,): positions -> group (n,) int64, numbers 0 ... n - R - 1."""
    ### BEGIN SOLUTION
    group = torch.zeros(n, dtype=torch.int64)
    kept = surviving_positions(n, merged)
    group[kept] = torch.arange(len(kept))
    group[merged] = group[into]
    return group
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "partial-groups-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.partial_groups(partial_groups)

# %%
plots.show(plots.puzzle(**puzzle_5, mine=partial_groups))

# %% [markdown]
# Now the toy of the beginning, in your numbers: sources 0 and 2 go into targets 1 and 3. The keys themselves are averaged, and
# drawn again.

# %%
my_partial = checks.partial_groups.mine()
group = my_partial(6, torch.tensor([0, 2]), torch.tensor([1, 3]))
print("group of each token:", group.tolist(), "· the package said", merge.group[0].tolist())
plots.show(plots.arrows(my_mean(keys, group), [0, 1, 3], title="Four tokens are left: outputs 0, 1, 2, 3"))

# %% [markdown]
# Outputs 0 and 1 are the averages of two keys each (drawn as targets, with output 3, which was target 5); output 2 is source
# 4, as it was.

# %% [markdown]
# ## The formula
#
# In the notation of *Video Token Merging* (VTM, NeurIPS 2024), with targets $i \in T$ and sources $j \in S$:
#
# $$m_j = \arg\max_{i \in T} \cos(k_i, k_j) \qquad \text{(VTM eq. 3)}$$
#
# $$y_i = \frac{x_i + \sum_{j \in M_i} x_j}{1 + |M_i|}, \qquad M_i = \{ j : m_j = i \} \qquad \text{(VTM eq. 4)}$$
#
# Keys $k$ decide *who* is merged. Values $x$ are *what* is averaged. They may be different tensors, and mostly are.
#
# The puzzles were the merge; now the match, eq. 3.

# %% [markdown]
# ## Your turn 1: the nearest target
#
# For every source, return the *number of its best target* (0 for the first target, 1 for the second, …) and the cosine
# with it. No loop is needed: one matrix product gives all cosines. A key of zeros (padding, often) has no direction;
# its cosine with everything shall be 0, not NaN. Ties go to the first target.

# %% nbgrader={"grade": false, "grade_id": "nearest", "locked": false, "schema_version": 3, "solution": true, "task": false}
def nearest_target(
    keys: torch.Tensor, sources: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """keys (N, D), sources (S,), targets (T,) -> best (S,) int64 in 0 ... T-1, similarity (S,)."""
    ### BEGIN SOLUTION
    unit = F.normalize(keys, dim=1)  # length 1; zeros stay zeros
    scores = unit[sources] @ unit[targets].T  # (S, T)
    best = scores.argmax(dim=1)  # the first one in a tie
    return best, scores.gather(1, best[:, None])[:, 0]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "nearest-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.nearest_target(nearest_target)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# After division by the lengths, a dot product *is* the cosine. `argmax` returns the first of equal maxima, which is our tie
# rule. Dividing by `keys.norm(dim=1)` without care makes 0/0 = NaN of a zero key, and `argmax` takes NaN for the largest
# number of all: one padded target would then swallow every source. You will see that below.
#
# </details>

# %% [markdown]
# ## Why halves, and why every second token?
#
# Why not simply merge each token with its most similar one, whichever it is? Let us look at pictures: a frame of each of two
# course films, cut into 24 x 24 patches of 8 x 8 pixels. A token is a patch's pixels, minus the mean patch.

# %%
side = 24
n = side * side


def cut(frame) -> tuple[torch.Tensor, torch.Tensor]:
    """A frame (192, 192, 3) -> its pixels from 0 to 1, and its patches (576, 192)."""
    pixels = torch.from_numpy(frame).float() / 255
    return pixels, pixels.unfold(0, 8, 8).unfold(1, 8, 8).permute(0, 1, 3, 4, 2).reshape(n, -1)


def free_choice(keys: torch.Tensor) -> torch.Tensor:
    """(N, N) cosines of each token with every other one."""
    unit = F.normalize(keys, dim=1)
    return (unit @ unit.T).fill_diagonal_(-1)


first, second = (films.make(seed=4, way=way, frames=1, size=192, patch=8) for way in ("roaming", "centred"))
pixels, patches = cut(first.frames[0])
patch_keys = patches - patches.mean(0)
cosines = free_choice(patch_keys)
favourite = cosines.argmax(dim=1)
mutual = favourite[favourite] == torch.arange(n)
print(f"{n} tokens; {mutual.float().mean():.0%} are their favourite's favourite")

# %% [markdown]
# Only a third of the tokens form a mutual pair. The others make chains: *a* wants *b*, *b* wants *c*, *c* wants *d*. Either
# the whole chain becomes one token (how far does it reach?) or someone has to solve the puzzle of pairs, one step after
# another. That is slow on hardware that likes to do everything at once.
#
# ToMe's answer is to make the graph **bipartite**: edges run from sources to targets only. A source has exactly one edge,
# a target never moves. Chains cannot form, and one matrix product and one argmax do it all. The price: two similar
# sources cannot meet, unless at the same target.
#
# But which half? Nearby patches look alike. If sources and targets **alternate**, every source has neighbours among the
# targets.

# %% [markdown] tags=["prediction"]
# **Before you run it:** compare three ways of choosing 288 targets of 576: every second one, the lower half of the
# picture, a random half. Order them by the mean cosine of the sources with their best targets. (Your `nearest_target` does
# the matching; the sources are your `surviving_positions` when the targets are taken away.)
#
# *My guess:*

# %%
my_nearest, my_others = checks.nearest_target.mine(), checks.surviving_positions.mine()
random_half = torch.randperm(n, generator=torch.Generator().manual_seed(0))[: n // 2].sort().values
halves = {
    "every second token": torch.arange(1, n, 2),
    "random half": random_half,
    "lower half": torch.arange(n // 2, n),
}


def partners(keys: torch.Tensor) -> dict[str, float]:
    """Mean cosine of the sources with their best targets, for each choice of targets."""
    found = {name: my_nearest(keys, my_others(n, half), half)[1].mean().item() for name, half in halves.items()}
    return found | {"any other token": free_choice(keys).amax(dim=1).mean().item()}


other = cut(second.frames[0])[1]
found = {"first film": partners(patch_keys), "second film": partners(other - other.mean(0))}
plots.show(
    plots.panels(
        found,
        "mean cosine with the best partner",
        title="Where sources look for a partner",
        mark="every second token",
        marked="ToMe's choice",
        form=".2f",
    )
)

# %% [markdown]
# In both frames alternating and random halves lose little against free choice; the lower half loses more, because sky finds
# no sky there.
# Between these two, alternating has one merit: it needs no random numbers. (It also has a trap, which waits in lesson 04: in a video, a
# regular pattern can hit the same places in every frame.)

# %% [markdown]
# ## Your turn 2: the whole step
#
# Put it together: split, match, and merge the `r` most similar sources with **plain averages**. Return the `N - r` tokens
# that are left, in their old order. Ties, between sources and between targets, go to the lower position.
#
# You have all the pieces: `alternate`, `nearest_target`, `partial_groups`, and `group_mean` of lesson 00, which the next
# cell fetches. Call them by their names. Where you left a piece open, fetch it in the same way, in a cell of your own.

# %%
group_mean = checks.group_mean.mine()

# %% nbgrader={"grade": false, "grade_id": "tome-step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def tome_step(x: torch.Tensor, keys: torch.Tensor, r: int) -> torch.Tensor:
    """x (N, C), keys (N, D) -> (N - r, C)."""
    ### BEGIN SOLUTION
    sources, targets = alternate(len(x))
    best, similarity = nearest_target(keys, sources, targets)
    merged = similarity.argsort(descending=True, stable=True)[:r]
    group = partial_groups(len(x), sources[merged], targets[best[merged]])
    return group_mean(x, group)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "tome-step-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.tome_step(tome_step)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# `best` counts targets and `merged` counts sources; `sources[merged]` and `targets[best[merged]]` turn both into positions.
# The group list does the rest: a target's group holds itself and its merged sources, so the mean of the group is VTM eq. 4.
# Survivors are numbered in their old order, so the tokens that are left stand in it.
#
# </details>

# %% [markdown]
# ## On an image
#
# How close is your operator to the package's? `match` with the odd positions is the same function. One round on the first frame,
# 144 tokens merged away:

# %%
my_step = checks.tome_step.mine()
y_mine = my_step(patches, patch_keys, 144)
y_package = match(patch_keys[None], torch.arange(1, n, 2), n_merge=144)(patches[None])[0]
print(f"this tome_step against match: {len(y_mine)} tokens, largest difference {(y_mine - y_package).abs().max():.4f}")

# %% [markdown]
# To *see* a merge we need to know who went where, and `tome_step` returns tokens only. A trick: give it the identity matrix as
# tokens. Token $i$ is then a row with a 1 at place $i$, and row $m$ of the result says with what share each token went into
# output $m$. The largest share of each column is its group.

# %%
shares = my_step(torch.eye(6), torch.eye(3)[[0, 0, 1, 1, 2, 0]], 2)  # six tokens, r = 2
print(shares)
print("group of each token:", shares.argmax(dim=0).tolist())

# %% [markdown]
# Three rounds will give three such lists, each on the tokens that the last one left. A puzzle makes one list of them.

# %% [markdown]
# ### Puzzle 6: compose
#
# `groups` is a list of group lists, one for each merge: the second takes the tokens that the first one left, and so on. Return
# one group list, from the original tokens to the final ones. There may be any number of merges.

# %%
rounds = [torch.tensor([0, 0, 1, 1, 2, 3, 3, 4]), torch.tensor([0, 0, 1, 1, 2])]
two = [Merge.of(torch.tensor([into])) for into in ([0, 0, 2, 2, 4, 5, 5, 7], [0, 0, 2, 2, 4])]
puzzle_6 = {
    "given": {"first": rounds[0], "second": rounds[1]},
    "wanted": {"both": two[0].then(two[1]).group[0]},
    "colour": ["first", "second", "both"],
    "flow": {"first": "second"},
    "arguments": (rounds,),
}
plots.show(plots.puzzle(**puzzle_6))

# %% nbgrader={"grade": false, "grade_id": "compose-groups", "locked": false, "schema_version": 3, "solution": true, "task": false}
def compose_groups(groups: list[torch.Tensor]) -> torch.Tensor:
    """groups[0] (N,), groups[1] (M,), ... -> (N,) int64."""
    ### BEGIN SOLUTION
    both = groups[0]
    for after in groups[1:]:
        both = after[both]
    return both
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "compose-groups-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.compose_groups(compose_groups)

# %%
plots.show(plots.puzzle(**puzzle_6, mine=compose_groups))

# %% [markdown]
# Three rounds of your step on the frame. Every patch is painted with the average of its group: `unmerge`, from lesson 00. So
# is the error, the root mean square of what a pixel lost; pixels go from 0 to 1.

# %%
my_compose, my_unmerge, my_error = checks.compose_groups.mine(), checks.unmerge.mine(), checks.merging_error.mine()
every = torch.ones(n, dtype=torch.bool)  # the error of all patches
x, lists, pictures, captions = patch_keys, [], [pixels], ["576 tokens"]
for _ in range(3):
    shares = my_step(torch.eye(len(x)), x, 144)
    lists.append(shares.argmax(dim=0))
    x = my_step(x, x, 144)
    group = my_compose(lists)  # from the 576 patches to the tokens that are left
    painted = my_unmerge(my_mean(patches, group), group)
    captions.append(f"{len(x)} tokens, error {my_error(patches, group, every):.3f}")
    pictures.append(painted.view(side, side, 8, 8, 3).permute(0, 2, 1, 3, 4).reshape(192, 192, 3))
plots.show(plots.frames(torch.stack(pictures), pick=4, title="One frame, merged round by round", captions=captions))

# %% [markdown]
# The first round costs little that the eye would miss: it takes wall and sky, where there is plenty of the same (the sun
# pays first). The last round has to merge things that differ: figures get patches of wall, and the wall gets patches of
# figures. Merging is a compression that spends its tokens where the picture is rich, but it has no idea of what *matters*.
# Lessons 05 to 07 are about that.
#
# The package's names for what you wrote: `merge.then(next)` composes, `merge.unmerge(y)` unmerges.

# %% [markdown]
# ## Token size
#
# Think of the second round. There, a token that already stands for five patches may meet one that stands for one. VTM
# eq. 4 takes the plain average: each counts one half. So the one patch weighs as much as the other five together.
#
# ToMe counts differently. It carries a **size** with every token, how many originals it stands for, and weights by it:
#
# $$y_i = \frac{s_i x_i + \sum_{j \in M_i} s_j x_j}{s_i + \sum_{j \in M_i} s_j}, \qquad s_i \leftarrow s_i + \sum_{j \in M_i} s_j$$

# %% [markdown]
# ### Puzzle 7: mend the sizes
#
# `size` are the sizes of the tokens before a merge, `group` its group list. Wanted are the sizes after it. This looks right, and is
# not:

# %%
def broken_sizes(group: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(int(group.max()) + 1)
    total[group] += size
    return total


sized = Merge.of(torch.tensor([[1, 1, 3, 3, 4, 1]]))
before = torch.tensor([1.0, 2, 1, 3, 1, 5])
puzzle_7 = {
    "given": {"size": before, "group": sized.group[0]},
    "wanted": {"new size": sized.size(before[None])[0]},
    "colour": ["group"],
    "flow": {"group": "new size"},
    "arguments": (sized.group[0], before),
}
plots.show(plots.puzzle(**puzzle_7, mine=broken_sizes, whose="broken"))

# %% nbgrader={"grade": false, "grade_id": "token-sizes", "locked": false, "schema_version": 3, "solution": true, "task": false}
def token_sizes(group: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """group (N,) int64, numbers 0 ... M - 1, all in use; size (N,) -> (M,)."""
    ### BEGIN SOLUTION
    total = torch.zeros(int(group.max()) + 1)
    return total.index_add(0, group, size)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "token-sizes-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.token_sizes(token_sizes)

# %%
plots.show(plots.puzzle(**puzzle_7, mine=token_sizes))

# %% [markdown] tags=["solution"]
# <details><summary>What was broken</summary>
#
# `total[group] += size` means `total[group] = total[group] + size`: all old values are read at once, and all sums are written.
# Where a group comes up three times, three sums are written to one place, and one of them stays. `index_add` adds each one.
#
# </details>

# %% [markdown]
# A weighted average of averages is the average of all originals. Check it on numbers:

# %%
large = match(torch.ones(1, 6, 1), torch.tensor([2, 5]), n_merge=4)  # equal keys: the four sources go to target 2
values = torch.tensor([[[0.0], [2.0], [4.0], [6.0], [8.0], [40.0]]])
five = large(values)
my_sizes = checks.token_sizes.mine()
size = my_sizes(large.group[0], torch.ones(6))
print("groups", large.group[0].tolist(), "values", five[0, :, 0].tolist(), "sizes", size.tolist())

last = match(torch.ones(1, 2, 1), torch.tensor([1]))
print("plain average of the two:   ", last(five).item())
print("size-weighted average:      ", last(five, weight=size[None]).item())
print("average of the six originals:", values.mean().item())

# %% [markdown]
# Which is better? ToMe, which is put into a *trained* network without training it again, needs the size-weighted one: the
# network expects the average of what was there. VTM trains with merging, and reports the plain average as better (its
# table 7). A possible reason can be seen here: **with size weights, the mean over all tokens at the end is the same as
# without any merging.** Where that mean is all that is read, it does not matter which tokens were selected. With plain
# averages, tokens in small groups gain weight: merging becomes a way to say what matters. (In a network, layers stand
# between merging and the mean. Appendix C shows both kinds trained, and cannot tell them apart.)

# %%
tokens = torch.randn(1, 100, 3, generator=torch.Generator().manual_seed(1))
some = match(tokens, torch.arange(0, 100, 6))
weighted, size = some(tokens, weight=torch.ones(1, 100)), some.size()


def told(mean: torch.Tensor) -> str:
    return "  ".join(f"{value:+.3f}" for value in mean[0].tolist())


print("mean of the original tokens:        ", told(tokens.mean(1)))
print("size-weighted pooling after merging:", told((weighted * size[..., None]).sum(1) / 100))
print("plain pooling after merging:        ", told(some(tokens).mean(1)))

# %% [markdown]
# ## Proportional attention
#
# Now attention meets a merged token. Suppose three tokens had exactly the same key $k$ and value $v$. Before merging, a
# query $q$ gave them, in the softmax, three times $e^{q \cdot k / \sqrt D}$. After merging, one token is there, and gets it
# once. Attention to the rest has grown, though nothing in the film has changed.
#
# To get the old result back, count the token as often as its size $s$ says:
#
# $$s\, e^{q \cdot k / \sqrt D} = e^{q \cdot k / \sqrt D + \log s}$$
#
# So: **add $\log s$ to the scores** of each key, after the division by $\sqrt D$. That is ToMe's *proportional
# attention*. For equal tokens it is exact, not an approximation. It also tells us **why keys are compared**: two tokens
# with equal keys draw equal attention from every query, so attention cannot tell them apart. Merging by keys merges
# what attention would have treated alike. (What is lost is the difference of their values; the average keeps the best
# single stand-in for it.)

# %% [markdown]
# ## Your turn 3: proportional attention
#
# One head, no batch. `size` has one number for each key.

# %% nbgrader={"grade": false, "grade_id": "proportional", "locked": false, "schema_version": 3, "solution": true, "task": false}
def proportional_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, size: torch.Tensor
) -> torch.Tensor:
    """q (Q, D), k (K, D), v (K, C), size (K,) -> (Q, C)."""
    ### BEGIN SOLUTION
    scores = q @ k.T / q.shape[1] ** 0.5 + size.log()
    return scores.softmax(dim=1) @ v
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "proportional-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.proportional_attention(proportional_attention)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# `size.log()` has shape (K,) and is added to every row of the (Q, K) scores: a bonus for each key, the same for all
# queries. In practice it goes in as the mask of PyTorch's fused attention, `attn_mask=size.log()[:, None, None, :]`, so
# nothing slow is needed.
#
# </details>

# %% [markdown]
# The test that matters: five tokens, three of them equal. Attention over all five, and over the three tokens left after
# the equal ones were merged: plain, and with your function.

# %%
my_attention = checks.proportional_attention.mine()
g = torch.Generator().manual_seed(2)
q, v = torch.randn(2, 8, generator=g), torch.randn(5, 8, generator=g)
k = torch.randn(5, 8, generator=g)
k[[1, 3]], v[[1, 3]] = k[0].clone(), v[0].clone()  # tokens 0, 1 and 3 are the same
group = match(k[None], torch.tensor([0, 2, 4])).group[0]
size = my_sizes(group, torch.ones(5))
k_few, v_few = my_mean(k, group), my_mean(v, group)

full = F.scaled_dot_product_attention(q[None], k[None], v[None])[0]
plain = F.scaled_dot_product_attention(q[None], k_few[None], v_few[None])[0]
proportional = my_attention(q, k_few, v_few, size)
print("sizes after merging", size.tolist())
print(f"largest error, plain attention:        {(plain - full).abs().max():.3f}")
print(f"largest error, proportional attention: {(proportional - full).abs().max():.3f}")

# %% [markdown]
# ## Where naive versions fail
#
# Merging looks like ten lines, and versions of it circulate that fail in silence. One you have mended: sums that overwrite each
# other. Here are four more; for one of them you write the cure.
#
# **1. Padding.** A token of zeros has length 0. Dividing by it gives NaN, and NaN wins every argmax.

# %%
padded = torch.randn(1, 8, 4, generator=torch.Generator().manual_seed(3))
padded[0, 1] = 0  # target 1 is padding
naive = padded / padded.norm(dim=-1, keepdim=True)
naive_best = (naive[0, 0::2] @ naive[0, 1::2].T).argmax(dim=1)
careful = match(padded, torch.arange(1, 8, 2))
print("naive: sources go to targets", (2 * naive_best + 1).tolist(), " <- all swallowed by the padding")
print("match: sources go to targets", careful.keep[0][careful.group[0, 0::2]].tolist())

# %% [markdown]
# **2. Order.** It is easy to return "unmerged sources, then targets"; ToMe's own code does. For a picture classifier that is
# harmless. In a video the tokens of frame 0 and frame 50 are then shuffled together, and chunks (lesson 04) cut through the
# wrong place. The way back is the last puzzle.

# %% [markdown]
# ### Puzzle 8: two heaps
#
# A merge returns its tokens in two heaps: first the sources that were left, at positions `left` in any order, then the
# targets, at positions `targets`. Return the place of each row in the order of positions: 0 for the token that stood first.

# %%
left, kept_targets = torch.tensor([8, 2, 4]), torch.tensor([1, 3, 5, 7])
position = torch.cat([left, kept_targets])
puzzle_8 = {
    "given": {"left": left, "targets": kept_targets},
    "wanted": {"place": torch.searchsorted(position.sort().values, position)},
    "at": {"targets": range(3, 7)},
    "colour": ["place"],
    "arguments": (left, kept_targets),
}
plots.show(plots.puzzle(**puzzle_8))

# %% nbgrader={"grade": false, "grade_id": "time-order", "locked": false, "schema_version": 3, "solution": true, "task": false}
def time_order(left: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """left (L,), targets (T,): positions, none twice -> (L + T,) int64, the place of each row among all of them."""
    ### BEGIN SOLUTION
    position = torch.cat([left, targets])
    return (position[:, None] > position).sum(dim=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "time-order-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.time_order(time_order)

# %%
plots.show(plots.puzzle(**puzzle_8, mine=time_order))

# %% [markdown]
# With the places, one line undoes the heaps. On a merge of twelve tokens, beside `match`:

# %%
my_order = checks.time_order.mine()
step = match(torch.randn(1, 12, 4, generator=torch.Generator().manual_seed(4)), torch.arange(1, 12, 2), n_merge=3)
stayed, odd = step.keep[0][step.keep[0] % 2 == 0], torch.arange(1, 12, 2)  # sources that were left, and targets
heaps = torch.cat([stayed, odd])
in_time = torch.empty_like(heaps)
in_time[my_order(stayed, odd)] = heaps
print("two heaps:", heaps.tolist())
print("in order: ", in_time.tolist())
print("match:    ", step.keep[0].tolist())

# %% [markdown]
# **3. The tail.** With every fourth token a target and 10 tokens, code that reshapes to groups of four forgets the last two.
#
# **4. Sizes in half precision.** bfloat16 keeps 8 bits of a number. It cannot count past 256 one by one.

# %%
full_size = match(torch.randn(1, 10, 3, generator=torch.Generator().manual_seed(5)), torch.arange(0, 10, 4)).size()
print("10 tokens, targets 0, 4, 8: sizes", full_size[0].tolist(), "sum", full_size.sum().item())
count = torch.tensor(256.0, dtype=torch.bfloat16)
print("256 + 1 in bfloat16 =", (count + 1).item(), "· sizes of a Merge are always", full_size.dtype)

# %% [markdown]
# ## What the papers report, and what we have measured
#
# ToMe reports twice the throughput of large ViTs on images, for 0.2 to 0.3 points of accuracy, without training. We have
# measured no speed yet, and no accuracy: this lesson showed that the operator does what its formulae say (under "On an
# image" it says whose function agreed with `match`), that alternating halves cost little similarity on two frames, and
# that proportional attention is exact for equal tokens. Speed and fidelity in a real ViT are lesson 03; speed limits are lesson 09.
#
# **Where it fails.** The match sees one thing, the similarity of keys. It will merge a face into a wall of the same colour.
# And the bipartite rule forbids the best pairs now and then: two similar sources may only meet at a third token.

# %% [markdown]
# ## Recap
#
# - **Partition, match, merge**: targets and sources, one cosine product, averages.
# - Bipartite, because chains cannot form; alternating, because neighbours look alike.
# - A merge is an assignment, `group`. Apply it to anything, compose it, unmerge it.
# - **Size** weights make averages of averages right; plain averages let small groups speak louder.
# - $\log s$ in the scores makes attention count a merged token as often as it should.
#
# **Quiz**
#
# <details><summary>1. Twelve tokens, targets 1, 3, 5, …, 11. What is the largest possible r?</summary>
#
# Six: all sources are merged, and the six targets are left. ToMe can at most halve the tokens in a block.
#
# </details>
#
# <details><summary>2. All keys are equal. Which tokens are merged at r = 2, and into what?</summary>
#
# Every cosine is 1, so ties decide: sources 0 and 2, both into target 1. One token then stands for three.
#
# </details>
#
# <details><summary>3. A token of size 4 and one of size 1 are merged with size weights; then mean pooling weights every token by its
# size. How much does the small token count in the pooled mean?</summary>
#
# As much as one of the originals, as if nothing had been merged. With plain averages and plain pooling it would count half of its
# group.
#
# </details>
#
# **Next:** [03 ToMe in a ViT](03_tome_in_a_vit.ipynb): the same operator inside a real network, without copying its code.
