# %% [markdown]
# # 00 Start here
#
# **You will** merge the patches of a film, with nothing learned, and look at what is left · write the average that
# everything else rests on, and mend a film that comes back scrambled · measure what is lost first, which is what this
# course is about.
#
# **Time** 45 minutes, of which the computer works about 15 seconds · **Needs** PyTorch basics: tensors, shapes,
# indexing. No GPU, no internet.
#
# Click on the cell below and press Shift+Enter. It runs, and the next cell is selected. Go on like this to the end.

# %%
from vtm_lesson import checks, plots

plots.show(checks.course_map("00"))

# %%
from vtm_lesson import checks, films, plots, video

FILM = films.sample("square")  # later, a film of your own: FILM = "party.mp4"

clip = video.read(FILM, frames=60, size=224)
plots.show(plots.preview(clip, gamma=6))

# %% [markdown]
# ## What you are looking at
#
# Above, six frames of a film of 60. Below, the same frames again, made from **one sixth of the material**.
#
# The film was cut into small squares, called **patches**: 11,760 of them. Then patches that look nearly alike were
# found, anywhere in the frame and anywhere in time, and put into **groups**. The lower strip shows the average of its
# group in place of every patch. There are 1,960 groups. That is **token merging**.
#
# Nobody told the computer what a house is or a person, and nothing was trained. Still, the sky, the houses, the
# pavement and the four figures that stay in their places came through almost untouched. Now look at the figure that
# walks about, the orange one: in every frame you find it somewhere else. The film is about *this figure*, and it came
# through worst.
#
# Both halves of this observation are the course. Video is so repetitive that most of its tokens can be merged. And
# which ones to spare is not a matter of looking alike only: that is what *Video Token Merging for Long-form Video
# Understanding* (Lee and others, NeurIPS 2024; **VTM** from here on) works on, and where we will end up.

# %% [markdown]
# Six frames are no film. Here all 60 play, as they are and merged. (If they stand still, press their play button.)

# %%
plots.player(clip.frames, *plots.merge_patches(clip.frames, gamma=6), fps=12)

# %% [markdown]
# ## The question
#
# Why merge at all? A network for video turns every patch into one **token**, a vector of numbers, and lets every token
# attend to every other. Twice the tokens mean four times the pairs. Lesson 01 draws up that bill, and measures it.
#
# Here we ask the first question only: **how much of a film can be averaged away before it hurts, and where does it hurt
# first?** We take the cell above apart, one step at a time.

# %% [markdown]
# ## Step 1: a film as tokens
#
# `video.read` took 60 frames, evenly spaced over the film. Each has 224 x 224 pixels. Patches are 16 x 16 pixels.

# %%
pixels, _ = clip.patches(16)
pixels.shape

# %% [markdown]
# 60 frames of 14 x 14 patches; each patch is 16 · 16 pixels of 3 colours, so 768 numbers. In a real network an encoder
# turns them into better numbers. In this lesson the pixels themselves are the tokens, so that we can look at them.

# %%
grid = pixels.shape[:3]
plots.show(plots.frames(clip.frames, pick=4, grid=grid))

# %% [markdown]
# All tokens in one list, frame by frame and row by row: (batch, tokens, numbers of a token), with colours from 0 to 1.

# %%
import torch

tokens = torch.from_numpy(pixels.reshape(1, -1, 768)) / 255
n = tokens.shape[1]
tokens.shape

# %% [markdown]
# ## Your turn 1: where is the hand?
#
# A patch has a place, (frame, row, column), and its token has a position in the list. All of these count from 0: rows
# from the top, columns from the left.
#
# Look at **frame 20** in the strip above. The figure that walks about stretches out both arms. Its hand at the left of
# the picture lies in one square: in which row and which column? And which position in the list of 11,760 tokens is
# that?
#
# **How exercises work.** You fill in a function; this one takes nothing, and returns what you read off. The cell after
# it calls a *check*, which says what is right and, for many common mistakes, which one you made. Every wrong answer
# shows the next of three hints; a slip, such as a misspelt name, costs none. A check never stops the notebook: if you
# leave an exercise open, everything after it still runs. Later cells use your functions where they pass their checks,
# and the package's where they do not; a line says which. `checks.progress()` shows what you have solved.

# %% nbgrader={"grade": false, "grade_id": "token-position", "locked": false, "schema_version": 3, "solution": true, "task": false}
def token_position() -> tuple[int, int, int]:
    """(row, column, position in the list) of the patch with the hand at the left of the picture, in frame 20."""
    ### BEGIN SOLUTION
    return 5, 7, 3997
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "token-position-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.token_position(token_position)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Five squares lie above the hand, and seven to its left. Frames 0 to 19 come before frame 20, with 20 · 196 tokens. Then
# come five whole rows of 14, then seven patches: 20 · 196 + 5 · 14 + 7 = 3,997.
#
# </details>

