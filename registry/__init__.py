# SPDX-License-Identifier: Apache-2.0
"""Datasets, features, models, versions, artifacts, signatures and lineage: what is registered."""
