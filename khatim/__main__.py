# SPDX-License-Identifier: Apache-2.0
"""``python -m khatim``."""

from khatim.cli.main import main

main()
