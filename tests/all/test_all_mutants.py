"""The mutation audit, whole: each lesson's own solution, changed in one place at a time, is refused by its check."""

import pytest

import mutation_audit as audit

NAMED = 0.8  # of the refused answers


@pytest.fixture(scope="module")
def outcomes():
    return audit.audit()


def test_every_mutant_is_refused_or_known_to_be_equal(outcomes):
    left = [outcome for outcome in outcomes if outcome.kind == "survivor"]
    assert not left, [(outcome.mutant.exercise, outcome.mutant.line, outcome.words) for outcome in left]


def test_every_row_of_the_table_of_equal_ones_is_needed(outcomes):
    found = [outcome for outcome in outcomes if outcome.kind == "equal" and outcome.words != audit.ANOTHER]
    equal = {(outcome.mutant.exercise, outcome.mutant.line) for outcome in found}
    assert sorted(equal) == sorted((name, line) for name, line, _ in audit.EQUAL)


def test_most_of_the_refused_are_named(outcomes):
    kinds = [outcome.kind for outcome in outcomes]
    assert kinds.count("named") >= NAMED * (kinds.count("named") + kinds.count("refused"))


def test_the_readme_says_the_figures(outcomes):
    kinds = [outcome.kind for outcome in outcomes]
    named, refused = kinds.count("named"), kinds.count("refused")
    page = " ".join((audit.ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"The {len(audit.NAMES)} exercises are checked" in page
    assert f"Of {len(kinds) - kinds.count('equal'):,} wrong answers made from the right ones" in page
    assert f"name the mistake in {named / (named + refused):.0%} of those that give a result" in page
