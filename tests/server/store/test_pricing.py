"""What a call costs, and where its price is from."""

from __future__ import annotations

import json

import pytest

from openpipe_report.server.store import Store, StoreError

AT = 1_764_460_800_000  # 2025-11-30


def report(model="gpt-4o-mini", tokens=1_000, answer=100, cached=0, **more):
    usage = {
        "prompt_tokens": tokens,
        "completion_tokens": answer,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    return {"requestedAt": AT, "respPayload": {"model": model, "usage": usage, **more}}


def test_public_price(newest):
    """A call of a known model is priced as of its day, cached tokens at their own rate."""
    row = newest(report(cached=400))
    assert row.cost == pytest.approx((600 * 0.15 + 400 * 0.075 + 100 * 0.6) / 1e6, rel=1e-6)
    assert row.price_date == "2025-11-30"
    assert row.price_source.startswith("genai-prices ")


@pytest.mark.parametrize("tokens", [1, 1_000, 199_999, 200_001, 300_000])
def test_public_price_of_long_prompts(newest, tokens):
    """Where a long prompt has another rate, the price is what genai-prices itself computes."""
    from genai_prices import Usage, calc_price

    row = newest(report("claude-sonnet-4-5", tokens))
    assert row.cost is not None
    computed = calc_price(Usage(input_tokens=tokens, output_tokens=100), "claude-sonnet-4-5")
    assert row.cost == pytest.approx(float(computed.total_price))


def test_alias(newest):
    """A model whose answer has an unknown name is priced by the name that was asked for."""
    row = newest({**report("mystery"), "reqPayload": {"model": "gpt-4o-mini"}})
    assert row.cost == pytest.approx(0.00021)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(report("nonesuch-1"), id="unknown model"),
        pytest.param({"respPayload": {"model": "gpt-4o-mini"}}, id="no tokens"),
        pytest.param(report("gpt-4o-mini", -1), id="negative"),
        pytest.param({"respPayload": {"usage": {"prompt_tokens": 1}}}, id="no model"),
        pytest.param({**report("gpt-4o-mini\0"), "requestedAt": 0}, id="odd name"),
    ],
)
def test_unknown(newest, given):
    """A call that cannot be priced has no cost, rather than none to pay."""
    row = newest(given)
    assert (row.cost, row.price_date, row.price_source) == (None, None, None)


OWN = {
    "date": "2026-11-01",
    "models": {
        "llama-*": {"input": 1, "output": 2},
        "llama-70b": {"input": 10, "cached_input": 1, "output": 20},
        "gpt-4o-mini": {"input": 0, "output": 0, "tiers": {"flex": {"input": 5, "output": 0}}},
    },
}


@pytest.mark.parametrize(
    "given, cost",
    [
        pytest.param(report("llama-7b"), 0.0012, id="beginning of a name"),
        pytest.param(report("llama-70b", cached=500), 0.0075, id="longest match, cached tokens"),
        pytest.param(report("gpt-4o-mini"), 0.0, id="over genai-prices"),
        pytest.param(report("gpt-4o-mini", service_tier="flex"), 0.005, id="service tier"),
        pytest.param(report("gpt-4o-mini", service_tier="default"), 0.0, id="another tier"),
    ],
)
def test_own_prices(source, tmp_path, given, cost):
    """The prices of the user's own file win."""
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps(OWN))
    with Store(source, prices=prices) as store:
        store.add(given).result()
        [row] = store.recent()
    assert row.cost == pytest.approx(cost)
    assert (row.price_date, row.price_source) == ("2026-11-01", "prices.json")


@pytest.mark.parametrize(
    "content, message",
    [
        pytest.param("{", "cannot be read", id="no JSON"),
        pytest.param("{}", '"models"', id="no models"),
        pytest.param('{"models": {"m": {"input": 1}}}', "prices of m", id="no output"),
        pytest.param('{"models": {"m": {"input": "1", "output": 1}}}', "prices of m", id="text"),
        pytest.param('{"models": {"m": {"input": -1, "output": 1}}}', "prices of m", id="negative"),
        pytest.param('{"models": {"m": {"input": 1, "output": 1, "x": 1}}}', "prices of m", id="x"),
    ],
)
def test_wrong_file(path, tmp_path, content, message):
    """A file of prices that is not of the documented form is refused, and no database is made."""
    prices = tmp_path / "prices.json"
    prices.write_text(content)
    with pytest.raises(StoreError, match=message):
        Store(path, prices=prices)
    assert not path.exists()


def test_reprice(source, tmp_path):
    """Repricing changes the costs that differ, and counts them."""
    with Store(source) as store:
        for given in (report("nonesuch-1"), report("gpt-4o-mini"), {}):
            store.add(given).result()
        assert store.reprice().result() == 0
    prices = tmp_path / "prices.json"
    prices.write_text('{"models": {"nonesuch-1": {"input": 1, "output": 0}}}')
    with Store(source, prices=prices) as store:
        assert store.reprice().result() == 1
        assert [row.cost for row in store.recent()] == [0.001, pytest.approx(0.00021), None]
        assert store.recent()[0].price_date is None
