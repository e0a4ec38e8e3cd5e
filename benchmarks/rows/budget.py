"""Money: what a call costs, budgets that are reserved and settled, spending by day."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal
from typing import Any

import numpy as np
from harness import Row, Run, Size, peer, that_runs

from fairlead._core import Budgets, Spend
from fairlead.measure.calendar import calendar_of
from fairlead.providers.prices import Prices, load_prices

DAY = 86_400 * 10**9
NOW = 1_772_000_000 * 10**9
MODEL = "gpt-4o-mini"
WHERE = (1, 1, 1, 1)


def usages(n: int) -> list[tuple[int, int, int]]:
    """Tokens in, out and cached of calls."""
    dice = np.random.default_rng(3)
    tokens_in = dice.integers(50, 20_000, n)
    return [
        (int(i), int(o), int(i * share))
        for i, o, share in zip(tokens_in, dice.integers(1, 2000, n), dice.uniform(0, 0.9, n), strict=True)
    ]


def litellm_peer() -> Any:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it waits for the network
    return peer("litellm")


def costs(n: int) -> Row:
    genai, litellm = peer("genai_prices"), litellm_peer()
    table = load_prices({} if genai else {MODEL: Prices.usd("0.15", "0.6", cached="0.075")})
    prices = table.of(MODEL, NOW)
    calls = usages(n)
    few = calls[: max(1, n // 50)]

    def ours() -> None:
        for tokens_in, out, cached in calls:
            prices.cost(tokens_in, out, cached=cached)

    peers: dict[str, Run] = {}
    if genai is not None:

        def theirs() -> None:
            for tokens_in, out, cached in few:
                usage = genai.Usage(input_tokens=tokens_in, output_tokens=out, cache_read_tokens=cached)
                genai.calc_price(usage, MODEL, provider_id="openai")

        peers |= that_runs("genai-prices", theirs)
    if litellm is not None:

        def lite() -> None:
            for tokens_in, out, cached in few:
                litellm.cost_per_token(
                    model=MODEL, prompt_tokens=tokens_in, completion_tokens=out, cache_read_input_tokens=cached
                )

        peers |= that_runs("litellm", lite)
    each = [Decimal(p).scaleb(-15) for p in (prices.input, prices.output, prices.cached)]
    error = max(
        abs(
            prices.cost(i, o, cached=c)
            - int((((i - c) * each[0] + o * each[1] + c * each[2]) * 10**9).to_integral_value(ROUND_CEILING))
        )
        for i, o, c in calls
    )
    slow = dict.fromkeys(peers, len(few))
    return Row(
        "Cost of a call, with cached tokens, from Python", "ns/call", n, ours, peers, f"{error} nano-dollars", "", slow
    )


def budgets(limit: int = 10**18) -> Budgets:
    """Four budgets that the call falls under."""
    core = Budgets(calendar_of("Europe/London"))
    for i, period in enumerate((1, 2, 3, 1)):
        core.define(f"b{i}", limit, period=period, scope=i, of=0 if i == 0 else 1, now=NOW)
    return core


def overshoot(threads: int, calls: int) -> str:
    """By how much so many threads overspend a budget for a third of their calls."""
    core = budgets(limit := threads * calls * 10 // 3)
    granted = [0] * threads

    def work(mine: int) -> None:
        for _ in range(calls):
            held = core.reserve(10, NOW, *WHERE)
            if isinstance(held, int):
                core.settle(held, 10, NOW)
                granted[mine] += 1

    crowd = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    over = sum(granted) * 10 - limit
    return f"overspent by {max(0, over)} of {limit} with {threads} threads"


def reserving(n: int) -> Row:
    core = budgets()

    def ours() -> None:
        reserve, settle = core.reserve, core.settle
        for _ in range(n):
            held = reserve(1000, NOW, 1, 1, 1, 1)
            settle(held, 900, NOW)  # type: ignore[arg-type]

    error = overshoot(64, 200)
    return Row("Budget: reserve and settle in 4 budgets, from Python", "ns/call", n, ours, {}, error)


def whole_call(n: int) -> Row:
    litellm = litellm_peer()
    core, spend = budgets(), Spend(calendar_of("Europe/London"))
    prices = Prices.usd("0.15", "0.6", cached="0.075")
    calls = usages(n)
    few = calls[: max(1, n // 500)]

    def ours() -> None:
        for tokens_in, out, cached in calls:
            held = core.reserve(10**7, NOW, 1, 1, 1, 1)
            cost = prices.cost(tokens_in, out, cached=cached)
            core.settle(held, cost, NOW)  # type: ignore[arg-type]
            spend.add(cost, NOW, 1, 1, 1, 1, tokens_in, out, cached)

    peers: dict[str, Run] = {}
    if litellm is not None:
        before = os.getcwd()  # noqa: PTH109
        folder = tempfile.TemporaryDirectory()
        manager = litellm.BudgetManager(project_name="bench")
        manager.create_budget(total_budget=1e9, user="all")
        manager._save_data_thread = lambda: None  # it writes user_cost.json anew for every call, in a thread

        def theirs() -> None:
            for tokens_in, out, _ in few:
                reply = litellm.ModelResponse(
                    model=MODEL, usage=litellm.Usage(prompt_tokens=tokens_in, completion_tokens=out)
                )
                if manager.get_current_cost(user="all") <= manager.get_total_budget("all"):
                    manager.update_cost(completion_obj=reply, user="all")

        os.chdir(folder.name)
        try:
            peers |= that_runs("litellm.BudgetManager, 1 budget, not written", theirs)
        finally:
            os.chdir(before)
            folder.cleanup()
    ours()
    total = spend.total(0)[8]
    error = abs(sum(prices.cost(i, o, cached=c) for i, o, c in calls) - total)
    return Row(
        "A call's money: reserve, cost, settle in 4 budgets, spend by day, from Python",
        "ns/call",
        n,
        ours,
        peers,
        f"{error} nano-dollars",
        "a share of <= 1 us",
        dict.fromkeys(peers, len(few)),
    )


def spending(n: int) -> Row:
    spend = Spend(calendar_of("Europe/London"))

    def ours() -> None:
        add = spend.add
        for i in range(n):
            add(900, NOW + i, 1, 1, 1, 1, 100, 20, 5)

    ours()
    error = abs(spend.total(0)[8] - 900 * n)
    return Row(
        "Spend.add: model, tier, category, type, day, from Python", "ns/call", n, ours, {}, f"{error} nano-dollars"
    )


def rows(size: Size) -> Iterator[Row]:
    yield costs(size.scaled(100_000))
    yield reserving(size.scaled(200_000))
    yield spending(size.scaled(200_000))
    yield whole_call(size.scaled(100_000))
