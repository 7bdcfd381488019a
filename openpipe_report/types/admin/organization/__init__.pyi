# Written by scripts/make_signatures.py
from openai.types.admin.organization import *
