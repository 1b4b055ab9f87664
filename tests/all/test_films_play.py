"""Do films play? In a real browser: in JupyterLab, in a notebook that it trusts and in one that it does not; in pages.

Playing is read off the video element: its time goes on. What is on the page in the meantime has changed, too.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vtm_lesson import films
from vtm_lesson.study import see_command

ROOT = Path(__file__).resolve().parents[2]
LESSONS = [
    next((ROOT / "notebooks").glob(f"{number}_*.ipynb"))
    for number in ("00", "04", "06", "07")  # those in which motion is the point
]
PAUSED = "video => video.readyState == 4 && video.paused && video.currentTime == 0"


@pytest.fixture
def open_page(browser):
    """A function that opens an address, and returns the page and its first film; motion: what the reader asks for."""
    pages = []

    def opened(address, motion="no-preference"):
        page = browser.new_context(reduced_motion=motion, viewport={"width": 1200, "height": 1000}).new_page()
        pages.append(page)
        if not page.evaluate("""document.createElement("video").canPlayType('video/mp4; codecs="avc1.64001E"')"""):
            pytest.skip("this Chromium cannot play H.264: take the one of the distribution, or Chrome")
        page.goto(address)
        video = page.locator("video").first
        video.wait_for(state="attached", timeout=60_000)
        video.scroll_into_view_if_needed()
        return page, video.element_handle()

    yield opened
    for page in pages:
        page.context.close()


def plays(page, video) -> bool:
    """Whether time goes on in it within half a minute, and whether it then looks different."""
    before = video.screenshot()
    start = video.evaluate("video => video.currentTime")
    page.wait_for_function("([video, start]) => Math.abs(video.currentTime - start) > 0.5", arg=[video, start])
    return video.screenshot() != before


def stands_still(page, video) -> bool:
    """Whether it is loaded, and does not start by itself."""
    page.wait_for_function("video => video.readyState == 4", arg=video)
    page.wait_for_timeout(700)
    return video.evaluate(PAUSED)


@pytest.fixture(scope="module")
def web_page(tmp_path_factory):
    """A function that makes a notebook into a web page, which loads nothing, and returns its address."""
    from nbconvert import HTMLExporter

    def made(notebook):
        html, _ = HTMLExporter(template_name="lab").from_filename(str(notebook))
        path = tmp_path_factory.mktemp("pages") / f"{notebook.stem}.html"
        path.write_text(re.sub(r'<script[^>]* src="http[^>]*></script>', "", html), encoding="utf-8")
        return path.as_uri()

    return made


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_a_lesson_s_film_plays_in_a_web_page(lesson, web_page, open_page):
    address = web_page(lesson)
    assert plays(*open_page(address))


def test_it_waits_where_less_motion_is_wanted_and_its_button_still_plays_it(web_page, open_page):
    page, video = open_page(web_page(LESSONS[0]), motion="reduce")
    assert stands_still(page, video)
    video.focus()
    page.keyboard.press("Space")
    assert plays(page, video)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on lesson 00 twice, once trusted: a function of the copy's name that gives its address."""
    pytest.importorskip("jupyterlab", reason="jupyterlab is missing: pip install jupyterlab")
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("notebooks")
    names = ("HOME", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR")
    env = os.environ | dict.fromkeys(names, str(home))
    stranger = folder / "stranger.ipynb"
    shutil.copy(LESSONS[0], folder / "trusted.ipynb")
    # Trust goes by what a notebook says, so the other one says a word more.
    stranger.write_text(LESSONS[0].read_text("utf-8").replace("# 00 ", "# 00, from a stranger: ", 1), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "jupyter", "trust", folder / "trusted.ipynb"], env=env, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", f"--ServerApp.root_dir={folder}"]
    command += ["--IdentityProvider.token=t", "--ServerApp.port_retries=0"]
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        for _ in range(600):
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, (home / "log").read_text()[-3000:]
            time.sleep(0.1)
        yield lambda name: f"http://127.0.0.1:{port}/lab/workspaces/{name}/tree/{name}.ipynb?token=t"
    finally:
        server.terminate()
        server.wait(30)


def test_a_lesson_s_film_plays_in_jupyterlab_by_itself_where_the_notebook_is_trusted(lab, open_page):
    assert plays(*open_page(lab("trusted")))


def test_and_by_its_button_where_it_is_not(lab, open_page):
    page, video = open_page(lab("stranger"))
    assert stands_still(page, video), "no script runs, so nobody has asked how much motion is wanted"
    video.focus()
    page.keyboard.press("Space")
    assert plays(page, video)


def test_the_page_that_see_writes_plays(tmp_path, open_page):
    film = films.sample("roaming")
    assert see_command.main([str(film), "--frames", "24", "--size", "128", "--out", str(tmp_path)]) == 0
    [page] = tmp_path.glob("*.html")
    assert plays(*open_page(page.as_uri()))


def test_the_picture_that_see_writes_moves(tmp_path, open_page, browser):
    film = films.sample("roaming")
    assert see_command.main([str(film), "--frames", "24", "--size", "128", "--out", str(tmp_path)]) == 0
    [picture] = tmp_path.glob("*.webp")
    page = browser.new_page()
    page.goto(picture.as_uri())
    image = page.locator("img")
    before = image.screenshot()
    for _ in range(50):
        page.wait_for_timeout(200)
        if image.screenshot() != before:
            break
    else:
        pytest.fail("it does not move")
    page.close()
