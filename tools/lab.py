"""Open JupyterLab on lesson 00, on this computer only and with its token: `make lab`, or run it with .venv's Python.

Options are JupyterLab's own and come last, so that they win: make lab ARGS="--no-browser --port=8899".
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def first_lesson(root: Path = ROOT) -> str:
    """JupyterLab's address of lesson 00, or of the lessons' folder while there is none."""
    found = sorted(p for p in (root / "notebooks").glob("00_*.ipynb") if "." not in p.stem)  # not .new, not .mine
    return "/lab/tree/notebooks" + (f"/{found[0].name}" if found else "")


def has_screen(env: dict[str, str], platform: str) -> bool:
    """Whether a browser could show itself. Without one JupyterLab prints its address all the same."""
    if platform in ("win32", "darwin"):
        return not env.get("SSH_CONNECTION")
    return any(env.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER"))


def options(env: dict[str, str], platform: str, root_user: bool, extra: list[str]) -> list[str]:
    """JupyterLab's options: loopback, token, the project as its folder; then the caller's own."""
    chosen = [f"--ServerApp.root_dir={ROOT}", f"--LabApp.default_url={first_lesson()}"]
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
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    return {name: str(folder) for name, folder in folders.items()}


def main() -> None:
    env = dict(os.environ)
    env |= writable_home(env)
    # Terminals, `!pip` and kernels inside JupyterLab are this environment's, whatever else the user has installed.
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    env["VIRTUAL_ENV"] = sys.prefix
    env["JUPYTER_PREFER_ENV_PATH"] = "1"
    root_user = hasattr(os, "geteuid") and os.geteuid() == 0
    command = [sys.executable, "-m", "jupyterlab", *options(env, sys.platform, root_user, sys.argv[1:])]
    if "--no-browser" in command:
        print("No browser is opened: open the address with a token printed below. Ctrl-C stops it.", flush=True)
    if os.name == "nt":
        import subprocess

        sys.exit(subprocess.call(command, env=env))
    os.execve(command[0], command, env)


if __name__ == "__main__":
    main()
