"""A staging table of any size with the shape of the old one, and its own known answer.

    .venv/bin/python bench/legacy.py DIR [--rows 165569] [--keys 58954] [--production 49759] [--files 4]

Writes DIR/staging/*.parquet and DIR/truth.json; with `--answers` DIR/truth.parquet too, the rows that must win.

What is in it: the ten columns of the old staging table. Each of `keys` fills stands there once as it happened and
once more as an exact copy, in capital letters, in a local time, or as a correction that is newer and has to win; what
is left of `rows` are further copies, older versions, copies that an older writer filed under the transaction hash,
malformed rows, and one fill 99 times. Ids are order hashes, transaction hashes or composites. Transactions hold up to
three fills.
The winner of every fill follows from its number, without a look at the table: no code of the project is used here.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

FULL_SCALE = (165_569_306, 58_953_954, 49_758_618)
"""Rows and keys of the staging table, and rows of the production table, that this project was begun for."""
FIRST_DAY = "2024-11-03 00:00:00+00"
_STRIDE = 32_416_190_071
"""A prime: multiples of it meet every fill once, in an order of no use to anybody."""
_MALFORMED = 2_000
"""One of so many rows that are left over is malformed."""


@dataclass(frozen=True)
class Shape:
    """How large it is, and how many days it spans. `production` rows stand in `trades` before."""

    rows: int
    keys: int
    production: int
    days: int = 450

    def __post_init__(self) -> None:
        if self.rows < 2 * self.keys + 200:
            raise ValueError("a staging table has every fill at least twice, and one 99 times")


def fills(shape: Shape) -> str:
    """A query's select list: a fill as a function of its number `i`. Those from `keys` on are production's own."""
    return f"""
        i,
        (i // 6) * 3 + [0, 0, 0, 1, 1, 2][(i % 6) + 1] as tx,
        case
            when i >= {shape.keys} then 'order'
            when hash(i * 64 + 1) % 100 < 4 then 'transaction'
            when hash(i * 64 + 1) % 100 < 6 then 'composite'
            else 'order'
        end as id_kind,
        case
            when i = 7 or id_kind <> 'order' or i >= {shape.keys} then 'plain'
            when hash(i * 64 + 2) % 100 < 6 then 'corrected'
            when hash(i * 64 + 2) % 100 < 9 then 'shifted'
            else 'plain'
        end as fate,
        '0x' || lpad(lower(to_hex(hash(tx * 64 + 3) % 1100 * 2654435761 + 11259375)), 40, 'a0') as wallet,
        '0x' || md5('t' || tx) || md5('u' || tx) as tx_hash,
        '0x' || md5('o' || if(i % 6 = 5, i // 600, i + 1000000007)) || md5('p' || if(i % 6 = 5, i // 600, -i))
            as order_hash,
        timestamptz '{FIRST_DAY}'
        + to_seconds(
            (if(i >= {shape.keys}, hash(tx * 64 + 4) % {shape.keys // 2 + 1}, tx) * {_seconds(shape)}) // 1000000
        ) as made_at,
        if(hash(i * 64 + 5) % 3 = 0, 'SELL', 'BUY') as side,
        hash(tx * 64 + 6) % 20000 as market,
        1000000 + hash(i * 64 + 7) % 900000000 as shares_raw,
        1 + (hash(i * 64 + 8) % 1000000) * shares_raw // 1000001 as usdc_raw,
        if(hash(i * 64 + 9) % 2 = 0, 'Yes', 'No') as token_label,
        cast(1000000000000000 + hash(market, token_label) % 8999999999999999 as varchar)
        || lpad(cast(hash(market, token_label, 1) as varchar), 20, '0')
        || lpad(cast(hash(market, token_label, 2) as varchar), 20, '0')
        || lpad(cast(hash(market, token_label, 3) as varchar), 20, '0') as token_id,
        '0x' || md5('c' || market) || md5('d' || market) as condition_id
    """


def _seconds(shape: Shape) -> int:
    """Millionths of a second between two transactions."""
    return max(1, shape.days * 86_400 * 1_000_000 // (shape.keys // 2 + 1))


def truth(shape: Shape) -> str:
    """The rows that have to win, in the columns of `trades` that come from the staging table."""
    return f"""
        select
            i,
            wallet as wallet_address,
            tx_hash,
            case when id_kind = 'order' then order_hash end as order_hash,
            made_at
            + to_seconds(case fate when 'corrected' then 7 when 'shifted' then 5 * 3600 else 0 end) as timestamp,
            side,
            cast(usdc_raw + if(fate = 'corrected', 1, 0) as double) / cast(shares_raw as double) as price,
            cast(shares_raw as double) / 1000000 as shares_normalized,
            cast(shares_raw as bigint) as shares_raw,
            cast(usdc_raw + if(fate = 'corrected', 1, 0) as bigint) as usdc_raw,
            token_label,
            token_id,
            condition_id
        from (select {fills(shape)} from range({shape.keys}) as numbers (i)) as fills
    """


def staging(shape: Shape, part: int = 0, parts: int = 1) -> str:
    """The rows of the staging table whose number leaves `part` when divided by `parts`."""
    return f"""
        with numbered as (
            select
                r,
                case
                    when r < {shape.keys} then r
                    when r < {2 * shape.keys} then cast((cast(r as hugeint) * {_STRIDE}) % {shape.keys} as bigint)
                    when r < {2 * shape.keys + 97} then 7
                    -- some more often than others, and never the one of 99
                    else greatest(
                        8, cast(floor(pow((hash(r * 64 + 10) % 1000000) / 1e6, 1.15) * {shape.keys}) as bigint)
                    )
                end as i,
                case
                    when r < {shape.keys} then 'as it happened'
                    when r < {2 * shape.keys} then 'second'
                    when r < {2 * shape.keys + 97} then 'copy'
                    when hash(r * 64 + 11) % {_MALFORMED} = 0 then 'malformed'
                    when hash(r * 64 + 12) % 100 < 50 then 'copy'
                    when hash(r * 64 + 12) % 100 < 65 then 'capitals'
                    when hash(r * 64 + 12) % 100 < 80 then 'local time'
                    when hash(r * 64 + 12) % 100 < 90 then 'older'
                    else 'by transaction'
                end as wanted
            from (select range * {parts} + {part} as r from range((({shape.rows} - 1 - {part}) // {parts}) + 1))
        ),

        made as (
            select
                numbered.r,
                {fills(shape)},
                case
                    when wanted = 'second' and fate <> 'plain' then fate
                    when wanted = 'second'
                        then ['copy', 'capitals', 'local time'][1 + cast(hash(r * 64 + 13) % 3 as bigint)]
                    when wanted in ('older', 'by transaction') and (id_kind <> 'order' or fate <> 'plain') then 'copy'
                    else wanted
                end as written
            from numbered
        ),

        dated as (
            select
                *,
                made_at + to_seconds(case written
                    when 'corrected' then 7
                    when 'shifted' then 5 * 3600
                    when 'local time' then -3600 * (1 + hash(r * 64 + 14) % 8)
                    when 'older' then -60
                    else 0
                end) as written_at,
                usdc_raw + case written when 'corrected' then 1 when 'older' then 2 else 0 end as written_usdc,
                if(written = 'malformed', hash(r * 64 + 15) % 4, 9) as defect
            from made
        )

        select
            case
                when written = 'by transaction' or id_kind = 'transaction' then tx_hash
                when id_kind = 'composite'
                    then left(wallet || '_' || cast(cast(epoch(written_at) as bigint) as text) || '_' || tx_hash, 100)
                when written = 'capitals' then '0x' || upper(substr(order_hash, 3))
                else order_hash
            end as id,
            condition_id,
            case
                when defect = 0 then left(wallet, 20)
                when written = 'capitals' then '0x' || upper(substr(wallet, 3))
                else wallet
            end as wallet_address,
            written_at as timestamp,
            if(defect = 1, 'HOLD', side) as side,
            if(defect = 2, 1.5, cast(written_usdc as double) / cast(shares_raw as double)) as price,
            cast(shares_raw as double) / 1000000 as shares_normalized,
            token_label,
            if(defect = 3, null, token_id) as token_id,
            if(written = 'capitals', '0x' || upper(substr(tx_hash, 3)), tx_hash) as tx_hash
        from dated
    """


_OVERLAPS = "i % 10 < 8 and id_kind = 'order'"
"""Fills of the staging table that stand in production: eight tenths of those with an order hash."""


def production(shape: Shape, in_both: int, among: str | None = None) -> str:
    """The rows of `trades` before, each with its number `i`: `in_both` of the staging table, and what came otherwise.

    `among` is a relation with the numbers that are looked at, if not all.
    """
    numbers = among or f"range({shape.keys + shape.production - in_both}) as numbers (i)"
    return f"""
        select
            order_hash as id,
            condition_id,
            wallet as wallet_address,
            made_at as timestamp,
            side,
            cast(usdc_raw as double) / cast(shares_raw as double) as price,
            cast(shares_raw as double) / 1000000 as shares_normalized,
            token_label,
            token_id,
            tx_hash,
            order_hash,
            cast(null as varchar) as taker,
            'market-' || market as market_slug,
            'Market ' || market as title,
            cast(shares_raw as bigint) as shares_raw,
            cast(usdc_raw as bigint) as usdc_raw,
            i
        from (select {fills(shape)} from {numbers}) as fills
        where i >= {shape.keys} or ({_OVERLAPS})
    """


def overlap(connection: duckdb.DuckDBPyConnection, shape: Shape) -> int:
    """How many fills of the staging table stand in production.

    Raises:
        ValueError: more than production is to have.
    """
    ((count,),) = connection.execute(
        f"select count(*) from (select {fills(shape)} from range({shape.keys}) as numbers (i)) as fills "
        f"where {_OVERLAPS}"
    ).fetchall()
    if count > shape.production:
        raise ValueError(f"{count:,} rows of production are in the staging table too: it needs at least as many")
    return int(count)


def write_staging(connection: duckdb.DuckDBPyConnection, shape: Shape, folder: Path, files: int) -> None:
    """Writes the staging table as Parquet files."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in range(files):
        file = folder / f"part-{part:04d}.parquet"
        connection.execute(f"copy ({staging(shape, part, files)}) to '{file}' (format parquet, compression zstd)")


def known_answer(connection: duckdb.DuckDBPyConnection, shape: Shape) -> dict[str, int]:
    """Counts that a migration of it has to come to."""
    both = overlap(connection, shape)
    return {
        **asdict(shape),
        "in_production": both,
        "to_copy": shape.keys - both,
        "production_after": shape.production + shape.keys - both,
    }


def main() -> None:
    """Writes a staging table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=FULL_SCALE[0] // 1000)
    parser.add_argument("--keys", type=int, default=FULL_SCALE[1] // 1000)
    parser.add_argument("--production", type=int, default=FULL_SCALE[2] // 1000)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--answers", action="store_true")
    chosen = parser.parse_args()
    shape = Shape(chosen.rows, chosen.keys, chosen.production)
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        write_staging(connection, shape, chosen.folder / "staging", chosen.files)
        (chosen.folder / "truth.json").write_text(json.dumps(known_answer(connection, shape), indent=2) + "\n")
        if chosen.answers:
            connection.execute(f"copy ({truth(shape)}) to '{chosen.folder}/truth.parquet' (format parquet)")


if __name__ == "__main__":
    main()
