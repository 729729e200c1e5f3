"""The demo: segment the sample scan from a few of its slices, score the result and draw it.

Run it with ``python -m FewShotSegLib.demo`` (or ``make demo``). Like training and evaluation it imports the engine; the
engine never imports it.
"""
