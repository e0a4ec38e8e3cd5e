"""The tables of the store, the same on SQLite and PostgreSQL.

Every row is a projection of the journal: nothing is here that the journal does not have. Times are integer nanoseconds
since the epoch, UTC; money is USD; JSON columns are text that `->>` reads on both databases. A change here needs a
migration (`migrations/versions/`); a test holds the two together.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

Key = BigInteger().with_variant(Integer(), "sqlite")  # SQLite: an alias of the row's id, which needs no second tree


Json = JSON(none_as_null=True)


def _key(name: str) -> Column[int]:
    return Column(name, Key, primary_key=True, autoincrement=False)


def _text(name: str, *, key: bool = False, nullable: bool = True) -> Column[str]:
    return Column(name, Text, primary_key=key, nullable=nullable and not key)


def _of(kind: type[TypeEngine[Any]] | TypeEngine[Any], *names: str, nullable: bool = True) -> list[Column[Any]]:
    return [Column(name, kind, nullable=nullable) for name in names]


model_performance = Table(
    "model_performance",
    metadata,
    # A window [window_start, window_start + window_length) of the events' own times. category '' is all of them.
    Column("window_length", BigInteger, primary_key=True, autoincrement=False),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    _text("model_name", key=True),
    _text("category", key=True),
    _text("kind", key=True),
    # Forecasts made in the window.
    *_of(BigInteger, "calls", "failed", "latency_n", nullable=False),
    *_of(Double, "latency_ms_sum", "cost_usd", nullable=False),
    *_of(BigInteger, "tokens_in", "tokens_out", nullable=False),
    # Answers whose outcome became known in it; Brier score and log-loss are of probabilities, errors of numbers.
    *_of(BigInteger, "scored", "correct", nullable=False),
    *_of(Double, "brier_sum", "log_loss_sum", "absolute_error_sum", "square_error_sum", nullable=False),
    # The means of the above, NULL where there is nothing to average.
    *_of(Double, "latency_ms", "brier", "log_loss", "accuracy", "mae", "rmse"),
    Index(None, "model_name", "window_length", "window_start"),
)

model_health = Table(
    "model_health",
    metadata,
    _text("model_name", key=True),
    Column("active", Boolean(create_constraint=False), nullable=False),  # in the fleet now
    _text("provider"),
    _text("tier"),
    *_of(BigInteger, "added", "removed", "last_seen"),
    *_of(BigInteger, "calls", "failures", "consecutive_failures", "latency_n", nullable=False),
    *_of(Double, "latency_ms_sum", "cost_usd", nullable=False),
    *_of(Double, "last_latency_ms"),
    _text("last_error"),
    *_of(BigInteger, "last_error_time"),
    _text("status"),  # of the newest `health` event, and the rest of what it said
    *_of(BigInteger, "status_time"),
    *_of(Json, "data"),
)

ensemble_decisions = Table(
    "ensemble_decisions",
    metadata,
    _key("seq"),
    *_of(BigInteger, "timestamp", "task", nullable=False),  # task: the number of the task
    _text("task_id"),
    _text("category", nullable=False),
    _text("kind", nullable=False),
    _text("strategy"),
    *_of(Double, "answer"),  # P(1), or the number; NULL for a categorical task
    *_of(Json, "answers"),  # of a categorical task: probability by label
    *_of(Json, "weights"),  # by model
    *_of(Double, "disagreement", "uncertainty", "position_scale", "cost_usd"),
    *_of(BigInteger, "reasons"),
    _text("status", nullable=False),  # open, settled, or void: its outcome will never be known
    *_of(Double, "outcome"),  # 0 or 1, the index of the label, or the number
    _text("outcome_label"),
    *_of(BigInteger, "outcome_time"),
    *_of(Double, "profit_usd"),
    # What the answers looked like; NULL of decisions from before it was told.
    _text("chosen"),  # the strategy that auto follows most; of another strategy it is that
    *_of(Double, "spread", "entropy", "divergence", "pairwise", "low", "high"),
    Index(None, "task"),
    Index(None, "timestamp"),
)

open_tasks = Table(
    "open_tasks",
    metadata,
    _key("task"),
    _text("task_id"),
    _text("category", nullable=False),
    _text("kind", nullable=False),
    *_of(BigInteger, "opened", nullable=False),
    *_of(Double, "stake_usd", "expires_in_s"),
    *_of(
        Json, "labels", "answers", nullable=False
    ),  # answers: by model, the newest; what an outcome will be held against
    *_of(BigInteger, "decisions", nullable=False),
)

# task and attempt say which call a route is of, and which route a call.
routes = Table(
    "routes",
    metadata,
    _key("seq"),
    *_of(BigInteger, "timestamp", nullable=False),
    *_of(BigInteger, "task", "attempt"),  # attempt: the n-th call for the task, from 1; 0: nobody is asked
    _text("task_id"),
    _text("model_name"),  # NULL: nobody is there to be asked
    _text("category", nullable=False),
    _text("task_type", nullable=False),  # '' = none
    _text("goal"),
    *_of(Double, "propensity"),
    *_of(Double, "quality", "spread", "cost_usd", "latency_ms"),  # what was expected
    *_of(Double, "reserved_usd"),
    *_of(BigInteger, "reserved_nanos"),
    *_of(Json, "reasons", "runners_up", nullable=False),
    Index(None, "task"),
    Index(None, "timestamp"),
    Index(None, "model_name", "timestamp"),
)

calls = Table(
    "calls",
    metadata,
    _key("seq"),
    *_of(BigInteger, "timestamp", nullable=False),
    *_of(BigInteger, "task", "attempt"),
    _text("model_name"),
    _text("category", nullable=False),
    _text("ended", nullable=False),  # answered, failed, released, or lost
    _text("failure"),  # of what kind, of one that failed
    *_of(Double, "cost_usd"),  # NULL: not known
    *_of(BigInteger, "cost_nanos"),  # the same in nano-dollars, to the last of them
    *_of(Double, "latency_ms", "first_token_ms", "retry_after_ms"),
    *_of(BigInteger, "tokens_in", "tokens_out", "tokens_cached", "tokens_written"),
    *_of(BigInteger, "calls"),  # requests that were sent, repeats included
    Index(None, "task"),
    Index(None, "timestamp"),
    Index(None, "model_name", "timestamp"),
)

# What programs did that is no forecast.
runs = Table(
    "runs",
    metadata,
    _key("seq"),
    *_of(BigInteger, "timestamp", nullable=False),
    _text("agent"),  # the name of what ran
    _text("category", nullable=False),
    _text("status", nullable=False),  # ok, error, timeout, or cancelled
    *_of(Double, "duration_ms", "cost_usd"),  # NULL: not known
    *_of(BigInteger, "cost_nanos"),  # the same in nano-dollars, to the last of them
    *_of(Double, "compute_s", "memory_mb"),
    *_of(BigInteger, "tokens", "api_calls"),
    _text("error"),
    Index(None, "timestamp"),
    Index(None, "agent", "timestamp"),
)

journal_entries = Table(
    "journal_entries",
    metadata,
    _key("seq"),
    _text("model_name"),
    _text("event_type", nullable=False),
    *_of(BigInteger, "timestamp", nullable=False),
    _text("category"),
    *_of(Json, "metadata", nullable=False),
    Index(None, "model_name", "timestamp"),
    Index(None, "event_type", "timestamp"),
    Index(None, "timestamp"),
)

# --- cold events: the fields that have a column, the rest of the JSON in `data` ---

alerts = Table(
    "alerts",
    metadata,
    _key("seq"),
    *_of(BigInteger, "timestamp", nullable=False),
    *_of(Text, "model_name", "category", "severity", "name", "message", "status"),
    *_of(Double, "value", "threshold"),
    *_of(Json, "data", nullable=False),
    Index(None, "timestamp"),
    Index(None, "model_name", "timestamp"),
)

deployments = Table(
    "deployments",
    metadata,
    _key("seq"),
    *_of(BigInteger, "timestamp", nullable=False),
    *_of(Text, "model_name", "category", "version", "previous_version", "stage", "alias", "status", "reason"),
    *_of(Double, "traffic"),
    *_of(Json, "data", nullable=False),
    Index(None, "model_name", "timestamp"),
)

# One row for each thing: what the events about it have said so far, the newest word of each field.
budgets = Table(
    "budgets",
    metadata,
    _text("name", key=True),
    _text("model_name", key=True),  # '' = the fleet
    _text("category", key=True),  # '' = all
    *_of(BigInteger, "created", "updated", "seq", nullable=False),
    *_of(Text, "period", "action", "status"),
    *_of(Double, "limit_usd", "spent_usd"),
    *_of(Json, "data", nullable=False),
)

training_runs = Table(
    "training_runs",
    metadata,
    _text("run", key=True),
    *_of(BigInteger, "created", "updated", "seq", nullable=False),
    *_of(Text, "model_name", "category", "version", "status", "reason", "error"),
    *_of(BigInteger, "started", "finished", "seed", "first_seq", "last_seq"),
    *_of(Double, "progress", "loss", "cost_usd"),
    *_of(Json, "data", nullable=False),
    Index(None, "model_name", "created"),
)

model_versions = Table(
    "model_versions",
    metadata,
    _text("model_name", key=True),
    _text("version", key=True),
    *_of(BigInteger, "created", "updated", "seq", nullable=False),
    *_of(Text, "category", "status", "parent", "run", "digest", "path"),
    *_of(BigInteger, "bytes", "first_seq", "last_seq"),
    *_of(Double, "loss"),
    *_of(Json, "data", nullable=False),
)

# One row: how far the rows above are. It is written in the same transaction as they are.
projection_state = Table(
    "projection_state",
    metadata,
    _key("id"),
    _text("journal", nullable=False),  # id of the journal, hexadecimal; '' where it was not told
    *_of(BigInteger, "last_seq", nullable=False),
    *_of(BigInteger, "last_time"),
    _text("last_digest", nullable=False),  # of that event: a journal that lost its end and went on differs here
    *_of(Json, "settings", nullable=False),  # what the projection was told: windows, entries
)

PROJECTED = tuple(t for t in metadata.sorted_tables if t is not projection_state)
"""All tables whose rows follow from the journal."""
