"""The reference bank: recorded from a product photo, stored, and seen by a clip's self-attention.

No sampler is chosen here; `edit` runs any of them under the injected attention.
"""
