# Written by scripts/make_signatures.py
from openai.types.fine_tuning.checkpoints import *
