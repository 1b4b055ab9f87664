"""The exercises: what a check is, and the checks of every lesson (public as `vtm_lesson.checks`).

    exercise.py             right answer, awkward inputs, known mistakes, hints
    lessons_basics.py       lessons 00 to 02
    lessons_networks.py     lessons 03 and 04
    lessons_saliency.py     lessons 05 to 07
    lessons_comparison.py   lesson 08
    lessons_speed.py        lesson 09

What belongs here: whatever looks at a learner's answer.
"""
