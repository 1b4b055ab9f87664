"""The README: short, code and picture on its first screen, every block of code runs, every number is a stored one."""

import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import scipy.stats
import yaml

import results_page
from vtm_lesson.study import labelled

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
FIRST_SCREEN = 25  # lines
TASKS = ("Merge my tensor", "Merging in my ViT", "My idea in the paper's network", "A film to tokens", "Train it")
# Runs before any block of the README: whoever asks the network for something is told so, and fails.
NO_NETWORK = """
import socket

def refuse(self, address):
    if self.family != getattr(socket, "AF_UNIX", None):
        raise OSError(f"the README's code asked the network for {address}")

socket.socket.connect = socket.socket.connect_ex = refuse
"""


def section(title: str) -> str:
    """What stands under a heading of the README, up to the next heading of that level."""
    return re.split(r"^## ", TEXT.split(f"\n## {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def blocks(text: str) -> list[str]:
    return [code for language, code in FENCE.findall(text) if language == "python"]


def run(code: str, folder: Path) -> str:
    """The output of the code, in a fresh process in an empty folder, without a network."""
    (folder / "sitecustomize.py").write_text(NO_NETWORK)
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", str(ROOT))]))
    env = os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "VTM_LESSON_CACHE": str(folder / "cache")}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{code}\n{done.stderr}"
    return done.stdout


def test_code_picture_and_both_commands_are_on_the_first_screen():
    screen = "\n".join(TEXT.splitlines()[:FIRST_SCREEN])
    assert blocks(screen) and re.search(r"^!\[.{20,}\]\(data/pictures/\w+\.webp\)$", screen, flags=re.MULTILINE)
    assert "\n    make lab" in screen and "\n    make test" in screen


def test_the_readme_has_at_most_900_words():
    """Prose and tables; a bar of a table or a mark of a list is no word."""
    prose = [line for line in FENCE.sub("", TEXT).splitlines() if not line.startswith("    ")]
    words = [word for line in prose for word in line.split() if re.search(r"\w", word)]
    assert len(words) <= 900


def test_the_code_of_the_first_screen_draws_its_picture(tmp_path):
    (code,) = blocks(TEXT.split("\n## ")[0])
    run(code, tmp_path)
    assert (tmp_path / "merged.png").read_bytes().startswith(b"\x89PNG")


def test_there_are_five_tasks_of_at_most_five_lines():
    tasks = section("Five tasks, five lines each")
    names = re.findall(r"^(\w.*):$", FENCE.sub("", tasks), flags=re.MULTILINE)
    assert tuple(names) == TASKS and len(blocks(tasks)) == len(TASKS)
    for name, code in zip(names, blocks(tasks), strict=True):
        lines = [line for line in code.splitlines() if line.strip()]
        assert len(lines) <= 5, f"{name}: {len(lines)} lines"
        assert "import vtm_lesson as vtm" in lines and "from vtm_lesson" not in code, f"{name}: one door is enough"


@pytest.mark.parametrize("number", range(len(TASKS)), ids=TASKS)
def test_a_task_runs_as_it_is_printed(number, tmp_path):
    code = blocks(section("Five tasks, five lines each"))[number]
    said = run(code, tmp_path)
    assert bool(said) == ("print(" in code)
    if TASKS[number] == "Train it":
        assert re.fullmatch(r"\d{1,3}% right\s*", said)


def test_the_network_is_refused_while_the_blocks_run(tmp_path):
    with pytest.raises(AssertionError, match="asked the network"):
        run("import socket; socket.create_connection(('127.0.0.1', 9))", tmp_path)


def stored(name: str) -> dict:
    return json.loads((ROOT / "data" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def records(evidence: str, strategy: str, place: str = "") -> list[dict]:
    """What the stored study says about one strategy, one record a seed."""
    wanted = {"evidence": evidence, "strategy": strategy, "place": place}
    found = [row for row in stored("compare")["results"] if wanted.items() <= row.items()]
    assert {row["gamma"] for row in found} in ({6}, {1}), "one token budget, or no merging"
    return found


def accuracy(*wanted: str) -> str:
    """Percent right, mean and 95% interval (Student's t) over the seeds."""
    seeds = [row["accuracy"] for row in records(*wanted)]
    half = scipy.stats.t.ppf(0.975, len(seeds) - 1) * statistics.stdev(seeds) / len(seeds) ** 0.5
    return f"{100 * statistics.fmean(seeds):.1f} ± {100 * half:.1f}"


def quoted(version: str, baseline: str, where: str = "machine") -> list[str]:
    """The smallest and the largest ratio of all stored runs, or of those of one machine, as the README quotes them."""
    found = results_page.speeds(results_page.network_runs(), version, baseline)
    return results_page.span(ratio for run, ratio in found.items() if run.startswith(where)).split(" to ")


def test_the_headline_numbers_are_the_stored_ones():
    headline = section("Headline results in ten lines")
    assert len([line for line in headline.splitlines() if line.strip()]) <= 10 and "(RESULTS.md)" in headline
    network, operator, runs = stored("bench_network"), stored("bench_operator"), results_page.network_runs()
    rows = {row["name"]: row for row in network["rows"]}
    plain, merged = "learnable, gamma 6, R = |S|", "learnable, gamma 6, R = |S|, merged scores"
    expected = []
    in_order = (plain, merged, results_page.HEADLINE, *results_page.QUERIES)
    for version in in_order:
        expected += [*quoted(version, "fused"), f"x{results_page.allowed(runs, version):.2f}"]
    expected += quoted(results_page.HALF[-1], "fused")
    queries, paper = (
        {row["seed"]: row["accuracy"] for row in stored(name)["results"] if wanted.items() <= row.items()}
        for name, wanted in (
            ("compare_queries", {"evidence": "c", "strategy": "learnable", "place": "queries"}),
            ("compare", {"evidence": "c", "strategy": "learnable", "place": "after_attention"}),
        )
    )
    gaps = [100 * (queries[seed] - paper[seed]) for seed in queries]
    half = scipy.stats.t.ppf(0.975, len(gaps) - 1) * statistics.stdev(gaps) / len(gaps) ** 0.5
    assert abs(statistics.fmean(gaps)) < half and "not told apart from the paper's order" in headline
    expected += [f"{statistics.fmean(gaps):.1f} ± {half:.1f}"]
    for machine in dict.fromkeys(run.split(",")[0] for run in runs):
        expected += quoted(results_page.HEADLINE, "stored", machine)
    assert f"Memory on {results_page.NEWEST}, in the order above" in headline
    expected += [f"{rows[version]['memory_of_fused']:.2f}" for version in in_order]
    expected += [f"{operator['geometric_mean']:.2f}"]
    expected += [accuracy("a", name) for name in ("learnable", "uniform")]
    expected += [accuracy("c", name, "after_attention") for name in ("learnable", "uniform")] + [accuracy("c", "none")]
    masks = stored("real_masks")
    assert len(masks["films"]) == 10 and "ten DAVIS sequences" in headline
    expected += [
        *(f"{masks['recall'][n][0]:.2f}" for n in ("relative", "motion")),
        f"{1 / masks['settings']['gamma']:.2f}",
    ]
    for place in ("before_attention", "after_attention"):
        seeds = [{r["seed"]: r["accuracy"] for r in records("c", name, place)} for name in ("relative", "learnable")]
        gaps = [seeds[0][seed] - seeds[1][seed] for seed in seeds[0]]
        half = scipy.stats.t.ppf(0.975, len(gaps) - 1) * statistics.stdev(gaps) / len(gaps) ** 0.5
        assert abs(statistics.fmean(gaps)) < half and "not in the paper, was level with learned saliency" in headline
    fair = [r for r in labelled.load("real_yoga")["rows"] if (r["evidence"], r["split"]) == ("c", "time")]
    rows = {r["row"]: r["minus_none"] for r in fair if r["row"] != "none"}
    mean, low, high = (100 * value for value in rows["decoder"])
    assert low > 0 and f"saliency was {mean:.0f} points above no merging ({low:.0f} to {high:.0f})" in headline
    mean, low, high = (100 * value for value in rows["learnable"])
    assert low < 0 < high and f"learnable VTM {mean:.0f} ({low:.0f} to {high:.0f})" in headline
    assert re.findall(r"x?\d+\.\d+(?: ± \d+\.\d+)?", headline) == expected
    (cost,) = records("cost", "learnable", "after_attention")
    assert round(cost["flops_ratio"]) == 5 and "five times the FLOPs" in headline
    assert len(operator["rows"]) == 8 and "eight sizes" in headline
    machine = network["machine"]
    assert f"{machine['processor']}, {machine['threads']} threads" in headline
    assert {machine["device"], operator["machine"]["device"]} == {"cpu"} and "on CUDA yet" in headline


def test_the_workflow_runs_what_the_readme_says():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    ran = "\n".join(step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"])
    for command in re.findall(r"^    (make (?:lab|test)|py .*|\.venv\\.*)", TEXT, flags=re.MULTILINE):
        assert command.strip() in ran, f"the README says {command!r}, and no machine tries it"
    matrices = [job.get("strategy", {}).get("matrix", {}) for job in workflow["jobs"].values()]
    systems = [job["runs-on"] for job in workflow["jobs"].values()] + [
        name for m in matrices for name in m.get("os", [])
    ]
    assert {name.split("-")[0] for name in systems if "$" not in name} == {"ubuntu", "macos", "windows"}
