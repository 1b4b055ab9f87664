# %% [markdown]
# # 08 The comparison
#
# **You will** see all strategies side by side at one token budget, on many seeds, with three kinds of evidence · compute the
# intervals yourself, and say when two strategies differ · find out what may be concluded, and what may not.
#
# **Time** 75 minutes · **Needs** lessons 04 to 07 · **Runs in** about 10 seconds, no GPU (it reads a stored study; the command
# that makes it again is below)

# %%
from vtm_lesson import checks, plots

plots.show(checks.course_map("08"))

# %%
import statistics

import numpy as np
import torch
from scipy.stats import t as student

from vtm_lesson import checks, films, plots
from vtm_lesson.study import phase_command as when
from vtm_lesson.study import report as reports
from vtm_lesson.study.statistics import verdicts

# %% [markdown]
# ## The question
#
# Naive, centre, boundary, motion, learnable: which is best? The paper's answer on LVU is: learnable, then motion, then
# centre, then naive, then no merging; boundary below centre. It gives one number for each, without error bars.
#
# One number is not enough. Train the same network twice with different random starts, and it will differ. If the
# difference between two strategies is no larger than that, we have learned nothing about the strategies. So this lesson asks
# the question with many runs, and with rules that are the same for all. A sixth strategy is there that the paper does not have: *relative*,
# the motion relative to the camera of lesson 06.

# %% [markdown]
# ## What makes it fair
#
# | rule | here |
# |---|---|
# | one budget | every strategy leaves the same number of tokens: $T = \lceil N/\gamma \rceil$, $\gamma = 6$, $R = \lvert S \rvert$ |
# | one recipe | same films, same network, optimiser, epochs |
# | equal tuning | six settings tried for each strategy, the best by evidence (a) on validation films, used for (b) and (c), too |
# | test films once | 1,200 films that no choice has seen |
# | seeds | five, each with its own start and its own draws, compared seed by seed. In (a) a seed is another split of the same films |
# | controls | no merging; **random** targets; an **oracle** whose targets see the actor |
#
# The controls matter most. Without *random*, any cleverness looks good. Without *oracle*, we would not know how much there was to win.
#
# Three things that are *not* equal, or not covered, to keep in mind:
#
# - **The learnable merger has more to learn with.** Its auxiliary path also trains what it shares with the main one. A control in
#   [appendix C](C_the_papers_tables.ipynb) has random targets and the same auxiliary path.
# - **More was tried for it.** Beside the six settings, 20 trial runs on validation films fixed what all networks share; 12 of them trained the
#   learnable merger. And two choices serve it alone: saliency counts 7-fold in eq. 10 (once in the paper), and each path has a loss of its own.
# - **All seeds see the same test films.** The intervals say how other seeds would scatter, not how other films would. One accuracy of 0.88 on
#   1,200 films has a standard error of about 0.9 points from the choice of films alone; a difference between two networks on the same films has less.
#
# The study is stored. This command made it:

# %%
report = reports.load()
study = report["study"]
print(report["command"])
print(f"films: {study['train']} to train, {study['valid']} to choose, {study['test']} to test; {study['seeds']} seeds")

# %% [markdown]
# The films are small: 8 frames of 64 x 64 pixels, 512 tokens. The frozen patch encoder of lesson 04 reads them. The label is the
# actor's gesture, one of eight, so chance is 12.5%. A film takes milliseconds, so we can afford many runs.
#
# ## A toy to check by hand
#
# Five runs of a strategy: 0.80, 0.84, 0.79, 0.86, 0.81. The mean is 0.82. A run scatters around it with standard
# deviation 0.029 (the sum of squares is 0.0034, divided by $5 - 1$, and the root). The *mean* of five runs scatters less: $0.029/\sqrt 5 = 0.013$.
# With so few runs we do not know the scatter well either; Student's $t$ accounts for that with a factor of 2.78 in place of the
# 1.96 for many runs. The 95% interval: $0.82 \pm 2.78 \cdot 0.013 = 0.82 \pm 0.036$.

# %% [markdown]
# ## Your turn 1: the interval
#
# `student.ppf(0.975, n - 1)` is Student's factor for n runs. If all runs are equal, the interval has no width.

# %% nbgrader={"grade": false, "grade_id": "mean-interval", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mean_interval(values: list[float]) -> tuple[float, float]:
    """The 95% interval (low, high) of the mean of two or more runs."""
    ### BEGIN SOLUTION
    n = len(values)
    half = student.ppf(0.975, n - 1) * statistics.stdev(values) / n**0.5
    return statistics.mean(values) - half, statistics.mean(values) + half
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "mean-interval-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.mean_interval(mean_interval)

