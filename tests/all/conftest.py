"""The tests of `make test-all`. With VTM_TEST_ALL=1, as .ci/run sets it, what is skipped for a missing tool has failed.

At home such a test is skipped, and says in one sentence what it lacks.
"""

import os
import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


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


@pytest.fixture(scope="module")  # not the session: a second playwright cannot be started beside a first
def browser():
    """Chromium, without a window."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is found: on Debian, apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: make test-all installs it")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if root else [])
        yield started
        started.close()
