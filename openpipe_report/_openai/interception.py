"""
What a client that reports has different from openai's: three methods, overridden.

`request()` is one logical call, openai's retries inside; `_build_request()` makes the HTTP request
of each attempt; `_process_response()` gets the response that counted. Everything a client can do
goes through these three, so nothing else is touched. What knows openai's inside is here, in
`_classes`, `_resources` and `_module`, and is tried on every openai that the package allows.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from openpipe_report._capture.call import Call
from openpipe_report._context.scope import current_call, current_scope
from openpipe_report._delivery.destination import (
    ReportingConfig,
    inherit_config,
    load_reporting_config,
    warn_websocket,
)
from openpipe_report._log import log_internal_error, run_guarded
from openpipe_report._openai.resources import reclass_resources

if TYPE_CHECKING:
    from openpipe_report._delivery.reporter import Reporter

_PATHS = {
    "chat/completions": "chat.completions",
    "completions": "completions",
    "responses": "responses",
    "responses/compact": "responses",
    "embeddings": "embeddings",
    "moderations": "moderations",
    "images/generations": "images",
    "images/edits": "images",
    "images/variations": "images",
    "audio/speech": "audio",
    "audio/transcriptions": "audio",
    "audio/translations": "audio",
}
"""By the end of a URL's path: the name in `Settings.endpoints`."""

_JSON = (str, int, float, list, tuple, dict)
_NOTHING: Mapping[str, Any] = {}


@functools.lru_cache(maxsize=256)
def _endpoint_of(url: str) -> str | None:
    """Find the known path that a URL ends in, without its query."""
    parts = url.partition("?")[0].partition("#")[0].strip("/").split("/")
    last_two = "/".join(parts[-2:])
    path = last_two if last_two in _PATHS else parts[-1]
    return path if path in _PATHS else None


def begin(config: ReportingConfig, options: Any) -> tuple[Call | None, Any]:
    """
    Begin a logical call.

    Returns:
        The call, or None if it is not reported; and the options to go on with: a copy where
        `metadata` or `extra_body={"openpipe": ...}` is ours and must not travel upstream.
    """
    try:
        path = _endpoint_of(options.url)
        extra, body = options.extra_json, options.json_data
        ours: Any = None
        if extra is not None and "openpipe" in extra:
            ours = extra["openpipe"]
            options = options.model_copy()
            options.extra_json = {k: v for k, v in extra.items() if k != "openpipe"} or None
        if path is None or options.method.upper() != "POST":
            return _begin_retrieval(config, options, ours), options
        metadata: Any = None
        if path == "chat/completions" and isinstance(body, dict) and "metadata" in body:
            metadata = _own_metadata(config, body, extra)
            if metadata is not None:
                options = options.model_copy()
                options.json_data = {k: v for k, v in body.items() if k != "metadata"}
        return _begin_call(config, path, metadata, ours), options
    except Exception:  # noqa: BLE001 - the guard
        log_internal_error("beginning a call")
        return None, options


def _begin_retrieval(config: ReportingConfig, options: Any, ours: Any) -> Call | None:
    """Begin a call that may find a background response finished: GET /responses/{id}."""
    parts = options.url.partition("?")[0].strip("/").split("/")
    if parts[-2:-1] != ["responses"] or options.method.upper() != "GET":
        return None
    call = _begin_call(config, "responses", None, ours)
    if call is not None:
        call.on_poll(parts[-1])
    return call


def _own_metadata(config: ReportingConfig, body: dict[str, Any], extra: Any) -> Any:
    """Find metadata that OpenAI would refuse: it takes it on chat completions only to store."""
    if config.settings.forward_metadata or not isinstance(body["metadata"], Mapping):
        return None
    if body.get("store") or (extra is not None and extra.get("store")):
        return None
    if not all(value is None or isinstance(value, _JSON) for value in body["metadata"].values()):
        return None  # openai refuses it, as it does without us
    return body["metadata"]


