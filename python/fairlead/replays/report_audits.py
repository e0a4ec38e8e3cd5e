"""The parts of a replay's page that come from its audits: what a cascade would have saved, who contributed, and what
disagreement told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from fairlead import page
from fairlead.errors import TableError
from fairlead.replays import report_cells as cell
from fairlead.replays.cost_picture import Choice, cost_chart
from fairlead.replays.result import ReplayResult
from fairlead.svg import Dot, dot_chart, number

if TYPE_CHECKING:
    from fairlead.measure.agreement import Pair
    from fairlead.measure.audit import Audit
    from fairlead.measure.contribution import ContributionRow as Row
    from fairlead.policy.cascade import CascadeCurve

_MOST_MODELS = 62  # of a cascade
_MOST_TASKS = 5_000  # of contribution and agreement: the newest
_DRAWN = 16  # models
_CONTEXTS = 6
_STRONGEST = 5
_PAIRS = 4


def cascade(result: ReplayResult) -> str:
    """Accuracy against cost; why it is left out, where it is."""
    heading = "What it would have cost to ask fewer"
    if not result.tasks:
        return ""
    curve = _curve(result)
    if isinstance(curve, str):
        return page.section(heading, cell.note(f"No cost curve is drawn: {curve}."))
    best = curve.best
    verdict = (
        "<p>A cascade asks one model after the other, those first that bring most for their price, and stops when "
        f"another answer would hardly change the decision. Kept to at most {curve.budget:.0%} of the cost of the best "
        f"single model, it would have reached <strong>{number(100 * curve.of_accuracy, 1)}% of the accuracy of "
        f"{escape(best.name)} at {number(100 * curve.of_cost, 1)}% of its cost</strong>, with "
        f"{number(curve.chosen.asked, 1)} calls a task. {escape(best.name)} is the best choice that could have been "
        "made for all tasks.</p>"
    )
    thousand = 1_000.0
    choices = [
        Choice("cascade", thousand * curve.chosen.cost_usd, curve.chosen.accuracy, 1, large=True),
        *(Choice(c.name, thousand * c.cost_usd, c.accuracy, 2) for c in curve.pools),
        *(Choice(c.name, thousand * c.cost_usd, c.accuracy, 3 if c == best else 0) for c in curve.singles),
    ]
    chart = cost_chart(
        [(thousand * point.cost_usd, point.accuracy) for point in curve.points],
        choices,
        title="accuracy of the cascade and of fixed choices against their cost",
        unit="USD for 1,000 tasks",
    )
    caption = (
        "Further up is more often right, further left is cheaper. The line is the cascade as it stops sooner (left) or "
        "later (right), with all models to choose from; the large dot is the one whose models and stop were chosen on "
        "other tasks than it is judged on. Grey dots are single models, asked for every task; orange ones ask all and "
        f"pool the answers. What lies below and to the right of the line costs more for less. {curve.tasks:,} tasks; "
        f"{escape(curve.protocol)}."
    )
    return page.section(heading, verdict + page.figure(chart, caption))


def _curve(result: ReplayResult) -> CascadeCurve | str:
    """The cascade's curve on the audited tasks, in the order of time; or why there is none."""
    if result.kind != "binary":
        return "a cascade's curve is of yes-or-no questions"
    audits = [audit for audit in result.audits if audit.answers]
    paid: dict[str, float] = {}
    count: dict[str, int] = {}
    for audit in audits:
        for model in audit.answers:
            paid[model] = paid.get(model, 0.0) + audit.costs.get(model, 0.0)
            count[model] = count.get(model, 0) + 1
    if not any(paid.values()):
        return "the forecasts carry no costs (column cost_usd)"
    if len(paid) < 2:
        return "there is but one model"
    import numpy as np

    from fairlead.policy.cascade import cascade_curve

    models = sorted(sorted(count, key=lambda model: -count[model])[:_MOST_MODELS])
    p = np.full((len(audits), len(models)), np.nan)
    cost = np.zeros(p.shape)
    for i, audit in enumerate(audits):
        for m, model in enumerate(models):
            p[i, m] = audit.answers.get(model, np.nan)
            cost[i, m] = audit.costs.get(model, 0.0)
    outcome = np.array([audit.outcome for audit in audits], dtype=float)
    pools = {result.default: np.array([audit.p for audit in audits], dtype=float)}
    try:
        return cascade_curve(p, cost, outcome, models, pools=pools)
    except TableError as error:
        return str(error)


