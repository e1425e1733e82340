"""Lists of wallets: what a file may look like, what it changes, and what it must not change by accident."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from runner.engine.wallets import FILE, SEED, apply_change, check_wallet, plan_change, read_wallets
from runner.errors import UsageError
from runner.settings import load as load_settings
from runner.warehouse.duckdb import DuckDBWarehouse
from runner.warehouse.protocol import FollowedWallet
from runner_tests.support import ROOT


def address(number: int) -> str:
    return f"0x{number:040x}"


A, B, C, D = address(0xA), address(0xB), address(0xC), address(0xD)
MIXED = "0xAbCdEf" + "0" * 34


def file_of(folder: Path, content: str | bytes) -> Path:
    file = folder / "list.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize(
    "content",
    [
        f"{A}\n{B}\n",
        f"{A}\n{B}",
        f"{A}\r\n{B}\r\n",
        f"\ufeff{A}\n{B}\n",
        f"\n  {A}  \n\n\t{B}\n\n",
        f"# ours\n{A} # the first\n#{C}\n{B}#second\n",
        f"wallet_address\n{A}\n{B}\n",
        f"\ufeffwallet_address\r\n{A}\r\n{B}\r\n",
        f'"wallet_address"\n"{A}"\n"{B}"\n',
        f'name,wallet_address,note\n"Smith, J.",{A},"says ""hi"""\nJones,{B}\n',
        f" Wallet_Address , name\n{A},x\n\n{B},y\n",
        f"wallet_address\n# a comment\n{A}  # the first\n{B}\n",
        f"name,wallet_address\n# a comment\nx,{A}\nnobody,\nshort\ny,{B}\n",
    ],
)
def test_a_list_is_one_address_a_line_or_a_csv_column(tmp_path: Path, content: str) -> None:
    assert read_wallets(file_of(tmp_path, content)) == [A, B]


def test_addresses_are_lower_cased_and_each_counts_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    upper = "0X" + MIXED[2:].upper()
    assert read_wallets(file_of(tmp_path, f"{B}\n{MIXED}\n{A}\n{upper}\n{B}\n")) == [B, MIXED.lower(), A]


@pytest.mark.parametrize("content", ["", "\n\n", "# nobody\n", "wallet_address\n", "\ufeff"])
def test_a_list_may_be_empty(tmp_path: Path, content: str) -> None:
    assert read_wallets(file_of(tmp_path, content)) == []


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (f"{A}\n{B[:-1]}\n", 2),
        (f"{A}0\n", 1),
        (f"{A}\n\n# x\n{B} {C}\n", 4),
        (f"{A},{B}\n", 1),
        (f"wallet_address\n{A}\n\n0x12\n", 4),
        (f"wallet_address,name\n{A},x\nx,{B}\n", 3),
        (f"address\n{A}\n", 1),
        (f"{A}\nwallet_address\n", 2),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, content: str, line: int) -> None:
    file = file_of(tmp_path, content)
    with pytest.raises(UsageError, match=f"Line {line} of {file} is .*no wallet address") as caught:
        read_wallets(file)
    assert "\n" not in str(caught.value)


def test_a_csv_whose_header_only_resembles_the_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column wallet_address"):
        read_wallets(file_of(tmp_path, f"my_wallet_address_list\n{A}\n"))


def test_a_comment_above_the_addresses_is_no_header(tmp_path: Path) -> None:
    assert read_wallets(file_of(tmp_path, f"# wallet_address list\n{A}\n")) == [A]


def test_a_quote_that_is_not_closed_is_said(tmp_path: Path) -> None:
    file = file_of(tmp_path, f'wallet_address,name\n{A},"x\n' + f"{B},y\n" * 4_000)
    with pytest.raises(UsageError, match="a quote that is not closed"):
        read_wallets(file)


def test_a_file_that_cannot_be_read_as_text_is_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.csv", file_of(tmp_path, b"\xff\xfe0x")):
        with pytest.raises(UsageError, match=f"The wallet file {path} cannot be read: "):
            read_wallets(path)


