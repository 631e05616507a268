"""Services, policies, replicas, backup runs, recovery points, and the pure decisions about them."""
