"""Matching in two looks gives what one look in float32 gives. Runs anywhere; it is only fast with bfloat16 hardware."""

import pytest
import torch
from helpers import cosines, problem, random

from vtm_lesson import measuring
from vtm_lesson.merging import fast_cpu, matching, tiled
from vtm_lesson.partition import uniform


def check(keys, targets, sources):
    """Every source got a target within rounding of its best, and the cosine is right."""
    best, similarity = fast_cpu.nearest_screened(keys, targets, sources)
    reference = cosines(keys, targets, sources)
    torch.testing.assert_close(similarity.double(), reference.amax(2), atol=2e-6, rtol=0)
    torch.testing.assert_close(reference.gather(2, best[..., None])[..., 0], reference.amax(2), atol=2e-6, rtol=0)
    return best


@pytest.fixture(autouse=True)
def also_where_it_is_slower(monkeypatch):
    monkeypatch.setattr(fast_cpu, "SMALL", 0)


@pytest.fixture
def looks(monkeypatch):
    """How many rows the second look left to a float32 product, item by item."""
    seen = []
    search = fast_cpu.nearest_tiled
    monkeypatch.setattr(fast_cpu, "nearest_tiled", lambda k, t, s: seen.append(s.shape[1]) or search(k, t, s))
    return seen


@pytest.mark.parametrize(("n", "dim", "gamma"), [(1100, 40, 2), (3200, 33, 6), (1801, 64, 3.3)])
def test_random_keys(n, dim, gamma, looks):
    keys, targets, sources = problem(2, n, dim, gamma)
    best = check(keys, targets, sources)
    assert torch.equal(best, cosines(keys, targets, sources).argmax(2))
    assert sum(looks) < sources.numel() / 4  # screening did most of the work


def test_several_tiles_and_items(monkeypatch):
    keys, targets, sources = problem(3, 1100, 32, 2)
    whole = fast_cpu.nearest_screened(keys, targets, sources)
    monkeypatch.setitem(tiled.TILE, "cpu", 50 * 600)
    in_tiles = fast_cpu.nearest_screened(keys, targets, sources)
    assert torch.equal(whole[0], in_tiles[0])
    torch.testing.assert_close(whole[1], in_tiles[1])


def test_equal_targets_tie_to_the_first():
    keys, targets, sources = problem(1, 1100, 32, 2, seed=1)
    for first in (3, 130, 201):  # copies in the same block of 64, and in others
        for copy in (first + 1, first + 70, 499):
            keys[0, targets[0, copy]] = keys[0, targets[0, first]]
        keys[0, sources[0, first]] = keys[0, targets[0, first]] * 2
    best, _ = fast_cpu.nearest_screened(keys, targets, sources)
    # Targets 4, 73, 131, 200, 202, 271 and 499 copy earlier ones (499 copies 201, the last written).
    assert best[0, [3, 130, 201]].tolist() == [3, 130, 201]


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.1])
def test_near_equal_keys_as_in_a_still_film(noise, looks):
    generator = torch.Generator().manual_seed(2)
    frame = torch.randn(40, 48, generator=generator)
    keys = frame.repeat(45, 1)[None] + noise * torch.randn(1, 1800, 48, generator=generator)
    targets = uniform(1800, 3).expand(1, -1)
    check(keys, targets, tiled.others(targets, 1800))
    assert sum(looks) > 0  # too many candidates for some


def test_keys_that_all_point_one_way_or_away(looks):
    keys, targets, sources = problem(1, 1100, 32, 2, seed=3)
    keys = keys.abs()
    keys[0, sources[0, ::2]] *= -1  # half of the sources have negative cosines alone
    check(keys, targets, sources)
    assert max(looks) >= sources.shape[1] // 2


def test_zero_keys_have_similarity_zero():
    keys, targets, sources = problem(1, 1100, 32, 2, seed=4)
    keys[0, sources[0, 7]] = 0
    keys[0, targets[0, 5]] = 0
    best, similarity = fast_cpu.nearest_screened(keys, targets, sources)
    assert best[0, 7] == 0 and similarity[0, 7] == 0
    check(keys, targets, sources)


def test_the_first_look_hides_no_best_target():
    """Targets in clusters of four whose cosines differ by about what rounding to bfloat16 changes."""
    generator = torch.Generator().manual_seed(5)
    seen = 0
    for spread in (0.02, 0.05, 0.1, 0.2):
        directions = torch.randn(160, 8, generator=generator)
        targets = directions.repeat_interleave(4, 0) + spread * torch.randn(640, 8, generator=generator)
        sources = directions.repeat(20, 1) + 0.3 * torch.randn(3200, 8, generator=generator)
        a, b = (torch.nn.functional.normalize(keys, dim=-1)[None] for keys in (sources, targets))
        row, column, hard = fast_cpu._candidates(a, fast_cpu._rounded(b), torch.empty(3200 * 640, dtype=torch.bfloat16))
        best = (a[0].double() @ b[0].double().T).argmax(1)
        found = torch.zeros(3200, dtype=torch.bool).index_fill(0, row[column == best[row]], True)
        assert (found | hard).all()
        seen += int((~hard).sum())
    assert seen > 6000


