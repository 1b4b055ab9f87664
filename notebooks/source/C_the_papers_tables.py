# %% [markdown]
# # C The paper's tables
#
# **You will** see $\gamma$, $R$, the chunks and the averages varied one at a time, as in the paper's tables · learn what many comparisons do to
# "told apart" · work out how many seeds a small difference needs.
#
# **Time** 35 minutes · **Needs** lesson 08 · **Runs in** about 10 seconds, no GPU (it reads stored results; the command that makes them
# again is below)

# %%
from vtm_lesson import checks, plots

plots.show(checks.course_map("C"))

# %%
import json
import statistics

import torch
from scipy.stats import t as student

from vtm_lesson import checks, data_path, plots
from vtm_lesson.study import variants

# %% [markdown]
# ## What was compared
#
# [Lesson 08](08_the_comparison.ipynb) compared strategies at one token budget. Here the strategy stays: learnable VTM, on the same toy films, with the
# same recipe, trained with five seeds. One thing is changed at a time, as the paper does in its tables. The standard setting is $\gamma = 6$, $R = |S|$,
# chunks of 2, 4 and 8 frames, plain averages, plain pooling.
#
# Two things carry over from lesson 08. Differences are taken **seed by seed**. And where the 95% interval of their mean leaves out zero, we say that the
# seeds **tell the two apart**. In the pictures such a mean is a filled dot; a hollow one has zero in its interval. Every grey dot is a seed (some coincide, or lie under the mean).

# %%
report = variants.load()
print(report["command"])
my_interval = checks.mean_interval.mine()
STANDARD = "gamma 6, R = |S|"
PLACES = {"paper's order": "after_attention", "merging first": "before_attention"}


def accuracies(name: str, place: str = "paper's order") -> list[float]:
    """In percent, one a seed, in the order of the seeds. (No merging has no place; it is stored with the paper's order.)"""
    where = "after_attention" if name == "no merging" else PLACES[place]
    found = {run["seed"]: run["accuracy"] for run in report["results"] if (run["name"], run["place"]) == (name, where)}
    return [100 * found[seed] for seed in sorted(found)]


def minus(one: str, other: str, place: str = "paper's order") -> list[float]:
    """Points of accuracy, one less the other, seed by seed."""
    return [a - b for a, b in zip(accuracies(one, place), accuracies(other, place), strict=True)]


def cost(name: str, place: str = "paper's order") -> str:
    """How many tokens are left at the end, and the share of the FLOPs of no merging."""
    row = next(row for row in report["rows"] if (row["name"], row["place"]) == (name, PLACES[place]))
    return f"{row['tokens']} token{'s' * (row['tokens'] > 1)}, 1/{1 / row['flops']:.1f}"


def picture(gaps: dict[str, list[float]], other: str, title: str) -> None:
    """One row a difference: its mean, its interval, and every seed."""
    table = {name: (statistics.mean(gap), *my_interval(gap)) for name, gap in gaps.items()}
    plots.show(plots.differences(table, f"points of accuracy, against {other}", title=title, points=gaps))


# %% [markdown]
# ## The partition factor
#
# The paper has its best accuracy at $\gamma = 6$, of 2, 6 and 10. Here each row says what is left of 512 tokens after three blocks, and the FLOPs as a
# share of no merging's.

# %%
picture(
    {f"{place}, gamma {gamma} ({cost(f'gamma {gamma}, R = |S|', place)})": minus(f"gamma {gamma}, R = |S|", "no merging", place)
     for place in PLACES for gamma in (2, 6, 10)},
    "no merging", "Three partition factors",
)  # fmt: skip

# %% [markdown]
# In the paper's order no $\gamma$ is told apart from no merging: even one token of 512 will do. That 6 is the best can be neither confirmed nor refuted;
# the means lie within half a point. With merging first, fewer tokens cost: at $\gamma = 2$ there is no difference to no merging that the seeds can
# tell, at a seventh of the FLOPs; at 6 and 10 it is two to three points.
#
# ## How many sources are merged
#
# The paper has its best accuracy at $R = 0.8|S|$. A smaller $R$ leaves more tokens, so this table does *not* compare at one budget:

# %%
picture(
    {f"{place}, R = {share}|S| ({cost(f'gamma 6, R = {share}|S|', place)})": minus(f"gamma 6, R = {share}|S|", "no merging", place)
     for place in PLACES for share in ("0.5", "0.8", "")},
    "no merging", "Three shares of the sources, gamma = 6",
)  # fmt: skip

# %% [markdown]
# **Not reproduced**: in neither place is 0.8 the best mean, although it leaves seven times as many tokens as $R = |S|$. More tokens left is not the same
# as more of what matters left. A source that stays alone counts as much in the last average as a target with its whole group, and most sources
# show no actor.
#
# ## The chunks
#
# The paper has films of 60 frames. Chunks of (6, 30, 60) frames are best there, and (4, 20, 60) are worst: too little context in the first block. Our films
# have 8 frames. Against the standard, (2, 4, 8):

# %%
chunks = {name: minus(name, STANDARD) for name in ("chunks (1, 2, 8)", "chunks (1, 4, 8)", "chunks (8, 8, 8)")}
picture({f"{name} ({cost(name)})": gap for name, gap in chunks.items()}, "chunks (2, 4, 8)", "First chunks of 1, 1 and 8 frames")

# %% [markdown]
# The longer the first chunk, the higher the mean, as in the paper. Of the two short ones the seeds tell one apart from the standard: (1, 4, 8). Long chunks
# have a price: all three blocks at full length take half of no merging's FLOPs, in place of a fifth.
#
# May we say now that short first chunks are worse? We asked three questions at once, and each had its own chance of a false answer.

# %% [markdown]
# ## Your turn 1: many comparisons
#
# An interval of 95% misses the truth in one study of twenty. Whoever makes ten comparisons has ten chances to be wrong. The function below ignores that.
# We try it on studies in which **nothing differs**: ten comparisons each, with five seeds, every difference pure noise.

# %%
def interval_of_each(values: list[float], comparisons: int) -> tuple[float, float]:
    """Broken: the 95% interval of one comparison, however many there are."""
    return my_interval(values)


def false_finds(interval, comparisons: int = 10, studies: int = 300) -> None:
    """In how many studies without any difference is at least one difference found?"""
    noise = torch.randn(studies, comparisons, 5, generator=torch.Generator().manual_seed(0)).tolist()
    found = sum(any(low > 0 or high < 0 for low, high in (interval(gap, comparisons) for gap in study)) for study in noise)
    print(f"{found / studies:.0%} of the studies find a difference where there is none")


false_finds(interval_of_each)

# %% [markdown]
# **Mend it**, after Bonferroni: all comparisons together may be wrong in 5% of the studies, so each of them may be wrong in `0.05 / comparisons`, half of
# that on each side. The interval gets wider. For one comparison it is the interval of lesson 08. There, Student's factor was
# `student.ppf(0.975, n - 1)`: a share of 0.025 lies above it.

# %% nbgrader={"grade": false, "grade_id": "corrected-interval", "locked": false, "schema_version": 3, "solution": true, "task": false}
def corrected_interval(values: list[float], comparisons: int) -> tuple[float, float]:
    """The interval (low, high) of the mean of two or more runs, for one of so many comparisons."""
    ### BEGIN SOLUTION
    n = len(values)
    half = student.ppf(1 - 0.025 / comparisons, n - 1) * statistics.stdev(values) / n**0.5
    return statistics.mean(values) - half, statistics.mean(values) + half
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "corrected-interval-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.corrected_interval(corrected_interval)

# %%
my_corrected = checks.corrected_interval.mine()
false_finds(my_corrected)

# %% [markdown]
# And the chunks? There were three comparisons:

# %%
for name, gap in chunks.items():
    low, high = my_corrected(gap, len(chunks))
    words = "told apart" if low > 0 or high < 0 else "not told apart"
    print(f"{name}: {statistics.mean(gap):+.1f}, corrected {low:+.1f} to {high:+.1f}: {words}")

# %% [markdown]
# Not one is told apart any more; (1, 4, 8) misses it by a hair. The honest sentence is: the means are in the paper's order, and five seeds cannot say more. The losses of
# $\gamma = 6$ and 10 with merging first outlast the same correction:

# %%
for gamma in (2, 6, 10):
    gap = minus(f"gamma {gamma}, R = |S|", "no merging", "merging first")
    low, high = my_corrected(gap, 3)
    print(f"merging first, gamma {gamma:2}: {statistics.mean(gap):+.1f}, corrected {low:+.1f} to {high:+.1f}")

# %% [markdown]
# ## Averages and pooling
#
# The paper reports that averages weighted by size are worse than eq. 4's plain ones (its table 7), and that weights by motion and weights in the pooling
# before the head bring nothing. Against plain averages and plain pooling:

# %%
weights = ("average weighted by size", "average weighted by motion", "pooling weighted by size", "pooling weighted by motion")
picture({name: minus(name, STANDARD) for name in weights}, "plain averages and pooling", "Weights")

# %% [markdown]
# None of the four is told apart from plain. For motion and for the pooling that is what the paper found. For size in the averages it is **not**: the paper found
# plain averages better. Lessons 02 and 04 show a possible reason: with size weights the mean over all tokens stays what it was, whatever the targets are. But
# these networks have attention between merging and the mean, and it may do what the weights do not.

# %% [markdown]
# ## Your turn 2: how many seeds?
#
# "Not told apart" can mean that nothing is there, or that five seeds are too few. Take $\gamma = 6$ and $\gamma = 10$ in the paper's order:

# %%
gap = minus(STANDARD, "gamma 10, R = |S|")
print(f"gamma 6 minus gamma 10: {statistics.mean(gap):+.2f} points, standard deviation of a seed {statistics.stdev(gap):.2f} points")

# %% [markdown] tags=["prediction"]
# **Before you compute it:** suppose that this mean and this standard deviation were the truth. How many seeds would it take until the interval leaves out zero? Write your
# guess in place of the dots.

# %%
checks.predict("C-seeds", ...)

# %% [markdown]
# Now find it: the smallest number of seeds, from 2 to `most`, at which half of the 95% interval is smaller than the gap; 0 if not even `most` seeds will
# do. `gap` is the size of the mean difference, above 0; `spread` is the standard deviation of a seed's difference, in the same unit. Student's factor depends
# on the number of seeds, so there is no formula: try one number after the other.

# %% nbgrader={"grade": false, "grade_id": "seeds-needed", "locked": false, "schema_version": 3, "solution": true, "task": false}
def seeds_needed(gap: float, spread: float, most: int) -> int:
    """The smallest number of seeds, 2 to most, whose interval round a mean of gap leaves out zero; 0 if there is none."""
    ### BEGIN SOLUTION
    for n in range(2, most + 1):
        if student.ppf(0.975, n - 1) * spread / n**0.5 < gap:
            return n
    return 0
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "seeds-needed-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.seeds_needed(seeds_needed)

# %%
my_seeds_needed = checks.seeds_needed.mine()
checks.replay("C-seeds", my_seeds_needed(statistics.mean(gap), statistics.stdev(gap), 200))
longer = chunks["chunks (8, 8, 8)"]
print("chunks (8, 8, 8) against (2, 4, 8):", my_seeds_needed(statistics.mean(longer), statistics.stdev(longer), 200), "seeds")

# %% [markdown]
# A difference of half a point is out of reach for five seeds. And this count is the least: the mean of a study scatters, too, so with exactly
# so many seeds about half of all studies would still miss the difference. Before a study, ask how small a difference it can see. A table that reports
# differences smaller than that, from one run each, reports mostly noise.
#
# ## Training and inference
#
# The paper: training costs more than inference, because of the auxiliary path. FLOPs of one forward pass, as shares of a pass without merging, here:

# %%
for place in PLACES:
    row = next(row for row in report["rows"] if (row["name"], row["place"]) == (STANDARD, PLACES[place]))
    print(f"{place:15s} inference {row['flops']:.3f}, training {row['training_flops']:.3f}")

# %% [markdown]
# And measured at the paper's size, 15,360 tokens; a training step is forward and backward:

