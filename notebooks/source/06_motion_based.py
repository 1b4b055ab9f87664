# %% [markdown]
# # 06 Motion-based video token merging
#
# **You will** find out what an H.264 file knows about motion, and read it · turn motion into a probability, and draw targets
# with it (VTM eq. 6) · see the films in which this finds the actor, and the films in which it finds everything else.
#
# **Time** 40 minutes · **Needs** lesson 05 · **Runs in** about 40 seconds, no GPU

# %%
import io
import time

import av
import torch
from av.codec.context import Flags2
from scipy.stats import t as student

from vtm_lesson import checks, films, plots, video
from vtm_lesson.partition import region, sample, uniform

# %% [markdown]
# ## The question
#
# Lesson 05 guessed that what matters is in the centre. That is a guess about the person behind the camera. Can the
# *film itself* say where to look?
#
# What moves, matters: a fair rule for most films. But finding motion costs time: every piece of a frame has to be looked for
# in the frame before. VTM has a neat answer: **somebody has done the work already.** Whoever made the file.

# %% [markdown]
# ## What a codec stores
#
# A film of 60 frames of 224 x 224 pixels has 9 megabytes of raw pixels. The sample film on disk has a fraction of that.

# %%
path = films.sample("square")
raw = 60 * 224 * 224 * 3
print(f"raw pixels {raw / 1e6:.1f} MB, file {path.stat().st_size / 1e6:.2f} MB: 1/{raw / path.stat().st_size:.0f}")

# %% [markdown]
# Most of that is saved by one idea. A frame looks much like the one before. So the codec cuts it into blocks of 16 x 16
# pixels (or smaller), and writes for each one: "take the previous frame, go 3 pixels left and 1 down, copy. Then correct
# these few differences." The "3 left, 1 down" is a **motion vector**. H.264, MPEG-4 and HEVC all store them (the FFmpeg
# inside PyAV hands them out for the first two; for a film in another codec `video.read` warns and gives zeros).
#
# By hand, on one row of pixels. The block `5 9 4` of the new row: where was it in the old one?
#
#     old row   1 1 5 9 4 1 1 1
#     new row   1 1 1 1 5 9 4 1
#
# It fits without any difference two places to the left, so what it shows moved 2 to the right. (The file stores the way *back*, from the block to
# where it is copied from, as in "3 left" above. This course turns the sign round, so that a vector says where things went: here +2.) The encoder tries
# such shifts for every block; that is the expensive part, and it is done once, when the film is made.

# %% [markdown]
# ## Your turn 1: be the encoder
#
# Given the previous frame (grey, H x W) and a block of the new one that stands at (`row`, `column`), find how it moved:
# the `(dx, dy)`, each from `-reach` to `reach`, with the least sum of absolute differences. `dx` counts columns to the
# right, `dy` rows downwards. The place it came from must lie inside the previous frame. Of shifts that fit equally well,
# return the one with the smallest `dx`, and of these the one with the smallest `dy`.

# %% nbgrader={"grade": false, "grade_id": "block-motion", "locked": false, "schema_version": 3, "solution": true, "task": false}
def block_motion(
    previous: torch.Tensor, block: torch.Tensor, row: int, column: int, reach: int
) -> tuple[int, int]:
    """previous (H, W), block (h, w) -> (dx, dy), whole numbers."""
    ### BEGIN SOLUTION
    (height, width), best = block.shape, (float("inf"), 0, 0)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            y, x = row - dy, column - dx  # where it stood
            if 0 <= y <= previous.shape[0] - height and 0 <= x <= previous.shape[1] - width:
                cost = (previous[y : y + height, x : x + width] - block).abs().sum().item()
                best = min(best, (cost, dx, dy))
    return best[1:]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "block-motion-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.block_motion(block_motion)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1</summary>
#
# If the block moved by (dx, dy) to (row, column), it stood at (row - dy, column - dx).
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Two loops over `range(-reach, reach + 1)`; leave out shifts that reach outside.
#
# </details>
#
# <details><summary>Hint 3</summary>
#
# `(previous[y : y + h, x : x + w] - block).abs().sum()`, and keep the shift where it is least.
#
# </details>

