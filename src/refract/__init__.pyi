# The public names, for `__init__.py`, type checkers and editors.
from refract.editing.reference.attention import reference_attention as reference_attention
from refract.editing.reference.bank import ReferenceBank as ReferenceBank
from refract.editing.samplers.flowalign import sample_flowalign as sample_flowalign
from refract.infrared.adapter.semantic_attention import (
    SemanticConditioningAdapter as SemanticConditioningAdapter,
)
from refract.infrared.adapter.semantic_attention import (
    SemanticCrossAttention as SemanticCrossAttention,
)
from refract.infrared.adapter.stock_pipeline import infrared_half as infrared_half
from refract.infrared.adapter.stock_pipeline import load_into_pipeline as load_into_pipeline
from refract.triptychs.panels.triptych import split_triptych as split_triptych

__all__: list[str]
