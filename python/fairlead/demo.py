"""A story to watch: six classifiers read handwritten digits, and half-way their sensor breaks.

Everything runs through `Fleet` as it would live: each image is a task, the models' probabilities are recorded,
the fleet decides, and what the digit really was becomes known a few images later. The classifiers and the digits
come from scikit-learn, the extra `[demo]`. `run` plays the story and returns what happened, `show` also tells it.
"""

from __future__ import annotations

import math
import textwrap
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from fairlead.fleet import Fleet
from fairlead.measure import Leaderboard
from fairlead.settings import Settings
from fairlead.types import Decision, Forecast, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console
    from rich.table import Table

TRAINED = 597  # images the classifiers learn from; the other 1200 are streamed
FAULT_AT = 600  # so many images are streamed before the sensor breaks, half of all
DELAY = 5  # what a digit was becomes known so many images later
ALARM = 0.25  # drift above this is an alarm

NEXT = """\
import fairlead as fl

fleet = fl.Fleet()
fleet.add("gpt-4o")
fleet.add("local-logit")
task = fl.Task("q-17", kind="binary", category="politics")
fleet.record(task, fl.Forecast("gpt-4o", p=0.72))
fleet.record(task, fl.Forecast("local-logit", p=0.55))
print(fleet.decide(task).answer)
fleet.settle("q-17", outcome=1)
print(fleet.leaderboard())"""

_SIDE = 8  # pixels
_STEP = 10  # images between two looks at the leaderboard
_WINDOW = 300  # images in the reference and in the window of the drift measure
_SMALLEST = 2.0**-52  # log-loss takes no probability for smaller, as in the core