# %% [markdown]
# ## Reading the vectors
#
# PyAV hands them out with the decoded frames, if asked before decoding. This is all of it:

# %%
film = films.make(seed=5, way="roaming", frames=12, size=128, patch=8)
memory = io.BytesIO()
films.write(memory, film)  # real H.264, made by libx264
memory.seek(0)

with av.open(memory) as container:
    stream = container.streams.video[0]
    stream.codec_context.flags2 |= Flags2.export_mvs
    decoded = list(container.decode(stream))
    stored = [frame.side_data.get("MOTION_VECTORS") for frame in decoded]

print("frames with vectors:", [vectors is not None for vectors in stored])
block = stored[3].to_ndarray()
print("one vector:", {name: int(block[name][0]) for name in ("w", "h", "dst_x", "dst_y", "motion_x", "motion_y", "motion_scale", "source")})

# %% [markdown]
# The first frame has none: it is a **key frame**, stored as a picture of its own. `dst_x, dst_y` is the middle of a block of `w x h`
# pixels; `motion_x / motion_scale` is the shift in pixels, in quarters of a pixel here; `source` below zero means
# "from an earlier frame".
#
# `video.read` does this for any film, paints each block's vector on its pixels, adds them up between the frames that it
# keeps, and gives one number a patch: the magnitude $v_i$, in pixels. Let us see the arrows.

# %%
clips = {}
for way, seed in (("roaming", 5), ("handheld", 11)):
    film = films.make(seed=seed, way=way, frames=12, size=128, patch=8)
    memory = io.BytesIO()
    films.write(memory, film)
    memory.seek(0)
    clips[way] = film, video.read(memory, frames=12, size=None)

film, clip = clips["roaming"]
vectors = torch.from_numpy(clip.motion).unflatten(1, (16, 2)).unflatten(3, (16, 2)).mean((2, 4))  # one a patch
plots.show(plots.motion(clip.frames, vectors, pick=[3, 6, 9], title="roaming: the actor walks, the camera stands"))

# %%
film, clip = clips["handheld"]
vectors = torch.from_numpy(clip.motion).unflatten(1, (16, 2)).unflatten(3, (16, 2)).mean((2, 4))
plots.show(plots.motion(clip.frames, vectors, pick=[3, 6, 9], title="handheld: the camera goes along with the actor"))

# %% [markdown]
# The actor is the orange figure, in all films of this course (the arrows are drawn over a grey film; the colours come below). In the first film the arrows point it out. In the second the
# camera follows it, so for the codec *the set* moves, and the actor is the one thing that stays where it was.

# %% [markdown]
# ## What does it cost?
#
# Decode the sample film with and without asking for vectors, and print the time for one frame. (Your numbers will differ; the two
# are what to compare.)

# %% tags=["nbval-ignore-output"]
def decode(path, vectors: bool) -> float:
    """Milliseconds a frame."""
    start = time.perf_counter()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if vectors:
            stream.codec_context.flags2 |= Flags2.export_mvs
        frames = 0
        for frame in container.decode(stream):
            found = frame.side_data.get("MOTION_VECTORS") if vectors else None
            if found is not None:
                found.to_ndarray()
            frames += 1
    return 1000 * (time.perf_counter() - start) / frames


rounds = [(decode(path, False), decode(path, True)) for _ in range(7)]
without, with_vectors = (sorted(column)[3] for column in zip(*rounds, strict=True))  # medians
print(f"decoding alone {without:.2f} ms a frame, with vectors {with_vectors:.2f} ms a frame")

# %% [markdown]
# ## From motion to targets
#
# VTM turns the magnitudes of all $N$ tokens into probabilities, and **samples** $N/\gamma$ targets without replacement:
#
# $$p = \mathrm{softmax}(v) \qquad \text{(VTM eq. 6)}$$
#
# Why sample, and not just take the largest? The paper does not say. One reason suggests itself: sources need targets everywhere. If all
# targets sat on the actor, the wall would have to be merged into the actor, and the actor's tokens would drown in wall.
#
# There is a snag in the formula: a softmax is not indifferent to units. Three tokens with motion 0, 1 and 2 pixels:

# %%
v = torch.tensor([0.0, 1.0, 2.0])
for words, scale in (("as it is", 1.0), ("film at twice the size", 2.0), ("every tenth frame sampled", 10.0)):
    print(f"{words:26s}", [round(p, 3) for p in (scale * v).softmax(0).tolist()])

# %% [markdown]
# The same motion, and anything from a mild preference to certainty. The paper does not say how it scales $v$. We divide by the film's
# mean motion and multiply by a **temperature** $\tau$ that is chosen below:
#
# $$p = \mathrm{softmax}(\tau\, v / \bar v)$$

# %% [markdown]
# ## Your turn 2: motion as a probability
#
# Divide by the mean of the whole film, which may be far below one pixel.

# %% nbgrader={"grade": false, "grade_id": "motion-probability", "locked": false, "schema_version": 3, "solution": true, "task": false}
def motion_probability(motion: torch.Tensor, temperature: float) -> torch.Tensor:
    """motion (L, h, w), pixels, zero or more -> probabilities (L, h, w) that add up to 1. A still film: all the same."""
    ### BEGIN SOLUTION
    score = motion.flatten() / motion.mean().clamp(min=1e-6)
    return (temperature * score).softmax(0).view_as(motion)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "motion-probability-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.motion_probability(motion_probability)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1</summary>
#
# One softmax over all tokens of the film: flatten first.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Divide by the mean, multiply by the temperature, softmax, and back to the old shape.
#
# </details>
#
# <details><summary>Hint 3</summary>
#
# In a still film the mean is 0. `.clamp(min=1e-6)` keeps 0 / 0 away.
#
# </details>

# %% [markdown]
# ## Choosing the temperature, fairly
#
# Our films know where the actor is. So we can count **recall**: the share of the actor's patches that become targets. If
# targets were drawn blindly at $\gamma = 6$, it would be 1/6 = 0.17: chance.
#
# A setting must be chosen on films that are not used afterwards to report it. We make two sets: **validation** films to choose on, and
# **test** films to be looked at once. 10 films of each way of filming in each; every one is written as H.264 and read back.

# %%
def film_set(seed: int, n: int = 10) -> dict[str, films.Batch]:
    return {
        way: films.batch(n, seed, ways=way, frames=12, size=96, patch=8, motion=True, progress=False) for way in films.WAYS
    }


def recall(targets: torch.Tensor, actor: torch.Tensor) -> torch.Tensor:
    """targets (B, T), actor (B, N) bool -> (B,) share of each film's actor patches among the targets."""
    return actor.gather(1, targets).sum(1) / actor.sum(1)


def motion_targets(motion: torch.Tensor, temperature: float, gamma: float = 6) -> torch.Tensor:
    score = temperature * motion / motion.mean(1, keepdim=True).clamp(min=1e-6)
    return sample(score, gamma, torch.Generator().manual_seed(0))


validation, test = film_set(seed=1), film_set(seed=2)
print({way: tuple(batch.frames.shape) for way, batch in validation.items()})

# %%
temperatures = [0.25, 0.5, 1, 2, 4, 8]
lines = {}
for way, batch in validation.items():
    motion, actor = torch.as_tensor(batch.motion).float().flatten(1), torch.as_tensor(batch.actor).flatten(1)
    lines[way] = [recall(motion_targets(motion, t), actor).mean().item() for t in temperatures]
plots.show(
    plots.curves(
        temperatures,
        lines,
        xlabel="temperature",
        ylabel="recall of the actor",
        title="Validation films, gamma = 6",
        logx=True,
        reference=(1 / 6, "chance"),
    )
)
mean = torch.tensor([lines[way] for way in films.WAYS]).mean(0)
temperature = temperatures[int(mean.argmax())]
print("mean over the three ways:", {t: round(m, 2) for t, m in zip(temperatures, mean.tolist(), strict=True)})
print("chosen temperature:", temperature)

