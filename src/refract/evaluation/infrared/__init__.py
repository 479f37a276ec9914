"""Generated infrared pictures against the truth, beside baselines that need no model."""
