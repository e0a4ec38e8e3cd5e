"""Keys are in nothing that was written, logged, shown or raised, also where a server sends them back."""

from __future__ import annotations

import asyncio
import io
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from server import Reply, Server

import fairlead as fl


def test_no_key_anywhere(
    staff: Callable[..., fl.Fleet],
    sdks: dict[str, Any],
    server: Server,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    said = [
        Reply(status=401, message="no such key: {key}"),
        Reply(text="my key is {key}"),
        Reply(status=500, message="{key}"),
        Reply(status=429, message="{key} is too fast", headers={"Retry-After": "0"}),
        Reply(reset=True),
        Reply(hang=True),
        Reply(body=b'{"choices": "{key}"}'),
        Reply(text='{"probability": 0.4, "confidence": 0.5} {key}'),
    ]

    def reply(request: Any) -> Reply:
        return said[len(server.requests) % len(said)]

    server.always = reply
    shown = io.StringIO()
    with fl.Fleet.open(tmp_path, sync="never") as fleet:
        staff(fleet)
        fleet.cache = fl.ResponseCache(seed=1)
        fleet.on_health(lambda news: shown.write(f"{news!r} {news}"))

        async def main() -> None:
            for n in range(40):
                work = asyncio.ensure_future(fleet.ask(fl.Task(f"q{n}", text=f"{n}?"), deadline=0.2, hedge=0.05))
                if n % 5 == 4:
                    await asyncio.sleep(0.01)
                    work.cancel()
                try:
                    decision = await work
                except (Exception, asyncio.CancelledError) as error:
                    frames = traceback.TracebackException.from_exception(error, capture_locals=True)
                    shown.write("".join(frames.format()))
                else:
                    shown.write(f"{decision!r} {decision} {decision.to_json()}")
                if n % 8 == 7:
                    for name in ("a", "b"):
                        fleet.close_breaker(name)

        asyncio.run(main())
        asking = fleet._asking
        assert asking is not None
        shown.write(f"{fleet!r} {fleet.models} {fleet.leaderboard()} {fleet.costs()} {sdks} {fleet.cache}")
        shown.write(f"{asking.last_resort.memory._answers!r}")
        key = sdks["openai"]._read_key().reveal()
    assert len(server.requests) > 30
    assert all(request.key == key for request in server.requests)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert len(written) > 10_000
    assert key.encode() not in written
    assert key[3:].encode() not in written
    assert key not in shown.getvalue()
    assert key not in caplog.text
    for record in caplog.records:
        assert key not in f"{record.__dict__!r}"
        if record.exc_info and record.exc_info[1] is not None:
            frames = traceback.TracebackException.from_exception(record.exc_info[1], capture_locals=True)
            assert key not in "".join(frames.format())