@pytest.mark.parametrize("text", ["", "0x", A[2:], A + "0", f"{A}\n{B}", "0x" + "g" * 40, "x" * 1_000])
def test_check_wallet_refuses_what_is_no_address_and_quotes_a_little_of_it(text: str) -> None:
    with pytest.raises(UsageError, match="--wallet is") as caught:
        check_wallet(text, "--wallet")
    assert len(str(caught.value)) < 300


def test_check_wallet_takes_an_address_in_any_case_with_spaces_around_it() -> None:
    assert check_wallet(f"  {MIXED}\n", "--wallet") == MIXED.lower()


def followed(*wallets: str, origin: str) -> list[FollowedWallet]:
    return [FollowedWallet(wallet, origin) for wallet in wallets]


def test_a_file_takes_away_what_files_once_gave_and_leaves_the_seed_alone(tmp_path: Path) -> None:
    present = followed(A, D, origin=FILE) + followed(B, origin=SEED)
    change = plan_change(present, file_of(tmp_path, f"{C}\n{A}\n"), allow_shrink=True)
    assert (change.added, change.removed, change.followed_before) == ([C], [D], 3)
    assert not change.is_empty


def test_the_list_that_is_followed_already_changes_nothing(tmp_path: Path) -> None:
    assert plan_change(followed(A, B, origin=FILE), file_of(tmp_path, f"{B}\n{A}\n"), allow_shrink=False).is_empty


def test_the_shipped_seed_is_empty_and_takes_away_only_what_it_once_gave() -> None:
    assert read_wallets(ROOT / "seeds" / "wallets.csv") == []
    change = plan_change(followed(A, origin=FILE) + followed(B, origin=SEED), None, allow_shrink=True)
    assert (change.added, change.removed) == ([], [B])
    assert plan_change(followed(A, origin=FILE), None, allow_shrink=False).is_empty


def test_an_empty_file_never_unfollows_everybody(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no address"):
        plan_change(followed(A, origin=FILE), file_of(tmp_path, "wallet_address\n"), allow_shrink=True)


def listed(folder: Path, numbers: Iterable[int]) -> Path:
    return file_of(folder, "".join(address(number) + "\n" for number in numbers))


def test_a_list_may_lose_a_tenth_but_not_more(tmp_path: Path) -> None:
    present = followed(*map(address, range(20)), origin=FILE)
    assert len(plan_change(present, listed(tmp_path, range(2, 20)), allow_shrink=False).removed) == 2
    shorter = listed(tmp_path, range(3, 20))
    with pytest.raises(UsageError, match=r"would unfollow 3 of 20 wallets .*--allow-shrink") as caught:
        plan_change(present, shorter, allow_shrink=False)
    assert address(0) in str(caught.value)
    assert len(plan_change(present, shorter, allow_shrink=True).removed) == 3


def test_new_wallets_do_not_make_up_for_lost_ones(tmp_path: Path) -> None:
    present = followed(*map(address, range(20)), origin=FILE)
    with pytest.raises(UsageError, match="would unfollow 20 of 20"):
        plan_change(present, listed(tmp_path, range(100, 200)), allow_shrink=False)


def test_following_unfollowing_and_following_again_is_kept_in_the_warehouse(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(load_settings(duckdb_path=tmp_path / "x.duckdb", lock_wait_seconds=0))
    assert warehouse.followed_wallets() == []
    assert not warehouse.path.exists(), "asking makes no file"
    warehouse.prepare()
    for content, expected in ((f"{A}\n{B}\n", [A, B]), (f"{B}\n", [B]), (f"{A}\n{B}\n{C}\n", [A, B, C])):
        file = file_of(tmp_path, content)
        change = plan_change(warehouse.followed_wallets(), file, allow_shrink=True)
        apply_change(warehouse, change, file)
        assert warehouse.followed_wallets() == followed(*expected, origin=FILE)
        assert plan_change(warehouse.followed_wallets(), file, allow_shrink=False).is_empty
