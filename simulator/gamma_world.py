"""The markets and events of a synthetic world as Gamma records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from simulator.gamma import GammaCatalogue, Item
from simulator.markets import DAY, Catalogue, Event, Market

_IMAGE = "https://images.invalid/{}.png"
_FIRST_MARKET, _FIRST_EVENT = 500_000, 20_000
_OPERATOR = "0x91430CaD2d3975766499717fA0D66A78D814E5c5"


def gamma_catalogue(catalogue: Catalogue, until: int) -> GammaCatalogue:
    """Return the Gamma view of a world at second `until`: every market except those that Gamma never heard of."""
    markets: list[Item] = []
    events: list[Item] = []
    for event in catalogue.events:
        known = [market for market in catalogue.markets_of(event) if market.in_gamma]
        if not known:
            continue
        outer = _event(event, known, until)
        inner = {name: value for name, value in outer.items() if name != "tags"}
        records = [_market(market, event, until) for market in known]
        markets.extend(Item.of(msgspec.json.encode(record | {"events": [inner]})) for record in records)
        events.append(Item.of(msgspec.json.encode(outer | {"markets": records})))
    return GammaCatalogue(markets, events)


def _event(event: Event, markets: list[Market], until: int) -> dict[str, Any]:
    volume = sum(market.volume or 0.0 for market in markets)
    closed = all(market.closes is not None for market in markets)
    record: dict[str, Any] = {
        "id": str(_FIRST_EVENT + event.number),
        "ticker": event.slug,
        "slug": event.slug,
        "title": event.title,
        "description": markets[0].description,
        "resolutionSource": markets[0].source,
        "startDate": _iso(event.opens, ".084911Z"),
        "creationDate": _iso(event.opens, ".084906Z"),
        "endDate": _iso(event.ends),
        "image": _IMAGE.format(event.slug),
        "icon": _IMAGE.format(event.slug),
        "active": True,
        "closed": closed,
        "archived": False,
        "new": False,
        "featured": False,
        "restricted": True,
        "liquidity": 0.0 if closed else round(volume / 50, 5),
        "volume": volume,
        "openInterest": 0,
        "createdAt": _iso(event.opens - 7_200, ".96609Z"),
        "updatedAt": _iso(until, ".55442Z"),
        "competitive": 0.8003199679231757,
        "volume24hr": round(volume / 40, 6),
        "volume1wk": round(volume / 4, 6),
        "volume1mo": volume,
        "volume1yr": volume,
        "enableOrderBook": True,
        "liquidityClob": 0.0 if closed else round(volume / 50, 5),
        "negRisk": event.neg_risk_id is not None,
        "commentCount": event.number % 40,
        "tags": [
            {"id": str(tag.id), "label": tag.label, "slug": tag.slug, "forceShow": False, "requiresTranslation": False}
            for tag in event.tags
        ],
        "cyom": False,
        "showAllOutcomes": True,
        "showMarketImages": True,
        "enableNegRisk": event.neg_risk_id is not None,
        "automaticallyActive": True,
        "negRiskAugmented": False,
        "pendingDeployment": False,
        "deploying": False,
        "requiresTranslation": False,
    }
    if event.neg_risk_id is not None:
        record["negRiskMarketID"] = event.neg_risk_id
    return record


def _market(market: Market, event: Event, until: int) -> dict[str, Any]:
    price = market.price_milli / 1_000
    liquidity = 0.0 if market.closes is not None else round((market.volume or 40.0) / 50, 5)
    record: dict[str, Any] = {
        "id": str(_FIRST_MARKET + market.number),
        "question": market.title,
        "conditionId": market.condition_id,
        "slug": market.slug,
        "resolutionSource": market.source,
        "liquidity": f"{liquidity:.5f}".rstrip("0").rstrip("."),
        "startDate": _iso(market.opens, ".084Z"),
        "image": _IMAGE.format(event.slug),
        "icon": _IMAGE.format(event.slug),
        "description": market.description,
        "outcomes": _text(list(market.labels)),
        "outcomePrices": _text(_outcome_prices(market)),
        "active": True,
        "closed": market.closes is not None,
        "marketMakerAddress": "",
        "createdAt": _iso(market.opens - 7_200, ".145447Z"),
        "updatedAt": _iso(until if market.closes is None else market.closes + 22, ".356562Z"),
        "new": False,
        "featured": False,
        "submitted_by": _OPERATOR,
        "archived": False,
        "restricted": True,
        "groupItemTitle": market.group_title,
        "groupItemThreshold": str(market.number - event.first),
        "questionID": market.question_id,
        "enableOrderBook": True,
        "orderPriceMinTickSize": market.tick_milli / 1_000,
        "orderMinSize": 5,
        "liquidityNum": liquidity,
        "startDateIso": _iso(market.opens)[:10],
        "hasReviewedDates": True,
        "clobTokenIds": _text(list(market.tokens)),
        "umaBond": "500",
        "umaReward": "5",
        "liquidityClob": liquidity,
        "acceptingOrders": market.closes is None,
        "negRisk": market.neg_risk_id is not None,
        "ready": False,
        "funded": False,
        "acceptingOrdersTimestamp": _iso(market.opens),
        "cyom": False,
        "competitive": 0 if market.closes is not None else 0.9489250576946435,
        "pagerDutyNotificationEnabled": False,
        "approved": True,
        "rewardsMinSize": 20,
        "rewardsMaxSpread": 3.5,
        "spread": market.tick_milli / 1_000,
        "lastTradePrice": price,
        "bestBid": round(price - market.tick_milli / 1_000, 3),
        "bestAsk": round(price + market.tick_milli / 1_000, 3),
        "automaticallyActive": True,
        "clearBookOnStart": True,
        "manualActivation": False,
        "negRiskOther": False,
        "umaResolutionStatuses": "[]" if market.closes is None else '["proposed"]',
        "pendingDeployment": False,
        "deploying": False,
        "rfqEnabled": False,
        "holdingRewardsEnabled": False,
        "feesEnabled": False,
        "requiresTranslation": False,
        "feeType": None,
    }
    if market.has_end_date:
        record |= {"endDate": _iso(market.ends), "endDateIso": _iso(market.ends)[:10]}
    if market.volume is not None:
        record |= _volumes(market.volume, young=until - market.opens < 7 * DAY)
    if market.neg_risk_id is not None:
        record |= {"negRiskMarketID": market.neg_risk_id, "negRiskRequestID": market.question_id}
    if market.game_starts is not None:
        record |= {"gameStartTime": _spaced(market.game_starts), "secondsDelay": 3}
    if market.closes is not None:
        record |= {
            "closedTime": _spaced(market.closes),
            "umaEndDate": _iso(market.closes),
            "umaResolutionStatus": "resolved",
            "automaticallyResolved": True,
        }
    return record


def _volumes(volume: float, *, young: bool) -> dict[str, Any]:
    week = volume if young else round(volume / 4, 6)
    # The decimal text carries one more digit than the number, as upstream's does.
    record: dict[str, Any] = {"volume": f"{volume!r}1", "volumeNum": volume, "volumeClob": volume}
    for span, value in (("24hr", round(volume / 40, 6)), ("1wk", week), ("1mo", volume), ("1yr", volume)):
        record |= {f"volume{span}": value, f"volume{span}Clob": value}
    return record


def _outcome_prices(market: Market) -> list[str]:
    if market.closes is None:
        return [f"{market.price_milli / 1_000:g}", f"{1 - market.price_milli / 1_000:g}"]
    if market.winner is None:
        return ["0.5", "0.5"]
    return ["1", "0"] if market.winner == 0 else ["0", "1"]


def _text(value: list[str]) -> str:
    """Return a JSON array as a string: Gamma nests JSON in JSON, with a space after each comma."""
    return "[" + ", ".join(msgspec.json.encode(one).decode() for one in value) + "]"


def _iso(seconds: int, tail: str = "Z") -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{tail}"


def _spaced(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}+00"