# %% tags=["nbval-ignore-output"]
inference, training = (json.loads((data_path("results") / f"bench_{part}.json").read_text()) for part in ("network", "training"))
for row in training["rows"]:
    alone = next(other for other in inference["rows"] if other["name"] == row["name"])
    print(
        f"{row['name']:28s} inference {alone['seconds']['median']:5.2f} s {alone['peak_bytes'] / 2**20:5.0f} MiB"
        f"   training step {row['seconds']['median']:5.2f} s {row['peak_bytes'] / 2**20:5.0f} MiB"
    )

# %% [markdown]
# **Reproduced**: a training step with the auxiliary path costs about twice that of naive merging in time, and nearly twice in memory. Beside no merging with
# fused attention it is still faster, but takes *more* memory.
#
# ## Three controls
#
# **Is it the saliency, or the second path?** The auxiliary path gives the learnable network a second loss, and that trains what both
# paths share. So the same network again, auxiliary path and all, but with *random* targets. What is left between the two is what saliency does:

# %%
picture({place: minus(STANDARD, "random, auxiliary path", place) for place in PLACES}, "random targets with the auxiliary path",
        "What saliency alone is worth")  # fmt: skip

# %% [markdown]
# With merging first the saliency itself is worth more than a point on average, and it is ahead on every seed. In the paper's order the difference is about as large on average, but
# the seeds do not agree.
#
# **Was training long enough?** The paper trains to the end; so must we, or we would compare speeds of learning. Three seeds were trained for twice as long, on the same
# schedule stretched out. **And can a network do better than chance that has nothing to learn?** Its films had their labels shuffled; chance is 12.5%.

# %%
for name in ("no merging", "no merging, 12 epochs", STANDARD, f"{STANDARD}, 12 epochs", "labels shuffled in training"):
    row = next(row for row in report["rows"] if (row["name"], row["place"]) == (name, "after_attention"))
    mean, low, high = (100 * value for value in row["accuracy"]["all"])
    print(f"{name:28s} {row['seeds']} seeds: {mean:.1f}% ({low:.1f} to {high:.1f})")

# %% [markdown]
# Twice the epochs end about where six did, as far as three seeds can tell. And shuffled labels leave the network near chance: 12.5% lies in the interval.
#
# ## The tables in one table
#
# | the paper | here, with five seeds |
# |---|---|
# | $\gamma = 6$ is best of 2, 6, 10 | paper's order: not told apart. Merging first: 6 and 10 lose two to three points against no merging |
# | $R = 0.8$ of the sources is best | not reproduced: the best mean in neither place |
# | too short first chunks are worst | lowest means; not told apart after a correction for three comparisons |
# | plain averages are better than averages weighted by size | not reproduced: not told apart |
# | weights by motion, or in the pooling, bring nothing | not told apart from plain ones |
# | training costs more than inference | reproduced |
#
# **Where this fails.** All of it is learnable VTM on toy films of 512 tokens. And one thing at a time cannot show what two do together: another
# $\gamma$ may want other chunks.

# %% [markdown]
# ## Recap
#
# - One thing changed at a time, five seeds, differences seed by seed: few differences are larger than the scatter.
# - Many comparisons need wider intervals: with k of them, give each 5% / k.
# - Seeds needed grow with the square of spread over gap. Half a point was out of reach here.
#
# **Quiz**
#
# <details><summary>1. A table has 20 rows, each compared with the baseline at 95%. One is told apart. What do you say?</summary>
#
# That one in twenty is what chance alone would give. With the correction its interval is wider; only if it still leaves out zero is there a finding.
#
# </details>
#
# <details><summary>2. You want to see differences half as large as now. How many seeds more?</summary>
#
# About four times as many: the interval shrinks with the square root of the seeds. (A little fewer at the start, as Student's factor falls, too.)
#
# </details>
#
# <details><summary>3. The $R$ table favours 0.5 with merging first. Why is that no argument for 0.5 at a given budget?</summary>
#
# It leaves 103 tokens, not 3, and takes over six times the FLOPs. At that price $\gamma = 2$ with $R = |S|$ would be a rival, too.
#
# </details>
#
# **Back:** [08 The comparison](08_the_comparison.ipynb), which of the strategies is best, and who says so. **Next:**
# [09 Speed and memory](09_speed_and_memory.ipynb): where the time goes.