# %% [markdown]
# ## Your turn 2: are they different?
#
# Seed 0 of one strategy saw the same films and the same start as seed 0 of the other. Some starts are lucky for everybody. So
# look at the **differences, seed by seed**, and at the interval of *their* mean. If zero lies in it, the seeds cannot tell the
# two apart. Use the 95% interval of your turn 1 (`checks.mean_interval.mine()` where yours is still open); there are two seeds or
# more.

# %% nbgrader={"grade": false, "grade_id": "told-apart", "locked": false, "schema_version": 3, "solution": true, "task": false}
def told_apart(one: list[float], other: list[float]) -> str:
    """Say "first" if `one` is better, "second" if `other` is, else "not told apart"."""
    ### BEGIN SOLUTION
    differences = [a - b for a, b in zip(one, other, strict=True)]
    n = len(differences)
    half = student.ppf(0.975, n - 1) * statistics.stdev(differences) / n**0.5
    mean = statistics.mean(differences)
    return "first" if mean - half > 0 else "second" if mean + half < 0 else "not told apart"
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "told-apart-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.told_apart(told_apart)

# %% [markdown]
# From here on the lesson computes with these two functions: with yours, where they pass their checks.

# %%
my_interval, my_told_apart = checks.mean_interval.mine(), checks.told_apart.mine()


def with_interval(runs: list[float]) -> tuple[float, float, float]:
    """Mean, and its interval, as the charts take them."""
    return statistics.mean(runs), *my_interval(runs)


def rows_of(evidence: str, place: str = "", gamma: float = 6) -> dict[str, dict]:
    """Strategy -> its row, for one kind of evidence; the networks without merging are among those of (c)."""
    return {
        row["strategy"]: row
        for row in report["rows"]
        if row["evidence"] == evidence and (row["strategy"] == "none" or (row["gamma"], row["place"]) == (gamma, place))
    }


def runs(rows: dict[str, dict], way: str = "all") -> dict[str, list[float]]:
    """Strategy -> its accuracy, one number a seed."""
    return {name: row["accuracy"][way]["seeds"] for name, row in rows.items()}


# %% [markdown]
# ## Evidence (a): what does merging keep?
#
# Before any network is trained: take the frozen tokens, merge them twice, average what is left, and let a *linear* reader tell the
# gesture. Nothing can hide here. If the actor is diluted in the average, the reader cannot find it.
#
# Centred films have the actor in the middle, a still camera and other figures that move more than the actor. In roaming films the actor
# walks about alone; in handheld films the camera moves, and the actor is off the middle. *Uniform* is naive VTM: every sixth token. Two
# of the six settings of *relative* are level on the validation films; the one that was taken has a mild preference for the middle.

# %% [markdown] tags=["prediction"]
# **Before you run it:** which of uniform, boundary, centre, motion and relative will be best in centred films, in roaming and in handheld
# ones? Or none of them, where none is told apart from random targets for the better? Put your three words (or `"none of them"`) in place of the dots:
# `checks.predict("08-guess", ["...", "...", "..."])`.

# %%
checks.predict("08-guess", ...)

# %%
kept = {way: runs(rows_of("a"), way) for way in films.WAYS}
guesses = ("uniform", "boundary", "centre", "motion", "relative")
ahead = {way: [name for name in guesses if my_told_apart(kept[way][name], kept[way]["random"]) == "first"] for way in kept}
table = {way: {name: with_interval(seeds) for name, seeds in kept[way].items()} for way in kept}
plots.show(plots.panels(table, "accuracy of a linear reader (mean of 5 seeds, 95% interval)", level=(1 / 8, "chance"), form=".2f",
                        title="(a) Retention: what the merged tokens still say", mark=ahead, marked="guess ahead of random"))  # fmt: skip

# %% [markdown]
# The five in the middle are **guesses**: none of them has seen the task. Blue and hatched: a guess that the seeds tell apart from random
# targets, and that is ahead of them.

# %%
best = {way: max(ahead[way], key=lambda name: statistics.mean(kept[way][name]), default="none of them") for way in films.WAYS}
checks.replay("08-guess", list(best.values()))

# %% [markdown]
# ## Your turn 3: what a guess gains, and what it costs
#
# Read four numbers off the three panels: by how much a guess is **above random targets** in the same panel. Where it is below them the number is
# negative. In this order: the centre in centred films, the centre in handheld films, motion in roaming films, motion in centred films.
# Give them as on the axis, with two digits: 0.12, say.

