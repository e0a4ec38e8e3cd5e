"""`pooled`: a managed model whose versions answer together, put together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.pipeline import Policy, RetrainingPipeline
from fairlead.lifecycle.pool.growth import OnAnswers, OnGrowth
from fairlead.lifecycle.pool.pool import Pool
from fairlead.lifecycle.pool.together import Pooled
from fairlead.lifecycle.pool.windows import Windows
from fairlead.lifecycle.proving import Plan
from fairlead.lifecycle.signals import RetrainTrigger
from fairlead.lifecycle.trainer import Trainer


def pooled(
    name: str,
    trainer: Trainer,
    registry: Any,
    *,
    keep: int = 8,
    growth: float = 0.1,
    policy: Policy | None = None,
    plan: Plan | None = None,
    **more: Any,
) -> Pooled:
    """A managed model for a stream that drifts, whose versions answer together; with `fleet.manage(..., make=pooled)`
    it is one of a fleet.

    It retrains when there are new labels for a tenth of what is at hand (`growth`), or when its answers are found to
    have become worse; from as many of the newest examples as have served best lately (`Windows`), after a change from
    those since. keep: versions in the pool. policy, plan, more: as of `RetrainingPipeline`; the policy's window and the
    trigger are its own.

    There is no watch after a promotion, as the champion before stays in the pool.

    Raises InvalidRecordError for what cannot be, and what `RetrainingPipeline` raises.

    >>> import tempfile
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fairlead.lifecycle import Examples, Schema
    >>> from fairlead.lifecycle.trainers import SklearnTrainer
    >>> rng = np.random.default_rng(1)
    >>> schema, x = Schema("binary", ["load", "price"]), rng.normal(size=(1500, 2))
    >>> y = (x[:, 0] > 0).astype(int)
    >>> y[800:] = 1 - y[800:]  # the rule turns round
    >>> trainer = SklearnTrainer(LogisticRegression())
    >>> trainer.fit(Examples(schema, x[:300], y[:300]))
    >>> folder = tempfile.TemporaryDirectory()
    >>> demand, right = pooled("demand", trainer, folder.name), []
    >>> for n in range(300, 1500):
    ...     right.append((demand.predict(x[n], f"task {n}", n).p > 0.5) == y[n])
    ...     demand.learn(f"task {n}", y[n], n)
    ...     _ = demand.step(n)
    >>> bool(np.mean(right[-300:]) > 0.95)
    True
    >>> demand.close()
    >>> folder.cleanup()
    """
    if "trigger" in more:
        raise InvalidRecordError("trigger is given, but versions that answer together have their own")
    windows, answers = Windows(), OnAnswers()
    made: list[Pooled] = []

    def window(since_drift: int, at_hand: int) -> int:
        return made[0].choose(since_drift, at_hand) if made else at_hand

    policy = policy if policy is not None else Policy(holdback=0.01, least_holdback=1)
    pipeline = RetrainingPipeline(
        name,
        trainer,
        registry,
        policy=replace(policy, window=window),
        trigger=RetrainTrigger(answers, OnGrowth(growth, answers=answers), cooldown=None, least=policy.needed),
        plan=plan,
        **{"watch": None, **more},
    )
    made.append(Pooled(pipeline, trainer, Pool(pipeline.schema.kind, keep=keep), windows=windows, answers=answers))
    return made[0]
