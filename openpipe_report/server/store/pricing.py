"""
Computes what a call cost, in US dollars, from its model and its token counts.

Prices come from a file of the user's own first, then from the package genai-prices, as of the day
of the call. A call of a model that neither knows has no cost: it is not taken for free.

The file of own prices is a JSON object. Names are exact, or end with `*`; the longest match counts.
Prices are US dollars for a million tokens:

    {
      "date": "2026-11-01",
      "models": {
        "my-model": {"input": 0.5, "cached_input": 0.05, "output": 1.5},
        "llama-*": {"input": 0.1, "output": 0.1, "tiers": {"flex": {"input": 0.05, "output": 0.05}}}
      }
    }
"""

from __future__ import annotations

import inspect
import json
import math
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache, lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

from openpipe_report._report.json_values import get_object, get_real
from openpipe_report.server.store.errors import StoreError
from openpipe_report.server.store.values import get_class, get_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MILLION = 1_000_000
_DAY_MS = 86_400_000
_SLOT_MS = 1_800_000
_MAX_RATES = 10_000
_UNPRICEABLE = (LookupError, ValueError, ArithmeticError, OSError)
"""Errors of genai-prices, and of times beyond the calendar: a report is stored without a cost."""
_NAMES = {"input", "cached_input", "cache_write", "output", "tiers"}


class Price(NamedTuple):
    """What a call cost. All are None where its model or its token counts are unknown."""

    cost: float | None = None
    """In US dollars."""
    price_date: str | None = None
    """The day of the price: that of the file, or the day of the call (UTC) as `YYYY-MM-DD`."""
    price_source: str | None = None
    """`genai-prices` with its version, or the name of the file of own prices."""

    def columns(self) -> dict[str, Any]:
        """Return the columns of the table `reports` by name."""
        return {**self._asdict(), "cost_class": get_class(self.cost)}


UNKNOWN = Price()


@dataclass(frozen=True)
class Rates:
    """US dollars for a token, which hold up to `limit` tokens of prompt."""

    input: float
    cached: float
    written: float
    output: float
    limit: float = math.inf

    def cost(self, usage: Usage) -> float:
        """Return the cost of a call in US dollars."""
        plain = usage.prompt - usage.cached - usage.written
        cost = plain * self.input + usage.cached * self.cached + usage.written * self.written
        return cost + usage.answer * self.output


class Usage(NamedTuple):
    """The tokens of a call; those of the prompt include those that a cache has read and taken."""

    prompt: int
    answer: int
    cached: int
    written: int


class Pricer:
    """
    Prices calls. For one thread; importing genai-prices takes a second, at the first price.

    Args:
        own_prices: The file of own prices.

    Raises:
        StoreError: The file cannot be read, or is not of the documented form.

    """

    def __init__(self, own_prices: Path | None = None) -> None:
        self._own = None if own_prices is None else OwnPrices.read(own_prices)
        self._public = PublicPrices()

    def load(self) -> None:
        """Import genai-prices now, so that the first price does not wait for it."""
        self._public.cost("gpt-4o", None, Usage(1, 1, 0, 0), 0)

    def price(self, columns: Mapping[str, Any]) -> Price:
        """Return the price of a call from its columns `at`, models, service tier and tokens."""
        usage = _usage(columns)
        if usage is None:
            return UNKNOWN
        tier, at = columns["service_tier"], columns["at"]
        # The name in the answer says more: an alias in the request may mean another model by now.
        models = [columns[name] for name in ("response_model", "request_model") if columns[name]]
        for model in models:
            if self._own is not None and (rates := self._own.find(model, tier)):
                return Price(_round(rates.cost(usage)), self._own.date, self._own.name)
        for model in models:
            if (cost := self._public.cost(model, tier, usage, at)) is not None:
                return Price(_round(cost), _day(at), _source())
        return UNKNOWN


class OwnPrices:
    """The prices of a file."""

    def __init__(self, name: str, date: str | None, models: dict[str, dict[str, Rates]]) -> None:
        self.name = name
        self.date = date
        self._models = models
        self._found: dict[tuple[str, str | None], Rates | None] = {}

    @classmethod
    def read(cls, path: Path) -> OwnPrices:
        """Read a file; raises StoreError with the reason if it is not of the documented form."""
        try:
            parsed = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"the prices in {path} cannot be read: {error}") from error
        models = get_object(get_object(parsed).get("models"))
        if not models:
            raise StoreError(f'the prices in {path} need an object "models", with prices by model')
        rates = {name: _read_rates(path, name, given) for name, given in models.items()}
        return cls(path.name, get_text(parsed.get("date")), rates)

    def find(self, model: str, tier: str | None) -> Rates | None:
        """Return the rates of a model in a service tier, which default to those of the model."""
        key = (model, tier)
        if key not in self._found:
            if len(self._found) >= _MAX_RATES:
                self._found.clear()
            fitting = [
                name
                for name in self._models
                if name == model or (name.endswith("*") and model.startswith(name[:-1]))
            ]
            rates = self._models[max(fitting, key=len)] if fitting else {}
            self._found[key] = rates.get(tier or "") or rates.get("")
        return self._found[key]


