# %% [markdown]
# # 05 Region-concentrated merging
#
# **You will** place more targets where you guess that the action is · work out on paper when such a guess pays, and by how
# much · measure it on films of three kinds: where the guess is right, where it is half right, and where it is wrong.
#
# **Time** 40 minutes · **Needs** [lesson 04](04_naive_vtm.ipynb) · **Runs in** about half a minute, no GPU

# %% [markdown]
# ## The question
#
# Naive VTM takes every $\gamma$-th token as a target, wherever it lies. A patch of sky has the same chance as a face. Yet
# not all tokens matter equally: some are **salient**. A target keeps its place, while a source is averaged into some
# target. So salient tokens should be targets.
#
# But which tokens are salient? The cheapest answer does not look at the film at all. Whoever films something puts
# it in the middle of the picture. So guess: *the centre*.
#
# Our films have a known actor, the orange figure, so we can see what such a guess is worth. There are three ways of filming:
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
# Two of four tokens in the centre, two of twelve around it: three times as dense inside.

# %% [markdown]
# ## The formula
#
# The centre holds $N / 4$ tokens. So the two factors together give (VTM sec. 3.3)
#
# $$ \frac{N/4}{\gamma/2} + \frac{3N/4}{3\gamma/2} = \frac{N}{2\gamma} + \frac{N}{2\gamma} = \frac{N}{\gamma}. $$
#
# Half of the targets lie in the centre, and the total is that of naive VTM. That is why the second factor is
# $3\gamma/2$ and not some other number.
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
# Two thirds more tokens would be left, and a comparison with the centre would compare token budgets too. So in this
# package the factors set only the *ratio* of the densities, 3 to 1, and the total is $\lceil N/\gamma \rceil$ for
# both.

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
# ## The picture
#
# Bright patches are targets, pale ones are sources, and the orange line runs round the actor.

# %%
strategies = {"centre": region(*grid, gamma), "boundary": region(*grid, gamma, "boundary")}
film = shown["centred"]
plots.show(plots.targets(film.frames, strategies, grid, actor=film.actor, pick=3, title="Centred film"))

# %%
film = shown["roaming"]
plots.show(plots.targets(film.frames, strategies, grid, actor=film.actor, pick=3, title="Roaming film"))

# %%
film = shown["handheld"]
plots.show(plots.targets(film.frames, strategies, grid, actor=film.actor, pick=3, title="Handheld film"))

# %% [markdown]
# The targets are the same in all three films. They have to be: this partition sees the size of the grid and nothing else.
# In the centre they stand in two columns, and always the same two. Keep that in mind.

# %% [markdown]
# ## Your turn: centre targets
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

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1</summary>
#
# Make a mask of shape (frames, height, width) that is true in the centre. `mask.flatten().nonzero()[:, 0]` gives the
# positions of its tokens.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Write one small function that spreads `k` targets over a list of positions. Use it for the mask and for `~mask`.
#
# </details>
#
# <details><summary>Hint 3</summary>
#
# `positions[i * len(positions) // k]` is target number `i`. At the end join both lists and sort them:
# `torch.cat([...]).sort().values`.
#
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Both regions get half of the targets, but the centre has a third as many tokens as the boundary, so it is three times as
# dense. `match` wants targets in ascending order, because output tokens keep the order in time. The budget is fixed
# first and then divided: rounding each region by itself could give a target more or less than $T$.
#
# </details>

# %% [markdown]
# ## Recall: what the guess is worth
#
# We call **recall** the share of the actor's patches that are targets. (The code of this lesson calls it `coverage`.) Random
# targets find $1/\gamma$ of anything: that is chance. For the centre partition it depends on one number only, the share
# $f$ of the actor's patches that lie in the centre:
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
# the actor is in the centre *more often than a random patch would be*.
#
# And it is a modest bet. It can win a factor of 2 and lose a third.

# %% [markdown]
# ## Your turn: expected recall
#
# Write the formula for both guesses. For the boundary, remember that its densities have the ratio 3 to 1 as well, but are
# scaled so that the total is $N/\gamma$.

# %% nbgrader={"grade": false, "grade_id": "expected-coverage", "locked": false, "schema_version": 3, "solution": true, "task": false}
def expected_coverage(inside: float, gamma: float, focus: str) -> float:
    """Coverage of an actor of whom a share `inside` lies in the centre. focus: "centre" or "boundary"."""
    ### BEGIN SOLUTION
    if focus == "centre":
        return inside * 2 / gamma + (1 - inside) * 2 / (3 * gamma)
    # Unscaled, the boundary is taken with 2 / gamma and the centre with 2 / (3 gamma): 5/3 of the budget.
    return 3 / 5 * (inside * 2 / (3 * gamma) + (1 - inside) * 2 / gamma)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "expected-coverage-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.expected_coverage(expected_coverage)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1</summary>
