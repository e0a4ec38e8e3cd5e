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

_NONE = "\u2013"
_CSS = (
    timeline.CSS
    + """
.what{list-style:none;margin:1.6rem 0 0;padding:0;display:grid;grid-template-columns:max-content max-content 1fr;
gap:.35rem .9rem;font-size:.9rem;align-items:baseline}
.what li{display:contents}
.what .number{color:var(--paper);background:var(--ink);border-radius:50%;width:1.5em;height:1.5em;line-height:1.5em;
text-align:center;font-size:.75rem;font-weight:650}
.what .when{color:var(--soft);text-align:right;font-variant-numeric:tabular-nums}
.panels.four{grid-template-columns:repeat(auto-fill,minmax(190px,1fr))}
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
    before, hurt, again = (f"<strong>{share:.0%}</strong>" for share in life.reads)
    return (
        f"A small neural network read {before} of the digits rightly, until its sensor broke: then {hurt}. fairlead "
        f"noticed, trained a new version, proved it against the old one and put it into service: {again}. Had nobody "
        f"retrained it, it would read {life.versions[0].after:.0%}.{_staged(life)}"
    )


def _staged(life: LifeResult) -> str:
    """What became of the versions that people made badly."""
    outcomes = {trial.outcome for trial in life.trials}
    refused, back = "refused" in outcomes, "rolled back" in outcomes
    told = ["a bad version was refused"] * refused + ["one that a person forced into service was rolled back"] * back
    return f" {' and '.join(told).capitalize()}." if told else ""


def _facts(life: LifeResult) -> str:
    at = {moment.what: moment.image - life.fault_at for moment in life.moments}
    labels = {trial.outcome: trial.labels for trial in life.trials}
    facts = {
        "images shown": f"{life.images:,}",
        "fault to alarm": _counted(at.get("alarm"), "images"),
        "fault to promotion": _counted(at.get("promotion"), "images"),
        "the proof took": _counted(labels.get("promoted"), "labels"),
        "to refuse the bad one": _counted(labels.get("refused"), "labels"),
        "to roll back": _counted(labels.get("rolled back"), "labels"),
    }
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    return f'<dl class="facts">{items}</dl>'


def _counted(count: int | None, what: str) -> str:
    return _NONE if count is None else f"{count:,} {what}"


def _story(life: LifeResult) -> str:
    needed = f"{life.trials[0].needed:g}"
    caption = (
        f"Tinted: the sensor is broken. Above, the share of the last {life.window} images that were read rightly. In "
        "the middle, what each version does: it learns, it predicts in the shadow of the one that answers, it answers "
        "a share of the images, it answers. Below, the evidence: what somebody would have won by now, of a stake of 1, "
        "by betting that the version is better, or worse, than the one beside it. One may look after every label; "
        f"where a line reaches {needed}, chance is ruled out but for 1 in {needed}. It begins with images that were "
        "kept from the training."
    )
    rows = "".join(
        f'<li><span class="number">{i}</span><span class="when">{moment.image:,}</span>'
        f"<span>{escape(moment.words)}</span></li>"
        for i, moment in enumerate(life.moments, 1)
    )
    drawing = page.figure(timeline.story_chart(life), caption)
    return page.section("What happened", f'{drawing}<ol class="what">{rows}</ol>')


def _learnt(life: LifeResult) -> str:
    panels = []
    for training in life.trainings:
        title = f"version {training.version}"
        colour = timeline.colour_of(training.version)
        drawing = timeline.loss_chart(training.losses, training.validation_losses, colour, f"loss of {title}")
        about = f"{training.examples} images, {len(training.losses)} epochs<br/>{escape(training.reason)}"
        panels.append(f'<div class="panel"><h3>{title}</h3><div class="note small">{about}</div>{drawing}</div>')
    caption = (
        "The loss after each epoch; dashed, of the newest images, which were kept apart from the training. Version 1 "
        "was there from the beginning; each other came from a job in a process of its own, while the version before "
        "went on answering."
    )
    return page.section("What they learned", page.figure(f'<div class="panels four">{"".join(panels)}</div>', caption))


def _versions(life: LifeResult) -> str:
    learned = {training.version: training.examples for training in life.trainings}
    rows = [
        f'<tr class="{"chosen" if one.fate == "champion" else ""}"><th scope="row" class="name">'
        f'<span class="chip k{timeline.colour_of(one.number)}"></span>version {one.number}</th>'
        f"<td><code>{escape(one.digest[:12])}</code></td>"
        f'<td class="name">{learned.get(one.number, 0):,} images: {escape(one.origin)}</td>'
        f'<td>{one.before:.1%}</td><td>{one.after:.1%}</td><td class="name">{escape(one.fate)}</td></tr>'
        for one in life.versions
    ]
    head = ("version", "SHA-256", "learned from", "sensor works", "sensor broken", "what became of it")
    caption = (
        '<p class="caption">Every version stays in the registry, under the digest of its weights, with a card that '
        "says where it comes from. The two shares are of images that it reads rightly, of such as no version learned "
        "from.</p>"
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
        f"The {len(names)} models of the fleet; {escape(life.name)} is the one that is managed. On every image each "
        "meets every other, and whoever came closer to the truth takes points."
    )
    shares = "How much each counts in the fleet\u2019s decision, which learns whom to trust from the same outcomes."
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
        f"<td>{_NONE if m.alarm is None else f'{m.alarm} images'}</td>"
        f"<td>{m.score.brier_before:.3f}</td><td>{m.score.brier_after:.3f}</td></tr>"
        for m in first.models
    ]
    best, both = first.best_single, (first.combined, first.mean)
    caption = (
        f'<p class="caption">The same fault, and nobody retrains: six classifiers that learned from {TRAINED} images, '
        f"rated over {2 * FAULT_AT} more. The fleet\u2019s decision ({escape(first.strategy)}) has a Brier score of "
        f"{both[0].brier:.3f}, that of {escape(best.name)}, best in hindsight, is {best.score.brier:.3f}, and that of "
        f"equal weights {both[1].brier:.3f}; lower is better.</p>"
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
    ink = f'{ground}<g fill="var(--ink)">{cells}</g>'
    return f'<svg viewBox="0 0 {side} {side}" role="img" aria-label="a digit">{ink}</svg>'


def _words(life: LifeResult) -> str:
    meanings = {
        "champion": "The version that answers. The name is an alias in the registry, which is swapped at once.",
        "challenger": "A version on trial. First it is asked about recent images that its training never saw, then it "
        "predicts in shadow, then (canary) it answers a share of the images, chosen by a hash of their name.",
        "e-value": "What a bet against \u201cit is no better\u201d has won by now, of a stake of 1. By chance it ever "
        "reaches 20 in one trial of 20 at most, however often one looks.",
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