# %% [markdown]
# ## Step 2: who is like whom?
#
# A few words that this course uses all the time:
#
# - Some tokens are **targets**: here one of every six, that is `gamma = 6`. All the others are **sources**.
# - Every token has a **key**: the numbers by which it is compared. Each source is **matched** to the target whose key
#   points in the most similar direction (lesson 02 does this by hand).
# - A target and the sources that were matched to it are a **group**. To **merge** is to replace the group by its
#   average.
#
# Here the key of a patch is its pixels, less the average patch of the film. Without that subtraction all keys would
# point into nearly the same direction, as no colour is below zero.

# %%
keys = tokens - tokens.mean(dim=1, keepdim=True)

# %% [markdown]
# The package does the rest: `uniform` picks the targets, `match` finds the groups. `staggered=True` takes one of every
# six tokens, but not always the same one of the six: so every place of the frame has its turn, and a patch that never
# changes can find itself in another frame. (Lesson 04 tries the other way.)

# %%
from vtm_lesson.merging import match
from vtm_lesson.partition import uniform

targets = uniform(n, gamma=6, staggered=True)
merge = match(keys, targets)
merge

# %% [markdown]
# A merge is nothing but the list of who goes where: it can be applied to anything that has one entry a token.

# %%
merged = merge(tokens)
merged.shape

# %% [markdown]
# ## How far can we go?
#
# Now with one target in two tokens, in six, and in twenty: 5,880, 1,960 and 588 groups.

# %% [markdown] tags=["prediction"]
# **Before you run it:** what do you expect to be unrecognisable with a twentieth of the tokens? The houses, the
# pavement, the standing figures, the walking one, all of it? Write it down; it costs a minute, and it is how one
# notices being surprised.
#
# *My guess:*

# %% [markdown]
# The next cell matches 11,760 tokens three times, which takes some seconds.

# %%
merges = {}
for gamma in (2, 6, 20):
    merges[f"{-(-n // gamma):,} tokens (gamma = {gamma})"] = match(keys, uniform(n, gamma, staggered=True))
plots.show(plots.groups(clip.frames, merges, grid, paint="patch", film=f"the film: {n:,} tokens", outline=False))

# %% [markdown]
# With a twentieth of the tokens this is still the same square at the same hour, with everybody in place. Where nothing
# moves, one patch can stand for the same patch in many other frames, and little is lost. The walking figure never
# holds still: in every frame it covers other ground, at another moment of its gesture. At gamma = 2 it is ragged
# already. At gamma = 20 it is a smear, and in frame 0 it wears the face of the figure at the upper left.

# %% [markdown]
# ## Who was merged with whom?
#
# A group can be traced. Here is one patch of pavement, (frame, row, column) = (30, 13, 5), with the patches that it was
# averaged with at gamma = 20. Its group is outlined in black (the group's target with a thicker line, in blue, when it
# is in one of these frames). All other patches are faded.

# %%
coarse = match(keys, uniform(n, gamma=20, staggered=True))
plots.show(plots.groups(clip.frames, coarse, grid, pick=5, highlight=(30, 13, 5)))

# %% [markdown]
# One place of the frame, at many moments: this is what merging is for. (At the other moments this place mostly went to
# two other targets, which are patches of the same place, too.) Now the hand that you found in exercise 1;
# `checks.token_position.mine()` is your function, if it passed.

# %%
row, column, position = (int(number) for number in checks.token_position.mine()())
plots.show(plots.groups(clip.frames, coarse, grid, pick=5, highlight=(20, row, column)))

# %% [markdown]
# Hands went with hands, the left one and the right one, wherever the figure was at that moment: nobody told them to. But
# each hand lies a little differently in its square, and has something else behind it. What the merged film shows in all
# these places is their average. And this is another patch of the same figure, ten frames later:

# %%
plots.show(plots.groups(clip.frames, coarse, grid, pick=5, highlight=(30, 2, 8)))

# %% [markdown]
# Bad luck: no target looked like this patch, half a face and a hand of the walking figure, so it went to the best of the
# poor ones: a piece of the wall beside a lamp, at the left. The whole group is in these five frames: the wall three
# times, a face, and our patch. It is gone from the merged film, and the wall got a stain. Change the three numbers and
# look at others: rows count from the top, columns from the left, both from 0 to 13.

