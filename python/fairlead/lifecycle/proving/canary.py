"""Which tasks a challenger serves: decided by a hash of the task's id, so that it is known everywhere and for good."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

from fairlead.errors import InvalidRecordError

Arm = Literal["champion", "challenger"]


def served_by(task: str, share: float, *, salt: str = "") -> Arm:
    """Who serves the task: the challenger a share of them. salt: such as the trial's name, so that it is not always the
    same tasks. A larger share with the same salt keeps every task of a smaller one.

    Raises InvalidRecordError for a share outside [0, 1].

    >>> arms = [served_by(f"task-{i}", 0.25, salt="run-7") for i in range(1000)]
    >>> arms.count("challenger"), served_by("task-1", 0.0), served_by("task-1", 1.0)
    (252, 'champion', 'challenger')
    """
    if not isinstance(task, str):
        raise InvalidRecordError(f"task is {task!r}, must be the id of a task")
    if not 0.0 <= share <= 1.0:
        raise InvalidRecordError(f"share is {share!r}, must be from 0 to 1")
    key = blake2b(salt.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    digest = blake2b(task.encode("utf-8", "surrogatepass"), digest_size=7, key=key).digest()
    return "challenger" if int.from_bytes(digest, "big") < share * 2.0**56 else "champion"
