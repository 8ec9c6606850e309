# SPDX-License-Identifier: Apache-2.0
"""What leaves the house for auditors: one signed bundle about a version, and its verification without the house."""
