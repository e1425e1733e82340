"""`polytrades lease`."""

from typing import Annotated

import typer

from runner.cli.options import Json, Target


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Examples: polytrades lease · polytrades lease --free 20261124T020000Z-3f946c")(lease)


def lease(
    free: Annotated[
        str | None,
        typer.Option("--free", metavar="RUN", help="Take the lease away from this run, because it is dead."),
    ] = None,
    target: Target = None,
    json: Json = False,
) -> None:
    """Show who may write now, and free the lease of a run that died where nobody can see it.

    A run that died on this machine is found out by the next one, and one on another machine after lease_minutes. What a
    freed run still sends is refused by the warehouse.
    """
    from rich.markup import escape

    from runner import settings as runner_settings
    from runner.cli.output import Output
    from runner.errors import UsageError
    from runner.warehouse.connect import connect

    settings = runner_settings.load(target=target)
    output = Output(json)
    warehouse = connect(settings)
    holder = warehouse.lease()
    if free is not None:
        if holder is None or holder.run_id != free:
            raise UsageError(
                f"The run {free} does not hold the lease; `polytrades lease` shows who does. Nothing was changed."
            )
        warehouse.free_lease(free)
        output.result({"command": "lease", "exit_code": 0, "freed": free}, f"Freed; {escape(free)} writes no more.")
        return
    if holder is None or holder.run_id is None:
        output.result({"command": "lease", "exit_code": 0, "held": False}, "Nobody holds the lease.")
        return
    content = {
        "command": "lease",
        "exit_code": 0,
        "held": True,
        "run_id": holder.run_id,
        "holder": holder.holder,
        "host": holder.host,
        "pid": holder.pid,
        "acquired_at": holder.acquired_at.isoformat() if holder.acquired_at else None,
        "expires_at": holder.expires_at.isoformat() if holder.expires_at else None,
    }
    lines = [f"Held by {escape(holder.holder or holder.run_id)}"]
    if holder.host:
        lines.append(f"  on {escape(holder.host)}, process {holder.pid}")
    if holder.acquired_at and holder.expires_at:
        lines.append(
            f"  since {holder.acquired_at:%Y-%m-%d %H:%M:%S} UTC, until {holder.expires_at:%Y-%m-%d %H:%M:%S} UTC"
        )
    lines.append(f"If it is dead: polytrades lease --free {escape(holder.run_id)}")
    output.result(content, "\n".join(lines))
