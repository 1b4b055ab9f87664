"""Where the films, weights, stored results and notebooks of the course lie, in the repository or inside a wheel.

And where a learner's own copies do.
"""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
WORK = "VTM_WORK"  # the lab tells its kernels with this where the learner's folder is


def data_path(name: str = "") -> Path:
    """Find a file or folder of the course's data/, from any working folder.

    In a checkout data/ stands at its top; an installed wheel carries it inside the package.

    Parameters
    ----------
    name : str, optional
        The place inside data/, with forward slashes. Default: data/ itself.

    Returns
    -------
    Path
        Absolute.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> vtm.data_path("films/square.mp4").name
    'square.mp4'
    """
    return _found("data", name)


def notebooks_path(name: str = "") -> Path:
    """A file or folder of notebooks/, found as `data_path` finds data."""
    return _found("notebooks", name)


def work_path() -> Path:
    """The learner's own folder: the one that the lab was opened with, else work/ in a checkout, else ./vtm-lessons.

    It need not be there yet.

    Examples
    --------
    >>> from vtm_lesson import paths
    >>> paths.work_path().is_absolute()
    True
    """
    given = os.environ.get(WORK)
    return Path(given).absolute() if given else PACKAGE.parent / "work" if is_checkout() else Path.cwd() / "vtm-lessons"


def is_checkout() -> bool:
    """Whether the package runs from the repository, where results may be stored beside the stored ones."""
    return not (PACKAGE / "data").is_dir()


def _found(kind: str, name: str) -> Path:
    path = (PACKAGE.parent if is_checkout() else PACKAGE) / kind / name
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; see data/README.md for the command that makes it.")
    return path
