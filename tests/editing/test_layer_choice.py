import pytest

from refract.base.errors import InputError
from refract.editing.samplers.layer_choice import chosen_layers


@pytest.mark.parametrize(
    ("choice", "depth", "expected"),
    [
        ("all", 4, range(4)),
        ("middle", 30, range(10, 20)),  # Wan2.1-1.3B
        ("deep", 30, range(20, 30)),
        ("middle", 8, range(3, 5)),
        ("deep", 8, range(5, 8)),
        ("2-4", 8, range(2, 4)),
        ([0, 7], 8, [0, 7]),
        ((), 8, []),
    ],
)
def test_choices(choice: str, depth: int, expected: object) -> None:
    assert chosen_layers(choice, depth) == frozenset(expected)  # type: ignore[call-overload]


@pytest.mark.parametrize("choice", ["early", "4-2", "0-9", "-1-3", [8], [-1], [1.5], [True], ""])
def test_bad_choices_state_the_depth(choice: object) -> None:
    with pytest.raises(InputError, match="this model has 8 layers"):
        chosen_layers(choice, 8)  # type: ignore[arg-type]
