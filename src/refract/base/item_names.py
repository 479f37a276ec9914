"""Names of items that come from files, tables and settings, and become the names of files here."""

import unicodedata
from collections.abc import Iterable

from refract.base.errors import InputError, shorten

# A file system allows 255 bytes; a suffix and the prefix of a temporary name come on top.
MOST_BYTES = 200


def check_item_name(name: str, where: object) -> str:
    """`name`, where a file of that name stays in the folder that it is meant for.

    Raises InputError, naming `where` the name is from, for one that leads elsewhere (`/`, `\\`, a
    leading dot), cannot be shown or written as text, or is longer than a file name may be.
    """
    if not name or name.startswith(".") or any(letter in name for letter in "/\\"):
        fault = "must not be empty, begin with a dot or hold a slash"
    elif not name.isprintable():  # control and format characters, and bytes that are no UTF-8
        fault = "must be of printable characters"
    elif len(name.encode()) > MOST_BYTES:
        fault = f"must be at most {MOST_BYTES} bytes long"
    else:
        return name
    raise InputError(f"{where}: name {shorten(name)}: {fault}; it becomes the name of a file")


def check_item_names(names: Iterable[str], where: object) -> None:
    """As `check_item_name`, of every name, and of those that differ in case or accents' form alone.

    Where a file system takes two names for one, the second file would take the first's place.
    """
    by_folded: dict[str, str] = {}
    for name in names:
        folded = unicodedata.normalize("NFC", check_item_name(name, where).casefold())
        other = by_folded.setdefault(folded, name)
        if other != name:
            raise InputError(
                f"{where}: names {shorten(other)} and {shorten(name)} are one on file systems that "
                "tell no case apart; rename one"
            )
