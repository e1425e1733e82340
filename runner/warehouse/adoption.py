"""A production table that was there before polytrades: what was found, and whether it can be taken on as it is."""

from dataclasses import dataclass, field
from datetime import datetime

ACCEPT = "--accept-known-defects"


@dataclass
class Adoption:
    """A table `trades` that polytrades did not make, and whether it can become the production table as it is.

    `problems` are sentences with what to do; `missing_columns` will be appended; `null_keys`
    and `duplicate_keys` are defects that can be accepted; `other_case_keys` are keys with capital letters.
    """

    table: str
    rows: int = 0
    wallets: int = 0
    first_fill_at: datetime | None = None
    last_fill_at: datetime | None = None
    null_keys: int = 0
    duplicate_keys: int = 0
    other_case_keys: int = 0
    missing_columns: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def has_defects(self) -> bool:
        """True if rows break the key."""
        return bool(self.null_keys or self.duplicate_keys)

    def described(self) -> str:
        """The table in a sentence, and what adopting it does."""
        span = ""
        if self.first_fill_at and self.last_fill_at:
            span = f", {self.first_fill_at:%Y-%m-%d} to {self.last_fill_at:%Y-%m-%d}"
        appended = f"{len(self.missing_columns)} columns appended ({', '.join(self.missing_columns) or 'none'})"
        return (
            f"{self.table}: {self.rows:,} rows of {self.wallets:,} wallets{span}; {appended}; each wallet's "
            "checkpoint starts at its newest fill, and its history is inherited. Nothing is dropped or rewritten."
        )

    def refusal(self, accept_defects: bool) -> str | None:
        """What is in the way, with what to do about each; None if nothing is."""
        steps = list(self.problems)
        if self.null_keys and not accept_defects:
            steps.append(
                f"{self.null_keys:,} rows have no wallet_address, tx_hash, order_hash or timestamp, and no merge would "
                "find them: `polytrades repair` completes them, or keeps them in quarantine"
            )
        if self.other_case_keys:
            steps.append(
                f"{self.other_case_keys:,} rows have capital letters in a key and would be inserted a second time: "
                "`polytrades repair` writes them in lower case"
            )
        if self.duplicate_keys and not accept_defects:
            steps.append(
                f"{self.duplicate_keys:,} keys stand there more than once: `polytrades repair` keeps the newest row of "
                "each"
            )
        if not steps:
            return None
        plan = " ".join(f"({number}) {step}." for number, step in enumerate(steps, start=1))
        accepting = ""
        if self.has_defects and not self.problems and not self.other_case_keys:
            accepting = (
                f" `polytrades adopt {ACCEPT}` takes the table on with its defects; the duplicate monitor reports them."
            )
        return (
            f"{self.table} was there before polytrades and cannot be taken on as it is; nothing was changed. {plan} "
            f"Then run the same command again.{accepting}"
        )
