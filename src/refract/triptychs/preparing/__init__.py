"""The stage prepare_triptychs: raw items of a layout scaled, split and written as triptychs.

Only that stage imports from here; what others read of a triptych lies in `panels`.
"""
