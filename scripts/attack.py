"""Attacks on this package, counted: each prints what it tried and what went wrong, and fails where anything did.

    python scripts/attack.py artifacts [--count 1000] [--seed 0]
    python scripts/attack.py data [--times 100] [--seed 0]
    python scripts/attack.py kill [--times 200] [--seed 0]

Each command is a function of a file ``attack_*.py``; small forms of them are tests.
"""

import typer
from attack_artifacts import artifacts
from attack_data import data
from attack_kill import kill

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (artifacts, data, kill):
    app.command()(command)

if __name__ == "__main__":
    app()
