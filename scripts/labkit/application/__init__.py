"""The lab's application: it writes to HDFS and HBase all the time and keeps an independent record of what it was told.

Its acknowledgement log is the truth against which a recovery point is compared (``scripts/labkit/comparison``).
"""
