"""
The overrides that make a client of openai's report: three methods, and the way it is made.

`request()` is one logical call, openai's retries inside; `_build_request()` makes the HTTP request
of each attempt; `_process_response()` gets the response that counted. Everything a client can do
goes through these three, so nothing else is touched, but for the constructor and `copy()`, which
take `openpipe=` and `reporter=`.

`overrides_for()` makes them for a class that was made already, since `super()` in them must know
it. Drop-in and instrumented classes get the same ones.
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
from openpipe_report._openai.call_options import read_options
from openpipe_report._openai.resources import reclass_resources
from openpipe_report._settings import ENDPOINT_OF_PATH

if TYPE_CHECKING:
    from openpipe_report._delivery.arguments import SettingsArguments
    from openpipe_report._delivery.reporter import Reporter

_JSON = (str, int, float, list, tuple, dict)


@functools.lru_cache(maxsize=256)
def _known_path(url: str) -> str | None:
    """Find the known path that a URL ends in, without its query."""
    parts = url.partition("?")[0].partition("#")[0].strip("/").split("/")
    last_two = "/".join(parts[-2:])
    path = last_two if last_two in ENDPOINT_OF_PATH else parts[-1]
    return path if path in ENDPOINT_OF_PATH else None


def begin(config: ReportingConfig, options: Any) -> tuple[Call | None, Any]:
    """
    Begin a logical call.

    Returns:
        The call, or None if it is not reported; and the options to go on with: a copy where
        `metadata` or `extra_body={"openpipe": ...}` is ours and must not travel upstream.
    """
    try:
        path = _known_path(options.url)
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
    around = current_scope()
    if reporter is None:
        if around.called is not None and not config.settings.enabled:
            around.called.withhold()
        return None
    if around.called is not None:
        around.called.add(reporter)
    given = read_options(ours)
    if not (around.report and given.log_request):
        if around.called is not None:
            around.called.withhold()
        return None
    if ENDPOINT_OF_PATH[path] not in config.settings.endpoints:
        return None
    labels = {**given.metadata, **metadata} if metadata else given.metadata
    return Call(reporter, path, around, labels, given.tags)


def overrides_for(cls: Any, *, is_async: bool) -> dict[str, Any]:
    """
    Make the overrides of a reporting class; each goes on to the next class of its MRO.

    Args:
        cls: The class that will have them, derived from one of openai's clients.
        is_async: Whether that is an async client.
    """
    return {**_construction(cls), **(_async_calls(cls) if is_async else _sync_calls(cls))}


def _construction(cls: Any) -> dict[str, Any]:
    def __init__(  # noqa: N807 - a method to be
        self: Any,
        *args: Any,
        openpipe: SettingsArguments | None = None,
        reporter: Reporter | None = None,
        **kwargs: Any,
    ) -> None:
        self._openpipe_config = load_reporting_config(openpipe, reporter)
        super(cls, self).__init__(*args, **kwargs)
        self._openpipe_config = self._openpipe_config.for_client(self.base_url)
        reclass_resources(self)

    def copy(
        self: Any,
        *args: Any,
        openpipe: SettingsArguments | None = None,
        reporter: Reporter | None = None,
        **kwargs: Any,
    ) -> Any:
        """Copy the client as openai does; the copy reports as this one unless told otherwise."""
        config = self._openpipe_config
        is_given = openpipe is not None or reporter is not None
        if is_given:
            config = load_reporting_config(openpipe, reporter)
        with inherit_config(config):
            made = super(cls, self).copy(*args, **kwargs)
        if is_given:  # whatever the constructor of a subclass chose
            vars(made)["_openpipe_config"] = config.for_client(made.base_url)
        return made

    return {"__init__": __init__, "copy": copy, "websocket_base_url": _websocket_base_url}


def _read_websocket_base_url(client: Any) -> Any:
    """An attribute of openai's; beside `copy()` it is WebSocket connections that read it."""
    run_guarded("noting a WebSocket", warn_websocket, client._openpipe_config)  # noqa: SLF001
    try:
        return vars(client)["websocket_base_url"]
    except KeyError:
        raise AttributeError("websocket_base_url") from None


def _write_websocket_base_url(client: Any, value: Any) -> None:
    vars(client)["websocket_base_url"] = value


_websocket_base_url = property(_read_websocket_base_url, _write_websocket_base_url)


def _build_request_of(cls: Any) -> Any:
    def _build_request(self: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        request = super(cls, self)._build_request(options, *args, **kwargs)
        call = current_call.get()
        if call is not None:
            run_guarded("taking a request", call.on_request, request, options)
        return request

    return _build_request


def _take_response(response: Any, retries: int) -> None:
    """Give the response that counted to the call, and end its hold on what is called inside."""
    call = current_call.get()
    current_call.set(None)
    if call is not None:
        run_guarded("taking a response", call.on_response, response, retries)


def _sync_calls(cls: Any) -> dict[str, Any]:
    def request(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        call, options = begin(self._openpipe_config, options)
        outer = current_call.get()
        current_call.set(call)
        try:
            result = super(cls, self).request(cast_to, options, *args, **kwargs)
        except BaseException as error:
            if call is not None:
                run_guarded("taking an error", call.on_error, error, options)
            raise
        finally:
            current_call.set(outer)
        if call is not None:
            run_guarded("finishing a call", call.on_return)
        return result

    def _process_response(self: Any, *, response: Any, **kwargs: Any) -> Any:
        _take_response(response, kwargs.get("retries_taken", 0))
        return super(cls, self)._process_response(response=response, **kwargs)

    return {
        "request": request,
        "_build_request": _build_request_of(cls),
        "_process_response": _process_response,
    }


def _async_calls(cls: Any) -> dict[str, Any]:
    async def request(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        call, options = begin(self._openpipe_config, options)
        outer = current_call.get()
        current_call.set(call)
        try:
            result = await super(cls, self).request(cast_to, options, *args, **kwargs)
        except BaseException as error:
            if call is not None:
                run_guarded("taking an error", call.on_error, error, options)
            raise
        finally:
            current_call.set(outer)
        if call is not None:
            run_guarded("finishing a call", call.on_return)
        return result

    async def _process_response(self: Any, *, response: Any, **kwargs: Any) -> Any:
        _take_response(response, kwargs.get("retries_taken", 0))
        return await super(cls, self)._process_response(response=response, **kwargs)

    return {
        "request": request,
        "_build_request": _build_request_of(cls),
        "_process_response": _process_response,
    }
