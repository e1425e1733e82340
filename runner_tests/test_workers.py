"""An interruption leaves nothing running: no task goes on in the next call, and nothing is told of it there."""

import asyncio
from contextlib import closing
from typing import Any

import pytest

from runner.engine.workers import Loop, work_together


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_an_interrupted_loop_is_quiet_at_its_next_call(error: type[BaseException]) -> None:
    told: list[dict[str, Any]] = []
    went_on: list[str] = []

    async def interrupted() -> None:
        turn = iter(("first", "second"))

        async def work() -> None:
            if next(turn) == "second":
                raise error
            await asyncio.sleep(0.05)
            went_on.append("the first one")

        await work_together(work, 2)
        went_on.append("the caller")

    async def next_call() -> str:
        await asyncio.sleep(0.1)
        return "answer"

    async def hear() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    with closing(Loop()) as loop:
        loop.run(hear())
        with pytest.raises(error):
            loop.run(interrupted())
        assert loop.run(next_call()) == "answer"
    assert not told and not went_on
