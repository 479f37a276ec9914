"""One hash that names a prepared data set: what is in it, how it is split, what it is made of."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from refract.triptych_manifest import TriptychRow


def content_hash(rows: Sequence[TriptychRow], files: Mapping[str, Mapping[str, str]]) -> str:
    """sha256, in hexadecimal, over the manifest's rows and the content of their source files.

    `files`: id -> {kind: sha256 of the source file}. The order of the rows does not count; any
    other change of a row (split, caption, ...) or of a pixel does. The sizes and the libraries
    that made the triptychs do not.
    """
    digest = hashlib.sha256()
    for row in sorted(rows, key=lambda row: row.id):
        line = json.dumps([asdict(row), dict(files[row.id])], sort_keys=True)
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()
