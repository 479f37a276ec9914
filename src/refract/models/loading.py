"""Load the parts of a model from a diffusers folder or hub id, or say what to do about it."""

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError

from refract.base.errors import InputError, shorten
from refract.base.files import read_json_object
from refract.models.identity import check_shards, local_model_folder
from refract.models.pinned_revisions import revision_of

logger = logging.getLogger(__name__)

# The root of the errors of huggingface_hub's HTTP client, named through it since the client changes
# between its versions. A connection that breaks during a download is no OSError.
_HTTP_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]
_LOAD_ERRORS = (
    OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ArithmeticError,
    RecursionError, SafetensorError, _HTTP_ERROR,
)  # fmt: skip


@dataclass(frozen=True)
class ModelSource:
    """Where the parts of a model are.

    name: folder in diffusers layout or hub id, as the user gave it. setting: the key by which they
    did. layout: diffusers' name for the kind of folder. A revision counts for a hub id alone.
    """

    name: str
    revision: str | None
    setting: str
    layout: str

    @property
    def folder(self) -> Path | None:
        """The local folder; None for a hub id. InputError for what is neither."""
        return local_model_folder(self.name)

    def load(self, part: str, load: Callable[..., Any], **options: Any) -> Any:
        """`load(source, subfolder=part, revision=..., **options)`.

        Raises InputError with the reason and what to do; running out of memory stays as it is.
        """
        folder = self.folder
        source, revision = str(folder), None
        if folder is None:
            source, revision = self.name, revision_of(self.name, self.revision)
        try:
            with _libraries_quiet():
                return load(source, subfolder=part, revision=revision, **options)
        except _LOAD_ERRORS as error:
            if "out of memory" in str(error).lower():
                raise
            raise InputError(
                f"model {self.name}: cannot load {part}: {_reason(error)}; {self._advice()}"
            ) from error

    def _advice(self) -> str:
        layout = f"in the layout of diffusers' {self.layout}, with safetensors"
        if self.folder is None:
            return (
                f"its page, where its licence is, is https://huggingface.co/{self.name}; without "
                f"access to it, set {self.setting} to a local folder {layout}"
            )
        return f"a folder or hub id {layout}, is needed: see {self.setting}"


@contextmanager
def _libraries_quiet() -> Iterator[None]:
    """Nothing but errors from the two libraries while they load; a stage shows its own progress.

    Of a weight that is missing they would say that it was made up and ought to be trained, above
    our line that refuses the model.
    """
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    levels = [logger.level for logger in loggers]
    import refract.models.torchvision_compat  # noqa: F401  before diffusers, which takes seconds to load

    from diffusers.utils.logging import disable_progress_bar as silence_diffusers
    from transformers.utils.logging import disable_progress_bar as silence_transformers

    silence_diffusers()
    silence_transformers()
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def complete(load: Callable[..., Any]) -> Callable[..., Any]:
    """A network's `from_pretrained`: safetensors alone, and every weight from the files.

    diffusers and transformers would go on with random values for weights that are missing, and
    transformers with default sizes where the folder has no config.json.
    """

    def load_checked(source: str, subfolder: str, **options: Any) -> Any:
        _require(source, subfolder, "config.json")
        if (config := Path(source, subfolder, "config.json")).is_file():
            read_json_object(config)  # diffusers would take a string for a model to fetch
        check_shards(Path(source, subfolder))
        # Of another shape transformers only says that there are some, in its error.
        ours = {"ignore_mismatched_sizes": True} if "transformers." in load.__module__ else {}
        model, info = load(
            source, subfolder=subfolder, use_safetensors=True, output_loading_info=True,
            **ours, **options,
        )  # fmt: skip
        for name, shape, wanted in sorted(info.get("mismatched_keys", ())):
            raise ValueError(f"{name} has shape {tuple(shape)}, must have {tuple(wanted)}")
        # A shard that lacks what the index promises leaves it on the meta device, unreported.
        empty = {name for name, value in model.named_parameters() if value.is_meta}
        missing = sorted(empty.union(info["missing_keys"]))
        if missing:
            raise ValueError(
                f"{len(missing)} weights are missing, {shorten(missing[0])} among them"
            )
        if surplus := sorted(info.get("unexpected_keys", ())):
            logger.warning(
                "%s: %d weights are not of this model and are left out, %s among them",
                subfolder, len(surplus), shorten(surplus[0]),
            )  # fmt: skip
        return model

    return load_checked


def load_tokenizer(source: str, subfolder: str, **options: Any) -> Any:
    """The tokenizer that tokenizer_config.json names; without that file it would be a guess."""
    from transformers import AutoTokenizer

    _require(source, subfolder, "tokenizer_config.json")
    _require(source, subfolder, "tokenizer.json", ("vocab.json", "merges.txt"))
    return AutoTokenizer.from_pretrained(
        source, subfolder=subfolder, trust_remote_code=False, **options
    )


def _require(source: str, subfolder: str, name: str, instead: Collection[str] = ()) -> None:
    """FileNotFoundError where a local folder lacks a file, and any of those that may replace it."""
    folder = Path(source) / subfolder
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if Path(source).is_dir() and name not in names and not (instead and names.issuperset(instead)):
        other = f", and so is one of {' and '.join(instead)}" if instead else ""
        raise FileNotFoundError(f"{name} is missing in {folder}{other}")


def _reason(error: BaseException) -> str:
    """First line of an error, or that the hub was not reached or refused.

    diffusers calls the former a missing file, which sends the reader the wrong way.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, GatedRepoError):
            return "the hub wants its licence accepted on its page, and a login (hf auth login)"
        no_answer = isinstance(cause, _HTTP_ERROR) and not isinstance(cause, HfHubHTTPError)
        if no_answer or isinstance(cause, LocalEntryNotFoundError):
            kind = type(cause).__name__
            return f"it is not in the cache and the hub cannot be reached ({kind})"
        cause = cause.__cause__ or cause.__context__
    return str(error).strip().partition("\n")[0] or type(error).__name__
