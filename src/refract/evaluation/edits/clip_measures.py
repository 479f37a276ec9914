"""Measures of a clip that need no more than the clip and its source, each with its definition.

What is entered here is measured of every clip of every case.
"""

from refract.evaluation.measures.metric_definition import MetricDefinition
from refract.evaluation.measures.motion import temporal_flickering

CLIP_MEASURES: dict[str, MetricDefinition] = {
    "temporal.flickering": MetricDefinition(
        "VBench's temporal flickering: 1 - mean absolute difference of adjacent frames / 255; a "
        "frozen clip is perfect by it and motion counts as flicker; Huang et al. 2024",
        None,
        lambda clip, _source: temporal_flickering(clip),
    ),
}
