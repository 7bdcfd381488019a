"""Services: what views use beside the queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openpipe_report.server.authentication import Authenticator
    from openpipe_report.server.intake import Intake
    from openpipe_report.server.page.forms import FormReader
    from openpipe_report.server.visitors.sessions import Sessions


@dataclass(frozen=True)
class Services:
    """The parts of one receiver that its pages need."""

    intake: Intake
    """Changes labels."""
    forms: FormReader
    sessions: Sessions
    authenticator: Authenticator
