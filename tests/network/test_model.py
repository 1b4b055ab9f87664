"""The network against a transcription of the paper with loops, hand counts, and torch's own FLOP counter."""

import functools
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vtm_lesson import partition as P
from vtm_lesson.merging import Merge, match
from vtm_lesson.merging.strategies import STRATEGIES, Context, pick, resolve
from vtm_lesson.network import model as M
from vtm_lesson.network.ledger import plan
from vtm_lesson.network.tokens import Chunks, Tokens

GRID = (7, 4, 6)  # 7 frames: chunks of 2 and 4 leave a shorter last one
NAMES = list(STRATEGIES)


def tokens(batch=2, grid=GRID, dim=24, seed=0, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, *grid, dim, generator=g, dtype=torch.float64).to(dtype)
    motion = 3 * torch.rand(batch, *grid, generator=g)
    oracle = (torch.rand(batch, *grid, generator=g) < 0.1).float()
    return x, motion, oracle


def network(partition="uniform", seed=0, **options):
    torch.manual_seed(seed)
    options = {"dim": 24, "chunks": (2, 4, 8), "classes": 5, "gamma": 3} | options
    return M.VideoClassifier(partition=partition, **options).eval()


def chosen(seen):
    """A partition that hands out the targets of a trace again, chunk by chunk."""
    queue = list(seen)
    return lambda context: queue.pop(0)


# ---- the forward pass ----


@torch.no_grad()
def reference(net, x, gamma, r, merge_first=False, residual=False):
    """The paper's forward pass for one video in float64, uniform partition, one token and one chunk at a time."""
    x = list(x.double().flatten(0, 2))
    frame_tokens = GRID[1] * GRID[2]
    cells = [(1, frame_tokens)] * GRID[0]  # (frames, tokens) that stay together
    for block in net.blocks:
        pieces, i, new_x, new_cells = [], 0, [], []
        while i < len(cells):
            frames = count = 0
            while i < len(cells) and frames < block.config.chunk:
                frames, count, i = frames + cells[i][0], count + cells[i][1], i + 1
            pieces.append((frames, count))
        start = 0
        for frames, count in pieces:
            z = x[start : start + count]
            start += count
            if merge_first:
                z = merge_by_hand(z, z, gamma, r)
            y, keys = attend_by_hand(block, z, residual)
            if not merge_first:
                y = merge_by_hand(y, keys, gamma, r)
            w, b = block.linear.weight.double(), block.linear.bias.double()
            y = [torch.nn.functional.gelu(w @ row + b) for row in y]
            new_cells.append((frames, len(y)))
            new_x += y
        x, cells = new_x, new_cells
    mean = sum(x) / len(x)
    return net.head.weight.double() @ mean + net.head.bias.double()


def attend_by_hand(block, z, residual):
    attention, dim = block.attention, len(z[0])
    n, heads, d = len(z), block.attention.heads, dim // block.attention.heads
    normed = []
    for row in z:
        row = (row - row.mean()) / torch.sqrt(row.var(unbiased=False) + attention.norm.eps)
        normed.append(row * attention.norm.weight.double() + attention.norm.bias.double())
    w = attention.qkv.weight.double()
    q, k, v = (torch.stack([w[i * dim : (i + 1) * dim] @ row for row in normed]) for i in range(3))
    outputs = []
    for i in range(n):
        parts = []
        for h in range(heads):
            s = slice(h * d, (h + 1) * d)
            e = torch.exp(k[:, s] @ q[i, s] / math.sqrt(d))
            parts.append(e @ v[:, s] / e.sum())
        outputs.append(torch.cat(parts) + (z[i] if residual else 0))
    return outputs, [sum(row[h * d : (h + 1) * d] for h in range(heads)) / heads for row in k]


def merge_by_hand(rows, keys, gamma, r):
    return [sum(rows[i] for i in group) / len(group) for group in groups_by_hand(keys, gamma, r)]


