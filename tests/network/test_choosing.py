"""Gradients through the choice of targets: each estimator against its definition, and networks that train with it."""

import itertools
import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vtm_lesson.merging import match
from vtm_lesson.merging import partition as P
from vtm_lesson.network import BlockConfig, Tokens, VideoClassifier, VTMBlock, choosing, count

GRID = (4, 3, 4)
THROUGH = [name for name in choosing.SETTINGS if name != "auxiliary"]


def scores(batch=3, n=7, seed=0):
    return torch.randn(batch, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def films(batch=3, seed=0, dtype=torch.float32):
    return torch.randn(batch, *GRID, 16, generator=torch.Generator().manual_seed(seed)).to(dtype)


def network(gradient, seed=0, **options):
    torch.manual_seed(seed)
    options = {"dim": 16, "blocks": 2, "chunks": (2, 4), "classes": 5, "gamma": 4, "partition": "learnable"} | options
    return VideoClassifier(gradient=gradient, **options).train()


# ------------------------------------------------------------------------------------------------------ estimators


def test_a_draw_is_that_of_the_partition():
    s = scores(n=12).float()
    order, noisy = choosing.draw(s, 3, torch.Generator().manual_seed(5))
    want = P.sample(s, 4, torch.Generator().manual_seed(5))
    assert torch.equal(order.sort(1).values, want)
    assert torch.equal(noisy.gather(1, order), noisy.sort(1, descending=True).values[:, :3]), "in the order drawn"


def test_the_probability_of_an_order_is_the_product_of_its_draws():
    s = scores()
    order = torch.tensor([[2, 0, 6], [5, 1, 3], [0, 1, 2]])
    for row, got in enumerate(choosing.log_probability(s, order)):
        weights, want = s[row].exp(), 1.0
        for token in order[row].tolist():
            want *= float(weights[token] / weights.sum())
            weights[token] = 0
        assert math.isclose(float(got), math.log(want), rel_tol=1e-9)
    everyone = torch.tensor(list(itertools.permutations(range(7), 3)))
    total = choosing.log_probability(s[:1].expand(len(everyone), -1), everyone).exp().sum()
    assert math.isclose(float(total), 1, rel_tol=1e-9)


@pytest.mark.parametrize("top", [choosing.soft_top, choosing.relaxed_top])
def test_relaxations_add_up_to_k_have_slopes_and_become_the_top_k(top):
    s = scores().requires_grad_()
    for temperature in (0.3, 2.0):
        torch.testing.assert_close(top(s, 3, temperature).sum(1), torch.full((3,), 3.0).double(), rtol=0, atol=1e-5)
        assert torch.autograd.gradcheck(lambda x, t=temperature: top(x, 3, t), (s,))
    hard = torch.zeros_like(s).scatter(1, P.top(s, 1, 3), 1.0)
    torch.testing.assert_close(top(s, 3, 0.005).detach(), hard, rtol=0, atol=0.02)
    torch.testing.assert_close(choosing.soft_top(s, 7, 1.0).detach(), torch.ones_like(s), rtol=0, atol=1e-3)


def test_the_slope_of_perturbed_choices_is_that_of_their_mean(monkeypatch):
    monkeypatch.setattr(choosing, "SAMPLES", 400_000)
    s, weights = (
        torch.tensor([[0.5, 0.0, -0.4, 0.2]], dtype=torch.float64),
        torch.tensor([1.0, -2.0, 3.0, 0.5]).double(),
    )
    top = lambda x, seed=0: choosing.perturbed_top(x, 2, 0.7, torch.Generator().manual_seed(seed))  # noqa: E731
    x = s.clone().requires_grad_()
    assert math.isclose(float(top(x).detach().sum()), 2, rel_tol=1e-9)
    (top(x) * weights).sum().backward()
    for j in range(4):
        step = torch.zeros_like(s).index_fill(1, torch.tensor([j]), 0.1)
        slope = ((top(s + step) - top(s - step)) * weights).sum() / 0.2
        assert abs(float(slope - x.grad[0, j])) < 0.03


def test_straight_through_is_hard_forwards_and_soft_backwards():
    s = scores().requires_grad_()
    targets, gates = choosing.straight_through(s, 3, 0.8, torch.Generator().manual_seed(1))
    assert torch.equal(targets, P.sample(s.detach(), 1, torch.Generator().manual_seed(1), 3))
    assert torch.equal(gates, torch.ones_like(gates))
    weights = scores(n=3, seed=1)
    (got,) = torch.autograd.grad((gates * weights).sum(), s)
    _, noisy = choosing.draw(s, 3, torch.Generator().manual_seed(1))
    soft = choosing.relaxed_top(noisy, 3, 0.8).gather(1, targets)
    torch.testing.assert_close(got, torch.autograd.grad((soft * weights).sum(), s)[0])


def test_a_soft_merge_with_hard_gates_is_the_merge():
    x, keys = films().flatten(1, 3).double(), films(seed=1).flatten(1, 3).double()
    targets = P.sample(torch.zeros(3, 48), 6, torch.Generator().manual_seed(2))
    gates = torch.zeros(3, 48, dtype=torch.float64).scatter(1, targets, 1.0)
    soft = choosing.soft_merge(x, keys, gates, 1e-5)
    merged = match(keys, targets)(x)
    torch.testing.assert_close(soft.gather(1, targets[..., None].expand(-1, -1, 16)), merged, rtol=0, atol=1e-4)
    # A token that counted for nothing gives nothing.
    before = torch.ones_like(gates)
    before[:, 5] = gates[:, 5] = 0
    gates[:, 4] = 1
    far = x.clone()
    far[:, 5] += 100
    one, other = (choosing.soft_merge(value, keys, gates, 0.1, before)[:, 4] for value in (x, far))
    torch.testing.assert_close(one, other)


def test_what_a_token_gives_away_goes_to_others():
    x = torch.tensor([[[0.0], [1.0]]])
    half = choosing.soft_merge(x, torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.full((1, 2), 0.5), 0.1)
    torch.testing.assert_close(half, torch.full((1, 2, 1), 0.5))


def test_gates_travel_with_their_tokens():
    tokens = Tokens.start(films())
    assert tokens.weight("plain") is None
    tokens.gate = torch.rand(3, 48, generator=torch.Generator().manual_seed(0))
    tokens.size = tokens.size + 1
    torch.testing.assert_close(tokens.weight("plain"), tokens.gate)
    torch.testing.assert_close(tokens.weight("size"), 2 * tokens.gate)
    merge = match(tokens.x, torch.arange(0, 48, 6))
    merged = tokens.merged(merge, "size")
    torch.testing.assert_close(merged.gate, tokens.gate[:, ::6])
    torch.testing.assert_close(merged.x, merge(tokens.x, tokens.gate))


def test_annealing_ends_at_the_setting():
    s = scores(n=9)
    warm, warm_cosines = choosing.soft_gates("annealed", s, 3, 0.2)
    cold, cosines = choosing.soft_gates("annealed", s, 3, 0.2, progress=1.0)
    torch.testing.assert_close(cold, choosing.soft_top(s, 3, 0.2))
    torch.testing.assert_close(warm, choosing.soft_top(s, 3, choosing.WARM))
    assert math.isclose(cosines, 0.1 * 0.2**0.5) and math.isclose(warm_cosines, 0.1 * choosing.WARM**0.5)


# -------------------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize("gradient", THROUGH)
@pytest.mark.parametrize("merge_at", ["before_attention", "after_attention"])
def test_saliency_gets_a_gradient_in_every_block_without_an_auxiliary_path(gradient, merge_at):
    net = network(gradient, merge_at=merge_at)
    for block in net.blocks:
        torch.nn.init.normal_(block.U, std=0.1)
    logits, trace = net(films(), trace=True)
    term = sum(block.log_probability for block in trace.blocks) if gradient == "reinforce" else torch.zeros(3)
    (logits.square().sum() + term.sum()).backward()
    assert all(block.U.grad.abs().sum() > 0 and block.aux is None for block in net.blocks)
    if gradient == "relaxed":
        assert all(block.embed.weight.grad.abs().sum() > 0 for block in net.blocks)


@pytest.mark.parametrize("gradient", THROUGH)
def test_at_test_time_the_network_is_the_hard_one(gradient):
    net, plain = network(gradient).eval(), network("auxiliary").eval()
    if gradient == "relaxed":  # its match keys begin as the keys
        assert all(torch.equal(block.embed.weight, torch.eye(len(block.embed.weight))) for block in net.blocks)
    plain.load_state_dict(net.state_dict(), strict=False)
    for block, other in zip(net.blocks, plain.blocks, strict=True):
        value = 0 if gradient == "weighted" else 0.3  # weights of exp(0) are plain averages
        torch.nn.init.constant_(block.U, value)
        torch.nn.init.constant_(other.U, value)
    one, other = (model(films(), generator=torch.Generator().manual_seed(0)) for model in (net, plain))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("gradient", ["straight_through", "reinforce"])
@pytest.mark.parametrize("merge_at", ["before_attention", "after_attention"])
def test_hard_forward_passes_are_those_of_evaluation(gradient, merge_at):
    """Gates of 1 change nothing: training meets the network that is tested."""
    net = network(gradient, merge_at=merge_at)
    for block in net.blocks:
        torch.nn.init.normal_(block.U)
    one = net(films(), generator=torch.Generator().manual_seed(0))
    other = net.eval()(films(), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("merge_at", ["before_attention", "after_attention"])
def test_a_token_of_half_a_gate_counts_as_half_a_token(merge_at):
    """In attention, in the next averages, and in the mean: two tokens of half a gate are one token."""
    torch.manual_seed(0)
    block = VTMBlock(BlockConfig(16, chunk=4, partition=None, merge_at=merge_at, residual=True)).double()
    one = Tokens.start(films(dtype=torch.float64))
    doubled = Tokens.start(films(dtype=torch.float64).repeat_interleave(2, 3))
    doubled.gate = torch.full(doubled.position.shape, 0.5, dtype=torch.float64)
    short, long = block(one)[0], block(doubled)[0]
    torch.testing.assert_close(long.x, short.x.repeat_interleave(2, 1))
    doubled.gate = doubled.gate * torch.tensor([1.5, 0.5], dtype=torch.float64).repeat(48)
    torch.testing.assert_close(block(doubled)[0].x, short.x.repeat_interleave(2, 1))
    torch.testing.assert_close(long.mean(long.x, long.weight("plain")), short.mean(short.x))


def test_a_network_says_to_its_blocks_how_far_training_is():
    net = network("annealed")
    cold = net(films())
    net.anneal(1.0)
    assert [block.progress for block in net.blocks] == [1.0, 1.0]
    assert not torch.allclose(cold, net(films()))


@pytest.mark.parametrize("merge_at", ["before_attention", "after_attention"])
def test_soft_training_with_hard_gates_is_the_hard_network(merge_at, monkeypatch):
    """So what is trained softly, as its gates harden, becomes what is tested."""

    def hard(name, scores, k, setting, progress, generator):
        return torch.zeros_like(scores).scatter(1, P.top(scores, 1, k), 1.0), 1e-5

    monkeypatch.setattr(choosing, "soft_gates", hard)
    net = network("annealed", merge_at=merge_at, test_targets="top", residual=True).double()
    for block in net.blocks:
        torch.nn.init.normal_(block.U, std=0.1)
    soft = net(films(dtype=torch.float64))
    torch.testing.assert_close(soft, net.eval()(films(dtype=torch.float64)), rtol=0, atol=1e-4)


@pytest.mark.parametrize("merge_at", ["before_attention", "after_attention"])
def test_a_token_without_a_gate_says_nothing(merge_at):
    torch.manual_seed(0)
    block = VTMBlock(BlockConfig(16, chunk=4, partition=None, merge_at=merge_at, residual=True)).double()
    x, other = films(dtype=torch.float64), films(seed=1, dtype=torch.float64)
    both = Tokens.start(torch.stack([x, 3 * other], 4).flatten(3, 4))  # every second token is another
    both.gate = torch.tensor([1.0, 0.0], dtype=torch.float64).repeat(3, 48)
    alone = block(Tokens.start(x))[0]
    torch.testing.assert_close(block(both)[0].x[:, ::2], alone.x, rtol=0, atol=1e-3)


def test_tokens_that_count_for_nothing_are_not_chosen(monkeypatch):
    seen = []
    real = choosing.soft_gates
    monkeypatch.setattr(choosing, "soft_gates", lambda *given: (seen.append(given[1:3]), real(*given))[1])
    torch.manual_seed(0)
    block = VTMBlock(BlockConfig(16, chunk=4, gamma=4, partition="learnable", gradient="annealed")).train()
    torch.nn.init.normal_(block.U, std=0.1)
    tokens = Tokens.start(films())
    tokens.gate = torch.tensor([1.0, 0.0, 0.0]).repeat(3, 16)
    block(tokens)
    scores, k = seen[0]
    assert k == 4, "a fourth of the 16 that count"
    assert scores[:, 1::3].max() < scores[:, ::3].min() and scores[:, 2::3].max() < scores[:, ::3].min()


def test_weighted_averages_are_weighted_by_saliency():
    torch.manual_seed(0)
    block = VTMBlock(BlockConfig(16, chunk=4, gamma=6, partition="learnable", gradient="weighted", setting=2.0,
                                 merge_at="before_attention")).double()  # fmt: skip
    torch.nn.init.normal_(block.U)
    seen = []
    block.attention.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    start = Tokens.start(films(dtype=torch.float64))
    for training in (True, False):
        out, trace = block.train(training)(start)
        weight = (2 * torch.tanh(start.x @ block.U)[..., 0]).exp()
        torch.testing.assert_close(seen[-1], trace.merge(start.x, weight))
        assert out.gate is None


def test_log_probability_is_that_of_the_drawn_targets():
    net = network("reinforce", blocks=1, chunks=(2,))
    block = net.blocks[0]
    torch.nn.init.normal_(block.U)
    _, trace = net(films(), trace=True)
    note, want = trace.blocks[0], torch.zeros(3)
    assert note.log_probability.requires_grad
    # Which order a set was drawn in is not in its targets; with one target a chunk there is one.
    single = network("reinforce", blocks=1, chunks=(1,), gamma=12)
    torch.nn.init.normal_(single.blocks[0].U)
    _, trace = single(films(), trace=True)
    note = trace.blocks[0]
    logits = (6 * note.saliency).view(3, 4, 12).log_softmax(2)
    want = logits.gather(2, (note.targets.view(3, 4, 1) % 12))[..., 0].sum(1)
    torch.testing.assert_close(note.log_probability, want)


@pytest.mark.parametrize("gradient", THROUGH)
@pytest.mark.parametrize("training", [True, False])
def test_flops_are_counted(gradient, training):
    net = network(gradient, attention="stored").train(training)  # whose products torch's counter sees on a CPU
    with FlopCounterMode(display=False) as counter:
        net(films(batch=1))
    # Gates cost the soft ones a product more for their averages; all else is in the ledger to the last product.
    assert counter.get_total_flops() == count(net, *GRID, training=training).flops


# Loss, sum of the parameters' norms, norms of each U * 1e4, after two steps; from before gradients could be chosen.
STEPS = {
    "the paper's": ({}, [1.496461, 50.96169, 180.6973, 40.3452, 19.2999]),
    "two heads' losses": ({"aux": "heads", "guidance": 7.0}, [1.518761, 50.53438, 102.9769, 29.3748, 14.2874]),
    "merging first": ({"merge_at": "before_attention"}, [1.478715, 50.715, 206.8868, 3.7763, 9.7476]),
    "queries": ({"merge_at": "queries", "heads": 2}, [1.538116, 50.58389, 63.394, 16.0358, 6.9997]),
}


@pytest.mark.parametrize("name", STEPS)
def test_the_auxiliary_path_trains_as_it_did(name):
    options, want = STEPS[name]
    torch.manual_seed(0)
    net = VideoClassifier(24, chunks=(2, 4, 8), classes=5, gamma=3, partition="learnable", **options).train()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(4, 7, 4, 6, 24, generator=generator)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    for _ in range(2):
        loss = torch.nn.functional.cross_entropy(net(x, generator=generator), torch.tensor([0, 1, 2, 3]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    norms = sum(float(value.detach().double().norm()) for value in net.parameters())
    got = [float(loss.detach()), norms, *(1e4 * float(block.U.detach().norm()) for block in net.blocks)]
    assert got == pytest.approx(want, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"gradient": "magic"}, "straight_through"),
        ({"gradient": "annealed", "partition": "motion"}, "partition='learnable'"),
        ({"gradient": "weighted", "r": 0.5}, "r=1"),
        ({"gradient": "reinforce", "merge_at": "queries"}, "before or after attention"),
        ({"gradient": "relaxed", "match_within": "video"}, "in chunks"),
        ({"gradient": "perturbed", "setting": 0.0}, "above 0"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        BlockConfig(16, **({"partition": "learnable"} | options))
