"""All explorers, as a page shows them one below the other."""

from __future__ import annotations

from .. import films
from .baseline import divide_by
from .dial import turn_saliency
from .film import explore
from .keys import drag_keys
from .page import Explorer
from .painter import paint_targets
from .schedule import design_schedule


def gallery() -> list[Explorer]:
    """Make every explorer with settings that show something at once.

    Returns
    -------
    list of Explorer
        In the order of the lessons that they belong to.

    Examples
    --------
    >>> from vtm_lesson import explorers
    >>> [one.name for one in explorers.gallery()][:2]
    ['film', 'keys']
    """
    return [
        explore(films.make(1, "roaming", frames=24, size=112, patch=8), patch=8, gamma=10),
        drag_keys(),
        paint_targets(),
        turn_saliency(),
        design_schedule(),
        divide_by(),
    ]
