"""Results while they change: the published tree and its server, for viewers of all kinds."""

from femto_bluesky.viewer.access import Access
from femto_bluesky.viewer.server import ResultsServer, serve

__all__ = ["Access", "ResultsServer", "serve"]