# %% [markdown]
# ## The formula
#
# All that merging does to a group is VTM's equation 4. With target $i$, and $M_i$ the set of sources matched to it:
#
# $$y_i = \frac{x_i + \sum_{j \in M_i} x_j}{1 + |M_i|} \qquad \text{(VTM eq. 4)}$$
#
# In words: the plain average of the target and its sources. By hand, with five tokens of one number each:
#
# | token | 0 | 1 | 2 | 3 | 4 |
# |---|---|---|---|---|---|
# | value $x$ | 2 | 4 | 9 | 6 | 1 |
# | group | 0 | 0 | 1 | 0 | 1 |
#
# Group 0 holds the values 2, 4 and 6. Group 1 holds 9 and 1. So the merged tokens are **4** and **5**.

# %% [markdown]
# ## Your turn 2: the average of a group
#
# Write it for any number of tokens and groups. The check tries your function on small, random and awkward inputs.

# %% nbgrader={"grade": false, "grade_id": "group-mean", "locked": false, "schema_version": 3, "solution": true, "task": false}
def group_mean(x: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    """Average of each group. x: (N, C) floats; group: (N,) int64, numbers 0 to M - 1, all in use. Returns (M, C)."""
    ### BEGIN SOLUTION
    count = torch.bincount(group)
    total = torch.zeros(len(count), x.shape[1], dtype=x.dtype).index_add(0, group, x)
    return total / count[:, None]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "group-mean-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.group_mean(group_mean)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# `index_add(0, group, x)` adds row $n$ of `x` to row `group[n]` of the result, so that every row of the result ends
# up as the sum of a group. `bincount` counts how often each group number occurs. It takes one pass over the tokens,
# however many groups there are; a loop with `x[group == g]` goes through all tokens once for every group.
#
# </details>

# %% [markdown]
# The package keeps the same list of group numbers in `merge.group`. With it, your function merges the film:

# %%
my_mean = checks.group_mean.mine()
group = merge.group[0]
averages = torch.as_tensor(my_mean(tokens[0], group)).float()
averages.shape

# %% [markdown]
# `merge.size()` counts how many tokens each group holds. No token is lost, so the sizes of the 1,960 groups add up to
# all tokens:

# %%
size = merge.size()
print(f"{size.shape[1]:,} groups, {int(size.sum()):,} tokens in them")

# %% [markdown]
# ## Back to a film
#
# 1,960 averages are no film yet: 11,760 places in the frames wait for a picture. To **unmerge** is to give every token
# the average of its group. Here is a first try. A group of five tokens needs its average five times, so each average
# is repeated as often as its group has tokens:

# %%
def first_try(y: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    """Every average, as often as its group has tokens. y: (M, C), group: (N,). Returns (N, C)."""
    return y.repeat_interleave(torch.bincount(group), dim=0)


def as_film(x: torch.Tensor):
    """(N, 768) patches, laid side by side again: frames of 14 x 14 patches of 16 x 16 pixels."""
    squares = x.reshape(*grid, 16, 16, 3).permute(0, 1, 3, 2, 4, 5)
    return squares.reshape(clip.frames.shape).clamp(0, 1).numpy()


plots.show(plots.frames(as_film(first_try(averages, group)), pick=6, title="The first try"))

# %% [markdown]
# The right pictures, each as often as it should be, and hardly one where it belongs: frame 0 got the same lamp more than
# forty times. The toy shows what happened, in five numbers:

# %%
toy_averages, toy_group = torch.tensor([[4.0], [5.0]]), torch.tensor([0, 0, 1, 0, 1])
first_try(toy_averages, toy_group).flatten().tolist()

# %% [markdown]
# ## Your turn 3: put the film together
#
# Write it right: `y` holds an average for each group, `group` the group of each token. Which average must token 2 of the
# toy get, and which one did it get?

# %% nbgrader={"grade": false, "grade_id": "unmerge", "locked": false, "schema_version": 3, "solution": true, "task": false}
def unmerge(y: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    """Every token gets the average of its group. y: (M, C) floats; group: (N,) int64, 0 to M - 1. Returns (N, C)."""
    ### BEGIN SOLUTION
    film = torch.zeros(len(group), y.shape[1], dtype=y.dtype)
    for g in range(len(y)):
        film[group == g] = y[g]
    return film
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "unmerge-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.unmerge(unmerge)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# The first try gave 4, 4, 4, 5, 5: first all tokens of group 0, then all of group 1. But the tokens of a group do not
# stand side by side; token 2 belongs to group 1. The loop puts each average where its group's tokens are. In one step it
# is `y[group]`: a list of row numbers in the brackets picks a row for each.
#
# </details>

# %%
my_unmerge = checks.unmerge.mine()
redrawn = torch.as_tensor(my_unmerge(averages, group)).float()
plots.show(plots.frames(as_film(redrawn), pick=6, title="Averages of 1,960 groups, given back to 11,760 patches"))

# %% [markdown]
# This is the lower strip of the first figure again, now from a list of group numbers and two short functions. `merge`
# has both of them built in. Do they agree?

# %%
theirs = merge.unmerge(merge(tokens))[0]
print("the same as the package's to five digits:", bool((redrawn - theirs).abs().max() < 1e-5))

# %% [markdown]
# ## What is lost first?
#
# Looking is good, measuring is better. The error of a patch: how far its colours are from those of its group's average
# (root mean square, on the scale from 0 to 1). Take the twentieth of all patches that changed most since the frame
# before, and all other patches, separately.

# %%
def changing(tokens: torch.Tensor, grid: tuple[int, int, int], share: float = 0.05) -> torch.Tensor:
    """(N,) bool: the given share of patches that changed most since the frame before."""
    film = tokens.view(grid[0], -1, tokens.shape[2])
    change = torch.zeros(film.shape[:2])
    change[1:] = (film[1:] - film[:-1]).abs().mean(dim=2)
    mask = torch.zeros(change.numel(), dtype=torch.bool)
    mask[change.flatten().topk(int(share * change.numel())).indices] = True
    return mask


busy = changing(tokens, grid)
print(f"{int(busy.sum())} patches that change, {int((~busy).sum()):,} others")

# %% [markdown] tags=["prediction"]
# **Before you compute it:** at gamma = 6, how many times the error of the others is the error of the patches that
# change? The same (1), twice, four times, ten times? Write a number in place of the dots. It is kept, and shown beside
# the result.

# %%
checks.predict("00-ratio", ...)

# %% [markdown]
# ## Your turn 4: what merging costs a patch
#
# Write the error: merge `x` by its groups, go back, and take the root mean square of the difference over all numbers of
# the tokens that `which` chooses. The groups are made of all tokens; only the error is that of the chosen ones.
#
# You have `group_mean` and `unmerge` already. If one of them is still open, put `my_mean` or `my_unmerge` in its place.

# %% nbgrader={"grade": false, "grade_id": "merging-error", "locked": false, "schema_version": 3, "solution": true, "task": false}
def merging_error(x: torch.Tensor, group: torch.Tensor, which: torch.Tensor) -> float:
    """Root mean square error of the chosen tokens after merging. x: (N, C); group: (N,) int64; which: (N,) bool."""
    ### BEGIN SOLUTION
    difference = unmerge(group_mean(x, group), group) - x
    return difference[which].pow(2).mean().sqrt().item()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "merging-error-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.merging_error(merging_error)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# In the toy, tokens 0 and 3 lie 2 away from their group's average, tokens 2 and 4 lie 4 away, and token 1 is the average.
# The mean of 4, 0, 16, 4 and 16 is 8, and its root 2.83. The square makes one large error count more than many small
# ones, as it does for the eye.
#
# </details>

# %%
my_error = checks.merging_error.mine()
ratio = float(my_error(tokens[0], group, busy)) / float(my_error(tokens[0], group, ~busy))
checks.replay("00-ratio", round(ratio))

# %% [markdown]
# And with fewer tokens, or more?

# %%
gammas = (2, 6, 20, 60)
series = {"patches that change": [], "all others": []}
for gamma in gammas:
    this = match(keys, uniform(n, gamma, staggered=True)).group[0]
    series["patches that change"].append(round(float(my_error(tokens[0], this, busy)), 3))
    series["all others"].append(round(float(my_error(tokens[0], this, ~busy)), 3))
plots.show(plots.curves(gammas, series, "gamma: one target in ... tokens", "error of a patch's colours", logx=True))

# %% [markdown]
# In this film the patches that change have about nine times the error of the rest, up to gamma = 20. At gamma = 60 it
# is still four times, though now the rest suffers as well: with 196 targets for the 196 places of the frame, some
# places have none. (In two short clips from real life, filmed by hand, it was 1.3 and 1.9 times at gamma = 6: there,
# nearly everything moves.)
#
# The patches that change are a twentieth of all patches, so they are about a twentieth of the targets too: `uniform`
# gives every place and moment the same share, the pavement as much as the figure that walks on it.
#
# So a better rule suggests itself: give more targets to what matters. What matters is called **saliency**, and the
# lessons differ in where they take it from: from the centre of the frame (lesson 05), from the codec's motion vectors
# (06), or from training (07).

# %% [markdown]
# ## What the paper reports, beside what we measured
#
# VTM merges inside a network, three times in a row, and reports that with gamma = 6 its network runs 6.89 times as
# fast as without merging, in 84% less memory, and classifies long films *better*. We have measured nothing of the
# kind yet: no network, no time, no accuracy, only how a film looks. Pictures are a good first guess at what merging
# keeps, but a network that classifies films does not need to see well; it needs to keep what tells the classes apart.
# Lesson 08 measures accuracy, with many seeds, and lesson 09 time and memory, and asks against which baseline.

# %% [markdown]
# ## Explore
#
# Run the cell, then move the sliders: `gamma`, and the frame. Click a patch of the film, and see in which patches of all
# frames its group lies. The merging happens in the page itself, and nothing that you do there changes the cells below.
# (Where nothing can be moved, as on GitHub, there is a still picture of one frame.)

# %% tags=["nbval-ignore-output"]
from vtm_lesson import explorers

explorers.explore(clip)

# %% [markdown]
# Things to try. Go to a frame in which the walking figure covers another one, and raise gamma step by step: whose
# colours win? Find the first gamma at which you see that something which *stands* has suffered (the quiz asks why). Click
# a patch of pavement, then one of the walking figure: whose group reaches through more frames? And choose "every gamma-th
# token" in place of the staggered ones: what becomes of the moon? (Lesson 04 says why.)

# %% [markdown]
# ## Your own film
#
# Go back to the first cell, write `FILM = "/where/it/is/party.mp4"`, and choose *Run > Run All Cells*. Any length and
# any format that FFmpeg reads will do; nothing leaves your machine. The numbers in the text are those of the sample
# film. Look out for: hands, faces, subtitles; a camera that moves; cuts. What the film is about is rarely what fills
# it.
#
# Without a notebook, `python -m vtm_lesson see party.mp4` in a terminal writes a film that plays, as above, and a page
# to show to others.

# %% [markdown]
# ## Your machine
#
# Later lessons measure time and memory on the machine that they run on. This is yours:

# %% tags=["nbval-ignore-output"]
from vtm_lesson.measuring import machine

machine.report()

# %% [markdown]
# No CUDA is fine: every lesson is made for an ordinary processor. Where a GPU changes the picture, the lesson says so.

# %% [markdown]
# ## Where it fails
#
# - **Small and moving things.** They have few targets of their own, and end up in groups of other things.
# - **Looking alike is not meaning the same.** Pixels put a face and a piece of wall into one group. Keys from a trained
#   network know better; they are what is used from lesson 03 on.
# - **Averages of averages.** A network merges in several blocks. Should a group of a hundred weigh as much as a single
#   token? Lesson 02 takes this up.

# %% [markdown]
# ## Recap
#
# - Token merging: targets and sources, match every source to its most similar target, average each group (VTM eq. 4).
#   To unmerge is to give every token its group's average.
# - A film is so repetitive that a twentieth of its patches redraws nearly all that stands still.
# - What is lost first is what is small and moves. A uniform choice of targets does not know what matters.
#
# **Quiz**
#
# <details><summary>1. A film of 60 frames is merged at gamma = 6. By what factor does the number of token pairs fall,
# to which attention's cost is tied?</summary>
#
# By 36: there are six times fewer tokens, and a pair is made of two of them. Whether time falls by as much is the
# subject of lesson 01.
#
# </details>
#
# <details><summary>2. All 60 frames of a film are the same still picture. How many groups are needed to redraw it
# without any error, and does gamma = 60 get there with 14 x 14 patches?</summary>
#
# 196 groups would do, one for each place in the picture. Gamma = 60 gives 11,760 / 60 = 196 groups, but not one for
# each place: `len((uniform(n, 60, staggered=True) % 196).unique())` is 161. So 35 places have two targets, and another
# 35 have none and must use one from elsewhere in the picture. *How many* targets and *which* are two questions.
#
# </details>
#
# <details><summary>3. Why does even what stands still fall apart at large gamma, and not at gamma = 6?</summary>
#
# At gamma = 6 there are 1,960 targets for 196 places, about ten for each. At gamma = 196 there are 60, so at least 136
# places never have a target of their own. Their patches join the best of the others, alike or not.
#
# </details>

# %% [markdown]
# ## Next
#
# [01 The price of attention](01_the_price_of_attention.ipynb): what the tokens cost, counted and then measured on your
# machine.
