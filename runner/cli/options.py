"""Options that several commands share."""

from typing import Annotated

import typer

Target = Annotated[
    str | None, typer.Option("--target", metavar="NAME", help="Output in profiles.yml to use (default: duckdb).")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; everything else goes to stderr.")]
Source = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="NAME",
        help="Where fills are fetched from: `api` (the order API) or `polygon` (the chain); default: the setting.",
    ),
]
MaxRequests = Annotated[
    int | None,
    typer.Option(
        "--max-requests",
        min=1,
        metavar="N",
        help="Send at most N requests for fills. What is not fetched then keeps its checkpoint (exit code 3).",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")]
