"""The followed wallets: lists in files, compared with the state in the warehouse, changed with a word about it."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from runner import project
from runner.errors import UsageError
from runner.records import is_wallet
from runner.warehouse.protocol import FollowedWallet, Warehouse
from runner.windows import utc_now

SEED = "seed"
FILE = "file"
_LARGEST_SHRINK = 0.10


@dataclass(frozen=True)
class WalletChange:
    """What a list changes: addresses to follow and to follow no more, sorted."""

    added: list[str]
    removed: list[str]
    followed_before: int

    @property
    def is_empty(self) -> bool:
        """True if the list is followed already."""
        return not self.added and not self.removed


def check_wallet(text: str, where: str) -> str:
    """An address in lower case.

    Raises:
        UsageError: it is none; `where` says which one.
    """
    wallet = text.strip().lower()
    if not is_wallet(wallet):
        raise UsageError(
            f"{where} is {text.strip()[:80]!r}, which is no wallet address: 0x and 40 hexadecimal digits. Correct it "
            "and run the command again; nothing was changed."
        )
    return wallet


def read_wallets(path: Path) -> list[str]:
    """The addresses in a file: one a line, or CSV with a column wallet_address; # begins a comment.

    Lower case, each once, in the order of the file.

    Raises:
        UsageError: the file cannot be read, or a line is no address.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"The wallet file {path} cannot be read: {reason}. Check its name and its rights.") from None
    header = next(iter(lines), "").partition("#")[0]
    if "wallet_address" in header.lower():
        names = [name.strip().lower() for name in next(csv.reader([header]))]
        if "wallet_address" not in names:
            raise UsageError(f"The wallet file {path} has no column wallet_address in its first line: {header[:80]!r}.")
        column = names.index("wallet_address")
        try:
            cells = [(number, row[column] if column < len(row) else "") for number, row in _rows(lines)]
        except csv.Error as error:
            raise UsageError(
                f"The wallet file {path} is no CSV: {error}. Look for a quote that is not closed."
            ) from None
    else:
        cells = list(enumerate(lines, start=1))
    bare = [(number, cell.partition("#")[0]) for number, cell in cells]
    found = [check_wallet(cell, f"Line {number} of {path}") for number, cell in bare if cell.strip()]
    return list(dict.fromkeys(found))


def _rows(lines: list[str]) -> Iterable[tuple[int, list[str]]]:
    reader = csv.reader(lines)
    next(reader, None)
    for row in reader:
        yield reader.line_num, row


def plan_change(followed: list[FollowedWallet], wallets_file: Path | None, allow_shrink: bool) -> WalletChange:
    """What the wallet file changes, or, without one, the seed.

    Each list speaks for itself alone: it adds what nobody follows yet, and takes away what it once added and now lacks.

    Raises:
        UsageError: more than a tenth of the followed wallets would go, and `allow_shrink` is false.
    """
    current = {wallet.wallet_address: wallet.origin for wallet in followed}
    if wallets_file:
        listed = read_wallets(wallets_file)
        if not listed:
            raise UsageError(f"The wallet file {wallets_file} holds no address. Put one on each line.")
    else:
        listed = read_wallets(project.project_dir() / "seeds" / "wallets.csv")
    ours = FILE if wallets_file else SEED
    removed = sorted(wallet for wallet, origin in current.items() if origin == ours and wallet not in set(listed))
    added = [wallet for wallet in listed if wallet not in current]
    if len(removed) > _LARGEST_SHRINK * len(current) and not allow_shrink:
        raise UsageError(
            f"The list in {wallets_file or 'seeds/wallets.csv'} would unfollow {len(removed)} of {len(current)} "
            f"wallets (first: {removed[0]}). Nothing was changed. If that is meant, add --allow-shrink."
        )
    return WalletChange(sorted(added), removed, len(current))


def apply_change(warehouse: Warehouse, change: WalletChange, wallets_file: Path | None) -> None:
    """Follows and unfollows."""
    if not change.is_empty:
        origin = FILE if wallets_file else SEED
        warehouse.change_followed_wallets(
            [FollowedWallet(wallet, origin) for wallet in change.added], change.removed, utc_now()
        )
