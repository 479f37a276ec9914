"""What a triptych is: its three panels, its manifest, its semantic maps and where they came from.

Read by every later stage, so nothing here knows data sets' layouts or how triptychs are built.
"""