# %% [markdown]
# Six values were tried, and the choice looks at all three ways together. The means lie close to each other, and the best stands at the edge
# of what was tried: do not read much into it. At $\tau = 8$ little is left of the sampling, either. In centred films 99% of its targets
# are those of largest motion, and plainly taking the largest gives the same recall in all three ways, to 0.01.
#
# Note what the temperature can do and what it cannot: where motion points at the actor it sharpens, and in handheld films it makes
# things *worse*. No temperature repairs a wrong idea of what matters.

# %% [markdown] tags=["prediction"]
# **Before you run it:** write down the recall of the actor on the test films for uniform, centre and motion targets, in
# each way of filming: nine numbers, or at least "above" or "below chance" nine times.
#
# *My guess:*

# %%
rows, grid = {}, (12, 12, 12)
n = 12 * 12 * 12
offsets = torch.Generator().manual_seed(3)
for way, batch in test.items():
    motion, actor = torch.as_tensor(batch.motion).float().flatten(1), torch.as_tensor(batch.actor).flatten(1)
    many = len(actor)
    shift = torch.randint(0, 6, (many,), generator=offsets).tolist()
    plain = torch.stack([uniform(n, 6, offset=s) for s in shift])
    centre = torch.stack([region(*grid, 6, offset=s) for s in shift])
    for name, targets in (("uniform", plain), ("centre", centre), ("motion", motion_targets(motion, temperature))):
        found = recall(targets, actor)
        mean, spread = found.mean().item(), student.ppf(0.975, many - 1) * found.std().item() / many**0.5
        rows[f"{way}: {name}"] = (mean, mean - spread, mean + spread)
plots.show(
    plots.bars(
        rows,
        xlabel="recall of the actor (mean over 10 test films, 95% interval)",
        title="Who finds the actor? Test films, gamma = 6",
        reference=(1 / 6, "chance"),
    )
)

# %% [markdown]
# - **roaming**: motion finds the actor far above chance. This is the film that the method was made for.
# - **handheld**: *below* chance. The set moves, the actor does not; motion leads away from it.
# - **centred**: not told apart from chance by ten films. The actor waves its arms, but other figures walk along the border, and they move
#   more.
#
# Uniform targets are at chance on average, with the widest intervals: 6 divides the 144 tokens of a frame, so a film's targets
# stand in the same places in all its frames, and either hit the actor every time or never: the comb of lesson 04, which
# `staggered=True` would avoid.
#
# The targets themselves, in the two films from above:

# %%
for way, (film, clip) in clips.items():
    motion = torch.from_numpy(clip.patches(8)[1]).flatten()[None]
    targets = motion_targets(motion, temperature)[0]
    plots.show(
        plots.targets(clip.frames, targets, (12, 16, 16), actor=film.actor, pick=[3, 6, 9], title=f"{way}: motion targets")
    )

# %% [markdown]
# ## Where it fails, and a repair
#
# The paper names the failure itself: a moving camera. But most of what a camera move does is simple. If the camera pans, nearly
# every block gets the *same* vector. So take the most ordinary vector of each frame, the **median**, and subtract it
# from all. What is left is motion against the set.
#
# ## Your turn 3: take the camera out

