"""The first act, told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fairlead.demo.cast import Cast
from fairlead.demo.first_act import ALARM, DemoResult, mean, stream
from fairlead.demo.sensor import DELAY, FAULT_AT, SIDE, TRAINED
from fairlead.demo.teller import Teller, sparkline, table_of
from fairlead.measure import Leaderboard
from fairlead.types import Decision

if TYPE_CHECKING:
    from rich.table import Table


def tell(teller: Teller, cast: Cast) -> DemoResult:
    """Plays the first act and prints it."""
    with teller.screen() as draw:

        def watch(done: int, board: Leaderboard, decision: Decision) -> None:
            if draw is not None:
                draw(_moment(done, board, decision))
                time.sleep(0.02)  # two to three seconds in all, so that an eye can follow

        result = stream(cast, watch)

    best, gain = result.best_single, 1.0 - result.combined.brier / result.best_single.score.brier
    trusted = max(result.models, key=lambda model: model.share_before)
    teller.chapter(
        "Six classifiers read handwritten digits. Half-way, their sensor breaks.",
        f"They learned from {TRAINED} images; {2 * FAULT_AT} more come one by one. fairlead records what each says, "
        f"decides, and is told the true digit {DELAY} images later. From image {FAULT_AT + 1} on, the sensor moves "
        "every image one pixel to the right and adds noise. Nobody tells fairlead.",
        _pictures(result, teller.ascii_only),
    )
    elo = "Elo, as in chess: on every image, whoever was closer to the truth takes points from the others."
    teller.chapter("Ratings move", elo, _ratings(result, teller.ascii_only))
    teller.chapter(
        "Drift rises where the fault hurts",
        "Drift compares a model's confidence now with what was normal for it; it needs no outcomes, and above "
        f"{ALARM} it is an alarm. The Brier score, the error of its probabilities, tells who was really hurt.",
        _drift(result),
    )
    teller.chapter(
        "One decision out of six answers",
        "The fleet learns whom to trust while it decides; which single model is best is known only in hindsight. The "
        f"combined decision's Brier score is {abs(gain):.0%} {'below' if gain > 0 else 'above'} that of {best.name}.",
        _decisions(result),
    )
    teller.say(
        f"Just before the fault, {trusted.name} carried {trusted.share_before:.0%} of the weight. At the end, in the "
        f"decision's own words: {'; '.join(result.reasons)}.\n"
    )
    return result


def _moment(done: int, board: Leaderboard, decision: Decision) -> Table:
    from rich.progress_bar import ProgressBar

    table = table_of("<model", "<rating", "elo", "drift", "weight")
    table.title = f"image {done} of {2 * FAULT_AT}: the sensor {'is broken' if done > FAULT_AT else 'works'}"
    for row in sorted(board, key=lambda row: row.model):
        bar = ProgressBar(total=900, completed=max(0.0, row.elo - 1000), width=28)
        table.add_row(row.model, bar, f"{row.elo:.0f}", _alarming(row.drift), f"{decision.weights[row.model]:.0%}")
    return table


def _pictures(result: DemoResult, ascii_only: bool) -> Table:
    shades = " .:*#" if ascii_only else " ░▒▓█"
    table = table_of(*2 * ("<sensor works", "<sensor broken"))
    for row in range(0, SIDE * SIDE, SIDE):
        strips = [picture[row : row + SIDE] for picture in result.pictures]
        table.add_row(*("".join(2 * shades[round(4 * x)] for x in strip) for strip in strips))
    return table


def _ratings(result: DemoResult, ascii_only: bool) -> Table:
    up, down, fault = ("+", "-", "|") if ascii_only else ("▲", "▼", "┊")
    span = 6  # ratings in one character of the line
    low, high = min(min(m.elo) for m in result.models), max(max(m.elo) for m in result.models)
    table = table_of("<model", "<what it sees", "before", "after", "change", "<before the fault, after it")
    for m in result.models:
        line = sparkline([mean(m.elo[i : i + span]) for i in range(0, len(m.elo), span)], low, high, ascii_only)
        change = m.elo_after - m.elo_before
        moved = f"[green]{up} {change:.0f}[/]" if change > 0 else f"[red]{down} {-change:.0f}[/]"
        line = line[: len(line) // 2] + fault + line[len(line) // 2 :]
        table.add_row(m.name, m.sees, f"{m.elo_before:.0f}", f"{m.elo_after:.0f}", moved, line)
    return table


def _drift(result: DemoResult) -> Table:
    table = table_of("<model", "drift before", "after", "alarm after", "Brier before", "after")
    for m in sorted(result.models, key=lambda m: -m.drift_after):
        alarm = "no alarm" if m.alarm is None else f"{m.alarm} images"
        drift = _alarming(m.drift_before), _alarming(m.drift_after)
        table.add_row(m.name, *drift, alarm, f"{m.score.brier_before:.3f}", f"{m.score.brier_after:.3f}")
    return table


def _alarming(drift: float) -> str:
    return f"[red]{drift:.2f}[/]" if drift > ALARM else f"{drift:.2f}".replace("nan", "-")


def _decisions(result: DemoResult) -> Table:
    table = table_of("<who decides", "Brier", "before", "after", "log-loss", "accuracy")
    for name, score, style in (
        (f"fairlead ({result.strategy})", result.combined, "bold green"),
        (f"{result.best_single.name}, best single model", result.best_single.score, ""),
        ("all six, equal weights", result.mean, ""),
    ):
        numbers = (score.brier, score.brier_before, score.brier_after, score.log_loss)
        table.add_row(name, *(f"{x:.3f}" for x in numbers), f"{score.accuracy:.1%}", style=style)
    return table
