# Written by scripts/make_signatures.py
from openai.types.shared_params import *
