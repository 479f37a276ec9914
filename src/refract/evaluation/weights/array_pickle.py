"""A pickle of numpy arrays, read without running what else a pickle could hold."""

import hashlib
import io
import pickle
from typing import Any

import numpy as np

from refract.base.errors import InputError, shorten

# What a pickled array names, by the modules of numpy 1; `_reconstruct` has no public name.
_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
}
_ERRORS = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError,
)  # fmt: skip


class ArrayUnpickler(pickle.Unpickler):
    """Builds numpy arrays in dicts, lists and plain values; any other name is an error."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {shorten(f'{module}.{name}')}, no numpy array")
        return _ALLOWED[module, name]


def load_arrays(content: bytes, sha256: str, what: str) -> Any:
    """What was pickled; not even looked at unless the content has this sha256.

    Raises InputError, beginning with `what`: another digest, or a pickle of anything but arrays.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InputError(f"{what}: has sha256 {found[:8]}, must be the published {sha256[:8]}")
    try:
        return ArrayUnpickler(io.BytesIO(content)).load()
    except _ERRORS as error:
        raise InputError(f"{what}: not a pickle of numpy arrays ({error})") from error
