"""Pictures by a trained adapter: the stage infer_ir, attention maps, and a product's infrared view.

No training, and no verdict on the pictures.
"""
