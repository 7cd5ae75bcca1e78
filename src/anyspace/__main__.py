"""``python -m anyspace``."""

from anyspace.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
