# SPDX-License-Identifier: Apache-2.0
"""The front door: composition root, sign-in, problem+json, mounting of the API, the console."""
