"""Proving the chain on a user's own machine: rules that fire when they must, and a page that arrives.

tools.py      prometheus, promtool, alertmanager, amtool: finding and starting them
rehearse.py   synthetic series for each alert, through Prometheus's own rule engine
incident.py   one of the demo's incidents, end to end
"""
