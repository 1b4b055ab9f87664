"""Keys, saliency, schedules and baselines in a real browser: moved by keyboard and pointer, with Python's numbers."""

import json
import random
import re

import numpy as np
import pytest
import torch

import vtm_lesson as vtm
from vtm_lesson import data_path
from vtm_lesson.explorers import baseline, dial, keys, page, schedule
from vtm_lesson.merging import match, nearest
from vtm_lesson.merging.partition import n_merged

MADE = {
    "keys": keys.drag_keys,
    "dial": dial.turn_saliency,
    "schedule": schedule.design_schedule,
    "baseline": baseline.divide_by,
}


class Shown:
    """An explorer in a page of its own."""

    def __init__(self, browser_page, record):
        self.page, self.record = browser_page, record
        self.root = browser_page.locator(".vtm-explorer")
        self.answered(0)

    def answered(self, before):
        """Wait until there are more answers than before."""
        self.page.wait_for_function(
            "n => Number(document.querySelector('.vtm-explorer')?.dataset.answers || 0) > n", arg=before
        )
        self.record(float(self.root.get_attribute("data-milliseconds")))

    def after(self, act):
        before = int(self.root.get_attribute("data-answers"))
        act()
        self.answered(before)

    def press(self, label, key, times=1):
        """Press a key on the control of that name."""
        for _ in range(times):
            self.after(lambda: self.page.get_by_label(label, exact=True).press(key))

    def click(self, name):
        self.after(lambda: self.page.get_by_role("button", name=name).click())

    @property
    def said(self):
        return self.page.locator(".said").first.inner_text()

    @property
    def rows(self):
        """The first table: name of the row -> its other cells."""
        table = self.page.locator("table").first
        return {cells[0]: cells[1:] for cells in table.evaluate(
            "t => [...t.rows].map(row => [...row.cells].map(cell => cell.textContent))"
        )}  # fmt: skip


@pytest.fixture
def opened(browser, tmp_path):
    """A function that opens an explorer as a file; at the end nothing may have been said on the console."""
    pages, words, took = [], [], []

    def made(explorer, width=1000):
        path = tmp_path / f"{explorer.name}_{len(pages)}.html"
        head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>an explorer</title>'
        path.write_text(f"{head}<main>{explorer.page()}</main>", encoding="utf-8")
        one = browser.new_context(viewport={"width": width, "height": 900}, reduced_motion="reduce").new_page()
        pages.append(one)
        one.on("console", lambda message: words.append(message.text))
        one.on("pageerror", lambda error: words.append(str(error)))
        one.goto(path.as_uri())
        return Shown(one, took.append)

    yield made
    for one in pages:
        one.context.close()
    print(f"{len(took)} answers, the slowest {max(took, default=0):.0f} ms")
    assert words == []


# ------------------------------------------------------------------------------------------------------------- all


@pytest.mark.parametrize("name", MADE)
def test_on_a_narrow_page_nothing_sticks_out_and_all_text_can_be_read(name, opened):
    shown = opened(MADE[name](), width=390)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 390
    smallest = shown.root.evaluate("""root => {
        const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
        const found = [];
        while (walk.nextNode()) {
            const at = walk.currentNode.parentElement;
            if (at.closest("style") || !walk.currentNode.textContent.trim() || !at.getClientRects().length) continue;
            const svg = at.closest("svg");
            const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
            found.push([parseFloat(getComputedStyle(at).fontSize) * scale, walk.currentNode.textContent]);
        }
        return found.sort((a, b) => a[0] - b[0])[0];
    }""")
    assert smallest[0] >= 12.6, smallest  # 13, but for what a border takes


@pytest.mark.parametrize("name", MADE)
def test_every_control_is_reached_by_tab_has_a_name_and_shows_its_focus(name, opened):
    shown = opened(MADE[name]())
    controls = shown.root.evaluate("""root => [...root.querySelectorAll("input, select, button, [tabindex]")]
        .filter(one => one.getClientRects().length).length""")
    reached = set()
    for _ in range(controls):
        shown.page.keyboard.press("Tab")
        found = shown.page.evaluate("""() => {
            const one = document.activeElement;
            const words = one.matches("button") ? one.textContent : one.labels?.[0]?.textContent;
            const name = one.getAttribute("aria-label") || words || "";
            return [name.trim(), getComputedStyle(one).outlineStyle, [...document.querySelectorAll("*")].indexOf(one)];
        }""")
        assert found[0] and found[1] == "solid", found
        reached.add(found[2])
    assert len(reached) == controls


