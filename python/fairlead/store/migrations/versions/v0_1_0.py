"""The tables of fairlead 0.1.0: the shape of decisions, and runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import BigInteger, Column, Double, Text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEY = BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("ensemble_decisions", Column("chosen", Text))
    for name in ("spread", "entropy", "divergence", "pairwise", "low", "high"):
        op.add_column("ensemble_decisions", Column(name, Double))
    op.create_table(
        "runs",
        Column("seq", _KEY, autoincrement=False, nullable=False),
        Column("timestamp", BigInteger, nullable=False),
        Column("agent", Text),
        Column("category", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("duration_ms", Double),
        Column("cost_usd", Double),
        Column("cost_nanos", BigInteger),
        Column("compute_s", Double),
        Column("memory_mb", Double),
        Column("tokens", BigInteger),
        Column("api_calls", BigInteger),
        Column("error", Text),
        sa.PrimaryKeyConstraint("seq", name="pk_runs"),
    )
    for columns in (["timestamp"], ["agent", "timestamp"]):
        op.create_index(f"ix_runs_{'_'.join(columns)}", "runs", columns)
