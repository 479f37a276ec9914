"""A folder of collected votes, with the key beside them, as metrics."""

import logging
from pathlib import Path

from refract.base.errors import InputError
from refract.evaluation.measures.metrics_file import Tree
from refract.evaluation.votes.preference import failed_raters, preference_metrics
from refract.evaluation.votes.study_key import load_key
from refract.evaluation.votes.votes import read_votes

logger = logging.getLogger(__name__)

KEY_NAME = "key.json"


def measure_votes(folder: Path, *, exclude_failed: bool = False) -> Tree:
    """The `preference` branch of the metrics from `folder`'s *.csv and key.json; empty: no votes.

    Logs who failed the checks. Raises InputError as `load_key` and `read_votes` do.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of votes")
    if not any(folder.glob("*.csv")):
        return {}
    key = load_key(folder / KEY_NAME)
    votes = read_votes(folder, key)
    for rater in failed_raters(votes, key):
        left_out = "left out" if exclude_failed else "counted all the same"
        logger.warning("rater %r saw a difference between equal clips; %s", rater, left_out)
    return preference_metrics(votes, key, exclude_failed=exclude_failed)
