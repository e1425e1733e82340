"""`polytrades alerts`."""

from typing import Annotated

import typer

from runner.cli.options import Json, Target


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Examples: polytrades alerts · polytrades alerts --send · polytrades alerts --test-alert")(
        alerts
    )


def alerts(
    send: Annotated[
        bool, typer.Option("--send", help="Judge now and tell what is due: opened, worse, a reminder, resolved.")
    ] = False,
    test_alert: Annotated[
        bool, typer.Option("--test-alert", help="Send a test message on every channel; nothing is recorded.")
    ] = False,
    target: Target = None,
    json: Json = False,
) -> None:
    """Show incidents and who was told. Every run tells what is due by itself; --send is for an hourly cron beside it.

    An incident is told when it opens, when it gets worse, after 1, 2, 4 and every 8 days while it lasts, and once when
    it is resolved. A second --send right after the first tells nothing.
    """
    from rich.markup import escape

    from runner import settings as runner_settings
    from runner.cli.output import Output, printable
    from runner.errors import Failed, UsageError
    from runner.monitor import channels, status, telling
    from runner.monitor.checks import Verdict
    from runner.monitor.incidents import Message
    from runner.warehouse.connect import connect

    settings = runner_settings.load(target=target)
    output = Output(json)
    names = [name for name, _ in channels.channels(settings)]
    if test_alert:
        if not names:
            raise UsageError(
                "There is no channel. Set POLYTRADES_ALERT_WEBHOOK_URL, POLYTRADES_ALERT_SLACK_URL, "
                "POLYTRADES_ALERT_EMAIL_TO or POLYTRADES_ALERT_APPRISE_URLS."
            )
        said = "This is a test; nothing is wrong. Alerts of polytrades arrive here."
        taken = telling.deliver(settings, Message(Verdict.OK, "polytrades: test alert", (), (said,)), output.note) or []
        if missing := [name for name in names if name not in taken]:
            raise Failed(
                f"Not taken by {', '.join(missing)}; the lines above say why. Taken by {', '.join(taken) or 'none'}."
            )
        output.result({"command": "alerts", "exit_code": 0, "taken_by": taken}, f"Taken by {', '.join(taken)}.")
        return
    warehouse = connect(settings)
    warehouse.names_jobs("alerts", "alerts")
    if send:
        warehouse.prepare()
        telling.send(settings, warehouse, status.look(settings, warehouse), output.note)
    events = list(reversed(warehouse.incident_events() or []))
    still_open = [event for event in events if event.event != "resolved"]
    content = {
        "command": "alerts",
        "exit_code": 0,
        "channels": names,
        "incidents": [
            {**event.__dict__, "opened_at": event.opened_at.isoformat(), "happened_at": event.happened_at.isoformat()}
            for event in events
        ],
    }
    lines = [f"{len(still_open)} open, channels: {', '.join(names) or 'none'}"]
    for event in [*still_open, *[event for event in events if event.event == "resolved"][:10]]:
        times = "once" if event.times_told == 1 else f"{event.times_told} times"
        told = f"told {times}: {event.told}" if event.told else "told nobody"
        lines.append(
            f"  {event.opened_at:%Y-%m-%d %H:%M}  {event.event:<9} {event.verdict:<5}"
            f"{escape(printable(event.reason))}  [dim]({told})[/]"
        )
    output.result(content, "\n".join(lines))