@pytest.mark.parametrize("name", MADE)
def test_axe_finds_nothing(name, opened):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")
    found = axe.Axe().run(opened(MADE[name]()).page, context=".vtm-explorer").response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []


# ------------------------------------------------------------------------------------------------------------ keys


def drawn_pairs(shown):
    """Source -> (its target, whether it is merged), as the lines are drawn."""
    lines = shown.page.locator("line[data-source]").evaluate_all(
        "all => all.map(one => [one.dataset.source, one.dataset.target, one.getAttribute('class')])"
    )
    return {int(source): (int(target), kind == "merged") for source, target, kind in lines}


def pairs(points, gamma, offset, share):
    """The same from Python."""
    n = len(points)
    targets = vtm.uniform(n, gamma, offset)
    best = nearest(points[None], targets)[0][0]
    merge = match(points[None], targets, n_merged(n, gamma, share))
    sources = [i for i in range(n) if i not in targets]
    return {i: (int(targets[b]), i not in merge.keep[0]) for i, b in zip(sources, best, strict=True)}


def points_of(shown):
    names = shown.page.locator("g[role=application]").evaluate_all(
        "all => all.map(one => one.getAttribute('aria-label'))"
    )
    return torch.tensor([[float(x) for x in re.findall(r"-?\d+\.\d+", name)] for name in names], dtype=torch.float64)


def test_keys_that_are_moved_by_arrow_keys_merge_as_in_python(opened):
    shown = opened(keys.drag_keys())
    chance = random.Random(0)
    assert drawn_pairs(shown) == pairs(points_of(shown), 2, 1, 0.6)
    handles = shown.page.locator("g[role=application]")
    for _ in range(12):
        which, key = (
            chance.randrange(10),
            chance.choice(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Shift+ArrowUp"]),
        )
        for _ in range(4):
            shown.after(lambda which=which, key=key: handles.nth(which).press(key))
        assert drawn_pairs(shown) == pairs(points_of(shown), 2, 1, 0.6)
    shown.press("gamma", "ArrowRight")
    shown.press("offset", "ArrowRight", 3)
    shown.press("R / |S|", "ArrowLeft", 2)
    assert drawn_pairs(shown) == pairs(points_of(shown), 3, 4, 0.5)
    assert f"10 tokens become {10 - n_merged(10, 3, 0.5)}." in shown.said


def test_a_key_that_is_dragged_follows_the_pointer(opened):
    shown = opened(keys.drag_keys([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.2]], offset=0))
    handle = shown.page.locator("g[role=application]").nth(1)
    place = handle.bounding_box()
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    before = points_of(shown)
    assert drawn_pairs(shown)[1] == (2, False), "of one source, 0.6 are none"
    shown.press("R / |S|", "End")
    assert drawn_pairs(shown)[1] == (2, True)
    shown.page.mouse.move(x, y)
    shown.page.mouse.down()
    shown.after(lambda: shown.page.mouse.move(x + 90, y + 20, steps=5))
    shown.page.mouse.up()
    after = points_of(shown)
    assert after[1, 0] > before[1, 0] + 0.3 and after[1, 1] < before[1, 1] and torch.equal(after[::2], before[::2])
    assert drawn_pairs(shown)[1] == (0, True) and "Its most similar target is 0" in shown.said


def test_a_share_that_is_no_multiple_of_a_twentieth_is_kept(opened):
    shown = opened(keys.drag_keys(torch.eye(2).repeat(3, 1), share=2 / 3))
    assert "6 tokens become 4." in shown.said


def test_zero_copies_and_length_are_told(opened):
    shown = opened(keys.drag_keys())
    shown.page.locator("g[role=application]").nth(4).focus()
    assert "Its most similar target is 3, cosine 0.71. Target 5 is level with it; a tie goes to the lower" in shown.said
    shown.click("make it longer")
    assert "Its length has changed from 1.40 to 2.10, its direction has not, and so nothing else has." in shown.said
    shown.click("make it a copy of its neighbour")
    assert "Key 4 is a copy of key 5 now." in shown.said and "Its cosine with its copy, key 5, is 1." in shown.said
    assert drawn_pairs(shown)[4] == (5, True) and shown.rows["target 5"] == ["1.00", "its target"]
    shown.click("make the chosen key zero")
    assert (
        "its cosine with every key is 0. So all targets are level, and it goes to the lowest position, target 1"
        in shown.said
    )
    assert drawn_pairs(shown)[4][0] == 1 and {cells[0] for name, cells in shown.rows.items() if "target" in name} == {
        "0.00"
    }
    shown.click("reset")
    assert drawn_pairs(shown) == pairs(torch.tensor(keys.drag_keys().data["keys"]), 2, 1, 0.6)


