"""Visible pictures to infrared: the adapter on FLUX Fill, its training, the pictures it makes.

How good those pictures are is measured in `evaluation`. Of the video half nothing is known here;
a bank may ask for the infrared view of its product.
"""
