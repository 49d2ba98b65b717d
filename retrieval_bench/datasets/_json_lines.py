"""JSON lines: one value a line, with errors that name the file and the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retrieval_bench.datasets._lines import numbered_lines
from retrieval_bench.errors import DataError


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number from 1, value) of each line that is not blank.

    Raises:
        DataError: a line is not JSON, or nothing that Python can hold (nested too deep, a number too long).
    """
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = str(error)
            if isinstance(error, RecursionError):
                reason = "nested too deep"
            elif isinstance(error, json.JSONDecodeError):
                reason = f"{error.msg} at column {error.colno}"
            raise DataError(f"{path}:{number}: not valid JSON ({reason}); mend or remove the line") from error
