# Written by scripts/make_signatures.py
from openai.types.beta.agents.sessions.subagents import *
