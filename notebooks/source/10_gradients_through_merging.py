# %% [markdown]
# # 10 Gradients through merging
#
# **You will** compute the exact gradient of a choice by trying all of it · write four ways to estimate it, and see what each gets wrong:
# bias, noise, or memory · read what seven trained networks say about the question that the VTM paper leaves open: why an auxiliary path?
#
# **Time** 60 minutes · **Needs** [lesson 07](07_learnable.ipynb) (saliency and the auxiliary path) · **Runs in** about half a minute, no GPU

# %%
from vtm_lesson import checks, plots

plots.show(checks.course_map("10"))

# %% [markdown]
# ## The question
#
# Lesson 07 said: a choice has steps, no slope; so no gradient goes through it. VTM goes round it, with an auxiliary path. Whoever reads the
# paper asks first: **why not let the gradient flow through the merging itself?** Others do. They make the choice soft, or pretend that it is
# soft, or guess the slope from noise. The paper compares with none of them.
#
# This lesson does. First on a toy that is small enough to know the truth. Then with networks, on films where the choice matters.

# %%
import torch

from vtm_lesson import VideoClassifier, checks, measuring, plots
from vtm_lesson.merging import match
from vtm_lesson.network import choosing
from vtm_lesson.study import gradients_command as study
from vtm_lesson.study.estimates import Toy

torch.set_num_threads(1)

# %% [markdown] tags=["prediction"]
# **Before you go on:** VTM's auxiliary path, a choice made soft, a choice that only pretends to be soft, trial and error. Which of them will teach a
# network to find the actor? Which will cost most memory in training?
#
# *My guess:*

# %% [markdown]
# ## A choice that can be tried out
#
# One film of 8 tokens, each of 2 numbers; 3 become targets. Saliency is $s = \tanh(x\,U_s)$ as in lesson 07, so $U_s$ is 2 numbers, too, and can be
# drawn in the plane. Targets are drawn with $p = \mathrm{softmax}(6s)$. The others merge into the nearest target, the 3 merged tokens attend to each other,
# and a linear head reads their mean. Nothing is trained; we look at one step.
#
# There are only 56 sets of 3 among 8, so we can try them all.

# %%
toy = Toy.make(2, channels=2, classes=3)
sets = toy.sets()
losses = toy.loss(sets)
merge = match(toy.x[None], sets[:1])
print("tokens", tuple(toy.x.shape), " sets", len(sets), " first set", sets[0].tolist(), merge)
order = losses.argsort()
for words, k in (("the best set", 0), ("the middle one", 28), ("the worst", 55)):
    print(f"{words:15s}{sets[order[k]].tolist()}  loss {losses[order[k]]:.2f}")

# %% [markdown]
# A loss for each set. What training sees is one of them, drawn by chance. What we *want* to be small is the **expected loss**: every set's loss times its
# chance, summed.
#
# $$\mathcal L(U_s) = \sum_{\text{sets } Z} p(Z)\; L(Z)$$
#
# Here is the first thing to see. $L(Z)$ does not depend on $U_s$ at all (the head sees tokens, not scores). But $p(Z)$ does, and **it is smooth**. A
# single choice jumps; its expectation does not.

# %%
direction = toy.exact() / toy.exact().norm()
steps = torch.linspace(-0.6, 0.6, 61)
noise = -torch.empty(400, 8).exponential_(generator=torch.Generator().manual_seed(0)).log()


def fixed(U: torch.Tensor, count: int) -> float:
    """The mean loss of `count` draws whose noise does not change with U."""
    return toy.loss((toy.scores(U[None]) + noise[:count]).topk(3).indices.sort().values).mean().item()


places = [toy.U + step * direction for step in steps]
lines = {"one draw, its noise held": [fixed(U, 1) for U in places], "400 draws": [fixed(U, 400) for U in places]}
lines["expected loss"] = [toy.expected(U).item() for U in places]
plots.show(plots.curves(steps.tolist(), lines, xlabel="how far U_s is moved", ylabel="loss", title="A draw jumps, the expectation does not"))

# %% [markdown]
# ## Your turn 1: the chance of a draw
#
# So all that is needed is $p(Z)$. Tokens are drawn one after the other: the first with softmax(scores), the next with the softmax over those that are left, and
# so on. (This law has a name, Plackett-Luce.) A toy: weights $e^{s}$ of 1, 2 and 3. To draw the last token and then the middle one has the chance
# $\frac{3}{6} \cdot \frac{2}{3} = \frac13$.
#
# Return the chance that exactly these tokens are drawn in exactly this order.


