"""RESULTS.md says what data/results hold, and what they do not say is seen."""

import json
import re
import shutil

import pytest

import results_page

PAGE = results_page.PAGE.read_text(encoding="utf-8")
README = (results_page.ROOT / "README.md").read_text(encoding="utf-8")
RATIO = re.compile(r"\bx\d|\d of the (?:time|memory)")
STORED = re.compile(r"\bstor\w+ (?:\w+ )?(?:scores|attention)")


def changed(text: str, name: str) -> str:
    """The page with one digit of one table changed: the last one before its machine is named."""
    table = text.split(f"<!-- table {name} -->")[1].split("<!-- end -->")[0]
    measured = table.split("Measured on")[0]
    place = list(re.finditer(r"\d", measured.rpartition("|")[0]))[-1].start()
    other = str((int(table[place]) + 1) % 10)
    return text.replace(table, table[:place] + other + table[place + 1 :])


def test_every_table_is_that_of_the_stored_results():
    assert results_page.main(["--check"]) == 0, "run python tools/results_page.py"


@pytest.mark.parametrize("name", results_page.TABLES)
def test_a_changed_digit_is_seen_and_mended(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results_page, "PAGE", tmp_path / "RESULTS.md")
    wrong = changed(PAGE, name)
    assert sum(a != b for a, b in zip(wrong, PAGE, strict=True)) == 1
    results_page.PAGE.write_text(wrong, encoding="utf-8")
    assert results_page.main(["--check"]) == 1
    assert "RESULTS.md and data/results disagree: run python tools/results_page.py" in capsys.readouterr().err
    assert results_page.PAGE.read_text(encoding="utf-8") == wrong, "--check only looks"
    assert results_page.main([]) == 0
    assert results_page.PAGE.read_text(encoding="utf-8") == PAGE


def test_every_stored_file_has_a_table_that_names_its_machine_date_and_command():
    stored = sorted((results_page.ROOT / "data" / "results").glob("*.json"))
    assert len(stored) >= 7
    for path in stored:
        report = json.loads(path.read_text(encoding="utf-8"))
        machine = report["machine"]
        told = f"Measured on {machine['processor']} with {machine['threads']} threads"
        assert re.search(rf"{told}, .* on {machine['date']}, by `{re.escape(report['command'])}`\.", PAGE), path.name


def test_the_network_is_quoted_against_fused_attention_first():
    network = PAGE.split("<!-- table network -->")[1].split("<!-- end -->")[0]
    head, *_ = (line for line in network.splitlines() if line.startswith("|"))
    assert 0 < head.index("against fused") < head.index("against stored")
    said = re.search(r"on .+ with \d threads: (x[\d.]+).*with fused attention; (x[\d.]+).*with stored scores", network)
    (row,) = [line for line in network.splitlines() if line.startswith("| learnable, gamma 6, R = \\|S\\| ")]
    assert re.findall(r"x[\d.]+", row) == list(said.groups())


def test_all_runs_stand_side_by_side_fused_attention_and_flops_first():
    table = PAGE.split("<!-- table machines -->")[1].split("<!-- end -->")[0]
    head, _, *lines = (
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in re.findall(r"^\|.*", table, re.M)
    )
    runs = results_page.network_runs()
    assert len(runs) >= 3 and head == ["", "FLOPs allow", *runs]
    names = [line[0] for line in lines]
    fused, stored = names.index("**against fused attention**"), names.index("**against stored scores**")
    assert 0 < fused < stored
    for start, baseline in ((fused, "fused"), (stored, "stored")):
        for version in results_page.VERSIONS:
            name = version.replace("|", "\\|")
            line = lines[names.index(name, start)]
            ratios = results_page.speeds(runs, version, baseline).values()
            assert [cell.split(" ")[0] for cell in line[2:]] == [f"x{ratio:.2f}" for ratio in ratios]
    assert lines[names.index(results_page.HEADLINE.replace("|", "\\|"))][1] == "x5.60"  # 727.8 / 130.1 GFLOPs


def nameless(text: str) -> list[str]:
    """Paragraphs, list items and rows of tables that quote a ratio to stored scores, and no machine."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    parts = [" ".join(part.split()) for part in re.split(r"\n\s*\n|\n(?=[-|#])", prose)]
    processors = {run["machine"]["processor"] for run in results_page.network_runs().values()}
    machine = re.compile("|".join([r"\bmachine [A-Z]\b", "both machines", *map(re.escape, processors)]))
    return [part for part in parts if RATIO.search(part) and STORED.search(part) and not machine.search(part)]


def test_a_ratio_to_stored_scores_in_the_readme_names_its_machine():
    assert nameless(README) == []
    for promise in (
        "- Beside a baseline that stores its scores, the first of these was x6.49.",
        "| gamma 10, beside stored scores | x10.43 |",
        "It takes 0.50 of the time of one that stores all scores.",
    ):
        assert nameless(f"{README}\n\n{promise}\n\nMachine A is an AMD EPYC.\n") == [promise]


def unquoted(text: str) -> list[str]:
    """The spans over all stored runs that a text does not quote: to fused attention, to stored scores by machine."""
    runs = results_page.network_runs()
    spans = [
        results_page.span(results_page.speeds(runs, version, "fused").values())
        for version in ("learnable, gamma 6, R = |S|", results_page.HEADLINE)
    ]
    spans.append(results_page.by_machine(results_page.speeds(runs, results_page.HEADLINE, "stored")))
    return [span for span in spans if span not in " ".join(text.split())]


def test_the_readme_quotes_the_span_of_all_stored_runs(tmp_path, monkeypatch):
    assert unquoted(README) == []
    shutil.copytree(results_page.RESULTS, tmp_path, dirs_exist_ok=True)
    third = json.loads((tmp_path / "bench_network.json").read_text(encoding="utf-8"))
    for row in third["rows"]:
        for baseline in ("fused", "stored"):
            row[f"speedup_over_{baseline}"] = dict.fromkeys(("median", "low", "high"), 2.0)
    (tmp_path / "bench_network_machine_D_run_1.json").write_text(json.dumps(third), encoding="utf-8")
    monkeypatch.setattr(results_page, "RESULTS", tmp_path)
    fused_6, fused_10, stored = unquoted(README)
    assert fused_6.startswith("x2.00 to ") and fused_10.startswith("x2.00 to ")
    assert ", x2.00 on machine D" in stored
    assert results_page.main(["--check"]) == 1, "RESULTS.md would need a column for the third machine"


def test_a_page_without_a_place_for_a_table_is_refused():
    begin, end = "<!-- table growth -->", "<!-- end -->"
    inner = PAGE.split(begin)[1].split(end)[0]
    for damaged in (PAGE.replace(begin, ""), PAGE.replace(begin + inner + end, begin + inner)):
        with pytest.raises(SystemExit, match=r"RESULTS\.md has places for .*; it needs one for each of .*'growth'"):
            results_page.fill(damaged)
