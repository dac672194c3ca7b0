"""Drives the Python SDK for the contract's harness (`sdk/contract/adapter.md`)."""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(_HERE), "src"))
