"""Ablations of the reference editing: all cases, several seeds, tables with intervals and plots.

    python -m benchmarks.edit_ablations --work /tmp/edits --reader backbones/runs/video/reader
    python -m benchmarks.edit_ablations --work /tmp/edits --report

Edits are made by the stages' own classes with the settings of params.yaml but for a variant's
(`benchmarks.edit_ablation_variants`), each beside the plain edit by the same settings. What is
finished stays in the folder and is computed again only where settings, code or data changed: a
stopped run goes on. Two processes share the work with --shard 0/2 and --shard 1/2. Without
--reader the measures of where the product stands are missing. Do not edit src/ meanwhile.
"""

import argparse
import logging
import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tqdm import tqdm

from benchmarks.edit_ablation_variants import GROUPS, VARIANTS, variant_name
from refract.base.yaml_files import read_yaml
from refract.models.determinism import make_deterministic
from refract.params.cases import Case, load_cases
from refract.params.evaluate import Evaluate
from refract.params.section import validate

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Shard:
    """Every `count`-th variant, from `index` on."""

    index: int = 0
    count: int = 1

    def turn(self, cases: dict[str, Case]) -> dict[str, Case]:
        """All cases, but from another one on, so that processes make different shared items."""
        start = self.index * len(cases) // self.count
        items = list(cases.items())
        return dict(items[start:] + items[:start])


def main() -> None:
    options = parse_options()
    if options.report:
        from benchmarks.edit_ablation_plots import write_plots
        from benchmarks.edit_ablation_report import report
        from benchmarks.edit_ablation_results import load_results

        results = load_results(options.work)
        if not results.documents:
            raise SystemExit(f"{options.work}: no results; run without --report first")
        print(report(results))
        write_plots(results, options.plots)
        return
    logging.basicConfig(level=logging.WARNING)
    os.environ["REFRACT_STATE"] = str(options.work.resolve() / "state")
    make_deterministic(0, threads=options.threads)
    run_all(options)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="results and item store")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=["*"], help="patterns of variants or groups")
    parser.add_argument("--cases", default="*", help="pattern of case names")
    parser.add_argument("--reader", type=Path, help="folder of `backbones.video.reader`'s weights")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shard", type=parse_shard, default=Shard(), metavar="INDEX/COUNT")
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--report", action="store_true", help="no runs: tables and plots")
    parser.add_argument("--plots", type=Path, default=ROOT / "docs" / "plots")
    return parser.parse_args()


def parse_shard(text: str) -> Shard:
    """0/2 is the first of two shards."""
    index, _, count = text.partition("/")
    shard = Shard(int(index), int(count))
    if not 0 <= shard.index < shard.count:
        raise argparse.ArgumentTypeError(f"{text}: INDEX must be 0 to COUNT - 1")
    return shard


def chosen_variants(patterns: list[str]) -> list[str]:
    """Variants of which the name, or a group they stand in, fits any of the patterns."""
    names = {name: {name} for name in VARIANTS}
    for group, variants in GROUPS.items():
        for label in variants:
            names[variant_name(group, label)].add(group)
    return [
        variant
        for variant, own in names.items()
        if any(fnmatchcase(name, pattern) for name in own for pattern in patterns)
    ]


def run_all(options: argparse.Namespace) -> None:
    """The shard's variants, a seed at a time, so that unfinished tables are balanced."""
    from benchmarks.edit_ablation_runs import AblationRuns
    from benchmarks.edit_ablation_scores import AblationScorer

    shard: Shard = options.shard
    document = read_yaml(options.params)
    cases = load_cases(ROOT / "data" / "cases.yaml")
    cases = {name: case for name, case in cases.items() if fnmatchcase(name, options.cases)}
    scorer = AblationScorer(
        validate(Evaluate, document["evaluate"], options.params), options.reader
    )
    banks = f"banks_{shard.index}_of_{shard.count}"
    runs = AblationRuns(document, shard.turn(cases), options.work, scorer, banks=banks)
    variants = chosen_variants(options.only)[shard.index :: shard.count]
    work = [(variant, seed) for seed in options.seeds for variant in variants]
    for variant, seed in (bar := tqdm(work, desc="runs")):
        bar.set_postfix_str(f"{variant}, seed {seed}")
        runs.run(variant, VARIANTS[variant], seed)
    each = f", {runs.cpu_s / runs.edits:.2f} CPU-s each" if runs.edits else ""
    print(f"{len(work)} runs, {runs.edits} edits computed{each}")


if __name__ == "__main__":
    main()
