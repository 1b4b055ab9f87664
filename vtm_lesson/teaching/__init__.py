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
    lessons_regions.py      lesson 05
    lessons_motion.py       lesson 06
    lessons_learnable.py    lesson 07
    lessons_comparison.py   lesson 08, appendix C
    lessons_speed.py        lesson 09, appendix B
    lessons_gradients.py    lesson 10
    lessons_long.py         lesson 11
    lessons_data.py         lesson 12
    lessons_own.py          lesson 13
    slips/                  wrong answers made from a right one: a slip in one place, and what to say to it
    work.py                 the learner's own copies of the lessons, and how changes reach them
    lab.py                  the command that opens them in JupyterLab
    grading.py              for those who work in an editor: all exercises in one file, and the command that marks it
    pytest_exercises.py     the plugin by which pytest sees each of them as a test
    judging.py              an answer before its check; somebody else's file in a process of its own
    classroom/              for teachers: a class on nbgrader, a report of what it got wrong, a leaderboard

What belongs here: whatever looks at a learner's answer.
"""
