"""The pair of clusters: identities, epoch, claims on data sets, and the clusters' endpoints."""
