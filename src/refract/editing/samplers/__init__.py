"""FlowAlign and its kin: plain functions of a velocity callable, and what they need of a clip.

A sampler knows neither a model nor the disk, so it is tested on analytic velocity fields;
`wan_velocity` is what makes a Wan transformer such a callable.
"""
