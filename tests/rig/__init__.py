"""The real parts that the tests run against: volumes by the kubelet's code, pods, an API server."""
