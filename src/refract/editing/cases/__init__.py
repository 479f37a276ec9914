"""The stage flowalign_edit: each case's plain edit, edits with the reference, baselines and views.

What is computed, in which order and under which store key. The mathematics lies in `samplers` and
`reference`.
"""
