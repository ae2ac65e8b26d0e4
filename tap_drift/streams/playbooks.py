"""What a company has built in Drift: its playbooks and their landing pages."""

from tap_drift.streams.base import FullTableStream


class PlaybooksStream(FullTableStream):
    """The playbooks that are enabled: `GET /playbooks/list`."""

    name = "playbooks"
    path = "/playbooks/list"
    primary_keys = ("id",)
    scope = "playbook_read"


class LandingPagesStream(FullTableStream):
    """The conversational landing pages: `GET /playbooks/clp`.

    Drift does not say whether a playbook can have several, so the URL is part of the key.
    """

    name = "landing_pages"
    path = "/playbooks/clp"
    primary_keys = ("playbookId", "landingPageUrl")
    scope = "playbook_read"
