"""The commands `resend` and `doctor`, in process, against a real server."""

from __future__ import annotations

import io
import socket
import sqlite3
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest
from support.backend import OK, Backend

from openpipe_report import cli
from openpipe_report._spool.file import SpoolFile

KEY = "opk_0123456789abcdef"


@pytest.fixture
def backend():
    with Backend() as backend:
        yield backend


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Run the command in an empty folder; returns its status and what it wrote."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, **variables):
        monkeypatch.setattr(sys, "argv", ["openpipe-report", *map(str, arguments)])
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        written = capsys.readouterr()
        assert KEY not in written.out + written.err
        code = ended.value.code or 0
        return SimpleNamespace(returncode=code, stdout=written.out, stderr=written.err)

    return run


@pytest.fixture
def path(tmp_path):
    return tmp_path / "spool"


def fill(path, base_url, *, api_key=KEY, waiting=0, dead=0, leave=True):
    """Put reports into a spool, labelled by their number."""
    file = SpoolFile.create(path, base_url, api_key, 2**28)
    bodies = [b'{"reqPayload":{"label":%d}}' % number for number in range(waiting + dead)]
    keys = [f"{base_url}-{api_key}-{n}" for n in range(len(bodies))]
    numbers = file.add([(key, 0, body, "report") for key, body in zip(keys, bodies, strict=True)])
    file.resolve(dead_letters=[("HTTP 400", number) for number in numbers[waiting:]])
    if leave:
        file.close()
    return file


def reasons_in(path):
    found = []
    for file in sorted(path.glob("reports-*.spool")):
        with closing(sqlite3.connect(file)) as connection:
            found += connection.execute("SELECT reason FROM reports ORDER BY number").fetchall()
    return found


@pytest.mark.parametrize(
    "arguments, delivered, left",
    [([], 250, [("HTTP 400",)] * 2), (["--dead"], 252, [])],
    ids=["waiting", "dead-letters-too"],
)
def test_resend(run, backend, path, arguments, delivered, left):
    """It delivers the reports, on request dead letters too, and removes them from the spool."""
    fill(path, backend.base_url, waiting=250, dead=2)
    variables = {"OPENPIPE_API_KEY": KEY, "OPENPIPE_BASE_URL": backend.base_url}
    ended = run("resend", "--spool", path, *arguments, **variables)
    assert ended.returncode == 0
    assert f"Delivered {delivered} report(s)" in ended.stdout
    assert ("Dead letters: 2" in ended.stdout) is bool(left)
    assert backend.labels == list(range(delivered))
    assert backend.posts[0].headers["authorization"] == f"Bearer {KEY}"
    assert len({post.key for post in backend.posts}) == delivered
    assert reasons_in(path) == left


def test_resend_of_several_processes(run, backend, path):
    """What several processes have left is delivered, and their files are removed."""
    for _ in range(3):
        fill(path, backend.base_url, waiting=2)
    ended = run("resend", "--spool", path, "--base-url", backend.base_url, "--api-key", KEY)
    assert ended.returncode == 0
    assert "Delivered 6 report(s)" in ended.stdout
    assert list(path.iterdir()) == []


def test_resend_names_the_others(run, backend, path):
    """Only the given destination is served; the others are named, with the options they need."""
    fill(path, backend.base_url, waiting=1)
    fill(path, backend.base_url, api_key="opk_another-long-key", waiting=2, dead=1)
    fill(path, "http://elsewhere/api/v1", waiting=4)
    arguments = ["--base-url", backend.base_url, "--api-key", KEY]
    ended = run("resend", *arguments, OPENPIPE_REPORT_SPOOL=str(path))
    assert ended.returncode == 0
    assert len(backend.posts) == 1
    assert f"3 report(s) for {backend.base_url} with another key" in ended.stdout
    assert "4 report(s) for http://elsewhere/api/v1: give --base-url and its key" in ended.stdout


