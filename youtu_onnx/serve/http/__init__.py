"""The HTTP application: routes, limits, connections, processes."""
