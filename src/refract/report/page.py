"""The page as one HTML text: templates filled, styles, scripts and data in it, nothing fetched.

Opened from a disk a page may load no script by address, so all are inlined; a policy in the page
lets only these run, by their digests. All text goes through the templates' escaping or, as data,
through `script_json`; the scripts put it on the page as text nodes.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from refract.report.variants import variant_label

_HERE = Path(__file__).parent
STYLES = ("base.css", "layout.css", "figures.css", "viewer.css")
SCRIPTS = (
    "dom.js", "theme.js", "table.js", "compare.js", "infrared.js",
    "player.js", "curves.js", "video.js", "start.js",
)  # fmt: skip


def render_page(context: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """`context` fills the templates, `data` is what the scripts read."""
    style, script = _joined(STYLES), _joined(SCRIPTS)
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["variant_label"] = variant_label
    environment.filters["octets"] = _octets
    return environment.get_template("page.html.j2").render(
        **context,
        policy=content_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        data=Markup(script_json(data)),
    )


def content_policy(style: str, script: str) -> str:
    """Nothing but the page's own inlined style and script, and media files beside it.

    `file:` stands beside 'self': what 'self' means for a page on a disk is up to the browser.
    """
    return "; ".join(
        (
            "default-src 'none'",
            "img-src 'self' file: data:",
            "media-src 'self' file:",
            f"style-src '{_digest(style)}'",
            f"script-src '{_digest(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def script_json(data: Mapping[str, Any]) -> str:
    """JSON that cannot end the script element it stands in, whatever its strings hold."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _joined(names: tuple[str, ...]) -> str:
    """Static files in one text. `</` would end the element early, so no file may hold it."""
    texts = [(_HERE / "static" / name).read_text(encoding="utf-8") for name in names]
    text = "\n" + "\n".join(texts)
    if "</" in text or "<!--" in text:
        raise ValueError("a static file of the report holds '</' or '<!--'")
    return text


def _octets(count: int) -> str:
    """1.4 MB for 1400000."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}"
