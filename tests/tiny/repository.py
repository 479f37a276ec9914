"""A DVC repository with one quick stage that writes the tables a sweep is reported from."""

import subprocess
from pathlib import Path

STAGE = """
import csv, json, sys, time
from pathlib import Path
from ruamel.yaml import YAML

params = YAML(typ="safe").load(Path("params.yaml"))
strength = params["ref_strength"]
with open({log!r}, "a") as log:
    print(strength, params["edit"]["words"], file=log)
if strength > 5:
    print("refract flowalign_edit: error: ref_strength = 9: too much", file=sys.stderr)
    sys.exit(2)
folder = Path("out/plots")
folder.mkdir(parents=True, exist_ok=True)
with (folder / "edit_cases.csv").open("w") as file:
    writer = csv.writer(file)
    writer.writerow(["case", "variant", "metric", "value"])
    for case in range(8):
        for variant, share in (("reference", strength), ("plain", 0)):
            overlap = 0.1 + 0.02 * case + share * (0.3 + 0.01 * case)
            writer.writerow([f"c{{case}}", variant, "product.histogram_overlap", overlap])
            writer.writerow([f"c{{case}}", variant, "background.psnr", 40 + case - share])
Path("metrics").mkdir(exist_ok=True)
Path("metrics/edit.json").write_text(json.dumps({{"strength": strength}}))
"""
PARAMS = """
seed: 0
ref_strength: 1.0  # a comment
edit:
  words: [mug]
evaluate:
  bootstrap: 200
"""
PIPELINE = """
stages:
  evaluate:
    cmd: exec python stage.py
    deps: [stage.py]
    params: [ref_strength, edit.words]
    outs: [out/plots]
    metrics:
      - metrics/edit.json: {cache: false}
"""


def run_git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


def make_repository(folder: Path, log: Path) -> Path:
    """The committed repository; every run of its stage adds a line to `log`."""
    from dvc.repo import Repo

    folder.mkdir()
    run_git(folder, "init", "-q", "-b", "main")
    run_git(folder, "config", "user.name", "nobody")
    run_git(folder, "config", "user.email", "nobody@example.org")
    for name, text in {
        "stage.py": STAGE.format(log=str(log)),
        "params.yaml": PARAMS,
        "dvc.yaml": PIPELINE,
        ".gitignore": "/out/\n",
    }.items():
        (folder / name).write_text(text)
    Repo.init(str(folder)).close()
    run_git(folder, "add", "-A")
    run_git(folder, "commit", "-q", "-m", "all")
    log.write_text("")
    return folder
