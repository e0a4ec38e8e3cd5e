"""The tables of fairlead 0.1.0 before decisions told their shape: routes and calls, beside those there were."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import BigInteger, Column, Double, Text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEY = BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    op.create_table(
        "calls",
        Column("seq", _KEY, autoincrement=False, nullable=False),
        Column("timestamp", BigInteger, nullable=False),
        Column("task", BigInteger),
        Column("attempt", BigInteger),
        Column("model_name", Text),
        Column("category", Text, nullable=False),
        Column("ended", Text, nullable=False),
        Column("failure", Text),
        Column("cost_usd", Double),
        Column("cost_nanos", BigInteger),
        Column("latency_ms", Double),
        Column("first_token_ms", Double),
        Column("retry_after_ms", Double),
        Column("tokens_in", BigInteger),
        Column("tokens_out", BigInteger),
        Column("tokens_cached", BigInteger),
        Column("tokens_written", BigInteger),
        Column("calls", BigInteger),
        sa.PrimaryKeyConstraint("seq", name="pk_calls"),
    )
    op.create_table(
        "routes",
        Column("seq", _KEY, autoincrement=False, nullable=False),
        Column("timestamp", BigInteger, nullable=False),
        Column("task", BigInteger),
        Column("attempt", BigInteger),
        Column("task_id", Text),
        Column("model_name", Text),
        Column("category", Text, nullable=False),
        Column("task_type", Text, nullable=False),
        Column("goal", Text),
        Column("propensity", Double),
        Column("quality", Double),
        Column("spread", Double),
        Column("cost_usd", Double),
        Column("latency_ms", Double),
        Column("reserved_usd", Double),
        Column("reserved_nanos", BigInteger),
        Column("reasons", _JSON, nullable=False),
        Column("runners_up", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_routes"),
    )
    for table in ("calls", "routes"):
        for columns in (["task"], ["timestamp"], ["model_name", "timestamp"]):
            op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)