# %% nbgrader={"grade": false, "grade_id": "gains-of-a-guess", "locked": false, "schema_version": 3, "solution": true, "task": false}
def gains_of_a_guess() -> tuple[float, float, float, float]:
    """Accuracy above random targets: centre in centred and handheld films, motion in roaming and centred films."""
    ### BEGIN SOLUTION
    return 0.89 - 0.40, 0.18 - 0.28, 0.65 - 0.26, 0.20 - 0.40
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "gains-of-a-guess-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.gains_of_a_guess(gains_of_a_guess)

# %% [markdown]
# **A guess wins where it is right, and loses where it is wrong.** The centre is excellent in centred films, and below random targets in
# handheld ones. Motion is far ahead in roaming films, and below random in centred ones. In handheld films none of the paper's guesses is told
# apart from random targets for the better. **Relative motion is ahead there, too**, and loses nothing in roaming films, where the camera stands
# still: where what matters moves, it is a guess without a camera to be afraid of. In centred films, where others move more, it is not told
# apart from random targets. Learned saliency is high everywhere, because it looks at what the actor *looks like*, which stays the same.
#
# Over all films, seed by seed:

# %%
def who_is_better(columns: dict[str, dict[str, list[float]]], pairs: list[tuple[str, str]]) -> None:
    """One row a pair, one column a place: the name of the better one, or a dash."""
    print(f"{'':24s}" + "".join(f"{place:>24s}" for place in columns))
    for one, other in pairs:
        words = [my_told_apart(seeds[one], seeds[other]) for seeds in columns.values()]
        names = [{"first": one, "second": other}.get(word, "-") for word in words]
        print(f"{one + ' or ' + other:24s}" + "".join(f"{name:>24s}" for name in names))


pairs = [("relative", "motion"), ("relative", "centre"), *(("learnable", name) for name in ("relative", "centre", "none", "oracle"))]
who_is_better({"better in (a)": runs(rows_of("a"))}, pairs)

# %% [markdown]
# Relative motion is ahead of the paper's guesses over all films, and learned saliency is far ahead of it. It even passes the oracle a little. The oracle takes every patch that shows a bit of the actor; saliency may prefer
# the patches that tell more.
#
# That saliency was learned the plain way of lesson 07: pooling guided by saliency, into a linear head. Saliency that was learned by the
# **auxiliary path inside a trained network** (eqs. 9 and 10) keeps about as much. Taken out of the network's first block, and put into the same probe:

# %%
for row in report["rows"]:
    if row["strategy"] == "auxiliary":
        shares = []
        for way in films.WAYS:
            low, high = (statistics.mean(kept[way][name]) for name in ("random", "oracle"))
            shares.append(f"{way} {(row['accuracy'][way]['interval'][0] - low) / (high - low):.0%}")
        print(f"{reports.PLACE_WORDS[row['place']]:35s} of the way from random to oracle: {', '.join(shares)}")

# %% [markdown]
# ## Evidence (c): trained with merging
#
# (We take (c) before (b): it is what the paper does.) Now the whole network is trained, once for each strategy and seed, with merging in
# every block: **3 tokens are left of 512**. In one half of the networks merging comes **before** the first attention, and matches by the
# encoder's features. The other half has **the paper's order**, attention first. (Relative motion came later: its costs were not measured.)
# Each bar is a difference to *no merging*, seed by seed:

# %%
trained = {"merging first": runs(rows_of("c", "before_attention")), "the paper's order": runs(rows_of("c", "after_attention"))}
gaps = {
    place: {
        name: [100 * (a - b) for a, b in zip(runs_of, seeds["none"], strict=True)]
        for name, runs_of in seeds.items()
        if name != "none"
    }
    for place, seeds in trained.items()
}
apart = {place: [name for name, runs_of in gap.items() if my_told_apart(runs_of, [0.0] * len(runs_of)) != "not told apart"]
         for place, gap in gaps.items()}  # fmt: skip
table = {place: {name: with_interval(runs_of) for name, runs_of in gap.items()} for place, gap in gaps.items()}
plots.show(plots.panels(table, "points of accuracy, against no merging (mean of 5 seeds, 95% interval)", level=(0, "no merging"),
                        form="+.1f", title="(c) Trained with merging", mark=apart, marked="told apart from no merging"))  # fmt: skip

# %% [markdown]
# Look how much smaller the differences are than in (a). Even random targets lose only a few points. A trained network adapts: it learns to put what
# matters into every token, so which tokens survive matters less.
#
# Which of two is better? The name says it; a dash means that the seeds cannot tell:

