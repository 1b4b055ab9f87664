"""The exercises: what a check is, and the checks of every lesson (public as `vtm_lesson.checks`).

    contents.py             the plan of the course; which exercises each lesson has, and where
    course.py               the map of the course
    progress.py             what is solved and guessed: stored in the learner's folder, drawn
    exercise.py             the check of one exercise: awkward inputs, known mistakes, hints, whose function is used
    comparing.py            whether a result is right, and both as text that a person can read
    carried.py              a learner's function as text, for the notebooks of later lessons
    lessons_basics.py       lessons 00 and 01
    lessons_matching.py     lesson 02
    lessons_networks.py     lesson 03
    lessons_chunks.py       lesson 04
    lessons_saliency.py     lessons 05 and 06
    lessons_learnable.py    lesson 07
    lessons_comparison.py   lesson 08, appendix C
    lessons_speed.py        lesson 09, appendix B
    lessons_gradients.py    lesson 10
    lessons_long.py         lesson 11
    lessons_data.py         lesson 12
    lessons_own.py          lesson 13
    slips.py                wrong answers made from a right one: a slip in one place, and what to say to it
    slips_NAME.py           such slips for lessons_NAME.py: slips_basics.py, slips_matching.py, slips_networks.py,
                            slips_chunks.py, slips_saliency.py, slips_learnable.py, slips_comparison.py,
                            slips_speed.py, slips_gradients.py, slips_long.py, slips_data.py, slips_own.py
    work.py                 the learner's own copies of the lessons, and how changes reach them
    lab.py                  the command that opens them in JupyterLab
    classroom.py            a class on nbgrader: the cells that carry marks
    classroom_marking.py    whether a function is right, decided outside the process that it runs in
    classroom_jail.py       a kernel of its own for a submission: no network, another user, limits
    classroom_execute.py    both of them in nbgrader's autograde
    classroom_look.py       which submissions need a look, and why
    grading.py              for those who work in an editor: all exercises in one file, and the command that marks it
    pytest_exercises.py     the plugin by which pytest sees each of them as a test
    judging.py              an answer before its check; somebody else's file in a process of its own
    class_report.py         what a class got wrong, and its marks for Moodle and Canvas
    class_figure.py         the figure in it
    board_command.py        a class's leaderboard: what is run, what is kept, the command
    board_entry.py          a submission to it, in a process that sees tokens only
    board_page.py           places with their uncertainty; page, CSV, JSON

What belongs here: whatever looks at a learner's answer.
"""
