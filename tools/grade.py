"""Mark the exercises in work/solutions.py, where editors are at home: `make grade`, or run it with .venv's Python.

It is `python -m vtm_lesson grade`, from any folder. Names go through: make grade ARGS="02 saliency".
"""

from __future__ import annotations

from vtm_lesson.teaching import grading

if __name__ == "__main__":
    raise SystemExit(grading.main())
