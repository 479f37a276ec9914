"""The page of a study as one HTML document: style, program and data in it, media beside it."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from refract.evaluation.votes.study_key import QUESTIONS

_PACKAGE = "refract.user_study"


@dataclass(frozen=True)
class ShownPair:
    """What the page knows of a pair. clips: two tokens. photo: token. prompt: what to see."""

    id: str
    clips: Sequence[str]
    photo: str
    prompt: str


@dataclass(frozen=True)
class StudyPage:
    """small: whether the clips are so small that they are shown with hard pixels."""

    study: str
    title: str
    pairs: Sequence[ShownPair]
    small: bool

    def data(self) -> Mapping[str, object]:
        """What the page's program is given; no case and no method is in it."""
        questions = [{"id": name, "text": text} for name, text in QUESTIONS.items()]
        pairs = [asdict(pair) for pair in self.pairs]
        return {"study": self.study, "questions": questions, "pairs": pairs}


def render_study(page: StudyPage) -> str:
    """The document. Every given text is escaped; the policy in it lets no other program run."""
    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = _static("study.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("study.html").render(
        page=page,
        data=page.data(),
        questions=QUESTIONS,
        style=_static("study.css"),
        script=script,
        script_digest=digest,
    )


def _static(name: str) -> str:
    return files(_PACKAGE).joinpath("static", name).read_text(encoding="utf-8")
