"""`fairlead reflect DESK MODEL`: what the record says of a model."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from fairlead.cli.verbs import verb

if TYPE_CHECKING:
    from fairlead.cli import Commands


def add_reflect(commands: Commands) -> None:
    """`fairlead reflect DESK MODEL`."""
    reflect = verb(commands, "reflect", _reflect, "what the record says of a model, and what follows from it")
    reflect.add_argument("model", metavar="MODEL")
    reflect.add_argument("--json", action="store_true", help="one JSON object")


def _reflect(arguments: argparse.Namespace) -> int:
    from fairlead.reflection import reflect_folder

    found = reflect_folder(arguments.desk, arguments.model)
    print(json.dumps(found.to_dict()) if arguments.json else found)
    return 0
