"""A short run of the kills; `kill_run.py` has the long one."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path


def test_a_registry_is_whole_wherever_its_writer_is_killed_or_the_power_cut(tmp_path: Path) -> None:
    seed = 4 if os.environ.get("CI") else random.SystemRandom().randrange(2**32)
    run = Path(__file__).with_name("kill_run.py")
    memory = Path("/dev/shm")
    folder = memory if os.access(memory, os.W_OK) else tmp_path
    few = ["--quick", "--kills", "40", "--cuts", "2"]
    command = [sys.executable, str(run), *few, "--seed", str(seed), "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    points = {name: int(n) for name, n in re.findall(r"^(.+): (\d+) points$", done.stdout, re.MULTILINE)}
    assert len(points) == 13
    assert min(points.values()) >= 1
    assert sum(points.values()) >= 60
    assert sum(int(n) for n in re.findall(r": (\d+) power cuts$", done.stdout, re.MULTILINE)) >= 200
    assert int(re.findall(r"(\d+) had acknowledged", done.stdout)[0]) >= 5
