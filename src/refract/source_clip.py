"""The clip of a case, as its edit starts from it."""

from pathlib import Path

from refract.edit_items import EditRequest
from refract.video_io import Clip, read_clip
from refract.wan_model import WanModel


def read_source_clip(model: WanModel, request: EditRequest) -> Clip:
    """The clip fitted to the frame of the edit; InputError where the model cannot edit it."""
    flow = request.params.flowalign
    model.check_frame(flow.width, flow.height, flow.frames)
    return read_clip(Path(request.case.video), flow.frames, width=flow.width, height=flow.height)