def contribution(result: ReplayResult) -> str:
    """Who made the decisions good: Shapley values, and what leaving a model out would have cost; by context for
    the strongest."""
    audits = result.audits[-_MOST_TASKS:]
    if not audits or len(result.models) < 2:
        return ""
    from fairlead.measure.contribution import contribution as contribution_of

    group = contribution_of(audits).groups[0]
    digits, unit = cell.digits(result), "squared error" if result.kind == "numeric" else "Brier score"
    dots = [
        Dot(row.model, row.shapley, number(row.shapley, digits, signed=True), 1, False, row.low, row.high)
        for row in _ends(group.rows)
    ]
    chart = dot_chart(
        dots,
        title="how much each model took away from the loss",
        axis=f"{unit} taken away (\u2192 more is better)",
        reference=0.0,
    )
    newest = "" if len(audits) == result.tasks else f"the newest {len(audits):,} of "
    most = escape(group.rows[0].model)
    told = (
        f"<p>Answering nothing in particular would have had a {unit} of {number(group.baseline, digits)}; the models "
        f"together, weighted as the default strategy weighted them, {number(group.loss, digits)}. The table splits "
        f"what lies between among them. <strong>{most}</strong> has the largest part.</p>"
    )
    caption = (
        "The Shapley value: what a model took away from the loss on average over all orders in which the models might "
        "have been added to the pool. All values together are what all took away; one left of the dashed line made it "
        "worse. A bar is the interval of 95%, with outcomes that became known together taken as one. A model counts "
        "for nothing where it has no weight, so this tells what it did, not what it could."
        + ("" if len(dots) == len(group.rows) else f" Of {len(group.rows)} models the ends are drawn.")
    )
    rows = []
    for row in group.rows:
        spread = "\u2013"
        if not math.isnan(row.low):
            spread = f"{number(row.low, digits, signed=True)} to {number(row.high, digits, signed=True)}"
        rows.append(
            f'<tr><th scope="row" class="name" title="{escape(row.model)}">{escape(row.model)}</th>'
            f"<td>{number(row.shapley, digits, signed=True)}</td><td>{spread}</td><td>{cell.percent(row.share)}</td>"
            f"<td>{number(row.leave_one_out, digits, signed=True)}</td><td>{cell.percent(row.weight)}</td>"
            f"<td>{number(row.loss, digits)}</td><td>{row.tasks:,}</td></tr>"
        )
    head = ["model", "Shapley value", "95% interval", "share", "left out", "mean weight", "own loss", "tasks"]
    note = cell.note(
        f"\u201cLeft out\u201d is how much more would have been lost a task without the model, its weight going to the "
        "others: smaller than the Shapley value where another model can stand in for it. \u201cMean weight\u201d is "
        f"over the tasks it answered. Over {newest}{result.tasks:,} tasks."
    )
    body = told + page.figure(chart, caption) + note + cell.table(head, rows) + _by_context(result, audits, digits)
    return page.section("Who made the decisions good", body)


def _ends(rows: Sequence[Row]) -> Sequence[Row]:
    """All, or those at both ends where they are many."""
    return rows if len(rows) <= _DRAWN else [*rows[: _DRAWN - 4], *rows[-4:]]


def _by_context(result: ReplayResult, audits: Sequence[Audit], digits: int) -> str:
    """Where the strongest models took away how much, in the largest contexts of one dimension."""
    from fairlead.measure.contribution import contribution as contribution_of

    dimension = _dimension(audits)
    if dimension is None:
        return ""
    found = contribution_of(audits, by=dimension).groups
    groups = sorted(sorted(found, key=lambda group: -group.tasks)[:_CONTEXTS], key=lambda group: group.context)
    total: dict[str, float] = {}
    for group in found:
        for row in group.rows:
            total[row.model] = total.get(row.model, 0.0) + group.tasks * row.shapley
    strongest = sorted(total, key=lambda model: -total[model])[:_STRONGEST]
    rows = []
    for model in strongest:
        cells = []
        for group in groups:
            mine = [row for row in group.rows if row.model == model]
            if not mine:
                cells.append("<td>\u2013</td>")
                continue
            row = mine[0]
            sure = math.isnan(row.low) or row.low > 0 or row.high < 0
            text = number(row.shapley, digits, signed=True)
            best = "best" if row is group.rows[0] else ""
            cells.append(f'<td class="{best}">{text if sure else f"({text})"}</td>')
        rows.append(f'<tr><th scope="row" class="name">{escape(model)}</th>{"".join(cells)}</tr>')
    cut = f" The {len(groups)} largest of {len(found)} are shown." if len(found) > len(groups) else ""
    note = cell.note(
        f"The strongest models by {escape(dimension)}: what each took away there, the most of each column bold; in "
        f"brackets where the interval of 95% includes nothing.{cut}"
    )
    word = "" if dimension == "category" else f"{dimension} "
    return note + cell.table(["model", *(f"{word}{group.context}" for group in groups)], rows)


