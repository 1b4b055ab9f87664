"""Open JupyterLab on your own copies of the lessons, in work/: `make lab`, or run it with .venv's Python.

It is `python -m vtm_lesson lab`, from any folder. Options go through: make lab ARGS="--no-browser --port=8899".
"""

from __future__ import annotations

from vtm_lesson.teaching import lab

if __name__ == "__main__":
    raise SystemExit(lab.main())
