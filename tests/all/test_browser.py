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
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is found: on Debian, apt-get install chromium")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab's address of lesson 00, token included, and the learner's folder, while it runs as in `make lab`."""
    home = tmp_path_factory.mktemp("home")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {"HOME": str(home), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}
    command = [sys.executable, ROOT / "tools" / "lab.py", "--no-browser", f"--port={port}", "--port-retries=0"]
    command += ["--folder", home / "work"]
    log = home / "log"
    with log.open("w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, env=env, cwd=ROOT)
    try:
        yield wait_for_address(server, port, log), home / "work"
    finally:
        server.terminate()
        server.wait(30)


def wait_for_address(server: subprocess.Popen, port: int, log: Path) -> str:
    for _ in range(600):
        found = re.search(rf"http://127\.0\.0\.1:{port}/lab/tree/00_\S*token=\w+", log.read_text())
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


def test_lesson_00_opens_to_work_in_and_the_solved_one_is_a_click_away(browser, lab):
    address, folder = lab
    files = {path: path.read_bytes() for path in folder.rglob("*.ipynb")}
    first = "".join(json.loads(files[folder / "00_start_here.ipynb"])["cells"][0]["source"])
    title = re.search(r"^# (.+)$", first, re.MULTILINE).group(1)
    page = browser.new_page()
    page.goto(address)
    heading = page.locator(".jp-Notebook .jp-RenderedMarkdown h1").first
    heading.wait_for(timeout=60_000)
    assert heading.inner_text().rstrip("¶") == title
    page.get_by_role("link", name="solved lesson").first.click()
    tabs = page.locator("#jp-main-dock-panel .lm-TabBar-tabLabel")
    tabs.nth(1).wait_for(timeout=60_000)
    assert tabs.all_inner_texts() == ["00_start_here.ipynb", "00_solved_start_here.ipynb"]
    page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook-toolbarCellType").wait_for(timeout=60_000)
    assert page.get_by_text("Validate", exact=True).count() == page.get_by_text("Create Assignment").count() == 0
    page.close()
    assert {path: path.read_bytes() for path in files} == files, "opening a lesson changes nothing"


def cell_with(page, words: str):
    """The cell whose input has these words, scrolled to; JupyterLab draws cells as they come near."""
    cell = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell", has_text=words).first
    cell.scroll_into_view_if_needed(timeout=60_000)
    return cell


def run(page, cell) -> str:
    """Run one cell and wait for it; what it printed."""
    prompt = cell.locator(".jp-InputPrompt")
    before = prompt.inner_text()
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    for _ in range(600):
        now = prompt.inner_text()
        if now != before and re.search(r"\[\d+\]", now):
            return cell.locator(".jp-OutputArea").inner_text()
        time.sleep(0.1)
    pytest.fail(f"the cell does not end within a minute: {now}")


def write(page, cell, code: str) -> None:
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(code)


def test_a_learner_runs_lesson_00_explores_answers_reads_a_hint_and_finds_it_all_again(browser, lab):
    address, folder = lab
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(address)
    page.locator(".jp-Notebook .jp-RenderedMarkdown h1").first.wait_for(timeout=60_000)
    page.get_by_text("Run", exact=True).first.click()
    page.get_by_text("Run All Cells", exact=True).click()

    explorer = page.locator(".vtm-explorer")
    explorer.first.wait_for(timeout=300_000, state="attached")
    explorer.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.vtm-explorer').dataset.answers > 0", timeout=60_000)
    picture = "document.querySelectorAll('.vtm-explorer canvas')[1].toDataURL()"
    before, answers = page.evaluate(picture), int(explorer.get_attribute("data-answers"))
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=300_000)  # cells that end take the focus
    gamma = explorer.get_by_label("gamma", exact=True)
    gamma.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("n => document.querySelector('.vtm-explorer').dataset.answers > n", arg=answers)
    assert page.evaluate(picture) != before, "the picture follows the slider"

    stub, check = cell_with(page, "def token_position()"), cell_with(page, "checks.token_position(token_position)")
    for answer, mark in (("return 7, 5, 3997", False), ("return 5, 7, 3997", True)):
        write(page, stub, f"def token_position():\n    {answer}")
        run(page, stub)
        assert run(page, check).lstrip().startswith("\N{CHECK MARK}") is mark
    hint = page.locator("details", has_text="Hint 1").first
    hint.locator("summary").click()
    assert len(hint.locator("p").first.inner_text()) > 20

    page.keyboard.press("Control+s")
    lesson = folder / "00_start_here.ipynb"
    for _ in range(100):
        if "return 5, 7, 3997" in lesson.read_text(encoding="utf-8"):
            break
        time.sleep(0.1)
    page.reload()
    cell_with(page, "def token_position()").get_by_text("return 5, 7, 3997").wait_for(timeout=60_000)
    assert wrong == []
    page.close()
