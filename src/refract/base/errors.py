"""The one exception that means "the input is at fault, not the program"."""

_MOST_CHARACTERS = 60


class InputError(ValueError):
    """Bad input: one line saying what is wrong, where, and what is allowed; exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def shorten(value: object, most: int = _MOST_CHARACTERS) -> str:
    """`repr(value)` cut to `most` characters, for use in an error line."""
    text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."
