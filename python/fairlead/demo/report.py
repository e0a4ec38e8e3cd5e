"""The demo as one self-contained page of HTML: `fairlead demo --report FILE`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

from fairlead import page, svg
from fairlead.demo import timeline
from fairlead.demo.first_act import ALARM, DemoResult
from fairlead.demo.life import LifeResult
from fairlead.demo.sensor import FAULT_AT, TRAINED
from fairlead.svg import number

_CSS = (
    timeline.CSS
    + """
.what{list-style:none;margin:1.6rem 0 0;padding:0;display:grid;grid-template-columns:max-content max-content 1fr;
gap:.35rem .9rem;font-size:.9rem;align-items:baseline}
.what li{display:contents}
.what .number{color:var(--paper);background:var(--ink);border-radius:50%;width:1.5em;height:1.5em;line-height:1.5em;text-align:center;
font-size:.75rem;font-weight:650}
.what .when{color:var(--soft);text-align:right;font-variant-numeric:tabular-nums}
figure+figure{margin-top:2.4rem}
code{font-size:.85em}
.digits{display:flex;flex-wrap:wrap;gap:1.2rem;margin:1.2rem 0 .4rem}
.digits figure{margin:0} .digits svg{display:block;width:96px;height:96px;border-radius:3px}
.digits figcaption{font-size:.8rem;margin-top:.3rem}
"""
)


def write_report(first: DemoResult, life: LifeResult, path: str | os.PathLike[str]) -> None:
    """Writes the page to `path`, in UTF-8. Raises OSError where it cannot."""
    Path(path).write_text(render_report(first, life), encoding="utf-8", newline="\n")


def render_report(first: DemoResult, life: LifeResult) -> str:
    """The page. It depends on nothing but the two results: the same seed gives the same page."""
    parts = (_story(life), _learnt(life), _versions(life), _fleet(life), _first(first), _words(life))
    header = f'<p class="lead">{_headline(life)}</p>\n{_facts(life)}'
    return page.render("Fairlead demo", "A sensor breaks, and a fleet recovers", header, "".join(parts), css=_CSS)


def _headline(life: LifeResult) -> str:
    kept = life.versions[0].after
    return (
        f"A small neural network read <strong>{life.reads[0]:.0%}</strong> of the digits rightly, until its sensor broke: "
        f"then <strong>{life.reads[1]:.0%}</strong>. fairlead noticed, trained a new version, proved it against the old "
        f"one and put it into service: <strong>{life.reads[2]:.0%}</strong>. Had nobody retrained it, it would read "
        f"{kept:.0%} today. A bad version was refused; one that a person forced into service was rolled back."
    )


def _facts(life: LifeResult) -> str:
    at = {moment.what: moment.image for moment in life.moments}
    facts = {
        "images shown": f"{life.images:,}",
        "fault to alarm": f"{at['alarm'] - life.fault_at} images",
        "fault to promotion": f"{at['promotion'] - life.fault_at} images",
        "labels the proof took": f"{life.trials[0].labels}",
        "to refuse the bad one": f"{next(t.labels for t in life.trials if t.outcome == 'refused')} labels",
        "to roll back": f"{next(t.labels for t in life.trials if t.outcome == 'rolled back')} labels",
    }
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    return f'<dl class="facts">{items}</dl>'


def _story(life: LifeResult) -> str:
    caption = (
        f"Grey ground: the sensor is broken. Above, how many of the last {life.window} images were read rightly. In the "
        "middle, what each version did: it learns, predicts in the shadow of the one that answers, answers a share of "
        "the images, answers all. Below, the evidence: how much somebody would have won who bet on a difference at "
        "fair odds. It may be looked at after every label; where it reaches the dashed line, chance is ruled out at "
        f"1 in {life.trials[0].needed:g}."
    )
    rows = "".join(
        f'<li><span class="number">{i}</span><span class="when">{moment.image:,}</span>'
        f"<span>{escape(moment.words)}</span></li>"
        for i, moment in enumerate(life.moments, 1)
    )
    return page.section(
        "What happened", page.figure(timeline.story_chart(life), caption) + f'<ol class="what">{rows}</ol>'
    )


def _learnt(life: LifeResult) -> str:
    panels = []
    for training in life.trainings:
        title = f"version {training.version}"
        colour = timeline.colour_of(training.version)
        drawing = timeline.loss_chart(training.losses, training.validation_losses, colour, f"loss of {title}")
        about = f"{training.examples} images, {len(training.losses)} epochs; {escape(training.reason)}"
        panels.append(f'<div class="panel"><h3>{title}</h3><div class="note small">{about}</div>{drawing}</div>')
    caption = (
        "The loss after each epoch; dashed, of the newest examples, which were kept apart from the training. Each job "
        "ran in a process of its own while the version before went on answering."
    )
    return page.section("What they learned", page.figure(f'<div class="panels">{"".join(panels)}</div>', caption))


def _versions(life: LifeResult) -> str:
    rows = [
        f'<tr class="{"chosen" if one.fate.startswith("champion") else ""}"><th scope="row" class="name">'
        f'<span class="chip k{timeline.colour_of(one.number)}"></span>version {one.number}</th>'
        f"<td><code>{escape(one.digest[:12])}</code></td>"
        f'<td class="name">{escape(one.origin)}</td><td>{one.before:.1%}</td><td>{one.after:.1%}</td>'
        f'<td class="name">{escape(one.fate)}</td></tr>'
        for one in life.versions
    ]
    head = ("version", "weights", "learned from", "working", "broken", "what became of it")
    caption = (
        '<p class="caption">Every version stays in the registry, its weights under their own SHA-256. “Working” and '
        f"“broken” are the shares of the {FAULT_AT} images of the first half that it reads rightly, through the sensor "
        "as it was and as it is.</p>"
    )
    return page.section("The registry", caption + _table(head, rows, left=(0, 2, 5)))


def _fleet(life: LifeResult) -> str:
    names = sorted(life.elo, key=lambda name: -life.elo[name][-1])
    colours = {name: i for i, name in enumerate(names, 1)}
    images = [i * life.step for i in range(len(life.elo[names[0]]))]
    lines = [svg.Series(name, images, life.elo[name], colours[name], name == life.name) for name in names]
    share = 100.0 * life.fault_at / life.images
    fault = f'<rect class="fault" x="{share:.2f}%" width="{100 - share:.2f}%" height="100%"/>'
    ratings = svg.line_chart(
        lines, title="rating of each model", axis="Elo rating (↑ higher is better)", unit="image", behind=fault
    )
    caption = (
        f"The six models of the fleet; {escape(life.name)} is the one that is managed. On every image each meets every "
        "other, and whoever came closer to the truth takes points."
    )
    shares = "How much each counts in the fleet’s decision, which learns whom to trust from the same outcomes."
    body = page.figure(ratings, caption) + page.figure(timeline.weights_chart(life, names), shares)
    return page.section("The fleet: ratings and weights", body)


def _first(first: DemoResult) -> str:
    pictures = "".join(
        f"<figure>{_digit(pixels)}<figcaption>{'sensor broken' if i % 2 else 'sensor works'}</figcaption></figure>"
        for i, pixels in enumerate(first.pictures)
    )
    rows = [
        f'<tr><th scope="row" class="name">{escape(m.name)} <span class="note">{escape(m.sees)}</span></th>'
        f"<td>{m.elo_before:.0f}</td><td>{m.elo_after:.0f}</td><td>{number(m.drift_before, 2)}</td>"
        f'<td class="{"warn" if m.drift_after > ALARM else ""}">{number(m.drift_after, 2)}</td>'
        f"<td>{'–' if m.alarm is None else f'{m.alarm} images'}</td>"
        f"<td>{m.score.brier_before:.3f}</td><td>{m.score.brier_after:.3f}</td></tr>"
        for m in first.models
    ]
    best, both = first.best_single, (first.combined, first.mean)
    caption = (
        f'<p class="caption">The same fault, and nobody retrains: six classifiers that learned from {TRAINED} images, '
        f"rated over {2 * FAULT_AT} more. The fleet’s decision ({escape(first.strategy)}) has a Brier score of "
        f"{both[0].brier:.3f}, that of {escape(best.name)}, best in hindsight, is {best.score.brier:.3f}, that of equal "
        f"weights {both[1].brier:.3f}; lower is better.</p>"
    )
    head = ("model", "rating before", "after", "drift before", "after", "alarm after", "Brier before", "after")
    body = f'<div class="digits">{pictures}</div>{caption}{_table(head, rows)}'
    return page.section("The first act: what the fault does", body)


def _digit(pixels: Sequence[float]) -> str:
    side = round(len(pixels) ** 0.5)
    cells = "".join(
        f'<rect x="{i % side}" y="{i // side}" width="1.02" height="1.02" opacity="{value:.2f}"/>'
        for i, value in enumerate(pixels)
        if value > 0.02
    )
    ground = f'<rect width="{side}" height="{side}" fill="var(--faint)"/>'
    return f'<svg viewBox="0 0 {side} {side}" role="img" aria-label="a digit">{ground}<g fill="var(--ink)">{cells}</g></svg>'


def _words(life: LifeResult) -> str:
    meanings = {
        "champion": "The version that answers. The name is an alias in the registry, which is swapped at once.",
        "challenger": "A version on trial. First it is asked about recent images that its training never saw, then it "
        "predicts in shadow, then (canary) it answers a share of the images, chosen by a hash of their name.",
        "e-value": "What a bet against “it is no better” has won, of a stake of 1. It exceeds 20 by chance at most once "
        "in 20 trials, however often one looks.",
        "watch": "After a promotion the champion before predicts on in shadow; if the new one turns out worse, it is "
        "rolled back.",
        "drift": "Population stability index: below 0.1 stable, above 0.25 shifted.",
        "rating": "Elo. The gap between two models says how often one comes closer.",
        "Brier": "Squared distance between the probabilities and what happened. 0 is perfect.",
    }
    items = "".join(f"<dt>{word}</dt><dd>{meaning}</dd>" for word, meaning in meanings.items())
    return page.section("How to read it", f'<dl class="glossary">{items}</dl>')


def _table(head: Sequence[str], rows: Sequence[str], left: Sequence[int] = (0,)) -> str:
    cells = "".join(
        f'<th scope="col" class="{"name" if i in left else ""}">{escape(text)}</th>' for i, text in enumerate(head)
    )
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