#
# A partition factor of $\gamma/2$ means that a share $2/\gamma$ of the tokens there are targets.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Boundary: swap the two densities. Then by which number must both be multiplied, so that the total is $N/\gamma$ and not
# $\tfrac{5}{3} N/\gamma$?
#
# </details>
#
# <details><summary>Hint 3</summary>
#
# By 3/5. The boundary's density is $\tfrac{6}{5} \cdot \tfrac{1}{\gamma}$, the centre's
# $\tfrac{2}{5} \cdot \tfrac{1}{\gamma}$.
#
# </details>

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
# To measure, take 60 films of each kind, made on the spot in a few seconds. Naive VTM is the baseline: every sixth token.

# %%
made = {way: films.batch(60, seed=5, ways=way, frames=12, size=96, progress=False) for way in films.WAYS}
actors = {way: torch.from_numpy(batch.actor).reshape(60, n) for way, batch in made.items()}


def coverage(targets: torch.Tensor, actor: torch.Tensor) -> torch.Tensor:
    """For every film, the share of its actor's patches that are targets. targets (T,) or (B, T), actor (B, N) bool."""
    chosen = torch.zeros_like(actor).scatter(1, targets.expand(len(actor), -1), True)
    return (chosen & actor).sum(1) / actor.sum(1)

# %% [markdown] tags=["prediction"]
# **Before you run it:** what is the recall of every sixth token in the three kinds of film?
#
# *My guess:*

# %%
for way, actor in actors.items():
    covered = coverage(uniform(n, gamma), actor)
    print(f"{way:>8}: mean {covered.mean():.2f}, no patch at all in {int((covered == 0).sum())} of 60 films")

# %% [markdown]
# It should be 1/6 = 0.17 everywhere. In centred films it is more than twice that, and many films of the other kinds get
# nothing at all. Look where the targets are:

# %%
film = shown["centred"]
plots.show(plots.targets(film.frames, uniform(n, gamma), grid, actor=film.actor, pick=4, title="Every sixth token"))

# %% [markdown]
# The stride 6 divides the 12 tokens of a row. So the targets fall on the same two columns in every row of every frame, and
# the second column runs through the middle, where the centred actor stands. This is the comb of lesson 04. The baseline
# that should be blind has become a guess, and a lucky one in centred films.

# %%
for name, targets in {"uniform": uniform(n, gamma), **strategies}.items():
    print(f"{name:>8}: {len(torch.unique(targets % 144)):3} of 144 places are ever a target")

# %% [markdown]
# The centre partition has it too: every third token of a centre that is 6 tokens wide. Three remedies: give every film its
# own `offset`, which moves the targets along by so many tokens; take one of every six tokens in changing places, with
# `staggered=True`; or compare with targets drawn at random.

# %%
generator = torch.Generator().manual_seed(0)
offsets = torch.randint(n, (60,), generator=generator).tolist()
partitions = {
    "centre": torch.stack([region(*grid, gamma, "centre", offset) for offset in offsets]),
    "random": sample(torch.zeros(60, n), gamma, generator=generator),
    "boundary": torch.stack([region(*grid, gamma, "boundary", offset) for offset in offsets]),
}
baselines = {
    "every sixth token": uniform(n, gamma),
    "its own offset for every film": torch.stack([uniform(n, gamma, offset) for offset in offsets]),
    "staggered": uniform(n, gamma, staggered=True),
    "random targets": partitions["random"],
}
for name, targets in baselines.items():
    covered = torch.cat([coverage(targets, actor) for actor in actors.values()])
    print(f"{name:>29}: coverage {covered.mean():.2f}, standard deviation over films {covered.std():.2f}")

# %% [markdown]
# An offset puts the mean right, but a film still gets all or nothing. Staggered and random targets have the right mean
# and little spread, staggered ones the least. From here on random targets are the control, as in lesson 08: where they
# fall has nothing to do with the grid.

# %% [markdown]
# ## Recall, measured
#
# First the share $f$ of the actor that is in the centre, because everything should follow from it:

# %%
inside = {way: float(((actor & centre).sum(1) / actor.sum(1)).mean()) for way, actor in actors.items()}
{way: round(f, 2) for way, f in inside.items()}

