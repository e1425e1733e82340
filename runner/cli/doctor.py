"""`polytrades doctor`."""

import typer

from runner.cli.options import Json, Target


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Example: polytrades doctor")(doctor)


def doctor(target: Target = None, json: Json = False) -> None:
    """Check Python, dbt, profile, warehouse, addresses and key; say how to mend what is wrong. Changes nothing."""
    from rich.markup import escape

    from runner import settings as runner_settings
    from runner.cli.output import Output, printable
    from runner.errors import ExitCode
    from runner.monitor.doctor import examine

    settings = runner_settings.load(target=target)
    output = Output(json)
    checks = examine(settings)
    failed = [check for check in checks if not check.passed]
    exit_code = ExitCode.USAGE if failed else ExitCode.DONE
    lines = []
    for check in checks:
        mark = "[green]ok[/]  " if check.passed else "[bold red]FAIL[/]"
        lines.append(f"{mark} {check.name:<12}{escape(printable(check.finding))}")
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