# %%
who_is_better(trained, [
    ("learnable", "random"), ("learnable", "uniform"), ("learnable", "boundary"), ("learnable", "centre"), ("learnable", "motion"),
    ("learnable", "relative"), ("relative", "motion"), ("relative", "uniform"), ("relative", "random"),
    ("motion", "centre"), ("motion", "uniform"), ("centre", "uniform"), ("centre", "boundary"), ("oracle", "learnable"),
])  # fmt: skip

# %% [markdown]
# **Merging first**
#
# - Over all films **learned saliency is ahead of every heuristic of the paper**, and of random targets, by one to five points. So far the paper's
#   claim holds.
# - **Relative motion is not told apart from learned saliency**: the means differ by less than a tenth of a point. It is a rule of a few lines that trains
#   nothing, and the paper does not have it. (Nor is it told apart from random and uniform targets, which learned saliency is.)
# - **Centre and motion are behind uniform**: centre above naive and motion above naive are refuted here.
# - Boundary has the lowest mean, as in the paper.
# - The oracle is not told apart from no merging. Three well-chosen tokens are enough here. Learned saliency closes a part of the gap between guesses and oracle.
#
# **The paper's order**
#
# - **Learned saliency keeps the accuracy of no merging**, at a fifth of the FLOPs (see below): the mean difference is zero. It is not the
#   only one. Random, boundary and motion targets are not told apart from no merging either; uniform and centre are behind it.
# - **So does relative motion**, with the same mean. It is ahead of random, uniform, boundary, centre and motion, by one to two and a half points.
# - Learned saliency is ahead of random, motion and centre, by one to two and a half points. Against uniform and boundary the difference is about as large, but the
#   seeds scatter more, and cannot tell.
# - **The paper's order of the heuristics is not reproduced.** Naive, centre and motion are not told apart, and the boundary is *ahead* of the
#   centre, the opposite of the paper.
#
# Why are all so close? Likely because the first attention writes the actor's message into all tokens of its chunk before any is merged. After
# that it hardly matters which ones survive.
#
# And in each way of filming, controls left out? With merging first:

# %%
print(*verdicts(list(rows_of("c", "before_attention").values())), sep="\n")

# %% [markdown]
# Learned saliency is first over all without being first alone in any way of filming. In centred films uniform is ahead of it. It wins by
# never being far behind. The centre, once trained, gains nothing *even where its guess is right*: in centred films it is behind uniform.
#
# A warning: the table of names above holds 28 comparisons. Each verdict is wrong one time in twenty even where two strategies are alike, so one of the
# names in it may be luck. [Appendix C](C_the_papers_tables.ipynb) shows what can be done about that. It also shows that the networks were trained for
# long enough: twice as many epochs end at the same accuracy.

# %% [markdown]
# ## Evidence (b): plugged in
#
# The last kind: a network trained *without* merging, and merging switched on at inference only, as ToMe does it.

# %% [markdown] tags=["prediction"]
# **Before you run it:** oracle targets and learned saliency find the actor nearly always. Will one of the two have the highest mean at gamma = 10 when merging is plugged in, in both places?
# Write `"both"`, `"merging first"`, `"the paper's order"` or `"neither"` in place of the dots.

# %%
checks.predict("08-plugged", ...)

# %%
places = {"merging first": "before_attention", "paper's order": "after_attention"}
plugged = {(words, gamma): runs(rows_of("b", place, gamma)) for words, place in places.items() for gamma in (2, 6, 10)}
table = {
    f"{words}\ngamma = {gamma}": {name: with_interval(seeds) for name, seeds in plugged[words, gamma].items()}
    for words in places
    for gamma in (6, 10)
}
finders = ["learnable", "oracle"]
whole = statistics.mean(trained["merging first"]["none"])
plots.show(plots.panels(table, "accuracy (mean of 5 seeds, 95% interval)", level=(whole, "no merging"), form=".2f",
                        title="(b) Merging at inference only", mark=dict.fromkeys(table, finders),
                        marked="targets that find the actor"))  # fmt: skip
means = {words: [statistics.mean(seeds) for seeds in plugged[words, 2].values()] for words in places}
print("gamma = 2, all strategies:", ", ".join(f"{words} {min(m):.2f} to {max(m):.2f}" for words, m in means.items()))

# %%
who_is_better({"merging first, gamma 10": plugged["merging first", 10], "paper's order, gamma 6": plugged["paper's order", 6]},
              [("learnable", "random"), ("learnable", "uniform"), ("learnable", "centre"), ("learnable", "motion"),
               ("oracle", "uniform")])  # fmt: skip
best = {words: max(plugged[words, 10], key=lambda name: statistics.mean(plugged[words, 10][name])) for words in places}
found = [words for words in places if best[words] in finders]
checks.replay("08-plugged", "both" if len(found) == 2 else found[0] if found else "neither")

