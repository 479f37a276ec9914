"""JSON files that stages hand on, and that somebody may have damaged."""

import json
from pathlib import Path
from typing import Any

from refract.errors import InputError, shorten
from refract.regular_file import refuse_special


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; InputError where it cannot be read or holds something else."""
    refuse_special(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"{path}: not valid JSON ({shorten(str(error), 120)})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: must hold an object, found {type(content).__name__}")
    return content
