"""Do webhooks arrive, whoever dies and however endpoints answer? See `bench.webhooks.__main__`."""
