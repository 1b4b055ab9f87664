"""The tests of `make test-all`. With VTM_TEST_ALL=1, as .ci/run sets it, what is skipped for a missing tool has failed.

At home such a test is skipped, and says in one sentence what it lacks.
"""

import os

import pytest


def _failed_if_skipped(report):
    if os.environ.get("VTM_TEST_ALL") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        _, _, reason = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"with VTM_TEST_ALL=1 nothing is skipped: {reason.removeprefix('Skipped: ')}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return _failed_if_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return _failed_if_skipped((yield))
