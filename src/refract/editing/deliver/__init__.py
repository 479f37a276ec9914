"""The deliverable: an edited template at its own size, rate, length and sound.

How edited frames are put back into the template's own, and the file that holds them. What is edited
and when is decided in `cases`; how good it is, is measured in `evaluation`.
"""