@pytest.mark.parametrize("consent", ["--yes", "y", "n", ""])
def test_adopt(run, backend, path, monkeypatch, consent):
    """`--adopt` shows what lies there for others, asks, and delivers it here."""
    fill(path, backend.base_url, waiting=1)
    fill(path, "http://elsewhere/api/v1", api_key="opk_another-long-key", waiting=4, dead=1)
    monkeypatch.setattr(sys, "stdin", io.StringIO(consent))
    arguments = ["--spool", path, "--base-url", backend.base_url, "--api-key", KEY, "--adopt"]
    ended = run("resend", *arguments, *([consent] if consent == "--yes" else []))
    assert "5 report(s) for http://elsewhere/api/v1" in ended.stdout
    if consent in {"--yes", "y"}:
        assert ended.returncode == 0
        assert len(backend.posts) == 5
        assert {post.headers["authorization"] for post in backend.posts} == {f"Bearer {KEY}"}
        assert reasons_in(path) == [("HTTP 400",)]
    else:
        assert ended.returncode == 1
        assert backend.posts == []
        assert len(reasons_in(path)) == 6


def test_resend_leaves_running_processes_theirs(run, backend, path):
    """Files of living processes are not touched, and keep the status from being 0."""
    file = fill(path, backend.base_url, waiting=2, leave=False)
    ended = run("resend", "--spool", path, "--base-url", backend.base_url, "--api-key", KEY)
    assert (ended.returncode, backend.posts) == (1, [])
    assert "Running processes are about to deliver 1 more file(s)" in ended.stdout
    file.close()


def test_resend_names_damage(run, backend, path):
    """A damaged file is named and left, the others are delivered, and the status is 1."""
    fill(path, backend.base_url, waiting=2)
    (path / "reports-0.spool").write_bytes(b"x" * 9999)
    ended = run("resend", "--spool", path, "--base-url", backend.base_url, "--api-key", KEY)
    assert (ended.returncode, len(backend.posts)) == (1, 2)
    assert "Not read: reports-0.spool is damaged" in ended.stdout


def test_damage_within(run, backend, path):
    """A file whose rows cannot be read stops neither `doctor` nor the delivery of the others."""
    damaged = fill(path, backend.base_url, waiting=3000).path
    content = bytearray(damaged.read_bytes())
    content[20 * 4096 : 30 * 4096] = b"\xff" * 10 * 4096
    damaged.write_bytes(content)
    fill(path, backend.base_url, waiting=5)
    given = ["--base-url", backend.base_url, "--api-key", KEY]
    ended = run("doctor", *given, OPENPIPE_REPORT_SPOOL=str(path))
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
    assert f"{damaged.name} is damaged" in ended.stdout
    ended = run("resend", *given, OPENPIPE_REPORT_SPOOL=str(path))
    assert ended.returncode == 1
    assert f"{damaged.name} is damaged" in ended.stdout
    assert len(backend.posts) == 5


@pytest.mark.parametrize(
    "answer, posts, told, reasons",
    [
        ((500, b"", {}), 3, "Not delivered: 3 (HTTP 500)", [(None,)] * 3),
        ((429, b"", {"Retry-After": "60"}), 1, "Still to be delivered: 3", [(None,)] * 3),
        ((422, b"", {}), 3, "Rejected: 3 (HTTP 422)", [("HTTP 422",)] * 3),
    ],
    ids=["500", "asked-to-wait", "rejected"],
)
def test_resend_fails(run, backend, path, answer, posts, told, reasons):
    """A report that cannot be delivered is tried once and stays."""
    fill(path, backend.base_url, waiting=3)
    backend.answer = lambda post: answer
    arguments = ["--base-url", backend.base_url, "--api-key", KEY]
    ended = run("resend", "--dead", "--spool", path, *arguments)
    assert (ended.returncode, len(backend.posts)) == (1, posts)
    assert told in ended.stdout
    assert reasons_in(path) == reasons
    backend.answer = lambda post: OK
    assert run("resend", "--dead", "--spool", path, *arguments).returncode == 0


