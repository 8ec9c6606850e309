# SPDX-License-Identifier: Apache-2.0
"""Tests of governance: authorisations, evidence, approvals, gates, deployments, monitors and findings."""
