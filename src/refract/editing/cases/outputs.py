"""What flowalign_edit writes into a case's folder, by name."""

SOURCE_CLIP, PLAIN_CLIP, REFERENCE_CLIP = "source.mkv", "plain.mkv", "reference.mkv"
CURVE_FOLDER = "curve"  # clips named by their strength, such as 0.3.mkv
BASELINES_FOLDER = "baselines"  # plain edits by other samplers, each named by its sampler
