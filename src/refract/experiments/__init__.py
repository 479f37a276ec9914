"""Many runs: sweeps of settings as DVC experiments, and two runs held against each other.

Runs stages and reads their metrics; computes nothing that a stage could.
"""