# ------------------------------------------------------------------------------------------------------------ dial


def by_autograd(data, s, wanted):
    """(weights, output, loss, gradient) of VTM eq. 10 for one query."""
    query, key, value = (torch.tensor(data[name], dtype=torch.float64) for name in ("query", "keys", "values"))
    s = torch.tensor(s, dtype=torch.float64, requires_grad=True)
    weights = ((key @ query + s) / len(query) ** 0.5).softmax(0)
    output = weights @ value
    loss = ((output - torch.tensor(wanted, dtype=torch.float64)) ** 2).sum()
    loss.backward()
    return weights.detach(), output.detach(), loss.item(), s.grad


def dials(shown):
    """(s, weights, pushes) as the drawing's name says them."""
    said = shown.page.locator("svg[role=img]").first.get_attribute("aria-label")
    return np.array(re.findall(r"s (-?[\d.]+), weight ([\d.]+), push (-?[\d.]+)", said), dtype=float).T


def test_saliency_and_its_gradient_are_those_of_autograd(opened):
    explorer = dial.turn_saliency({0: np.zeros((2, 2))})
    shown, s = opened(explorer), [0.0, 0.0, 0.0]
    shown.press("s of token 1", "PageUp", 4)
    shown.press("s of token 2", "ArrowLeft", 7)
    shown.after(lambda: shown.page.locator("g[role=application]").press("ArrowLeft"))
    shown.after(lambda: shown.page.locator("g[role=application]").press("Shift+ArrowUp"))
    s, weights, pushes = dials(shown)
    assert s[1] > 0.3 and s[2] == -0.07
    wanted = [0.9, 0.61]
    want = by_autograd(explorer.data, s, wanted)
    np.testing.assert_allclose(weights, want[0], atol=0.0051)
    np.testing.assert_allclose(pushes, -want[3], atol=0.0051)
    assert f"loss {want[2]:.2f}" in shown.said and f"Descent raises s of token {int(want[3].argmin())}" in shown.said
    for _ in range(3):
        s = np.clip(s - 0.5 * by_autograd(explorer.data, s, wanted)[3].numpy(), -1, 1)
        before = want[2]
        shown.click("one step of descent")
        want = by_autograd(explorer.data, s, wanted)
        assert f"loss {want[2]:.2f}" in shown.said and want[2] < before
    shown.click("reset")
    assert dials(shown)[0].tolist() == [0, 0, 0]


def test_the_scrubber_shows_the_stored_steps(opened):
    explorer = dial.turn_saliency()
    steps, actor = dial.learned_steps()
    shown = opened(explorer)
    scrubber = shown.page.get_by_label("training step", exact=True)
    for step in reversed(steps):
        s = steps[step].astype(float).round(3)
        recall = actor.flatten()[vtm.top(torch.tensor(s.flatten())[None], 6)[0]].sum() / actor.sum()
        said = shown.page.locator(".said").nth(1).inner_text()
        assert f"Step {step}: saliency from {s.min():.2f} to {s.max():.2f}".replace("-0.00", "0.00") in said
        assert shown.rows["the actor's patches"] == [f"{s[actor].mean():.2f}"]
        assert shown.rows["recall, if the most salient are targets, gamma 6"] == [f"{int(100 * recall + 0.5)}%"]
        scrubber.press("ArrowLeft")
    image = shown.page.locator("canvas").evaluate("c => [...c.getContext('2d').getImageData(20, 20, 1, 1).data]")
    assert len(set(image[:3])) > 1, "at step 0 everything is the colour of 0, between dark and light"


# -------------------------------------------------------------------------------------------------------- schedule


