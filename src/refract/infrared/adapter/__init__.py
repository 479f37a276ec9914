"""The adapter itself: LoRA, semantic attention and its injection, their files, sampling with them.

Shared by training and inference, so neither losses nor stages' folders are known here.
"""
