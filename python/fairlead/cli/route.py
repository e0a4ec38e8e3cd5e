"""`fairlead route train-classifier DATA`: trains the task classifier and says how good it is on sources never seen."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairlead.cli import Commands

_LICENCES = {
    "bfcl-": "Berkeley Function Calling Leaderboard, Apache-2.0",
    "gsm8k": "GSM8K, MIT",
    "ulab-commongen": "CommonGen by way of ulab-uiuc/LLMRouter, MIT",
    "ulab-commonsense_qa": "CommonsenseQA by way of ulab-uiuc/LLMRouter, MIT",
    "ulab-math": "MATH by way of ulab-uiuc/LLMRouter, MIT",
    "ulab-mbpp": "MBPP by way of ulab-uiuc/LLMRouter, CC-BY-4.0",
    "ulab-natural_qa": "Natural Questions by way of ulab-uiuc/LLMRouter, CC-BY-SA-3.0",
    "ulab-trivia_qa": "TriviaQA by way of ulab-uiuc/LLMRouter, Apache-2.0",
    "made:": "made from patterns in fairlead/policy/task_seeds.py, Apache-2.0",
}

_PROTOCOL = (
    "Each round holds out one family of sources of each type; options and temperature are chosen in rounds of the same "
    "kind within the others; scores are those of the int8 weights; macro_f1 is the mean over the rounds. Texts made "
    "from patterns are trained on in every round and never scored; their author knew the public sources and had seen "
    "errors on them, so macro_f1 flatters. without_made is the score with public sources alone, where nothing like the "
    "kind of task that is held out (code, say) is left to train on."
)


def add_route(commands: Commands) -> None:
    """`fairlead route ...`."""
    about = "which model gets a task"
    route = commands.add_parser("route", help=about, description=about)
    verbs = route.add_subparsers(required=True, metavar="VERB")
    about = "train the classifier of task types, and score it on sources that it has not seen"
    train = verbs.add_parser("train-classifier", help=about, description=about)
    train.add_argument("data", metavar="DATA", help="JSON lines (.gz): text, label, source")
    train.add_argument(
        "--out", metavar="FILE", help="where the weights go (safetensors), and beside them the card (.json)"
    )
    train.add_argument(
        "--kin",
        action="append",
        default=[],
        metavar="PATTERNS",
        help="sources that are held out together, as in 'bfcl-exec_*' or 'a,b*'; may be given several times",
    )
    train.add_argument(
        "--without-made", action="store_true", help="leave out the texts that fairlead makes from patterns"
    )
    train.add_argument("--threads", type=int, metavar="N", help="how many fits at once (default: one for each core)")
    train.set_defaults(run=_train)


def _train(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from fairlead.policy.task_seeds import seed_texts
    from fairlead.policy.task_training import LabelledTexts, evaluate, read_texts

    data = read_texts(arguments.data, arguments.kin)
    made = LabelledTexts()
    if not arguments.without_made:
        texts, types, sources = seed_texts()
        made = LabelledTexts(texts, types, sources, list(sources))
    scores, options = evaluate(data, made, arguments.threads)
    print(scores)
    trained = (data + made).fit(**options)
    print(f"trained on all with {options}, temperature {trained.temperature:.3f}")
    if arguments.out:
        out = Path(arguments.out)
        trained.save(out)
        card = _card(data, made, scores.as_dict(), options, trained.temperature)
        out.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        print(f"{out}: {out.stat().st_size:,} bytes, and {out.with_suffix('.json').name}")
    return 0


def _card(
    data: Any, made: Any, scores: dict[str, Any], options: dict[str, float], temperature: float
) -> dict[str, Any]:
    from collections import Counter

    counts = Counter(zip(data.sources + made.sources, data.types + made.types, strict=True))
    families: dict[str, list[str]] = {}
    for source, family in sorted(set(zip(data.sources, data.families, strict=True))):
        families.setdefault(family, []).append(source)
    return {
        "model": "fairlead task types: hashed words and the shape of a text, logistic regression, int8 weights",
        "licence": "Apache-2.0 (the weights; the texts are not in the package)",
        "types": sorted(set(data.types)),
        "options": options,
        "temperature": round(temperature, 4),
        "sources": [
            {
                "source": source,
                "type": kind,
                "texts": n,
                "licence": next((text for prefix, text in _LICENCES.items() if source.startswith(prefix)), "not known"),
            }
            for (source, kind), n in sorted(counts.items())
        ],
        "families": {family: sources for family, sources in families.items() if sources != [family]},
        "protocol": _PROTOCOL,
        "scores": scores,
    }