# %% [markdown]
# **Merging first.** The intervals are wide: networks that agree without merging react very differently to it. At $\gamma = 2$ the means
# are at most six points below no merging. At 10 one token is left of 512, and everybody loses a lot. Learned saliency has the highest mean there, but the seeds tell it
# apart from motion only, of the four in this table. (At $\gamma = 6$ uniform targets have the highest.)
#
# **The paper's order.** Here **the ranking is upside down**: at $\gamma = 6$ the oracle has the lowest mean, and learned saliency is behind random,
# uniform, centre and motion. Finding the actor is not the same as high accuracy. A likely reason: this network has learned to read an average over
# tokens that are mostly background, each with a bit of the actor's message in it. An average of nearly nothing but the actor is one it has
# never seen. Trained with merging, as in (c), it is another matter.

# %% [markdown]
# ## Your turn 4: who chose the setting?
#
# "Equal tuning" and "test films once" were two rules of this study. Here is what happens without the second. The function below takes the
# accuracies of some settings of one strategy, each trained with several seeds, on validation and on test films. It gives the best setting, and the
# interval that one would report for it. Then we invent a strategy whose six settings are **all alike**: the truth is 0.80 for every one.

# %%
def tuned_on_test(valid: torch.Tensor, test: torch.Tensor) -> tuple[int, float, float]:
    """Broken: the setting that is best, and the 95% interval of its accuracy. valid, test: (settings, seeds)."""
    best = test.mean(dim=1).argmax().item()
    low, high = my_interval(test[best].tolist())
    return best, low, high


def studies(tuned, number: int = 400) -> None:
    """Many studies of six settings that are all alike: what is reported, and how often the truth lies outside."""
    chance = torch.Generator().manual_seed(0)
    drawn = 0.80 + 0.02 * torch.randn(number, 2, 6, 5, generator=chance)
    found = [tuned(valid, test)[1:] for valid, test in drawn]
    reported = statistics.mean((low + high) / 2 for low, high in found)
    outside = sum(not low <= 0.80 <= high for low, high in found) / number
    print(f"the truth is 0.800; reported on average {reported:.3f}; the truth is outside the interval in {outside:.0%} of the studies")


studies(tuned_on_test)

# %% [markdown]
# A 95% interval should miss the truth in 5% of all studies. **Mend it.** Choose the setting by its mean over the seeds in `valid` (of equals take the
# first), and report the interval of the same setting in `test`, with `my_interval` as above, or with your own `mean_interval`. Settings are counted from 0.

# %% nbgrader={"grade": false, "grade_id": "tuned-interval", "locked": false, "schema_version": 3, "solution": true, "task": false}
def tuned_interval(valid: torch.Tensor, test: torch.Tensor) -> tuple[int, float, float]:
    """The setting chosen on validation films, and the 95% interval on test films. valid, test: (settings, seeds)."""
    ### BEGIN SOLUTION
    best = int(valid.mean(dim=1).argmax())
    low, high = mean_interval(test[best].tolist())
    return best, low, high
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "tuned-interval-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.tuned_interval(tuned_interval)

# %%
studies(checks.tuned_interval.mine())

# %% [markdown]
# With this scatter one point of accuracy came from nothing but looking at the test films: about as much as learned saliency is ahead of random targets
# in (c). The more settings are tried, the larger the gift. Whoever tunes one strategy on the test films and leaves the others as they are will see it win.

# %% [markdown]
# ## When does the choice matter?
#
# (c) leaves an odd picture: lessons 04 to 07 choose targets with care, and then random ones do nearly as well. Is the choice ever worth anything? The
# films of this study are short, and their actor is on the screen from the first frame to the last. So let us change the films, four things at a time:
#
# | what changes | from | to |
# |---|---|---|
# | the actor's height | 0.75 of the usual | 1.5 |
# | frames in a row that show the actor | 3 of 48 | 48 of 48 |
# | other figures (props) on the set | 4 | 16 |
# | $\gamma$ | 2 | 20 |
#
# So between 0.3% and 13% of a film's tokens show some of the actor. Here is a frame from either end: the smallest actor among 16 props, and the tallest among 4. It is the same film otherwise.

# %%
ends = {
    "actor x0.75, 16 props": films.make(3, "roaming", frames=1, size=64, stature=0.75, props=16),
    "actor x1.5, 4 props": films.make(3, "roaming", frames=1, size=64, stature=1.5, props=4),
}
plots.show(plots.frames(np.concatenate([film.frames for film in ends.values()]), pick=2, grid=(2, 8, 8), captions=list(ends)))

