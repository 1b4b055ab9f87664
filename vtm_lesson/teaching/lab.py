"""Open JupyterLab on the learner's own copies of the lessons: on this computer only, and with its token.

What it does not know itself is handed to JupyterLab, and comes last, so that it wins: --ip=0.0.0.0
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from .. import paths
from . import work

# nbgrader's buttons are for teachers, and JupyterLab's question about news is for whoever has a network.
SETTINGS = Path(__file__).resolve().parent / "jupyter"


def first_lesson(folder: Path, root: Path) -> str:
    """JupyterLab's address of lesson 00 in this folder, or of the folder itself while there is none."""
    names = work.places(paths.notebooks_path()).values()
    found = next((folder / name for name in names if name.startswith("00_") and (folder / name).is_file()), folder)
    place = found.relative_to(root).as_posix()
    return "/lab" if place == "." else f"/lab/tree/{quote(place)}"


def has_screen(env: dict[str, str], platform: str) -> bool:
    """Whether a browser could show itself. Without one JupyterLab prints its address all the same."""
    if platform in ("win32", "darwin"):
        return not env.get("SSH_CONNECTION")
    return any(env.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER"))


def options(folder: Path, env: dict[str, str], platform: str, root_user: bool, extra: list[str]) -> list[str]:
    """JupyterLab's options: loopback, token, the learner's folder; then the caller's own."""
    root = work.root_of(folder)
    chosen = [f"--ServerApp.root_dir={root}", f"--LabApp.default_url={first_lesson(folder, root)}"]
    if not any(arg.startswith(("--ip", "--ServerApp.ip")) for arg in extra):
        chosen.append("--ServerApp.ip=127.0.0.1")
    if root_user:
        chosen.append("--allow-root")  # JupyterLab refuses root unless told; in a container there is only root
    if not has_screen(env, platform):
        chosen.append("--no-browser")
    return chosen + [arg for arg in extra if arg not in chosen]


def writable_home(env: dict[str, str]) -> dict[str, str]:
    """Where Jupyter may keep its files if not in the home folder: in .venv, or else in a temporary folder."""
    home = env.get("HOME") or env.get("USERPROFILE") or ""
    if home and os.access(home, os.W_OK):
        return {}
    base = Path(sys.prefix) / "home"
    if not os.access(sys.prefix, os.W_OK):
        base = Path(tempfile.mkdtemp(prefix="lessons-"))
    folders = {
        "HOME": base,
        "JUPYTER_CONFIG_DIR": base / "config",
        "JUPYTER_DATA_DIR": base / "data",
        "JUPYTER_RUNTIME_DIR": base / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": base / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": base / "workspaces",
        "IPYTHONDIR": base / "ipython",
        "MPLCONFIGDIR": base / "matplotlib",
    }
    for place in folders.values():
        place.mkdir(parents=True, exist_ok=True)
    return {name: str(place) for name, place in folders.items()}


def environment(folder: Path, env: dict[str, str]) -> dict[str, str]:
    """What JupyterLab and its kernels see: this Python first, the course's settings, and the learner's folder."""
    env = env | writable_home(env)
    before = {"PATH": Path(sys.executable).parent, "JUPYTER_CONFIG_PATH": SETTINGS}
    # Terminals, `!pip` and kernels inside JupyterLab are this environment's, whatever else the user has installed.
    for name, place in before.items():
        rest = env.get(name, os.defpath if name == "PATH" else "")
        env[name] = os.pathsep.join(filter(None, [str(place), rest]))
    if sys.prefix != sys.base_prefix:
        env["VIRTUAL_ENV"] = sys.prefix
    # Threads of torch that have to wait would otherwise keep a core busy, and on a busy machine keep each other from
    # working: lesson 13 took seven times as long beside one other program.
    env.setdefault("OMP_WAIT_POLICY", "passive")
    return env | {"JUPYTER_PREFER_ENV_PATH": "1", paths.WORK: str(folder)}


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python -m vtm_lesson lab`."""
    parser = argparse.ArgumentParser(
        prog="python -m vtm_lesson lab", description=(__doc__ or "").split("\n\n")[0], allow_abbrev=False
    )
    where = paths.work_path()
    parser.add_argument("--folder", type=Path, default=where, help=f"where your copies of the lessons are ({where})")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument("--port", type=int, help="JupyterLab's port (the first free one from 8888)")
    args, extra = parser.parse_known_args(argv)
    extra = ["--no-browser"] * args.no_browser + [f"--port={args.port}"] * (args.port is not None) + extra
    folder = args.folder.expanduser().resolve()
    try:
        work.update(folder)
    except ValueError as error:
        return _refused(str(error))
    except OSError as error:
        what = f"{error.strerror} ({error.filename})" if error.strerror and error.filename else f"{error}"
        return _refused(f"{folder} was not brought up to date: {what}. Your work is as it was; --folder names another.")
    missing = [name for name in ("jupyterlab", "ipykernel") if importlib.util.find_spec(name) is None]
    if missing:
        names = " ".join(missing)
        return _refused(f"this Python lacks {names}: pip install {names}. The lessons are in {folder}.")
    root_user = hasattr(os, "geteuid") and os.geteuid() == 0
    env = environment(folder, dict(os.environ))
    command = [sys.executable, "-m", "jupyterlab", *options(folder, env, sys.platform, root_user, extra)]
    if "--no-browser" in command:
        print("No browser is opened: open the address with a token printed below. Ctrl-C stops it.", flush=True)
    if os.name == "nt":
        return subprocess.call(command, env=env)
    sys.stdout.flush()
    os.execve(command[0], command, env)


def _refused(why: str) -> int:
    print(f"lab: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
