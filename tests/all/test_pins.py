"""The pins of `make test-all`, which can be looked through only where they are installed."""

import importlib.metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def pinned(name: str) -> list[Requirement]:
    return [Requirement(line) for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]


def test_what_the_tools_need_is_pinned_too():
    more = pinned("requirements-all.txt")
    known = {canonicalize_name(pin.name) for pin in pinned("requirements.txt") + more}
    for pin in more:
        try:
            texts = importlib.metadata.requires(pin.name) or []
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{pin.name} is missing: make test-all installs it")
        needed = {r.name for r in map(Requirement, texts) if r.marker is None or r.marker.evaluate({"extra": ""})}
        assert {canonicalize_name(name) for name in needed} <= known, f"{pin.name} needs {needed}; run make lock"
