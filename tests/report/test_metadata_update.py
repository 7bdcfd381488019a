"""A change of labels: what is asked of it, and what is sent."""

from __future__ import annotations

import json
from enum import Enum

import pytest

from openpipe_report import Reporter, chain, mask_keys, mask_values
from openpipe_report._report.metadata_update import MetadataUpdate, encode_update, make_update
from openpipe_report.testing import captured_reports


class Grade(str, Enum):
    GOOD = "good"


@pytest.fixture
def make_reporter():
    """Make reporters that send nothing; inside, their changes are captured."""
    with captured_reports() as captured:
        yield lambda **settings: (Reporter(base_url="http://127.0.0.1:9", **settings), captured)


@pytest.mark.parametrize(
    "value, sent",
    [
        pytest.param("text", "text", id="string"),
        pytest.param("", "", id="empty string"),
        pytest.param(Grade.GOOD, "good", id="enum of strings"),
        pytest.param(7, "7", id="integer"),
        pytest.param(0.5, "0.5", id="fraction"),
        pytest.param(True, "true", id="boolean"),
        pytest.param(None, None, id="removed"),
        pytest.param("\ud800\0<b>\x1b[31m", "\ud800\0<b>\x1b[31m", id="hostile"),
    ],
)
def test_values(make_reporter, value, sent):
    """The API takes strings and null: other values become the strings that they are compared as."""
    reporter, captured = make_reporter()
    assert reporter.update_metadata(completion_id="id-1", metadata={"a.b": value})
    assert captured.updates == [MetadataUpdate("id-1", {"a.b": sent})]
    assert captured == []


@pytest.mark.parametrize(
    "completion_id, metadata, error, message",
    [
        pytest.param(None, {"a": 1}, TypeError, "completion_id must be a string", id="no id"),
        pytest.param("", {"a": 1}, ValueError, "completion_id is empty", id="empty id"),
        pytest.param("x", {}, ValueError, "nothing to change", id="no label"),
        pytest.param("x", ["a"], TypeError, "metadata must be a mapping", id="list"),
        pytest.param("x", {1: "a"}, TypeError, "strings as keys", id="number as name"),
        pytest.param(
            "x", {"a": ["secret"]}, TypeError, r"metadata\['a'\] must be", id="list value"
        ),
        pytest.param("x", {"a": float("nan")}, TypeError, "finite number", id="NaN"),
    ],
)
def test_wrong_arguments(make_reporter, completion_id, metadata, error, message):
    """A wrong argument raises at once; the message has no value."""
    reporter, captured = make_reporter()
    with pytest.raises(error, match=message) as raised:
        reporter.update_metadata(completion_id=completion_id, metadata=metadata)
    assert "secret" not in str(raised.value)
    assert captured.updates == []


def without(name):
    def leave_out(report):
        left = {key: each for key, each in report.reqPayload["metadata"].items() if key != name}
        return report.model_copy(update={"reqPayload": {"metadata": left}})

    return leave_out


def with_labels(**labels):
    return lambda report: report.model_copy(update={"reqPayload": {"metadata": labels}})


def only_changes(report):
    return report if report.tags == {"$endpoint": "logs/update-metadata"} else None


GIVEN = {"comment": "Ask ada@example.org", "card": "none", "old": None}


@pytest.mark.parametrize(
    "hook, left",
    [
        pytest.param(lambda report: report, GIVEN, id="unchanged"),
        pytest.param(only_changes, GIVEN, id="told from reports by its tag"),
        pytest.param(mask_values, {**GIVEN, "comment": "Ask [email]"}, id="values masked"),
        pytest.param(mask_keys("comment"), {**GIVEN, "comment": "[masked]"}, id="key masked"),
        pytest.param(mask_keys("old"), GIVEN, id="a removal stays one"),
        pytest.param(
            chain(mask_values, without("card")),
            {"comment": "Ask [email]", "old": None},
            id="label left out",
        ),
        pytest.param(with_labels(n=1, flag=True), {"n": "1", "flag": "true"}, id="other labels"),
        pytest.param(lambda report: None, None, id="held back"),
        pytest.param(with_labels(), None, id="no label left"),
        pytest.param(with_labels(a=["b"]), None, id="no label any more"),
        pytest.param(mask_keys("id"), None, id="id masked"),
        pytest.param(mask_keys("metadata"), None, id="all masked"),
        pytest.param(lambda report: type(report)(), None, id="empty report"),
        pytest.param(lambda report: report.reqPayload["messages"], None, id="raises"),
        pytest.param(lambda report: "a string", None, id="no report"),
    ],
)
def test_before_report(make_reporter, hook, left):
    """The hook is shown the labels as those of a report; what it leaves is sent, or nothing."""
    reporter, captured = make_reporter(before_report=hook)
    reporter.update_metadata(completion_id="id-1", metadata=GIVEN)
    assert captured.updates == ([] if left is None else [MetadataUpdate("id-1", left)])


def test_other_policies(make_reporter):
    """Feedback is not sampled, and gets no static labels: it is about a report that has them."""
    reporter, captured = make_reporter(sample_rate=0, metadata={"service": "s"}, endpoints="audio")
    reporter.update_metadata(completion_id="id-1", metadata={"a": "b"})
    assert captured.updates == [MetadataUpdate("id-1", {"a": "b"})]


def test_too_large():
    """A change over `max_report_bytes` is not sent: a cut answer would be a wrong one."""
    settings = Reporter(base_url="http://127.0.0.1:9", max_report_bytes=2000).settings
    sent = encode_update(make_update("x", {"corrected": "y" * 1800}), settings)
    assert json.loads(sent)["metadata"] == {"corrected": "y" * 1800}
    assert encode_update(make_update("x", {"corrected": "y" * 2000}), settings) == "too large"


def test_repr():
    """A repr has the names of the labels, not their values."""
    assert repr(make_update("secret", {"b": "secret", "a": 1})) == (
        "MetadataUpdate(labels=['a', 'b'])"
    )


def test_captures_nest():
    """The innermost block captures, and a reporter that is switched off changes nothing."""
    reporter = Reporter(base_url="http://127.0.0.1:9")
    off = Reporter(base_url="http://127.0.0.1:9", enabled=False)
    with captured_reports() as outer:
        with captured_reports() as inner:
            assert reporter.update_metadata(completion_id="x", metadata={"a": 1})
        assert not off.update_metadata(completion_id="x", metadata={"a": 2})
        reporter.report(statusCode=200)
    assert [each.metadata for each in inner.updates] == [{"a": "1"}]
    assert (outer.updates, len(outer)) == ([], 1)
    assert not off.update_metadata(completion_id="x", metadata={"a": 3})
