from refract.base.errors import InputError, shorten


def test_message_is_one_line() -> None:
    assert str(InputError("a\n  b\tc")) == "a b c"


def test_long_values_are_cut() -> None:
    assert shorten("x" * 500).endswith("...") and len(shorten("x" * 500)) == 60
    assert shorten(1.5) == "1.5"
