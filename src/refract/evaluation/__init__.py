"""What a result is worth: measures, and each half's pictures or clips held against its baselines.

Reads what the stages wrote and changes none of it. Pages and plots belong to `report`.
"""
