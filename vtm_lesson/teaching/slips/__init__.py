"""The right answers written out, and the wrong ones made from them: a slip in one place, and what to say to it.

    making.py        a wrong answer from the text of a right one
    basics.py        slips for lessons_basics.py; so are, for the file with their name:
    matching.py      networks.py chunks.py regions.py motion.py learnable.py comparison.py speed.py
                     gradients.py long.py data.py own.py

What belongs here: wrong answers made from a text. One of another shape stands with its exercise.
"""
