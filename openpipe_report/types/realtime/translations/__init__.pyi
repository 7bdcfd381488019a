# Written by scripts/make_signatures.py
from openai.types.realtime.translations import *
