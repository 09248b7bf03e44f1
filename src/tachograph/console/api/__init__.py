"""The console's HTTP APIs: Prometheus' own under /api/v1, the page's under /api/console."""
