"""The exercises: what a check is, and the checks of every lesson (public as `vtm_lesson.checks`).

    contents.py             which exercises each lesson has, and where
    progress.py             what is solved and guessed: stored in the learner's folder, drawn
    exercise.py             right answer, awkward inputs, known mistakes, hints
    lessons_basics.py       lessons 00 to 02
    lessons_networks.py     lessons 03 and 04
    lessons_saliency.py     lessons 05 to 07
    lessons_comparison.py   lesson 08
    lessons_speed.py        lesson 09
    slips.py                wrong answers made from a right one: a slip in one place, and what to say to it
    slips_basics.py         such slips for lessons 00 to 02; slips_networks.py, slips_saliency.py,
                            slips_comparison.py, slips_speed.py: for those of the files above
    work.py                 the learner's own copies of the lessons, and how changes reach them
    lab.py                  the command that opens them in JupyterLab

What belongs here: whatever looks at a learner's answer.
"""