def schedules(count):
    """Seeded schedules, some of which cannot be built."""
    chance = random.Random(8)
    for _ in range(count):
        blocks, dim = chance.randint(1, 4), chance.choice([32, 48, 256, 1024])
        chunk, listed = chance.choice([1, 2, 3, 4, 6]), []
        for _ in range(blocks):
            gamma, r = chance.choice([1, 1.5, 2, 3, 6, 10, 7.3]), chance.choice([0, 0.05, 0.5, 0.8, 0.95, 1])
            listed.append({"chunk": chunk, "gamma": gamma, "r": r, "width": chance.choice([16, 64, 100, 512])})
            chunk = chance.choice([chunk, 2 * chunk, 5 * chunk, 5 * chunk, chunk + 1, 3])
        grid = chance.choice([(1, 1), (3, 5), (7, 7), (16, 16)])
        yield (
            {
                "frames": chance.randint(1, 130),
                "patches": grid[0] * grid[1],
                "dim": dim,
                "classes": 10,
                "blocks": listed,
            },
            grid,
        )


def test_the_pages_counts_are_those_of_the_ledger(opened):
    shown = opened(schedule.design_schedule())
    cases = list(schedules(60))
    functions = (
        f"(given) => {{ const VTM_WORKER = ''; {page.joined('schedule')}; return given.map(one => counted(one)); }}"
    )
    found = shown.page.evaluate(functions, [case for case, _ in cases])
    built = 0
    for (case, grid), here in zip(cases, found, strict=True):
        options = {"dim": case["dim"], "blocks": len(case["blocks"]), "classes": case["classes"]}
        options |= {name: [block[key] for block in case["blocks"]] for name, key in
                    (("chunks", "chunk"), ("gamma", "gamma"), ("r", "r"), ("widths", "width"))}  # fmt: skip
        try:
            ledger = vtm.count(options, case["frames"], *grid)
        except ValueError as refusal:
            reason = "at least as far" if "at least as far" in str(refusal) else "would cut through the chunks"
            assert reason in str(refusal) and reason in here["refused"]
            continue
        built += 1
        assert here["flops"] == ledger.flops
        for block, row in zip(here["blocks"], ledger.blocks, strict=True):
            assert (block["tokensIn"], block["targets"], block["tokensOut"]) == (
                row.tokens_in,
                row.targets,
                row.tokens_out,
            )
            assert (block["chunks"], block["flops"]) == (row.chunks, row.total)
            assert block["scores"] == row.flops["attention"] / row.width_in
    assert 30 <= built < 60


def test_a_time_is_predicted_only_for_blocks_like_those_that_were_measured(opened):
    pace = schedule.measured_pace()
    paper = {"frames": 60, "patches": 256, "dim": 1024, "classes": 10}
    plain = [{"chunk": chunk, "gamma": 1, "r": 1, "width": width} for chunk, width in ((6, 512), (30, 256), (60, 128))]
    longer = [block | {"chunk": chunk} for block, chunk in zip(plain, (8, 32, 64), strict=True)]
    wider = [block | {"width": width} for block, width in zip(plain, (768, 256, 128), strict=True)]
    cases = [
        (paper | {"blocks": plain}, ""),
        (paper | {"frames": 64, "blocks": longer}, "block 3 is unlike the blocks that were measured: it is larger"),
        (paper | {"blocks": wider}, "it has 768 channels"),
        (paper | {"frames": 1, "patches": 4, "blocks": plain}, "it is smaller"),
    ]
    functions = f"(given) => {{ const VTM_WORKER = ''; {page.joined('schedule')};"
    functions += f" return given.map(one => predicted(counted(one), {json.dumps(pace)})); }}"
    found = opened(schedule.design_schedule()).page.evaluate(functions, [case for case, _ in cases])
    flops = sum(row.total for row in vtm.count({"dim": 1024, "gamma": 1}, 60, 16, 16).blocks)
    assert found[0]["whole"] == pytest.approx(3 * pace["fixed"] + pace["pace"] * flops) and found[0]["why"] == ""
    for here, (_, why) in zip(found[1:], cases[1:], strict=True):
        assert np.isnan(here["whole"]) and why in here["why"]


