"""Settings that name a file or folder."""

from typing import Annotated

from pydantic import AfterValidator, Field

_MOST_BYTES, _MOST_NAME_BYTES = 4095, 255  # of a path and of each name in it, as Linux allows


def _check_length(name: str) -> str:
    """The file system answers a longer name with an error of its own wherever it is looked at."""
    parts = name.encode().split(b"/")
    if len(name.encode()) > _MOST_BYTES or max(map(len, parts)) > _MOST_NAME_BYTES:
        raise ValueError(
            f"must be at most {_MOST_BYTES} bytes long, and each name in it {_MOST_NAME_BYTES}"
        )
    return name


FileName = Annotated[str, Field(min_length=1), AfterValidator(_check_length)]
