"""`from refract import ...`: what there is, what it costs, and in which company it comes."""

import subprocess
import sys

import pytest

import refract
from refract.pipeline.import_closure import closure


def run(code: str) -> None:
    """The code in a new interpreter, since what was imported here cannot be imported again."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_every_public_name_is_there() -> None:
    assert {"ReferenceBank", "load_into_pipeline", "reference_attention"} < set(refract.__all__)
    assert set(refract.__all__) < set(dir(refract))
    for name in refract.__all__:
        assert getattr(refract, name).__name__ == name
    with pytest.raises(AttributeError, match="'refract' has no attribute 'ReferenceBunk'"):
        _ = refract.ReferenceBunk  # type: ignore[attr-defined]


def test_the_package_alone_loads_no_torch_and_is_no_code_of_others() -> None:
    run("import refract, sys; assert not {'torch', 'numpy'} & sys.modules.keys(), 'torch'")
    assert [path.name for path in closure("refract")] == ["__init__.py"]


def test_names_come_after_diffusers_and_whatever_is_left_of_torchvision() -> None:
    """That the names may come first, and diffusers' pipelines after, the printed blocks show."""
    run(
        "import contextlib\n"
        # Where its build does not fit that of torch, half of it is left.
        "with contextlib.suppress(RuntimeError): import torchvision\n"
        "import diffusers; from diffusers import FlowMatchEulerDiscreteScheduler\n"
        "from refract import ReferenceBank\n"
        "import torchvision; torchvision.ops.nms"
    )
