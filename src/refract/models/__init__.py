"""The models of others: FLUX Fill, Wan, VACE, CLIP, DINO, segmenters. Loading, memory, caches.

Each is taken as it was published. What is trained, injected or measured on top of one lies in the
rooms above.
"""
