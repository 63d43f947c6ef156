"""The reliability bars: one small file each, run one after another by `python -m bench.proof`. The method is in docs/proof.md."""