@dataclass(frozen=True, slots=True)
class Score:
    """Mean scores over the whole stream, and Brier scores before and after the fault."""

    brier: float
    brier_before: float
    brier_after: float
    log_loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class ModelStory:
    """What became of one classifier. `before` is when the sensor broke, `after` the end of the stream.

    elo: its rating, every 10 images. alarm: images from the fault until its drift passed `ALARM`, None if it never
    did. share_before: its weight in the decision, mean of the last 100 images before the fault.
    """

    name: str
    sees: str
    elo: tuple[float, ...]
    elo_before: float
    elo_after: float
    drift_before: float
    drift_after: float
    alarm: int | None
    share_before: float
    score: Score


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The whole story in numbers.

    models: by rating at the end. best_single: the one with the best Brier score over the whole stream, which is
    known only in hindsight. combined: the fleet's default decision, made with `strategy`. mean: the equal-weight
    mean. reasons: of the last decision. pictures: two digits, each as the working and as the broken sensor sees it, 64
    pixels in [0, 1].
    """

    models: tuple[ModelStory, ...]
    best_single: ModelStory
    combined: Score
    mean: Score
    strategy: str
    reasons: tuple[str, ...]
    pictures: tuple[tuple[float, ...], ...]


def run(*, seed: int = 7) -> DemoResult:
    """Plays the story: trains six classifiers, streams 1200 images through a fleet, breaks the sensor half-way.

    seed: of the noise and of the classifiers that draw lots; the same seed gives the same result.
    Raises ImportError where scikit-learn is missing.
    """
    return _stream(_prepare(seed))


# --- the classifiers and the sensor ---


@dataclass(frozen=True, slots=True)
class _Cast:
    """What is fixed before the stream begins. answers[model][image] holds ten probabilities."""

    sees: dict[str, str]
    answers: dict[str, list[list[float]]]
    digits: list[int]
    pictures: tuple[tuple[float, ...], ...]


def _prepare(seed: int) -> _Cast:
    """Trains the classifiers on the early images and lets them read the later ones, half of them through the fault."""
    try:
        import numpy as np
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.datasets import load_digits
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.neural_network import MLPClassifier
        from sklearn.svm import SVC
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn brings it
    except ImportError as error:
        raise ImportError('the demo needs scikit-learn: pip install "fairlead[demo]"') from error

    rng = np.random.default_rng(seed)

    def moved(images: NDArray[np.float64], down: int, right: int, noise: float) -> NDArray[np.float64]:
        shifted = np.roll(images, (down, right), axis=(1, 2))
        return (shifted + rng.normal(0.0, noise, images.shape)).clip(0.0, 1.0)

    pixels, digits = load_digits(return_X_y=True)
    images = pixels.reshape(-1, _SIDE, _SIDE) / pixels.max()
    early, later = images[:TRAINED], images[TRAINED:]
    seen = np.concatenate([later[:FAULT_AT], moved(later[FAULT_AT:], 0, 1, 0.1)])
    # One model expects a careless sensor: it also learned from noisy copies moved up, down, left and right.
    moves = 3 * ((0, 1), (0, -1), (1, 0), (-1, 0))
    jittered = np.concatenate([early, *(moved(early, down, right, 0.12) for down, right in moves)])

    svm = CalibratedClassifierCV(SVC(C=10), method="isotonic", ensemble=False)
    network = MLPClassifier(96, alpha=0.3, learning_rate_init=0.002, tol=0.001, n_iter_no_change=3, random_state=seed)
    classifiers: dict[str, tuple[str, Any, NDArray[np.float64], NDArray[np.float64]]] = {
        "neighbours": ("raw pixels", KNeighborsClassifier(8, weights="distance"), early, seen),
        "discriminant": ("raw pixels", LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"), early, seen),
        "logistic": ("raw pixels", LogisticRegression(C=100, max_iter=1000), early, seen),
        "svm": ("raw pixels", svm, early, seen),
        "network": ("raw, jittered", network, jittered, seen),
        "forest": ("centred ink", RandomForestClassifier(100, random_state=seed), _centred(early), _centred(seen)),
    }
    answers = {}
    with threadpool_limits(1):  # the matrices are so small that threads would only wait for one another
        for name, (_, classifier, learned, read) in classifiers.items():
            classifier.fit(learned.reshape(len(learned), -1), np.resize(digits[:TRAINED], len(learned)))
            answers[name] = classifier.predict_proba(read.reshape(len(read), -1)).tolist()
    pictures = [sensor[i].ravel().tolist() for i in (FAULT_AT, FAULT_AT + 1) for sensor in (later, seen)]
    return _Cast(
        sees={name: entry[0] for name, entry in classifiers.items()},
        answers=answers,
        digits=digits[TRAINED:].tolist(),
        pictures=tuple(map(tuple, pictures)),
    )


def _centred(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Black and white images, each rolled so that the middle of its ink is the middle of the frame."""
    import numpy as np

    ink = np.where(images > 0.3, images, 0.0)
    place = np.arange(_SIDE) - (_SIDE - 1) / 2
    down, right = (np.round(ink.sum(axis=axis) @ place / ink.sum(axis=(1, 2))).astype(int) for axis in (2, 1))
    rolled = [np.roll(image, (-d, -r), (0, 1)) for image, d, r in zip(images, down, right, strict=True)]
    return np.where(np.stack(rolled) > 0.4, 1.0, 0.0)


# --- the stream ---


def _stream(cast: _Cast, watch: Callable[[int, Leaderboard, Decision], object] | None = None) -> DemoResult:
    """Streams the images through a fleet, which is told of outcomes, not of the fault. watch: every 10 images."""
    fleet = Fleet(settings=Settings(psi_reference=_WINDOW, psi_window=_WINDOW), clock=count(1).__next__)
    for name in cast.answers:
        fleet.add(name)

    waiting: deque[tuple[str, int]] = deque()
    decisions: list[Decision] = []
    averaged: list[list[float]] = []
    boards: list[Leaderboard] = []
    for i, digit in enumerate(cast.digits):
        if len(waiting) == DELAY:
            fleet.settle(*waiting.popleft())
        task = Task(f"image-{i}", kind="categorical", labels=tuple("0123456789"))
        for name, answers in cast.answers.items():
            fleet.record(task, Forecast(name, p=answers[i]))
        decisions.append(fleet.decide(task))
        averaged.append(_vector(fleet.decide(task, strategy="mean")))
        waiting.append((task.id, digit))
        if (i + 1) % _STEP == 0:
            boards.append(fleet.leaderboard())
            if watch is not None:
                watch(i + 1, boards[-1], decisions[-1])

    stories = [_story(name, cast, boards, decisions) for name in cast.answers]
    return DemoResult(
        models=tuple(sorted(stories, key=lambda story: -story.elo_after)),
        best_single=min(stories, key=lambda story: story.score.brier),
        combined=_score([_vector(decision) for decision in decisions], cast.digits),
        mean=_score(averaged, cast.digits),
        strategy=decisions[-1].strategy,
        reasons=decisions[-1].reasons,
        pictures=cast.pictures,
    )


