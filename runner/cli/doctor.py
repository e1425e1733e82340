"""`polytrades doctor`."""

from typing import Annotated

import typer

from runner.cli.options import Json, Target


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Examples: polytrades doctor · polytrades doctor --failpoints")(doctor)


def doctor(
    failpoints: Annotated[
        bool, typer.Option("--failpoints", help="Only list the places where a test can make a run die.")
    ] = False,
    target: Target = None,
    json: Json = False,
) -> None:
    """Check Python, dbt, profile, warehouse, addresses and key; say how to mend what is wrong. Changes nothing."""
    from rich.markup import escape

    from runner import settings as runner_settings
    from runner.cli.output import Output, printable
    from runner.errors import ExitCode
    from runner.failpoints import KINDS, SITES, VARIABLE
    from runner.monitor.doctor import examine

    output = Output(json)
    if failpoints:
        lines = [f"{site:<20}{escape(what)}" for site, what in SITES.items()]
        lines.append(f"Set {VARIABLE}=SITE:KIND:N to strike at the N-th passing; KIND is one of {', '.join(KINDS)}.")
        output.result({"command": "doctor", "exit_code": 0, "failpoints": SITES}, "\n".join(lines))
        return
    settings = runner_settings.load(target=target)
    checks = examine(settings)
    failed = [check for check in checks if not check.passed]
    exit_code = ExitCode.USAGE if failed else ExitCode.DONE
    lines = []
    for check in checks:
        mark = "[green]ok[/]  " if check.passed else "[bold red]FAIL[/]"
        lines.append(f"{mark} {check.name:<14}{escape(printable(check.finding))}")
        if check.fix:
            lines.append(f"                 → {escape(check.fix)}")
    content = {
        "command": "doctor",
        "exit_code": int(exit_code),
        "checks": [
            {"name": check.name, "passed": check.passed, "finding": check.finding, "fix": check.fix} for check in checks
        ],
    }
    output.result(content, "\n".join(lines))
    if failed:
        raise typer.Exit(int(exit_code))
