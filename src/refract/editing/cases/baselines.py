"""The baselines of a case: the plain edits by other samplers that stand beside its own."""

import logging
from dataclasses import replace

from refract.editing.cases.request import EditRequest

logger = logging.getLogger(__name__)


def baseline_requests(request: EditRequest) -> dict[str, EditRequest]:
    """Sampler -> request of its edit, as `flowalign.baselines` asks; what is left out is logged.

    A baseline is driven by the prompts alone and has no reference. Its items are the very ones
    that a plain edit with these settings as its own has, so they know nothing of other samplers.
    """
    sampler, wanted = request.sampler, request.params.flowalign.baselines.samplers
    if sampler == "vace" and wanted:
        logger.info(
            "%s: baselines %s left out: flowalign.sampler vace is a baseline itself and has "
            "another model than theirs",
            request.label, ", ".join(wanted),
        )  # fmt: skip
        return {}
    if sampler in wanted:
        logger.info(
            "%s: baseline %s left out: it is the sampler of the edit", request.label, sampler
        )
    return {name: _baseline(request, name) for name in wanted if name != sampler}


def _baseline(request: EditRequest, sampler: str) -> EditRequest:
    params = request.params
    settings = params.flowalign.baselines.model_dump()[sampler]
    flow = params.flowalign.model_copy(update={"sampler": sampler, **settings})
    return replace(
        request,
        params=params.model_copy(update={"flowalign": flow}),
        bank=None,
        photo=None,
        is_baseline=True,
    )
