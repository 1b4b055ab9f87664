"""What a learner sees: JupyterLab of this checkout, opened in a real browser."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LESSON = ROOT / "notebooks" / "00_start_here.ipynb"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is found: on Debian, apt-get install chromium")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """JupyterLab's address of lesson 00, token included, while the server runs as `make lab` starts it."""
    home = tmp_path_factory.mktemp("home")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {"HOME": str(home), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}
    command = [sys.executable, ROOT / "tools" / "lab.py", "--no-browser", f"--port={port}", "--port-retries=0"]
    command.append(f"--FileCheckpoints.checkpoint_dir={home}")  # JupyterLab keeps a copy of what it opens
    log = home / "log"
    with log.open("w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, env=env, cwd=ROOT)
    try:
        yield wait_for_address(server, port, log)
    finally:
        server.terminate()
        server.wait(30)


def wait_for_address(server: subprocess.Popen, port: int, log: Path) -> str:
    for _ in range(600):
        found = re.search(rf"http://127\.0\.0\.1:{port}/lab/tree/notebooks\S*token=\w+", log.read_text())
        if found:  # it is printed a moment before the server listens
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return found.group()
        assert server.poll() is None, log.read_text()[-3000:]
        time.sleep(0.1)
    pytest.fail(f"JupyterLab does not answer within a minute: {log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: make test-all installs it")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if root else [])
        yield started
        started.close()


def test_lesson_00_opens_with_its_title(browser, address):
    before = LESSON.read_bytes()
    first = "".join(json.loads(before)["cells"][0]["source"])
    title = re.search(r"^# (.+)$", first, re.MULTILINE).group(1)
    page = browser.new_page()
    page.goto(address)
    heading = page.locator(".jp-Notebook .jp-RenderedMarkdown h1").first
    heading.wait_for(timeout=60_000)
    assert heading.inner_text().rstrip("¶") == title
    page.close()
    assert LESSON.read_bytes() == before, "opening a lesson changes nothing"
