"""Training jobs: each in a process of its own, watched, limited, and able to go on after a death."""

from __future__ import annotations

from fairlead.lifecycle.jobs.asking import Jobs
from fairlead.lifecycle.jobs.faults import (
    JobError,
    JobFailedError,
    JobsLockedError,
    NotSendableError,
    UnknownJobError,
)
from fairlead.lifecycle.jobs.inline import InlineJobs
from fairlead.lifecycle.jobs.job import Job
from fairlead.lifecycle.jobs.jobs import TrainingJobs
from fairlead.lifecycle.jobs.orders import EarlyStopping, Limits
from fairlead.lifecycle.jobs.status import JobResult, JobStatus

__all__ = [
    "EarlyStopping",
    "InlineJobs",
    "Job",
    "JobError",
    "JobFailedError",
    "JobResult",
    "JobStatus",
    "Jobs",
    "JobsLockedError",
    "Limits",
    "NotSendableError",
    "TrainingJobs",
    "UnknownJobError",
]
