"""
The settings of a program: arguments, then the environment, then the defaults.

Nothing else in this package reads `os.environ` for settings. A wrong argument raises. A wrong
variable, or an unknown one that looks like a setting that decides where or whether reports go,
turns reporting off with one ERROR: a typo in a shared configuration must neither stop a program
nor send prompts where they were not meant to go.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from openpipe_report._errors import SettingsError
from openpipe_report._log import log_once
from openpipe_report._settings import Settings

ARGUMENT_ONLY = frozenset({"on_drop", "http_client"})

OF_THE_COMMANDS = frozenset(
    {"OPENPIPE_REPORT_DB", "OPENPIPE_REPORT_READ_KEY", "OPENPIPE_REPORT_READ_URL"}
)
"""Variables of the command line: where it reads, which has no effect on a program's reports."""

_OPENPIPES_OWN = {"api_key": "OPENPIPE_API_KEY", "base_url": "OPENPIPE_BASE_URL"}
_DECISIVE = frozenset(
    {"api_key", "base_url", "before_report", "enabled", "endpoints", "sample_rate", "spool"}
)
"""Settings that decide where, whether or in which form reports go: a typo turns reporting off."""

_RESEMBLES = 0.55
"""From which ratio of difflib's on an unknown variable is taken for a misspelt setting."""
_IS_MISSPELT = 0.85
"""The same where the variable also has a word of another setting's."""

_OTHER_WORDS = {
    "before_report": "HOOK|MASK|REDACT|SCRUB|FILTER|PII|PRIVA|SANITI|ANONYM|CENSOR|ELIDE|HIDE",
    "sample_rate": "SAMPL",
    "endpoints": "ENDPOINT|EXCLUDE|INCLUDE|ALLOW|DENY|_ONLY_",
    "enabled": (
        "ENABL|DISABL|OPT_?(OUT|IN)_|_(ON|OFF|NO|NOT|DONT|STOP|SKIP|DRY|ACTIVE|REPORT(S|ING)?)_"
        "|REPORTO(N|FF)_|NO_?REPORT|KILL|TRACK|TELEMETRY|CAPTUR|LOG(GING|_?REQUEST)"
    ),
    "base_url": "UR[IL]_|HOST|SERVER|ADDR|DOMAIN|DESTINATION|TARGET|PROXY|API_?BASE|_BASE_",
    "api_key": "KEY|TOKEN|SECRET|AUTH|CREDENTIAL|PASSWORD",
    "spool": "SPOOL",
}
"""Words for what decisive settings do, as regular expressions; the first that is found counts."""

_KUBERNETES = re.compile(
    r"(OPENPIPE\w*?)_(?:SERVICE_(?:HOST|PORT\w*)|PORT(?:_\d+_(?:TCP|UDP|SCTP)\w*)?)"
)
"""What Kubernetes tells every pod about a service whose name begins with openpipe."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A variable of the environment that is wrong, or that is not known."""

    variable: str
    text: str
    """What is wrong with it and what to do; never a key."""
    turns_off: bool
    """Whether nothing is reported because of it."""

    def __str__(self) -> str:
        return f"{self.variable} {self.text}"


def variable_of(name: str) -> str | None:
    """Name the environment variable of a setting, or None where only an argument will do."""
    if name in ARGUMENT_ONLY:
        return None
    return _OPENPIPES_OWN.get(name, f"OPENPIPE_REPORT_{name.upper()}")


def load_settings(environ: Mapping[str, str], given: Mapping[str, Any] | None = None) -> Settings:
    """
    Build the settings, and log once what is wrong with the environment.

    Args:
        environ: The environment, usually `os.environ`. An empty variable counts as unset.
        given: Settings by name, as in `OpenAI(openpipe={...})`; None counts as not given.

    Returns:
        The settings; with `enabled` False where the environment cannot be trusted.

    Raises:
        SettingsError: An argument is unknown or wrong; the message names it and the remedy.
    """
    settings, problems = read_settings(environ, given)
    for problem in problems:
        if problem.turns_off:
            log_once(str(problem), "reporting is disabled: %s", problem, level=logging.ERROR)
        else:
            log_once(str(problem), "%s", problem)
    return settings


