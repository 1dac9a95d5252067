"""Checks of addresses, gateways and load balancers."""