# %% [markdown] tags=["prediction"]
# **Before you run it:** chance is 0.17. Use your formula: what will the recall of the centre and of the boundary be in each kind of film?
#
# *My six numbers:*

# %%
def interval(x: torch.Tensor) -> tuple[float, float, float]:
    """Mean over films, and the 95% interval of the mean."""
    mean, half = float(x.mean()), 1.96 * float(x.std()) / len(x) ** 0.5
    return round(mean, 3), round(mean - half, 3), round(mean + half, 3)


covered = {
    f"{way}: {name}": interval(coverage(targets, actor))
    for way, actor in actors.items()
    for name, targets in partitions.items()
}
plots.show(plots.bars(covered, "share of the actor's patches that are targets", reference=(1 / gamma, "chance"),
                      title="Coverage of the actor, 60 films of each kind, gamma = 6"))

# %% [markdown]
# In centred films the guess is right: twice chance. In roaming films the actor is in the centre half of the time, and the
# guess still pays. In handheld films it is wrong, and the boundary would have been the better guess. The formula beside the
# measurement:

# %%
for way, f in inside.items():
    expected = {"centre": (2 * f + (1 - f) * 2 / 3) / gamma, "boundary": (0.4 * f + 1.2 * (1 - f)) / gamma}
    for name, formula in expected.items():
        mean, low, high = covered[f"{way}: {name}"]
        print(f"{way:>8}, {name:>8}: formula {formula:.2f}, measured {mean:.2f} ({low:.2f} to {high:.2f})")

# %% [markdown]
# ## After merging: how loud is the actor?
#
# Recall counts targets. What we care about is what is left after merging. The network ends in the average over all
# tokens, and lesson 04 asked how much the actor weighs in it. The answer: as much as its share of the targets, if like is
# merged with like. An actor of $A$ patches has $\text{recall} \cdot A$ of the $N / \gamma$ targets, so
#
# $$ \frac{\text{share of the mean after merging}}{\text{share before}} =
#    \frac{\text{recall} \cdot A \,/\, (N / \gamma)}{A \,/\, N} = \gamma \cdot \text{recall}. $$
#
# To measure it there is a neat way, because merging is linear: merge the actor's *mask* with the same `Merge`. A token made of
# two actor patches and one of sky gets 2/3. The mean over all tokens is the actor's share.

# %% [markdown] tags=["prediction"]
# **Before you run it:** so by which factor does the centre change the actor's share in centred, roaming and handheld films?
# And random targets?
#
# *My guess:*

# %% [markdown]
# Keys come from the course's patch encoder. It was trained to tell figures' colours and gestures; it does not know who the
# actor is. Encoding and merging 180 films takes some seconds.

# %%
encoder = load_encoder("patch")
keys = {way: encoder.encode(batch.frames).reshape(60, n, -1) for way, batch in made.items()}


def share_left(keys: torch.Tensor, targets: torch.Tensor, actor: torch.Tensor) -> torch.Tensor:
    """For every film, the actor's share of the mean over the tokens that are left."""
    return match(keys, targets)(actor[..., None].float()).mean(dim=(1, 2))


factor = {}
for way, actor in actors.items():
    for name, targets in partitions.items():
        factor[f"{way}: {name}"] = interval(share_left(keys[way], targets, actor) / actor.float().mean(1))

# %%
plots.show(plots.bars(factor, "actor's share of the mean, in multiples of its share without merging",
                      reference=(1, "no merging"), title="How loud the actor is after one merge"))

# %%
for name, (mean, low, high) in factor.items():
    print(f"{name:>18}: measured x {mean:.2f} ({low:.2f} to {high:.2f}), gamma x coverage = {gamma * covered[name][0]:.2f}")

# %% [markdown]
# The simple formula holds well. Random targets leave the actor as loud as it was, so merging earns its keep by *where its targets
# are*. And a wrong guess makes the actor quieter than no merging at all.

# %% [markdown]
# ### One film, one token
#
# What happens to a single token of the actor? Here is the centred film again, and the patch that shows most of the actor in
# frame 6. The group that it ends up in is outlined in black, the token that survives for it in blue, thicker.

# %%
film = shown["centred"]
tokens = encoder.encode(film.frames).reshape(1, n, -1)
merges = {name: match(tokens, targets) for name, targets in strategies.items()}
place = (6, *divmod(int(film.share[6].argmax()), 12))  # frame, row, column
plots.show(plots.groups(film.frames, merges, grid, pick=4, paint="patch", highlight=place))

