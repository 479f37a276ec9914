"""What the command lines of the recipes share, and the set-up of a run that follows from it."""

import argparse
import logging

import torch


def recipe_parser(
    doc: str | None, *, steps: int | None = None, lr: float | None = None
) -> argparse.ArgumentParser:
    """A parser with --seed and --threads; --steps and --lr where a default is given.

    doc: the module's docstring; its first line becomes the description.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    if steps is not None:
        parser.add_argument("--steps", type=int, default=steps)
    if lr is not None:
        parser.add_argument("--lr", type=float, default=lr, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch")
    return parser


def begin(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line, start the log, and set torch's threads and seed."""
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    return options
