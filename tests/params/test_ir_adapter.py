import pytest

from refract.base.errors import InputError
from refract.params.ir_adapter import IrAdapter
from refract.params.section import validate
from tests.tiny.training import PRODIGY, settings

GOOD = settings().model_dump(mode="json")


def semantic(**changes: object) -> dict[str, object]:
    return {"semantic": GOOD["semantic"] | changes}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"optimizer": "sgd"}, "optimizer = 'sgd': must be one of adamw, prodigy"),
        (PRODIGY | {"scale_lr": 0.5}, "lr, semantic_lr, scale_lr = 1, 1, 0.5: must be equal for"),
        ({"precision": "half"}, "precision = 'half': must be one of float32, bfloat16, float16"),
        ({"ema": 1.0}, "ema = 1.0: must be a finite number >= 0 and < 1"),
        (semantic(fusion="free"), "semantic.fusion = 'free': must be one of fixed, learnable"),
        (
            semantic(fusion="learnable", fusion_alpha=0.0),
            "semantic: fusion_alpha = 0: must be above 0 and below 1 with fusion learnable",
        ),
        ({"ema": -0.1}, "ema = -0.1: must be a finite number >= 0 and < 1"),
    ],
)
def test_a_wrong_value_is_one_line(changes: dict[str, object], told: str) -> None:
    with pytest.raises(InputError) as error:
        validate(IrAdapter, GOOD | changes, "x")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_good_values() -> None:
    for changes in (
        {},
        PRODIGY,
        {"ema": 0.999},
        {"precision": "float16"},
        semantic(fusion_alpha=1),
    ):
        validate(IrAdapter, GOOD | changes, "x")