def read_settings(
    environ: Mapping[str, str], given: Mapping[str, Any] | None = None
) -> tuple[Settings, list[Problem]]:
    """As `load_settings()`, but return the problems instead of logging them."""
    arguments = _arguments(given)
    variables = {
        name: text
        for name in Settings.model_fields
        if name not in arguments
        and (variable := variable_of(name)) is not None
        and (text := environ.get(variable, "").strip())
    }
    problems = _unknown_variables(environ, arguments)
    values: dict[str, Any] = dict(variables)
    if "before_report" in variables:
        try:
            values["before_report"] = _import_function(variables["before_report"])
        except Exception as error:  # noqa: BLE001 - whatever the user's module does
            del values["before_report"]
            problems.append(_wrong_hook(error))
    try:
        settings = Settings(**arguments, **values)
    except ValidationError as error:
        wrong = _explain(error, {**arguments, **values})
        if of_arguments := [f"{name}: {text}" for name, text in wrong if name in arguments]:
            raise SettingsError("; ".join(of_arguments)) from None
        for name, text in wrong:
            values.pop(name, None)
            variable = variable_of(name) or name
            problems.append(Problem(variable, f"{text}; correct it or unset it", turns_off=True))
        settings = Settings(**arguments, **values)
    if service := environ.get("OTEL_SERVICE_NAME", "").strip():  # OpenTelemetry's own variable
        labels = {"service.name": service, **(settings.metadata or {})}
        settings = settings.model_copy(update={"metadata": labels})
    if any(problem.turns_off for problem in problems):
        settings = settings.model_copy(update={"enabled": False})
    return settings, problems


def _arguments(given: Mapping[str, Any] | None) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise SettingsError(f"openpipe= must be a dict of settings, got {type(given).__name__}")
    unknown = sorted(str(name) for name in given if name not in Settings.model_fields)
    if unknown:
        known = ", ".join(Settings.model_fields)
        raise SettingsError(f"unknown setting {', '.join(unknown)}; there are {known}")
    return {name: value for name, value in given.items() if value is not None}


def _explain(error: ValidationError, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name each wrong setting, with what is wrong with it; never a key or a password."""
    problems = []
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        name = str(detail["loc"][0])
        what = detail["msg"].removeprefix("Value error, ")
        value = values[name]
        if name == "base_url":  # a password may be in it
            value = re.sub(r"(?s).*@", "...@", str(value))
        shown = "" if name == "api_key" else f", got {value!r}"
        problems.append((name, f"{what[0].lower()}{what[1:]}{shown}"))
    return problems


def _import_function(path: str) -> Any:
    """Import what `package.module:function` names."""
    module, colon, name = path.partition(":")
    if not (module and colon and name):
        raise ValueError("must be package.module:function")
    target: Any = import_module(module)
    for part in name.split("."):
        target = getattr(target, part)
    return target


def _wrong_hook(error: Exception) -> Problem:
    text = f"names no function that can be imported ({type(error).__name__}: {error})"
    return Problem("OPENPIPE_REPORT_BEFORE_REPORT", text, turns_off=True)


def _unknown_variables(environ: Mapping[str, str], arguments: Mapping[str, Any]) -> list[Problem]:
    known = {*OF_THE_COMMANDS, *(variable_of(name) for name in Settings.model_fields)}
    return [
        _unknown(variable, arguments)
        for variable in sorted(environ)
        if variable.upper().startswith("OPENPIPE_")
        and variable not in known
        and not _is_of_kubernetes(variable, environ)
    ]


def _is_of_kubernetes(variable: str, environ: Mapping[str, str]) -> bool:
    found = _KUBERNETES.fullmatch(variable)
    return found is not None and f"{found[1]}_SERVICE_HOST" in environ


def _unknown(variable: str, arguments: Mapping[str, Any]) -> Problem:
    nearest = _nearest_setting(variable)
    if nearest is None:
        return Problem(variable, "is not known: correct its name or unset it", turns_off=False)
    meant = variable_of(nearest)
    if meant is None:
        text = f"is not known: {nearest} can only be given as an argument"
        return Problem(variable, text, turns_off=False)
    turns_off = nearest in _DECISIVE and nearest not in arguments
    return Problem(variable, f"is not known: did you mean {meant}?", turns_off)


def _nearest_setting(variable: str) -> str | None:
    """Find the setting that a variable resembles most, by its name or by what it does."""
    words = re.sub(r"^OPENPIPE_(REPORT(S|ER|ING)?_)?", "", variable.upper())
    word = words.replace("_", "").lower()
    ratios = {
        name: SequenceMatcher(None, word, name.replace("_", "")).ratio()
        for name in Settings.model_fields
    }
    nearest = max(ratios, key=ratios.__getitem__)
    if ratios[nearest] < _IS_MISSPELT:
        for name, expression in _OTHER_WORDS.items():
            if re.search(expression, f"_{words}_"):
                return name
    return nearest if ratios[nearest] >= _RESEMBLES else None
