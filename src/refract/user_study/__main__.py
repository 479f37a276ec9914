"""A blind pairwise user study of the edits, and what its votes say.

python -m refract.user_study build --edits out/edits --cases data/cases.yaml --output out/study
python -m refract.user_study read --votes data/votes --key out/study-key.json
"""

import argparse
from pathlib import Path

from refract.evaluation.measures.metrics_file import write_metrics
from refract.pipeline.stage_runner import run_stage


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_build(commands.add_parser("build", help="write the page for the raters and its key"))
    _add_read(commands.add_parser("read", help="print what the votes say"))
    arguments = parser.parse_args()
    if arguments.command == "build":
        _build(arguments)
    else:
        _read(arguments)


def _add_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--edits", type=Path, required=True, help="what flowalign_edit wrote")
    parser.add_argument("--cases", type=Path, required=True, help="the cases file")
    parser.add_argument("--banks", type=Path, help="out/ref_banks, for target_image: infer_ir")
    parser.add_argument("--output", type=Path, required=True, help="the folder for the raters")
    parser.add_argument("--key", type=Path, help="default: <output>-key.json, beside the folder")
    parser.add_argument(
        "--compare",
        nargs="+",
        default=["reference", "plain"],
        help="two or more of reference, plain, source and curve clips such as s030 for 0.3",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the hidden names and the checks")
    parser.add_argument("--checks", type=int, default=0, help="pairs of one clip shown twice")
    parser.add_argument("--title", help="heading of the page")


def _add_read(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--votes", type=Path, required=True, help="a CSV file or a folder of them")
    parser.add_argument(
        "--key", type=Path, help="the key that build wrote; default: <votes>/key.json"
    )
    parser.add_argument("--output", type=Path, help="write the figures here as JSON as well")
    parser.add_argument(
        "--exclude-failed", action="store_true", help="leave out raters who failed the checks"
    )
    parser.add_argument(
        "--allowed-wrong", type=int, default=0, help="wrong answers to checks that are forgiven"
    )


def _build(arguments: argparse.Namespace) -> None:
    from refract.params.cases import load_cases
    from refract.user_study.building import TITLE, StudyRequest, build_study

    request = StudyRequest(
        arguments.edits,
        load_cases(arguments.cases),
        arguments.compare,
        seed=arguments.seed,
        checks=arguments.checks,
        banks=arguments.banks,
        title=arguments.title or TITLE,
    )
    key_path = arguments.key or arguments.output.with_name(f"{arguments.output.name}-key.json")
    key = build_study(request, arguments.output, key_path)
    print(f"study {key.study}: {len(key.pairs)} pairs in {arguments.output}, for the raters")
    print(f"key in {key_path}: keep it to yourself; votes cannot be read without it")


def _read(arguments: argparse.Namespace) -> None:
    from refract.evaluation.votes.folder import KEY_NAME
    from refract.evaluation.votes.preference import failed_raters, preference_metrics, preferences
    from refract.evaluation.votes.study_key import load_key
    from refract.evaluation.votes.votes import read_votes

    key = load_key(arguments.key or arguments.votes / KEY_NAME)
    votes = read_votes(arguments.votes, key)
    failed = failed_raters(votes, key, arguments.allowed_wrong)
    rated = preferences(votes, key, without=failed if arguments.exclude_failed else ())
    for (question, comparison), preference in rated.items():
        low, high = preference.interval
        agreement = preference.agreement
        print(
            f"{question}: {comparison.first} over {comparison.second}: {preference.rate:.1%} "
            f"(95% {low:.1%} to {high:.1%}); {preference.wins} for, {preference.losses} against, "
            f"{preference.ties} no difference; {preference.raters} raters, "
            f"{preference.cases} cases, alpha "
            + ("undefined" if agreement is None else f"{agreement:.2f}")
        )
    if not rated:
        print(f"{arguments.votes}: no votes")
    for rater in failed:
        print(f"failed the checks: {rater!r}{' (left out)' if arguments.exclude_failed else ''}")
    if arguments.output is not None:
        tree = preference_metrics(
            votes,
            key,
            exclude_failed=arguments.exclude_failed,
            allowed_wrong=arguments.allowed_wrong,
        )
        write_metrics(tree, arguments.output)


if __name__ == "__main__":
    run_stage("user_study", main)
