"""How work is run: item store, stage runner, processes, devices, DVC's files, profiles.

No mathematics, no torch beyond the choice of a device: what lies here carries results and decides
none of them.
"""