# %% [markdown]
# The **screen** asks evidence (a) in every one of the 54 corners of this grid: merge twice, average, read with a linear reader. Every seed has 200 films of its
# own, and learns its saliency on the films of two other seeds. Networks follow below. The command says what it will cost before it starts, and carries on where it was stopped:
#
# ```text
# python -m vtm_lesson phase
# ```

# %% [markdown] tags=["prediction"]
# **Before you run it:** at $\gamma = 6$, where will perfect targets (the oracle) gain most over random ones: where the actor is in all frames, in 12 of 48, or in
# 3 of 48? Write 48, 12 or 3 for the tallest actor among 4 props, then for the smallest among 16: `checks.predict("08-when", [12, 12])`.

# %%
checks.predict("08-when", ...)

# %%
grid = when.load("phase")
plots.show(when.figure(grid))

# %%
gains = {(row["stature"], row["props"], row["shown"]): row["minus_random"]["oracle"][0] for row in grid["screen"] if row["gamma"] == 6}
most = [max((48, 12, 3), key=lambda shown: gains[stature, props, shown]) for stature, props in ((1.5, 4), (0.75, 16))]
checks.replay("08-when", most)

# %% [markdown]
# How to read it: a panel for each $\gamma$; above learned minus random targets, below oracle minus random. A row is a kind of film, a column says how many frames
# show the actor. Grey means that five seeds do not tell the difference from zero.
#
# - **The choice matters a lot**, up to 80 points, where the evidence is *small but readable*: a tall actor in 3 of 48 frames, or the usual one in 12 of 48.
#   Random targets drown it in the average, and perfect ones do not.
# - **It matters little where the evidence is everywhere.** The tallest actor in all frames is read off random targets, too (bottom right of the third row).
# - **It matters little where the evidence is too small for the reader.** The smallest actor in 3 of 48 frames stays near chance even with perfect targets.
# - **A small $\gamma$ hides the question.** With $\gamma = 2$ half of the tokens are targets after the first round, whoever chooses them.
# - **Learned saliency finds the actor where there is enough to learn from.** In all 48 frames it is told apart from random targets nearly everywhere. In 12 frames it depends
#   on the actor's height. In 3 frames only the tallest actor was found, on some seeds and not on others.

# %%
for what, said in (("learnable", "learned"), ("oracle", "oracle")):
    for shown in (3, 12, 48):
        ahead_of_random = [row["minus_random"][what][1] > 0 for row in grid["screen"] if row["shown"] == shown]
        print(f"{said:8s} told apart from random in {sum(ahead_of_random):2d} of {len(ahead_of_random)} cells with the actor in {shown} of 48 frames")

# %% [markdown]
# One cell is worth a thought: the usual actor among 4 props, in 3 of 48 frames, $\gamma = 6$. The oracle gains 42 points there, learned saliency none. The choice would pay, but
# the labels of 400 films were not enough to learn it. So "learned is no better than random" can mean two things: that the choice does not matter, or that it was not learned. Only
# the oracle can tell them apart.
#
# Films get longer, and what matters in them does not. The same with 96 frames and the tallest actor (`python -m vtm_lesson phase --long --screen`):

# %%
plots.show(when.figure(when.load("phase_long")))

# %% [markdown]
# With the actor in an eighth of a film, 12 of 96 frames, the choice is worth 70 to 80 points, and learned saliency collects nearly all of them. Without any merging the
# reader is near chance in such films (17 and 21%): the evidence is drowned before anybody merges, and good targets bring it back. In 3 of 96 frames the oracle still shows what there is to
# win, and learning is a matter of luck: among 4 props the saliency found the actor on one seed of five, among 16 on none.

# %% [markdown]
# ### And in trained networks?
#
# A linear reader sees an average. A network attends, and can learn around bad targets. So networks were trained with merging at cells that rules chose from the screen alone: where perfect
# targets gain most there (*largest*), where they gain most and learned ones are not told apart from random (*missed*), where learned ones gain most (*learned*). 480 films to train, 160 to choose the
# epoch, 320 for the test; ten epochs; five seeds, each with films of its own; the paper's order, and merging first. Two more rules choose cells with $\gamma = 2$ that are not trained yet.

# %%
for rule, cell in grid["chosen"].items():
    print(f"{rule:9s} {when.words(when.Cell.of(cell), grid['study']['frames'])}")
plots.show(when.trained_figure(grid))

