# SPDX-License-Identifier: Apache-2.0
"""Risk, evidence, approvals, gates, deployments and findings: what may become of a version."""
