"""An OpenAI-compatible server: completions and chat, streamed or whole."""
