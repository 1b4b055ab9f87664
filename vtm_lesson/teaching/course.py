"""The course as a map: which lessons there are, and which one is open."""

from __future__ import annotations

from .. import plots
from ..plots.style import Picture
from .contents import APPENDICES, LESSONS, PARTS


def course_map(here: str | None = None) -> Picture:
    """Draw the way through the course, the lesson that one is in marked; what is still to come is pale.

    Parameters
    ----------
    here : str, optional
        The number of a lesson, or the letter of an appendix.

    Returns
    -------
    Picture
        With the parts of the course, and where one is, in words.

    Raises
    ------
    ValueError
        Where there is no such lesson.

    Examples
    --------
    >>> from vtm_lesson import checks
    >>> checks.course_map("04").alt.split(". ")[-1]
    'You are at 04, naive.'
    """
    written = {lesson.split("_")[0] for lesson in LESSONS}
    planned = [number for lessons in PARTS.values() for number in lessons] + list(APPENDICES)
    return plots.course_map(PARTS, APPENDICES, here, [number for number in planned if number not in written])
