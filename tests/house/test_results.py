"""RESULTS.md says what data/results hold, and what they do not say is seen."""

import json
import re

import pytest

import results_page

PAGE = results_page.PAGE.read_text(encoding="utf-8")


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


def test_a_page_without_a_place_for_a_table_is_refused():
    begin, end = "<!-- table growth -->", "<!-- end -->"
    inner = PAGE.split(begin)[1].split(end)[0]
    for damaged in (PAGE.replace(begin, ""), PAGE.replace(begin + inner + end, begin + inner)):
        with pytest.raises(SystemExit, match=r"RESULTS\.md has places for .*; it needs one for each of .*'growth'"):
            results_page.fill(damaged)
