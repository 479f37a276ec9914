"""params.yaml and cases.yaml that are malformed as text, and cases that say what cannot be."""

import random
from collections.abc import Callable, Iterator
from functools import partial

from tests.faults.malformed_case import Case, Handled, Refused, refused
from tests.tiny.world import CASE, OUTPUTS, STAGES, World

TEXTS = "params.yaml, cases.yaml: as text"
CASES = "cases.yaml: keys, values and overrides"
_WITH_CASES = ("extract_ref_banks", "flowalign_edit", "evaluate")

Text = Callable[[str], str | bytes]
_BOMB = "".join(f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]\n" for i in range(1, 9))
_MERGES = "".join(
    f"m{i}: &m{i}\n  <<: [{', '.join([f'*m{i - 1}'] * 9)}]\n  k{i}: 1\n" for i in range(1, 9)
)

# What is wrong, how it comes about, and what the line must say beside the file's name.
_REFUSED: list[tuple[str, Text, str]] = [
    ("empty", lambda _: "", "must be a mapping"),
    ("only a comment", lambda _: "# nothing\n", "must be a mapping"),
    ("only null", lambda _: "null\n", "must be a mapping"),
    ("a list at the top", lambda _: "- a\n- b\n", "must be a mapping"),
    ("a string at the top", lambda _: "hello\n", "must be a mapping"),
    ("two documents", lambda text: text + "---\na: 1\n", "document"),
    ("a duplicate key", lambda text: text + text.splitlines()[0] + "\n", "duplicate key"),
    ("an indent of tabs", lambda text: text.replace("\n  ", "\n\t", 1), ""),
    ("an open bracket", lambda text: text + "open: [1, 2\n", "expected"),
    ("an open quote", lambda text: text + "open: 'a\n", "not valid YAML"),
    ("a stray colon", lambda text: text + "a: b: c\n", "mapping values"),
    ("an unknown anchor", lambda text: text + "a: *nobody\n", "undefined alias"),
    ("an anchor of itself", lambda text: text + "a: &a [*a]\n", "levels are allowed"),
    ("a list alias bomb", lambda text: text + "b0: &b0 [x, x]\n" + _BOMB, "values, anchors"),
    ("a merge alias bomb", lambda text: text + "m0: &m0 {k0: 1}\n" + _MERGES, "values, anchors"),
    ("a merge of a list", lambda text: text + "a: &a [1]\nb: {<<: *a}\n", ""),
    ("nested 100,000 deep", lambda text: text + "a: " + "[" * 100_000 + "]" * 100_000, ""),
    ("nested 20 deep", lambda text: text + "a: " + "[" * 20 + "]" * 20 + "\n",
     "levels are allowed"),
    ("nested 3,000 deep in blocks", lambda text: text + _staircase(3_000), ""),
    ("larger than 512 KiB", lambda text: text + "# " + "x" * (1 << 20) + "\n", "are allowed"),
    ("100,000 keys", lambda text: text + _keys(100_000), "are allowed"),
    ("20,000 keys", lambda text: text + _keys(20_000), "unknown key"),
    ("UTF-16", lambda text: text.encode("utf-16"), "not UTF-8"),
    ("Latin-1", lambda text: text.encode() + "ä: ü\n".encode("latin-1"), "not UTF-8"),
    ("an overlong UTF-8 form", lambda text: text.encode() + b"a: \xc0\xaf\n", "not UTF-8"),
    ("a NUL byte", lambda text: text + "a: \0\n", "not valid YAML"),
    ("a control character", lambda text: text + "a: \x07\n", "not valid YAML"),
    ("an escaped half of a surrogate pair", lambda text: text + 'a: "\\ud800"\n', "Unicode"),
    ("an escaped NUL", lambda text: text + 'a: "x\\0y"\n', "NUL"),
    ("a file of random bytes", lambda _: random.Random(7).randbytes(2000), "not UTF-8"),
    ("a PNG by name of YAML", lambda _: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not UTF-8"),
    ("!!python/object", lambda text: text + "a: !!python/object:os.system {}\n", "plain values"),
    ("!!python/object/apply", lambda text: text + "a: !!python/object/apply:os.system [ls]\n", ""),
    ("!!python/name", lambda text: text + "a: !!python/name:os.system\n", "plain values"),
    ("an unknown tag", lambda text: text + "a: !mine {b: 1}\n", "plain values"),
    ("!!int of letters", lambda text: text + "a: !!int abc\n", "not valid YAML"),
    ("!!int of nothing", lambda text: text + "a: !!int ''\n", "not valid YAML"),
    ("!!float of nothing", lambda text: text + "a: !!float ''\n", "not valid YAML"),
    ("!!bool of a word", lambda text: text + "a: !!bool perhaps\n", "not valid YAML"),
    ("!!timestamp of a word", lambda text: text + "a: !!timestamp today\n", "not valid YAML"),
    ("a day that is none", lambda text: text + "a: 2001-13-45\n", "not valid YAML"),
    ("!!binary of letters", lambda text: text + "a: !!binary 'a*b'\n", ""),
    ("!!set for a value", lambda text: text + "a: !!set {x, y}\n", "plain values"),
    ("!!omap for a value", lambda text: text + "a: !!omap [x: 1]\n", "plain values"),
    ("a number of 5,000 digits", lambda text: text + "a: " + "9" * 5000 + "\n", "not valid YAML"),
    ("a key that is a number", lambda text: text + "7: 1\n", "must be a string"),
    ("a key that is null", lambda text: text + "? \n: 1\n", "must be a string"),
    ("a key that is a list", lambda text: text + "? [a, b]\n: 1\n", "must be a string"),
    ("a key that is a mapping", lambda text: text + "? {a: b}\n: 1\n", "must be a string"),
    ("an unknown key", lambda text: text + "colour: red\n", "unknown key"),
    ("a banned key", lambda text: text + "size: 3\n", "banned"),
    ("a key with a look-alike letter", lambda text: text + "sееd: 1\n", "unknown key"),
    ("%YAML of another version", lambda text: "%YAML 9.9\n---\n" + text, ""),
    ("%TAG that hides python/object", lambda text: _TAG + text + "a: !p!object:os.system {}\n", ""),
]  # fmt: skip
_TAG = "%TAG !p! tag:yaml.org,2002:python/\n---\n"

_HANDLED: list[tuple[str, Text]] = [
    ("a byte order mark", lambda text: b"\xef\xbb\xbf" + text.encode()),
    ("Windows line ends", lambda text: text.replace("\n", "\r\n")),
    ("no newline at the end", lambda text: text.rstrip("\n")),
    ("blank lines and comments", lambda text: "\n\n# a\n" + text.replace("\n", "\n\n# b\n", 3)),
    ("document marks", lambda text: "---\n" + text + "...\n"),
    ("JSON", lambda text: text),
]


def text_cases(random_: random.Random) -> Iterator[Case]:
    """Each fault in one of the two files, drawn; all stages get some."""
    for number, (fault, change, told) in enumerate(_REFUSED):
        in_cases = random_.random() < 0.35 and "key" not in told and "banned" not in told
        file = "cases.yaml" if in_cases else "params.yaml"
        stage = random_.choice(_WITH_CASES) if in_cases else STAGES[number % len(STAGES)]
        expected = refused(file, allowed=told)
        yield Case(TEXTS, f"{file}: {fault}", stage, _changed(file, change), expected)
    for fault, change in _HANDLED:
        make = _sound if fault == "JSON" else _changed("params.yaml", change)
        expected_result = Handled(partial(_same_as_before, stage="prepare_triptychs"))
        yield Case(TEXTS, f"params.yaml: {fault}", "prepare_triptychs", make, expected_result)


def _sound(_: World) -> None:
    """The settings of the sound run are JSON as they are."""


def _changed(file: str, change: Text) -> Callable[[World], None]:
    def make(world: World) -> None:
        world.put(file, change(world.block_text(file)))

    return make


def _same_as_before(world: World, stage: str) -> None:
    (output,) = OUTPUTS[stage]
    manifest = (world.out(output) / "manifest.csv").read_text()
    assert manifest.count("\n") == 5, f"{manifest.count(chr(10))} lines, not a header and 4"


def _keys(count: int) -> str:
    return "".join(f"k{number}: 1\n" for number in range(count))


def _staircase(depth: int) -> str:
    return "\n".join(" " * level + "a:" for level in range(depth)) + " 1\n"


# Key of the one case, YAML text, stage, what the line must name and what it must say.
_OVERRIDE = f"cases.{CASE}.overrides"
_VALUES: list[tuple[str, str, str, tuple[str, ...], str]] = [
    ("video", "5", "extract_ref_banks", (f"cases.{CASE}.video",), "must be a string"),
    ("video", "''", "evaluate", (f"cases.{CASE}.video",), "not empty"),
    ("video", "[a.mp4, b.mp4]", "flowalign_edit", (f"cases.{CASE}.video",), "must be a string"),
    ("video", "null", "extract_ref_banks", (f"cases.{CASE}.video",), "must be a string"),
    ("video", "none.mp4", "flowalign_edit", ("none.mp4",), "cannot be read"),
    ("video", "products", "flowalign_edit", ("products",), "cannot be read"),
    ("video", '"x\\0y.mp4"', "flowalign_edit", ("cases.yaml",), "NUL"),
    ("video", '"\\ud800.mp4"', "flowalign_edit", ("cases.yaml",), "Unicode"),
    ("video", "x" * 300 + ".mp4", "flowalign_edit", (f"cases.{CASE}.video",), "bytes"),
    ("target_image", "none.png", "extract_ref_banks", ("none.png",), "cannot be read"),
    ("target_image", ".", "extract_ref_banks", (".",), "cannot be read"),
    ("target_image", "x/" * 3000 + "p.png", "extract_ref_banks", (f"cases.{CASE}.target",),
     "bytes"),
    ("target_image", "true", "flowalign_edit", (f"cases.{CASE}.target_image",), "must be"),
    ("target_image_mask", "7", "extract_ref_banks", (f"cases.{CASE}.target_image_mask",), "must"),
    ("first_frame_map", "m.png", "extract_ref_banks", (f"cases.{CASE}.first_frame_map",),
     "infer_ir"),
    ("source_mask", "none", "evaluate", ("none",), "are needed"),
    ("target_mask", "x" * 300, "evaluate", (f"cases.{CASE}.target_mask",), "bytes"),
    ("source_prompt", "''", "flowalign_edit", (f"cases.{CASE}.source_prompt",), "1 to 2000"),
    ("source_prompt", "x" * 2001, "flowalign_edit", (f"cases.{CASE}.source_prompt",), "2000"),
    ("source_prompt", "null", "evaluate", (f"cases.{CASE}.source_prompt",), "must be a string"),
    ("target_prompt", "3.5", "extract_ref_banks", (f"cases.{CASE}.target_prompt",), "a string"),
    ("target_prompt", '"a \\udfff b"', "extract_ref_banks", ("cases.yaml",), "Unicode"),
    ("target_prompt", "'   '", "extract_ref_banks", (f"cases.{CASE}.target_prompt",), "must"),
    ("promt", "a mug", "flowalign_edit", (f"cases.{CASE}.promt",), "allowed are"),
    ("size", "3", "flowalign_edit", ("size",), "banned"),
    ("overrides", "5", "flowalign_edit", (_OVERRIDE,), "must be a mapping"),
    ("overrides", "[a]", "evaluate", (_OVERRIDE,), "must be a mapping"),
    ("overrides", "null", "extract_ref_banks", (_OVERRIDE,), "must be a mapping"),
    ("overrides.zeta", "1", "flowalign_edit", (f"{_OVERRIDE}.zeta",), "allowed are"),
    ("overrides.evaluate", "{}", "evaluate", (f"{_OVERRIDE}.evaluate",), "allowed are"),
    ("overrides.flowalign", "3", "flowalign_edit", (_OVERRIDE, "flowalign"), "must be a mapping"),
    ("overrides.flowalign.zetta", "1", "flowalign_edit", (_OVERRIDE, "zetta"), "did you mean"),
    ("overrides.flowalign.zeta", ".nan", "flowalign_edit", (_OVERRIDE, "zeta"), "must be"),
    ("overrides.flowalign.region", "[]", "flowalign_edit", (_OVERRIDE, "region"), "must be"),
    ("overrides.flowalign.window.frames", "6", "flowalign_edit", (_OVERRIDE, "frames"), "4k + 1"),
    ("overrides.flowalign.nfiles", "6", "flowalign_edit", ("nfiles",), "banned"),
    ("overrides.ref_strength", "-1", "flowalign_edit", (_OVERRIDE, "ref_strength"), "refdrop"),
    ("overrides.ref_strength", "11", "flowalign_edit", (_OVERRIDE, "ref_strength"), "<= 10"),
    ("overrides.ref_layers", "[7]", "flowalign_edit", (CASE, "ref_layers"), "indices from 0"),
    ("overrides.ref_layers", "'9-12'", "flowalign_edit", (CASE, "ref_layers"), "must be"),
    ("overrides.ref_layers", "[1, 1]", "flowalign_edit", (_OVERRIDE, "ref_layers"), "each once"),
    ("overrides.ref_bank.pool", "true", "extract_ref_banks", (_OVERRIDE, "pool"), "must be"),
    ("overrides.ref_timesteps", "[2]", "extract_ref_banks", (_OVERRIDE, "ref_timesteps"), "<= 1"),
    ("overrides.flowalign.ref_rope", "null", "flowalign_edit", (_OVERRIDE, "ref_rope"), "one of"),
    ("overrides.flowalign.sampler", "vace", "flowalign_edit", (CASE, "vace.path"), "hub id"),
    ("overrides.flowalign.region.words", "[cat]", "flowalign_edit", (CASE, "words"), ""),
    ("overrides.flowalign.width", "47", "flowalign_edit", (_OVERRIDE, "width"), "multiple of"),
]  # fmt: skip
_IDS = [
    "../../x", "a/b", "A", "1", "a.b", "a b", "~", "-a", "é", "a" * 300, "", "a\\tb", "con:", "..",
    "$HOME", "`id`", "<script>", "a\\nb",
]  # fmt: skip


def case_cases(random_: random.Random) -> Iterator[Case]:
    """Wrong values of the one case, and ids that no case may have."""
    for key, value, stage, names, told in _VALUES:
        make = partial(World.case, key=key, value=value)
        fault = f"{key}: {value if len(value) < 60 else value[:57] + '...'}"
        yield Case(CASES, fault, stage, make, refused(*names, allowed=told))
    for name in _IDS:
        stage = random_.choice(_WITH_CASES)
        expected: Refused = refused("cases.yaml", "id", allowed="must match")
        yield Case(CASES, f"case id {name[:40]!r}", stage, _renamed(name), expected)
    none = partial(World.set, key="cases", value="{}", file="cases.yaml")
    yield Case(CASES, "no case", "evaluate", none, refused("cases.yaml", "cases", allowed="must"))


def _renamed(name: str) -> Callable[[World], None]:
    def make(world: World) -> None:
        case = world.read("cases.yaml")["cases"][CASE]
        lines = "\n".join(f'    {key}: "{value}"' for key, value in case.items())
        world.put("cases.yaml", f'cases:\n  "{name}":\n{lines}\n')

    return make
