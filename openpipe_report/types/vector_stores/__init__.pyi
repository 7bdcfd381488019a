# Written by scripts/make_signatures.py
from openai.types.vector_stores import *
