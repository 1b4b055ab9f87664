"""Every case that failed once, tried again. With VTM_FUZZ_CASE: the one in that file."""

import os
from pathlib import Path

import fuzzing
import pytest

ONE = os.environ.get("VTM_FUZZ_CASE")
FOUND = [fuzzing.Stored.read(Path(ONE))] if ONE else fuzzing.all_in(fuzzing.STORED)


@pytest.mark.parametrize("case", fuzzing.as_tests([case for case in FOUND if "interpreted" not in case.check]))
def test_a_case_that_failed_once(case):
    case.run()
