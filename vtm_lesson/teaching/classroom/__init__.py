"""For teachers: a class on nbgrader, a report of what it got wrong, a leaderboard.

    cells.py            the cells of a lesson that carry marks; `python -m vtm_lesson classroom`
    marking.py          whether a function is right, decided outside the process that it runs in
    jail.py             a process of its own for a submission: no network, another user, limits
    execute.py          both of them in nbgrader's autograde
    look.py             which submissions need a look, and why
    report.py           what a class got wrong, and its marks for Moodle and Canvas
    figure.py           the figure in it
    board_command.py    a class's leaderboard: what is run, what is kept, the command
    board_entry.py      a submission to it, in a process that sees tokens only
    board_page.py       places with their uncertainty; page, CSV, JSON

What belongs here: whatever looks at the answers of many learners.
"""