def test_sliders_of_the_schedule_change_the_table(opened):
    explorer = schedule.design_schedule()
    shown = opened(explorer)
    pace = explorer.data["time"]
    block = shown.page.get_by_role("group", name="block 1")
    shown.after(lambda: block.get_by_label("gamma", exact=True).press("Home"))  # gamma 1
    ledger = vtm.count({"dim": 1024, "gamma": (1, 6, 6)}, 60, 16, 16)
    assert shown.rows["block 1"][1:3] == ["15,360", "15,360"] and shown.rows["whole"][2] == f"{ledger.tokens[-1]:,}"
    assert shown.rows["whole"][3] == f"{ledger.flops / 1e9:.3g}"
    expected = 3 * pace["fixed"] + pace["pace"] * sum(row.total for row in ledger.blocks)
    assert float(shown.rows["whole"][-1]) == pytest.approx(expected, rel=0.006)
    shown.after(lambda: block.get_by_label("channels after it").press("ArrowLeft"))
    assert shown.rows["whole"][-1] == "\u2013" and "No time is predicted: block 2 is unlike" in shown.said
    shown.press("blocks", "ArrowLeft", 2)
    assert not shown.page.get_by_role("group", name="block 2").is_visible() and "block 2" not in shown.rows
    shown.click("reset")
    shown.after(lambda: block.get_by_label("chunk length, frames").press("ArrowLeft"))
    assert "5 frames" not in shown.said and "428" in shown.rows["block 3"][1]  # 5 divides 30
    shown.after(lambda: block.get_by_label("chunk length, frames").press("ArrowLeft"))
    assert "This cannot be built: chunks of 30 frames in block 2 would cut through" in shown.said


# -------------------------------------------------------------------------------------------------------- baseline


def test_ratios_are_those_of_the_stored_files(opened):
    shown = opened(baseline.divide_by())
    stored = {row["name"]: row for row in json.loads((data_path("results") / "bench_network.json").read_text())["rows"]}
    choose = lambda label, value: shown.after(lambda: shown.page.get_by_label(label, exact=True).select_option(value))  # noqa: E731
    for way, budget in (("merged queries", "gamma 10, R = |S|"), ("stored scores", "gamma 6, R = 0.8|S|")):
        choose("attention and place of merging", "fused attention, the paper's order")
        choose("budget", budget)
        choose("attention and place of merging", way)
        row = stored[f"learnable, {budget}{baseline.WAYS[way]}"]
        for word, name in (("stored", "no merging, stored scores"), ("fused", "no merging")):
            choose("divided by", word)
            median, low, high = (
                f"{value:.{1 if value >= 10 else 2}f}" for value in row[f"speedup_over_{word}"].values()
            )
            assert f"{median} times as fast as no merging" in shown.said and f"rounds: {low} to {high})" in shown.said
            fewer = stored[name]["flops"] / row["flops"]
            assert f"{fewer:.{1 if fewer >= 10 else 2}f} times fewer FLOPs" in shown.said
            beside = "no merging, stored scores" if word == "stored" else "no merging, fused attention"
            assert shown.rows[beside][0] == f"{stored[name]['seconds']['median']:.3g}"
            assert shown.rows[f"learnable, {budget}"][0] == f"{row['seconds']['median']:.3g}"


def test_what_was_not_measured_is_grey_and_says_why(opened):
    shown = opened(baseline.divide_by(run="machine A, run 1"))
    options = {}
    for label in ("measured on", "divided by", "batch", "merger", "attention and place of merging", "budget"):
        found = shown.page.get_by_label(label, exact=True).locator("option").evaluate_all(
            "all => all.map(one => [one.value, one.disabled, one.textContent])"
        )  # fmt: skip
        options[label] = {value: (grey, words) for value, grey, words in found}
    rows = json.loads((data_path("results") / "bench_network_machine_A_run_1.json").read_text())["rows"]
    names = {row["name"] for row in rows}
    for way, ending in baseline.WAYS.items():
        grey, words = options["attention and place of merging"][way]
        assert grey == (f"learnable, gamma 6, R = |S|{ending}" not in names) == ("not measured with" in words)
    assert options["divided by"]["merged"][0] and "so it is fused attention" in options["divided by"]["merged"][1]
    assert options["batch"]["more"][0] and "every stored run takes one" in options["batch"]["more"][1]
    assert not options["divided by"]["fused"][0] and not options["measured on"]["machine C"][0]
    shown.press("measured on", "ArrowDown")  # machine B, run 1, by keyboard
    assert "memory" not in shown.said and shown.rows["learnable, gamma 6, R = |S|"][3] == "not noted"