def groups_by_hand(keys, gamma, r):
    """Who becomes one token, uniform targets: lists of positions, the survivor first, survivors ascending."""
    n = len(keys)
    count = math.ceil(n / gamma)
    targets = [math.floor(i * gamma) for i in range(count)]
    sources = [i for i in range(n) if i not in targets]
    cosine = lambda a, b: float(a @ b / (a.norm() * b.norm()))  # noqa: E731
    best = {j: max(targets, key=lambda i: cosine(keys[i], keys[j])) for j in sources}
    ranked = sorted(sources, key=lambda j: -cosine(keys[best[j]], keys[j]))
    merged = set(ranked[: math.floor(r * len(sources) + 1e-9)])
    return [[i] + [j for j in sources if j in merged and best[j] == i] for i in range(n) if i not in merged]


@pytest.mark.parametrize("attention", ["fused", "stored", "merged"])
@pytest.mark.parametrize(
    ("gamma", "r", "options"),
    [
        (1, 1.0, {}),
        (3, 1.0, {}),
        (4, 0.5, {"heads": 2}),
        (6, 0.8, {"residual": True}),
        (3, 0.8, {"merge_at": "before_attention"}),
    ],
)
def test_forward_is_the_papers(gamma, r, options, attention):
    x, _, _ = tokens(batch=1)
    first = options.get("merge_at") == "before_attention"
    if attention == "merged" and (first or "heads" in options):
        with pytest.raises(ValueError, match="attention is 'merged'"):
            network(attention=attention, **options)
        return
    net = network(gamma=gamma, r=r, attention=attention, **options)
    want = reference(net, x[0], gamma, r, first, options.get("residual", False))
    with torch.inference_mode():
        got = net(x)[0]
    torch.testing.assert_close(got, want.float(), rtol=1e-4, atol=1e-5)


def test_no_merging_three_ways_and_flat_tokens():
    x, _, _ = tokens()
    plain = network(None)
    want = plain(x)
    for net in (network("none"), network(gamma=1), network(r=0)):
        net.load_state_dict(plain.state_dict())
        torch.testing.assert_close(net(x), want)
    torch.testing.assert_close(plain(x.flatten(1, 3), grid=GRID), want)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "options",
    [{}, {"merge_at": "before_attention"}, {"merge_at": "queries", "r": 0.8}, {"match_within": "video", "r": 0.8}],
)
def test_every_merger_goes_through_the_one_slot(name, options):
    x, motion, oracle = tokens()
    vectors = torch.randn(*motion.shape, 2, generator=torch.Generator().manual_seed(4))
    net = network(name, **options)
    for training in (True, False):
        logits, trace = net.train(training)(x, motion, oracle, vectors=vectors, trace=True)
        assert logits.shape == (2, 5)
        assert [trace.blocks[0].tokens_in] + [b.tokens_out for b in trace.blocks] == list(M.count(net, *GRID).tokens)
        assert all((b.targets.diff(dim=1) > 0).all() for b in trace.blocks)
    # All strategies have the same budget.
    assert M.count(net, *GRID).tokens == M.count(network("uniform", **options), *GRID).tokens
    net.train()(x, motion, oracle, vectors=vectors).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes(dtype):
    x, motion, _ = tokens(dtype=dtype)
    net = network("motion").to(dtype)
    assert net(x, motion).dtype == dtype and net(x, motion).isfinite().all()


def test_dropout_only_in_training():
    x, _, _ = tokens()
    net = network(dropout=0.5)
    torch.testing.assert_close(net(x), net(x))
    net.train()
    assert not torch.allclose(net(x), net(x))


# ---- chunks ----


def test_a_chunk_sees_nothing_of_another():
    x, _, _ = tokens()
    changed = x.clone()
    changed[:, 4:] *= torch.linspace(0, 1, 24)  # frames 4 to 6 are in other chunks of 4 than frames 0 to 3
    net = network(blocks=1, chunks=(4,), partition="uniform")
    kept = [net.blocks[0](Tokens.start(value))[0].x for value in (x, changed)]
    first = math.ceil(4 * 24 / 3)
    torch.testing.assert_close(kept[0][:, :first], kept[1][:, :first])
    assert not torch.allclose(kept[0][:, first:], kept[1][:, first:])


def test_matching_over_the_video_is_matching_in_one_chunk_when_there_is_one():
    x, motion, _ = tokens()
    one = network("uniform", chunks=(7, 7, 7))
    video = network("uniform", chunks=(7, 7, 7), match_within="video")
    torch.testing.assert_close(one(x, motion), video(x, motion))