@pytest.mark.parametrize(
    "arguments, told",
    [
        ([], "use --spool"),
        (["--spool", "missing"], "there is no spool missing"),
        (["--spool", "file"], "is a file: give the spool's folder"),
        (["--base-url", "ftp://x"], "base_url: must be an http(s) URL"),
    ],
    ids=["none", "missing", "file", "wrong-setting"],
)
def test_resend_refuses(run, tmp_path, arguments, told):
    """A problem with the folder or the settings is one line that names the remedy."""
    (tmp_path / "file").touch()
    ended = run("resend", *arguments)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: ")
    assert told in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("columns", ["24", "40", "80"])
@pytest.mark.parametrize("command", ["resend", "doctor", "serve", "logs", "show"])
def test_help_on_a_narrow_terminal(run, command, columns):
    """The help names every option and variable whole, however narrow the terminal is."""
    ended = run(command, "--help", COLUMNS=columns)
    assert ended.returncode == 0
    assert "…" not in ended.stdout
    assert "--help" in ended.stdout


# doctor


def test_doctor_off(run):
    """Without settings, `doctor` says that reporting is off and what to set."""
    ended = run("doctor")
    assert ended.returncode == 1
    assert "Reporting is off" in ended.stdout
    assert "OPENPIPE_BASE_URL" in ended.stdout


def test_doctor_settings(run, backend):
    """Each setting is shown with its source, the key masked, and nothing is sent."""
    ended = run(
        *("doctor", "--base-url", backend.base_url),
        OPENPIPE_API_KEY=KEY,
        OPENPIPE_REPORT_SENDERS="3",
    )
    lines = {line.split()[0]: line.split()[1:] for line in ended.stdout.splitlines()}
    assert ended.returncode == 0
    assert lines["api_key"] == ["opk_...ef", "OPENPIPE_API_KEY"]
    assert lines["base_url"] == [backend.base_url, "argument"]
    assert lines["senders"] == ["3", "OPENPIPE_REPORT_SENDERS"]
    assert lines["retry_for"] == ["600.0", "default"]
    assert all(f"{name} " in ended.stdout for name in ("Python", "openai", "httpx"))
    assert backend.posts == []


def test_doctor_opens_the_spool(run, backend, path):
    """It says what the spool holds, and leaves it as it is."""
    fill(path, backend.base_url, waiting=3, dead=1)
    fill(path, "http://elsewhere/api/v1", waiting=2)
    in_use = fill(path, backend.base_url, waiting=1, leave=False)
    before = sorted(each.name for each in path.glob("reports-*.spool"))
    given = ["--base-url", backend.base_url, "--api-key", KEY]
    ended = run("doctor", *given, OPENPIPE_REPORT_SPOOL=str(path))
    assert ended.returncode == 0
    assert "The spool holds 3 report(s) for this server and key" in ended.stdout
    assert "The spool holds 1 dead letter(s); `openpipe-report resend --dead`" in ended.stdout
    assert "2 report(s) for http://elsewhere/api/v1" in ended.stdout
    assert "1 file(s) are in use by running processes" in ended.stdout
    in_use.close()
    assert sorted(each.name for each in path.glob("reports-*.spool")) == before


def test_doctor_and_a_spool_that_cannot_be_written(run, backend, tmp_path):
    """It says so, with the reason, and exits with 1."""
    (tmp_path / "file").touch()
    given = ["--base-url", backend.base_url, "--api-key", KEY]
    ended = run("doctor", *given, OPENPIPE_REPORT_SPOOL=str(tmp_path / "file"))
    assert ended.returncode == 1
    assert "The spool cannot be used: " in ended.stdout
    ended = run("doctor", *given, OPENPIPE_REPORT_SPOOL=str(tmp_path / "new" / "spool"))
    assert ended.returncode == 0
    assert "The spool is empty and can be written" in ended.stdout