def _story(name: str, cast: _Cast, boards: list[Leaderboard], decisions: list[Decision]) -> ModelStory:
    rows = [board[name] for board in boards]
    before, after = rows[FAULT_AT // _STEP - 1], rows[-1]
    return ModelStory(
        name=name,
        sees=cast.sees[name],
        elo=tuple(row.elo for row in rows),
        elo_before=before.elo,
        elo_after=after.elo,
        drift_before=before.drift,
        drift_after=after.drift,
        alarm=next((_STEP * i - FAULT_AT for i, row in enumerate(rows, 1) if row.drift > ALARM), None),
        share_before=_mean([decision.weights[name] for decision in decisions[FAULT_AT - 100 : FAULT_AT]]),
        score=_score(cast.answers[name], cast.digits),
    )


def _vector(decision: Decision) -> list[float]:
    assert isinstance(decision.p, dict)  # the tasks are categorical
    return list(decision.p.values())


def _score(answers: Sequence[Sequence[float]], digits: Sequence[int]) -> Score:
    pairs = list(zip(answers, digits, strict=True))
    brier = [math.fsum(x * x for x in p) - 2.0 * p[y] + 1.0 for p, y in pairs]
    return Score(
        brier=_mean(brier),
        brier_before=_mean(brier[:FAULT_AT]),
        brier_after=_mean(brier[FAULT_AT:]),
        log_loss=_mean([-math.log(max(p[y], _SMALLEST)) for p, y in pairs]),
        accuracy=_mean([float(p.index(max(p)) == y) for p, y in pairs]),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


# --- the telling ---


def show(console: Console, *, seed: int = 7) -> DemoResult:
    """Plays the story and prints it: live on a terminal, plain text elsewhere. Raises ImportError as `run` does."""
    from rich.live import Live

    def say(text: str, style: str = "") -> None:
        lines = [textwrap.fill(line, min(console.width, 88)) for line in text.split("\n")]
        console.print("\n".join(lines), style=style, highlight=False, markup=False)

    def chapter(title: str, text: str, table: Table) -> None:
        say(title, "bold")
        say(text + "\n")
        console.print(table, "")

    live = console.is_interactive and console.file.isatty()  # where colours are forced, rich calls a pipe interactive
    with console.status("six classifiers learn to read ...") if live else nullcontext():
        cast = _prepare(seed)
    with Live(console=console, transient=True, auto_refresh=False) if live else nullcontext() as screen:

        def watch(done: int, board: Leaderboard, decision: Decision) -> None:
            if screen is not None:
                screen.update(_moment(done, board, decision), refresh=True)
                time.sleep(0.02)  # two to three seconds in all, so that an eye can follow

        result = _stream(cast, watch)

    ascii_only = console.options.ascii_only
    best, gain = result.best_single, 1.0 - result.combined.brier / result.best_single.score.brier
    trusted = max(result.models, key=lambda model: model.share_before)
    chapter(
        "Six classifiers read handwritten digits. Half-way, their sensor breaks.",
        f"They learned from {TRAINED} images; {2 * FAULT_AT} more come one by one. fairlead records what each says, "
        f"decides, and is told the true digit {DELAY} images later. From image {FAULT_AT + 1} on, the sensor moves "
        "every image one pixel to the right and adds noise. Nobody tells fairlead.",
        _pictures(result, ascii_only),
    )
    elo = "Elo, as in chess: on every image, whoever was closer to the truth takes points from the others."
    chapter("Ratings move", elo, _ratings(result, ascii_only))
    chapter(
        "Drift rises where the fault hurts",
        "Drift compares a model's confidence now with what was normal for it; it needs no outcomes, and above "
        f"{ALARM} it is an alarm. The Brier score, the error of its probabilities, tells who was really hurt.",
        _drift(result),
    )
    chapter(
        "One decision out of six answers",
        "The fleet learns whom to trust while it decides; which single model is best is known only in hindsight. The "
        f"combined decision's Brier score is {abs(gain):.0%} {'below' if gain > 0 else 'above'} that of {best.name}.",
        _decisions(result),
    )
    say(
        f"Just before the fault, {trusted.name} carried {trusted.share_before:.0%} of the weight. At the end, in the "
        f"decision's own words: {'; '.join(result.reasons)}.\n"
    )
    say("Where to go next", "bold")
    say("Replay a table of your own forecasts as if it were live (README.md says which columns it needs):\n")
    say("    fairlead replay your_table.csv --report report.html\n", "bold")
    say("Or put a fleet into your own code:\n\n" + textwrap.indent(NEXT, "    "))
    return result


def _table(*columns: str) -> Table:
    """A table without lines; a column is right-aligned unless its name begins with <."""
    from rich.table import Table

    table = Table(box=None, header_style="dim", title_justify="left")
    for name in columns:
        table.add_column(name.removeprefix("<"), justify="left" if name.startswith("<") else "right", no_wrap=True)
    return table


def _moment(done: int, board: Leaderboard, decision: Decision) -> Table:
    from rich.progress_bar import ProgressBar

    table = _table("<model", "<rating", "elo", "drift", "weight")
    table.title = f"image {done} of {2 * FAULT_AT}: the sensor {'is broken' if done > FAULT_AT else 'works'}"
    for row in sorted(board, key=lambda row: row.model):
        bar = ProgressBar(total=900, completed=max(0.0, row.elo - 1000), width=28)
        table.add_row(row.model, bar, f"{row.elo:.0f}", _alarming(row.drift), f"{decision.weights[row.model]:.0%}")
    return table


def _pictures(result: DemoResult, ascii_only: bool) -> Table:
    shades = " .:*#" if ascii_only else " ░▒▓█"
    table = _table(*2 * ("<sensor works", "<sensor broken"))
    for row in range(0, _SIDE * _SIDE, _SIDE):
        strips = [picture[row : row + _SIDE] for picture in result.pictures]
        table.add_row(*("".join(2 * shades[round(4 * x)] for x in strip) for strip in strips))
    return table


def _ratings(result: DemoResult, ascii_only: bool) -> Table:
    up, down, fault, ramp = ("+", "-", "|", "_.:-=+*#") if ascii_only else ("▲", "▼", "┊", "▁▂▃▄▅▆▇█")
    span = 6  # ratings in one character of the line
    low, high = min(min(m.elo) for m in result.models), max(max(m.elo) for m in result.models)
    table = _table("<model", "<what it sees", "before", "after", "change", "<before the fault, after it")
    for m in result.models:
        levels = [(_mean(m.elo[i : i + span]) - low) / (high - low) for i in range(0, len(m.elo), span)]
        line = "".join(ramp[min(int(level * len(ramp)), len(ramp) - 1)] for level in levels)
        change = m.elo_after - m.elo_before
        moved = f"[green]{up} {change:.0f}[/]" if change > 0 else f"[red]{down} {-change:.0f}[/]"
        line = line[: len(line) // 2] + fault + line[len(line) // 2 :]
        table.add_row(m.name, m.sees, f"{m.elo_before:.0f}", f"{m.elo_after:.0f}", moved, line)
    return table


def _drift(result: DemoResult) -> Table:
    table = _table("<model", "drift before", "after", "alarm after", "Brier before", "after")
    for m in sorted(result.models, key=lambda m: -m.drift_after):
        alarm = "no alarm" if m.alarm is None else f"{m.alarm} images"
        drift = _alarming(m.drift_before), _alarming(m.drift_after)
        table.add_row(m.name, *drift, alarm, f"{m.score.brier_before:.3f}", f"{m.score.brier_after:.3f}")
    return table


def _alarming(drift: float) -> str:
    return f"[red]{drift:.2f}[/]" if drift > ALARM else f"{drift:.2f}".replace("nan", "-")


def _decisions(result: DemoResult) -> Table:
    table = _table("<who decides", "Brier", "before", "after", "log-loss", "accuracy")
    for name, score, style in (
        (f"fairlead ({result.strategy})", result.combined, "bold green"),
        (f"{result.best_single.name}, best single model", result.best_single.score, ""),
        ("all six, equal weights", result.mean, ""),
    ):
        numbers = (score.brier, score.brier_before, score.brier_after, score.log_loss)
        table.add_row(name, *(f"{x:.3f}" for x in numbers), f"{score.accuracy:.1%}", style=style)
    return table