def _dimension(audits: Sequence[Audit]) -> str | None:
    """Something with several values that tasks are told apart by: the category, or the first slice."""
    if len({audit.category for audit in audits}) > 1:
        return "category"
    names = dict.fromkeys(name for audit in audits for name in audit.slices)
    return next((name for name in names if len({audit.slices.get(name) for audit in audits}) > 1), None)


def agreement(result: ReplayResult) -> str:
    """How disagreement relates to quality, and which models err together."""
    audits = result.audits[-_MOST_TASKS:]
    if not audits or len(result.models) < 2:
        return ""
    from fairlead.measure.agreement import agreement as agreement_of

    group = agreement_of(audits).groups[0]
    if len(group.bins) < 2:
        return ""
    digits, unit = cell.digits(result), "squared error" if result.kind == "numeric" else "Brier score"
    relation = group.relation
    dots = []
    for i, one in enumerate(group.bins):
        name = "agree most" if i == 0 else "disagree most" if i + 1 == len(group.bins) else f"up to {one.high:.2g}"
        dots.append(Dot(name, one.loss, number(one.loss, digits), 1))
    chart = dot_chart(
        dots,
        title="loss of the default strategy by how far the models disagreed",
        axis=f"{unit} of the default strategy (\u2190 lower is better)",
    )
    if math.isnan(relation.correlation):
        word = "There is too little to say whether disagreement tells anything."
    else:
        proven = not math.isnan(relation.low) and (relation.low > 0 or relation.high < 0)
        ends = [number(end, 2, signed=True) for end in (relation.low, relation.high)]
        spread = "" if math.isnan(relation.low) else f", 95% interval {ends[0]} to {ends[1]}"
        word = (
            f"Where the models disagree, decisions are "
            f"<strong>{'worse' if relation.correlation > 0 else 'better'}</strong>"
            if proven
            else "That decisions are worse where the models disagree is <strong>not proven</strong> here"
        )
        word += f" (rank correlation of disagreement and loss {number(relation.correlation, 2, signed=True)}{spread})."
    first, last = group.bins[0].accuracy, group.bins[-1].accuracy
    if not math.isnan(first):
        part = "fifth" if len(dots) == 5 else "part"
        word += (
            f" In the {part} of the tasks where they agreed most, {first:.0%} of the decisions were right; where they "
            f"agreed least, {last:.0%}."
        )
    caption = (
        f"The tasks in {len(dots)} parts of about the same size, by how far the models\u2019 answers lay apart when "
        "the task was decided; in each the loss of the default strategy. Where the dots move right from top to bottom, "
        "disagreement is a warning, and a smaller position is right."
    )
    return page.section("What disagreement tells", f"<p>{word}</p>" + page.figure(chart, caption) + _pairs(group.pairs))


def _pairs(pairs: Sequence[Pair]) -> str:
    """The pairs that err together most, and least."""
    known = [pair for pair in pairs if not math.isnan(pair.errors)]
    if not known:
        return ""
    shown = known if len(known) <= 2 * _PAIRS else [*known[:_PAIRS], *known[-_PAIRS:]]
    rows = [
        f'<tr><th scope="row" class="name">{escape(pair.a)}</th><th scope="row" class="name">{escape(pair.b)}</th>'
        f"<td>{number(pair.errors, 2, signed=True)}</td><td>{cell.percent(pair.same)}</td><td>{pair.tasks:,}</td></tr>"
        for pair in shown
    ]
    cut = f" The {_PAIRS} most and the {_PAIRS} least alike of {len(known):,} pairs." if len(known) > len(shown) else ""
    note = cell.note(
        "Which models err together: the correlation of their errors, from +1 (the same mistakes, so that the second "
        f"adds nothing) to \u22121; and how often both think the same likeliest.{cut}"
    )
    return note + cell.table(["model", "model", "errors correlate", "same answer", "tasks"], rows)
