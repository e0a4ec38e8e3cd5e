"""A process that owns jobs, for tests that kill it: python owner.py FOLDER DESK GATE [fork]."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    import numpy as np
    from tiny_trainers import Gated

    from fairlead import Journal
    from fairlead.lifecycle import Examples, Schema
    from fairlead.lifecycle.jobs import TrainingJobs

    folder, desk, gate, *how = sys.argv[1:]
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 3))
    examples = Examples(Schema("binary", ["a", "b", "c"]), x, (x @ [1.0, -2.0, 0.5] > 0).astype(int))
    jobs = TrainingJobs(folder, Journal(desk), parallel=1)
    jobs.start(Gated(gate), examples, name="m", seed=3, checkpoint_every=1)
    jobs.start(Gated(gate), examples, name="m", seed=4, checkpoint_every=1)
    (Path(gate) / "begun").touch()
    if how:
        while not (Path(gate) / "in-1").exists():
            time.sleep(0.002)
        if (pid := os.fork()) == 0:
            time.sleep(600)
        print(pid, flush=True)
    time.sleep(600)
