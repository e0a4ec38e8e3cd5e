"""Installs the peers that we are measured against, one by one, so that one that cannot be had does not stop the others.

    python benchmarks/install_peers.py

The list is the extra [bench] of the installed package, the versions are those of peers.txt. What could not be had is
named in the results.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

PINS = Path(__file__).resolve().parent / "peers.txt"

ALONE = ("arena-rank", "frouros")
"""Installed without their dependencies: they ask for an older numpy than the others, and run with the newer one."""


def pip(*arguments: str) -> bool:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    done = subprocess.run(
        [*command, "--constraint", str(PINS), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        print(f"could not install {arguments[-1]}: {reason[0]}", file=sys.stderr)
    return done.returncode == 0


def main() -> None:
    wanted = [text.split(";")[0].strip() for text in metadata.requires("fairlead") or () if 'extra == "bench"' in text]
    # All at once is several times faster, and usually works.
    if not pip(*wanted):
        for peer in wanted:
            pip(peer)
    for peer in ALONE:
        pip("--no-deps", peer)


if __name__ == "__main__":
    main()
