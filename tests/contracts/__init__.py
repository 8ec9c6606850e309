# SPDX-License-Identifier: Apache-2.0
"""Tests of the promises to outsiders: the OpenAPI description, and what it says about every answer."""