def test_doctor_masks_short_keys(run, backend):
    """Nothing of a short key is shown."""
    ended = run("doctor", "--base-url", backend.base_url, "--api-key", "s3cret")
    assert "s3" not in ended.stdout
    assert "***" in ended.stdout


def test_doctor_send(run, backend):
    """With --send one report arrives."""
    ended = run("doctor", "--send", "--base-url", backend.base_url)
    assert ended.returncode == 0
    assert "The server accepted the test report." in ended.stdout
    assert len(backend.posts) == 1
    assert backend.posts[0].report["tags"]["$endpoint"] == "doctor"


@pytest.mark.parametrize(
    "answer, told",
    [
        ((401, b'{"message":"who?","code":"UNAUTHORIZED"}', {}), "does not accept the API key"),
        ((404, b"", {}), "There is no /report"),
        ((200, b"<html>", {}), "A server of another kind"),
        ((301, b"", {"Location": "/"}), "do not follow redirects"),
        ((503, b"", {}), "an internal error"),
    ],
    ids=["401", "404", "html", "redirect", "503"],
)
def test_doctor_says_what_is_wrong(run, backend, answer, told):
    """The server's answer is explained in plain words."""
    backend.answer = lambda post: answer
    ended = run("doctor", "--send", "--base-url", backend.base_url, "--api-key", KEY)
    assert ended.returncode == 1
    assert "was not delivered" in ended.stdout
    assert told in ended.stdout


@pytest.mark.parametrize(
    "environment, told",
    [
        ({"SSL_CERT_FILE": __file__}, "look at SSL_CERT_FILE"),
        ({"HTTPS_PROXY": "socks5://u:s3cret@127.0.0.1:1"}, "socksio"),
        ({"HTTPS_PROXY": "foo://u:s3cret@127.0.0.1:1"}, "the proxy's URL is wrong"),
        ({"OPENPIPE_BASE_URL": "https://a..b/api"}, "base_url has an invalid host name"),
    ],
    ids=["certificates", "socks", "proxy", "host"],
)
def test_doctor_says_what_is_wrong_here(run, environment, told):
    """An error of the environment is named, without a password."""
    ended = run("doctor", "--send", **{"OPENPIPE_BASE_URL": "https://127.0.0.1:9", **environment})
    assert ended.returncode == 1
    assert told in ended.stdout
    assert "s3cret" not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


def test_doctor_refused_and_proxy(run):
    """A refused connection and the proxy in use are named, the proxy without its password."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        ended = run("doctor", "--send", "--base-url", url)
        assert "No server listens there" in ended.stdout
        proxy = url.replace("//", "//ada:s3cret@")
        ended = run("doctor", "--send", "--base-url", "http://example.invalid", HTTP_PROXY=proxy)
    assert ended.returncode == 1
    assert "through the proxy http://...@127.0.0.1" in ended.stdout
    assert "s3cret" not in ended.stdout


@pytest.mark.parametrize(
    "environ, told",
    [
        ({"OPENPIPE_BASEURL": "http://h/x"}, "did you mean OPENPIPE_BASE_URL?"),
        ({"OPENPIPE_REPORT_SENDER": "3"}, "did you mean OPENPIPE_REPORT_SENDERS?"),
        ({"OPENPIPE_REPORT_SENDERS": "many"}, "correct it or unset it"),
    ],
    ids=["decisive", "harmless", "wrong"],
)
def test_doctor_names_variables(run, monkeypatch, environ, told):
    """`doctor` names each variable that is invalid or unknown, and exits with 1."""
    for name, value in {"OPENPIPE_BASE_URL": "http://127.0.0.1:9/api/v1", **environ}.items():
        monkeypatch.setenv(name, value)
    ended = run("doctor")
    assert ended.returncode == 1
    assert told in ended.stdout
    assert next(iter(environ)) in ended.stdout
