"""From data sets to triptychs [visible | infrared | semantic], the infrared half's training data.

Ends at folders of PNGs with a manifest; latents and training belong to `infrared`.
"""
