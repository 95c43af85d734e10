"""The campaign's parts in a short form; python -m tests.campaign runs them for as long as asked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(sys.platform != "linux", reason="it forks, and reads /proc")
@pytest.mark.parametrize(
    ("part", "most"), [("kill", 6), ("files", 1), ("disk", 2), ("signals", 2), ("soak", 1)]
)
def test_a_part_of_the_campaign_finds_nothing(part, most, tmp_path, as_in_a_terminal):
    words = [sys.executable, "-m", "tests.campaign", part, "--most", str(most), "--seconds", "3600"]
    done = subprocess.run(
        [*words, "--json", str(tmp_path / "found.json")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["faults"] == []
    assert sum(sum(counts.values()) for counts in found["rows"].values()) > 0