# %%
at = place[0] * 144 + place[1] * 12 + place[2]
mask = torch.from_numpy(film.actor).reshape(1, n, 1).float()
for name, merge in merges.items():
    group = merge.group[0, at]
    print(f"{name:>8}: {int(merge.size()[0, group]):3} patches in its group, {merge(mask)[0, group, 0]:.0%} of them the actor's; "
          f"{int((merge(mask) > 0.5).sum())} of {merge.n_out} tokens are mostly the actor's")

# %% [markdown]
# With the centre as a guess, this patch is a target itself and shares its token with next to nobody. With the boundary,
# there are few targets on the actor, and the patch shares one with patches from most of the film. They match well: all
# of them show the same figure. But what it did *over time* is averaged away. Where a gesture is the label, that is the
# loss that counts.

# %% [markdown]
# ### Three blocks
#
# The network merges in each of three blocks. Positions travel with the tokens, so each block knows which of its tokens are
# from the centre. After the first block these are half of all tokens. The second block finds a larger centre and puts more
# than half of its targets there, again three times as densely as outside. If the actor never leaves the centre, its
# share grows with that of the centre:

# %%
share = 1 / 4
for block in (1, 2, 3):
    share = 3 * share / (3 * share + (1 - share))
    print(f"after block {block}: {share:.0%} of the tokens are from the centre, x {4 * share:.1f} its share of the frame")

# %% [markdown] tags=["prediction"]
# **Before you run it** (it takes some ten seconds): lesson 04's network, untrained, on all our films. By which factor does
# the actor's share of the final mean grow in centred films? And in handheld ones, where one block made it about 0.8?
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


final = {f"{way}: {name}": interval(after_three_blocks(way, name)) for way in actors for name in partitions}
plots.show(plots.bars(final, "actor's share of the final mean, in multiples of its share without merging",
                      reference=(1, "no merging"), title="After three blocks, gamma = 6"))

# %% [markdown]
# The order is the same as after one block, but the formula loosens, because later blocks have to merge what is not alike. In centred films the centre stays below its 3.6. Random targets now end a little above 1, so part of the
# gain is not the guess's own: beside them, the centre is worth about a factor of 2. In handheld films the intervals overlap, and
# nobody can say from 60 films which guess is best.
#
# Knowing that the actor is in the middle quarter of the frame is worth a factor of 4 at most. Knowing *which patches* are the
# actor is worth more: with all of them as targets recall would be 1, and the first block alone would give $\gamma$.

# %% [markdown]
# ## What the paper reports, and what we measured
#
# | | VTM paper, long films (LVU) | here, toy films |
# |---|---|---|
# | measured | accuracy of trained networks, no error bars | recall and share of the mean, 60 films of each kind |
# | centre | better than naive in general | better than random targets in centred and roaming films, worse in handheld ones |
# | boundary | worse than naive in general | worse than random targets in centred and roaming films, better in handheld ones |
#
# (Random targets stand for naive ones without the comb. After three blocks the differences in handheld films drown in the
# spread from film to film.) The two agree as far as they can be compared: the films of LVU come from the cinema, where
# somebody composes the picture around the actors. What our films add is the reason. At one $\gamma$, recall depends on
# $f$ and, but for the comb, on nothing else.
#
# A larger share of the mean is not yet a better answer. Whether accuracy follows is the business of
# [lesson 08](08_the_comparison.ipynb), with seeds and intervals.

# %% [markdown]
# ## Where it fails
#
# - **The action is not in the middle.** Then it is worse than no guess: two thirds of chance at worst.
# - **It cannot adapt.** Cameras that pan, two people at the two edges, a scoreboard in the corner: the targets stay where they
#   are.
# - **It gains little even when it is right**: a factor of 2 in one block, and never more than 4.
# - **Small grids.** On 7 x 7 tokens, as in the paper's Breakfast network, half the height is 3.5 rows. One has to round, and the
#   centre is no longer a quarter of the frame.
# - **Regular targets on a regular grid** make a comb. Vary the offset, or draw at random with a higher probability in the
#   centre: `partition.sample` with a score on every token can do that too. (`uniform` can also be staggered; `region`
#   cannot.)

# %% [markdown]
# ## Recap
#
# - Region-concentrated merging puts half of the targets into the middle quarter of the frame, by a guess about films.
# - Recall follows from $f$, the share of the actor in the centre. The guess pays above $f = 1/4$.
# - If like is merged with like, the actor's share of the mean grows by $\gamma \cdot$ recall. Blind partitions leave it at 1.
# - Regular partitions alias: they make combs. Compare with staggered or random targets.
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
# file already holds.
