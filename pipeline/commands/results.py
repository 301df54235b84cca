"""Write RESULTS.md, and the table it rests on, from the recorded experiments."""

import argparse

from pipeline.experiments import results, results_page


def configure(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def execute(arguments: argparse.Namespace) -> int:  # noqa: ARG001
    """Bring the table up to date, and write the page."""
    sections, table = results.load_sections(), results.load_table()
    results.add_finished(sections, table)
    results.save_table(sections, table)
    results_page.write(sections, table)
    print(f"{results.TABLE} and {results_page.PAGE} are written")
    return 0
