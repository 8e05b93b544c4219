"""How a server speaks to its clients: what is given to uvicorn, what is answered ahead of ASGI, and how it ends."""
