"""Language models: text in, text out, and the token loop between them."""
