"""What a run of the fuzz suite did, for `tools/fuzz.py`."""

import json
import os
from pathlib import Path

import fuzzing


def pytest_sessionfinish(session):
    counts = os.environ.get("VTM_FUZZ_COUNTS")
    if counts:
        found = {"cases": fuzzing.LOOKED_AT.total(), "known": fuzzing.KNOWN.total()}
        Path(counts).write_text(json.dumps(found), encoding="utf-8")
