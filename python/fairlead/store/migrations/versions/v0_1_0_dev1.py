"""The tables of fairlead 0.1.0 before it routed tasks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Double, Text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KEY = BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    op.create_table(
        "alerts",
        Column("seq", _KEY, autoincrement=False, nullable=False),
        Column("timestamp", BigInteger, nullable=False),
        Column("model_name", Text),
        Column("category", Text),
        Column("severity", Text),
        Column("name", Text),
        Column("message", Text),
        Column("status", Text),
        Column("value", Double),
        Column("threshold", Double),
        Column("data", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_alerts"),
    )
    op.create_index("ix_alerts_model_name_timestamp", "alerts", ["model_name", "timestamp"])
    op.create_index("ix_alerts_timestamp", "alerts", ["timestamp"])
    op.create_table(
        "budgets",
        Column("name", Text, nullable=False),
        Column("model_name", Text, nullable=False),
        Column("category", Text, nullable=False),
        Column("created", BigInteger, nullable=False),
        Column("updated", BigInteger, nullable=False),
        Column("seq", BigInteger, nullable=False),
        Column("period", Text),
        Column("action", Text),
        Column("status", Text),
        Column("limit_usd", Double),
        Column("spent_usd", Double),
        Column("data", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("name", "model_name", "category", name="pk_budgets"),
    )
    op.create_table(
        "deployments",
        Column("seq", _KEY, autoincrement=False, nullable=False),
        Column("timestamp", BigInteger, nullable=False),
        Column("model_name", Text),
        Column("category", Text),
        Column("version", Text),
        Column("previous_version", Text),
        Column("stage", Text),
        Column("alias", Text),
        Column("status", Text),
        Column("reason", Text),
        Column("traffic", Double),
        Column("data", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_deployments"),
    )
    op.create_index("ix_deployments_model_name_timestamp", "deployments", ["model_name", "timestamp"])
    op.create_table(
        "ensemble_decisions",
        Column("seq", _KEY, autoincrement=False, nullable=False),
        Column("timestamp", BigInteger, nullable=False),
        Column("task", BigInteger, nullable=False),
        Column("task_id", Text),
        Column("category", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("strategy", Text),
        Column("answer", Double),
        Column("answers", _JSON),
        Column("weights", _JSON),
        Column("disagreement", Double),
        Column("uncertainty", Double),
        Column("position_scale", Double),
        Column("cost_usd", Double),
        Column("reasons", BigInteger),
        Column("status", Text, nullable=False),
        Column("outcome", Double),
        Column("outcome_label", Text),
        Column("outcome_time", BigInteger),
        Column("profit_usd", Double),
        sa.PrimaryKeyConstraint("seq", name="pk_ensemble_decisions"),
    )
    op.create_index("ix_ensemble_decisions_task", "ensemble_decisions", ["task"])
    op.create_index("ix_ensemble_decisions_timestamp", "ensemble_decisions", ["timestamp"])
    op.create_table(
        "journal_entries",
        Column("seq", _KEY, autoincrement=False, nullable=False),
        Column("model_name", Text),
        Column("event_type", Text, nullable=False),
        Column("timestamp", BigInteger, nullable=False),
        Column("category", Text),
        Column("metadata", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_journal_entries"),
    )
    op.create_index("ix_journal_entries_event_type_timestamp", "journal_entries", ["event_type", "timestamp"])
    op.create_index("ix_journal_entries_model_name_timestamp", "journal_entries", ["model_name", "timestamp"])
    op.create_index("ix_journal_entries_timestamp", "journal_entries", ["timestamp"])
    op.create_table(
        "model_health",
        Column("model_name", Text, nullable=False),
        Column("active", Boolean, nullable=False),
        Column("provider", Text),
        Column("tier", Text),
        Column("added", BigInteger),
        Column("removed", BigInteger),
        Column("last_seen", BigInteger),
        Column("calls", BigInteger, nullable=False),
        Column("failures", BigInteger, nullable=False),
        Column("consecutive_failures", BigInteger, nullable=False),
        Column("latency_n", BigInteger, nullable=False),
        Column("latency_ms_sum", Double, nullable=False),
        Column("cost_usd", Double, nullable=False),
        Column("last_latency_ms", Double),
        Column("last_error", Text),
        Column("last_error_time", BigInteger),
        Column("status", Text),
        Column("status_time", BigInteger),
        Column("data", _JSON),
        sa.PrimaryKeyConstraint("model_name", name="pk_model_health"),
    )
    op.create_table(
        "model_performance",
        Column("window_length", BigInteger, autoincrement=False, nullable=False),
        Column("window_start", BigInteger, autoincrement=False, nullable=False),
        Column("model_name", Text, nullable=False),
        Column("category", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("calls", BigInteger, nullable=False),
        Column("failed", BigInteger, nullable=False),
        Column("latency_n", BigInteger, nullable=False),
        Column("latency_ms_sum", Double, nullable=False),
        Column("cost_usd", Double, nullable=False),
        Column("tokens_in", BigInteger, nullable=False),
        Column("tokens_out", BigInteger, nullable=False),
        Column("scored", BigInteger, nullable=False),
        Column("correct", BigInteger, nullable=False),
        Column("brier_sum", Double, nullable=False),
        Column("log_loss_sum", Double, nullable=False),
        Column("absolute_error_sum", Double, nullable=False),
        Column("square_error_sum", Double, nullable=False),
        Column("latency_ms", Double),
        Column("brier", Double),
        Column("log_loss", Double),
        Column("accuracy", Double),
        Column("mae", Double),
        Column("rmse", Double),
        sa.PrimaryKeyConstraint(
            "window_length", "window_start", "model_name", "category", "kind", name="pk_model_performance"
        ),
    )
    op.create_index(
        "ix_model_performance_model_name_window_length_window_start",
        "model_performance",
        ["model_name", "window_length", "window_start"],
    )
    op.create_table(
        "model_versions",
        Column("model_name", Text, nullable=False),
        Column("version", Text, nullable=False),
        Column("created", BigInteger, nullable=False),
        Column("updated", BigInteger, nullable=False),
        Column("seq", BigInteger, nullable=False),
        Column("category", Text),
        Column("status", Text),
        Column("parent", Text),
        Column("run", Text),
        Column("digest", Text),
        Column("path", Text),
        Column("bytes", BigInteger),
        Column("first_seq", BigInteger),
        Column("last_seq", BigInteger),
        Column("loss", Double),
        Column("data", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("model_name", "version", name="pk_model_versions"),
    )
    op.create_table(
        "open_tasks",
        Column("task", _KEY, autoincrement=False, nullable=False),
        Column("task_id", Text),
        Column("category", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("opened", BigInteger, nullable=False),
        Column("stake_usd", Double),
        Column("expires_in_s", Double),
        Column("labels", _JSON, nullable=False),
        Column("answers", _JSON, nullable=False),
        Column("decisions", BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("task", name="pk_open_tasks"),
    )
    op.create_table(
        "projection_state",
        Column("id", _KEY, autoincrement=False, nullable=False),
        Column("journal", Text, nullable=False),
        Column("last_seq", BigInteger, nullable=False),
        Column("last_time", BigInteger),
        Column("last_digest", Text, nullable=False),
        Column("settings", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projection_state"),
    )
    op.create_table(
        "training_runs",
        Column("run", Text, nullable=False),
        Column("created", BigInteger, nullable=False),
        Column("updated", BigInteger, nullable=False),
        Column("seq", BigInteger, nullable=False),
        Column("model_name", Text),
        Column("category", Text),
        Column("version", Text),
        Column("status", Text),
        Column("reason", Text),
        Column("error", Text),
        Column("started", BigInteger),
        Column("finished", BigInteger),
        Column("seed", BigInteger),
        Column("first_seq", BigInteger),
        Column("last_seq", BigInteger),
        Column("progress", Double),
        Column("loss", Double),
        Column("cost_usd", Double),
        Column("data", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("run", name="pk_training_runs"),
    )
    op.create_index("ix_training_runs_model_name_created", "training_runs", ["model_name", "created"])
