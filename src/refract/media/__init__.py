"""Pictures and clips on disk, read and written as arrays; masks, palettes and product photos.

No model, no settings section and no measure: those know media, media knows none of them.
"""
