"""The variants that are compared: the tools, their packages, and how each is set up."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent
ROOT = BENCHMARKS.parent
sys.path.insert(1, str(ROOT / "scripts"))

from environments import prepare  # noqa: E402 - the path comes first

_OURS = ("openai", "-e", str(ROOT))
_OTLP = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")


@dataclass(frozen=True)
class Variant:
    """One way of making calls, in a process of its own."""

    name: str
    module: str
    """Its module in `comparison.tools`."""
    environment: str
    """The environment that it shares with variants of the same packages."""
    packages: tuple[str, ...]
    how: str
    """One line for the page: how it is set up."""
    shown: tuple[str, ...] = ()
    """The packages whose versions are shown."""
    base: str = "bare"
    """The variant that it is compared with."""
    is_peer: bool = True
    delivers: bool = True
    """Whether its calls must arrive at the sink."""


VARIANTS = [
    Variant(
        "bare",
        "bare",
        "bare",
        ("openai",),
        "`openai.OpenAI`, nothing recorded: the base of every ratio",
        ("openai",),
        is_peer=False,
        delivers=False,
    ),
    Variant(
        "bare again",
        "bare",
        "bare",
        ("openai",),
        "the same in a second process (A/A): its difference is the noise of the measurement",
        is_peer=False,
        delivers=False,
    ),
    Variant(
        "openpipe-report",
        "ours",
        "ours",
        _OURS,
        "`openpipe_report.OpenAI`, `OPENPIPE_BASE_URL`",
        ("openpipe-report",),
        is_peer=False,
    ),
    Variant(
        "openpipe-report, senders held",
        "ours_held",
        "ours",
        _OURS,
        "the only sender is blocked in `before_report`: the caller's own part",
        is_peer=False,
        delivers=False,
    ),
    Variant(
        "one POST by httpx",
        "raw",
        "ours",
        _OURS,
        "`openai.OpenAI`; the bytes of each request are posted once by one `httpx.Client`",
        ("httpx",),
        is_peer=False,
    ),
    Variant(
        "langfuse",
        "langfuse",
        "langfuse",
        ("openai", "langfuse"),
        "`langfuse.openai.OpenAI`, `LANGFUSE_BASE_URL`",
        ("langfuse",),
    ),
    Variant(
        "langsmith",
        "langsmith",
        "langsmith",
        ("openai", "langsmith"),
        "`wrap_openai(openai.OpenAI())`, `LANGSMITH_ENDPOINT`; "
        "the sink offers multipart and zstd, as the hosted service does",
        ("langsmith",),
    ),
    Variant(
        "braintrust",
        "braintrust",
        "braintrust",
        ("openai", "braintrust"),
        "`init_logger()`, `wrap_openai(openai.OpenAI())`, `BRAINTRUST_API_URL`",
        ("braintrust",),
    ),
    Variant(
        "openinference",
        "openinference",
        "openinference",
        ("openai", "openinference-instrumentation-openai", *_OTLP),
        "`OpenAIInstrumentor().instrument()`, BatchSpanProcessor, OTLP exporter over HTTP",
        ("openinference-instrumentation-openai", "opentelemetry-sdk"),
    ),
    Variant(
        "traceloop",
        "traceloop",
        "traceloop",
        ("openai", "opentelemetry-instrumentation-openai", *_OTLP),
        "`OpenAIInstrumentor().instrument()`, BatchSpanProcessor, OTLP exporter over HTTP",
        ("opentelemetry-instrumentation-openai", "opentelemetry-sdk"),
    ),
    Variant(
        "logfire",
        "logfire",
        "logfire",
        ("openai", "logfire"),
        "`configure(send_to_logfire=False, console=False)`, `instrument_openai()`, "
        "`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`",
        ("logfire",),
    ),
    Variant(
        "posthog",
        "posthog",
        "posthog",
        ("openai", "posthog"),
        "`posthog.ai.openai.OpenAI(posthog_client=Posthog(host=...))`",
        ("posthog",),
    ),
    Variant(
        "sentry",
        "sentry",
        "sentry",
        ("openai", "sentry-sdk"),
        "`init(traces_sample_rate=1, send_default_pii=True)`, the DSN, and "
        "`transport_queue_size=1000`: the default of 100 loses calls here",
        ("sentry-sdk",),
    ),
    Variant(
        "bare 1.97.1",
        "bare",
        "openpipe",
        ("openai==1.97.1", "openpipe==5.0.0"),
        "`openai.OpenAI` of the version that openpipe needs: the base of openpipe's ratios",
        ("openai",),
        base="bare 1.97.1",
        is_peer=False,
        delivers=False,
    ),
    Variant(
        "openpipe",
        "openpipe",
        "openpipe",
        ("openai==1.97.1", "openpipe==5.0.0"),
        "`openpipe.OpenAI`, `OPENPIPE_BASE_URL`",
        ("openpipe",),
        base="bare 1.97.1",
    ),
]

BY_NAME = {variant.name: variant for variant in VARIANTS}
OURS, HELD, RAW, AGAIN = (
    "openpipe-report",
    "openpipe-report, senders held",
    "one POST by httpx",
    "bare again",
)


def _marker(variant: Variant) -> Path:
    return ROOT / ".venvs" / f"peers-{variant.environment}" / ".made"


def forget_environment(variant: Variant) -> None:
    """Let the variant's environment be made again, with the newest versions."""
    _marker(variant).unlink(missing_ok=True)


def interpreter_of(variant: Variant) -> Path:
    """Return the interpreter of a variant's environment, which is made at the first time."""
    name = f"peers-{variant.environment}"
    if not _marker(variant).exists():
        print(f"==> making environment {name}: {' '.join(variant.packages)}", flush=True)
    return prepare(name, list(variant.packages))
