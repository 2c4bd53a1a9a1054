"""All commands: `python -m nasnet_jax COMMAND` is `nasnet COMMAND`."""

from nasnet_jax.cli import main

if __name__ == "__main__":
    main()
