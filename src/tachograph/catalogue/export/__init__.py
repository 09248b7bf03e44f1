"""Writing the catalogue down for others: Grafana, Prometheus, Alertmanager, people."""
