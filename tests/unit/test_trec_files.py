"""Runs and judgments as files, on the command line: figures where they make sense, else one clear line."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from retrieval_bench import quality
from retrieval_bench.cli import app
from retrieval_bench.comparison import compare
from retrieval_bench.comparison.scored_file import scored_file
from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.quality.families import FAMILIES

QRELS = "q1 0 a 1\nq1 0 b 0\nq2 0 a 2\n"
RUN = "q1 Q0 a 1 2.0 t\nq1 Q0 b 2 1.0 t\nq2 Q0 c 1 1.0 t\n"


def written(folder: Path, run: str | bytes = RUN, qrels: str | bytes = QRELS) -> tuple[Path, Path]:
    files = folder / "a.run", folder / "qrels.txt"
    for file, content in zip(files, (run, qrels), strict=True):
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return files


def asked(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize(
    ("change", "content"),
    [
        ("gzipped", gzip.compress(RUN.encode(), mtime=0)),
        ("with a byte-order mark", b"\xef\xbb\xbf" + RUN.encode()),
        ("lines end as on Windows", RUN.replace("\n", "\r\n").encode()),
        ("parted by tabs and blanks", RUN.replace(" Q0 ", "\tQ0  ").encode()),
        ("no end of the last line", RUN.rstrip().encode()),
        ("blank lines", ("\n" + RUN + " \t\n").encode()),
    ],
)
def test_a_run_is_read_however_it_is_written(change: str, content: bytes, tmp_path: Path) -> None:
    run, qrels = written(tmp_path, content)
    found = scored_file(run, qrels, ["MRR", "judged@2"]).values
    assert {name: values.tolist() for name, values in found.items()} == {"MRR": [1.0, 0.0], "judged@2": [1.0, 0.0]}, (
        change
    )


def test_only_ascii_blanks_part_fields(tmp_path: Path) -> None:
    odd = [f"a{blank}b" for blank in "\u00a0\u2003\u3000\u0085\u2028\x1c\x1f"]
    run = "".join(f"q\u00a01 Q0 {name} 1 {-i} t\n" for i, name in enumerate(odd))
    qrels = "".join(f"q\u00a01 0 {name} 1\n" for name in odd)
    scores = scored_file(*written(tmp_path, run, qrels), ["recall@7", "MAP"])
    assert scores.query_ids == ["q\u00a01"]
    assert scores.values["recall@7"].tolist() == [1.0]
    assert scores.judged == 7


@pytest.mark.parametrize(
    ("run", "qrels", "said"),
    [
        (RUN, QRELS + "q1 0 a 0\n", "qrels.txt:4: judges the query 'q1' and the document 'a' a second time"),
        (RUN, "q1 0 a x\n", "qrels.txt:1: the grade 'x' is not a whole number"),
        (RUN, "q1 0 a\nq1 0 b\n", "qrels.txt:1: "),
        (RUN, "", "holds no judgments"),
        ("", QRELS, "holds no results"),
        (RUN, "7 0 a 1\n", "has none of the queries that"),
        ("q1 Q0 a 1 nan t\n", QRELS, "a.run:1: the score is not a number"),
        ("q1 Q0 a 1 1_0 t\n", QRELS, "a.run:1: the rank '1' or the score '1_0'"),
        ("q1 Q0 a 1 \uff11 t\n", QRELS, "a.run:1: "),
        (f"q1 Q0 a {'9' * 30} 1 t\n", QRELS, "a.run:1: the rank '999"),
        (f"q1 Q0 a 1 {'x' * 9999} t\n", QRELS, "a.run:1: "),
        ("q1 Q0 a 1 1 t\nq1 Q0 a 2 0 t\n", QRELS, "a.run:2: the query 'q1' has the document 'a' a second time"),
        ("q1 Q0 a 1 1\n", QRELS, "a.run:1: has 5 fields, not the 6"),
        (gzip.compress(RUN.encode(), mtime=0)[:-9], QRELS, "damaged or cut short"),
        (RUN.encode("utf-16"), QRELS, "a.run:1: "),
    ],
)
def test_what_cannot_be_scored_is_one_line_that_names_the_place(
    run: str | bytes, qrels: str, said: str, tmp_path: Path
) -> None:
    answer = asked("score", *written(tmp_path, run, qrels))
    assert answer.exit_code != 0
    assert isinstance(answer.exception, DataError)
    assert said in str(answer.exception)
    assert len(str(answer.exception)) < 600


def test_infinite_scores_have_their_place(tmp_path: Path) -> None:
    run = "q1 Q0 b 1 -inf t\nq1 Q0 c 2 1e999 t\nq1 Q0 a 3 5 t\n"
    assert scored_file(*written(tmp_path, run), ["MRR"]).values["MRR"].tolist() == [0.5, 0.0]


def test_documents_without_any_judgment_are_told(tmp_path: Path) -> None:
    answer = asked("score", *written(tmp_path, "q1 Q0 x 1 2.0 t\nq2 Q0 y 1 2.0 t\n"))
    assert answer.exit_code == 0
    assert "no document of the run is judged" in answer.output
    assert "no document" not in asked("score", *written(tmp_path)).output


def test_one_query_has_no_interval(tmp_path: Path) -> None:
    files = written(tmp_path, "q1 Q0 a 1 2.0 t\n", "q1 0 a 1\n")
    assert "nan" not in asked("score", *files).output
    other = tmp_path / "b.run"
    other.write_text("q1 Q0 x 1 2.0 t\n")
    told = asked("compare", files[0], other, "--qrels", files[1], "--metric", "MRR")
    assert told.exit_code == 0
    assert "MRR: 1.0000 and 0.0000 on 1 query, which tells nothing of others" in told.output
    assert "nan" not in told.output
    shown = asked("compare", files[0], other, "--qrels", files[1], "--json", "--within", "1").output
    assert not re.search("NaN|Infinity", shown)
    assert json.loads(shown)["quality"]["low"] is None


def test_equal_values_claim_no_power(tmp_path: Path) -> None:
    run, qrels = written(tmp_path)
    (line,) = [x for x in compare(str(run), str(run), qrels=qrels, metric="MRR").lines if x.startswith("MRR")]
    assert line == "MRR: no difference that this test could see: the same on 2 queries (0.5000 and 0.5000), p = 1"


def test_a_metric_that_is_none_is_told_before_a_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a cut"):
        scored_file(tmp_path / "absent", tmp_path / "absent", ["nDCG"])


def test_the_help_names_every_metric() -> None:
    told = CliRunner().invoke(app, ["score", "--help"], env={"COLUMNS": "300"}).output
    for family in FAMILIES:
        assert re.search(rf"\b{family}(@k)?\b", told), family
    for example in re.findall(r"(\w+)@k", told):
        assert quality.parse(f"{example}@3")
