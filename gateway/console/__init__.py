# SPDX-License-Identifier: Apache-2.0
"""The console: server-rendered pages in English and Arabic."""