# %% nbgrader={"grade": false, "grade_id": "ordered-chance", "locked": false, "schema_version": 3, "solution": true, "task": false}
def ordered_chance(scores: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """scores (N,), order (k,): positions as they were drawn -> the chance, one number."""
    ### BEGIN SOLUTION
    left = scores.clone()
    chance = torch.ones(())
    for token in order:
        chance = chance * left.softmax(0)[token]
        left[token] = -torch.inf
    return chance
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "ordered-chance-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.ordered_chance(ordered_chance)

# %% [markdown]
# A set can be drawn in 6 orders. Their chances, added up, for all 56 sets:

# %%
from itertools import permutations

my_chance = checks.ordered_chance.mine()
scores = toy.scores(toy.U[None])[0]
chances = torch.tensor([sum(float(my_chance(scores, torch.tensor(o))) for o in permutations(Z.tolist())) for Z in sets])
print(f"all chances together {chances.sum():.4f}, expected loss {(chances * losses).sum():.4f}, by the package {toy.expected(toy.U):.4f}")

# %% [markdown]
# That is a smooth function of $U_s$, and autograd differentiates it: **the exact gradient**. (`toy.exact()` does just that.) A real film has hundreds of
# tokens and more sets than there are atoms, so nobody can do it there. But here we can hold every estimate beside it.

# %%
exact = toy.exact()
print("exact gradient of U_s:", [round(value, 2) for value in exact.tolist()])

# %% [markdown]
# ## Two ways to be wrong
#
# An estimator looks at *one* draw and says a gradient. Ask it 2,000 times and there are 2,000 arrows. Two things can be wrong with them. The mean of the
# arrows may not be the exact one: **bias**. More patience does not help against it. And the arrows may lie far from their mean: **noise**. Patience helps, at a price: to
# halve the noise takes four times as many draws.
#
# A toy: two estimates, (3, 0) and (1, 4), where the exact gradient is (2, 0). Their mean is (2, 2): it is off by 2, and the exact one has length 2, so the bias is 1. Each
# estimate is $\sqrt 5$ from the mean, so the noise is $\sqrt5 / 2 = 1.12$.

# %% [markdown]
# ## Your turn 2: bias and noise
#
# Both as multiples of the exact gradient's length. Noise: squared distance of each estimate from the mean of all, the mean of these, its root.


# %% nbgrader={"grade": false, "grade_id": "bias-and-noise", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bias_and_noise(found: torch.Tensor, exact: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """found (n, C), exact (C,) -> (bias, noise), two numbers."""
    ### BEGIN SOLUTION
    mean = found.mean(dim=0)
    length = exact.norm()
    bias = (mean - exact).norm()
    noise = (found - mean).square().sum(dim=1).mean().sqrt()
    return bias / length, noise / length
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "bias-and-noise-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.bias_and_noise(bias_and_noise)

# %% [markdown]
# ## Trial and error: REINFORCE
#
# The oldest estimator needs no slope of anything but the chance. $\nabla p = p\,\nabla \log p$, so
#
# $$\nabla \mathcal L = \sum_Z L(Z)\, \nabla p(Z) = \sum_Z p(Z)\; L(Z)\, \nabla \log p(Z)$$
#
# and the right side is a mean over draws: draw, look at the loss, take $L \cdot \nabla \log p(Z)$ (Williams, 1992). A draw that went badly is made less likely.
# No bias at all.
#
# The noise is another matter. If every loss lies near 10, *every* draw is made less likely, only a little more or less so. A **baseline** helps: compare with what is usual for
# this film. Draw several times, and compare each loss with the mean of the *others*. (With itself left out; else a bad draw raises its own bar, and the
# gradient comes out too small.)

# %% [markdown]
# ## Your turn 3: against the others
#
# Every row is a film, every column a draw. Return each loss minus the mean of the other losses in its row. For one film with losses 2, 2 and 5: −1.5, −1.5 and 3.


# %% nbgrader={"grade": false, "grade_id": "against-others", "locked": false, "schema_version": 3, "solution": true, "task": false}
def against_others(losses: torch.Tensor) -> torch.Tensor:
    """(films, draws), two draws or more -> (films, draws)."""
    ### BEGIN SOLUTION
    draws = losses.shape[1]
    others = (losses.sum(dim=1, keepdim=True) - losses) / (draws - 1)
    return losses - others
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "against-others-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.against_others(against_others)

# %%
my_others, my_quality = checks.against_others.mine(), checks.bias_and_noise.mine()


def reinforce(draws: int, count: int = 2000, baseline: bool = True) -> torch.Tensor:
    """`count` estimates (count, 2), each the mean over some draws."""
    U = toy.U.repeat(count * draws, 1).requires_grad_()
    order, _ = choosing.draw(toy.scores(U).detach(), 3, torch.Generator().manual_seed(1))
    loss = toy.loss(order.sort(dim=1).values).detach()
    weight = torch.as_tensor(my_others(loss.view(count, draws))).flatten() if baseline else loss
    (slopes,) = torch.autograd.grad((weight * choosing.log_probability(toy.scores(U), order)).sum(), U)
    return slopes.view(count, draws, 2).mean(1)


clouds = {"4 draws, no baseline": reinforce(4, baseline=False), "2 draws": reinforce(2), "4 draws": reinforce(4), "16 draws": reinforce(16)}
plots.show(plots.clouds(clouds, exact, title="REINFORCE"))
for name, found in clouds.items():
    print("{:22s}bias {:.2f}  noise {:.2f}".format(name, *(float(value) for value in my_quality(found, exact))))

# %% [markdown]
# The orange arrow hides the black one: no bias. And the dots are everywhere. (The little bias that is printed is what 2,000 estimates leave of the noise.) This is 3 of
# 8 tokens. A film has hundreds of draws in each block, and one loss for all of them; each draw's noise comes on top of the others'. So REINFORCE is what textbooks
# warn of. Whether the warning holds here, the trained networks will say.

# %% [markdown]
# ## Gates: what lies between 0 and 1?
#
# REINFORCE uses nothing of what the network knows: how the loss *would* change if a target counted a little less. To ask that, something must be able to count a
# little less. Give every token a **gate** $z$: 1 for a target, 0 for a token that is none. And say what 0.5 means: *half a token*.
#
# You know how several tokens count in attention: a merged token of size 3 gets $\log 3$ on its score (lesson 02). Half a token gets $\log 0.5$. A token of gate 0
# gets $-\infty$, and is not there. In averages, $z$ is the weight. At $z = 1$ nothing is changed, so a network of hard targets is a network of gates 1 and 0; and now
# the loss has a slope in every gate.

# %%
plots.show(plots.flow({
    "scores": "6 tanh(x U_s)",
    "gates": "z, 0 to 1\nhow: below",
    "merge": "averages\nweigh z",
    "attend": "log z on\nthe score",
    "mean": "weighs z",
    "loss": "has a slope\nin z",
}, here="gates", title="Where a gate counts"))  # fmt: skip

# %% [markdown]
# ## Your turn 4: attention with gates
#
# One head, as in lesson 07. Mind the difference to eq. 10: there $s$ went in *before* the division by $\sqrt C$. A gate shall multiply the weight by $z$ exactly, so $\log z$ goes
# in after it.


# %% nbgrader={"grade": false, "grade_id": "gated-attention", "locked": false, "schema_version": 3, "solution": true, "task": false}
def gated_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """q, k (N, C), v (N, E), z (N,) above 0 -> (N, E)."""
    ### BEGIN SOLUTION
    scores = q @ k.T / q.shape[1] ** 0.5 + z.log()
    return scores.softmax(dim=1) @ v
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "gated-attention-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.gated_attention(gated_attention)

# %%
my_gates = checks.gated_attention.mine()
g = torch.Generator().manual_seed(4)
q, k, v = (torch.randn(4, 3, generator=g) for _ in range(3))
twice = [0, 1, 2, 3, 3]  # the last token, two times
one = my_gates(q, k, v, torch.ones(4))
two = my_gates(q[twice], k[twice], v[twice], torch.tensor([1, 1, 1, 0.5, 0.5]))
print("two halves of a token are the token:", torch.allclose(torch.as_tensor(one), torch.as_tensor(two)[:4], atol=1e-5))

# %% [markdown]
# ## Where do gates come from? A top-k with slopes
#
# A softmax is a choice of *one*, softly. For $k$ tokens, do it $k$ times, and take away what was chosen already (Xie and Ermon, 2019; DTEM, NeurIPS 2024, chooses so):
#
# $$p^{(1)} = \mathrm{softmax}(a / \tau), \qquad a \leftarrow a + \log(1 - p^{(1)}), \qquad p^{(2)} = \mathrm{softmax}(a/\tau), \;\ldots$$
#
# $$z = p^{(1)} + \ldots + p^{(k)}$$
#
# The gates add up to $k$. The temperature $\tau$ says how soft. Two of four tokens with equal scores: 1/4 each, then 1/4 each again, so $z = \frac12$ everywhere.
# (Where $\tau$ is low, $p$ can round to 1, and $\log 0$ would give gradients that are no numbers: keep $1 - p$ above $10^{-6}$.)

# %% [markdown]
# ## Your turn 5: a relaxed choice


# %% nbgrader={"grade": false, "grade_id": "relaxed-choice", "locked": false, "schema_version": 3, "solution": true, "task": false}
def relaxed_choice(scores: torch.Tensor, k: int, temperature: float) -> torch.Tensor:
    """scores (N,) -> gates (N,), whose sum is k."""
    ### BEGIN SOLUTION
    total = torch.zeros_like(scores)
    for _ in range(k):
        p = (scores / temperature).softmax(0)
        total = total + p
        scores = scores + torch.log((1 - p).clamp(min=1e-6))
    return total
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "relaxed-choice-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.relaxed_choice(relaxed_choice)

# %%
my_relaxed = checks.relaxed_choice.mine()
for temperature in (0.3, 1.0, 3.0):
    gates = torch.as_tensor(my_relaxed(scores, 3, temperature)).tolist()
    print(f"temperature {temperature:3.1f}: " + "  ".join(f"{gate:.2f}" for gate in gates))

# %% [markdown]
# The colder, the nearer to a choice, and the flatter; the warmer, the more slope, and the less of a choice: the network trains with tokens that are all a little there. That is the bargain of every relaxation,
# and it has a second price. **All tokens have to stay**, as each has a gate above 0; so training is as expensive as without merging, and more so. Only the trained network merges.
#
# ## Hard forwards, soft backwards
#
# Can one have both? Draw targets and merge hard, so that the pass is as cheap as ever; and when the gradient comes back, *pretend* that the gates were the relaxed ones. It is called
# **straight-through**. It is a lie, told to autograd in one line.

# %% [markdown]
# ## Your turn 6: the lie
#
# Return a tensor that has the value of `hard` and the slope of `soft`. (`.detach()` gives a tensor's value, without its slope.)


# %% nbgrader={"grade": false, "grade_id": "hard-and-soft", "locked": false, "schema_version": 3, "solution": true, "task": false}
def hard_and_soft(hard: torch.Tensor, soft: torch.Tensor) -> torch.Tensor:
    """hard, soft (N,) -> (N,): forwards hard, backwards soft."""
    ### BEGIN SOLUTION
    return hard + soft - soft.detach()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "hard-and-soft-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.hard_and_soft(hard_and_soft)

# %% [markdown]
# Put together on the toy: draw, gates of 1 that pretend to be relaxed ones, and the loss's slope in them.

# %%
my_lie = checks.hard_and_soft.mine()


def straight_through(temperature: float, count: int = 500) -> torch.Tensor:
    """`count` estimates (count, 2)."""
    U = toy.U.repeat(count, 1).requires_grad_()
    order, noisy = choosing.draw(toy.scores(U), 3, torch.Generator().manual_seed(1))
    targets = order.sort(dim=1).values
    soft = torch.stack([torch.as_tensor(my_relaxed(row, 3, temperature)) for row in noisy]).gather(1, targets)
    gates = torch.stack([my_lie(torch.ones(3), row) for row in soft])
    return torch.autograd.grad(toy.loss(targets, gates).sum(), U)[0]


temperatures = (0.3, 1.0, 3.0)
clouds = {f"temperature {t:g}": straight_through(t) for t in temperatures}
plots.show(plots.clouds(clouds, exact, columns=3, title="Straight-through"))
for name, found in clouds.items():
    print("{:17s}bias {:.2f}  noise {:.2f}".format(name, *(float(value) for value in my_quality(found, exact))))

# %% [markdown]
# Colder: the noise explodes, as a slope that is nearly a step is nearly always 0 and now and then enormous. Warmer: calm. And it is biased at every temperature, on this toy not less when it is colder: the lie
# has its price. Which temperature is best must be tried.
#
# ## The others, in a sentence and a line each
#
# - **Annealed.** Soft gates that get harder as training goes on: $z_j = \sigma((a_j - \lambda)/\tau)$, with the level $\lambda$ that makes the sum $k$; $\tau$ falls. Matching is soft as well. `choosing.soft_top`
# - **Relaxed.** The gates of your turn 5, and match keys of their own that are learned, as in DTEM. `choosing.relaxed_top`
# - **Perturbed.** Add noise to the scores 64 times, choose hard each time, average: gates. Which noise helped whom is their slope: $\partial z_j/\partial a_e = \mathrm{mean}\big([j \text{ chosen}]\, Z_e\big)/\sigma$
#   (Berthet et al., 2020). `choosing.perturbed_top`
# - **Weighted.** No gate at all. Draw, merge; but average each group with the weights $e^{g s}$. The gradient comes through the average alone: a token is salient if it should have more of its own group. It stays so at test time.
# - **Auxiliary.** VTM's: eq. 10, beside the main path. It asks how the loss of *another* path changes if a token is looked at more.
#
# Annealed, relaxed and perturbed keep all tokens in training, as your turn 5 did. All seven clouds, on the toy:

# %%
ways = {"auxiliary, guidance 7": ("auxiliary", 7), "straight-through, 1": ("straight_through", 1), "annealed, 0.3": ("annealed", 0.3),
        "relaxed, 1": ("relaxed", 1), "perturbed, 1": ("perturbed", 1), "REINFORCE, 4 draws": ("reinforce", 4),
        "weighted, 3": ("weighted", 3)}  # fmt: skip
clouds = {name: toy.estimates(*way, 1000) for name, way in ways.items()}
plots.show(plots.clouds(clouds, exact, title="One gradient of U_s, 1,000 times"))

# %% [markdown]
# Where there is a single dot, there is no chance in it: those two look at soft gates only. An arrow of the wrong length is no harm: an optimiser like AdamW divides by it. An arrow of the wrong *direction* is. One toy
# is an anecdote; here are the 20 toys of the study, of 4 numbers a token, each estimate 2,000 times. Direction is the cosine between the mean arrow and the exact one, in the middle of the toys; "against" counts toys in which it is below 0.

# %%
report = study.load()
print(f"{'':20s}setting   bias  noise  direction  against")
for row in report["toys"]:
    numbers = f"{row['setting']:7g}{row['bias']:7.2f}{row['noise']:7.2f}{row['direction']:11.2f}{row['against']:9d}"
    print(f"{study.WORDS[row['gradient']]:20s}{numbers}")

# %% [markdown]
# Read it with care: the exact gradient is that of the network which is tested. "Weighted" has another network, as its averages stay weighted, and is held beside its own.
#
# ## What a step costs
#
# The network of the study, small: 8 frames of 8 × 8 tokens, merged twice with $\gamma = 6$. One training step of each, in turns, as multiples of a step with random targets. `gradient=` is all that differs.

# %% tags=["nbval-ignore-output"]
x = torch.randn(8, 8, 8, 8, 48, generator=torch.Generator().manual_seed(0))
label = torch.arange(8)


def step(name: str):
    """A training step: forward and backward."""
    how = {"partition": "random"} if name == "random" else {"partition": "learnable", "gradient": name}
    net = VideoClassifier(48, blocks=2, chunks=(2, 8), widths=(48, 48), classes=8, merge_at="before_attention", residual=True, **how)

    def run():
        torch.nn.functional.cross_entropy(net(x), label).backward()

    return run


steps = {name: step(name) for name in ("random", "auxiliary", "straight_through", "weighted", "relaxed", "perturbed")}
times = measuring.interleaved(steps, 5)
memory = {name: measuring.peak_tensors(run) for name, run in steps.items()}
for name in steps:
    print(f"{name:18s}time x{measuring.ratio(times, name, 'random')['median']:5.1f}   memory x{memory[name] / memory['random']:5.1f}")

# %% [markdown]
# A weighted average costs least, gates on drawn targets a little more. The auxiliary path costs its own attention over all tokens. Whoever keeps all tokens pays for all of them.

# %% [markdown] tags=["prediction"]
# **Before you look:** the study trained networks with each of the seven, on films whose actor is in two of eight frames, and chose each one's setting by three trials on validation films. Which two will have
# the highest accuracy? Which will find the actor most often? Write the names.
#
# *My guess:*

# %% [markdown]
# ## Seven networks
#
# Same films, same seeds, same steps, same number of trials. First with merging before the first attention, where the choice decides most; then in the paper's order, where attention runs before it and can carry the actor's message
# anywhere. *- random* and *- auxiliary* are differences seed by seed; a star marks those whose 95% interval leaves out 0.

# %%
print(study.table(report).split("\n\nthe gradient itself")[0])

# %% tags=["nbval-ignore-output"]
for place in report["chosen"]:
    plots.show(study.figure(report, place))

# %% [markdown]
# **Before the first attention** the weighted average gains most, nearly what the oracle gains, and it is the only one that is told apart above the auxiliary path, just so. Straight-through, the relaxed top-k and REINFORCE
# are ahead of random targets, and not told apart from the auxiliary path either way. Annealed and perturbed are not told apart from random targets: look at their dots, on some seeds they find the actor and on others they do not.
#
# REINFORCE is no failure here. With eight draws of each film, and each compared with the other seven, the noise is small enough. It pays in another coin: eight forward passes a step, and their memory.
#
# **In the paper's order** there is less to gain: even the oracle is only 2 points ahead of random targets. The auxiliary path, straight-through, REINFORCE and the weighted average are told apart from random targets, and none of them from
# the auxiliary path. The relaxed and the perturbed top-k are below the auxiliary path, and the perturbed one is below random targets, too. On some seeds annealed, relaxed and perturbed find the actor hardly more often than chance (see how wide the intervals of recall are).
#
# ## The simplest that works
#
# **Average with weights.** Draw the targets as ever, match as ever, and let each token count $e^{g s}$ in its group's average. That is one line in the merge. It needs no second attention, no gates, no temperature and no schedule, and its training step is the cheapest of the seven
# (the table's last columns: time and memory of a step, as multiples of one with random targets). It was ahead of random targets in both places, and behind the auxiliary path in neither. Its price: the average stays weighted at test time, so it is another network, not VTM's eq. 4 with better targets.
#
# If averages have to stay plain, take **straight-through**: plain merging, a step that is cheaper than the auxiliary path's, and of all seven the highest recall of the actor, in both places.
#
# **Is the auxiliary path worth its cost?** It works, in both places. But nothing that it reached was out of reach without it, and its step took two to three times the time of one with random targets, and two to seven times the memory. On these films, with this network, we would not pay for it. The paper's films are
# clips from cinema, and its network is twenty times as wide: there we have not measured it.

# %% [markdown]
# ## Where it fails
#
# - **The toys are toys.** In them REINFORCE and the weighted average hardly ever point the wrong way, and the others do so in three to nine of the twenty; that agrees with two of the winners among the networks and says nothing of the others.
# - **One kind of film, one small network, five seeds.** The actor is a colour that the encoder knows; a linear saliency can find it. Where it cannot, no gradient helps. Differences of a few points are not told apart.
# - **One setting each, three trials, one seed of films for them.** More trials could change the order. All had the same.
# - **Trained soft, tested hard.** What keeps all tokens in training (annealed, relaxed, perturbed) is tested with a choice that it never met.
# - **Same steps, not same time.** REINFORCE had eight draws a step, and the soft ones keep all tokens. At equal time both would have had fewer steps.
#
# ## Recap
#
# - A choice has no slope. Its expectation has: it is the chances that move. With 56 sets one can compute it; with a film's one must estimate it.
# - REINFORCE has no bias, and much noise. Relaxations have no noise, some bias, and keep all tokens. Straight-through is cheap, biased at every temperature, and noisy at low ones.
# - A gate of $z$ counts as $z$ tokens: $\log z$ on its score, $z$ in averages.
# - The auxiliary path is none of these: it asks another path, and pays with an attention over all tokens. Here a weighted average did as well or better for nearly nothing.
#
# **Quiz**
#
# <details><summary>1. Why does a constant added to every loss change nothing in the exact gradient, and much in REINFORCE's noise?</summary>
#
# The chances of all sets add up to 1, so their gradients add up to 0: a constant times 0. But a single draw's estimate has the constant times $\nabla \log p$ of that draw in it, which is not 0. It is so on average only.
#
# </details>
#
# <details><summary>2. In straight-through, only the drawn targets have gates. How can the score of a token that was not drawn get a gradient?</summary>
#
# The relaxed gates add up to k, and each depends on all scores: raising one token's score lowers the gates of the drawn ones. So if the loss wants less of those, the others rise.
#
# </details>
#
# <details><summary>3. A colleague trains with soft gates, sees a low training loss, switches to hard targets for the test, and accuracy falls to chance. What would you look at first?</summary>
#
# How hard the gates were at the end of training. If many were far from 0 and 1, the network learned to read tokens that no longer exist at test time: all of them, a little. A lower temperature at the end, or a hard forward pass, takes that away.
#
# </details>
#
# **Next:** [11 Longer](11_longer.ipynb): what the choice is worth when a film lasts an hour.
