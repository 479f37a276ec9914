"""The stage train_ir_adapter: data, objective, optimiser, loop, checkpoints and log.

Nothing outside imports from here but the stage: what a finished adapter needs lies in `adapter`.
"""