# %%
for row in sorted(grid["trained"], key=lambda row: (row["gamma"], row["stature"])):
    cell = f"actor x{row['stature']:g} in {row['shown']} frames, {row['props']:2d} props, gamma {row['gamma']:2.0f}, {reports.PLACE_WORDS[row['place']]}"
    print(f"{cell:82s}" + "   ".join(f"{name} {reports.percent(row['accuracy'][name])}" for name in ("random", "learnable", "oracle")))

# %% [markdown]
# **It can matter, and in the paper's order, too.** Look at the tall actor in 3 of 48 frames. Random targets end anywhere between 39 and 91%, from seed to seed; learned ones at 94 to 97% on average, perfect ones at
# 99%. Now the usual actor in 12 of 48 frames among 16 props: random 24 to 25%, learned 43 to 48%, perfect 64%. Learned saliency is told apart from random targets in the second cell in both orders, in
# the first with merging first. (In the paper's order it is ahead there on every seed, but the seeds of random targets lie too far apart for an interval over five to say so.)
#
# **And it can vanish.** The tall actor in 12 of 48 frames is where learned targets gained most with the linear reader: nearly 80 points. Networks with random targets are right on 92 to 95% there, and the others
# are a point or two ahead at most. The network has made up for what the average loses. So the screen says what *can* be won, and a network tells what *is* left to win.
#
# **What bad targets cost is learning.** In the first two cells the evidence is hard to come by: three frames, or a smaller actor in a crowd. With random targets most of it is averaged away in every film, and some
# networks have learned nothing after ten epochs: in the second cell three of five seeds stay near chance. Where targets see the actor, what is left tells of it, and training takes off.
#
# Two cautions. All of this is within ten epochs. With random targets many networks were still gaining at the last one, and a longer training may close a part of the gap. And these films have *one* thing
# that matters, in one hue.

# %% [markdown]
# ## What it costs
#
# Accuracy is half of the story. Operations, time and memory of one forward pass, against no merging with fused attention. (The other strategies cost
# nearly what these two cost.)

# %% tags=["nbval-ignore-output"]
for cost in (run for run in report["results"] if run["evidence"] == "cost"):
    if cost["strategy"] in ("uniform", "learnable"):
        print(
            f"{reports.PLACE_WORDS[cost['place']]:35s}{cost['strategy']:10s} 1/{cost['flops_ratio']:.1f} of the FLOPs, "
            f"{cost['speed_ratio']['median']:.1f}x as fast, 1/{cost['memory_ratio']:.1f} of the memory"
        )

# %% [markdown]
# These are small films: 512 tokens. At the paper's size, 15,360 tokens, attention weighs far more, and so do the savings: lesson 09.

# %% [markdown]
# ## The paper's tables, in one sentence each
#
# The paper also varies one thing at a time, with learnable VTM. [Appendix C](C_the_papers_tables.ipynb) does the same here, with five seeds and
# in pictures. What came out:
#
# - **$\gamma$**: in the paper's order 2, 6 and 10 are not told apart; with merging first, fewer tokens cost two to three points.
# - **$R$**: $0.8|S|$ has the highest mean in neither place.
# - **Chunks**: the shortest first chunks have the lowest means, but what the seeds tell does not outlast a correction for three comparisons.
# - **Averages and pooling**: weights by size or motion are not told apart from plain ones.
# - **Training** takes about twice the FLOPs of inference in the paper's order, because of the auxiliary path.
# - **Two controls**: with merging first saliency is worth a point over random targets *with the same auxiliary path*; and a network trained on
#   shuffled labels stays near chance.

# %% [markdown]
# ## What was reproduced, and what was not
#
# | the paper (LVU, a large frozen ViT) | here (toy films) |
# |---|---|
# | learnable above all other mergers | (a) yes, by far. (c) merging first: yes, over all films. (c) paper's order: highest mean; not told apart from uniform and boundary. In both orders a merger that the paper lacks, relative motion, is not told apart from it |
# | motion above centre above naive | **no**. (a): each wins in its own way of filming. (c): not told apart in the paper's order; merging first, both are behind naive |
# | boundary below centre | (a) in centred films and (c) with merging first: yes. (a) in handheld films and (c) in the paper's order: **no**, the opposite |
# | merging better than no merging | (a) learnable: yes, by far. (c): learnable as good in the paper's order, not better |
# | best at gamma = 6 | cannot be told |
# | best at R = 0.8 of the sources | **no** |
# | too short first chunks are worst | cannot be told: lowest means, as in the paper |
# | plain averages better than averages weighted by size | **no**: not told apart |
# | weights by motion or in the pooling bring nothing | not told apart from plain ones, as in the paper |
# | training dearer than inference | yes |
# | 84% less memory, 6.89 times the throughput | lesson 09: it depends on what one compares with |
#
# Why does merging *help* in (a), and not in (c)? In (a) nothing but merging can raise the actor's share in the average. In (c) the network is
# trained, and attention can do that, too. The paper's films are minutes long and its networks see 15,360 tokens. Whether attention alone
# still manages there, toy films cannot say.
#
# ## Where this comparison fails
#
# - The films are ours. We know what matters in them because we put it there: one actor, one hue. Real films have no such hue.
# - The heuristics' ranks depend on how many films of each kind we made. That is why (a) has a panel for each.
# - Five seeds see large differences only. "Not told apart" is not "equal". And all seeds saw the same test films: with others, a difference of a
#   point may be gone.
# - Many comparisons were made, and each is wrong one time in twenty.

