"""
`GET /metrics`: counts for Prometheus. Needs the API key where one is set.

There are routes, statuses and sizes in it, and nothing of a report: no payload and no label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from openpipe_report.server.call import Call
    from openpipe_report.server.routes import Routes
    from openpipe_report.server.traffic import Traffic


class _TrafficCollector(Collector):
    """Reads the counts when they are asked for, so that a request pays for an addition only."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "openpipe_report_requests",
            "Answered requests, by route and HTTP status.",
            labels=["route", "status"],
        )
        for (route, status), count in list(self._traffic.answers.items()):
            requests.add_metric([route, str(status)], count)
        yield requests
        yield CounterMetricFamily(
            "openpipe_report_reports", "Reports acknowledged.", self._traffic.received
        )
        refused = CounterMetricFamily(
            "openpipe_report_refused",
            "Requests to store something that were refused, by HTTP status.",
            labels=["status"],
        )
        for status, count in list(self._traffic.refused.items()):
            refused.add_metric([str(status)], count)
        yield refused
        yield GaugeMetricFamily(
            "openpipe_report_connections", "Open connections.", self._traffic.connections
        )
        yield GaugeMetricFamily(
            "openpipe_report_body_bytes",
            "Bytes of the bodies that are being received, parsed or stored.",
            self._traffic.bytes_in_flight,
        )


def routes(traffic: Traffic) -> Routes:
    """Return the route of the metrics."""
    registry = CollectorRegistry()
    registry.register(_TrafficCollector(traffic))
    ProcessCollector(registry=registry)

    async def metrics(_call: Call) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return {"/metrics": {"GET": metrics}}
