"""Paths, and what is let in: names, links, clips, the code's own calls, pickles, pages."""

import os
from tempfile import TemporaryDirectory
from unittest.mock import patch

from tests.faults.path_clips import run_clips
from tests.faults.path_code import run_code
from tests.faults.path_links import run_links
from tests.faults.path_names import run_names
from tests.faults.path_pages import run_pages
from tests.faults.path_pickles import run_pickles
from tests.faults.row import Row

TITLE = "Paths, and what is let in"


def run(seed: int, long: bool) -> list[Row]:
    """All of it in a store of its own, without the network."""
    with TemporaryDirectory() as state:
        own = {"REFRACT_STATE": state, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        with patch.dict(os.environ, own):
            return [
                *run_names(seed, long),
                *run_links(),
                *run_clips(),
                *run_pages(long),
                *run_pickles(long),
                *run_code(),
            ]