def test_the_worst_that_rounding_can_do():
    """All numbers of the best target round down, all of its rival's up: the first look sees the rival far ahead."""
    sign = torch.tensor([1.0] * 9 + [-1.0] * 7)
    source = torch.cat([torch.full((16,), 0.25), torch.zeros(1)])  # the last number only makes the length 1
    half, little = 2**-8, 1e-5  # half the distance of two bfloat16 numbers above 1

    def target(numbers):
        return torch.cat([numbers, (1 - numbers.square().sum()).sqrt()[None]])

    best = 0.125 * sign * (1 + half - sign * little)
    best[0] += 0.125 * 2 * half  # one step more, so that it is the better one
    rival = 0.125 * sign * (1 + half + sign * little)
    others = -source + 0.01 * random(638, 17, seed=7)
    targets = torch.stack([*others[:100], target(best), target(rival), *others[100:]])
    targets = torch.nn.functional.normalize(targets, dim=1)
    exact, rough = targets @ source, (targets.bfloat16() @ source.bfloat16()).float()
    assert exact.argmax() == 100 and rough.argmax() == 101
    room = torch.empty(640, dtype=torch.bfloat16)
    _, column, hard = fast_cpu._candidates(source[None, None], fast_cpu._rounded(targets[None]), room)
    assert column.tolist() == [100, 101] and not hard.any()


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_the_bound_is_not_below_the_errors(scale):
    """What the docstring of the module claims, on vectors whose numbers lie where rounding is worst."""
    generator = torch.Generator().manual_seed(6)
    numbers = 1 + (2 * torch.randint(0, 64, (2, 400, 32), generator=generator) + 1) * 2**-8  # halfway between two
    signs = torch.where(torch.rand(numbers.shape, generator=generator) < 0.9, 1.0, -1.0)
    a, b = numbers * signs / 8 * scale
    d, e = (torch.linalg.vector_norm(x - x.bfloat16(), dim=1) for x in (a, b))
    exact = a.double() @ b.double().T
    error = ((a.bfloat16() @ b.bfloat16().T).double() - exact).abs()
    length_a, length_b = a.norm(dim=1)[:, None], b.norm(dim=1)
    bound = d[:, None] * length_b + length_a * e + d[:, None] * e
    assert (error <= bound + 2**-8 * (exact.abs() + bound)).all()
    assert error.max() > 2**-10 * exact.abs().max()  # and rounding did happen


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes(dtype):
    keys, targets, sources = problem(1, 1100, 40, 2, seed=6)
    check(keys.to(dtype), targets, sources)
    assert fast_cpu.nearest_screened(keys.to(dtype), targets, sources)[1].dtype == (
        torch.float64 if dtype == torch.float64 else torch.float32
    )


def test_keys_that_are_no_numbers_are_refused(monkeypatch):
    monkeypatch.setitem(matching.MATCHERS, "cpu", fast_cpu.nearest_screened)
    keys, targets, _ = problem(1, 1100, 40, 2)
    keys[0, 3, 0] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        matching.match(keys, targets)


def test_match_gives_the_same_merge_with_it(monkeypatch):
    monkeypatch.setitem(matching.MATCHERS, "cpu", fast_cpu.nearest_screened)
    keys, targets, _ = problem(2, 1800, 48, 3, seed=7)
    for n_merge in (None, 200):
        merge, plain = matching.match(keys, targets, n_merge), matching.match_plain(keys, targets, n_merge)
        assert torch.equal(merge.group, plain.group) and torch.equal(merge.keep, plain.keep)


def test_compiled_it_goes_the_usual_way(monkeypatch):
    monkeypatch.setitem(matching.MATCHERS, "cpu", fast_cpu.nearest_screened)
    keys, targets, _ = problem(1, 1100, 40, 2)
    torch._dynamo.reset()
    merged = torch.compile(lambda k: matching.match(k, targets, 100)(k), fullgraph=True, backend="eager")(keys)
    torch.testing.assert_close(merged, matching.match(keys, targets, 100)(keys))


def test_near_equal_keys_take_no_more_memory_than_others():
    """A still background: most targets are near-equal. Their pairs must not be listed one by one."""
    keys, targets, sources = problem(1, 6000, 64, 6)
    still = keys.clone()
    background = targets[0, :700]
    still[0, background] = keys[0, 0] + 0.001 * keys[0, background]
    peaks = [measuring.peak_tensors(lambda k=k: fast_cpu.nearest_screened(k, targets, sources)) for k in (keys, still)]
    assert peaks[1] < 1.2 * peaks[0]
    check(still, targets, sources)


def test_hard_rows_of_every_item_are_found(looks):
    keys, targets, sources = problem(3, 1300, 32, 2, seed=8)
    keys[1, targets[1]] = keys[1, :1] + 0.01 * keys[1, targets[1]]  # all of the second item's targets are near-equal
    check(keys, targets, sources)
    assert sum(looks) >= sources.shape[1] / 2


def test_some_near_equal_targets_in_every_block_are_still_screened(looks):
    """A patch that stands still in a film: one near-equal target in each block, and far from all elsewhere."""
    generator = torch.Generator().manual_seed(9)
    patches = torch.randn(64, 48, generator=generator)
    targets = (patches.repeat(20, 1) + 0.001 * torch.randn(1280, 48, generator=generator))[None]
    sources = patches[None] + 0.001 * torch.randn(1, 64, 48, generator=generator)
    keys = torch.cat([targets, sources], dim=1)
    check(keys, torch.arange(1280)[None], torch.arange(1280, 1344)[None])
    assert not looks


def test_those_left_after_the_first_tile_are_found_too(monkeypatch, looks):
    monkeypatch.setitem(tiled.TILE, "cpu", 50 * 600)
    keys, targets, sources = problem(2, 1100, 32, 2, seed=10)
    keys[:, targets] = keys[:, :1] + 0.001 * keys[:, targets]  # everybody's targets are near-equal: a tile shows it
    check(keys, targets, sources)
    assert looks == [sources.shape[1]] * 2