def _begin_call(config: ReportingConfig, path: str, metadata: Any, ours: Any) -> Call | None:
    reporter = config.reporter
    if reporter is None:
        return None
    around = current_scope()
    if not around.report or _PATHS[path] not in config.settings.endpoints:
        return None
    if not isinstance(ours, Mapping):
        return Call(reporter, path, around, metadata or _NOTHING, _NOTHING)
    if ours.get("log_request") is False:
        return None
    labels, tags = ours.get("metadata"), ours.get("tags")
    labels = {**(labels if isinstance(labels, Mapping) else {}), **(metadata or {})}
    return Call(
        reporter, path, around, labels, dict(tags) if isinstance(tags, Mapping) else _NOTHING
    )


class Reporting:
    """What sync and async clients share."""

    _openpipe_config: ReportingConfig

    def __init__(
        self,
        *args: Any,
        openpipe: Mapping[str, Any] | None = None,
        reporter: Reporter | None = None,
        **kwargs: Any,
    ) -> None:
        self._openpipe_config = load_reporting_config(openpipe, reporter)
        super().__init__(*args, **kwargs)
        self._openpipe_config = self._openpipe_config.for_client(self.base_url)  # type: ignore[attr-defined]
        reclass_resources(self)

    def copy(
        self,
        *args: Any,
        openpipe: Mapping[str, Any] | None = None,
        reporter: Reporter | None = None,
        **kwargs: Any,
    ) -> Any:
        """Copy the client as openai does; the copy reports as this one unless told otherwise."""
        config = self._openpipe_config
        asked = openpipe is not None or reporter is not None
        if asked:
            config = load_reporting_config(openpipe, reporter)
        with inherit_config(config):
            made = super().copy(*args, **kwargs)  # type: ignore[misc]
        if asked:  # whatever the constructor of a subclass chose
            vars(made)["_openpipe_config"] = config.for_client(made.base_url)
        return made

    with_options = copy

    @property
    def websocket_base_url(self) -> Any:
        """An attribute of openai's; beside `copy()` it is WebSocket connections that read it."""
        run_guarded("noting a WebSocket", warn_websocket, self._openpipe_config)
        try:
            return self.__dict__["websocket_base_url"]
        except KeyError:
            raise AttributeError("websocket_base_url") from None

    @websocket_base_url.setter
    def websocket_base_url(self, value: Any) -> None:
        self.__dict__["websocket_base_url"] = value

    def _build_request(self, options: Any, *args: Any, **kwargs: Any) -> Any:
        request = super()._build_request(options, *args, **kwargs)  # type: ignore[misc]
        call = current_call.get()
        if call is not None:
            run_guarded("taking a request", call.on_request, request, options)
        return request


class SyncReporting(Reporting):
    def request(self, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        call, options = begin(self._openpipe_config, options)
        outer = current_call.get()
        current_call.set(call)
        try:
            result = super().request(cast_to, options, *args, **kwargs)  # type: ignore[misc]
        except BaseException as error:
            if call is not None:
                run_guarded("taking an error", call.on_error, error, options)
            raise
        finally:
            current_call.set(outer)
        if call is not None:
            run_guarded("finishing a call", call.on_return)
        return result

    def _process_response(self, *, response: Any, **kwargs: Any) -> Any:
        call = current_call.get()
        current_call.set(None)
        if call is not None:
            run_guarded(
                "taking a response", call.on_response, response, kwargs.get("retries_taken", 0)
            )
        return super()._process_response(response=response, **kwargs)  # type: ignore[misc]


class AsyncReporting(Reporting):
    async def request(self, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        call, options = begin(self._openpipe_config, options)
        outer = current_call.get()
        current_call.set(call)
        try:
            result = await super().request(cast_to, options, *args, **kwargs)  # type: ignore[misc]
        except BaseException as error:
            if call is not None:
                run_guarded("taking an error", call.on_error, error, options)
            raise
        finally:
            current_call.set(outer)
        if call is not None:
            run_guarded("finishing a call", call.on_return)
        return result

    async def _process_response(self, *, response: Any, **kwargs: Any) -> Any:
        call = current_call.get()
        current_call.set(None)
        if call is not None:
            run_guarded(
                "taking a response", call.on_response, response, kwargs.get("retries_taken", 0)
            )
        return await super()._process_response(response=response, **kwargs)  # type: ignore[misc]