def _read_rates(path: Path, model: str, given: object) -> dict[str, Rates]:
    prices = get_object(given)
    by_tier = {"": prices, **get_object(prices.get("tiers"))}
    return {tier: _read_rate(path, model, one) for tier, one in by_tier.items()}


def _read_rate(path: Path, model: str, given: object) -> Rates:
    prices = get_object(given)
    numbers = {name: get_real(prices[name]) for name in prices if name != "tiers"}
    known = {name: value for name, value in numbers.items() if value is not None and value >= 0}
    if not {"input", "output"} <= known.keys() or not prices.keys() <= _NAMES or known != numbers:
        raise StoreError(
            f"the prices of {model} in {path} must be numbers: input and output, and if they "
            "differ from input, cached_input and cache_write; and tiers with the same"
        )
    per_token = {name: value / _MILLION for name, value in known.items()}
    plain = per_token["input"]
    cached, written = per_token.get("cached_input", plain), per_token.get("cache_write", plain)
    return Rates(plain, cached, written, per_token["output"])


class PublicPrices:
    """
    The prices that genai-prices knows.

    One calculation of the package takes half a millisecond. Prices are linear in the tokens up to
    the start of a tier, so the rates of a model are computed once, and again for another half hour
    where its prices change with time.
    """

    def __init__(self) -> None:
        self._rates: dict[tuple[str, str | None, int], Rates | None] = {}
        self._constant: set[str] = set()

    def cost(self, model: str, tier: str | None, usage: Usage, at: int) -> float | None:
        """Return the cost of a call at a Unix time in milliseconds, None for an unknown model."""
        slot = 0 if model in self._constant else at // _SLOT_MS + 1
        key = (model, tier, slot)
        if key not in self._rates:
            if len(self._rates) >= _MAX_RATES:
                self._rates.clear()
            self._rates[key] = self._find_rates(model, tier, at)
        rates = self._rates[key]
        if rates is None or usage.prompt <= rates.limit:
            return None if rates is None else rates.cost(usage)
        try:
            return self._calculate(model, tier, usage, at)[0]
        except _UNPRICEABLE:
            return None

    def _find_rates(self, model: str, tier: str | None, at: int) -> Rates | None:
        try:
            plain, found = self._calculate(model, tier, Usage(1, 0, 0, 0), at)
            cached = self._calculate(model, tier, Usage(1, 0, 1, 0), at)[0]
            written = self._calculate(model, tier, Usage(1, 0, 0, 1), at)[0]
            output = self._calculate(model, tier, Usage(0, 1, 0, 0), at)[0]
        except _UNPRICEABLE:
            self._constant.add(model)
            return None
        if not isinstance(found.model.prices, list):
            self._constant.add(model)
        tiers = (
            one.start
            for price in vars(found.model_price).values()
            for one in getattr(price, "tiers", ())
        )
        return Rates(plain, cached, written, output, min(tiers, default=math.inf))

    def _calculate(self, model: str, tier: str | None, usage: Usage, at: int) -> tuple[float, Any]:
        from genai_prices import Usage as PublicUsage  # noqa: PLC0415 - takes a second
        from genai_prices import calc_price  # noqa: PLC0415

        counts = PublicUsage(
            input_tokens=usage.prompt,
            output_tokens=usage.answer,
            cache_read_tokens=usage.cached,
            cache_write_tokens=usage.written,
        )
        more: dict[str, Any] = {
            "genai_request_timestamp": datetime.fromtimestamp(at / 1_000, timezone.utc)
        }
        # The versions for Python 3.10 know no tiers.
        if tier is not None and "price_context" in inspect.signature(calc_price).parameters:
            more["price_context"] = {"service_tier": tier}
        try:
            found = calc_price(counts, model, **more)
        except LookupError:
            # A gateway's name, as "openai/gpt-4o"; or a model of OpenAI's whose name tells nothing.
            provider, _, name = model.rpartition("/")
            found = calc_price(counts, name, provider_id=provider or "openai", **more)
        return float(found.total_price), found


def _usage(columns: Mapping[str, Any]) -> Usage | None:
    prompt, answer = columns["prompt_tokens"], columns["completion_tokens"]
    if prompt is None or prompt < 0 or (answer or 0) < 0:
        return None
    cached = min(max(columns["cached_tokens"] or 0, 0), prompt)
    written = min(max(columns["cache_write_tokens"] or 0, 0), prompt - cached)
    return Usage(prompt, answer or 0, cached, written)


@cache
def _source() -> str:
    return f"genai-prices {version('genai-prices')}"


def _day(at: int) -> str | None:
    return _format_day(at // _DAY_MS)


@lru_cache(1_000)
def _format_day(day: int) -> str | None:
    try:
        return datetime.fromtimestamp(day * _DAY_MS / 1_000, timezone.utc).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def _round(cost: float) -> float:
    # The price of a token is of the order of a ten millionth: this is exact, without the noise.
    return round(cost, 12)
