"""A short run of the kill loop; `make crash` has the long one."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path


def test_nothing_acknowledged_is_lost_when_the_writer_is_killed() -> None:
    seed = 4 if os.environ.get("CI") else random.SystemRandom().randrange(2**32)
    run = Path(__file__).with_name("run.py")
    command = [sys.executable, str(run), "--kills", "200", "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    acknowledged, found = re.findall(r"(\d+) (?:events acknowledged|found)", done.stdout)
    assert int(found) >= int(acknowledged) > 1000, done.stdout
