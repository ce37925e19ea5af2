"""nginx, HAProxy and Envoy before the abuse suite's upstreams, set up as strictly as they can be.

Each is asked for the same: pass everything on but `/locked`, keep-alive both ways, Via and
X-Forwarded-*, WebSocket, a body of 1 MB at most, a second of patience. Their configurations stand
beside, as templates with one part per lane.
"""
