"""What the code calls: no shell, no unsafe YAML, no pickle, no code of a model's; pinned models."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

from refract.base.yaml_files import read_yaml
from refract.models.pinned_revisions import PINNED
from tests.faults.row import Row

ROOT = Path(__file__).parents[2]
FOLDERS = ("src", "stages", "backbones", "benchmarks")
_PICKLES = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal", "yaml"}
# The one loader that builds plain values only, and what it is used with; never `import yaml`.
_SAFE_YAML = {
    f"yaml.{name}"
    for name in (
        "CSafeLoader", "MappingNode", "MarkedYAMLError", "Node", "ScalarNode", "YAMLError",
    )
}  # fmt: skip
_STARTERS = {"run", "Popen", "call", "check_call", "check_output"}
# Classes of files without weights: JSON and vocabularies.
_WEIGHTLESS = (
    "FlowMatchEulerDiscreteScheduler",
    "AutoTokenizer",
    "AutoConfig",
    "AutoImageProcessor",
)
_NETWORKS = {"AutoModel", "AutoModelForUniversalSegmentation"}
_HOLDERS = {"complete", "self._load"}  # which hold what they are handed to safetensors


def run_code() -> list[Row]:
    """A row a rule; a loss is a place in the code that breaks it."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sources()}
    calls = [
        (path, node)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]
    rows = []
    for rule, broken in RULES.items():
        found = [
            f"{path.relative_to(ROOT)}:{call.lineno}"
            for path, call in calls
            if broken(call) and not (rule == _WEIGHTS and path.is_relative_to(ROOT / "backbones"))
        ]
        rows.append(Row(f"calls in {rule}", len(calls), ", ".join(found) or "none", len(found)))
    imported = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, tree in trees.items()
        for name in _imports(tree)
        if name.partition(".")[0] in _PICKLES
        and name not in _SAFE_YAML
        and not _harmless(tree, name)
    ]
    told = ", ".join(imported) or "none"
    rows.append(
        Row(
            "files with a pickler that may name anything, or PyYAML's other loaders",
            len(trees),
            told,
            len(imported),
        )
    )
    loose = [name for name in hub_models() if name not in PINNED]
    told = ", ".join(loose) or "each has a commit in refract.models.pinned_revisions"
    return [*rows, Row("hub models named by settings", len(hub_models()), told, len(loose))]


def sources() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def hub_models() -> list[str]:
    """Hub ids in params.yaml and the profiles: what has one slash and is no folder here."""
    found = []
    for path in (ROOT / "params.yaml", *sorted((ROOT / "profiles").glob("*.yaml"))):
        document = read_yaml(path)
        models = [document.get(name, {}).get("path") for name in ("infrared_model", "video_model")]
        models += [document.get("evaluate", {}).get(key) for key in ("clip_model", "dino_model")]
        models.append(document.get("flowalign", {}).get("vace", {}).get("path"))
        found += [name for name in models if name and not (ROOT / name).is_dir()]
    return sorted(set(found))


def dotted(node: ast.expr) -> str:
    """`torch.load` of the expression that is called; "" for what has no name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def _keyword(call: ast.Call, name: str) -> object:
    """The constant given for a keyword, "?" for another expression, None where it is not given."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value.value if isinstance(keyword.value, ast.Constant) else "?"
    return None


def _shell(call: ast.Call) -> bool:
    """A shell, or a command in one string, which would be split or passed to one."""
    name = dotted(call.func)
    if name in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"):
        return True
    if name.startswith(("os.exec", "os.spawn", "pty.", "asyncio.create_subprocess_shell")):
        return True
    if not name.startswith("subprocess.") or name.rpartition(".")[2] not in _STARTERS:
        return False
    text = isinstance(call.args[0], ast.JoinedStr | ast.Constant) if call.args else True
    return text or _keyword(call, "shell") not in (None, False)


def _evaluates(call: ast.Call) -> bool:
    return dotted(call.func) in ("eval", "exec", "compile", "__import__")


def _unsafe_yaml(call: ast.Call) -> bool:
    """Of ruamel only the safe loader and the round trip, which builds no objects of its own."""
    name = dotted(call.func)
    if name.startswith("yaml.") and name != "yaml.load" and name != "yaml.dump":
        return name.endswith(("unsafe_load", "full_load", "load_all"))
    kinds = [_keyword(call, "typ"), *[a.value for a in call.args if isinstance(a, ast.Constant)]]
    return name in ("YAML", "ruamel.yaml.YAML") and any(
        k not in (None, "safe", "rt") for k in kinds
    )


def _unpickles(call: ast.Call) -> bool:
    name = dotted(call.func)
    if name in ("torch.load", "torch.hub.load_state_dict_from_url"):
        return _keyword(call, "weights_only") is not True
    if name in ("np.load", "numpy.load"):
        return _keyword(call, "allow_pickle") not in (None, False)
    return name in ("pd.read_pickle", "pandas.read_pickle", "torch.hub.load", "torch.jit.load")


def _remote_code(call: ast.Call) -> bool:
    return _keyword(call, "trust_remote_code") not in (None, False)


def _loose_weights(call: ast.Call) -> bool:
    """A `from_pretrained` of weights, called or handed on, that is not held to safetensors.

    The recipes in backbones/ read what they wrote themselves; diffusers and transformers read a
    `.bin` as weights only in any case, which is tried in tests/faults/path_pickles.py.
    """
    name, safe = dotted(call.func), _keyword(call, "use_safetensors") is True
    owner, _, method = name.rpartition(".")
    if method == "from_pretrained":
        return not safe and owner != "part" and not owner.endswith(_WEIGHTLESS)
    given = {dotted(argument) for argument in call.args}
    if given & _NETWORKS:
        return method in ("load", "_load") and not safe
    handed = [each for each in given if each.endswith(".from_pretrained")]
    return any(not each.startswith(_WEIGHTLESS) and name not in _HOLDERS for each in handed)


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _harmless(tree: ast.Module, name: str) -> bool:
    """Whether `pickle` is there for its error, or for a class that says what a pickle may name."""
    nodes = list(ast.walk(tree))
    used = {dotted(node) for node in nodes if isinstance(node, ast.Attribute)}
    called = {dotted(node.func) for node in nodes if isinstance(node, ast.Call)}
    held = {
        dotted(base)
        for node in nodes
        if isinstance(node, ast.ClassDef) and "find_class" in _methods(node)
        for base in node.bases
    }
    allowed = {"pickle.UnpicklingError", *(held - called)}
    return name == "pickle" and {each for each in used if each.startswith("pickle.")} <= allowed


def _methods(node: ast.ClassDef) -> set[str]:
    return {part.name for part in node.body if isinstance(part, ast.FunctionDef)}


_WEIGHTS = "which weights need not be safetensors"
RULES: dict[str, Callable[[ast.Call], bool]] = {
    "which a shell could be given text": _shell,
    "which text is run as code": _evaluates,
    "which YAML is loaded unsafely": _unsafe_yaml,
    "which a pickle is loaded": _unpickles,
    "which a model's own code is trusted": _remote_code,
    _WEIGHTS: _loose_weights,
}
