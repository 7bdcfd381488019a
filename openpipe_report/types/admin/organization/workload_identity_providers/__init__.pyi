# Written by scripts/make_signatures.py
from openai.types.admin.organization.workload_identity_providers import *
