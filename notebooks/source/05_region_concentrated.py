# %% [markdown]
# # 05 Region-concentrated merging
#
# **You will** place more targets where you guess that the action is · work out on paper when such a guess pays, and by how
# much · measure it on films of three kinds: where the guess is right, where it is half right, and where it is wrong.
#
# **Time** 65 minutes · **Needs** [lesson 04](04_naive_vtm.ipynb) · **Runs in** about 15 seconds, no GPU

# %%
from vtm_lesson import checks, plots

plots.show(checks.course_map("05"))

# %% [markdown]
# ## The question
#
# Naive VTM takes every $\gamma$-th token as a target, wherever it lies. Yet not all tokens matter equally: some are
# **salient**. A target keeps its place, while a source is averaged into some target. So salient tokens should be targets.
#
# But which tokens are salient? The cheapest answer does not look at the film at all. Whoever films something puts
# it in the middle of the picture. So guess: *the centre*.
#
# Our films have a known actor, the orange figure, so we can see what the guess is worth in three ways of filming:
#
# - **centred**: the actor stays in the middle.
# - **roaming**: the camera stands still, the actor walks all over the set.
# - **handheld**: the camera walks with the actor, who keeps one place in the frame, off the middle.

# %%
import math
from functools import partial

import torch

from vtm_lesson import checks, films, plots
from vtm_lesson.encoders import load_encoder
from vtm_lesson.merging import match
from vtm_lesson.network import VideoClassifier
from vtm_lesson.partition import region, sample, uniform

shown = {way: films.make(4, way, frames=12, size=96) for way in films.WAYS}
for film in shown.values():
    print(film)

# %% [markdown]
# ## By hand: one frame of 4 x 4
#
# The **centre** is the rectangle of half the height and half the width in the middle of the frame. Of a frame with 4 x 4
# tokens it is the middle 2 x 2: positions 5, 6, 9, 10. The **boundary** is the rest: 12 tokens.
#
# ```
#  0  1  2  3
#  4 [5][6] 7
#  8 [9][10]11
# 12 13 14 15
# ```
#
# Let $\gamma = 4$, so that 16 / 4 = 4 tokens become targets. VTM's centre-concentrated partition takes the centre with factor
# $\gamma / 2 = 2$ and the boundary with factor $3\gamma / 2 = 6$:
#
# - every second token of the centre 5, 6, 9, 10: tokens **5** and **9**;
# - every sixth token of the boundary 0, 1, 2, 3, 4, 7, 8, 11, ...: tokens **0** and **8**.

# %%
region(frames=1, height=4, width=4, gamma=4)

# %% [markdown]
# ## The formula
#
# The centre holds $N / 4$ tokens. So the two factors together give (VTM sec. 3.3)
#
# $$ \frac{N/4}{\gamma/2} + \frac{3N/4}{3\gamma/2} = \frac{N}{2\gamma} + \frac{N}{2\gamma} = \frac{N}{\gamma}. $$
#
# Half of the targets lie in the centre, three times as densely as around it, and the total is that of naive VTM.
#
# The opposite guess, **boundary-concentrated**, swaps the factors. Then the total does not come out:

# %% [markdown] tags=["prediction"]
# **Before you go on:** put $\gamma/2$ on the boundary and $3\gamma/2$ on the centre. How many targets is that, in units of
# $N/\gamma$?
#
# *My answer:*

# %% [markdown]
# $$ \frac{3N/4}{\gamma/2} + \frac{N/4}{3\gamma/2} = \frac{3N}{2\gamma} + \frac{N}{6\gamma} = \frac{5}{3} \cdot \frac{N}{\gamma}. $$
#
# A comparison with the centre would compare token budgets, too. So in this package the factors set only the *ratio* of the
# densities, 3 to 1, and the total is $\lceil N/\gamma \rceil$ for both.

# %%
grid, gamma = (12, 12, 12), 6  # 12 frames of 12 x 12 tokens
n = 12 * 12 * 12
row, column = torch.arange(n) // 12 % 12, torch.arange(n) % 12
centre = (3 <= row) & (row < 9) & (3 <= column) & (column < 9)

for focus in ("centre", "boundary"):
    targets = region(*grid, gamma, focus)
    inside = int(centre[targets].sum())
    print(f"{focus:>8}: {inside:3} of {int(centre.sum())} in the centre, "
          f"{len(targets) - inside:3} of {int((~centre).sum())} on the boundary, {len(targets)} in all")

