"""What the README shows is what happens."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_python_blocks_run_and_print_what_stands_below_them() -> None:
    namespace: dict[str, object] = {}
    shown = 0
    for (language, code), (next_language, text) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True):
        if language != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), namespace)
        if next_language == "text":
            assert printed.getvalue().split("\n") == text.split("\n")
            shown += 1
    assert shown == 1
    assert sum(language == "python" for language, _ in BLOCKS) >= 2


def test_first_forty_lines_have_code_output_picture_and_table() -> None:
    top = "\n".join(README.splitlines()[:40])
    for part in ("```python", "```text", "docs/loop.svg", "| measured"):
        assert part in top
    assert (Path(__file__).parents[1] / "docs" / "loop.svg").exists()


@pytest.mark.parametrize("json_too", [False, True])
def test_replay_of_the_readme_table(tmp_path: Path, json_too: bool) -> None:
    (table,) = (text for language, text in BLOCKS if language == "csv")
    (tmp_path / "forecasts.csv").write_text(table, encoding="utf-8")
    command = [sys.executable, "-m", "fairlead", "replay", "forecasts.csv", "--report", "report.html"]
    assert " ".join(["fairlead", *command[3:]]) in README
    run = subprocess.run(
        [*command, *(["--json"] if json_too else [])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "gpt-4o" in run.stdout
    if json_too:
        assert json.loads(run.stdout)["tasks"] == 3
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert "local-logit" in page


def test_every_linked_file_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target
