"""Playbooks and their landing pages."""

from tap_drift.streams.full_table import FullTableStream


class PlaybooksStream(FullTableStream):
    """Enabled playbooks: `GET /playbooks/list`."""

    name = "playbooks"
    path = "/playbooks/list"
    primary_keys = ("id",)
    scope = "playbook_read"


class LandingPagesStream(FullTableStream):
    """Conversational landing pages: `GET /playbooks/clp`.

    Whether a playbook can have several is not documented, so the URL is part of the key.
    """

    name = "landing_pages"
    path = "/playbooks/clp"
    primary_keys = ("playbookId", "landingPageUrl")
    scope = "playbook_read"