# %% nbgrader={"grade": false, "grade_id": "without-camera", "locked": false, "schema_version": 3, "solution": true, "task": false}
def without_camera(vectors: torch.Tensor) -> torch.Tensor:
    """vectors (L, h, w, 2) -> (L, h, w): how far each patch moved beside the median motion of its frame."""
    ### BEGIN SOLUTION
    camera = vectors.flatten(1, 2).median(dim=1).values  # (L, 2), x and y separately
    return (vectors - camera[:, None, None]).norm(dim=-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "without-camera-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.without_camera(without_camera)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1</summary>
#
# When the camera pans, most of the frame moves alike. What is the most ordinary vector of a frame?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `vectors.flatten(1, 2).median(dim=1).values`: one (x, y) for each frame.
#
# </details>
#
# <details><summary>Hint 3</summary>
#
# Subtract it from every vector of its frame; then the length, `.norm(dim=-1)`.
#
# </details>

# %% [markdown] tags=["prediction"]
# **Before you run it:** in which of the three ways of filming will this help, in which will it change nothing?
#
# *My guess:*

# %%
def steady(film: films.Film) -> tuple[torch.Tensor, torch.Tensor]:
    """Motion of each patch as it is, and beside the median of its frame: both (1, N)."""
    memory = io.BytesIO()
    films.write(memory, film)
    memory.seek(0)
    clip = video.read(memory, frames=len(film.frames), size=None)
    _, rows, columns = film.actor.shape
    vectors = torch.from_numpy(clip.motion).unflatten(1, (rows, -1)).unflatten(3, (columns, -1)).mean((2, 4))
    beside = checks.without_camera.answer(vectors)
    return vectors.norm(dim=-1).flatten()[None], beside.flatten()[None]


rows = {}
for way in films.WAYS:
    found = []
    for seed in range(900, 910):
        film = films.make(seed, way, frames=12, size=96, patch=8)
        actor = torch.from_numpy(film.actor).flatten()[None]
        found.append([recall(motion_targets(m, temperature), actor).item() for m in steady(film)])
    for name, column in zip(("as stored", "without camera"), torch.tensor(found).T, strict=True):
        spread = student.ppf(0.975, len(column) - 1) * column.std().item() / len(column) ** 0.5
        rows[f"{way}: {name}"] = (column.mean().item(), column.mean().item() - spread, column.mean().item() + spread)
plots.show(
    plots.bars(
        rows,
        xlabel="recall of the actor (mean over 10 films, 95% interval)",
        title="Motion targets, with the camera taken out",
        reference=(1 / 6, "chance"),
    )
)

# %% [markdown]
# In handheld films the repair works: against the set, the actor is what moves. In roaming films there was nothing to take out.
# In centred films it does not help: nothing is wrong with the camera there, motion is simply not what matters. (These are ten other films
# than above. In centred ones motion stands below chance here and above it there, and neither interval leaves chance out.)
#
# Two limits. The repair is ours, not the paper's; our cameras only pan, and a zoom or a turn has no single median vector.
# And it is one more rule written by hand. Lesson 07 stops writing rules and lets the network learn what is salient.

# %% [markdown]
# ## What the paper reports, and what we have measured
#
# VTM reports motion-based merging above centre, and centre above naive, on LVU's film clips, and decoding costs of about 0.3 ms a
# frame. We have measured which patches become targets, in films where the truth is known: far above chance, near it, or
# below it, depending on the camera. We have not measured accuracy yet; finding the actor is not the same as answering
# the question. Lesson 08 does that.
#
# The paper also tried motion as *weights* in the average, in place of eq. 4's plain one, and found that it brings nothing. In the package
# that is one word: `merge(x, weight=motion)`, or `average="motion"` in the network. Lesson 08 has the figures.

# %% [markdown]
# ## Recap
#
# - A codec stores motion vectors, because "copy that block" is shorter than pixels. Reading them costs little.
# - VTM samples targets with $p = \mathrm{softmax}(v)$. The scale of $v$ matters, so here it is $p = \mathrm{softmax}(\tau v / \bar v)$:
#   $\bar v$ and $\tau$ are ours, and $\tau$ is chosen on validation films.
# - Motion is relative to the *frame*. If the camera moves, it points at the set.
#
# **Quiz**
#
# <details><summary>1. Why does the first frame of a film have no motion vectors?</summary>
#
# It is a key frame: there is no earlier frame to copy from. Its tokens have motion 0, so few of its patches become targets.
#
# </details>
#
# <details><summary>2. You sample every tenth frame in place of every frame, and add up the vectors between. What happens to
# softmax(v) without normalising?</summary>
#
# All magnitudes grow about tenfold, and the softmax becomes nearly a maximum: the few fastest patches take all targets. Dividing by the
# film's mean motion undoes that.
#
# </details>
#
# <details><summary>3. A film shows a runner, filmed from a car that keeps beside her. Where do motion targets go?</summary>
#
# To the street and the houses: they move through the frame. The runner stays in place, but for her arms and legs.
#
# </details>
#
# **Next:** [07 Learnable video token merging](07_learnable.ipynb): saliency as a parameter.
