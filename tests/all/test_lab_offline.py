"""`make lab` on a machine without a network, and twice: every lab has a port of its own, pages, and kernels."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSIDE = r"""
import json, os, re, subprocess, sys, time, urllib.request
from pathlib import Path

from jupyter_client import BlockingKernelClient

home, labs, seen = Path(sys.argv[1]), [], []
env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")}
env |= {"HOME": str(home), "JUPYTER_RUNTIME_DIR": str(home / "run")}


def asked(address, token, data=None):
    request = urllib.request.Request(address, data, {"Authorization": f"token {token}"})
    for _ in range(300):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.read().decode()
        except OSError as error:
            last = error
            time.sleep(0.1)
    raise last


def lab(number):
    log = home / f"log-{number}"
    with log.open("w") as out:
        command = [sys.executable, "tools/lab.py", f"--folder={home / 'work'}", "--no-browser"]
        labs.append(subprocess.Popen(command, stdout=out, stderr=out, env=env))
    for _ in range(600):
        found = re.search(r"(http://127\.0\.0\.1:(\d+))/lab/tree/00_\S*token=(\w+)", log.read_text())
        if found:
            return found.groups()
        time.sleep(0.1)
    raise SystemExit(log.read_text()[-2000:])


def computed(kernel):
    # what a kernel prints for a line that needs the course and no network
    client = BlockingKernelClient(connection_file=str(home / "run" / f"kernel-{kernel}.json"))
    client.load_connection_file()
    client.start_channels()
    client.wait_for_ready(timeout=120)
    printed = []
    def note(message):
        printed.append(message["content"].get("text", ""))
    client.execute_interactive("import vtm_lesson as vtm; print(vtm.uniform(12, 4).tolist())", 120, output_hook=note)
    client.stop_channels()
    return "".join(printed).strip()


try:
    for number in (1, 2):
        base, port, token = lab(number)
        page = asked(f"{base}/lab?token={token}", token)
        kernel = json.loads(asked(f"{base}/api/kernels", token, b'{"name": "python3"}'))["id"]
        outside = [link for link in re.findall(r'(?:src|href)="(https?://[^"]+)"', page) if "127.0.0.1" not in link]
        seen.append({"port": int(port), "printed": computed(kernel), "outside": outside})
    print(json.dumps(seen))
finally:
    for one in labs:
        one.terminate()
        one.wait(30)
"""


def without_network():
    """The start of a command that runs without a network but for this machine's own addresses; None if none can."""
    tools = [shutil.which(name) for name in ("unshare", "ip")]
    for options in (["-n"], ["-rn"]):
        start = ["unshare", *options, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
        if all(tools) and subprocess.run([*start, "true"], capture_output=True).returncode == 0:
            return start
    return None


def test_two_labs_without_a_network(tmp_path):
    start = without_network()
    if start is None:
        pytest.skip("nothing here can take the network away")
    inside = tmp_path / "inside.py"
    inside.write_text(INSIDE)
    reached = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    refused = subprocess.run([*start, sys.executable, "-c", reached], capture_output=True, text=True)
    assert "unreachable" in refused.stderr, "there is no network at all"
    done = subprocess.run(
        [*start, sys.executable, str(inside), str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = json.loads(done.stdout.splitlines()[-1])
    assert first["port"] != second["port"]
    for one in (first, second):
        assert one["printed"] == "[0, 4, 8]" and one["outside"] == []