# %% [markdown]
# ## What you can do with it: a guide
#
# The order of the steps is the order of what they cost.
#
# 1. **Ask what there is to win.** Compare random targets with the best ones you can cheat together: masks, boxes, a detector, your own clicks on fifty films. Merge twice, average, and let a linear reader
#    tell the label; it takes minutes. No difference? Take random or uniform targets, which need nothing, and spend your time elsewhere. A large one? Train a pair of networks for a while, with random and with cheated
#    targets, before you build anything: the network may make up for it.
# 2. **Look at the share.** Evidence all over the film (large, in most frames): the choice hardly matters. Evidence in a small part of it, hard to learn from but readable: it matters most. Too small to be read even with
#    perfect targets: no merging helps, nor harms; take larger frames, or another encoder.
# 3. **Look at $\gamma$.** At 2 the choice matters least. At 6 and 20 it decides.
# 4. **Something of yours may know already where to look.** Relative motion, where what matters moves, is a few lines and trains nothing. A saliency or a decoder that was trained on other films helped
#    on real clips, where saliency from the clips' own labels could not be told from none (lesson 12).
# 5. **Else learn it, and check it against step 1.** Learned saliency finds what is in enough frames of enough films. Where it stays far below your cheated targets it has not been learned: more
#    films, or labels nearer to the evidence. Compare recall over seeds: one seed that found the actor and four that did not look like success in a single run.
# 6. **Will the network be trained with merging, attention first** (the paper's order), on short films whose evidence is everywhere? Then see (c) above: random targets are within a point or two.
# 7. **A network that is trained already, and stays as it is:** a small $\gamma$, random or uniform targets, and a look at several networks. See (b).
# 8. **A guess (centre, motion) only where you know how the films were made**, and beside random targets. Where the guess is wrong it is worse than no guess.
# 9. **Your own comparison**: one budget, a control with random targets and one with cheated ones, settings chosen on validation films, differences seed by seed.

# %% [markdown]
# ## Recap
#
# - One budget, equal tuning, validation for choices, seeds and intervals, controls: without them a ranking is an anecdote.
# - (a) Learned saliency keeps what matters, in every way of filming; a heuristic does so where its guess is right. Relative motion is right where
#   what matters moves, whatever the camera does.
# - (c) After training the differences shrink to a few points. Over all films learned saliency stays ahead of the paper's heuristics when merging comes
#   first; in the paper's order it keeps the accuracy of no merging, and not all rivals can be told apart from it. Relative motion is level with it in both.
# - (b) Merging can be switched on later. Targets that find the actor are then not the best in every network: in the paper's order they had the two lowest
#   means at $\gamma = 6$.
# - The choice matters where the evidence is a small, readable part of a film, and $\gamma$ is not small. There it can be worth tens of points, in trained networks,
#   too, because bad targets keep them from learning. Where there is enough to learn from, a trained network makes up for random targets.
#
# **Quiz**
#
# <details><summary>1. Two strategies have means 0.84 and 0.86, each interval is ±0.03. Are they different?</summary>
#
# That cannot be said from these numbers. Take the differences seed by seed: if the second is ahead on every seed by nearly the same amount, they are.
#
# </details>
#
# <details><summary>2. Why is "random targets" a better control than "every sixth token"?</summary>
#
# A regular stride can hit the same places in every frame (lesson 04). Then its result is partly luck about where the actor stands.
#
# </details>
#
# <details><summary>3. Someone tunes only their own method, and it wins. What would you ask for?</summary>
#
# The same number of trials for all others, chosen on validation data; and the test data looked at once.
#
# </details>
#
# **Next:** [09 Speed and memory](09_speed_and_memory.ipynb): where the time goes, and what 6.89x depends on. Or first
# [C The paper's tables](C_the_papers_tables.ipynb): $\gamma$, $R$, chunks and averages, one at a time.
