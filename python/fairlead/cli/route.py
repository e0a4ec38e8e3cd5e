"""`fairlead route`: trains the task classifier, and judges routers on a table of prompts."""

from __future__ import annotations

import argparse
import json
import math
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
    _add_eval(verbs)


def _add_eval(verbs: Commands) -> None:
    about = "judge routers on a table of prompts with the quality of each model: APGR of two models, AIQ of more"
    judge = verbs.add_parser("eval", help=about, description=about)
    judge.add_argument(
        "table", metavar="TABLE", help="parquet, csv or jsonl: prompt, task, a column of quality a model"
    )
    judge.add_argument("--prices", metavar="CSV", help="model, input_usd_per_1M, output_usd_per_1M")
    judge.add_argument("--models", metavar="A,B", help="which columns are models (default: all that hold numbers)")
    judge.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="only these rows; may be given repeatedly"
    )
    how = judge.add_mutually_exclusive_group()
    how.add_argument("--labels", type=int, metavar="N", help="fit on N prompts drawn at random, judge on the rest")
    how.add_argument("--folds", type=int, default=5, metavar="K", help="cross-validation (the default, with 5)")
    judge.add_argument("--repeats", type=int, default=4, metavar="R", help="how often --labels draws (default: 4)")
    judge.add_argument("--seed", type=int, default=0, metavar="N", help="of what is drawn (default: 0)")
    judge.add_argument(
        "--budget",
        type=float,
        default=0.45,
        metavar="X",
        help="of agreement, in units of the best model (default: .45)",
    )
    judge.add_argument("--json", action="store_true", help="print JSON")
    judge.add_argument("--out", metavar="SVG", help="draw the curves into this file")
    judge.set_defaults(run=_eval)


def _eval(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from fairlead.errors import TableError
    from fairlead.policy.routing import evaluate_routers, read_prices, read_routing_table

    where = dict(part.split("=", 1) for part in arguments.where if "=" in part)
    if len(where) != len(arguments.where):
        raise TableError(f"--where is {arguments.where}, must be COLUMN=VALUE, each column once")
    table = read_routing_table(
        arguments.table,
        prices=None if arguments.prices is None else read_prices(arguments.prices),
        where=where,
        models=None if arguments.models is None else arguments.models.split(","),
    )
    try:
        report = evaluate_routers(
            table,
            labels=arguments.labels,
            folds=arguments.folds,
            repeats=arguments.repeats,
            seed=arguments.seed,
            budget=arguments.budget,
        )
    except ValueError as error:
        raise TableError(str(error)) from None
    if arguments.out:
        from fairlead.policy.routing.picture import draw

        Path(arguments.out).write_text(draw(report), encoding="utf-8")
    print(json.dumps(_plain(report.as_dict()), indent=1) if arguments.json else report)
    if arguments.out and not arguments.json:
        print(f"\n{arguments.out}: the curves")
    return 0


def _plain(value: Any) -> Any:
    """JSON has neither NaN nor infinity: null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
