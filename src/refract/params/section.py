"""The base of every settings section."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError

from refract.base.errors import InputError
from refract.params.explain import explain

# DVC drops these two from its run-cache key (treeverse/dvc #10296): a changed value would silently
# return old results.
BANNED_NAMES = frozenset({"size", "nfiles"})

Item = TypeVar("Item")
SectionType = TypeVar("SectionType", bound="Section")

# A YAML list as an immutable tuple; strictness about the items stays.
Items = Annotated[tuple[Item, ...], Strict(False)]


def one_of(*options: int) -> AfterValidator:
    """For `Annotated[int, one_of(...)]`; a Literal of numbers would also take `true` for 1."""

    def check(value: int) -> int:
        if value not in options:
            raise ValueError(f"must be one of {', '.join(map(str, options))}")
        return value

    return AfterValidator(check)


class Section(BaseModel):
    """A frozen group of settings: every key required, unknown keys and wrong types refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        banned = BANNED_NAMES & cls.model_fields.keys()
        if banned:
            raise TypeError(f"{cls.__name__}: parameter name {sorted(banned)[0]!r} is banned (DVC)")


def validate(model: type[SectionType], values: Mapping[str, Any], where: object) -> SectionType:
    """`values` as a `model`; InputError starting with `where` otherwise."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error, model)}") from error


def check_banned_names(where: object, values: object, prefix: str = "") -> None:
    """Refuse the names that DVC's run cache loses, at any depth."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            if key in BANNED_NAMES:
                raise InputError(
                    f"{where}: {prefix}{key}: this name is banned, since DVC's run cache ignores "
                    "it; use resolution, image_px or count"
                )
            check_banned_names(where, value, f"{prefix}{key}.")
    elif isinstance(values, Sequence) and not isinstance(values, str):
        for index, value in enumerate(values):
            check_banned_names(where, value, f"{prefix.rstrip('.')}[{index}].")


Seed = Annotated[int, Field(ge=0, lt=2**31, description="seed of every random draw")]


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