# %% [markdown]
# ## Your turn 1: centre targets
#
# Write the centre-concentrated partition. `height` and `width` are even, `gamma` is 2 or more.
#
# - There are `T = ceil(frames * height * width / gamma)` targets: `round(T / 2)` of them in the centre, the others outside.
# - The centre is `height // 2` rows from row `(height - height // 2) // 2` on. The same goes for columns.
# - The `k` targets of a region are spread evenly over its `m` tokens, all frames in a row: the ones with numbers
#   `floor(i * m / k)` for `i = 0 ... k - 1`.
# - Positions are flat (frame by frame, row by row), in ascending order.

# %% nbgrader={"grade": false, "grade_id": "centre-targets", "locked": false, "schema_version": 3, "solution": true, "task": false}
def centre_targets(frames: int, height: int, width: int, gamma: float) -> torch.Tensor:
    """(T,) int64, ascending: half of the targets in the centre of the frames, half around it."""
    ### BEGIN SOLUTION
    rows, columns = height // 2, width // 2
    top, left = (height - rows) // 2, (width - columns) // 2
    centre = torch.zeros(frames, height, width, dtype=torch.bool)
    centre[:, top : top + rows, left : left + columns] = True
    count = math.ceil(frames * height * width / gamma)

    def spread(mask, k):
        positions = mask.flatten().nonzero()[:, 0]
        return positions[[i * len(positions) // k for i in range(k)]]

    inside = round(count / 2)
    return torch.cat([spread(centre, inside), spread(~centre, count - inside)]).sort().values
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "centre-targets-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.centre_targets(centre_targets)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Both regions get half of the targets, but the centre has a third as many tokens as the boundary, so it is three times as
# dense. The budget is fixed first and then divided: rounding each region by itself could give a target more or less than $T$.
#
# </details>

# %% [markdown]
# ## The picture
#
# Bright patches are targets, pale ones are sources, and the orange line runs round the actor. From here on the centre's
# targets come from your function.

# %%
my_centre = checks.centre_targets.mine()
strategies = {"centre": torch.as_tensor(my_centre(*grid, gamma)).long(), "boundary": region(*grid, gamma, "boundary")}
film = shown["centred"]
plots.show(plots.targets(film.frames, strategies, grid, actor=film.actor, pick=3, title="Centred film"))

# %% [markdown]
# In any other film of this size the targets are the same: this partition sees the size of the grid and nothing else. In the
# centre they stand in two columns, and always the same two. Keep that in mind.

# %% [markdown]
# ## Recall: what the guess is worth
#
# We call **recall** the share of the actor's patches that are targets. Random targets find $1/\gamma$ of anything: that is
# chance. The centre's expected recall depends on one more number, the share $f$ of the actor's patches that lie in it:
#
# $$ \text{recall} = \frac{f}{\gamma/2} + \frac{1 - f}{3\gamma/2} $$

# %% [markdown] tags=["prediction"]
# **Before you go on:** which $f$ makes the guess no better than chance? And what are the best and the worst case, in
# multiples of chance?
#
# *My answer:*

# %% [markdown]
# With $f = 1$ it is $2/\gamma$, twice chance. With $f = 0$ it is $\tfrac{2}{3} \cdot \tfrac{1}{\gamma}$, two thirds of chance.
# It equals chance where $2f + \tfrac{2}{3}(1 - f) = 1$, at $f = 1/4$. That is the centre's share of the frame. So the guess pays if
# the actor is in the centre *more often than a random patch would be*. It can win a factor of 2 and lose a third.

# %% [markdown]
# ## Your turn 2: expected recall
#
# Write the formula for both guesses. For the boundary, remember that its densities have the ratio 3 to 1 as well, but are
# scaled so that the total is $N/\gamma$. (`coverage` in the function's name means recall.)

# %% nbgrader={"grade": false, "grade_id": "expected-coverage", "locked": false, "schema_version": 3, "solution": true, "task": false}
def expected_coverage(inside: float, gamma: float, focus: str) -> float:
    """Recall of an actor of whom a share `inside` lies in the centre. focus: "centre" or "boundary"."""
    ### BEGIN SOLUTION
    if focus == "centre":
        return inside * 2 / gamma + (1 - inside) * 2 / (3 * gamma)
    # Unscaled, the boundary is taken with 2 / gamma and the centre with 2 / (3 gamma): 5/3 of the budget.
    return 3 / 5 * (inside * 2 / (3 * gamma) + (1 - inside) * 2 / gamma)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "expected-coverage-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.expected_coverage(expected_coverage)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Recall is an average over the actor's patches, and each patch is a target with the density of the region that it is in.
# The boundary guess wins at most a factor of 1.2, because the boundary is large, and loses up to 60%.
#
# </details>

# %% [markdown]
# ## A trap before we measure
#
# Take 60 films of each kind. First what should be dull: the recall of every sixth token, naive VTM. It ought to be
# 1/6 = 0.17 everywhere.

# %%
made = {way: films.batch(60, seed=5, ways=way, frames=12, size=96, progress=False) for way in films.WAYS}
actors = {way: torch.from_numpy(batch.actor).reshape(60, n) for way, batch in made.items()}


def recall(targets: torch.Tensor, actor: torch.Tensor) -> torch.Tensor:
    """For every film, the share of its actor's patches that are targets. targets (T,) or (B, T), actor (B, N) bool."""
    chosen = torch.zeros_like(actor).scatter(1, targets.expand(len(actor), -1), True)
    return (chosen & actor).sum(1) / actor.sum(1)


for way, actor in actors.items():
    found = recall(uniform(n, gamma), actor)
    print(f"{way:>8}: mean {found.mean():.2f}, no patch at all in {int((found == 0).sum())} of 60 films")
for name, targets in {"every sixth": uniform(n, gamma), **strategies}.items():
    print(f"{name:>11}: {len(torch.unique(targets % 144)):3} of the 144 places of a frame are ever a target")

# %% [markdown]
# This is the comb of lesson 04. The stride 6 divides the 12 tokens of a row, so the targets fall on the same two columns in
# every frame, and one of them runs through the middle, where the centred actor stands. The centre partition has a comb too:
# every third token of a centre that is 6 tokens wide.
#
# So from here on each film's targets move along inside their region by a random number of tokens. The baseline is random
# targets, as in lesson 08: where they fall has nothing to do with the grid.

# %%
def moved(targets: torch.Tensor, offset: int) -> torch.Tensor:
    """As many targets in either region as before, each of them `offset` tokens of its region further on."""
    parts = []
    for mask in (centre, ~centre):
        positions = mask.nonzero()[:, 0]
        rank = torch.searchsorted(positions, targets[mask[targets]])
        parts.append(positions[(rank + offset) % len(positions)])
    return torch.cat(parts).sort().values


generator = torch.Generator().manual_seed(0)
offsets = torch.randint(n, (60,), generator=generator).tolist()
partitions = {
    "centre": torch.stack([moved(strategies["centre"], offset) for offset in offsets]),
    "random": sample(torch.zeros(60, n), gamma, generator=generator),
    "boundary": torch.stack([moved(strategies["boundary"], offset) for offset in offsets]),
}
for name, targets in partitions.items():
    print(f"{name:>8}: {len(torch.unique(targets % 144))} of 144 places are a target in some film")

# %% [markdown]
# ## Recall, measured
#
# Everything should follow from the share $f$ of the actor that is in the centre. Put it into your formula:

# %%
my_recall = checks.expected_coverage.mine()
inside = {way: float(((actor & centre).sum(1) / actor.sum(1)).mean()) for way, actor in actors.items()}
for way, f in inside.items():
    expected = {name: float(my_recall(f, gamma, name)) for name in ("centre", "boundary")}
    print(f"{way:>8}: f = {f:.2f}, " + ", ".join(f"{name} {value:.2f}" for name, value in expected.items()))

# %% [markdown]
# And measured, with the 95% interval of the mean over 60 films:

# %%
def interval(x: torch.Tensor) -> tuple[float, float, float]:
    """Mean over films, and the 95% interval of the mean."""
    mean, half = float(x.mean()), 1.96 * float(x.std()) / len(x) ** 0.5
    return round(mean, 3), round(mean - half, 3), round(mean + half, 3)


found = {
    way: {name: interval(recall(targets, actor)) for name, targets in partitions.items()}
    for way, actor in actors.items()
}
plots.show(plots.panels(found, "share of the actor's patches that are targets", level=(1 / gamma, "chance"), form=".2f",
                        title="Recall of the actor, 60 films of each kind, gamma = 6"))

# %% [markdown]
# Every value that the formula foretold lies inside the measured interval, or at its edge. In centred films the guess is
# right. In roaming films half of the actor's patches are in the centre, and the guess still pays. In handheld films it is wrong.

# %% [markdown]
# ## Your turn 3: read the chart
#
# Return four things, in this order:
#
# 1. the name of the longest bar in the handheld panel, spelled as in the chart;
# 2. how many times chance the longest of all nine bars is;
# 3. what share of chance the shortest of all nine bars is;
# 4. in how many of the three panels the centre's whole interval (the black line) lies to the right of random's.
#
# One digit after the point is enough.

# %% nbgrader={"grade": false, "grade_id": "guesses-that-pay", "locked": false, "schema_version": 3, "solution": true, "task": false}
def guesses_that_pay() -> tuple[str, float, float, int]:
    """(longest bar in handheld films, largest gain, largest loss, panels in which the centre beats random targets)."""
    ### BEGIN SOLUTION
    return "boundary", 2.0, 0.4, 2
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "guesses-that-pay-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.guesses_that_pay(guesses_that_pay)

# %% [markdown] tags=["solution"]
# <details><summary>What it says</summary>
#
# The centre's best case is twice chance. The boundary's worst case, in the same films, is 0.4 of it: a wrong guess costs
# more than half of what one would have had without any. With the centre one risks less, as its worst case is two thirds.
#
# </details>

# %% [markdown]
# ## After merging: how loud is the actor?
#
# The network ends in the average over all tokens, and lesson 04 asked how much the actor weighs in it. The answer: as much as
# its share of the targets, if like is merged with like. An actor of $A$ patches has $\text{recall} \cdot A$ of the
# $N / \gamma$ targets, so
#
# $$ \frac{\text{share of the mean after merging}}{\text{share before}} =
#    \frac{\text{recall} \cdot A \,/\, (N / \gamma)}{A \,/\, N} = \gamma \cdot \text{recall}. $$
#
# To measure it, merge the actor's *mask* with the same `Merge`: a token made of two actor patches and one of sky gets 2/3, and
# the mean over all tokens is the actor's share. Keys come from the course's patch encoder. It was trained to tell figures'
# colours and gestures; it does not know who the actor is.

# %%
encoder = load_encoder("patch")
keys = {way: encoder.encode(batch.frames).reshape(60, n, -1) for way, batch in made.items()}


def loudness(keys: torch.Tensor, targets: torch.Tensor, actor: torch.Tensor) -> torch.Tensor:
    """For every film, the actor's share of the mean after one merge, in multiples of its share before."""
    after = match(keys, targets)(actor[..., None].float()).mean(dim=(1, 2))
    return after / actor.float().mean(1)


loud = {
    way: {name: interval(loudness(keys[way], targets, actor)) for name, targets in partitions.items()}
    for way, actor in actors.items()
}
plots.show(plots.panels(loud, "the actor's share of the mean, in multiples of its share without merging", form=".2f",
                        level=(1, "no merging"), title="How loud the actor is after one merge"))

# %%
for way, row_of in loud.items():
    print(f"{way:>8}: gamma x recall " + ", ".join(f"{name} {gamma * found[way][name][0]:.2f}" for name in row_of))

# %% [markdown]
# Compare the numbers with the bars: the simple formula holds well. Random targets leave the actor about as loud as it was, and a
# wrong guess makes it quieter than no merging at all.

# %% [markdown]
# ## Your turn 4: design a partition for one film
#
# What would it be worth to *know* where the actor is? In our first handheld film the actor never leaves a box of 4 x 2
# places: rows 4 to 7, columns 1 and 2. Somebody who has seen the film can say so. Design a partition for a film with such a
# box. Many are right. What is demanded:
#
# - exactly `T = ceil(frames * height * width / gamma)` targets, as for every strategy;
# - in **every** frame, at least a share `recall` of the box's places are targets;
# - in **every** frame, at least one target lies outside the box. (A frame without one would send its wall to other frames'
#   targets, or into the actor.)
# - Positions are flat, in ascending order, and none comes twice.
#
# `box` is `(top, left, rows, columns)`. The inputs leave room for it: `T` is at least what the demands add up to, and the
# places outside can take what is left of `T`.

# %% nbgrader={"grade": false, "grade_id": "box-targets", "locked": false, "schema_version": 3, "solution": true, "task": false}
def box_targets(
    frames: int, height: int, width: int, gamma: float, box: tuple[int, int, int, int], recall: float
) -> torch.Tensor:
    """(T,) int64, ascending: enough of the box in every frame, and at least one target outside of it in every frame."""
    ### BEGIN SOLUTION
    top, left, rows, columns = box
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[top : top + rows, left : left + columns] = True
    per_frame = math.ceil(recall * rows * columns)
    rest = math.ceil(frames * height * width / gamma) - frames * per_frame
    chosen = torch.zeros(frames, height * width, dtype=torch.bool)
    chosen[:, mask.flatten().nonzero()[:per_frame, 0]] = True
    chosen, spare = chosen.flatten(), (~mask).flatten().repeat(frames).nonzero()[:, 0]
    chosen[spare[[i * len(spare) // rest for i in range(rest)]]] = True
    return chosen.nonzero()[:, 0]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "box-targets-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.box_targets(box_targets)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# The box is served first, frame by frame, because a share of *all* its places could leave one frame empty. What is left
# is spread over the places outside of all frames in a row. As there are at least as many of these targets as frames, no
# step is longer than a frame, and none is skipped.
#
# </details>

# %%
my_box = checks.box_targets.mine()
film = shown["handheld"]
designed = {"centre": strategies["centre"], "box": torch.as_tensor(my_box(*grid, gamma, (4, 1, 4, 2), 1.0)).long()}
plots.show(plots.targets(film.frames, designed, grid, actor=film.actor, pick=3, title="A partition for this film alone"))
tokens, actor = encoder.encode(film.frames).reshape(1, n, -1), torch.from_numpy(film.actor).reshape(1, n)
for name, targets in {**designed, "boundary": strategies["boundary"]}.items():
    print(f"{name:>8}: recall {float(recall(targets, actor)):.2f}, loudness x {float(loudness(tokens, targets, actor)):.2f}")

# %% [markdown]
# (The centre's comb misses the actor altogether here.) With all of the box as targets recall is 1, and the actor is louder than
# any guess about a region can make it. But the box holds for one film. Lessons 06 and 07 ask who could find it without having
# seen the film.

# %% [markdown]
# ## Three blocks
#
# The network merges in each of three blocks, and positions travel with the tokens. The first block finds 1/4 of the tokens in
# the centre and puts half of its targets there. The second finds a larger centre, and takes it three times as densely as the rest
# once more.

# %% [markdown]
# ## Your turn 5: the centre's share after some blocks
#
# Before the first block a share `share` of the tokens is from the centre. Each block leaves targets only, and takes them
# `ratio` times as densely inside as outside. Which share is from the centre after `blocks` blocks? First guess it for three
# blocks, from 1/4 on, at a ratio of 3: write a number between 0 and 1 in place of the dots.

# %%
checks.predict("05-centre-share", ...)

# %% nbgrader={"grade": false, "grade_id": "centre-share", "locked": false, "schema_version": 3, "solution": true, "task": false}
def centre_share(blocks: int, share: float, ratio: float) -> float:
    """The share of the tokens that are from the centre after that many blocks, between 0 and 1."""
    ### BEGIN SOLUTION
    for _ in range(blocks):
        share = ratio * share / (ratio * share + 1 - share)
    return share
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "centre-share-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.centre_share(centre_share)

# %%
my_share = checks.centre_share.mine()
checks.replay("05-centre-share", round(float(my_share(3, 0.25, 3)), 3))
for block in (1, 2, 3):
    after = float(my_share(block, 0.25, 3))
    print(f"after block {block}: {after:.0%} of the tokens are from the centre, x {4 * after:.1f} its share of the frame")

# %% [markdown]
# If the actor never leaves the centre, its share should grow with that of the centre.

# %% [markdown] tags=["prediction"]
# **Before you run it** (it takes some ten seconds): lesson 04's network, untrained, on all our films. By which factor does
# the actor's share of the final mean grow in centred films, with the centre's targets? And in handheld ones, where one merge made
# it about 0.8?
#
# *My guesses:*

# %% tags=["nbval-ignore-output"]
def after_three_blocks(way: str, name: str) -> torch.Tensor:
    """(60,): the actor's share of the network's final mean, in multiples of its share without merging."""
    ratios = []
    for tokens, actor, offset in zip(keys[way], actors[way].float(), offsets, strict=True):
        torch.manual_seed(offset)
        partition = "random" if name == "random" else partial(region, focus=name, offset=offset)
        network = VideoClassifier(encoder.dim, chunks=(3, 6, 12), partition=partition, gamma=gamma).eval()
        with torch.no_grad():
            _, trace = network(tokens.reshape(1, *grid, -1), trace=True)
        ratios.append((trace.weight()[0] * actor).sum() / actor.mean())
    return torch.stack(ratios)


final = {way: {name: interval(after_three_blocks(way, name)) for name in partitions} for way in actors}
plots.show(plots.panels(final, "the actor's share of the final mean, in multiples of its share without merging",
                        level=(1, "no merging"), form=".2f", title="After three blocks, gamma = 6"))

# %% [markdown]
# The order is the same as after one block in centred and roaming films, but the formula loosens, probably because later blocks
# have to merge what is not alike. In centred films the centre stays below its 3.6. Random targets no longer leave the actor as loud as it
# was: in roaming films they end just above 1, so part of the gain there is not the guess's own. In handheld films the intervals
# overlap, and nobody can say from 60 films which guess is best.

# %% [markdown]
# ## What the paper reports, and what we measured
#
# | | VTM paper, long films (LVU) | here, toy films |
# |---|---|---|
# | measured | accuracy of trained networks, no error bars | recall and share of the mean, 60 films of each kind |
# | centre | better than naive in general | better than random targets in centred and roaming films, worse in handheld ones |
# | boundary | worse than naive in general | worse than random targets in centred and roaming films, better in handheld ones |
#
# (Random targets stand for naive ones without the comb, and the last column is about one merge.) Our films add a reason: at a
# given $\gamma$, and with the comb out of the way, the expected recall follows from $f$. A larger share of the mean is not yet a
# better answer; whether accuracy follows is the business of [lesson 08](08_the_comparison.ipynb).

# %% [markdown]
# ## Where it fails
#
# - **The action is not in the middle.** Then it is worse than no guess: two thirds of chance at worst.
# - **It cannot adapt.** Cameras that pan, two people at the two edges, a scoreboard in the corner: the targets stay where they
#   are.
# - **It gains little even when it is right**: a factor of 2 in one block, and never more than 4.
# - **Small grids.** On 7 x 7 tokens, as in the paper's Breakfast network, half the height is 3.5 rows. One has to round, and the
#   centre is no longer a quarter of the frame.
# - **Regular targets on a regular grid** make a comb. Vary the offset, or draw at random, more often in the centre.

# %% [markdown]
# ## Recap
#
# - Region-concentrated merging puts half of the targets into the middle quarter of the frame, by a guess about films.
# - The expected recall follows from $f$, the share of the actor in the centre. The guess pays above $f = 1/4$.
# - If like is merged with like, one merge multiplies the actor's share of the mean by $\gamma \cdot \text{recall}$; random targets leave
#   it about as it was.
# - Regular partitions make combs. Compare with staggered or random targets.
#
# **Three questions**
#
# 1. Why does the second factor have to be $3\gamma/2$?
# 2. In a set of talking-head videos, 80% of the speaker's patches lie in the centre. What is the recall at $\gamma = 10$,
#    beside chance?
# 3. Somebody reports that naive VTM beats centre-concentrated VTM on a set of centred films, at $\gamma = 4$ on a grid of
#    16 x 16. What would you look at first?
#
# <details><summary>Answers</summary>
#
# 1. Because the total should stay $N/\gamma$: the centre takes half of that, which leaves $N/(2\gamma)$ for $3N/4$ tokens.
# 2. $0.8 \cdot 2/10 + 0.2 \cdot 2/30 = 0.173$. Chance is 0.1.
# 3. The comb. The stride 4 divides 16, so the targets stand in the same four columns of every frame. Vary the offset, or
#    compare both with staggered or random targets.
#
# </details>
#
# **Next:** looking at the film before guessing. [Lesson 06](06_motion_based.ipynb) takes the motion vectors that every H.264
# film already holds.