def test_matching_over_the_video_attends_within_frames_of_the_survivors():
    x, _, _ = tokens(batch=2)
    net = network("random", match_within="video", chunks=(2, 3, 7), blocks=3, heads=2)  # 3 is no multiple of 2
    with torch.no_grad():
        state, _ = net.blocks[0](Tokens.start(x), torch.Generator().manual_seed(1))
        block = net.blocks[1]
        block.reducer = None
        got, _ = block(state)
        for item in range(2):
            frame = state.position[item] // 24
            for chunk in range(3):
                here = frame // 3 == chunk
                rows, _ = attend_by_hand(block.double(), list(state.x[item][here].double()), False)
                want = torch.nn.functional.gelu(block.linear(torch.stack(rows)))
                block.float()
                torch.testing.assert_close(got.x[item][here], want.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunks", [(2, 4, 7), (7, 7, 7), (2, 3, 60)])
@pytest.mark.parametrize("merge_at", ["before_attention", "after_attention"])
@torch.no_grad()
def test_matching_over_the_video_where_one_chunk_of_attention_covers_it(merge_at, chunks):
    """Against loops in float64: groups over all tokens, attention among the tokens of each chunk's frames."""
    x, _, _ = tokens(batch=1)
    net = network(merge_at=merge_at, match_within="video", chunks=chunks, r=0.8)
    got, trace = net(x, trace=True)
    z, frame = list(x[0].flatten(0, 2).double()), [i // 24 for i in range(168)]
    for block, note in zip(net.blocks, trace.blocks, strict=True):
        if merge_at == "before_attention":
            groups = groups_by_hand(z, 3, 0.8)
            z, frame = [sum(z[i] for i in group) / len(group) for group in groups], [frame[g[0]] for g in groups]
        y, keys = [None] * len(z), [None] * len(z)
        for chunk in {f // block.config.chunk for f in frame}:
            here = [i for i, f in enumerate(frame) if f // block.config.chunk == chunk]
            outputs = zip(here, *attend_by_hand(block, [z[i] for i in here], False), strict=True)
            for i, y[i], keys[i] in outputs:  # noqa: B007
                pass
        if merge_at == "after_attention":
            groups = groups_by_hand(keys, 3, 0.8)
            y, frame = [sum(y[i] for i in group) / len(group) for group in groups], [frame[g[0]] for g in groups]
        weight, bias = block.linear.weight.double(), block.linear.bias.double()
        z = [torch.nn.functional.gelu(weight @ row + bias) for row in y]
        assert note.tokens_out == len(z)
    want = net.head.weight.double() @ (sum(z) / len(z)) + net.head.bias.double()
    torch.testing.assert_close(got[0], want.float(), rtol=1e-4, atol=1e-5)
    assert M.count(net, *GRID).tokens == (168, *(note.tokens_out for note in trace.blocks))


def test_merging_first_over_a_whole_video_at_the_papers_frames():
    """Two networks with one chunk are one network; the default of three has one chunk in its last block."""
    x, _, _ = tokens(grid=(60, 2, 2))
    kinds = {"merge_at": "before_attention", "r": 0.8, "chunks": (60, 60, 60)}
    torch.testing.assert_close(network(match_within="video", **kinds)(x), network(match_within="chunk", **kinds)(x))
    net = network(match_within="video", merge_at="before_attention", chunks=(6, 30, 60))
    logits, trace = net(x, trace=True)
    assert logits.isfinite().all()
    assert M.count(net, 60, 2, 2).tokens == (240, *(note.tokens_out for note in trace.blocks))


@pytest.mark.parametrize("merge_at", ["before_attention", "after_attention"])
def test_matching_over_the_video_down_to_fewer_tokens_than_chunks(merge_at):
    """11 frames leave 1 token after block 1, and block 2 still has chunks of 4 frames: two of three are empty."""
    x, _, _ = tokens(grid=(11, 2, 1))
    options = {"gamma": [100, 2, 2], "widths": (8, 8, 8), "match_within": "video", "merge_at": merge_at}
    net = network(chunks=(2, 4, 12), **options)
    logits, trace = net(x, trace=True)
    assert M.count(net, 11, 2, 1).tokens == (22, 1, 1, 1) == (22, *(note.tokens_out for note in trace.blocks))
    # One token attends to itself alone, in a chunk of any length.
    torch.testing.assert_close(network(chunks=(2, 12, 12), **options)(x), logits)
    net.train()(x).sum().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


def test_an_empty_chunk_is_no_nan():
    x, _, _ = tokens()
    early = lambda n, gamma: torch.arange(P.n_targets(n, gamma))  # noqa: E731
    net = network(early, match_within="video", gamma=20, residual=True).train()
    net(x).sum().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


# ---- what travels ----


@pytest.mark.parametrize("match_within", ["chunk", "video"])
def test_positions_sizes_and_motion_travel_with_their_tokens(match_within):
    x, motion, oracle = tokens()
    net = network("random", r=0.7, match_within=match_within)
    _, trace = net(x, motion, oracle, trace=True)
    for item in range(2):
        groups = [[i] for i in range(168)]
        places, moved = list(range(168)), motion[item].flatten().tolist()
        for block in trace.blocks:
            into = block.merge.group[item].tolist()
            members = [[j for j in range(len(into)) if into[j] == m] for m in range(block.tokens_out)]
            assert sorted(block.target_patches[item].tolist()) == [places[t] for t in block.targets[item].tolist()]
            places = [places[i] for i in block.merge.keep[item].tolist()]
            moved = [sum(moved[j] for j in group) / len(group) for group in members]
            groups = [[p for j in group for p in groups[j]] for group in members]
            assert block.position[item].tolist() == places == sorted(places)
            assert block.size[item].tolist() == [len(group) for group in groups]
        for number, group in enumerate(groups):
            assert all(trace.merge.group[item, p] == number for p in group)
        assert trace.merge.keep[item].tolist() == places
    # The travelled motion, seen by the last block's partition.
    seen = []
    spy = lambda context: seen.append(context.motion) or P.uniform(context.n, context.gamma)  # noqa: E731
    net = network(spy, match_within="video")
    _, trace = net(x, motion, oracle, trace=True)
    first = trace.blocks[0].merge
    torch.testing.assert_close(seen[1], first(motion.flatten(1)[..., None])[..., 0])


def test_size_weighted_means_of_size_weighted_means_are_the_mean():
    x, _, _ = tokens()
    state = Tokens.start(x)
    for seed in range(2):
        keys = torch.randn(2, state.x.shape[1], 8, generator=torch.Generator().manual_seed(seed))
        state = state.merged(match(keys, P.uniform(keys.shape[1], 4)), "size")
    net = network(pooling="size")
    torch.testing.assert_close(net.pool(state.x, state), x.flatten(1, 3).mean(1))
    assert not torch.allclose(network().pool(state.x, state), x.flatten(1, 3).mean(1), atol=1e-3)


def test_the_weight_of_a_patch_is_its_share_in_the_final_mean():
    x, _, _ = tokens()
    _, trace = network("random", r=0.8)(x, trace=True)
    y = x.flatten(1, 3)
    for block in trace.blocks:
        y = block.merge(y)
    weight = trace.weight()
    torch.testing.assert_close((weight[..., None] * x.flatten(1, 3)).sum(1), y.mean(1))
    torch.testing.assert_close(weight.sum(1), torch.ones(2))


@pytest.mark.parametrize("weight", ["size", "motion"])
def test_weighted_averages_and_pooling(weight):
    x, motion, _ = tokens(batch=1)
    net = network(average=weight, pooling=weight)
    state, note = net.blocks[0](Tokens.start(x, motion))
    value = (torch.ones_like(motion) if weight == "size" else motion).flatten()
    start = Tokens.start(x)
    y, _ = net.blocks[0].attention(start.x, Chunks(net.blocks[0].plan(start.segments).attend, start))
    group = note.merge.group[0]
    rows = []
    for m in range(note.tokens_out):
        here = group == m
        rows.append((y[0, here] * value[here, None]).sum(0) / value[here].sum())
    want = torch.nn.functional.gelu(net.blocks[0].linear(torch.stack(rows)))
    torch.testing.assert_close(state.x[0], want)
    travelled = state.size[0] if weight == "size" else state.motion[0]
    want = (state.x[0] * travelled[:, None]).sum(0) / travelled.sum()
    torch.testing.assert_close(net.pool(state.x, state)[0], want)


# ---- strategies ----


def context(batch=2, grid=GRID, gamma=3.0, **more):
    x, motion, oracle = tokens(batch, grid)
    state = Tokens.start(x, motion, oracle)
    known = {"position": state.position, "size": state.size, "motion": state.motion, "oracle": state.oracle}
    return Context(state.x, gamma, *grid, **known | more)


@pytest.mark.parametrize("focus", ["centre", "boundary"])
@pytest.mark.parametrize("grid", [(7, 4, 6), (3, 16, 16), (5, 7, 7), (1, 2, 1)])
@pytest.mark.parametrize("gamma", [1.5, 4, 6, 10])
def test_region_by_position_is_region_on_a_grid(focus, grid, gamma):
    got = STRATEGIES[focus](context(grid=grid, gamma=gamma))
    want = P.region(*grid, gamma, focus=focus)
    assert (got == want).all() and got.shape == (2, len(want))


def test_region_by_position_off_the_grid():
    c = context(batch=3, grid=(8, 8, 8), gamma=4.0)
    draws = torch.rand(3, 512, generator=torch.Generator().manual_seed(0))
    keep = draws.topk(200, dim=1).indices.sort(dim=1).values
    c.keys, c.position = c.keys[:, :200], keep
    got = STRATEGIES["centre"](c)
    centre = (c.row >= 2) & (c.row < 6) & (c.column >= 2) & (c.column < 6)
    assert got.shape == (3, 50) and (got.diff(dim=1) > 0).all()
    for item in range(3):
        dense, taken = int(centre[item].sum()), int(centre[item][got[item]].sum())
        assert abs(taken - 50 * 3 * dense / (2 * dense + 200)) <= 0.5


def test_controls_and_motion_pick_what_they_should():
    c = context(batch=200, grid=(2, 4, 4), gamma=4.0)
    picks = STRATEGIES["random"](c)
    share = torch.bincount(picks.flatten(), minlength=32) / 200
    assert (share - 0.25).abs().max() < 0.13  # 4 standard errors
    c.oracle = torch.zeros(200, 32)
    c.oracle[:, 5] = 1.0
    c.oracle[:, 6] = 0.25
    assert {5, 6} <= set.intersection(*(set(row.tolist()) for row in STRATEGIES["oracle"](c)))
    c.motion = torch.zeros(200, 32)
    c.motion[:, 9] = math.log(31)  # p = 1/2 in the first draw
    first = 1 - (1 - (STRATEGIES["motion"](c) == 9).any(1).float().mean())
    # Without replacement over 8 draws: 1/2, then 31/61 and so on of what is left.
    missed = math.prod(1 - 31 / (31 + 31 - i) for i in range(8))
    assert abs(float(first) - (1 - missed)) < 0.03


def test_temperature_top_and_generator():
    c = context(batch=1, gamma=3.0)
    score = torch.linspace(-1, 1, c.n)[None]
    c.top = True
    assert c.draw(score)[0].tolist() == list(range(c.n - 56, c.n))
    c.training = True
    assert c.draw(score)[0].tolist() != list(range(c.n - 56, c.n))  # sampled in training

    def mean_rank(temperature):
        c.temperature = temperature
        return torch.stack([c.draw(score).float().mean() for _ in range(50)]).mean()

    assert mean_rank(0.0) + 5 < mean_rank(1.0) < mean_rank(6.0) - 5
    x, motion, _ = tokens()
    net = network("motion")
    draws = [net(x, motion, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    torch.testing.assert_close(draws[0], draws[1])
    assert not torch.allclose(draws[0], draws[2])
    net = network("motion", test_targets="top")
    torch.testing.assert_close(net(x, motion), net(x, motion))


def test_your_own_function_in_every_form():
    def newest(n, gamma):
        return torch.arange(n - P.n_targets(n, gamma), n)

    def loudest(c):
        return c.draw(c.keys.norm(dim=-1))

    def by_row(row, gamma, generator=None, slope=2.0):
        return P.sample(slope * row.float(), gamma, generator)

    x, motion, _ = tokens()
    for own in (
        newest,
        loudest,
        by_row,
        P.uniform,
        P.region,
        P.sample,
        functools.partial(P.uniform, offset=1),
        functools.partial(P.region, focus="boundary"),
    ):
        logits, trace = network(own)(x, motion, trace=True)
        assert logits.isfinite().all()
        if own is newest:
            assert trace.blocks[0].targets[0, :16].tolist() == list(range(32, 48))
    torch.testing.assert_close(network(P.uniform)(x), network("uniform")(x))
    torch.testing.assert_close(network(functools.partial(P.region, focus="boundary"))(x), network("boundary")(x))
    c = context()
    assert (resolve(functools.partial(P.uniform, offset=1))(c) == P.uniform(168, 3, offset=1)).all()


# ---- learnable ----


def test_saliency_is_equation_nine():
    x, _, _ = tokens()
    net = network("learnable", heads=2)
    block = net.blocks[0]
    assert (block.U == 0).all()
    torch.nn.init.normal_(block.U)
    _, note = block(Tokens.start(x))
    normed = block.attention.norm(x.flatten(1, 3))
    keys = (normed @ block.attention.qkv.weight[24:48].T).unflatten(-1, (2, 12)).mean(2)
    torch.testing.assert_close(note.saliency, torch.tanh(keys @ block.U)[..., 0])


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_the_auxiliary_path_is_equation_ten(guidance):
    x, _, _ = tokens(batch=1, grid=(2, 3, 4))
    for aux in ("add", "heads"):
        net = network("learnable", blocks=2, chunks=(1, 2), aux=aux, guidance=guidance).train()
        for block in net.blocks:
            torch.nn.init.normal_(block.U)
        logits, trace = net(x, trace=True)
        main = helper = x.flatten(1, 3)[0]
        counts = [(2, 12), (1, 8)]  # chunks, tokens in each
        for block, note, (chunks, n) in zip(net.blocks, trace.blocks, counts, strict=True):
            y, z = [], []
            for i in range(chunks):
                rows = slice(i * n, (i + 1) * n)
                width = main.shape[1]
                s = note.saliency[0, rows]
                for path, value, bias, out in (
                    (block.attention, main[rows], 0, y),
                    (block.aux, helper[rows], guidance * s[None, :], z),
                ):
                    q, k, v = path.qkv(path.norm(value)).split(width, dim=1)
                    out.append(((q @ k.T + bias) / math.sqrt(width)).softmax(1) @ v)
            y, z = note.merge(torch.cat(y)[None])[0], note.merge(torch.cat(z)[None])[0]
            main = torch.nn.functional.gelu(block.linear(y + z if aux == "add" else y))
            helper = torch.nn.functional.gelu(block.linear(z))
        want = net.head(main.mean(0))
        if aux == "heads":
            torch.testing.assert_close(trace.paths[1][0], net.head(helper.mean(0)))
            want = (want + net.head(helper.mean(0))) / 2
        torch.testing.assert_close(logits[0], want)


@pytest.mark.parametrize("aux", ["add", "heads"])
@pytest.mark.parametrize(
    "options",
    [{}, {"attention": "stored"}, {"merge_at": "before_attention"}, {"merge_at": "queries"}, {"heads": 2}],
)
def test_saliency_gets_a_gradient_in_every_block_and_only_from_the_auxiliary_path(aux, options):
    x, _, _ = tokens()
    net = network("learnable", aux=aux, **options).train()
    net(x).square().sum().backward()
    assert all(block.U.grad.abs().sum() > 0 for block in net.blocks)
    net.zero_grad()
    net.eval()(x).square().sum().backward()
    assert all(block.U.grad is None for block in net.blocks)


def test_the_gradient_of_saliency_is_the_derivative():
    x, _, _ = tokens(batch=1, dtype=torch.float64)
    net = network("learnable", temperature=0.0).double().train()  # draws do not depend on U then
    value = lambda: net(x, generator=torch.Generator().manual_seed(0)).sum()  # noqa: E731
    value().backward()
    for block in net.blocks:
        slope = block.U.grad[3, 0].item()
        with torch.no_grad():
            block.U[3] += 1e-5
            up = value()
            block.U[3] -= 2e-5
            down = value()
            block.U[3] += 1e-5
        assert abs(float(up - down) / 2e-5 - slope) < 1e-6 + 1e-4 * abs(slope)


def test_at_test_time_only_the_main_path_runs():
    x, _, _ = tokens()
    net = network("learnable", r=0.8)
    for block in net.blocks:
        torch.nn.init.normal_(block.U)
    calls = []
    for block in net.blocks:
        block.aux.register_forward_hook(lambda *_: calls.append(1))
    net.train()(x)
    assert len(calls) == 3
    _, trace = net.eval()(x, trace=True, generator=torch.Generator().manual_seed(3))
    assert len(calls) == 3
    # The same targets handed to a network without an auxiliary path give the same logits.
    seen = []
    for note, segments in zip(trace.blocks, _plans(net), strict=True):
        start = taken = 0
        for run in segments.match:
            n, t = run.chunks * run.tokens, run.chunks * run.targets
            first = torch.arange(run.chunks)[:, None] * run.tokens + start
            seen.append((note.targets[:, taken : taken + t].unflatten(1, (run.chunks, -1)) - first).flatten(0, 1))
            start, taken = start + n, taken + t
    plain = network(chosen(seen), r=0.8)
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if ".aux." not in k and not k.endswith(".U")})
    want = net(x, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(plain(x), want)
    # Nor does it cost anything but the score head.
    extra = M.count(net, *GRID).flops - M.count(plain, *GRID).flops
    assert extra == sum(2 * n * d for n, d in zip(M.count(net, *GRID).tokens, (24, 12, 6), strict=False))


def _plans(net):
    segments = ((1, 24),) * 7
    for block in net.blocks:
        todo = block.plan(segments)
        segments = todo.after
        yield todo


# ---- counts ----


@pytest.mark.parametrize("gamma", [4, 6, 10])
@pytest.mark.parametrize("r", [0.5, 0.8, 1.0])
def test_token_counts_at_the_papers_size(gamma, r):
    ledger = M.count({"dim": 1024, "gamma": gamma, "r": r}, 60, 16, 16)
    left = lambda n: n - math.floor(r * (n - math.ceil(n / gamma)) + 1e-9)  # noqa: E731
    first = 10 * left(6 * 256)
    second = 2 * left(first // 2)
    assert ledger.tokens == (15360, first, second, left(second))
    if r == 1.0 and gamma == 4:
        assert ledger.tokens == (15360, 3840, 960, 240)
    assert [b.merged for b in ledger.blocks] == [15360 - first, first - second, second - left(second)]


@pytest.mark.parametrize("left", [1, 40, 41, 719])
def test_a_plan_that_is_told_how_many_were_left_keeps_as_many(left):
    """30 chunks of 24 tokens leave 40: that is one and a third each."""
    todo = plan(((1, 24),) * 30, chunk=1, gamma=6, r=1, left=left)
    assert todo.tokens_out == left and sum(tokens for _, tokens in todo.after) == left


def test_flops_by_hand_at_the_papers_size():
    ledger = M.count({"dim": 1024, "gamma": 4, "classes": 9}, 60, 16, 16)
    block = ledger.blocks[0].flops
    assert block["queries, keys, values"] == 2 * 15360 * 1024 * 3072
    assert block["attention"] == 10 * 2 * (2 * 1536 * 1536 * 1024)
    assert block["matching"] == 10 * 2 * 384 * 1152 * 1024
    assert block["linear"] == 2 * 3840 * 1024 * 512
    last = ledger.blocks[2].flops
    assert last["queries, keys, values"] == 2 * 960 * 256 * 768
    assert last["attention"] == 4 * 960 * 960 * 256
    assert last["linear"] == 2 * 240 * 256 * 128
    assert ledger.head == 2 * 128 * 9
    assert ledger.flops == sum(sum(b.flops.values()) for b in ledger.blocks) + ledger.head
    base = M.count({"dim": 1024, "partition": None, "widths": (512, 256, 256)}, 60, 16, 16)
    assert base.tokens == (15360,) * 4 and base.blocks[2].flops["linear"] == 2 * 15360 * 256 * 256
    assert "15,360" in str(ledger)


@pytest.mark.parametrize("name", [None, "uniform", "learnable"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"r": 0.6, "heads": 2},
        {"merge_at": "before_attention"},
        {"gamma": (4, 1, 2), "aux": "heads"},
        {"match_within": "video", "chunks": (7, 7, 7)},
        {"attention": "merged", "r": 0.6},
        {"attention": "merged", "gamma": (4, 1, 2)},
        {"merge_at": "queries"},
        {"merge_at": "queries", "r": 0.6, "heads": 2, "aux": "heads"},
        {"merge_at": "queries", "gamma": (4, 1, 2)},
        {"gamma": 1.001},  # nothing merges, and saliency is there all the same
        {"r": 0.03},  # 2 of a long chunk's tokens are merged, none of the short last one's
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_flops_are_those_torch_counts(name, options, training):
    with torch.device("meta"):  # where torch's counter sees into fused attention; on the CPU it does not
        net = network(name, **options).train(training)
        with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(training):
            net(torch.empty(1, *GRID, 24))
    assert counter.get_total_flops() == M.count(net, *GRID, training=training).flops


# ---- threads ----


@pytest.mark.parametrize(
    "options", [{"partition": "learnable", "test_targets": "top"}, {"partition": None, "reducer": "threshold"}]
)
def test_threads_share_a_network(options):
    """Nothing of a pass is kept in the network: batches of several sizes at once give what they give one by one."""
    net = network(**options)
    batches = [tokens(batch=1 + i % 3, seed=i)[0] for i in range(6)]
    with torch.inference_mode():
        want = [net(x) for x in batches]

    def run(number):
        order = [(number + i) % len(batches) for i in range(2 * len(batches))]
        with torch.inference_mode():
            return all(torch.equal(net(batches[i]), want[i]) for i in order)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(4)))


# ---- settings and errors ----


def test_position_embedding_tells_places_apart():
    code = M.sincos((5, 4, 3), 20)
    assert code.shape == (60, 20) and (code[:, 18:] == 0).all()
    assert torch.pdist(code).min() > 0.01
    x = torch.ones(1, 5, 4, 3, 24)
    swapped = network(position="sincos", seed=1)
    plain = network(seed=1)
    assert not torch.allclose(swapped(x), plain(x))


def test_state_dict_and_config_make_the_same_network():
    x, _, _ = tokens()
    net = network("learnable", test_targets="top", widths=(10, 8, 8), gamma=(6, 3, 1))
    again = M.VideoClassifier(**net.config).eval()
    again.load_state_dict(net.state_dict())
    torch.testing.assert_close(again(x), net(x))
    assert M.count(net.config, *GRID) == M.count(net, *GRID)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"chunks": (2, 4)}, "3 blocks"),
        ({"chunks": (4, 2, 8)}, "at least as far"),
        ({"gamma": 0.5}, "gamma is 0.5"),
        ({"r": 1.2}, "r is 1.2"),
        ({"heads": 5}, "heads"),
        ({"partition": "naive"}, "names are uniform"),
        ({"partition": 3}, "give a name"),
        ({"partition": lambda height, colour: 0}, "colour"),
        ({"pooling": "max"}, "'mean'"),
        ({"merge_at": "middle"}, "after_attention"),
        ({"attention": "flash"}, "fused"),
        ({"widths": (3, 4)}, "widths"),
        ({"dim": 0}, "dim is 0"),
    ],
)
def test_wrong_settings_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        network(**options)


def test_wrong_input_is_named():
    x, motion, _oracle = tokens()
    with pytest.raises(ValueError, match="multiple of the one before"):
        network(chunks=(2, 3, 7))(x)
    with pytest.raises(ValueError, match="grid"):
        network()(x.flatten(1, 3))
    with pytest.raises(ValueError, match="grid"):
        network()(x.flatten(1, 3), grid=(7, 4, 5))
    with pytest.raises(ValueError, match="motion has shape"):
        network("motion")(x, motion[:, :3])
    with pytest.raises(ValueError, match="needs motion"):
        network("motion")(x)
    with pytest.raises(ValueError, match="need motion"):
        network(pooling="motion")(x)
    with pytest.raises(ValueError, match="needs the actor"):
        network("oracle")(x)
    with pytest.raises(ValueError, match="ceil"):
        network(lambda n: torch.arange(3))(x)
    with pytest.raises(ValueError, match="targets lie between"):
        network(lambda n, gamma: P.uniform(n, gamma) + 2)(x)
    with pytest.raises(ValueError, match="ceil"):
        pick(lambda c: [0], context())


def test_a_trace_holds_merges():
    x, _, _ = tokens()
    _, trace = network(None)(x, trace=True)
    assert isinstance(trace.merge, Merge) and trace.merge.n_out == 168 and trace.grid == GRID
