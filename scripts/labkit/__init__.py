"""The lab: two real Hadoop and HBase clusters on this machine, each with a gateway, for demonstrations and tests."""
