"""The short part of the paths' faults, and that their eyes are open."""

import ast
from contextlib import suppress
from pathlib import Path

import pytest

from refract.base.errors import InputError
from refract.base.item_names import MOST_BYTES, check_item_name, check_item_names
from refract.models.identity import check_shards
from tests.faults import path_clips, path_code, path_links, path_names, path_pages, path_pickles

LEAST = {  # how often each was tried, at least
    path_names: 60,
    path_links: 3,
    path_clips: 1,
    path_pages: 2,
    path_pickles: 4,
    path_code: 3,
}


@pytest.mark.parametrize("name", ["names", "links", "clips", "pages", "pickles", "code"])
def test_nothing_is_let_in(name: str) -> None:
    rows = {
        "names": lambda: path_names.run_names(0, long=False),
        "links": path_links.run_links,
        "clips": path_clips.run_clips,
        "pages": lambda: path_pages.run_pages(long=False),
        "pickles": lambda: path_pickles.run_pickles(long=False),
        "code": path_code.run_code,
    }[name]()
    for row in rows:
        assert row.losses == 0, row
        assert row.count > 0, row
    assert sum(row.count for row in rows) >= LEAST[globals()[f"path_{name}"]]


BREACHES = {
    "which a shell could be given text": (
        "os.system(x)", "subprocess.run(x, shell=True)", "subprocess.run(f'rm {x}')",
        "subprocess.run('ls')", "os.popen(x)", "subprocess.check_output(x, shell=flag)",
    ),
    "which text is run as code": ("eval(x)", "exec(x)"),
    "which YAML is loaded unsafely": ("YAML(typ='unsafe')", "YAML(typ=kind)", "YAML('unsafe')"),
    "which a pickle is loaded": (
        "torch.load(x)", "torch.load(x, weights_only=False)", "np.load(x, allow_pickle=True)",
        "torch.load(x, weights_only=flag)", "pd.read_pickle(x)",
    ),
    "which a model's own code is trusted": ("f(trust_remote_code=True)", "f(trust_remote_code=x)"),
    "which weights need not be safetensors": (
        "AutoencoderKL.from_pretrained(x)", "A.from_pretrained(x, use_safetensors=False)",
        "files.load('vae', AutoencoderKL.from_pretrained)", "load(AutoModel, dtype=x)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", BREACHES)
def test_each_rule_sees_its_breach(rule: str) -> None:
    assert set(BREACHES) == set(path_code.RULES)
    for text in BREACHES[rule]:
        call = ast.parse(text, mode="eval").body
        assert isinstance(call, ast.Call)
        assert path_code.RULES[rule](call), text


@pytest.mark.parametrize("text", ["subprocess.run([a, b])", "torch.load(x, weights_only=True)"])
def test_no_rule_takes_fright(text: str) -> None:
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    assert not any(broken(call) for broken in path_code.RULES.values())


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("try: f()\nexcept pickle.UnpicklingError: g()", True),
        ("class A(pickle.Unpickler):\n def find_class(self, module, name): ...", True),
        ("class A(pickle.Unpickler): ...", False),
        ("pickle.loads(x)", False),
        ("class A(pickle.Unpickler):\n def find_class(self): ...\npickle.Unpickler(x)", False),
    ],
)
def test_an_unpickler_must_say_what_it_allows(text: str, harmless: bool) -> None:
    assert path_code._harmless(ast.parse(text), "pickle") == harmless


def test_a_page_with_an_element_of_its_own_is_a_loss() -> None:
    whole = '<script type="application/json">{"a": 1}</script><p>%s</p>'
    pages = [whole % text for text in ("plain", "<b>", "<i onclick=x>", "&lt;b&gt;")]
    assert path_pages._losses([pages[0], pages[1]]) == 1
    assert path_pages._losses([pages[0], pages[2]]) == 1
    assert path_pages._losses([pages[0], pages[3]]) == 0


def test_the_marker_is_made_by_whoever_unpickles(tmp_path: Path) -> None:
    import torch

    for number, writer in enumerate(path_pickles.WRITERS):
        marker = tmp_path / f"marker{number}"
        writer(tmp_path / "weights", marker)
        with suppress(RuntimeError):  # it is no file of weights, but that is found out too late
            torch.load(tmp_path / "weights", weights_only=False)
        assert marker.exists()


@pytest.mark.parametrize("name", ["a", "00001D", "frame (1)", "日本", "é" * 100, "-x", "a.b.c"])
def test_ordinary_names_are_kept(name: str) -> None:
    assert check_item_name(name, "here") == name


@pytest.mark.parametrize(
    ("name", "told"),
    [("../x", "slash"), (".x", "dot"), ("", "empty"), ("a\0", "printable"), ("a" * 201, "200")],
)
def test_names_that_lead_elsewhere_are_named(name: str, told: str) -> None:
    with pytest.raises(InputError, match=rf"^here: name .*{told}"):
        check_item_name(name, "here")
    assert MOST_BYTES == 200


def test_names_may_not_meet() -> None:
    check_item_names(["a", "b", "a2"], "here")
    with pytest.raises(InputError, match="'a' and 'A'"):
        check_item_names(["a", "A"], "here")


def test_shards_lie_beside_their_index(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    for name, told in (("../a.safetensors", "beside it"), ("a.bin", "must be a .safetensors")):
        index.write_text(f'{{"weight_map": {{"x": "{name}"}}}}')
        with pytest.raises(ValueError, match=told):
            check_shards(tmp_path)
    index.write_text('{"weight_map": {"x": "a-1.safetensors"}}')
    check_shards(tmp_path)
    check_shards(tmp_path / "absent")
